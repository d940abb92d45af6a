"""What time it is, and how sure that is (a small box has no clock of its own that survives a power cut).

Time is an anchor: the epoch seconds at monotonic 0, so that no step of the system's clock moves it unasked. Better
sources set it anew. Nothing here reads a clock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from gateway.model.records import ClockBase, StationClock

BUILT = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
"""No time before this is true: the source is not older. Raised with each release."""

STEP_S = 5.0
"""A smaller difference is no step: times on the wire are whole seconds and have travelled."""

WAIT_S = 120.0
WAIT_RETRY_S = 20
SKEWED_S = 60.0
_FAR_S = 10 * 365.25 * 86_400
_SLACK_S = 60.0
_SAMPLES = 3


class Trust(StrEnum):
    """Where the time is from, the least first. `system`: the installer vouches for the system's clock."""

    ESTIMATED = "estimated"
    RTC = "rtc"
    CSMS = "csms"
    SYSTEM = "system"
    NTP = "ntp"


class ClockReason(StrEnum):
    """Why the time is what it is, for people."""

    FLOOR = "no source yet: counted on from the last time that was saved"
    UNSURE = "no source yet: the system's clock, which nobody vouches for"
    RESTARTED = "known from before the restart of the gateway"
    RTC = "the system's clock, set by a clock with a battery"
    CSMS = "told by the CSMS"
    SYSTEM = "the system's clock, trusted by configuration"
    NTP = "the system's clock, synchronised by NTP"


_RANK = {trust: rank for rank, trust in enumerate(Trust)}
_OF_SYSTEM = {Trust.RTC: ClockReason.RTC, Trust.SYSTEM: ClockReason.SYSTEM, Trust.NTP: ClockReason.NTP}


@dataclass(frozen=True, slots=True)
class Base:
    """The time: `anchor` + monotonic, in epoch seconds."""

    anchor: float
    trust: Trust
    reason: ClockReason

    @property
    def is_trusted(self) -> bool:
        return self.trust is not Trust.ESTIMATED


def floor_of(bases: Iterable[ClockBase]) -> float:
    """No time handed out is before this."""
    return max([BUILT, *(base.last_s for base in bases)])


def begin(mono: float, wall: float, vouched: Trust | None, floor: float, known: ClockBase | None) -> Base:
    """The time at start. `vouched`: what vouches for the system's clock; `known`: the time under this boot."""
    if known is not None:
        start = Base(known.anchor_s, Trust(known.trust), ClockReason.RESTARTED)
    elif floor <= wall <= floor + _FAR_S:
        start = Base(wall - mono, Trust.ESTIMATED, ClockReason.UNSURE)
    else:
        start = Base(floor - mono, Trust.ESTIMATED, ClockReason.FLOOR)
    return from_system(start, mono, wall, vouched, floor)


def from_system(base: Base, mono: float, wall: float, vouched: Trust | None, floor: float) -> Base:
    """After a look at the system's clock. NTP may put right a floor that a wrong source left; nobody else may."""
    if vouched is None or _RANK[vouched] < _RANK[base.trust]:
        return base
    if wall < (BUILT if vouched is Trust.NTP else max(floor, BUILT)):
        return base
    return Base(wall - mono, vouched, _OF_SYSTEM[vouched])


def from_csms(base: Base, mono: float, said: datetime | None, floor: float) -> Base:
    """After the CSMS said what time it is: it counts unless something better does, or it can't be true."""
    if said is None or _RANK[base.trust] > _RANK[Trust.CSMS] or not is_plausible(said, floor):
        return base
    anchor = max(said.timestamp(), floor) - mono
    if base.trust is Trust.CSMS and abs(anchor - base.anchor) <= STEP_S:
        return base
    return Base(anchor, Trust.CSMS, ClockReason.CSMS)


def is_plausible(said: datetime, floor: float) -> bool:
    """Whether a time may be true. A small step below the floor is the other clock's own error."""
    return floor - _SLACK_S <= said.timestamp() <= floor + _FAR_S


def waits_for_time(base: Base, running_s: float, *, requires_sync: bool) -> bool:
    """Whether a station that boots is asked to wait, because a better time may come (or has to: `requires_sync`)."""
    return not base.is_trusted and (requires_sync or running_s < WAIT_S)


def anchor_for(given: StationClock | None, boot: str, anchor: float, *, is_charging: bool) -> float:
    """The anchor of the time a station is told.

    A transaction begins and ends on one time: a station keeps the time it was given until none runs on it.
    """
    if given is None or given.boot != boot or given.anchor_s is None or not is_charging:
        return anchor
    return given.anchor_s if abs(given.anchor_s - anchor) > STEP_S else anchor


# -- what was recorded while time was estimated ---------------------------------------------------------------------


def stamp(boot: str, mono: float) -> str:
    """When something was, for who learns the time later."""
    return f"{boot}:{mono:.3f}"


def corrected(written: str | None, bases: Mapping[str, ClockBase]) -> datetime | None:
    """The true time of what was stamped; None if it needs no correction, or the time never came."""
    boot, _, mono = (written or "").rpartition(":")
    base = bases.get(boot)
    if base is None or base.trust == Trust.ESTIMATED:
        return None
    return datetime.fromtimestamp(base.anchor_s + float(mono), UTC)


def saved(base: Base, boot: str, now: float, floor: float) -> ClockBase:
    """The time as it is kept. What nobody vouches for raises no floor."""
    is_good = base.is_trusted or base.reason is ClockReason.FLOOR
    return ClockBase(boot, base.anchor, base.trust.value, now if is_good else floor)


def lowered(bases: Iterable[ClockBase], now: float) -> list[ClockBase]:
    """Floors above a time that is sure were left by a wrong source."""
    return [replace(base, last_s=now) for base in bases if base.last_s > now + _SLACK_S]


# -- clocks of stations ---------------------------------------------------------------------------------------------


def read_time(text: str) -> datetime | None:
    """A time as peers write it: a leap second counts as the one before it, no zone as UTC."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        if ":60" not in text:
            return None
        before = read_time(text.replace(":60", ":59"))
        return before + timedelta(seconds=1) if before else None
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        return None


def skew_s(samples: Iterable[float]) -> float | None:
    """How far a station's clock is ahead, by `said - received` of its latest messages.

    What was queued is late, nothing is early: the largest is the nearest. A few have to agree that a clock is behind.
    """
    known = list(samples)
    if not known:
        return None
    most = max(known)
    return most if most > 0 or len(known) >= _SAMPLES else None


def is_skewed(skew: float | None) -> bool:
    return skew is not None and abs(skew) > SKEWED_S
