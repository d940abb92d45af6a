"""What the configuration says of sharing current: the tree, how each station takes its profiles, who may cap it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.model.balance import Policy
from gateway.model.ids import StationId
from gateway.model.site_tree import CircuitNode, ConnectorKey, ConnectorSpec
from gateway.smartcharging.external import CapSource
from gateway.smartcharging.families import DEFAULT, Family, shipped


class Topic(NamedTuple):
    """Where a source's caps come by MQTT. `broker`: host and port."""

    broker: str
    topic: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`own_circuit`: of a station with several connectors, the circuit that stands for the station itself.

    `proven`: stations that were seen to step down by themselves at the end of a lease.
    `topics`: by the name of a source.
    """

    circuits: tuple[CircuitNode, ...]
    connectors: tuple[ConnectorSpec, ...]
    policy: Policy = field(default_factory=Policy)
    families: Mapping[StationId, Family] = field(default_factory=dict)
    proven: frozenset[StationId] = frozenset()
    own_circuit: Mapping[StationId, str] = field(default_factory=dict)
    sources: tuple[CapSource, ...] = ()
    topics: Mapping[str, Topic] = field(default_factory=dict)

    def keys_of(self, station: StationId) -> tuple[ConnectorKey, ...]:
        return tuple(spec.key for spec in self.connectors if spec.key.station == station)

    def family(self, station: StationId) -> Family:
        return self.families.get(station) or shipped()[DEFAULT]

    def is_proven(self, station: StationId) -> bool:
        family = self.family(station)
        return family.takes_leases and (family.proven or station in self.proven)
