"""The site's time: what is kept of it, and what the clock is set to. Decisions are in `core.timebase`."""

from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from gateway.clock import Clock
from gateway.core import timebase
from gateway.core.timebase import Base, ClockReason, Trust
from gateway.model.ids import StationId
from gateway.model.records import Change, ClockBase, Put, StationClock

SAVED_EVERY_S = 600.0
_SAMPLES_KEPT = 8


@dataclass(frozen=True, slots=True)
class TimeOptions:
    """`requires_sync`: no boot is accepted offline on estimated time. `trusts_system`: the installer vouches."""

    requires_sync: bool = False
    trusts_system: bool = False


class Timekeeper:
    """Sets the one clock, and remembers what time each station was given. `begin` once everything is loaded."""

    def __init__(self, clock: Clock, options: TimeOptions) -> None:
        self.options = options
        self._base: Base | None = None
        self.bases: dict[str, ClockBase] = {}
        self.stations: dict[StationId, StationClock] = {}
        self._clock = clock
        self._floor = timebase.BUILT
        self._waits_from = float("-inf")
        self._saved_at = float("-inf")
        self._samples: dict[StationId, deque[float]] = {}

    # -- the durable part -------------------------------------------------------------------------------------------

    def clear(self) -> None:
        self.bases.clear()
        self.stations.clear()

    def apply(self, record: ClockBase | StationClock) -> None:
        if isinstance(record, ClockBase):
            self.bases[record.boot] = record
        else:
            self.stations[record.station] = record

    def riding(self) -> list[Change]:
        """The time, for the next commit to take along: it is the floor after the next power cut."""
        return self._save() if self._clock.monotonic() - self._saved_at >= SAVED_EVERY_S else []

    def _save(self) -> list[Change]:
        now, self._saved_at = self._now(), self._clock.monotonic()
        records = [timebase.saved(self.base, self._clock.boot, now, self._floor)]
        if self.base.trust is Trust.NTP:
            others = [base for base in self.bases.values() if base.boot != self._clock.boot]
            records += timebase.lowered(others, now)
        for record in records:
            self.apply(record)
        return [Put(record) for record in records]

    # -- the time ---------------------------------------------------------------------------------------------------

    @property
    def base(self) -> Base:
        """The time; the system's, while nothing has been begun."""
        if self._base is None:
            clock = self._clock
            return Base(clock.wall() - clock.monotonic(), Trust.ESTIMATED, ClockReason.UNSURE)
        return self._base

    @property
    def floor(self) -> datetime:
        return datetime.fromtimestamp(self._floor, UTC)

    def begin(self) -> list[Change]:
        """Set the clock after a start. Returns what is to be saved."""
        clock = self._clock
        self._floor = timebase.floor_of(self.bases.values())
        known = self.bases.get(clock.boot)
        mono = clock.monotonic()
        self._waits_from = float("-inf") if known is not None else mono
        self._set(timebase.begin(mono, clock.wall(), self._vouched(), self._floor, known))
        return self._save()

    def look(self) -> list[Change]:
        """Look at the system's clock, now and then."""
        clock = self._clock
        found = timebase.from_system(self.base, clock.monotonic(), clock.wall(), self._vouched(), self._floor)
        return self._changed(found)

    def hear_csms(self, said: str | None) -> list[Change]:
        """The CSMS said what time it is."""
        moment = timebase.read_time(said) if said else None
        return self._changed(timebase.from_csms(self.base, self._clock.monotonic(), moment, self._floor))

    def waits(self) -> bool:
        """Whether stations that boot are asked to wait for a better time."""
        running_s = self._clock.monotonic() - self._waits_from
        return timebase.waits_for_time(self.base, running_s, requires_sync=self.options.requires_sync)

    def stamp(self) -> str | None:
        """What corrects a time that is recorded now; None if it is known."""
        if self.base.is_trusted:
            return None
        return timebase.stamp(self._clock.boot, self._clock.monotonic())

    def corrected(self, stamp: str | None) -> datetime | None:
        return timebase.corrected(stamp, self.bases)

    def _vouched(self) -> Trust | None:
        said = self._clock.vouched()
        if said == Trust.NTP or not self.options.trusts_system:
            return Trust(said) if said else None
        return Trust.SYSTEM

    def _changed(self, base: Base) -> list[Change]:
        before = self.base
        self._set(base)
        is_step = abs(base.anchor - before.anchor) > timebase.STEP_S
        return self._save() if is_step or base.trust is not before.trust else []

    def _set(self, base: Base) -> None:
        self._base = base
        self._clock.anchor = base.anchor
        if base.trust is Trust.NTP:
            self._floor = max(timebase.BUILT, min(self._floor, self._now()))

    def _now(self) -> float:
        return self.base.anchor + self._clock.monotonic()

    # -- stations ---------------------------------------------------------------------------------------------------

    def give(self, station: StationId, *, is_charging: bool, said: str | None = None) -> tuple[datetime, list[Change]]:
        """The time to tell a station, and what to note of it. `said`: the CSMS's own, if it is to be told that."""
        clock = self._clock
        mono, anchor = clock.monotonic(), self.base.anchor
        moment = timebase.read_time(said) if said else None
        if moment is not None and timebase.is_plausible(moment, self._floor):
            anchor = moment.timestamp() - mono
        given = self.stations.get(station)
        anchor = timebase.anchor_for(given, clock.boot, anchor, is_charging=is_charging)
        told = datetime.fromtimestamp(anchor + mono, UTC)
        is_old = given is not None and given.boot == clock.boot and given.anchor_s is not None
        if is_old and given and given.anchor_s is not None and abs(given.anchor_s - anchor) <= timebase.STEP_S:
            return told, []
        self._samples.pop(station, None)
        return told, [Put(StationClock(station, clock.boot, anchor, given.skew_s if given else None))]

    def hear_station(self, station: StationId, said: datetime | None) -> list[Change]:
        """A message of a station says when it was made. Returns what is new of the station's clock."""
        if said is None:
            return []
        known = self.stations.get(station) or StationClock(station, self._clock.boot)
        is_given = known.boot == self._clock.boot and known.anchor_s is not None
        anchor = known.anchor_s if is_given and known.anchor_s is not None else self.base.anchor
        samples = self._samples.setdefault(station, deque(maxlen=_SAMPLES_KEPT))
        samples.append(said.timestamp() - anchor - self._clock.monotonic())
        skew = timebase.skew_s(samples)
        if skew is None or timebase.is_skewed(skew) == timebase.is_skewed(known.skew_s):
            return []
        return [Put(replace(known, skew_s=round(skew, 1)))]

    def ahead_s(self, station: StationId) -> float:
        """How far a station's clock is ahead of the time it was given, by its latest messages; 0 if not known."""
        latest, known = timebase.skew_s(self._samples.get(station, ())), self.stations.get(station)
        return latest if latest is not None else ((known.skew_s or 0.0) if known else 0.0)

    def offset_s(self, station: StationId) -> float:
        """How far the time a station was given is ahead of what we hold for true now."""
        known = self.stations.get(station)
        if known is None or known.boot != self._clock.boot or known.anchor_s is None:
            return 0.0
        return known.anchor_s - self.base.anchor
