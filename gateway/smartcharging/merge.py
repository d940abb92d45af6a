"""What is applied of what the CSMS allows, what the CSMS is told of it, and the gateway's own profiles in a station.

Only the gateway's own profiles exist in a station, with ids of a reserved range, so that whatever else is found there
is foreign. Upstream the same numbers are the CSMS's business.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from enum import IntEnum

from gateway.model.profile import (
    AskedSchedule,
    ChargingProfile,
    CompositeSchedule,
    Kind,
    LimitSource,
    Period,
    Purpose,
    RateUnit,
    ReportedProfile,
    Schedule,
)
from gateway.smartcharging.composite import LONGEST_S, Composite, Step
from gateway.smartcharging.held import Held, Supply
from gateway.smartcharging.profile_rules import EXTERNAL_IDS

OWN_IDS = range(1_960_000_000, 1_960_100_000)
"""Ids of the gateway's profiles in stations."""
_SLOTS = 16
_TENTH = Decimal("0.1")
_SECOND = timedelta(seconds=1)
_LONG_AGO = datetime(2010, 1, 1, 0, 0, 1, tzinfo=UTC)
"""Start of schedules that always hold. MicroOcpp, in many small chargers, begins here when it has lost the time, and
takes what is before for no start at all: it then applies no limit to a session that begins offline. In one that wakes
up earlier (1970, 2000) they hold once it was told the time."""


class Slot(IntEnum):
    """What a profile of the gateway's is for; one of each per EVSE."""

    RATING = 0
    FALLBACK = 1
    LEASE = 2


@dataclass(frozen=True, slots=True)
class Writing:
    """How a station wants its profiles: unit, kind, stack level, most periods, and whether phases are named.

    W is made of A with the supply's lowest voltage and its phases: a car on fewer phases would get more A per phase.
    Some stations switch phases by the number that is named.
    """

    unit: RateUnit = RateUnit.A
    kind: Kind = Kind.ABSOLUTE
    stack_level: int = 0
    max_periods: int = 2
    names_phases: bool = True


def own_id(slot: Slot, evse: int) -> int:
    """The id of a profile of the gateway's own. Raises ValueError for an EVSE beyond 6,249."""
    found = OWN_IDS.start + evse * _SLOTS + slot
    if evse < 0 or found not in OWN_IDS:
        raise ValueError(f"no profile id for EVSE {evse}")
    return found


def external_id(evse: int) -> int:
    """The id under which the CSMS is told of the gateway's limit: negative, as K11.FR.06 advises."""
    return EXTERNAL_IDS.stop - 1 - evse


def foreign(reported: Iterable[ReportedProfile]) -> tuple[ReportedProfile, ...]:
    """Of the profiles a station holds, those that somebody else put there."""
    return tuple(one for one in reported if one.id not in OWN_IDS)


def clip(allowed: Composite, plan: Composite) -> Composite:
    """The lower of both, as long as both say something: what is applied of what the CSMS allows.

    Raises ValueError if they have no moment in common.
    """
    start, end = max(allowed.now.at, plan.now.at), min(allowed.end, plan.end)
    edges = {start, *(step.at for step in (*allowed.steps, *plan.steps) if start < step.at < end)}
    steps: list[Step] = []
    for at in sorted(edges):
        step = _lower(allowed.at(at), plan.at(at), at)
        if not steps or replace(steps[-1], at=at) != step:
            steps.append(step)
    return Composite(tuple(steps), end)


def together(parts: Iterable[Composite], supply: Supply) -> Composite:
    """What several connectors may take, as the current of one: A per phase, were it spread evenly over the phases.

    Not limited where one of them isn't. Raises ValueError without parts, or if they have no moment in common.
    """
    parts = tuple(parts)
    start, end = max(part.now.at for part in parts), min(part.end for part in parts)
    edges = {start, *(step.at for part in parts for step in part.steps if start < step.at < end)}
    steps: list[Step] = []
    for at in sorted(edges):
        shares = [(step.limit_a, step.phases) for step in (part.at(at) for part in parts)]
        known = [limit_a * phases for limit_a, phases in shares if limit_a is not None]
        step = Step(at, sum(known) / supply.phases if len(known) == len(shares) else None, supply.phases)
        if not steps or replace(steps[-1], at=at) != step:
            steps.append(step)
    return Composite(tuple(steps), end)


def _lower(allowed: Step, planned: Step, at: datetime) -> Step:
    first = planned if allowed.limit_a is None else allowed
    if planned.limit_a is not None and allowed.limit_a is not None and planned.limit_a < allowed.limit_a:
        first = planned
    to_use = allowed.phase_to_use or planned.phase_to_use
    return Step(at, first.limit_a, min(allowed.phases, planned.phases), to_use, first.by)


def apply(allowed: Step, share_a: float, least_a: float) -> float:
    """A connector's share under the CSMS's limit; what is below the least a car can use is 0."""
    value = share_a if allowed.limit_a is None else min(share_a, allowed.limit_a)
    return value if value >= least_a else 0.0


def tell(applied: Composite, asked: AskedSchedule, supply: Supply, rating_a: float) -> CompositeSchedule:
    """The answer to a GetCompositeSchedule, rounded down to 0.1 A or W, in whole seconds.

    Where nothing limits, the rating does. A second in which the limit changes counts with its lowest value. The
    duration is shorter than asked for where `applied` ends.
    """
    unit = asked.unit or RateUnit.A
    start = applied.now.at.replace(microsecond=0)
    duration = max(1, min(asked.duration_s, LONGEST_S, math.ceil((applied.end - start).total_seconds())))
    periods: list[Period] = []
    for at, step in _seconds(applied, start, duration, rating_a):
        limit = in_unit(_known(step, rating_a), unit, step.phases, supply.high_v)
        period = Period(at, limit, step.phases, step.phase_to_use if step.phases == 1 else None)
        if not periods or replace(period, start_s=periods[-1].start_s) != periods[-1]:
            periods.append(period)
    return CompositeSchedule(asked.evse, start, duration, unit, tuple(periods))


def _seconds(applied: Composite, start: datetime, duration: int, rating_a: float) -> Iterable[tuple[int, Step]]:
    """Seconds at which the limit is another than in the one before, and the lowest step in each."""
    offsets = [max(0.0, (step.at - start).total_seconds()) for step in applied.steps]
    seconds = sorted({second for offset in offsets for second in (math.floor(offset), math.floor(offset) + 1)})
    for second in seconds:
        first = max(0, bisect_right(offsets, second) - 1)
        last = bisect_left(offsets, second + 1)
        if second < duration:
            yield second, min(applied.steps[first : max(last, first + 1)], key=lambda step: _known(step, rating_a))


def _known(step: Step, rating_a: float) -> float:
    return rating_a if step.limit_a is None else min(step.limit_a, rating_a)


def in_unit(limit_a: float, unit: RateUnit, phases: int, volts: float) -> float:
    """A per phase in the unit, rounded down to one decimal."""
    value = Decimal(repr(limit_a)) * (1 if unit is RateUnit.A else Decimal(repr(volts)) * phases)
    return float(value.quantize(_TENTH, ROUND_FLOOR))


def lease(
    evse: int,
    station_tx_id: str,
    started: datetime,
    *,
    value_a: float,
    fallback_a: float,
    lasts_s: int,
    now: datetime,
    supply: Supply,
    writing: Writing,
) -> ChargingProfile:
    """The TxProfile that a station obeys until it is renewed: [value; after `lasts_s`: fallback], without duration.

    `now` and `started` are of the station's own clock. A station that takes one period only gets the value for as long
    as the transaction lasts: it has no lease.
    """
    begun = now.replace(microsecond=0)
    offset = lasts_s if writing.kind is not Kind.RELATIVE else lasts_s + max(0, math.floor((now - started) / _SECOND))
    periods = [_period(0, value_a, supply, writing)]
    if writing.max_periods >= 2:
        periods.append(_period(offset, fallback_a, supply, writing))
    profile = _own(Purpose.TX, own_id(Slot.LEASE, evse), tuple(periods), writing, begun)
    return replace(profile, transaction=station_tx_id)


def fallback(evse: int, fallback_a: float, supply: Supply, writing: Writing) -> ChargingProfile:
    """The TxDefaultProfile, always at stack level 0, that holds when nothing else does."""
    period = _period(0, fallback_a, supply, writing)
    return _own(Purpose.TX_DEFAULT, own_id(Slot.FALLBACK, evse), (period,), replace(writing, stack_level=0), _LONG_AGO)


def rating(rating_a: float, supply: Supply, writing: Writing) -> ChargingProfile:
    """The station's maximum; Absolute, because 2.x forbids a Relative one."""
    absolute = replace(writing, kind=Kind.ABSOLUTE, stack_level=0)
    period = _period(0, rating_a, supply, absolute)
    return _own(Purpose.STATION_MAX, own_id(Slot.RATING, 0), (period,), absolute, _LONG_AGO)


def external(evse: int, told: CompositeSchedule, received: datetime, source: str = LimitSource.EMS) -> Held:
    """The gateway's limit as the external constraint that the CSMS is told of."""
    schedule = Schedule(told.unit, told.periods, start=told.start, duration_s=told.duration_s)
    profile = ChargingProfile(external_id(evse), 0, Purpose.EXTERNAL, Kind.ABSOLUTE, (schedule,))
    return Held(str(profile.id), evse, profile, received, source=source)


def _own(
    purpose: Purpose, profile_id: int, periods: tuple[Period, ...], writing: Writing, start: datetime
) -> ChargingProfile:
    begins = None if writing.kind is Kind.RELATIVE else start
    schedule = Schedule(writing.unit, periods, start=begins)
    return ChargingProfile(profile_id, writing.stack_level, purpose, writing.kind, (schedule,))


def _period(start_s: int, limit_a: float, supply: Supply, writing: Writing) -> Period:
    limit = in_unit(limit_a, writing.unit, supply.phases, supply.low_v)
    return Period(start_s, limit, supply.phases if writing.names_phases else None)
