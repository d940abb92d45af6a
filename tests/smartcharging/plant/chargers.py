"""Chargers: what they do with the profiles they are sent, as they are and not as they should be."""

from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from gateway.model.balance import Write
from gateway.model.site_tree import Amps, ConnectorSpec
from gateway.smartcharging.circuits import on_grid
from tests.smartcharging.plant.cars import Car

VOLTS = 230.0


@dataclass(frozen=True, slots=True)
class Traits:
    """`latency_s`: from the call to the signal. `proven`: it obeys a lease's end, and the gateway knows. `in_watts`: it
    takes watts, and shares them among the phases its car uses. `zero_is_min`: 0 A is its minimum. `deaf`: it says
    Accepted and gives all it has. `refuses`: part of the calls it rejects. `tells`: it answers GetCompositeSchedule.
    `report_s`: between two MeterValues. `skew_s`: its clock is behind by so much."""

    latency_s: float = 0.5
    proven: bool = True
    in_watts: bool = False
    zero_is_min: bool = False
    deaf: bool = False
    refuses: float = 0.0
    tells: bool = True
    report_s: float = 10.0
    skew_s: float = 0.0


FAMILIES = {
    "plain": Traits(),
    "slow": Traits(latency_s=4.5, report_s=30.0, skew_s=8.0),
    "unproven": Traits(proven=False, tells=False, report_s=20.0),
    "watts": Traits(in_watts=True),
    "stubborn": Traits(zero_is_min=True),
    "moody": Traits(refuses=0.3, report_s=60.0),
    "refusing": Traits(refuses=1.0),
    "deaf": Traits(deaf=True),
}


class Order(NamedTuple):
    """A value obeyed from `at` until `ends`."""

    at: float
    amps: float
    phases: int
    ends: float


@dataclass(slots=True)
class Outlet:
    """One connector of one station, and what is plugged into it."""

    spec: ConnectorSpec
    fallback_a: float
    traits: Traits
    car: Car | None = None
    transaction: int | None = None
    plugged: int = 0
    orders: list[Order] = field(default_factory=list)
    offered_a: float = 0.0
    offered_phases: int = 3
    shown: list[float] = field(default_factory=list)
    """What it draws, per own phase, as far as the flows know."""

    def receive(self, write: Write, watts: float | None, now: float) -> float:
        """Take a profile; return when it is obeyed."""
        traits = self.traits
        amps = write.amps
        if watts is not None:
            amps = watts / VOLTS / (self.car.phases if self.car else 1)
        at = now + traits.latency_s
        ends = write.at + write.lease_s + traits.skew_s if traits.proven and write.lease_s else inf
        self.orders = [order for i, order in enumerate(self.orders) if i + 1 == len(self.orders) or order.at > now]
        self.orders.append(Order(at, amps, write.phases or 3, ends))
        return at

    def forget(self) -> None:
        """The transaction is over, or the station has started anew."""
        self.orders = []

    def enforced(self, now: float) -> tuple[float, int]:
        """What the car is offered, and on how many phases."""
        if self.transaction is None:
            return 0.0, 3
        if self.traits.deaf:
            return self.spec.max_a, 3
        amps, phases = self.fallback_a, 3
        for order in self.orders:
            if order.at <= now:
                amps, phases = (order.amps, order.phases) if now < order.ends else (self.fallback_a, 3)
        return self._snapped(amps), phases

    def _snapped(self, amps: float) -> float:
        if self.traits.zero_is_min:
            amps = max(amps, self.spec.min_a)
        return min(amps, self.spec.max_a)

    def may_hold(self, now: float) -> list[float]:
        """The most it lets flow now or when what it has received is obeyed, per own phase of its car."""
        count = len(self.spec.phases) if self.car is None else min(self.car.phases, len(self.spec.phases))
        most = [self.fallback_a] * count
        for order in self.orders:
            if now < order.ends:
                new = [
                    max(self._snapped(order.amps), self.fallback_a) if own < order.phases else self.fallback_a
                    for own in range(count)
                ]
            else:
                new = [self.fallback_a] * count
            most = new if order.at <= now else [max(old, one) for old, one in zip(most, new, strict=True)]
        return most

    def drawn(self) -> list[float]:
        """Per own phase."""
        if self.car is None:
            return []
        count = min(self.car.phases, len(self.spec.phases), self.offered_phases)
        return [self.car.amps] * count

    def on_grid(self, own_a: list[float]) -> Amps:
        return on_grid(own_a, self.spec.phases)

    def next_change(self, now: float) -> float:
        """When an order begins or ends."""
        return min((at for order in self.orders for at in (order.at, order.ends) if at > now), default=inf)
