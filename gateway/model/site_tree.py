"""Circuits and connectors of a site as the allocator sees them. Currents are amperes, per phase of the grid."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from gateway.model.ids import StationId

Amps = tuple[float, float, float]
"""Current on L1, L2 and L3, in A."""
NO_AMPS: Final[Amps] = (0.0, 0.0, 0.0)
NOMINAL_V: Final = 230.0
"""Phase to neutral, in V."""


class ConnectorKey(NamedTuple):
    """A connector (2.x: an EVSE) of one station."""

    station: StationId
    evse: int

    def __str__(self) -> str:
        return f"{self.station}/{self.evse}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitNode:
    """One circuit. `limit_a`: its fuse. `limit_w`: over all phases, background included.

    `imbalance_a`: the most by which the chargers' currents on two phases may differ (VDE-AR-N 4100: 20 A).
    `background_a`: the most that loads other than chargers draw directly here, those of sub-circuits not counted;
    None is unknown, and counts as the whole limit.
    `metered`: the flow into this circuit is measured. `overload`: the multiple of the limit that its fuse bears for an
    hour (D9's k). `generates`: something below may feed in (PV, a battery), so that the chargers may draw more than
    flows in.
    """

    id: str
    limit_a: Amps
    parent: str | None = None
    background_a: Amps | None = NO_AMPS
    metered: bool = False
    limit_w: float | None = None
    imbalance_a: float | None = None
    overload: float = 1.13
    generates: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorSpec:
    """One connector as it is installed.

    `phases`: the grid's phases (0 to 2) behind its own L1, L2, L3, so that (1, 2, 0) is rotated and (2,) is a
    one-phase outlet on L3. `steps`: the set-points it knows, if they are no multiples of `step_a`.
    `fallback_a`: the fallback an installer wants, None to let the gateway choose.
    `latency_s`: from its Accepted to the current's change, at most. `switchable`: takes a limit for one phase only.
    `pausable`: obeys 0 A. `rank`: priority class, higher goes first. `weight`: its share within the class.
    """

    key: ConnectorKey
    circuit: str
    phases: tuple[int, ...] = (0, 1, 2)
    min_a: float = 6.0
    max_a: float = 32.0
    step_a: float = 1.0
    steps: tuple[float, ...] | None = None
    fallback_a: float | None = None
    latency_s: float = 5.0
    lease_s: float = 300.0
    switchable: bool = False
    pausable: bool = True
    rank: int = 0
    weight: float = 1.0


class Mode(StrEnum):
    """How current is shared among the cars that have been let in."""

    EQUAL = "equal"
    NEED = "need-weighted"
    PRIORITY = "priority"


class Binding(StrEnum):
    """What keeps a connector from more current; the same words in page, API, metrics and log."""

    CONNECTOR = "connector"
    """The connector's own rating."""
    CAR = "car"
    """The car says that it takes no more."""
    DRAWS_LESS = "draws-less"
    """The car has been drawing less than it was offered: the rest went to others, and is offered again at times."""
    CSMS = "csms"
    GRID = "grid"
    """A cap of the grid operator or the energy manager."""
    CIRCUIT = "circuit"
    POWER = "power"
    IMBALANCE = "imbalance"
    EXPOSURE = "exposure"
    """What would go on flowing if the gateway or the links were gone."""
    UNPROVEN = "unproven"
    """The station was never seen to step down by itself: what it is given stays given if the gateway dies."""
    METER = "meter"
    """The circuit's meter is late, stale or blind."""
    TURN = "turn"
    """Not every car can have its minimum: this one waits for its turn."""
    MINIMUM = "minimum"
    """What it could have is below its minimum."""
    SATISFIED = "satisfied"
    """The car wants nothing."""
    NO_TRANSACTION = "no-transaction"
    UNREACHABLE = "unreachable"
    UNMANAGED = "unmanaged"
    """Its fallback is not installed and checked yet."""
    START = "start"
    """The gateway has just started and has not heard every station."""
    SETTLING = "settling"
    """There is room, but not for long enough yet."""
    LOWER_FIRST = "lower-first"
    """Others are on their way down to make room."""
    PENDING = "pending"
    """The station has not answered the last write."""
    WRITES = "writes"
    """The station's budget of profile writes is used up for now."""
    SHED = "shed"
    """The circuit was over its limit in spite of everything: chargers were cut to 0 A."""


class Why(NamedTuple):
    """A binding limit: of which circuit and phase (1 to 3; 0: all), and until when (monotonic) it is known to bind."""

    binding: Binding
    circuit: str = ""
    phase: int = 0
    until: float | None = None

    def __str__(self) -> str:
        where = f" {self.circuit}" if self.circuit else ""
        return f"{self.binding.value}{where}{f' L{self.phase}' if self.phase else ''}"
