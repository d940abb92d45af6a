"""What a set of charging profiles allows a connector, over time.

Rules, from OCPP 1.6 ed. 2, 3.13 and OCPP 2.1 Part 2, K, with its errata:
- Of one purpose, the highest stack level whose schedule covers the moment counts. A profile that says nothing of it
  (before its start, after its duration, outside of its validity) leaves it to the next lower level.
- TxDefaultProfiles and PriorityCharging of a connector replace the station's own of the same stack level there.
- The running transaction's TxProfile goes before TxDefaultProfile, PriorityCharging before both where it is in use.
- The lowest of these, the station's maximum and external constraints is the limit; LocalGeneration is added on top.
- The lowest numberPhases counts. What no profile covers is not limited.
- Of several schedules in one profile, between which the car would choose, the lowest counts.
Times are UTC throughout, so a day has 24 hours.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from functools import lru_cache
from typing import NamedTuple

from gateway.model.profile import ChargingProfile, Kind, Period, Purpose, RateUnit, Recurrency, Schedule
from gateway.smartcharging.held import IDLE, Held, Place, Supply

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_RECURS_US = {Recurrency.DAILY: 86_400_000_000, Recurrency.WEEKLY: 7 * 86_400_000_000}
_OF_TRANSACTION = frozenset((Purpose.TX, Purpose.TX_DEFAULT, Purpose.PRIORITY))
_TENTH = Decimal("0.1")
LONGEST_S = 2 * 86_400
"""Longest horizon in s: a schedule of 1,024 periods that recurs should not take long to lay out."""


@dataclass(frozen=True, slots=True)
class Step:
    """From `at` until the next step. `limit_a`: A per phase, None without limit. `by`: key of the profile behind it."""

    at: datetime
    limit_a: float | None
    phases: int
    phase_to_use: int | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Composite:
    """C(t) from `steps[0].at` to `end`. There is always a step, and no two neighbours are equal."""

    steps: tuple[Step, ...]
    end: datetime

    @property
    def now(self) -> Step:
        return self.steps[0]

    @property
    def next_change(self) -> datetime | None:
        """The first moment at which anything is different; None if nothing is before `end`."""
        return self.steps[1].at if len(self.steps) > 1 else None

    @property
    def look_again(self) -> datetime:
        return self.next_change or self.end

    def at(self, moment: datetime) -> Step:
        """The step that holds then. Raises ValueError for a moment that isn't covered."""
        if not self.steps[0].at <= moment < self.end:
            raise ValueError(f"{moment} is not covered")
        return self.steps[bisect_right(self.steps, moment, key=lambda step: step.at) - 1]


def composite(held: Iterable[Held], place: Place, now: datetime, horizon_s: int) -> Composite:
    """C(t) at `place` for at most LONGEST_S from `now` on; at EVSE 0 the limit of the station as a whole."""
    start = _us(now)
    end = start + min(max(horizon_s, 1), LONGEST_S) * 1_000_000
    window = _Window(start, end)
    tracks = [track for one in _relevant(held, place) if (track := _track(one, place, window)).lanes]
    stacks = _stacks(tracks)
    segments = (segment for track in tracks for lane in track.lanes for segment in lane.segments)
    edges = {start, *(edge for segment in segments for edge in (segment.start, segment.end))}
    steps: list[Step] = []
    for at in sorted(edge for edge in edges if start <= edge < end):
        step = _step(stacks, place, at)
        if not steps or (steps[-1].limit_a, *_how(steps[-1])) != (step.limit_a, *_how(step)):
            steps.append(step)
    return Composite(tuple(steps), _moment(end))


def _how(step: Step) -> tuple[int, int | None, str | None]:
    return step.phases, step.phase_to_use, step.by


class _Window(NamedTuple):
    start: int
    end: int


class _Segment(NamedTuple):
    start: int
    end: int
    period: Period
    unit: RateUnit


class _Lane(NamedTuple):
    """One schedule as segments of time, in order and apart from one another; `starts` are theirs."""

    starts: list[int]
    segments: list[_Segment]


class _Track(NamedTuple):
    """A profile's schedules, cut to the window. Times are microseconds since 1970."""

    held: Held
    lanes: list[_Lane]

    def at(self, moment: int) -> list[_Segment]:
        found = ((lane, bisect_right(lane.starts, moment) - 1) for lane in self.lanes)
        return [lane.segments[at] for lane, at in found if at >= 0 and moment < lane.segments[at].end]


class _Stacks(NamedTuple):
    """Tracks by what they do, highest stack level first: maxima each on their own, then those that go before others."""

    maxima: list[list[_Track]]
    ranked: list[list[_Track]]
    added: list[list[_Track]]


def _us(moment: datetime) -> int:
    return (moment - _EPOCH) // _US


def _moment(us: int) -> datetime:
    return _EPOCH + us * _US


def _relevant(held: Iterable[Held], place: Place) -> list[Held]:
    """Profiles that count here; a station-wide one steps back where the EVSE has its own of that stack level."""
    here = [one for one in held if one.evse in (0, place.evse) and _counts(one, place)]
    own = {
        (one.profile.purpose, one.profile.stack_level)
        for one in here
        if place.evse and one.evse and one.profile.purpose in (Purpose.TX_DEFAULT, Purpose.PRIORITY)
    }
    return [one for one in here if one.evse or (one.profile.purpose, one.profile.stack_level) not in own]


def _counts(held: Held, place: Place) -> bool:
    purpose = held.profile.purpose
    if purpose not in _OF_TRANSACTION:
        return True
    if place.evse == 0:
        return False
    if purpose is Purpose.TX:
        running = place.running
        return running is not None and held.transaction == running.transaction and held.evse == place.evse
    return purpose is Purpose.TX_DEFAULT or (place.has_priority and place.running is not None)


def _stacks(tracks: Sequence[_Track]) -> _Stacks:
    def stack(purpose: Purpose, evse: int | None = None) -> list[_Track]:
        found = [one for one in tracks if one.held.profile.purpose is purpose and evse in (None, one.held.evse)]
        return sorted(found, key=lambda one: (-one.held.profile.stack_level, -one.held.evse, one.held.key))

    evses = sorted({one.held.evse for one in tracks})
    return _Stacks(
        maxima=[stack(purpose, evse) for purpose in (Purpose.STATION_MAX, Purpose.EXTERNAL) for evse in evses],
        ranked=[stack(purpose) for purpose in (Purpose.PRIORITY, Purpose.TX, Purpose.TX_DEFAULT)],
        added=[stack(Purpose.LOCAL_GENERATION, evse) for evse in evses],
    )


def _track(held: Held, place: Place, window: _Window) -> _Track:
    """A profile's segments, cut to the window and to the profile's own validity."""
    profile = held.profile
    start, end = window
    if profile.valid_from is not None:
        start = max(start, _us(profile.valid_from))
    if profile.valid_to is not None:
        end = min(end, _us(profile.valid_to))
    if place.offline_since is not None and profile.max_offline_s is not None:
        end = min(end, _us(place.offline_since) + profile.max_offline_s * 1_000_000)
    lanes: list[_Lane] = []
    for schedule in profile.schedules if start < end else ():
        anchor = _us(_anchor(held, schedule, place, _moment(window.start)))
        if segments := list(_cut(_segments(profile, schedule, anchor, _Window(start, end)), start, end)):
            lanes.append(_Lane([one.start for one in segments], segments))
    return _Track(held, lanes)


def _anchor(held: Held, schedule: Schedule, place: Place, now: datetime) -> datetime:
    """When a schedule begins. Relative ones begin with the transaction; without one, as if it began now.

    The station's own have no transaction to begin with: they begin when they are received.
    """
    profile = held.profile
    if profile.kind is Kind.DYNAMIC:
        return profile.updated or held.received
    if schedule.start is not None and profile.kind is not Kind.RELATIVE:
        return schedule.start
    if profile.purpose not in _OF_TRANSACTION:
        return held.received
    return place.running.started if place.running else now


def _segments(profile: ChargingProfile, schedule: Schedule, anchor: int, window: _Window) -> Iterable[_Segment]:
    """The schedule's periods; of a recurring one, all rounds that reach into the window."""
    lasts = None if schedule.duration_s is None else schedule.duration_s * 1_000_000
    recurs = _RECURS_US[profile.recurrency] if profile.recurrency and profile.kind is Kind.RECURRING else None
    if recurs is None:
        yield from _round(schedule, anchor, window.end if lasts is None else anchor + lasts)
        return
    first = anchor + max(0, (window.start - anchor) // recurs) * recurs
    lasts = recurs if lasts is None else min(lasts, recurs)  # what is longer than the recurrence is not executed
    for begin in range(first, window.end, recurs):
        yield from _round(schedule, begin, begin + lasts)


def _round(schedule: Schedule, begin: int, end: int) -> Iterable[_Segment]:
    starts = [begin + period.start_s * 1_000_000 for period in schedule.periods]
    for period, start, until in zip(schedule.periods, starts, [*starts[1:], end], strict=True):
        yield _Segment(start, min(until, end), period, schedule.unit)


def _cut(segments: Iterable[_Segment], start: int, end: int) -> Iterable[_Segment]:
    for one in segments:
        if one.end > start and one.start < end and one.start < one.end:
            yield one._replace(start=max(one.start, start), end=min(one.end, end))


def _step(stacks: _Stacks, place: Place, at: int) -> Step:
    """The limit at one moment."""
    caps = [found for stack in stacks.maxima if (found := _prevailing(stack, at))]
    ranked = next((found for stack in stacks.ranked if (found := _prevailing(stack, at))), None)
    caps += [ranked] if ranked else []
    added = [found for stack in stacks.added if (found := _prevailing(stack, at))]
    periods = [segment.period for _, segments in [*caps, *added] for segment in segments]
    supply = place.supply
    told = [period.phases for period in periods if period.phases] if supply.can_switch else []
    phases = min([supply.phases, *told])
    limits = [(_lowest(segments, phases, supply), track.held.key) for track, segments in caps]
    known = [(limit, key) for limit, key in limits if limit is not None]
    to_use = next((period.phase_to_use for period in periods if period.phase_to_use), None)
    if not known:
        return Step(_moment(at), None, phases, to_use)
    limit, key = min(known)
    more = sum((_lowest(segments, phases, supply) or Decimal(0) for _, segments in added), Decimal(0))
    return Step(_moment(at), float(limit + more), phases, to_use, key)


def _prevailing(stack: Sequence[_Track], at: int) -> tuple[_Track, list[_Segment]] | None:
    for track in stack:
        if found := track.at(at):
            return track, found
    return None


def _lowest(segments: Iterable[_Segment], phases: int, supply: Supply) -> Decimal | None:
    found = (amps(one.period, one.unit, phases, supply.high_v) for one in segments)
    return min((one for one in found if one is not None), default=None)


@lru_cache(maxsize=4096)
def amps(period: Period, unit: RateUnit, phases: int, volts: float) -> Decimal | None:
    """A period's limit in A per phase, rounded down to 0.1 A where it is made of W; None where it limits nothing."""
    if period.mode == IDLE:
        return Decimal(0)
    limits = [Decimal(repr(one)) for one in (period.limit, period.limit_l2, period.limit_l3) if one is not None]
    if not limits:
        return None
    if unit is RateUnit.A:
        return min(limits)
    shared = phases if len(limits) == 1 else 1
    return (min(limits) / (Decimal(repr(volts)) * shared)).quantize(_TENTH, ROUND_FLOOR)
