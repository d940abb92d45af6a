import random

import pytest

from gateway.smartcharging.notices import APART, SIGNIFICANCE, Notice, Say, Told, notice
from tests.smartcharging.kit import NOW, after

NOTHING = Notice(Say.NOTHING)
LATER = Notice(Say.NOTHING, after(0))


@pytest.mark.parametrize(
    ("told", "limit_a", "expected"),
    [
        (None, None, NOTHING),
        (None, 16.0, Notice(Say.LIMIT)),
        (None, 0.0, Notice(Say.LIMIT)),
        (Told(None, after(-30)), 16.0, Notice(Say.LIMIT)),
        (Told(None, after(-30)), None, NOTHING),
        (Told(16.0, after(-30)), None, Notice(Say.CLEARED)),
        (Told(16.0, after(-30)), 16.0, NOTHING),
        (Told(20.0, after(-30)), 18.1, NOTHING),
        (Told(20.0, after(-30)), 18.0, Notice(Say.LIMIT)),
        (Told(20.0, after(-30)), 22.0, Notice(Say.LIMIT)),
        (Told(0.05, after(-30)), 0.0, Notice(Say.LIMIT)),
        (Told(0.0, after(-30)), 0.1, Notice(Say.LIMIT)),
        (Told(0.0, after(-30)), 0.0, NOTHING),
        (Told(20.0, after(-29)), 10.0, Notice(Say.NOTHING, after(1))),
        (Told(20.0, after(-29)), None, Notice(Say.NOTHING, after(1))),
        (Told(20.0, after(-29)), 20.0, NOTHING),
    ],
)
def test_what_is_worth_a_message(told: Told | None, limit_a: float | None, expected: Notice) -> None:
    assert notice(told, limit_a, NOW) == expected


def test_messages_keep_their_distance_and_the_last_one_is_true(seed: int) -> None:
    rng = random.Random(seed)
    told: Told | None = None
    limit: float | None = None
    for second in range(3000):
        if rng.random() < 0.2:
            limit = rng.choice((None, 0.0, 6.0, rng.randrange(60, 320) / 10))
        found = notice(told, limit, after(second))
        if found.say is not Say.NOTHING:
            assert told is None or after(second) - told.at >= APART
            assert (found.say is Say.CLEARED) is (limit is None)
            told = Told(limit, after(second))
    found = notice(told, limit, after(3000 + 30))
    if found.say is Say.NOTHING and limit is not None:
        assert told is not None
        assert told.limit_a is not None
        assert abs(told.limit_a - limit) <= SIGNIFICANCE * told.limit_a
