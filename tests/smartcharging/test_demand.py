"""What a connector may ask for: caps now and soon, and writes within their budget."""

from math import inf

import pytest

from gateway.model.balance import CapStep
from gateway.smartcharging.demand import cap_now
from gateway.smartcharging.pace import BURST, DEBT, Pace


@pytest.mark.parametrize(
    ("now", "amps", "look_again"),
    [
        (0.0, inf, 90.0),
        (89.0, inf, 90.0),
        (91.0, 10.0, 190.0),
        (100.0, 10.0, 190.0),
        (150.0, 10.0, 190.0),
        (192.0, 10.0, 290.0),
        (205.0, 16.0, 290.0),
        (291.0, 0.0, None),
        (500.0, 0.0, None),
    ],
)
def test_a_cap_of_the_csms_holds_before_it_comes_and_until_it_is_gone(
    now: float, amps: float, look_again: float | None
) -> None:
    steps = (CapStep(100.0, 10.0), CapStep(200.0, 16.0), CapStep(300.0, 0.0))
    assert cap_now(steps, now, lead_s=10.0) == (amps, look_again)


def test_no_profile_is_no_cap() -> None:
    assert cap_now((), 5.0, 10.0) == (inf, None)
    assert cap_now((CapStep(0.0, inf), CapStep(10.0, 8.0)), 5.0, 10.0) == (8.0, None)


def test_no_hour_has_more_writes_than_its_budget() -> None:
    pace, written = Pace(at=0.0), []
    for second in range(4 * 3600):
        now = float(second)
        if now >= pace.next_token(now, 30.0):
            pace = pace.wrote(now, 30.0, raised=True)
            written.append(now)
    fullest = max(sum(1 for at in written if start <= at < start + 3600) for start in range(0, 3 * 3600, 60))
    assert 24 <= fullest <= 30


def test_cuts_make_debt_that_is_bounded() -> None:
    pace = Pace(at=0.0)
    for _ in range(50):
        pace = pace.wrote(1.0, 30.0, raised=False)
    assert pace.tokens == -DEBT
    assert pace.next_token(1.0, 30.0) == pytest.approx(1.0 + (1 + DEBT) * 150.0)
    assert pace.saved(1e6, 30.0) == BURST


def test_room_is_remembered_at_its_least() -> None:
    pace = Pace().with_room(20.0, 5.0).with_room(16.0, 6.0).with_room(18.0, 7.0)
    assert (pace.room_since, pace.room_a) == (5.0, 16.0)
    assert pace.without_room().room_since is None
    assert pace.with_room(17.0, 8.0) is pace
