"""Turns in shortage: bounded waiting, everything used, nobody forgotten."""

from itertools import pairwise
from math import ceil

import pytest

from gateway.model.ids import StationId
from gateway.model.site_tree import Binding, ConnectorKey, Why
from gateway.smartcharging.allocate import allocate
from gateway.smartcharging.claims import Claim, Walls
from gateway.smartcharging.needs import SOONEST_H, believed_h, urgency_of, weight_of
from gateway.smartcharging.turns import MOST_DEFICIT_AH, Received, Turn, accrued, moved, order_of

QUANTUM_S = 1200.0


def cars(count: int) -> list[ConnectorKey]:
    return [ConnectorKey(StationId(f"CP-{number:02}"), 1) for number in range(count)]


def rotate(
    count: int, fit: int, hours: float, arrivals: dict[int, float] | None = None
) -> dict[ConnectorKey, list[bool]]:
    """Let `count` alike cars share room for `fit` minima, deciding every 10 s; return who was in at every step."""
    keys = cars(count)
    turns: dict[ConnectorKey, Turn] = {}
    history: dict[ConnectorKey, list[bool]] = {key: [] for key in keys}
    for step in range(int(hours * 360)):
        now = step * 10.0
        here = [key for number, key in enumerate(keys) if now >= (arrivals or {}).get(number, 0.0)]
        for key in here:
            turns.setdefault(key, Turn(is_in=False, since=now))
        claims = [
            Claim(
                key,
                ((0, 1.0),),
                6.0,
                32.0,
                order_of(turns[key], now=now, rank=0, is_pinned=False, quantum_s=QUANTUM_S),
            )
            for key in here
        ]
        planned = allocate(claims, Walls([6.0 * fit + 1], [Why(Binding.CIRCUIT, "main", 1)]))
        turns = accrued(turns, [Received(key, plan.amps, 1.0) for key, plan in zip(here, planned, strict=True)], 10.0)
        for key, plan in zip(here, planned, strict=True):
            turns[key] = moved(turns[key], plan.amps > 0, now)
            history[key].append(plan.amps > 0)
    return history


def longest_wait_s(steps: list[bool]) -> float:
    longest = waiting = 0
    for is_in in steps:
        waiting = 0 if is_in else waiting + 1
        longest = max(longest, waiting)
    return longest * 10.0


@pytest.mark.parametrize(("count", "fit"), [(2, 1), (3, 1), (5, 2), (7, 3), (8, 3), (9, 8), (10, 1)])
def test_nobody_waits_longer_than_the_others_quanta(count: int, fit: int) -> None:
    history = rotate(count, fit, hours=8)
    bound = (ceil(count / fit) - 1) * QUANTUM_S
    assert max(longest_wait_s(steps) for steps in history.values()) <= bound
    assert all(sum(column) == fit for column in zip(*history.values(), strict=True)), "all the room is used, always"


def test_cars_that_come_later_wait_no_longer() -> None:
    arrivals = {3: 1000.0, 4: 1010.0, 5: 2500.0}
    history = rotate(6, 2, hours=6, arrivals=arrivals)
    assert max(longest_wait_s(steps) for steps in history.values()) <= 2 * QUANTUM_S


def test_a_car_is_not_let_in_and_out_more_than_twice_an_hour() -> None:
    for steps in rotate(5, 2, hours=8).values():
        starts = sum(not before and after for before, after in pairwise(steps))
        assert starts <= 8 * 2


def test_shares_of_time_are_even() -> None:
    used = [sum(steps) for steps in rotate(5, 2, hours=10).values()]
    assert max(used) - min(used) <= 2 * QUANTUM_S / 10


def test_what_is_received_is_booked_against_the_entitlement() -> None:
    one, two = cars(2)
    turns = {one: Turn(is_in=True, since=0.0), two: Turn(is_in=False, since=0.0)}
    booked = accrued(turns, [Received(one, 12.0, 1.0), Received(two, 0.0, 3.0)], 3600.0)
    assert (booked[one].deficit_ah, booked[two].deficit_ah) == (-9.0, 9.0)
    long = accrued(turns, [Received(one, 12.0, 1.0), Received(two, 0.0, 3.0)], 1e6)
    assert long[two].deficit_ah == MOST_DEFICIT_AH
    assert accrued(turns, [], 60.0) == turns


def test_the_order_of_turns() -> None:
    def order(turn: Turn, *, rank: int = 0, pinned: bool = False) -> tuple[float, ...]:
        return order_of(turn, now=5000.0, rank=rank, is_pinned=pinned, quantum_s=QUANTUM_S)

    in_order = [
        order(Turn(True, 0.0, -20.0), pinned=True),
        order(Turn(False, 4900.0), rank=1),
        order(Turn(True, 4500.0)),
        order(Turn(False, 1000.0)),
        order(Turn(False, 2000.0, 5.0)),
        order(Turn(False, 2001.0, 2.0)),
        order(Turn(True, 100.0, 3.0)),
        order(Turn(True, 0.0, -3.0)),
    ]
    assert in_order == sorted(in_order)
    assert moved(None, True, 7.0) == Turn(True, 7.0)
    assert moved(Turn(True, 1.0, 2.0), False, 7.0) == Turn(False, 7.0, 2.0)
    assert moved(Turn(True, 1.0, 2.0), True, 7.0) == Turn(True, 1.0, 2.0)


def test_needs_as_weights() -> None:
    assert weight_of(40.0, 1.0) == 40.0
    assert weight_of(40.0, -2.0) == weight_of(40.0, SOONEST_H), "past its time it leaves soon, not at once"
    assert weight_of(40.0, 2.0) > 2 * weight_of(40.0, 4.0), "who leaves sooner gets more than in proportion"
    assert weight_of(20.0, 2.0, 1.0) > weight_of(20.0, 2.0, 0.2) > weight_of(20.0, 2.0, 0.0) > 0.01
    assert weight_of(0.0, 4.0) == 0.5, "nobody starves"


def test_what_a_driver_says_is_weighed_against_how_long_cars_stay() -> None:
    assert 0.7 < believed_h(1.0, 0.0) < 1.1, "who says one hour is believed"
    assert 6.0 < believed_h(12.0, 0.0) < 10.0, "who says twelve is not"
    hours = [believed_h(4.0 - here / 4, here / 4) for here in range(97)]
    assert hours == sorted(hours, reverse=True), "the longer it is here, the sooner it leaves"
    assert 0.2 < hours[16] < 1.0, "at the end of what was said"
    assert 0.0 < hours[-1] < 0.2, "far beyond it"
    assert all(0.0 <= believed_h(left, here) < 12.0 for left in (-90.0, 0.0, 1e4) for here in (0.0, 3.0, 1e3))


def test_needs_as_urgency() -> None:
    assert urgency_of(24.0, 24.0, 1.0) > urgency_of(24.0, 24.0, 3.0), "the sooner it leaves"
    assert urgency_of(48.0, 48.0, 3.0) > urgency_of(24.0, 24.0, 3.0), "the more is to be done until then"
    assert urgency_of(24.0, 48.0, 3.0) < urgency_of(24.0, 24.0, 3.0), "the less it has had"
    assert urgency_of(24.0, 24.0, 3.0, 3) > urgency_of(24.0, 24.0, 3.0), "the same current does more for it"
    assert urgency_of(5.0, 0.0, 0.0) > urgency_of(5.0, 50.0, 0.0), "a wish that is not known counts as unmet"
    assert urgency_of(1.0, 9.0, 12.0, 1, waits_h=4.1) > urgency_of(90.0, 90.0, 0.0, 3), "who waited for very long"
