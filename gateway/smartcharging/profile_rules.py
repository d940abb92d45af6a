"""May a profile of the CSMS be taken in? Judged as the station itself would: by its own advertised limits.

Requirement numbers are those of OCPP 2.1 Part 2 and its errata; 1.6 is held to what both have in common.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from gateway.model.profile import (
    AskedSchedule,
    ChargingProfile,
    Kind,
    Period,
    Purpose,
    RateUnit,
    Refusal,
    Refused,
    Schedule,
)
from gateway.smartcharging.held import IDLE, Held, Running

CHARGING_ONLY = "ChargingOnly"
EXTERNAL_IDS = range(-100_000, 0)
"""Ids of the gateway's own constraints as it reports them to the CSMS."""
_ALWAYS_START, _ALWAYS_END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_MODES: dict[Purpose, tuple[str, ...]] = {
    Purpose.STATION_MAX: (CHARGING_ONLY,),
    Purpose.PRIORITY: (CHARGING_ONLY,),
    Purpose.LOCAL_GENERATION: (CHARGING_ONLY, "ExternalLimits"),
}
"""K01.FR.111, 113."""
_LIMITLESS_MODES = (
    IDLE,
    "CentralSetpoint",
    "ExternalSetpoint",
    "ExternalLimits",
    "LocalFrequency",
    "LocalLoadBalancing",
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a station says it can do with profiles. `is_supported`: it does smart charging at all.

    `by_id`: profiles are told apart by id (2.x), not by EVSE, purpose and stack level (1.6).
    `modes`: operation modes; ChargingOnly is always one. `switches_phases`: it can choose the one phase that is used.
    """

    evses: int
    max_stack_level: int
    max_periods: int
    max_profiles: int
    units: frozenset[RateUnit]
    purposes: frozenset[Purpose]
    kinds: frozenset[Kind]
    by_id: bool
    max_schedules: int = 1
    switches_phases: bool = False
    modes: frozenset[str] = frozenset((CHARGING_ONLY,))
    is_supported: bool = True


@dataclass(frozen=True, slots=True)
class Candidate:
    """A profile for `evse` (0: the station) and how it came: in a RemoteStart it has no transaction yet."""

    evse: int
    profile: ChargingProfile
    running: Running | None = None
    is_remote_start: bool = False


def refuse(asked: Candidate, others: Iterable[Held], limits: Limits) -> Refusal | None:
    """Why a profile can't be taken in, None if it can. `others`: what is held and would stay beside it."""
    if not limits.is_supported:
        return Refusal(Refused.NO_SMART_CHARGING, "the station has no smart charging")
    others = tuple(others)
    checks: tuple[Callable[[], Refusal | None], ...] = (
        lambda: _place(asked, limits),
        lambda: _head(asked.profile, limits),
        lambda: _kind(asked.profile, limits),
        lambda: next(_schedules(asked.profile, limits), None),
        lambda: _transaction(asked, limits),
        lambda: _beside(asked, others, limits),
    )
    return next((found for check in checks if (found := check())), None)


def refuse_schedule(asked: AskedSchedule, limits: Limits) -> Refusal | None:
    """Why a GetCompositeSchedule can't be answered, None if it can."""
    if not limits.is_supported:
        return Refusal(Refused.NO_SMART_CHARGING, "the station has no smart charging")
    if not 0 <= asked.evse <= limits.evses:
        return Refusal(Refused.EVSE, f"there is no EVSE {asked.evse}")
    if asked.unit is not None and asked.unit not in limits.units:
        return Refusal(Refused.RATE_UNIT, f"chargingRateUnit {asked.unit} is not supported")
    return None


def phases_conflict(asked: Candidate, others: Iterable[Held]) -> Refusal | None:
    """K01.FR.141: two profiles that hold at once, and name different phases to use."""
    mine = list(_phase_spans(asked.profile))
    for held in others if mine else ():
        if not _is_combined(asked, held):
            continue
        for start, end, phase in _phase_spans(held.profile):
            if any(phase != other and start < until and since < end for since, until, other in mine):
                return Refusal(Refused.PHASE_CONFLICT, f"phaseToUse differs from that of profile {held.profile.id}")
    return None


def _place(asked: Candidate, limits: Limits) -> Refusal | None:
    profile, evse = asked.profile, asked.evse
    if profile.purpose not in limits.purposes or profile.purpose is Purpose.EXTERNAL:
        return Refusal(Refused.PROFILE, f"chargingProfilePurpose {profile.purpose} is not for a CSMS to set here")
    if not 0 <= evse <= limits.evses:
        return Refusal(Refused.EVSE, f"there is no EVSE {evse}")
    if profile.purpose is Purpose.STATION_MAX and evse != 0:
        return Refusal(Refused.PROFILE, f"{profile.purpose} is for the station (0), not for EVSE {evse}")
    if profile.purpose is Purpose.TX and evse == 0 and not asked.is_remote_start:
        return Refusal(Refused.PROFILE, f"{profile.purpose} needs an EVSE other than 0")
    return None


def _head(profile: ChargingProfile, limits: Limits) -> Refusal | None:
    if not 0 <= profile.stack_level <= limits.max_stack_level:
        return Refusal(Refused.STACK_LEVEL, f"stackLevel {profile.stack_level} is above {limits.max_stack_level}")
    if limits.by_id and profile.id in EXTERNAL_IDS:
        return Refusal(Refused.PROFILE_ID, f"id {profile.id} is reserved for external constraints")
    if profile.valid_from and profile.valid_to and profile.valid_from >= profile.valid_to:
        return Refusal(Refused.PROFILE, "validTo is not after validFrom")
    if not 1 <= len(profile.schedules) <= limits.max_schedules:
        return Refusal(Refused.SCHEDULE, f"chargingSchedule: {len(profile.schedules)}, {limits.max_schedules} allowed")
    if profile.max_offline_s is not None and profile.max_offline_s < 0:
        return Refusal(Refused.PROFILE, "maxOfflineDuration is negative")
    return None


def _kind(profile: ChargingProfile, limits: Limits) -> Refusal | None:
    """K01.FR.38, 40, 41, 121, 122; 1.6 lets the start be missing, and is lenient about the rest."""
    kind, first = profile.kind, profile.schedules[0]
    if kind not in limits.kinds:
        return Refusal(Refused.PROFILE, f"chargingProfileKind {kind} is not supported")
    if kind is Kind.RECURRING and profile.recurrency is None:
        return Refusal(Refused.PROFILE, "recurrencyKind is missing")
    if kind is Kind.DYNAMIC and (len(profile.schedules) > 1 or len(first.periods) > 1):
        return Refusal(Refused.SCHEDULE, "chargingSchedule: a dynamic profile has one schedule of one period")
    if not limits.by_id:
        return None
    if kind is Kind.RELATIVE and profile.purpose is Purpose.STATION_MAX:
        return Refusal(Refused.PROFILE, f"chargingProfileKind {kind} does not go with {profile.purpose}")
    starts = [schedule.start for schedule in profile.schedules]
    if kind in (Kind.ABSOLUTE, Kind.RECURRING) and None in starts:
        return Refusal(Refused.SCHEDULE, "chargingSchedule.startSchedule is missing")
    if kind is Kind.RELATIVE and any(starts):
        return Refusal(Refused.SCHEDULE, "chargingSchedule.startSchedule does not go with Relative")
    if kind is not Kind.DYNAMIC and (profile.updated or profile.update_interval_s):
        return Refusal(Refused.PROFILE, "dynUpdateInterval and dynUpdateTime are for dynamic profiles")
    return None


def _schedules(profile: ChargingProfile, limits: Limits) -> Iterator[Refusal]:
    named = [{period.phase_to_use for period in one.periods if period.phase_to_use} for one in profile.schedules]
    if len(named) > 1 and len(set().union(*named)) > 1:
        yield Refusal(Refused.PHASE_CONFLICT, "chargingSchedule: phaseToUse differs between schedules")
    for schedule in profile.schedules:
        yield from _schedule(schedule, profile, limits)
        for at, period in enumerate(schedule.periods):
            where = f"chargingSchedulePeriod[{at}]"
            if wrong := _period(period, profile, limits) or _phases(period, limits):
                yield Refusal(wrong.reason, f"{where}.{wrong.what}")


def _schedule(schedule: Schedule, profile: ChargingProfile, limits: Limits) -> Iterator[Refusal]:
    starts = [period.start_s for period in schedule.periods]
    if schedule.unit not in limits.units:
        yield Refusal(Refused.RATE_UNIT, f"chargingRateUnit {schedule.unit} is not supported")
    if not 1 <= len(starts) <= limits.max_periods:
        yield Refusal(Refused.TOO_MANY, f"chargingSchedulePeriod: {len(starts)}, {limits.max_periods} allowed")
    elif starts[0] != 0:
        yield Refusal(Refused.SCHEDULE, f"chargingSchedulePeriod[0].startPeriod is {starts[0]}, not 0")
    if any(late <= early for early, late in pairwise(starts)):
        yield Refusal(Refused.SCHEDULE, "chargingSchedulePeriod: startPeriod does not rise")
    if schedule.duration_s is not None and schedule.duration_s <= 0:
        yield Refusal(Refused.SCHEDULE, f"duration is {schedule.duration_s}")
    if schedule.duration_s is not None and profile.purpose is Purpose.PRIORITY:  # K01.FR.70
        yield Refusal(Refused.SCHEDULE, f"duration does not go with {profile.purpose}")
    if schedule.needs:
        yield Refusal(Refused.UNSUPPORTED, f"{schedule.needs[0]} is not supported")


def _period(period: Period, profile: ChargingProfile, limits: Limits) -> Refusal | None:
    mode = period.mode or CHARGING_ONLY
    if mode not in (CHARGING_ONLY, *limits.modes) or mode not in _MODES.get(profile.purpose, (mode,)):
        return Refusal(Refused.OPERATION_MODE, f"operationMode {mode} is not possible here")
    if period.limit_l2 is not None or period.limit_l3 is not None:
        if profile.purpose is not Purpose.TX or period.limit is None:  # K01.FR.144, 146
            return Refusal(Refused.PHASE_CONFLICT, "limit_L2 and limit_L3 need a TxProfile and a limit")
    elif period.limit is None and mode not in _LIMITLESS_MODES:
        return Refusal(Refused.SCHEDULE, "limit is missing")
    if any(one is not None and one < 0 for one in (period.limit, period.limit_l2, period.limit_l3)):
        return Refusal(Refused.SCHEDULE, "limit is negative")
    return None


def _phases(period: Period, limits: Limits) -> Refusal | None:
    """K01.FR.19, 20, 48."""
    if period.phases is not None and period.phases not in (1, 2, 3):
        return Refusal(Refused.SCHEDULE, f"numberPhases is {period.phases}")
    if period.phase_to_use is None:
        return None
    if period.phases != 1 or period.phase_to_use not in (1, 2, 3):
        return Refusal(Refused.SCHEDULE, f"phaseToUse {period.phase_to_use} needs numberPhases 1")
    if not limits.switches_phases:
        return Refusal(Refused.SCHEDULE, "phaseToUse is not supported")
    return None


def _transaction(asked: Candidate, limits: Limits) -> Refusal | None:
    """K01.FR.03, 09, 33; in a RemoteStart the id isn't known yet, and one that stands there is not looked at."""
    profile, running = asked.profile, asked.running
    if asked.is_remote_start and profile.purpose is not Purpose.TX:
        return Refusal(Refused.PROFILE, f"chargingProfilePurpose {profile.purpose} does not go with a remote start")
    if profile.purpose is not Purpose.TX or asked.is_remote_start:
        return None
    if running is None:
        return Refusal(Refused.TRANSACTION, f"no transaction runs at EVSE {asked.evse}")
    if profile.transaction is None and limits.by_id:
        return Refusal(Refused.TRANSACTION, "transactionId is missing")
    if profile.transaction is not None and profile.transaction != running.wire_id:
        return Refusal(Refused.TRANSACTION, f"transactionId {profile.transaction[:40]} does not run at this EVSE")
    return None


def _beside(asked: Candidate, others: tuple[Held, ...], limits: Limits) -> Refusal | None:
    profile = asked.profile
    if limits.by_id and (twin := next((held for held in others if _is_twin(asked, held)), None)):
        reason = f"stackLevel {profile.stack_level} of {profile.purpose} is taken by profile {twin.profile.id}"
        return Refusal(Refused.DUPLICATE, reason)
    if conflict := phases_conflict(asked, others):
        return conflict
    if len(others) >= limits.max_profiles:
        return Refusal(Refused.TOO_MANY, f"{limits.max_profiles} profiles are installed already")
    return None


def _is_twin(asked: Candidate, held: Held) -> bool:
    """K01.FR.06, 39, 52, 53: both could prevail at once."""
    mine, other = asked.profile, held.profile
    if mine.purpose is not other.purpose or mine.stack_level != other.stack_level or asked.is_remote_start:
        return False
    if mine.purpose is Purpose.TX:
        return asked.running is not None and held.transaction == asked.running.transaction
    if mine.purpose is Purpose.TX_DEFAULT and (asked.evse == 0) != (held.evse == 0):
        return True
    return asked.evse == held.evse and _overlap(_validity(mine), _validity(other))


_RANKED = frozenset((Purpose.TX, Purpose.TX_DEFAULT, Purpose.PRIORITY))


def _is_combined(asked: Candidate, held: Held) -> bool:
    """Whether both count for one EVSE at one moment; of one stack, or of the three that rank, only one does."""
    mine, other = asked.profile.purpose, held.profile.purpose
    if mine is other or {mine, other} <= _RANKED:
        return mine is other is Purpose.LOCAL_GENERATION and (asked.evse == 0) != (held.evse == 0)
    return 0 in (asked.evse, held.evse) or asked.evse == held.evse


def _validity(profile: ChargingProfile) -> tuple[datetime, datetime]:
    return profile.valid_from or _ALWAYS_START, profile.valid_to or _ALWAYS_END


def _overlap(mine: tuple[datetime, datetime], other: tuple[datetime, datetime]) -> bool:
    return mine[0] < other[1] and other[0] < mine[1]


def _phase_spans(profile: ChargingProfile) -> Iterator[tuple[datetime, datetime, int]]:
    """When a profile names a phase; for the kinds that depend on more than the clock, as long as it is valid."""
    since, until = _validity(profile)
    for schedule in profile.schedules:
        ends = [period.start_s for period in schedule.periods[1:]]
        for period, ended in zip(schedule.periods, [*ends, schedule.duration_s], strict=True):
            if period.phase_to_use is None:
                continue
            start, end = since, until
            if profile.kind is Kind.ABSOLUTE and schedule.start:
                start = max(since, _later(schedule.start, period.start_s))
                end = until if ended is None else min(until, _later(schedule.start, ended))
            if start < end:
                yield start, end, period.phase_to_use


def _later(moment: datetime, seconds: int) -> datetime:
    try:
        return moment + timedelta(seconds=seconds)
    except OverflowError:
        return _ALWAYS_END
