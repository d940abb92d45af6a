"""Sharing current, as it is now: the tree, the last decision, the cars. Lives as long as the process."""

import asyncio
from collections import deque
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from gateway.model.balance import CapStep, Need, Outcome, Rung
from gateway.model.draw import CarNeed
from gateway.model.ids import StationId, TransactionKey
from gateway.model.profile import LimitSource, ReportedProfile
from gateway.model.site_tree import Amps, ConnectorKey
from gateway.plan import Plan
from gateway.smartcharging.decide import Decision, State
from gateway.smartcharging.external import CapState
from gateway.smartcharging.fallback import choose
from gateway.smartcharging.held import Held
from gateway.smartcharging.history import Rises, Steps
from gateway.smartcharging.notices import Told
from gateway.smartcharging.session_log import Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Car:
    """What is known of the car of one transaction. `since`: from when on (monotonic) its station may be written to.

    `measured_a`: per phase of the grid, at `measured_at`. `adopted_a`: what the station was found to hold.
    """

    transaction: TransactionKey
    since: float
    measured_a: Amps | None = None
    measured_at: float = float("-inf")
    is_suspended: bool = False
    phases: int | None = None
    max_a: float | None = None
    wish: CarNeed | None = None
    adopted_a: float | None = None


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
        tree = None if plan is None else choose(plan.circuits, plan.connectors).tree
        self.tree = tree
        self.stations = frozenset(key.station for key in tree.specs) if tree else frozenset[StationId]()
        self.state: State | None = None
        self.decision: Decision | None = None
        self.outcomes: list[Outcome] = []
        self.noted: dict[ConnectorKey, float] = {}
        """The ceilings that are on disk for certain. A row that is read may wait for its commit, or fail."""
        self.cars: dict[ConnectorKey, Car] = {}
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
        self.sessions: dict[ConnectorKey, deque[Line]] = {}
        """What each session was told lately."""
        self.told: dict[ConnectorKey, Told] = {}
        self.told_by: dict[ConnectorKey, LimitSource] = {}
        self.troubles: dict[str, str] = {}
        """What keeps a station from being managed, in words; by connector."""
        self.woken = asyncio.Event()

    def poke(self) -> None:
        """Something happened that the next decision should know."""
        self.woken.set()

    def is_member(self, station: StationId) -> bool:
        return station in self.stations

    def rung(self) -> Rung:
        """The worst of all meters."""
        found = self.decision.backgrounds if self.decision else ()
        return max((one.rung for one in found), default=Rung.NORMAL)

    def hear(self, key: ConnectorKey, **said: object) -> None:
        """Something new of the car there; nobody's without a transaction."""
        car = self.cars.get(key)
        if car is not None:
            changed = replace(car, **said)  # type: ignore[arg-type]
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
