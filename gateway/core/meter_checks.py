"""Checks between a meter's driver and whoever relies on it: can this reading be true?

`bad`: it cannot, and is not used. `suspect`: it may be wrong, nothing is raised by it. What a meter misreads, or a bus
garbles, must not look like room.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from gateway.model.metering import Finding, MeterReading, MeterReason, Quality, Signed, worst_quality

LOWEST, HIGHEST = 0.6, 1.3
"""Of the nominal voltage: outside of this window no meter can be believed."""
ABSENT = 0.1
"""Of the nominal voltage: below this, the phase is not there."""
MOST_OF_FUSE = 2.0
TOLERANCE, TOLERANCE_W = 0.1, 50.0
"""By how much power may miss what voltage and current, or the phases, give."""
CLEAR_A, CLEAR_W = 0.5, 100.0
"""From here on a current, or a power, has a direction."""
FROZEN_S, FROZEN_READINGS = 30.0, 5
NOISY_VALUES = 2
"""So many values have to be of the kind that never stands still, before standing still says something."""
_AHEAD_S = 1.0

Values = tuple[object, ...]
Found = tuple[Quality, Finding]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a meter's values are measured by. `fuse_a`: the limit of its circuit, None if it has none."""

    nominal_v: float = 230.0
    fuse_a: float | None = None
    moves: bool = True
    """Whether its values never stand still: False for one that averages over minutes."""


@dataclass(frozen=True, slots=True)
class Still:
    """Since when nothing that a meter says has moved. `values`: the last known of each."""

    values: Values
    since: float
    readings: int


def check(reading: MeterReading, rules: Rules, still: Still | None, now: float) -> tuple[MeterReading, Still]:
    """The reading with what was found in it, and what to hand in with the next one. `still` is None at the first."""
    still = _still(reading, still)
    found = [one for judge in _CHECKS for one in judge(reading, rules)]
    found += _time(reading, now)
    if rules.moves and _is_frozen(reading, still):
        found.append((Quality.SUSPECT, Finding(MeterReason.FROZEN)))
        reading = replace(reading, measured_at=still.since)
    quality = worst_quality([reading.quality, *(each for each, _ in found)])
    findings = (*reading.findings, *(finding for _, finding in found if finding not in reading.findings))
    return replace(reading, quality=quality, findings=findings), still


def _time(reading: MeterReading, now: float) -> list[Found]:
    ahead = reading.measured_at > now + _AHEAD_S
    return [(Quality.BAD, Finding(MeterReason.TIME_WRONG))] if ahead else []


def _complete(reading: MeterReading, rules: Rules) -> Iterator[Found]:
    missing = sum(value is not None for value in reading.current_a) < reading.phases
    if missing and not any(finding.reason is MeterReason.CURRENT_MISSING for finding in reading.findings):
        phases = tuple(phase for phase, value in enumerate(reading.current_a, 1) if value is None)
        yield Quality.PARTIAL, Finding(MeterReason.CURRENT_MISSING, phases if reading.phases == 3 else ())


def _voltage(reading: MeterReading, rules: Rules) -> Iterator[Found]:
    """A phase that is not there has no voltage and no current; with a current, its voltage is not connected.

    Where no phase at all is there, nothing is measured: registers that do not exist read as zero, and look like room.
    """
    shares = {phase: abs(volts) / rules.nominal_v for phase, volts, _ in _phases(reading) if volts is not None}
    absent = [phase for phase, share in shares.items() if share < ABSENT]
    wrong = [phase for phase, share in shares.items() if share >= ABSENT and not LOWEST <= share <= HIGHEST]
    if len(absent) == len(shares):
        wrong = absent
    least = max(CLEAR_A, 2 * reading.resolution_a)
    dead = [phase for phase, _, amps in _phases(reading) if phase in absent and abs(amps or 0) > least]
    if wrong:
        yield Quality.BAD, Finding(MeterReason.VOLTAGE_RANGE, tuple(wrong))
    elif dead:
        yield Quality.SUSPECT, Finding(MeterReason.VOLTAGE_RANGE, tuple(dead))


def _current(reading: MeterReading, rules: Rules) -> Iterator[Found]:
    if rules.fuse_a is None:
        return
    most = MOST_OF_FUSE * rules.fuse_a
    wrong = tuple(phase for phase, _, amps in _phases(reading) if amps is not None and abs(amps) >= most)
    if wrong:
        yield Quality.BAD, Finding(MeterReason.CURRENT_RANGE, wrong)


def _power(reading: MeterReading, rules: Rules) -> Iterator[Found]:
    """Active power is never more than voltage times current."""
    wrong = []
    for phase, volts, amps, watts in _whole_phases(reading):
        most = abs(volts) * (abs(amps) + reading.resolution_a) * (1 + TOLERANCE) + TOLERANCE_W
        if abs(watts) > most:
            wrong.append(phase)
    if wrong:
        yield _unless_apart(reading), Finding(MeterReason.POWER_MISMATCH, tuple(wrong))


def _sum(reading: MeterReading, rules: Rules) -> Iterator[Found]:
    total, parts = reading.power_total_w, [watts for watts in reading.power_w if watts is not None]
    if total is None or len(parts) < reading.phases:
        return
    most = TOLERANCE * max(abs(total), sum(map(abs, parts))) + TOLERANCE_W
    if abs(total - sum(parts)) > most:
        yield Quality.SUSPECT, Finding(MeterReason.SUM_MISMATCH)


def _sign(reading: MeterReading, rules: Rules) -> Iterator[Found]:
    if reading.current_signed is Signed.UNKNOWN:
        return
    least = max(CLEAR_A, 2 * reading.resolution_a)
    wrong = tuple(
        phase
        for phase, _, amps, watts in _whole_phases(reading)
        if abs(amps) > least and abs(watts) > CLEAR_W and (amps < 0) != (watts < 0)
    )
    if wrong:
        yield _unless_apart(reading), Finding(MeterReason.SIGN_WRONG, wrong)


def _pairing(reading: MeterReading, rules: Rules) -> Iterator[Found]:
    """A current that is paired with the voltage of another phase is turned by 120 degrees: half the power, negative."""
    wrong = tuple(
        phase
        for phase, volts, amps, watts in _whole_phases(reading)
        if abs(amps) > 4 * CLEAR_A and abs(volts) > ABSENT * rules.nominal_v and -0.6 < watts / abs(volts * amps) < -0.4
    )
    if len(wrong) > 1:
        yield Quality.SUSPECT, Finding(MeterReason.PHASE_WRONG, wrong)


def _ct_ratio(reading: MeterReading, rules: Rules) -> Iterator[Found]:
    """Judged where it is clear: all phases the same way, and the power factor off by a factor of two at least."""
    whole, factor = list(_whole_phases(reading)), reading.power_factor
    apparent = sum(abs(volts * amps) for _, volts, amps, _ in whole)
    watts = [one for _, _, _, one in whole]
    one_way = all(one > 0 for one in watts) or all(one < 0 for one in watts)
    if factor is None or not 0.2 < abs(factor) <= 1 or len(whole) < reading.phases or apparent < 1000 or not one_way:
        return
    if abs(sum(watts)) / apparent < abs(factor) / 2:
        yield Quality.SUSPECT, Finding(MeterReason.CT_RATIO)


_CHECKS: tuple[Callable[[MeterReading, Rules], Iterator[Found]], ...] = (
    _complete, _voltage, _current, _power, _sum, _sign, _pairing, _ct_ratio,
)  # fmt: skip


def _phases(reading: MeterReading) -> Iterator[tuple[int, float | None, float | None]]:
    yield from zip((1, 2, 3), reading.voltage_v, reading.current_a, strict=True)


def _whole_phases(reading: MeterReading) -> Iterator[tuple[int, float, float, float]]:
    """Phases with voltage, current and power."""
    for phase, volts, amps, watts in zip((1, 2, 3), reading.voltage_v, reading.current_a, reading.power_w, strict=True):
        if volts is not None and amps is not None and watts is not None:
            yield phase, volts, amps, watts


def _unless_apart(reading: MeterReading) -> Quality:
    """Values of different moments may disagree and be true."""
    apart = any(finding.reason is MeterReason.PARTS_APART for finding in reading.findings)
    return Quality.SUSPECT if apart else Quality.BAD


def _still(reading: MeterReading, before: Still | None) -> Still:
    """All that can move is looked at: a meter whose clock goes on is alive. What comes or goes has not moved."""
    values: Values = (
        *reading.current_a, *reading.voltage_v, *reading.power_w, reading.power_total_w, reading.power_factor,
        reading.frequency_hz, reading.energy_import_kwh, reading.energy_export_kwh, reading.device_time,
    )  # fmt: skip
    if before is None:
        return Still(values, reading.measured_at, 1)
    known = tuple(old if new is None else new for old, new in zip(before.values, values, strict=True))
    if any(old is not None and old != new for old, new in zip(before.values, known, strict=True)):
        return Still(known, reading.measured_at, 1)
    return Still(known, before.since, before.readings + 1)


def _is_frozen(reading: MeterReading, still: Still) -> bool:
    same_s = reading.measured_at - still.since
    return same_s >= FROZEN_S and still.readings >= FROZEN_READINGS and _noisy_values(reading) >= NOISY_VALUES


def _noisy_values(reading: MeterReading) -> int:
    """Values that a live source does not repeat: no zeros, nothing rounded to whole volts or amperes."""
    volts = sum(value is not None and value % 1 != 0 for value in reading.voltage_v)
    amps = sum(bool(value) for value in reading.current_a) if reading.resolution_a <= 0.1 else 0
    return volts + amps + sum(bool(value) for value in reading.power_w)
