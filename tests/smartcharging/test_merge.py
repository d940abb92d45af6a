import random
from datetime import UTC, datetime

import pytest

from gateway.model.profile import (
    AskedSchedule,
    ChargingProfile,
    Kind,
    Period,
    Purpose,
    RateUnit,
    ReportedProfile,
)
from gateway.smartcharging import merge
from gateway.smartcharging.composite import Composite, Step, composite
from gateway.smartcharging.held import Supply
from gateway.smartcharging.merge import Slot, Writing
from gateway.smartcharging.profile_rules import EXTERNAL_IDS, Candidate, refuse
from tests.smartcharging.kit import LIMITS_21, NOW, RUNNING, after, held, place, profile, schedule

SUPPLY = Supply(3, 220.0, 240.0)
RATING_A = 32.0


def course(*steps: tuple[float, float | None], end: float = 1000, phases: int = 3) -> Composite:
    return Composite(tuple(Step(after(at), limit, phases) for at, limit in steps), after(end))


def told(applied: Composite, duration_s: int = 1000, unit: RateUnit | None = None) -> list[tuple[int, float | None]]:
    found = merge.tell(applied, AskedSchedule(1, duration_s, unit), SUPPLY, RATING_A)
    return [(period.start_s, period.limit) for period in found.periods]


def test_the_lower_of_what_is_allowed_and_what_is_planned_is_applied() -> None:
    allowed = course((0, None), (100, 10.0), (200, 30.0), end=900)
    plan = course((-50, 16.0), (150, 20.0), (300, 30.0))
    found = merge.clip(allowed, plan)
    assert [(step.at, step.limit_a) for step in found.steps] == [
        (NOW, 16.0),
        (after(100), 10.0),
        (after(200), 20.0),
        (after(300), 30.0),
    ]
    assert found.end == after(900)


def test_who_limits_and_on_which_phases_goes_along() -> None:
    allowed = Composite((Step(NOW, 10.0, 1, 2, "csms"), Step(after(5), 20.0, 3, None, "csms")), after(9))
    plan = Composite((Step(NOW, 16.0, 3, None, "main"),), after(9))
    assert merge.clip(allowed, plan).steps == (
        Step(NOW, 10.0, 1, 2, "csms"),
        Step(after(5), 16.0, 3, None, "main"),
    )
    assert merge.clip(course((0, None)), course((0, None))).steps == (Step(NOW, None, 3),)


def test_what_lies_beyond_the_shorter_one_is_left_out() -> None:
    short, long = course((0, 10.0), (50, 8.0), (60, 10.0), end=100), course((-20, 9.0), (100, 5.0))
    for found in (merge.clip(short, long), merge.clip(long, short)):
        assert [(step.at, step.limit_a) for step in found.steps] == [(NOW, 9.0), (after(50), 8.0), (after(60), 9.0)]
        assert found.end == after(100)
    both = merge.together((short, long), Supply())
    assert [(step.at, step.limit_a) for step in both.steps] == [(NOW, 19.0), (after(50), 17.0), (after(60), 19.0)]


@pytest.mark.parametrize(
    ("allowed_a", "share_a", "expected"),
    [(None, 16.0, 16.0), (10.0, 16.0, 10.0), (16.0, 10.0, 10.0), (5.9, 16.0, 0.0), (6.0, 16.0, 6.0), (0.0, 16.0, 0.0)],
)
def test_what_no_car_can_use_is_nothing(allowed_a: float | None, share_a: float, expected: float) -> None:
    assert merge.apply(Step(NOW, allowed_a, 3), share_a, 6.0) == expected


def test_a_composite_schedule_says_what_is_applied() -> None:
    applied = course((0, 16.04), (60, None), (120, 0.0))
    assert told(applied) == [(0, 16.0), (60, RATING_A), (120, 0.0)]
    assert told(applied, unit=RateUnit.W) == [(0, 11548.8), (60, 23040.0), (120, 0.0)]
    assert told(applied, 100) == [(0, 16.0), (60, RATING_A)]
    found = merge.tell(applied, AskedSchedule(1, 10**9), SUPPLY, RATING_A)
    assert (found.start, found.duration_s, found.unit, found.evse) == (NOW, 1000, RateUnit.A, 1)
    assert merge.tell(applied, AskedSchedule(1, 0), SUPPLY, RATING_A).duration_s == 1


def test_a_second_counts_with_its_lowest_limit() -> None:
    assert told(course((0, 16.0), (10.5, 8.0), (20.5, 12.0))) == [(0, 16.0), (10, 8.0), (21, 12.0)]
    assert told(course((0, 10.0), (0.2, 2.0), (0.4, 8.0), (0.6, 5.0), (0.8, 9.0))) == [(0, 2.0), (1, 9.0)]
    assert told(course((0.5, 10.0), (1.25, 6.0))) == [(0, 10.0), (1, 6.0)]
    assert told(course((0, 10.0), (5, 10.0), (9.5, 40.0))) == [(0, 10.0), (10, RATING_A)]


def test_the_phase_is_told_only_where_there_is_one() -> None:
    applied = Composite((Step(NOW, 10.0, 1, 2), Step(after(5), 20.0, 3, 2)), after(9))
    found = merge.tell(applied, AskedSchedule(1, 9), SUPPLY, RATING_A)
    assert found.periods == (Period(0, 10.0, 1, 2), Period(5, 20.0, 3))


def test_watts_told_of_watts_asked_are_never_more(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(500):
        watts, supply = (
            rng.randrange(0, 44_000) / 2,
            Supply(rng.choice((1, 2, 3)), 220.0, rng.randrange(2200, 2500) / 10),
        )
        one = held(profile(Purpose.TX, schedules=(schedule(watts, unit=RateUnit.W),)))
        found = composite([one], place(supply=supply), NOW, 60)
        (period,) = merge.tell(found, AskedSchedule(1, 60, RateUnit.W), supply, 1000.0).periods
        assert period.limit is not None
        assert watts - 0.1 * supply.high_v * supply.phases - 0.1 <= period.limit <= watts


def test_the_station_takes_what_its_connectors_take() -> None:
    parts = (course((0, 16.0), (60, 6.0)), course((0, 30.0), end=100, phases=1))
    found = merge.together(parts, Supply())
    assert [(step.at, step.limit_a) for step in found.steps] == [(NOW, 26.0), (after(60), 16.0)]
    assert found.end == after(100)
    assert merge.together((*parts, course((0, None))), Supply()).now.limit_a is None


def lease(writing: Writing, now_s: float = 0.0) -> ChargingProfile:
    return merge.lease(
        1, "55", RUNNING.started, value_a=13.25, fallback_a=6.0, lasts_s=300, now=after(now_s), supply=SUPPLY,
        writing=writing,
    )  # fmt: skip


def test_a_lease_is_the_value_and_then_the_fallback() -> None:
    found = lease(Writing(), 0.75)
    (one,) = found.schedules
    assert one.periods == (Period(0, 13.2, 3), Period(300, 6.0, 3))
    assert (one.start, one.duration_s, one.unit) == (NOW, None, RateUnit.A)
    assert (found.purpose, found.kind, found.stack_level, found.transaction) == (Purpose.TX, Kind.ABSOLUTE, 0, "55")


def test_a_lease_in_the_stations_own_words() -> None:
    watts = lease(Writing(RateUnit.W, names_phases=False, stack_level=2))
    assert watts.schedules[0].periods == (Period(0, 8745.0), Period(300, 3960.0))  # the lowest voltage: never more A
    assert watts.stack_level == 2
    relative = lease(Writing(kind=Kind.RELATIVE), 30.9)
    assert relative.schedules[0].start is None
    assert relative.schedules[0].periods[1].start_s == 600 + 30 + 300
    assert lease(Writing(max_periods=1)).schedules[0].periods == (Period(0, 13.2, 3),)


@pytest.mark.parametrize("kind", [Kind.ABSOLUTE, Kind.RELATIVE])
def test_a_station_obeys_the_lease_and_then_the_fallback(kind: Kind) -> None:
    default = held(merge.fallback(1, 8.0, SUPPLY, Writing(kind=kind)))
    mine = held(lease(Writing(kind=kind)))
    station_max = held(merge.rating(32.0, SUPPLY, Writing(kind=kind)), 0)
    every = [default, mine, station_max]
    found = composite(every, place(), NOW, 3600)
    assert [(step.at, step.limit_a) for step in found.steps] == [(NOW, 13.2), (after(300), 6.0)]
    assert composite([default, station_max], place(running=None), NOW, 3600).now.limit_a == 8.0
    assert composite([station_max], place(), NOW, 3600).now.limit_a == 32.0


def test_the_gateways_profiles_have_ids_of_their_own() -> None:
    ids = {merge.own_id(slot, evse) for slot in Slot for evse in range(500)}
    assert len(ids) == 1500
    assert all(0 < one < 2**31 for one in ids)
    found = [ReportedProfile(0, "CSO", one) for one in (merge.own_id(Slot.LEASE, 3), 5, -1)]
    assert [one.id for one in merge.foreign(found)] == [5, -1]
    for beyond in (-1, 10**6):
        with pytest.raises(ValueError, match="no profile id"):
            merge.own_id(Slot.RATING, beyond)


def test_the_limit_that_the_csms_is_told_of_has_a_reserved_id() -> None:
    told_of = merge.tell(course((0, 16.0)), AskedSchedule(2, 600), SUPPLY, RATING_A)
    found = merge.external(2, told_of, NOW, "SO")
    assert found.profile.purpose is Purpose.EXTERNAL
    assert found.profile.id in EXTERNAL_IDS
    assert (found.evse, found.source, found.profile.stack_level) == (2, "SO", 0)
    ids = {merge.external_id(evse) for evse in range(500)}
    assert len(ids) == 500
    assert ids <= set(EXTERNAL_IDS)
    assert composite([found], place(2), NOW, 60).now.limit_a == 16.0


def test_the_gateways_own_profiles_are_sound() -> None:
    for kind in (Kind.ABSOLUTE, Kind.RELATIVE):
        writing = Writing(kind=kind)
        own = [
            (1, merge.fallback(1, 6.0, SUPPLY, writing)),
            (1, lease(writing)),
            (0, merge.rating(9.0, SUPPLY, writing)),
        ]
        for evse, one in own:
            assert refuse(Candidate(evse, one, RUNNING), [], LIMITS_21) is None


def test_a_fallback_holds_for_a_station_that_has_lost_the_time() -> None:
    """One that wakes up after a power cut where MicroOcpp begins, which takes nothing earlier for a start."""
    schedules = (*merge.fallback(1, 6.0, SUPPLY, Writing()).schedules, *merge.rating(32.0, SUPPLY, Writing()).schedules)
    assert {one.start for one in schedules} == {datetime(2010, 1, 1, 0, 0, 1, tzinfo=UTC)}
