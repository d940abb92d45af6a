import random

import pytest

from gateway.smartcharging.notices import APART, SIGNIFICANCE, Say, Told, notice
from tests.smartcharging.kit import NOW, after


@pytest.mark.parametrize(
    ("told", "limit_a", "expected"),
    [
        (None, None, Say.NOTHING),
        (None, 16.0, Say.LIMIT),
        (None, 0.0, Say.LIMIT),
        (Told(None, after(-30)), 16.0, Say.LIMIT),
        (Told(None, after(-30)), None, Say.NOTHING),
        (Told(16.0, after(-30)), None, Say.CLEARED),
        (Told(16.0, after(-30)), 16.0, Say.NOTHING),
        (Told(20.0, after(-30)), 18.1, Say.NOTHING),
        (Told(20.0, after(-30)), 18.0, Say.LIMIT),
        (Told(20.0, after(-30)), 22.0, Say.LIMIT),
        (Told(0.05, after(-30)), 0.0, Say.LIMIT),
        (Told(0.0, after(-30)), 0.1, Say.LIMIT),
        (Told(0.0, after(-30)), 0.0, Say.NOTHING),
        (Told(20.0, after(-29)), 10.0, Say.NOTHING),
        (Told(20.0, after(-29)), None, Say.NOTHING),
        (Told(20.0, after(-29)), 20.0, Say.NOTHING),
    ],
)
def test_what_is_worth_a_message(told: Told | None, limit_a: float | None, expected: Say) -> None:
    assert notice(told, limit_a, NOW) == expected


def test_messages_keep_their_distance_and_the_last_one_is_true(seed: int) -> None:
    rng = random.Random(seed)
    told: Told | None = None
    limit: float | None = None
    for second in range(3000):
        if rng.random() < 0.2:
            limit = rng.choice((None, 0.0, 6.0, rng.randrange(60, 320) / 10))
        found = notice(told, limit, after(second))
        if found is not Say.NOTHING:
            assert told is None or after(second) - told.at >= APART
            assert (found is Say.CLEARED) is (limit is None)
            told = Told(limit, after(second))
    found = notice(told, limit, after(3000 + 30))
    if found is Say.NOTHING and limit is not None:
        assert told is not None
        assert told.limit_a is not None
        assert abs(told.limit_a - limit) <= SIGNIFICANCE * told.limit_a
