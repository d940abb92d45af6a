"""What the configuration says of sharing current: the tree, how each station takes its profiles, who may cap it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.model.balance import Policy
from gateway.model.ids import StationId
from gateway.model.profile import Kind, RateUnit
from gateway.model.site_tree import Amps, CircuitNode, ConnectorKey, ConnectorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How stations of one kind take profiles and obey them. The defaults are those of a station nobody knows.

    `kind` None: Absolute while the station's clock is right, else Relative. `max_periods` < 2: no lease.
    `is_proven`: stations of this kind were seen to step down by themselves at the end of a lease of `lease_s`.
    `latency_s`: from Accepted to the current's change, at most. `start_delay_s`: from the answer to a start to the
    first profile. `is_pausable`: obeys 0 A. `tells_composite`: its GetCompositeSchedule can be believed.
    """

    name: str = "default"
    unit: RateUnit = RateUnit.A
    kind: Kind | None = None
    stack_level: int = 0
    max_periods: int = 2
    names_phases: bool = True
    is_proven: bool = False
    lease_s: float = 300.0
    latency_s: float = 10.0
    step_a: float = 1.0
    is_pausable: bool = True
    start_delay_s: float = 1.0
    tells_composite: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CapSource:
    """Who may cap a circuit from outside. While it is not heard for `heartbeat_s`, the fail-safe holds (None: nothing
    does). `topic`: where its caps come in by MQTT."""

    name: str
    circuit: str
    heartbeat_s: float = 120.0
    fail_safe_w: float | None = None
    fail_safe_a: Amps | None = None
    broker: str | None = None
    topic: str | None = None

    @property
    def has_fail_safe(self) -> bool:
        return self.fail_safe_w is not None or self.fail_safe_a is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`own_circuit`: of a station with several connectors, the circuit that stands for the station itself."""

    circuits: tuple[CircuitNode, ...]
    connectors: tuple[ConnectorSpec, ...]
    policy: Policy = field(default_factory=Policy)
    families: Mapping[StationId, Family] = field(default_factory=dict)
    own_circuit: Mapping[StationId, str] = field(default_factory=dict)
    sources: tuple[CapSource, ...] = ()

    def keys_of(self, station: StationId) -> tuple[ConnectorKey, ...]:
        return tuple(spec.key for spec in self.connectors if spec.key.station == station)

    def family(self, station: StationId) -> Family:
        return self.families.get(station, Family())
