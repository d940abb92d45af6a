"""How old a meter's values are, and what that allows.

The thresholds grow with the meter's own interval. Age is monotonic time since the oldest part was measured, so that no
step of the wall clock, and no reading that was not believed, makes old values fresh.
"""

from dataclasses import dataclass, replace

from gateway.model.metering import (
    Freshness,
    Held,
    MeterReading,
    MeterState,
    Quality,
    worst_freshness,
)

BAD_TO_STALE = 5
"""So many readings in a row that can't be believed: what was believed before counts no longer."""
SLOWEST_S = 20.0
"""A meter with a longer interval shows the building's base load, and gives no room by the moment."""
_AHEAD_S = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Ages in seconds from which a value is late, stale and blind."""

    late_s: float
    stale_s: float
    blind_s: float


def limits(interval_s: float) -> Limits:
    """For a meter that is expected to say something every `interval_s`."""
    stale_s = max(10.0, 2.5 * interval_s)
    return Limits(max(3.0, 1.5 * interval_s), stale_s, max(60.0, 2 * stale_s))


def by_age(age_s: float, interval_s: float) -> Freshness:
    """What the age alone allows. A value from the future has no known age."""
    limit = limits(interval_s)
    if not -_AHEAD_S <= age_s <= limit.blind_s:
        return Freshness.BLIND
    if age_s > limit.stale_s:
        return Freshness.STALE
    return Freshness.LATE if age_s > limit.late_s else Freshness.FRESH


def accept(state: MeterState, reading: MeterReading) -> MeterState:
    """The state after one more reading. One that is not believed leaves the values and their age as they are."""
    if reading.quality is Quality.BAD:
        return replace(state, latest=reading, bad_in_a_row=state.bad_in_a_row + 1)
    at = reading.measured_at
    one, two, three = (_held(old, value, at) for old, value in zip(state.current_a, reading.current_a, strict=True))
    return replace(
        state,
        latest=reading,
        current_a=(one, two, three),
        power_w=_held(state.power_w, total_power_w(reading), at),
        power_factor=_held(state.power_factor, reading.power_factor, at),
        frequency_hz=_held(state.frequency_hz, reading.frequency_hz, at),
        energy_import_kwh=_held(state.energy_import_kwh, reading.energy_import_kwh, at),
        energy_export_kwh=_held(state.energy_export_kwh, reading.energy_export_kwh, at),
        quality=reading.quality,
        interval_s=reading.interval_s,
        resolution_a=reading.resolution_a,
        bad_in_a_row=0,
    )


def total_power_w(reading: MeterReading) -> float | None:
    """The meter's own total, else the sum of the phases it measures; None where one of them is missing."""
    if reading.power_total_w is not None:
        return reading.power_total_w
    known = [value for value in reading.power_w if value is not None]
    return sum(known) if known and len(known) >= reading.phases else None


def of(state: MeterState, held: Held, now: float) -> Freshness:
    """What one value of a meter allows now."""
    if state.interval_s is None:
        return Freshness.BLIND
    return worst_freshness((by_age(now - held.at, state.interval_s), _floor(state)))


def of_meter(state: MeterState, now: float) -> Freshness:
    """What the meter's currents allow now: the oldest of them decides. Blind while there is none."""
    held = [one for one in state.current_a if one]
    return worst_freshness(of(state, one, now) for one in held) if held else Freshness.BLIND


def age_s(state: MeterState, now: float) -> float | None:
    """Seconds since the oldest current was measured; None while there is none."""
    return max((now - one.at for one in state.current_a if one), default=None)


def gives_room(interval_s: float) -> bool:
    """Whether a meter is quick enough to share what is left by the moment."""
    return interval_s <= SLOWEST_S


def _floor(state: MeterState) -> Freshness:
    """The best that the latest readings allow, whatever their age."""
    if state.bad_in_a_row >= BAD_TO_STALE:
        return Freshness.STALE
    return Freshness.LATE if state.quality is Quality.SUSPECT else Freshness.FRESH


def _held(before: Held | None, value: float | None, at: float) -> Held | None:
    """The new value; where there is none, the last known with its own age."""
    return before if value is None else Held(value, at)
