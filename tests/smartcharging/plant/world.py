"""The plant: 0.1 s steps while something moves, from event to event while nothing does."""

import random
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from itertools import count
from math import inf

from gateway.model.balance import ConnectorFacts, Policy
from gateway.model.site_tree import NO_AMPS, Amps, ConnectorKey
from gateway.smartcharging.circuits import SiteTree, added, higher
from gateway.smartcharging.decide import Decision
from tests.smartcharging.plant import judge
from tests.smartcharging.plant.breaker import Breaker, towards
from tests.smartcharging.plant.chargers import Outlet
from tests.smartcharging.plant.controller import Controller
from tests.smartcharging.plant.links import Weather
from tests.smartcharging.plant.meters import Meter, Readings
from tests.smartcharging.plant.stations import Stations

STEP_S = 0.1
IDLE_S = 1.0
"""While there is no gateway, the truth is judged this often."""
CLOCKS_S = 10.0
"""By so much a station's clock may be off, and its lease end late."""
REMEDIED_S = 20.0
"""So long all remedies take where a circuit is over 1.13 x its limit: what a life before knew is to be learned anew."""
STEP_PART = towards(STEP_S)


class World:
    """`outlets` in the order of the tree. What goes wrong by the judge is in `wrong`, the first things only.
    `lies`: from when until when a meter says what is not so."""

    def __init__(
        self,
        tree: SiteTree,
        outlets: Iterable[Outlet],
        *,
        policy: Policy,
        seed: int = 1,
        weather: Weather | None = None,
        meters: Iterable[Meter] = (),
        lies: tuple[float, float] = (inf, inf),
        is_calm: bool = False,
    ) -> None:
        self.now, self.tree, self.rng, self.lies = 0.0, tree, random.Random(seed), lies
        self.outlets = {outlet.spec.key: outlet for outlet in outlets}
        self.flow = [0.0] * (3 * len(tree.circuits))
        self.breakers = [Breaker(tree.limit(row)) for row in range(len(self.flow))]
        self.deaf = [outlet for outlet in self.outlets.values() if outlet.traits.deaf]
        self.spared = [Breaker(tree.limit(row)) for row in range(len(self.flow))] if self.deaf else []
        """The breakers, without what no gateway can hold."""
        self.background: dict[str, Amps] = {}
        self.traces: dict[str, list[tuple[float, Amps]]] = {}
        self.moving: set[ConnectorKey] = set()
        self.changes: dict[ConnectorKey, float] = {}
        self.longest_lease_s = max((outlet.spec.lease_s for outlet in self.outlets.values()), default=0.0)
        self.heap: list[tuple[float, int, Callable[[], None]]] = []
        self.order = count()
        self.boundaries, self.die_at, self.restart_s, self.died_at = 0, 0, inf, 0.0
        self.wrong: list[str] = []
        self.judge_s, self.judged_at = (10.0 if is_calm else 0.0), 0.0
        facts = {
            key: ConnectorFacts(key=key, proven=one.traits.proven, ceiling_a=one.fallback_a)
            for key, one in self.outlets.items()
        }
        self.gateway = Controller(self, tree, policy, facts)
        self.readings = Readings(self, meters, is_calm=is_calm)
        self.stations = Stations(self, weather or Weather())
        self.gateway.poke()

    # -- time ----------------------------------------------------------------------------------------------------

    def at(self, when: float, do: Callable[[], None]) -> None:
        heappush(self.heap, (max(when, self.now), next(self.order), do))

    def run(self, until: float) -> None:
        while self.now < until:
            to = min(self.heap[0][0] if self.heap else inf, until)
            if self.moving:
                to = min(to, self.now + STEP_S)
            self._pass(to - self.now)
            while self.heap and self.heap[0][0] <= self.now:
                heappop(self.heap)[2]()

    def _pass(self, seconds: float) -> None:
        if seconds <= 0:
            return
        part = STEP_PART if abs(seconds - STEP_S) < 1e-9 else towards(seconds)
        for breaker, amps in zip(self.breakers, self.flow, strict=True):
            breaker.carry(amps, seconds, part)
        for breaker, amps in zip(self.spared, self._without_defiance() if self.spared else (), strict=True):
            breaker.carry(amps, seconds, part)
        self.now += seconds
        for key in list(self.moving):
            car = self.outlets[key].car
            if car is None or not car.step(self.now, seconds):
                self.moving.discard(key)
            self._show(key)

    def _without_defiance(self) -> list[float]:
        """What flows, but for what no gateway can hold: what a deaf station takes beyond all it was ever told while no
        gateway is alive, or has just started, or while its link is as good as cut. A meter shows that: so only as far
        as it, the other such stations and the background are over the limit by themselves."""
        flow = list(self.flow)
        alive = self.gateway.alive and self.now >= self.gateway.state.started + REMEDIED_S
        defied, taken = [0.0] * len(flow), [0.0] * len(flow)
        for outlet in self.deaf:
            defies_a = outlet.defies_a()
            if not defies_a or (alive and self.stations.links[outlet.spec.key.station].carries_in_time()):
                continue
            for phase, drawn in zip(outlet.spec.phases, outlet.shown, strict=False):
                for row in self.tree.rows(outlet.spec.circuit, (phase,)):
                    defied[row] += defies_a
                    taken[row] += drawn
        for row, amps in enumerate(defied):
            node, excused = self.tree.circuits[row // 3], amps
            if amps and alive and node.metered:
                excused = min(amps, taken[row] + self.background_of(node.id)[row % 3] - self.tree.limit(row))
            flow[row] -= max(excused, 0.0)
        return flow

    # -- what flows ----------------------------------------------------------------------------------------------

    def _show(self, key: ConnectorKey) -> None:
        """Bring the flows up to what an outlet draws."""
        outlet = self.outlets[key]
        drawn = outlet.drawn()
        if drawn == outlet.shown:
            return
        for sign, own_a in ((-1, outlet.shown), (1, drawn)):
            for phase, amps in zip(outlet.spec.phases, own_a, strict=False):
                for row in self.tree.rows(outlet.spec.circuit, (phase,)):
                    self.flow[row] += sign * amps
        outlet.shown = drawn

    def set_background(self, circuit: str, amps: Amps) -> None:
        before = self.background.get(circuit, NO_AMPS)
        self.background[circuit] = amps
        for phase in range(3):
            for row in self.tree.rows(circuit, (phase,)):
                self.flow[row] += amps[phase] - before[phase]
        self.readings.disturb()

    def plan_background(self, circuit: str, trace: Iterable[tuple[float, Amps]]) -> None:
        """What the loads of a circuit will do, in the order of time."""
        self.traces[circuit] = sorted(trace)
        for when, amps in self.traces[circuit]:
            self.at(when, lambda amps=amps: self.set_background(circuit, amps))  # type: ignore[misc]

    def background_of(self, circuit: str) -> Amps:
        """Sub-circuits included."""
        return self._background(circuit, lambda name: self.background.get(name, NO_AMPS))

    def most_background(self, circuit: str, seconds: float) -> Amps:
        """The most from now until so much later."""

        def most(name: str) -> Amps:
            amps = self.background.get(name, NO_AMPS)
            for when, later in self.traces.get(name, ()):
                if self.now < when <= self.now + seconds:
                    amps = higher(amps, later)
            return amps

        return self._background(circuit, most)

    def _background(self, circuit: str, own: Callable[[str], Amps]) -> Amps:
        index, total = self.tree.index[circuit], NO_AMPS
        for node, above in zip(self.tree.circuits, self.tree.ancestors, strict=True):
            if index in above:
                total = added(total, own(node.id))
        return total

    def exposed_s(self) -> float:
        """For how long leases may go on from now."""
        if self.gateway.alive:
            return self.longest_lease_s
        return max(0.0, self.died_at + self.longest_lease_s + CLOCKS_S - self.now)

    def blur_a(self, circuit: str) -> float:
        """By how much the truth may be missed because the meter is off."""
        noise = max((meter.noise for meter in self.readings.meters.values()), default=0.0)
        return noise * max(self.tree.circuits[self.tree.index[circuit]].limit_a) + 0.01

    # -- stations ------------------------------------------------------------------------------------------------

    def touch(self, key: ConnectorKey) -> None:
        """What an outlet offers may be another now."""
        outlet = self.outlets[key]
        amps, phases = outlet.enforced(self.now)
        before, outlet.offered_phases, car = outlet.offered_phases, phases, outlet.car
        if car is not None:
            if phases > before:
                car.amps = car.offer = 0.0  # contactors are switched without current
            if car.offer != amps:
                car.offered(amps, self.now)
            if car.target != car.amps and car.moves_at < inf:
                self.at(car.moves_at, lambda: self.moving.add(key))
        self._show(key)
        self.readings.disturb()
        change = outlet.next_change(self.now)
        if change < inf and not self.now < self.changes.get(key, 0.0) <= change:
            self.changes[key] = change
            self.at(change, lambda: self.touch(key))

    # -- the gateway ---------------------------------------------------------------------------------------------

    def boundary(self) -> bool:
        """A message leaves or arrives: here the gateway may die. True if it just has."""
        self.boundaries += 1
        if self.boundaries != self.die_at or not self.gateway.alive:
            return False
        self.kill(self.restart_s)
        return True

    def kill(self, restart_s: float = inf) -> None:
        self.gateway.die()
        self.died_at = self.now
        self._watch_dead()
        if restart_s < inf:
            self.at(self.now + restart_s, self._restart)

    def _restart(self) -> None:
        self.gateway.start()
        self.stations.return_to_a_new_gateway()

    def _watch_dead(self) -> None:
        if not self.gateway.alive:
            self._judge(None)
            self.at(self.now + IDLE_S, self._watch_dead)

    def decided(self, decision: Decision) -> None:
        if decision.writes or self.now >= self.judged_at + self.judge_s:
            self.judged_at = self.now
            self._judge(decision)

    def _judge(self, decision: Decision | None) -> None:
        if len(self.wrong) < 10:
            self.wrong += judge.wrong(self, decision)
