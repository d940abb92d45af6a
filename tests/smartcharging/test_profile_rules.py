from dataclasses import replace
from typing import Any

import pytest

from gateway.model.profile import AskedSchedule, ChargingProfile, Kind, Period, Purpose, RateUnit, Recurrency, Refused
from gateway.smartcharging.held import Held
from gateway.smartcharging.profile_rules import Candidate, Limits, phases_conflict, refuse, refuse_schedule
from tests.smartcharging.kit import LIMITS_16, LIMITS_21, RUNNING, after, held, profile, schedule

MAX, TX, TX_DEFAULT, PRIORITY = Purpose.STATION_MAX, Purpose.TX, Purpose.TX_DEFAULT, Purpose.PRIORITY
BOTH = (LIMITS_16, LIMITS_21)
NEWER = (LIMITS_21,)
OLDER = (LIMITS_16,)


def tx(*limits: Any, **more: Any) -> ChargingProfile:
    return profile(TX, *limits, transaction=more.pop("transaction", "55"), **more)


def wide(*periods: Any, **more: Any) -> ChargingProfile:
    return tx(schedules=(schedule(*periods, **more),))


def absolute(start: Any = None, **more: Any) -> ChargingProfile:
    return tx(kind=Kind.ABSOLUTE, schedules=(schedule(6.0, start=start),), **more)


SOUND: list[tuple[tuple[Limits, ...], int, ChargingProfile]] = [
    (BOTH, 1, tx()),
    (BOTH, 2, profile(TX_DEFAULT)),
    (BOTH, 0, profile(TX_DEFAULT, 0.0, level=3)),
    (BOTH, 0, profile(MAX, kind=Kind.ABSOLUTE, schedules=(schedule(6.0, start=after(-9)),))),
    (OLDER, 0, profile(MAX)),
    (OLDER, 1, absolute(None)),
    (OLDER, 1, tx(transaction=None)),
    (OLDER, 1, tx(schedules=(schedule(6.0, start=after(1)),))),
    (BOTH, 1, tx(kind=Kind.RECURRING, recurrency=Recurrency.DAILY, schedules=(schedule(6.0, start=after(-9)),))),
    (NEWER, 1, tx(schedules=(schedule(6.0), schedule(8.0), schedule(9.0)))),
    (NEWER, 1, wide(Period(0, 6.0, 1, 2))),
    (NEWER, 1, wide(Period(0, 6.0, limit_l2=7.0, limit_l3=8.0))),
    (NEWER, 1, wide(Period(0, None, mode="Idle"))),
    (NEWER, 1, tx(kind=Kind.DYNAMIC, updated=after(0), update_interval_s=60)),
    (NEWER, 1, tx(max_offline_s=0)),
    (NEWER, 0, profile(PRIORITY)),
    (NEWER, 1, profile(Purpose.LOCAL_GENERATION)),
    (BOTH, 1, wide((0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0))),
]


@pytest.mark.parametrize(("limits", "evse", "one"), SOUND)
def test_what_is_sound_is_taken_in(limits: tuple[Limits, ...], evse: int, one: ChargingProfile) -> None:
    for each in limits:
        assert refuse(Candidate(evse, one, RUNNING), [], each) is None


REFUSED: list[tuple[tuple[Limits, ...], int, ChargingProfile, Refused, str]] = [
    (BOTH, 0, profile(Purpose.EXTERNAL), Refused.PROFILE, "chargingProfilePurpose"),
    (OLDER, 0, profile(PRIORITY), Refused.PROFILE, "chargingProfilePurpose"),
    (BOTH, 3, profile(TX_DEFAULT), Refused.EVSE, "no EVSE 3"),
    (BOTH, -1, profile(TX_DEFAULT), Refused.EVSE, "no EVSE -1"),
    (BOTH, 1, profile(MAX), Refused.PROFILE, "station (0)"),
    (BOTH, 0, tx(), Refused.PROFILE, "other than 0"),
    (BOTH, 1, tx(level=4), Refused.STACK_LEVEL, "stackLevel 4"),
    (BOTH, 1, tx(level=-1), Refused.STACK_LEVEL, "stackLevel -1"),
    (NEWER, 1, tx(id=-5), Refused.PROFILE_ID, "id -5"),
    (BOTH, 1, tx(valid_from=after(5), valid_to=after(5)), Refused.PROFILE, "validTo"),
    (OLDER, 1, tx(schedules=(schedule(6.0),) * 2), Refused.SCHEDULE, "chargingSchedule: 2"),
    (NEWER, 1, tx(schedules=(schedule(6.0),) * 4), Refused.SCHEDULE, "chargingSchedule: 4"),
    (NEWER, 1, tx(max_offline_s=-1), Refused.PROFILE, "maxOfflineDuration"),
    (OLDER, 1, tx(kind=Kind.DYNAMIC), Refused.PROFILE, "chargingProfileKind Dynamic"),
    (BOTH, 1, tx(kind=Kind.RECURRING), Refused.PROFILE, "recurrencyKind"),
    (NEWER, 1, tx(kind=Kind.DYNAMIC, schedules=(schedule(6.0, (9, 7.0)),)), Refused.SCHEDULE, "one period"),
    (NEWER, 1, tx(kind=Kind.DYNAMIC, schedules=(schedule(6.0),) * 2), Refused.SCHEDULE, "one schedule"),
    (NEWER, 0, profile(MAX), Refused.PROFILE, "Relative does not go"),
    (NEWER, 1, absolute(None), Refused.SCHEDULE, "startSchedule is missing"),
    (NEWER, 1, tx(schedules=(schedule(6.0, start=after(1)),)), Refused.SCHEDULE, "startSchedule does not go"),
    (NEWER, 1, tx(update_interval_s=5), Refused.PROFILE, "dynUpdateInterval"),
    (NEWER, 1, tx(updated=after(5)), Refused.PROFILE, "dynUpdateTime"),
    (BOTH, 1, wide(*((at, 6.0) for at in range(5))), Refused.TOO_MANY, "chargingSchedulePeriod: 5, 4 allowed"),
    (BOTH, 1, tx(schedules=(schedule(),)), Refused.TOO_MANY, "chargingSchedulePeriod: 0"),
    (BOTH, 1, wide((1, 6.0)), Refused.SCHEDULE, "chargingSchedulePeriod[0].startPeriod is 1"),
    (BOTH, 1, wide((0, 6.0), (60, 7.0), (60, 8.0)), Refused.SCHEDULE, "startPeriod does not rise"),
    (BOTH, 1, wide(6.0, duration_s=0), Refused.SCHEDULE, "duration is 0"),
    (NEWER, 0, profile(PRIORITY, schedules=(schedule(6.0, duration_s=60),)), Refused.SCHEDULE, "duration"),
    (BOTH, 1, wide(6.0, needs=("limitAtSoC",)), Refused.UNSUPPORTED, "limitAtSoC"),
    (NEWER, 1, wide(Period(0, 6.0, mode="CentralSetpoint")), Refused.OPERATION_MODE, "operationMode CentralSetpoint"),
    (NEWER, 0, profile(PRIORITY, Period(0, 6.0, mode="Idle")), Refused.OPERATION_MODE, "[0].operationMode"),
    (NEWER, 1, wide(6.0, Period(9, None)), Refused.SCHEDULE, "chargingSchedulePeriod[1].limit is missing"),
    (NEWER, 1, wide(Period(0, None, limit_l2=5.0)), Refused.PHASE_CONFLICT, "limit_L2"),
    (NEWER, 1, profile(TX_DEFAULT, Period(0, 6.0, limit_l3=5.0)), Refused.PHASE_CONFLICT, "limit_L3"),
    (BOTH, 1, wide(-0.1), Refused.SCHEDULE, "limit is negative"),
    (NEWER, 1, wide(Period(0, 6.0, limit_l2=-1.0)), Refused.SCHEDULE, "limit is negative"),
    (BOTH, 1, wide(Period(0, 6.0, 0)), Refused.SCHEDULE, "numberPhases is 0"),
    (NEWER, 1, wide(Period(0, 6.0, 3, 1)), Refused.SCHEDULE, "phaseToUse 1"),
    (NEWER, 1, wide(Period(0, 6.0, 1, 4)), Refused.SCHEDULE, "phaseToUse 4"),
    (OLDER, 1, wide(Period(0, 6.0, 1, 1)), Refused.SCHEDULE, "phaseToUse is not supported"),
    (NEWER, 1, tx(transaction=None), Refused.TRANSACTION, "transactionId is missing"),
    (BOTH, 1, tx(transaction="56"), Refused.TRANSACTION, "transactionId 56"),
]  # fmt: skip


@pytest.mark.parametrize(("limits", "evse", "one", "reason", "said"), REFUSED)
def test_what_is_not_is_refused_and_the_member_named(
    limits: tuple[Limits, ...], evse: int, one: ChargingProfile, reason: Refused, said: str
) -> None:
    for each in limits:
        refusal = refuse(Candidate(evse, one, RUNNING), [], each)
        assert refusal is not None
        assert (refusal.reason, said in refusal.what) == (reason, True), refusal


def test_other_limits_of_a_station() -> None:
    only_amps = replace(LIMITS_16, units=frozenset((RateUnit.A,)))
    refusal = refuse(Candidate(1, wide(6.0, unit=RateUnit.W), RUNNING), [], only_amps)
    assert refusal is not None
    assert refusal.reason is Refused.RATE_UNIT
    refusal = refuse(Candidate(1, tx(), RUNNING), [], replace(LIMITS_16, is_supported=False))
    assert refusal is not None
    assert refusal.reason is Refused.NO_SMART_CHARGING


def test_which_composite_schedules_can_be_asked_for() -> None:
    only_amps = replace(LIMITS_16, units=frozenset((RateUnit.A,)))
    for asked, limits, reason in (
        (AskedSchedule(0, 60), LIMITS_16, None),
        (AskedSchedule(2, 60, RateUnit.W), LIMITS_21, None),
        (AskedSchedule(3, 60), LIMITS_16, Refused.EVSE),
        (AskedSchedule(1, 60, RateUnit.W), only_amps, Refused.RATE_UNIT),
        (AskedSchedule(1, 60), replace(LIMITS_16, is_supported=False), Refused.NO_SMART_CHARGING),
    ):
        refusal = refuse_schedule(asked, limits)
        assert (refusal and refusal.reason) == reason


def test_a_transaction_has_to_run() -> None:
    for limits in BOTH:
        refusal = refuse(Candidate(1, tx()), [], limits)
        assert refusal is not None
        assert refusal.reason is Refused.TRANSACTION
        assert refuse(Candidate(1, tx(), is_remote_start=True), [], limits) is None
        assert refuse(Candidate(0, tx(), is_remote_start=True), [], limits) is None  # the station chooses
        refusal = refuse(Candidate(1, profile(TX_DEFAULT), is_remote_start=True), [], limits)
        assert refusal is not None
        assert refusal.reason is Refused.PROFILE


@pytest.mark.parametrize(
    ("evse", "one", "beside", "is_refused"),
    [
        (1, tx(id=2), held(tx(id=3)), True),
        (1, tx(id=2, level=1), held(tx(id=3)), False),
        (1, tx(id=2), held(profile(TX_DEFAULT, id=3)), False),
        (1, tx(id=2), held(tx(id=3), transaction=None), False),
        (1, profile(TX_DEFAULT, id=2), held(profile(TX_DEFAULT, id=3)), True),
        (1, profile(TX_DEFAULT, id=2), held(profile(TX_DEFAULT, id=3), 2), False),
        (1, profile(TX_DEFAULT, id=2), held(profile(TX_DEFAULT, id=3), 0), True),
        (0, profile(TX_DEFAULT, id=2), held(profile(TX_DEFAULT, id=3), 2), True),
        (1, profile(TX_DEFAULT, id=2, valid_to=after(5)), held(profile(TX_DEFAULT, id=3, valid_from=after(5))), False),
        (1, profile(TX_DEFAULT, id=2, valid_to=after(6)), held(profile(TX_DEFAULT, id=3, valid_from=after(5))), True),
        (1, profile(TX_DEFAULT, id=2, valid_from=after(5)), held(profile(TX_DEFAULT, id=3, valid_to=after(5))), False),
        (0, profile(PRIORITY, id=2), held(profile(PRIORITY, id=3), 1), False),
    ],
)
def test_two_that_could_both_prevail_do_not_go_together(
    evse: int, one: ChargingProfile, beside: Held, is_refused: bool
) -> None:
    refusal = refuse(Candidate(evse, one, RUNNING), [beside], LIMITS_21)
    assert (refusal is not None) is is_refused
    if refusal:
        assert refusal.reason is Refused.DUPLICATE
        assert "profile 3" in refusal.what
    if one.purpose in LIMITS_16.purposes:  # in 1.6 the newer one takes the older one's place
        assert refuse(Candidate(evse, one, RUNNING), [beside], LIMITS_16) is None


def test_a_station_holds_so_many_and_no_more() -> None:
    others = [held(profile(TX_DEFAULT, id=one, level=0), key=str(one)) for one in range(5)]
    refusal = refuse(Candidate(1, tx(), RUNNING), others, LIMITS_16)
    assert refusal is not None
    assert refusal.reason is Refused.TOO_MANY
    assert refuse(Candidate(1, tx(), RUNNING), others[1:], LIMITS_16) is None


def on_phase(phase: int | None, purpose: Purpose = TX, **more: Any) -> ChargingProfile:
    return profile(purpose, Period(0, 6.0, 1, phase), **more)


@pytest.mark.parametrize(
    ("one", "beside", "is_conflict"),
    [
        (on_phase(3), held(on_phase(1, MAX), 0), True),
        (on_phase(1), held(on_phase(1, MAX), 0), False),
        (on_phase(None), held(on_phase(1, MAX), 0), False),
        (on_phase(3), held(on_phase(1, TX_DEFAULT)), False),  # one of them counts, never both
        (on_phase(3, TX_DEFAULT, level=1), held(on_phase(1, TX_DEFAULT), 0), False),
        (on_phase(3), held(on_phase(1, Purpose.EXTERNAL), 1), True),
        (on_phase(3), held(on_phase(1, Purpose.EXTERNAL), 2), False),
        (on_phase(3, Purpose.LOCAL_GENERATION), held(on_phase(1, Purpose.LOCAL_GENERATION), 0), True),
        (on_phase(3, Purpose.LOCAL_GENERATION), held(on_phase(1, Purpose.LOCAL_GENERATION), 1), False),
        (on_phase(3, valid_to=after(9)), held(on_phase(1, MAX, valid_from=after(9)), 0), False),
        (on_phase(3, valid_to=after(10)), held(on_phase(1, MAX, valid_from=after(9)), 0), True),
    ],
)
def test_phases_to_use_may_not_conflict(one: ChargingProfile, beside: Held, is_conflict: bool) -> None:
    refusal = refuse(Candidate(1, replace(one, transaction="55"), RUNNING), [beside], LIMITS_21)
    assert (refusal is not None and refusal.reason is Refused.PHASE_CONFLICT) is is_conflict


def test_absolute_periods_conflict_only_while_both_hold() -> None:
    def at(start_s: int, phase: int, purpose: Purpose) -> ChargingProfile:
        periods = (Period(0, 6.0), Period(100, 6.0, 1, phase), Period(200, 6.0))
        return profile(purpose, kind=Kind.ABSOLUTE, schedules=(schedule(*periods, start=after(start_s)),))

    mine = Candidate(1, at(0, 1, TX), RUNNING)
    assert phases_conflict(mine, [held(at(100, 2, MAX), 0)]) is None
    assert phases_conflict(mine, [held(at(99, 2, MAX), 0)]) is not None
    assert phases_conflict(mine, [held(at(-100, 2, MAX), 0)]) is None
    far = schedule(Period(0, 6.0), Period(10**10, 6.0, 1, 2), start=after(0).replace(year=9998))
    assert phases_conflict(mine, [held(profile(MAX, kind=Kind.ABSOLUTE, schedules=(far,)), 0)]) is None


def test_schedules_of_one_profile_may_not_name_different_phases() -> None:
    two = tx(schedules=(schedule(Period(0, 6.0, 1, 1)), schedule(Period(0, 6.0, 1, 2))))
    refusal = refuse(Candidate(1, two, RUNNING), [], LIMITS_21)
    assert refusal is not None
    assert refusal.reason is Refused.PHASE_CONFLICT
