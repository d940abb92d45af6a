from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.model.ids import TransactionKey
from gateway.model.profile import Kind, Period, Purpose, RateUnit, Recurrency
from gateway.smartcharging.composite import LONGEST_S, Composite, Step, composite
from gateway.smartcharging.held import Held, Place, Running, Supply
from tests.smartcharging.kit import NOW, RUNNING, after, held, place, profile, schedule

DAY = 86_400
MAX, EXTERNAL, TX, TX_DEFAULT = Purpose.STATION_MAX, Purpose.EXTERNAL, Purpose.TX, Purpose.TX_DEFAULT


def steps(profiles: list[Held], where: Place | None = None, horizon_s: int = 3600) -> list[tuple[float, Any]]:
    """Seconds from now and limit of each step."""
    found = composite(profiles, where or place(), NOW, horizon_s)
    return [((step.at - NOW).total_seconds(), step.limit_a) for step in found.steps]


def limit(*profiles: Held, **more: Any) -> float | None:
    return composite(profiles, place(**more), NOW, 3600).now.limit_a


def test_nothing_is_limited_where_nobody_says_so() -> None:
    found = composite([], place(), NOW, 600)
    assert found == Composite((Step(NOW, None, 3),), after(600))
    assert found.next_change is None
    assert found.look_again == after(600)


@pytest.mark.parametrize(
    ("profiles", "expected"),
    [
        ([held(profile(TX_DEFAULT, 16.0))], 16.0),
        ([held(profile(TX_DEFAULT, 16.0), 0)], 16.0),
        ([held(profile(TX_DEFAULT, 16.0), 2)], None),
        # The transaction's own goes before the default, also upwards.
        ([held(profile(TX_DEFAULT, 10.0)), held(profile(TX, 32.0))], 32.0),
        ([held(profile(TX_DEFAULT, 10.0)), held(profile(TX, 32.0), transaction=TransactionKey(8))], 10.0),
        ([held(profile(TX_DEFAULT, 10.0)), held(profile(TX, 32.0), 2)], 10.0),
        # Maxima hold beside them.
        ([held(profile(TX, 32.0)), held(profile(MAX, 20.0), 0)], 20.0),
        ([held(profile(TX, 32.0)), held(profile(EXTERNAL, 21.0), 0), held(profile(EXTERNAL, 19.0), 1)], 19.0),
        ([held(profile(TX, 0.0)), held(profile(MAX, 20.0), 0)], 0.0),
        # The highest stack level counts, not the lowest limit.
        ([held(profile(TX, 32.0, level=2, id=1)), held(profile(TX, 6.0, level=1, id=2))], 32.0),
        ([held(profile(MAX, 32.0, level=2, id=1), 0), held(profile(MAX, 6.0, level=1, id=2), 0)], 32.0),
        # A connector's own default replaces the station's of that level, and of no other.
        ([held(profile(TX_DEFAULT, 10.0, level=1), 0), held(profile(TX_DEFAULT, 16.0, level=1))], 16.0),
        ([held(profile(TX_DEFAULT, 10.0, level=2), 0), held(profile(TX_DEFAULT, 16.0, level=1))], 10.0),
        (
            [
                held(profile(TX_DEFAULT, 10.0, level=1), 0),
                held(profile(TX_DEFAULT, 16.0, level=1, valid_from=after(9))),
            ],
            None,
        ),
        # What came first makes no difference.
        ([held(profile(MAX, 20.0), 0), held(profile(TX, 32.0))], 20.0),
    ],
)
def test_purposes_and_levels(profiles: list[Held], expected: float | None) -> None:
    assert limit(*profiles) == expected
    assert limit(*reversed(profiles)) == expected


def test_a_gap_is_filled_by_the_next_level_or_is_no_limit() -> None:
    top = held(profile(TX, schedules=(schedule(6.0, duration_s=700),), level=2, id=1))
    low = held(profile(TX, schedules=(schedule(10.0, duration_s=900),), level=1, id=2))
    default = held(profile(TX_DEFAULT, 13.0, id=3))
    assert steps([top, low]) == [(0, 6.0), (100, 10.0), (300, None)]
    assert steps([top, low, default]) == [(0, 6.0), (100, 10.0), (300, 13.0)]


def test_validity_begins_and_ends_to_the_second() -> None:
    one = held(profile(TX_DEFAULT, 8.0, valid_from=after(10.5), valid_to=after(20)))
    found = composite([one], place(), NOW, 60)
    assert [step.at for step in found.steps] == [NOW, after(10.5), after(20)]
    assert [found.at(after(at)).limit_a for at in (10.499, 10.5, 19.999, 20)] == [None, 8.0, 8.0, None]
    assert found.next_change == found.look_again == after(10.5)
    for outside in (after(-1), after(60)):
        with pytest.raises(ValueError, match="not covered"):
            found.at(outside)


def test_relative_begins_with_the_transaction_or_now_or_when_it_came() -> None:
    two = (schedule(10.0, (900, 6.0)),)
    default = held(profile(TX_DEFAULT, schedules=two))
    assert steps([default]) == [(0, 10.0), (300, 6.0)]  # the transaction is 600 s old
    assert steps([default], place(running=None)) == [(0, 10.0), (900, 6.0)]
    station = held(profile(MAX, schedules=two), 0, received=after(-100))
    assert steps([station]) == [(0, 10.0), (800, 6.0)]
    assert steps([station], place(0)) == [(0, 10.0), (800, 6.0)]
    without_start = held(profile(TX_DEFAULT, schedules=two, kind=Kind.ABSOLUTE))
    assert steps([without_start]) == [(0, 10.0), (300, 6.0)]


def test_absolute_holds_from_its_start_for_its_duration() -> None:
    one = schedule(10.0, (60, 6.0), start=after(100), duration_s=90)
    assert steps([held(profile(TX, schedules=(one,), kind=Kind.ABSOLUTE))]) == [
        (0, None),
        (100, 10.0),
        (160, 6.0),
        (190, None),
    ]
    past = schedule(10.0, start=after(-DAY * 400))
    assert steps([held(profile(TX, schedules=(past,), kind=Kind.ABSOLUTE))]) == [(0, 10.0)]


TWICE = [(0, None), (50, 10.0), (150, None), (DAY + 50, 10.0), (DAY + 150, None)]


@pytest.mark.parametrize(
    ("recurrency", "start", "duration_s", "expected"),
    [
        (Recurrency.DAILY, after(-3 * DAY + 50), 100, TWICE),
        (Recurrency.DAILY, after(-DAY + 50), None, [(0, 10.0)]),
        (Recurrency.WEEKLY, after(-7 * DAY - 10), 60, [(0, 10.0), (50, None)]),
        (Recurrency.DAILY, after(50), 100, TWICE),  # it has not begun yet
        (Recurrency.DAILY, after(50), None, [(0, None), (50, 10.0)]),
        (Recurrency.WEEKLY, after(-8 * DAY), 3 * DAY, [(0, 10.0)]),
    ],
)
def test_recurring(recurrency: Recurrency, start: datetime, duration_s: int | None, expected: list[Any]) -> None:
    one = schedule(10.0, start=start, duration_s=duration_s)
    recurring = held(profile(TX, schedules=(one,), kind=Kind.RECURRING, recurrency=recurrency))
    assert steps([recurring], horizon_s=2 * DAY) == expected


def test_only_a_recurring_profile_recurs() -> None:
    one = schedule(10.0, start=after(-DAY), duration_s=60)
    absolute = held(profile(TX, schedules=(one,), kind=Kind.ABSOLUTE, recurrency=Recurrency.DAILY))
    assert steps([absolute]) == [(0, None)]


def test_what_is_longer_than_its_recurrence_is_not_executed() -> None:
    one = schedule(10.0, (DAY - 60, 6.0), (DAY + 60, 99.0), start=after(-DAY), duration_s=3 * DAY)
    recurring = held(profile(TX, schedules=(one,), kind=Kind.RECURRING, recurrency=Recurrency.DAILY))
    assert steps([recurring], horizon_s=DAY + 10) == [(0, 10.0), (DAY - 60, 6.0), (DAY, 10.0)]


def test_a_day_has_24_hours_in_the_nights_of_clock_changes() -> None:
    for night in (datetime(2026, 3, 28, 20, tzinfo=UTC), datetime(2026, 10, 24, 20, tzinfo=UTC)):
        one = schedule(10.0, start=night - timedelta(days=30, hours=-3), duration_s=3600)
        recurring = held(profile(MAX, schedules=(one,), kind=Kind.RECURRING, recurrency=Recurrency.DAILY), 0)
        found = composite([recurring], place(0), night, DAY + 6 * 3600)
        assert [(step.at - night) // timedelta(hours=1) for step in found.steps] == [0, 3, 4, 27, 28]


@pytest.mark.parametrize(
    ("supply", "period", "expected"),
    [
        (Supply(3, 230.0, 230.0), Period(0, 11_040.0), (16.0, 3)),
        (Supply(3, 225.0, 241.0), Period(0, 11_040.0), (15.2, 3)),  # 15.27 A, rounded down
        (Supply(1, 230.0, 230.0), Period(0, 3680.0), (16.0, 1)),
        (Supply(3, 230.0, 230.0), Period(0, 3680.0, 1), (16.0, 1)),
        (Supply(2, 230.0, 230.0), Period(0, 4600.0, 3), (10.0, 2)),
        (Supply(3, 230.0, 230.0), Period(0, 3680.0, limit_l2=2300.0, limit_l3=4600.0), (10.0, 3)),
        (Supply(3, 230.0, 230.0), Period(0, 0.0), (0.0, 3)),
        (Supply(3, 230.0, 230.0), Period(0, None, mode="Idle"), (0.0, 3)),
        (Supply(3, 230.0, 230.0), Period(0, None, mode="LocalLoadBalancing"), (None, 3)),
    ],
)
def test_watts_become_amps_of_the_phases_in_use(
    supply: Supply, period: Period, expected: tuple[float | None, int]
) -> None:
    one = held(profile(TX, schedules=(schedule(period, unit=RateUnit.W),)))
    now = composite([one], place(supply=supply), NOW, 60).now
    assert (now.limit_a, now.phases) == expected


def test_of_limits_per_phase_the_lowest_counts() -> None:
    assert limit(held(profile(TX, Period(0, 9.0, limit_l2=8.0, limit_l3=7.5)))) == 7.5


def test_the_lowest_number_of_phases_counts_for_all() -> None:
    station = held(profile(MAX, Period(0, 40.0, 1, 2), id=1), 0)
    own = held(profile(TX, schedules=(schedule(6900.0, unit=RateUnit.W),), id=2))
    assert composite([station, own], place(), NOW, 60).now == Step(NOW, 30.0, 1, 2, own.key)


def test_local_generation_comes_on_top_of_the_composite() -> None:
    kilowatts = [schedule(kw * 1000.0, unit=RateUnit.W) for kw in (5, 2)]
    default = held(profile(TX_DEFAULT, schedules=(kilowatts[0],), id=1), 0)
    sun = held(profile(Purpose.LOCAL_GENERATION, schedules=(kilowatts[1],), id=2), 0)
    one_phase = Supply(1, 100.0, 100.0)
    assert limit(default, sun, supply=one_phase) == 70.0  # 5 kW and 2 kW are 7 kW
    assert limit(default, sun, held(profile(MAX, 30.0, id=3), 0), supply=one_phase) == 50.0  # added after the minimum
    own_sun = replace(sun, evse=1, key="own")
    assert limit(default, sun, own_sun, supply=one_phase) == 90.0
    assert limit(sun, supply=one_phase) is None
    assert limit(held(profile(MAX, 10.1, id=3), 0), held(profile(Purpose.LOCAL_GENERATION, 5.2), 0), evse=0) == 15.3


def test_priority_goes_before_the_transactions_own_but_not_before_maxima() -> None:
    priority = held(profile(Purpose.PRIORITY, 32.0, id=1), 0)
    own, station = held(profile(TX, 8.0, id=2)), held(profile(MAX, 20.0, id=3), 0)
    assert limit(priority, own) == 8.0
    assert limit(priority, own, has_priority=True) == 32.0
    assert limit(priority, own, has_priority=True, running=None) is None
    assert limit(priority, own, station, has_priority=True) == 20.0
    future = held(profile(Purpose.PRIORITY, 32.0, id=1, valid_from=after(60)), 0)
    assert steps([future, own], place(has_priority=True)) == [(0, 8.0), (60, 32.0)]
    own_priority = held(profile(Purpose.PRIORITY, 25.0, id=4))
    assert limit(priority, own_priority, has_priority=True) == 25.0


def test_a_profile_may_hold_for_so_long_without_the_csms_only() -> None:
    one = held(profile(TX, 8.0, max_offline_s=100))
    assert steps([one]) == [(0, 8.0)]
    assert steps([one], place(offline_since=after(-40))) == [(0, 8.0), (60, None)]
    assert steps([one], place(offline_since=after(-100))) == [(0, None)]
    at_once = held(profile(TX, 8.0, max_offline_s=0))
    assert steps([at_once], place(offline_since=NOW)) == [(0, None)]


def test_a_dynamic_profile_ends_if_it_is_not_updated() -> None:
    one = profile(TX, schedules=(schedule(8.0, duration_s=100),), kind=Kind.DYNAMIC, updated=after(-30))
    assert steps([held(one)]) == [(0, 8.0), (70, None)]
    assert steps([held(replace(one, updated=None), received=after(-90))]) == [(0, 8.0), (10, None)]


def test_of_several_schedules_the_lowest_counts() -> None:
    three = (schedule(16.0, (900, 5.0)), schedule(10.0, duration_s=700), schedule(4600.0, unit=RateUnit.W))
    one = held(profile(TX, schedules=three))
    assert steps([one], place(supply=Supply(1))) == [(0, 10.0), (100, 16.0), (300, 5.0)]


def test_the_station_as_a_whole_knows_its_own_limits_only() -> None:
    profiles = [
        held(profile(TX_DEFAULT, 6.0, id=1), 0),
        held(profile(TX, 6.0, id=2)),
        held(profile(MAX, 80.0, id=3), 0),
    ]
    assert limit(*profiles, evse=0) == 80.0


def test_each_step_names_the_profile_behind_it() -> None:
    station, own = held(profile(MAX, 20.0, (900, 4.0)), 0, received=after(-600)), held(profile(TX, 8.0))
    found = composite([station, own], place(), NOW, 3600)
    assert [(step.limit_a, step.by) for step in found.steps] == [(8.0, own.key), (4.0, station.key)]


def test_a_step_is_only_made_where_something_changes() -> None:
    one = held(profile(TX_DEFAULT, schedules=(schedule(16.0, (700, 16.0), (800, 16.0), (900, 8.0)),)))
    assert steps([one]) == [(0, 16.0), (300, 8.0)]


def test_a_step_is_made_where_only_the_phases_change() -> None:
    periods = (Period(0, 16.0), Period(700, 16.0, 1), Period(800, 16.0, 1, 2), Period(900, 16.0))
    found = composite([held(profile(TX_DEFAULT, schedules=(schedule(*periods),)))], place(), NOW, 3600)
    assert [(step.phases, step.phase_to_use) for step in found.steps] == [(3, None), (1, None), (1, 2), (3, None)]


def test_the_horizon_has_a_bound() -> None:
    assert composite([], place(), NOW, 10**9).end == after(LONGEST_S)
    assert composite([], place(), NOW, -5).end == after(1)


def test_a_transaction_from_the_far_past_is_fine() -> None:
    old = Running(RUNNING.transaction, datetime(1970, 1, 1, tzinfo=UTC))
    assert steps([held(profile(TX, 10.0, (900, 6.0)))], place(running=old)) == [(0, 6.0)]


def test_watts_for_one_phase_are_shared_by_all_where_nothing_can_switch() -> None:
    one = Period(0, 4600.0, phases=1)
    told = held(profile(TX, schedules=(replace(schedule(0.0, unit=RateUnit.W), periods=(one,)),)))
    for can_switch, expected in ((True, (20.0, 1)), (False, (6.6, 3))):
        found = composite([told], replace(place(), supply=Supply(3, can_switch=can_switch)), NOW, 600).now
        assert (found.limit_a, found.phases) == expected
