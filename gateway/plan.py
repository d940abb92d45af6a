"""What the configuration says of sharing current: the tree, how each station takes its profiles, who may cap it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from gateway.model.balance import Policy
from gateway.model.ids import StationId
from gateway.model.site_tree import CircuitNode, ConnectorKey, ConnectorSpec
from gateway.smartcharging.external import CapSource
from gateway.smartcharging.families import DEFAULT, Family, shipped


class Lodging(NamedTuple):
    """Where a station that is in no circuit counts, and with how many amperes a phase at most. `circuit` None: nowhere,
    and it is served only if every circuit has a meter that sees what it draws."""

    circuit: str | None = None
    rating_a: float = 32.0


class Topic(NamedTuple):
    """Where a source's caps come by MQTT. `broker`: host and port. The files are read for each connection."""

    broker: str
    topic: str
    username: str | None = None
    password_file: Path | None = None
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`own_circuit`: of a station with several connectors, the circuit that stands for the station itself.

    `installed`: connectors before their family was asked, of stations whose boot decides on it.
    `proven`: stations that were seen to step down by themselves at the end of a lease.
    `topics`: by the name of a source. `lodgings`: of the listeners; `ratings`: of stations in no circuit whose
    connectors are known. `elsewhere`: stations that none of the circuits feeds. `sees_all`: every circuit has a meter.
    """

    circuits: tuple[CircuitNode, ...]
    connectors: tuple[ConnectorSpec, ...]
    policy: Policy = field(default_factory=Policy)
    families: Mapping[StationId, Family] = field(default_factory=dict)
    proven: frozenset[StationId] = frozenset()
    own_circuit: Mapping[StationId, str] = field(default_factory=dict)
    sources: tuple[CapSource, ...] = ()
    topics: Mapping[str, Topic] = field(default_factory=dict)
    lodgings: tuple[Lodging, ...] = ()
    installed: Mapping[StationId, tuple[ConnectorSpec, ...]] = field(default_factory=dict)
    ratings: Mapping[StationId, float] = field(default_factory=dict)
    elsewhere: frozenset[StationId] = frozenset()
    sees_all: bool = True

    def keys_of(self, station: StationId) -> tuple[ConnectorKey, ...]:
        return tuple(spec.key for spec in self.connectors if spec.key.station == station)

    def family(self, station: StationId) -> Family:
        return self.families.get(station) or shipped()[DEFAULT]

    def with_family(self, station: StationId, family: Family) -> "Plan":
        """With a station of another family. Only for those of `installed`."""
        made = iter([family.spec(one) for one in self.installed[station]])
        connectors = tuple(next(made) if spec.key.station == station else spec for spec in self.connectors)
        return replace(self, connectors=connectors, families={**self.families, station: family})

    def rating_a(self, station: StationId) -> float:
        """The most the whole station may ever draw, per phase: all its connectors, or its own fuse."""
        most = sum(spec.max_a for spec in self.connectors if spec.key.station == station)
        own = self.own_circuit.get(station)
        return min([most, *(max(node.limit_a) for node in self.circuits if node.id == own)])

    def is_proven(self, station: StationId) -> bool:
        family = self.family(station)
        return family.takes_leases and (family.proven or station in self.proven)
