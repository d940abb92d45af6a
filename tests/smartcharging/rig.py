"""A small plant for the allocator: stations that hold what they were truly given, over links that delay, lose and cut.

It knows the truth that the gateway has to infer, and judges by it: what is permitted at every instant, on every circuit
and phase. (The whole-day simulator with ramps, breakers and quirks is another one.)
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.model.balance import Answer, CircuitReading, ConnectorFacts, ExternalCap, Outcome, Policy, SiteFacts, Write
from gateway.model.ids import StationId
from gateway.model.site_tree import NO_AMPS, Amps, CircuitNode, ConnectorKey, ConnectorSpec
from gateway.smartcharging.circuits import SiteTree, added, on_grid
from gateway.smartcharging.decide import Decision, State, decide
from gateway.smartcharging.fallback import choose

LATENCY_S = 3.0


class Flight(NamedTuple):
    """A write or an answer under way. A write is for one transaction, and nothing in another one."""

    arrives: float
    write: Write
    transaction: int | None
    answer: Answer | None = None


@dataclass(slots=True)
class Station:
    """What the hardware does: it obeys the newest value it received, its latency later, and its lease's end."""

    spec: ConnectorSpec
    fallback_a: float
    proven: bool = True
    has_ev: bool = False
    transaction: int | None = None
    reachable: bool = True
    appetite: float = 1.0
    takes_a: float = 99.0
    measured: Amps | None = None
    measured_at: float = 0.0
    ceiling_a: float = 0.0
    adopted_a: float | None = None
    received: list[tuple[float, Write]] = field(default_factory=list)
    """(obeyed from, write)."""

    def permitted(self, now: float) -> Amps:
        """Current it lets flow at most, per phase of the grid: of a step down under way, still the value before."""
        most = [self.fallback_a] * len(self.spec.phases)
        for at, write in self.received:
            ended = self.proven and write.lease_s > 0 and now >= at - LATENCY_S + write.lease_s
            amps = self.fallback_a if ended else write.amps
            new = [amps if own < (write.phases or 3) or ended else 0.0 for own in range(len(most))]
            most = new if at <= now else [max(old, one) for old, one in zip(most, new, strict=True)]
        return on_grid(most, self.spec.phases)

    def draws(self, now: float) -> Amps:
        if self.transaction is None:
            return NO_AMPS
        permitted = self.permitted(now)
        first, second, third = (min(amps * self.appetite, self.takes_a) for amps in permitted)
        return (first, second, third)


@dataclass(slots=True)
class Weather:
    """How bad the links are. Seconds and probabilities."""

    least_s: float = 0.1
    most_s: float = 1.0
    lost: float = 0.0
    unanswered: float = 0.0
    rejected: float = 0.0


@dataclass(slots=True)
class Plant:
    tree: SiteTree
    stations: dict[ConnectorKey, Station]
    rng: random.Random
    policy: Policy = field(default_factory=Policy)
    weather: Weather = field(default_factory=Weather)
    background: dict[str, Amps] = field(default_factory=dict)
    rises: dict[str, Amps] = field(default_factory=dict)
    caps: tuple[ExternalCap, ...] = ()
    metered: bool = True
    read: dict[str, CircuitReading] = field(default_factory=dict)
    now: float = 0.0
    state: State = field(default_factory=lambda: State(started=0.0))
    flights: list[Flight] = field(default_factory=list)
    decision: Decision | None = None
    writes: list[tuple[float, Write]] = field(default_factory=list)
    alive: bool = True

    def tick(self, seconds: float = 1.0) -> None:
        """Time passes: writes arrive, answers come back, and the gateway decides."""
        self.now += seconds
        outcomes = list(self._land())
        if not self.alive:
            return
        decision = decide(self.tree, self._facts(outcomes), self.state, self.policy, self.now)
        self.state, self.decision = decision.state, decision
        for write in decision.writes:
            self._send(write)

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.tick()

    def _send(self, write: Write) -> None:
        self.writes.append((self.now, write))
        weather, rng = self.weather, self.rng
        station = self.stations[write.key]
        if write.ceiling_a is not None:
            station.ceiling_a = write.ceiling_a
        if not station.reachable or rng.random() < weather.lost:
            return
        arrives = self.now + rng.uniform(weather.least_s, weather.most_s)
        mine = [flight.arrives for flight in self.flights if flight.write.key == write.key and flight.answer is None]
        self.flights.append(Flight(max([arrives, *(at + 1e-3 for at in mine)]), write, station.transaction))

    def _land(self) -> Iterator[Outcome]:
        for flight in sorted(self.flights, key=lambda flight: flight.arrives):
            if flight.arrives > self.now:
                continue
            self.flights.remove(flight)
            if flight.answer is not None:
                yield Outcome(flight.write.key, flight.write.sequence, flight.answer, self.now)
                continue
            station = self.stations[flight.write.key]
            if not station.reachable or station.transaction is None or station.transaction != flight.transaction:
                continue
            refused = self.rng.random() < self.weather.rejected
            if not refused:
                station.received.append((flight.arrives + LATENCY_S, flight.write))
            if self.rng.random() >= self.weather.unanswered:
                back = flight.arrives + self.rng.uniform(self.weather.least_s, self.weather.most_s)
                answer = Answer.REJECTED if refused else Answer.ACCEPTED
                self.flights.append(Flight(back, flight.write, flight.transaction, answer))

    def plug(self, key: ConnectorKey, transaction: int) -> None:
        station = self.stations[key]
        station.has_ev, station.transaction, station.received = True, transaction, []

    def unplug(self, key: ConnectorKey) -> None:
        station = self.stations[key]
        station.has_ev, station.transaction, station.received = False, None, []

    def _facts(self, outcomes: Sequence[Outcome]) -> SiteFacts:
        for node in self.tree.circuits:
            if node.metered and self.metered:
                self.read[node.id] = CircuitReading(current_a=self.flow(node.id), at=self.now)
        return SiteFacts(
            connectors=tuple(self._fact(station) for station in self.stations.values()),
            readings=dict(self.read),
            caps=self.caps,
            outcomes=tuple(outcome for outcome in outcomes if self.stations[outcome.key].reachable),
            rises=self.rises,
        )

    def _fact(self, station: Station) -> ConnectorFacts:
        if station.reachable:
            station.measured, station.measured_at = station.draws(self.now), self.now
        return ConnectorFacts(
            key=station.spec.key,
            reachable=station.reachable,
            proven=station.proven,
            has_ev=station.has_ev,
            transaction=station.transaction,
            adopted_a=station.adopted_a,
            ceiling_a=max(station.ceiling_a, station.fallback_a),
            measured_a=station.measured,
            measured_at=station.measured_at,
        )

    def flow(self, circuit: str) -> Amps:
        """The true current into a circuit."""
        total = self._others(circuit)
        for key in self.tree.below[self.tree.index[circuit]]:
            station = self.stations[key]
            total = added(total, station.draws(self.now))
        return total

    def permitted(self, circuit: str) -> Amps:
        """What the circuit would carry if every car took all that is permitted now, those without a car left out."""
        total = self._others(circuit)
        for key in self.tree.below[self.tree.index[circuit]]:
            station = self.stations[key]
            if station.has_ev:
                total = added(total, station.permitted(self.now))
        return total

    def over(self, factor: float = 1.0) -> list[str]:
        """Circuits and phases on which more is permitted than `factor` x limit, by the truth."""
        return [
            f"{self.now:.1f} s: {node.id} L{phase + 1} permits {amps:.2f} A of {node.limit_a[phase]:g} A"
            for node in self.tree.circuits
            for phase, amps in enumerate(self.permitted(node.id))
            if amps > factor * node.limit_a[phase] + 1e-3
        ]

    def others(self) -> list[Amps]:
        """The true background of every circuit."""
        return [self._others(node.id) for node in self.tree.circuits]

    def _others(self, circuit: str) -> Amps:
        index = self.tree.index[circuit]
        total = NO_AMPS
        for node, above in zip(self.tree.circuits, self.tree.ancestors, strict=True):
            if index in above:
                total = added(total, self.background.get(node.id, NO_AMPS))
        return total


def build(
    circuits: Sequence[CircuitNode], specs: Sequence[ConnectorSpec], *, seed: int = 1, proven: bool = True
) -> Plant:
    """A plant with the fallbacks the gateway chooses. Raise AssertionError if the site can't be safe."""
    choice = choose(circuits, specs)
    assert not choice.failures, choice.failures
    tree = choice.tree
    stations = {
        spec.key: Station(spec, tree.fallback_a[spec.key], proven=proven and spec.lease_s > 0) for spec in specs
    }
    rises = {node.id: (0.0, 0.0, 0.0) for node in circuits if node.metered}
    return Plant(tree, stations, random.Random(seed), rises=rises)


def key(number: int) -> ConnectorKey:
    return ConnectorKey(StationId(f"CP-{number:02}"), 1)
