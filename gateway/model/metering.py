"""What the building's meters said, how far it can be believed, and what is known of each meter now.

Plus is import, minus is export. A value that is not there is None, never 0. How old a value is follows from monotonic
time alone; wall time is for people.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from gateway.model.ids import CircuitId, MeterId

Phases = tuple[float | None, float | None, float | None]
"""L1, L2, L3."""
NO_PHASES: Final[Phases] = (None, None, None)


class Signed(StrEnum):
    """Where the sign of the currents comes from. `unknown`: magnitudes, so that export looks like import."""

    NATIVE = "native"
    FROM_POWER = "from-power"
    UNKNOWN = "unknown"


class Quality(StrEnum):
    """From best to worst. `suspect`: no reason to raise anything. `bad`: to be shown only."""

    GOOD = "good"
    PARTIAL = "partial"
    SUSPECT = "suspect"
    BAD = "bad"


class Freshness(StrEnum):
    """From best to worst. `late`: nothing is raised. `stale`, `blind`: the values count no longer."""

    FRESH = "fresh"
    LATE = "late"
    STALE = "stale"
    BLIND = "blind"


class MeterReason(StrEnum):
    """Why a reading is not good. Those up to `no-checksum` are given by drivers, the rest by the gateway's checks."""

    CURRENT_MISSING = "current-missing"
    VOLTAGE_MISSING = "voltage-missing"
    POWER_MISSING = "power-missing"
    VALUE_MISSING = "value-missing"
    SIGN_UNKNOWN = "sign-unknown"
    PARTS_APART = "parts-apart"
    RETAINED = "retained"
    DEVICE_CLOCK = "device-clock"
    NO_CHECKSUM = "no-checksum"

    VOLTAGE_RANGE = "voltage-range"
    CURRENT_RANGE = "current-range"
    POWER_MISMATCH = "power-mismatch"
    SUM_MISMATCH = "sum-mismatch"
    FROZEN = "frozen"
    SIGN_WRONG = "sign-wrong"
    PHASE_WRONG = "phase-wrong"
    CT_RATIO = "ct-ratio"
    TIME_WRONG = "time-wrong"


WORDS: Final[Mapping[MeterReason, str]] = {
    MeterReason.CURRENT_MISSING: "the meter sent no current",
    MeterReason.VOLTAGE_MISSING: "the meter sent no voltage",
    MeterReason.POWER_MISSING: "the meter sent no power",
    MeterReason.VALUE_MISSING: "energy, power factor or frequency is missing; balancing does not need it",
    MeterReason.SIGN_UNKNOWN: "the power that tells import from export is missing; shown as import",
    MeterReason.PARTS_APART: "its parts were measured at different times",
    MeterReason.RETAINED: "kept by the broker, nobody knows since when",
    MeterReason.DEVICE_CLOCK: "the meter dates it long before it arrived",
    MeterReason.NO_CHECKSUM: "the protocol has no checksum: a flipped bit would not be noticed",
    MeterReason.VOLTAGE_RANGE: "no voltage of this network: wrong register, wiring or nominal_v",
    MeterReason.CURRENT_RANGE: "more than twice the circuit's limit: wrong register, ct_ratio or limit_a",
    MeterReason.POWER_MISMATCH: "more power than voltage and current give: wrong register or ct_ratio",
    MeterReason.SUM_MISMATCH: "the phases do not add up to the total",
    MeterReason.FROZEN: "values that always move do not move: the source repeats old ones",
    MeterReason.SIGN_WRONG: "current and power disagree on import and export",
    MeterReason.PHASE_WRONG: "power fits no load: currents and voltages of different phases are paired",
    MeterReason.CT_RATIO: "current does not fit power and power factor: ct_ratio counts for one of them only",
    MeterReason.TIME_WRONG: "measured in the future: the driver's clock is wrong",
}
"""The same words everywhere: page, command line, log."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason, and the phases (1 to 3) it is about; none: the whole reading."""

    reason: MeterReason
    phases: tuple[int, ...] = ()

    def __str__(self) -> str:
        where = "".join(f" L{phase}" for phase in self.phases)
        return f"{self.reason.value}{where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterReading:
    """What a meter said at one moment, in the building's phases, after the checks.

    `measured_at`: monotonic time of the oldest part; of a frozen source, when its values last moved. `measured`: the
    same by the wall clock, for people. `interval_s`: expected seconds between readings. `resolution_a`: step of the
    currents. `phases`: how many the meter measures. `device_time`: the meter's own clock.
    """

    meter: MeterId
    sequence: int
    measured_at: float
    measured: datetime
    interval_s: float
    current_a: Phases = NO_PHASES
    current_signed: Signed = Signed.UNKNOWN
    voltage_v: Phases = NO_PHASES
    power_w: Phases = NO_PHASES
    power_total_w: float | None = None
    power_factor: float | None = None
    frequency_hz: float | None = None
    energy_import_kwh: float | None = None
    energy_export_kwh: float | None = None
    resolution_a: float = 0.01
    phases: int = 3
    device_time: datetime | None = None
    quality: Quality = Quality.GOOD
    findings: tuple[Finding, ...] = ()


class TroubleKind(StrEnum):
    """What keeps a meter from being read."""

    UNPLUGGED = "unplugged"
    NO_PERMISSION = "no-permission"
    IN_USE = "in-use"
    UNREACHABLE = "unreachable"
    SILENT = "silent"
    GARBLED = "garbled"
    REFUSED = "refused"
    NO_CURRENTS = "no-currents"
    """It reads, but nothing can be balanced by it."""
    WRONG_METER = "wrong-meter"
    NOT_INSTALLED = "not-installed"
    MISCONFIGURED = "misconfigured"
    ENDED = "ended"
    BROKEN = "broken"
    """The driver failed in a way nobody foresaw."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """For people: what is wrong, and what to do about it."""

    kind: TroubleKind
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.problem}. Remedy: {self.remedy}"


@dataclass(frozen=True, slots=True)
class MeterHealth:
    """What a driver says of itself: `trouble` now, `counters` since it was started, `notes` of what it learned."""

    trouble: Trouble | None = None
    counters: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """A value that was measured, and when (monotonic)."""

    value: float
    at: float


HeldPhases = tuple[Held | None, Held | None, Held | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterState:
    """One meter now. `latest` is what it said last, believed or not.

    `current_a`, `power_w` (of all phases) and the rest: the last believed value of each, with its own age. `quality`,
    `resolution_a`: of the last reading that was believed. `bad_in_a_row`: readings since then that were not.
    """

    meter: MeterId
    latest: MeterReading | None = None
    current_a: HeldPhases = (None, None, None)
    power_w: Held | None = None
    power_factor: Held | None = None
    frequency_hz: Held | None = None
    energy_import_kwh: Held | None = None
    energy_export_kwh: Held | None = None
    quality: Quality = Quality.GOOD
    interval_s: float | None = None
    resolution_a: float = 0.01
    bad_in_a_row: int = 0
    health: MeterHealth = MeterHealth()


class MissingReason(StrEnum):
    """Why a load, or a phase of it, is not known."""

    NO_METER = "no-meter"
    """The circuit has neither a meter nor circuits below it."""
    NO_READING = "no-reading"
    """The meter has said nothing yet that could be believed."""
    NOT_MEASURED = "not-measured"
    """The meter does not measure this phase."""
    STALE = "stale"
    BLIND = "blind"


@dataclass(frozen=True, slots=True)
class Missing:
    """What a load lacks: which part, on which phases (1 to 3), and why."""

    circuit: CircuitId
    meter: MeterId | None
    phases: tuple[int, ...]
    reason: MissingReason

    def __str__(self) -> str:
        where = f"meter {self.meter}" if self.meter else f"circuit {self.circuit}"
        return f"{where} {'/'.join(f'L{phase}' for phase in self.phases)}: {self.reason.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitLoad:
    """What flows into a circuit. A phase is None where a part of it is not known: `missing` says which and why.

    `power_w`: all phases; None likewise. `freshness`, `quality`, `measured_at` (monotonic, None: nothing is known) and
    `interval_s` are those of the worst part.
    """

    circuit: CircuitId
    current_a: Phases = NO_PHASES
    power_w: float | None = None
    freshness: Freshness = Freshness.BLIND
    quality: Quality = Quality.GOOD
    measured_at: float | None = None
    interval_s: float | None = None
    missing: tuple[Missing, ...] = ()


_QUALITIES = tuple(Quality)
_FRESHNESS = tuple(Freshness)


def worst_quality(qualities: Iterable[Quality]) -> Quality:
    return max(qualities, key=_QUALITIES.index, default=Quality.GOOD)


def worst_freshness(states: Iterable[Freshness]) -> Freshness:
    return max(states, key=_FRESHNESS.index, default=Freshness.FRESH)
