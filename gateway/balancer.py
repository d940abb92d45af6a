"""Sharing current, as it is now: the tree, the last decision, the cars. Lives as long as the process."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypedDict, Unpack

from gateway.model.balance import CapStep, Need, Outcome, Rung, SiteFacts
from gateway.model.draw import CarNeed
from gateway.model.ids import StationId, TransactionKey
from gateway.model.profile import LimitSource, ReportedProfile
from gateway.model.records import CapRow
from gateway.model.site_tree import Amps, CircuitNode, ConnectorKey, ConnectorSpec
from gateway.plan import Lodging, Plan
from gateway.smartcharging import day as days
from gateway.smartcharging.circuits import PHASES, SiteTree, compile_tree
from gateway.smartcharging.decide import Decision, State
from gateway.smartcharging.drill import Drill
from gateway.smartcharging.external import CapState
from gateway.smartcharging.fallback import Choice, choose, prove
from gateway.smartcharging.families import DEFAULT, NOT_LIMITED, Purposes, shipped
from gateway.smartcharging.held import Held
from gateway.smartcharging.history import Rises, Steps
from gateway.smartcharging.notices import Told
from gateway.smartcharging.session_log import Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Car:
    """What is known of the car of one transaction. `since`: from when on (monotonic) its station may be written to.

    `measured_a`: per phase of the grid, at `measured_at`; `names_all`: the station told of every phase;
    `names_phases`: of which phase its currents are.
    `adopted_a`: what the station was found to hold.
    """

    transaction: TransactionKey
    since: float
    measured_a: Amps | None = None
    measured_at: float = float("-inf")
    names_all: bool = True
    names_phases: bool = True
    is_suspended: bool = False
    phases: int | None = None
    max_a: float | None = None
    wish: CarNeed | None = None
    adopted_a: float | None = None


class CarSaid(TypedDict, total=False):
    """What is news of a car: fields of `Car`."""

    measured_a: Amps
    measured_at: float
    names_all: bool
    names_phases: bool
    is_suspended: bool
    phases: int
    max_a: float | None
    wish: CarNeed
    adopted_a: float


class Allowed(NamedTuple):
    """What the CSMS's profiles allow a connector, as long as nothing of `basis` changes, and until `until`."""

    basis: object
    until: float
    steps: tuple[CapStep, ...]
    phases: int


@dataclass(slots=True)
class Report:
    """A report of profiles that the gateway has asked a station for."""

    found: list[ReportedProfile] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Balancer:
    """`plan` None: there is nothing to share, and nothing here is of use."""

    def __init__(self, plan: Plan | None) -> None:
        self.plan = plan
        self.guests: dict[StationId, Lodging] = {}
        """Stations in no circuit that are served all the same, each where it counts."""
        self.strangers: frozenset[ConnectorKey] = frozenset()
        """Connectors of stations in circuits that charge, and that nobody has written down."""
        self.tree: SiteTree | None = None if plan is None else self._grown(plan, {}).tree
        self.stations = frozenset(key.station for key in self.tree.specs) if self.tree else frozenset[StationId]()
        self.state: State | None = None
        self.decision: Decision | None = None
        self.facts: SiteFacts | None = None
        """What the last decision was told."""
        self.outcomes: list[Outcome] = []
        self.noted: dict[ConnectorKey, float] = {}
        """The ceilings that are on disk for certain. A row that is read may wait for its commit, or fail."""
        self.cars: dict[ConnectorKey, Car] = {}
        self.full: dict[ConnectorKey, TransactionKey] = {}
        """Whose car wants no more, by its station's words and by what it did."""
        self.wishes: dict[ConnectorKey, CarNeed] = {}
        """What cars said before their transaction began."""
        self.external: dict[StationId, dict[str, Held]] = {}
        """Limits that stations have from elsewhere, as they told."""
        self.verified: dict[StationId, int] = {}
        """The boot since which a station's fallbacks were checked."""
        self.reports: dict[tuple[StationId, int], Report] = {}
        self.allowed: dict[ConnectorKey, Allowed] = {}
        self.offline_since: dict[StationId, float] = {}
        self.rises: dict[str, Rises] = {}
        self.steps: dict[str, Steps] = {}
        self.cap_states: dict[str, CapState] = {}
        self.caps_heard: dict[str, tuple[CapRow, float]] = {}
        """Caps of this life, and when they came (monotonic): a step of the clock makes them no older."""
        self.sessions: dict[ConnectorKey, deque[Line]] = {}
        """What each session was told lately."""
        self.unrecorded: deque[days.Told] = deque(maxlen=10_000)
        """The same, until it is written down."""
        self.told: dict[ConnectorKey, Told] = {}
        self.told_by: dict[ConnectorKey, LimitSource] = {}
        self.drills: dict[ConnectorKey, Drill] = {}
        """The last one of each connector. While one is under way nothing more is given there."""
        self.unfit: dict[StationId, str] = {}
        """Stations that can't be managed as the family they are of, and why."""
        self.troubles: dict[str, str] = {}
        """What keeps a station from being managed, in words; by connector."""
        self.woken = asyncio.Event()

    def poke(self) -> None:
        """Something happened that the next decision should know."""
        self.woken.set()

    def is_member(self, station: StationId) -> bool:
        return station in self.stations

    def sort(self, station: StationId, name: str | None) -> None:
        """A station's boot speaks for the family of that name; None: for none. The configuration's own word stands."""
        plan, family = self.plan, shipped()[name or DEFAULT]
        if plan is None or station not in plan.installed:
            return
        self.unfit.pop(station, None)
        if plan.family(station) == family:
            return
        other = plan.with_family(station, family)
        grown, before = self._grown(other, self.guests), self.tree
        if family.purpose is Purposes.TX_DEFAULT:
            self.unfit[station] = f"{station}: {NOT_LIMITED.format(family.name)}, and counts at its rating"
        elif grown.failures:
            self.unfit[station] = (
                f"{station}: as one of family {family.name} it can't be safe: {grown.failures[0].text}"
            )
        else:
            self.plan, self.tree = other, grown.tree
            for key, amps in grown.tree.fallback_a.items():
                if before is not None and before.fallback_a[key] != amps:
                    self.verified.pop(key.station, None)
        self.poke()

    def lodge(self, station: StationId, lodging: Lodging) -> str | None:
        """Count a station in no circuit at its rating. Returns why it can't be served, None if it can."""
        plan = self.plan
        if plan is None or station in self.stations or station in plan.elsewhere:
            return None
        if lodging.circuit is None:
            self.dismiss(station)
            return (
                None if plan.sees_all else "it is in no circuit, and not every circuit has a meter that sees its load"
            )
        lodging = lodging._replace(rating_a=plan.ratings.get(station, lodging.rating_a))
        if self.guests.get(station) == lodging:
            return None
        guests = {**self.guests, station: lodging}
        grown = self._grown(plan, guests)
        if grown.failures:
            return f"it is in no circuit, and there is no room for its {lodging.rating_a:g} A: {grown.failures[0].text}"
        self.guests, self.tree = guests, grown.tree
        self.poke()
        return None

    def dismiss(self, station: StationId) -> None:
        """A station is not served any more, or nowhere."""
        if self.plan is not None and self.guests.pop(station, None) is not None:
            self.tree = self._grown(self.plan, self.guests).tree
            self.poke()

    def count(self, strangers: frozenset[ConnectorKey]) -> None:
        """These charge, and nobody has written them down: each counts at what its station has elsewhere at most."""
        if self.plan is None or strangers == self.strangers:
            return
        for key in strangers - self.strangers:
            self.troubles[str(key)] = f"{key}: it charges and nothing limits it: write it into connectors"
        self.strangers = strangers
        self.tree = self._grown(self.plan, self.guests).tree

    def problems(self) -> list[str]:
        """What keeps stations from being managed, in words."""
        return [*self.unfit.values(), *self.troubles.values()]

    def rung(self) -> Rung:
        """The worst of all meters."""
        found = self.decision.backgrounds if self.decision else ()
        return max((one.rung for one in found), default=Rung.NORMAL)

    def hear(self, key: ConnectorKey, **said: Unpack[CarSaid]) -> None:
        """Something new of the car there; nobody's without a transaction."""
        car = self.cars.get(key)
        if car is not None:
            changed = replace(car, **said)
            if changed != car:
                self.cars[key] = changed
                self.poke()

    def need(self, key: ConnectorKey, mono: float, now_s: float, volts: float) -> Need | None:
        """A car's wish in the allocator's terms; `now_s`: epoch seconds at monotonic `mono`."""
        car = self.cars.get(key)
        wish = car.wish if car else None
        if wish is None or wish.energy_wh is None or self.tree is None:
            return None
        phases = (car.phases if car else None) or len(self.tree.specs[key].phases)
        amount = wish.energy_wh / (volts * phases)
        leaves = None if wish.departure is None else mono + wish.departure.timestamp() - now_s
        return Need(remaining_ah=amount, requested_ah=amount, departure=leaves)

    def _grown(self, plan: Plan, guests: Mapping[StationId, Lodging]) -> Choice:
        """The plan's tree with those beside it that count at their rating, whose fallbacks nobody can install."""
        tree, nodes = choose(plan.circuits, plan.connectors).tree, {node.id: node for node in plan.circuits}
        specs = [
            _unlimited(ConnectorKey(station, 1), nodes[circuit or ""], rating_a)
            for station, (circuit, rating_a) in guests.items()
        ]
        for key in sorted(self.strangers):
            own = [spec for spec in plan.connectors if spec.key.station == key.station]
            specs.append(_unlimited(key, nodes[own[0].circuit], max(spec.max_a for spec in own)))
        fallbacks = {**tree.fallback_a, **{spec.key: spec.max_a for spec in specs}}
        tree = compile_tree(tree.circuits, (*tree.connectors, *specs), fallbacks)
        return Choice(tree, prove(tree))


def _unlimited(key: ConnectorKey, circuit: CircuitNode, rating_a: float) -> ConnectorSpec:
    """On all phases that there are."""
    there = tuple(phase for phase in PHASES if circuit.limit_a[phase] > 0)
    return ConnectorSpec(
        key=key, circuit=circuit.id, phases=there or PHASES, min_a=min(6.0, rating_a), max_a=rating_a,
        fallback_a=rating_a, latency_s=0.0, lease_s=0.0, pausable=False,
    )  # fmt: skip
