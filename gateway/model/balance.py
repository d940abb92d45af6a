"""What balancing is told at one moment, and what it decides. Times are monotonic seconds, currents amperes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from math import inf
from typing import NamedTuple

from gateway.model.site_tree import NO_AMPS, NOMINAL_V, Amps, ConnectorKey, Mode, Why


class Rung(IntEnum):
    """How far a circuit's meter can be believed, from best to worst."""

    NORMAL = 0
    LATE = 1
    """No raise."""
    STALE = 2
    """The background counts at its worst case."""
    BLIND = 3
    """Static budget: every idle fallback counts too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitReading:
    """What flowed into a metered circuit, import positive. `suspect`: it may be wrong, so that nothing is raised by it.
    `trusted` False: it is wrong, and as good as none."""

    current_a: Amps
    at: float
    interval_s: float = 1.0
    bad_in_a_row: int = 0
    suspect: bool = False
    trusted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalCap:
    """A cap of the grid operator or energy manager on all chargers below a circuit; expiry is the caller's business."""

    circuit: str
    limit_w: float | None = None
    limit_a: Amps | None = None


class CapStep(NamedTuple):
    """From `at` on the cap is `amps` (inf: none)."""

    at: float
    amps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a driver wants, in Ah per phase at the connector's voltage. `departure`: monotonic, None if not known."""

    remaining_ah: float
    requested_ah: float
    departure: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorFacts:
    """One connector now.

    `managed`: fallback installed and checked since its boot. `proven`: this model and firmware was seen to step down
    at the end of a lease. `transaction`: anything that differs between transactions, None without one.
    `measured_a`: per phase of the grid, as the station reported; without `names_phases` it may flow on one only.
    `csms`: the composite of the CSMS's profiles, as its value from now on and the break points that are known.
    `car_max_a`, `car_phases`: what the car said.
    `phase_cap`: most phases the CSMS allows, obeyed by one that can switch.
    `ceiling_a`: the stored ceiling of an unproven one. `adopted_a`: what it was found to hold after a start.
    """

    key: ConnectorKey
    reachable: bool = True
    managed: bool = True
    proven: bool = True
    has_ev: bool = False
    transaction: object = None
    wants: bool = True
    measured_a: Amps | None = None
    measured_at: float = -inf
    names_phases: bool = True
    csms: tuple[CapStep, ...] = ()
    car_max_a: float | None = None
    car_phases: int | None = None
    phase_cap: int = 3
    sleepy: bool = False
    need: Need | None = None
    rank: int | None = None
    ceiling_a: float | None = None
    adopted_a: float | None = None


class Answer(StrEnum):
    """How a profile write ended. `unknown`: sent, never answered."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    NOT_SENT = "not-sent"


class Outcome(NamedTuple):
    """What became of write number `sequence`."""

    key: ConnectorKey
    sequence: int
    answer: Answer
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFacts:
    """Everything balancing is told. `outcomes`: each exactly once. `rises`: the largest rise of a circuit's background
    within one lease, margin included, from a week on record. `steps`: the 99th percentile of its rise within one
    interval of the meter. Circuits without a record count at their worst case."""

    connectors: tuple[ConnectorFacts, ...]
    readings: Mapping[str, CircuitReading] = field(default_factory=dict)
    outcomes: tuple[Outcome, ...] = ()
    caps: tuple[ExternalCap, ...] = ()
    rises: Mapping[str, Amps] = field(default_factory=dict)
    steps: Mapping[str, Amps] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How the site shares. Seconds and amperes."""

    mode: Mode = Mode.EQUAL
    quantum_s: float = 1200.0
    min_on_s: float = 300.0
    stable_s: float = 30.0
    raise_gap_s: float = 30.0
    dead_band_a: float = 1.0
    writes_per_h: float = 30.0
    voltage_v: float = NOMINAL_V


class Urgency(IntEnum):
    """Why a write is made, the most urgent first."""

    CUT = 0
    FIRST = 1
    """The first of a transaction."""
    RENEW = 2
    LOWER = 3
    """Room for others; nothing is over its limit."""
    RAISE = 4
    WAKE = 5
    """A moment at 0 A, for a car that did not begin to draw after a pause."""


class Write(NamedTuple):
    """One profile for one connector: `amps` for `lease_s`, then `fallback_a` (lease_s 0: no second period).

    `phases`: 0 as the station likes, 1 only its L1. `ceiling_a`: to be committed before the write leaves, None if
    nothing is. `sequence` names the write in its Outcome. `at`: when it was decided; the lease is reckoned from then,
    however long the write waits for its turn.
    """

    key: ConnectorKey
    sequence: int
    amps: float
    phases: int
    lease_s: float
    fallback_a: float
    urgency: Urgency
    why: Why
    ceiling_a: float | None = None
    at: float = 0.0


class Remedy(StrEnum):
    """What to try with a station that draws more than it was told, one after the other."""

    RESEND = "resend"
    OTHER_PURPOSE = "other-purpose"
    ZERO = "zero"
    STOP = "stop"


class AlarmKind(StrEnum):
    METER_BLIND = "meter-blind"
    METER_DOUBTED = "meter-doubted"
    """The chargers draw more than their circuit's meter sees: reversed, on other phases, or there is a generator."""
    DISOBEDIENT = "disobedient"
    OVERLOAD = "overload"
    BACKGROUND = "background-over-worst-case"
    SLEEPY = "sleepy"


class Alarm(NamedTuple):
    """Something people should know; it stands as long as decisions carry it. `subject`: a circuit or connector."""

    kind: AlarmKind
    subject: str
    remedy: Remedy | None = None


class Background(NamedTuple):
    """Loads of a circuit that are no chargers: now, the most within one lease, the most ever."""

    now: Amps = NO_AMPS
    within_lease: Amps = NO_AMPS
    worst: Amps = NO_AMPS
    rung: Rung = Rung.NORMAL


class Hold(NamedTuple):
    """What a connector may hold, per phase of the grid.

    `fallback`: its F, on all phases of the connector. `static`: what it may hold with the gateway dead for good.
    `fresh`: its EV came, or its link went, so lately that the others' cuts may still be under way.
    """

    key: ConnectorKey
    load: Amps
    fallback: Amps
    static: Amps
    has_ev: bool
    reachable: bool
    fresh: bool = False


class Share(NamedTuple):
    """A connector's place in the plan: the current planned, the one written last, and what binds."""

    key: ConnectorKey
    target_a: float
    set_a: float
    phases: int
    why: Why
