"""The gateway around `decide`: what the wiring of balancing does, on the plant's clock and with the plant's links."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING

from gateway.flows.balance import PRESSED_EVERY_S
from gateway.model.balance import (
    Answer,
    CircuitReading,
    ConnectorFacts,
    ExternalCap,
    Outcome,
    Policy,
    Remedy,
    SiteFacts,
    Write,
)
from gateway.model.ids import StationId
from gateway.model.site_tree import Amps, ConnectorKey
from gateway.smartcharging.circuits import SiteTree
from gateway.smartcharging.decide import Decision, State, decide
from tests.smartcharging.plant.chargers import VOLTS, Outlet
from tests.smartcharging.plant.links import CALL_S

if TYPE_CHECKING:
    from tests.smartcharging.plant.world import World

DECIDES_S = 0.05


@dataclass(slots=True)
class Line:
    """A station's calls: one at a time. `waiting`: what goes next."""

    calling: Write | None = None
    waiting: deque[Write] = field(default_factory=deque)


@dataclass(slots=True)
class Controller:
    """`facts`: what is known of each connector. `ceilings`: on disk, as is all that survives a restart."""

    world: "World"
    tree: SiteTree
    policy: Policy
    facts: dict[ConnectorKey, ConnectorFacts]
    state: State = field(default_factory=lambda: State(started=0.0))
    rises: Mapping[str, Amps] = field(default_factory=dict)
    readings: dict[str, CircuitReading] = field(default_factory=dict)
    caps: tuple[ExternalCap, ...] = ()
    ceilings: dict[ConnectorKey, float] = field(default_factory=dict)
    lines: dict[StationId, Line] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    decision: Decision | None = None
    alive: bool = True
    life: int = 0
    poked: bool = False
    decisions: int = 0
    pressed_at: dict[ConnectorKey, float] = field(default_factory=dict)
    log: list[tuple[float, Write]] = field(default_factory=list)

    @property
    def is_idle(self) -> bool:
        """Alive, and no call is under way."""
        return self.alive and not any(line.calling for line in self.lines.values())

    def poke(self) -> None:
        """Something happened: decide in a moment."""
        if self.alive and not self.poked:
            self.poked = True
            life = self.life
            self.world.at(self.world.now + DECIDES_S, lambda: self._decide(life))

    def _decide(self, life: int) -> None:
        if life != self.life or not self.alive:
            return
        self.poked, now = False, self.world.now
        outcomes, self.outcomes = tuple(self.outcomes), []
        facts = SiteFacts(
            connectors=tuple(self.facts.values()),
            readings=dict(self.readings),
            outcomes=outcomes,
            caps=self.caps,
            rises=self.rises,
        )
        decision = decide(self.tree, facts, self.state, self.policy, now)
        self.state, self.decision = decision.state, decision
        self.decisions += 1
        for key, amps in decision.ceilings.items():
            self.ceilings[key] = amps
            self.know(key, quiet=True, ceiling_a=amps)
        for write in decision.writes:
            self._send(write)
            if life != self.life:  # killed between two writes: the next life must not find what this one had in mind
                return
        self.world.decided(decision)
        self._obey_alarms(decision)
        self._wake_at(decision.wake_at)

    def _wake_at(self, when: float) -> None:
        life, number = self.life, self.decisions

        def wake() -> None:
            if life == self.life and number == self.decisions:
                self.world.readings.look()
                self.poke()

        self.world.at(max(when, self.world.now + DECIDES_S), wake)

    def _obey_alarms(self, decision: Decision) -> None:
        for view in decision.views:
            remedy = view.memory.disobedience.remedy
            if remedy is None:
                self.pressed_at.pop(view.key, None)
            elif self.world.now >= self.pressed_at.get(view.key, -inf) + PRESSED_EVERY_S:
                self.pressed_at[view.key] = self.world.now
                if remedy is Remedy.STOP:
                    self.world.stations.stop_for_good(view.key)
                self.world.stations.ask(view.key)

    def know(self, key: ConnectorKey, *, quiet: bool = False, **changes: object) -> None:
        """A fact about a connector is another now."""
        before = self.facts[key]
        after = replace(before, **changes)  # type: ignore[arg-type]
        if after != before:
            self.facts[key] = after
            if not quiet:
                self.poke()

    # -- writes --------------------------------------------------------------------------------------------------

    def _send(self, write: Write) -> None:
        self.log.append((self.world.now, write))
        if write.ceiling_a is not None:
            self.ceilings[write.key] = write.ceiling_a
            self.know(write.key, quiet=True, ceiling_a=write.ceiling_a)
        self.lines.setdefault(write.key.station, Line()).waiting.append(write)
        self._next(write.key.station)

    def _next(self, station: StationId) -> None:
        line = self.lines[station]
        if line.calling is not None or not line.waiting or not self.alive:
            return
        write = line.calling = line.waiting.popleft()
        life = self.life
        if self.world.boundary():
            return
        watts = self._watts(write)
        self.world.stations.links[station].to_station(lambda: self.world.stations.receive(write, watts, life))
        self.world.at(self.world.now + CALL_S, lambda: self._ended(write, Answer.UNKNOWN, life))

    def _watts(self, write: Write) -> float | None:
        """Watts for a station that takes no amperes: for one phase as long as the car's are not known."""
        outlet: Outlet = self.world.outlets[write.key]
        if not outlet.traits.in_watts:
            return None
        view = next(view for view in self.decision.views if view.key == write.key) if self.decision else None
        phases = view.memory.seen.phases if view is not None and view.memory.seen.phases else 1
        return write.amps * VOLTS * phases

    def answered(self, write: Write, answer: Answer, life: int) -> None:
        if not self.world.boundary():
            self._ended(write, answer, life)

    def _ended(self, write: Write, answer: Answer, life: int) -> None:
        line = self.lines.get(write.key.station)
        if life != self.life or not self.alive or line is None or line.calling != write:
            return
        line.calling = None
        self.outcomes.append(Outcome(write.key, write.sequence, answer, self.world.now))
        self.poke()
        self._next(write.key.station)

    # -- links and lives -----------------------------------------------------------------------------------------

    def lost(self, station: StationId) -> None:
        """The link is seen to be gone."""
        line = self.lines.pop(station, None)
        if line is not None:
            for write in line.waiting:
                self.outcomes.append(Outcome(write.key, write.sequence, Answer.NOT_SENT, self.world.now))
            if line.calling is not None:
                self.outcomes.append(Outcome(line.calling.key, line.calling.sequence, Answer.UNKNOWN, self.world.now))
        for key in self.world.stations.keys[station]:
            self.know(key, reachable=False)

    def cap(self, cap: ExternalCap, seconds: float) -> None:
        self.caps = (*self.caps, cap)
        self.poke()
        if seconds < inf:
            self.world.at(self.world.now + seconds, lambda: self._uncap(cap))

    def _uncap(self, cap: ExternalCap) -> None:
        self.caps = tuple(one for one in self.caps if one != cap)
        self.poke()

    def die(self) -> None:
        """Kill -9: what has left has left."""
        self.alive, self.poked = False, False
        self.life += 1
        self.lines, self.outcomes, self.readings = {}, [], {}

    def start(self) -> None:
        """A new life, with what was on disk and what stations say."""
        self.alive = True
        self.life += 1
        self.state = State(started=self.world.now)
        for key, outlet in self.world.outlets.items():
            self.facts[key] = ConnectorFacts(
                key=key,
                reachable=False,
                proven=outlet.traits.proven,
                ceiling_a=self.ceilings.get(key, outlet.fallback_a),
            )
        self.poke()
