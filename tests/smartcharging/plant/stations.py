"""Stations and their links: plugs, transactions, what arrives, what is told, cuts and returns."""

from itertools import count
from math import inf
from typing import TYPE_CHECKING

from gateway.model.balance import Answer, Write
from gateway.model.ids import StationId
from gateway.model.site_tree import NO_AMPS, ConnectorKey
from tests.smartcharging.plant.cars import Car
from tests.smartcharging.plant.chargers import Outlet
from tests.smartcharging.plant.links import Link, Weather

if TYPE_CHECKING:
    from tests.smartcharging.plant.world import World


NEWS_A = 0.5
"""A reading that differs by less waits for the next decision."""


class Stations:
    """`woken`: how long cars took to draw again after a pause. `starts`, `pauses`: steps of offers from and to 0 A.
    `stopped`: those that were, because they did not obey."""

    def __init__(self, world: "World", weather: Weather) -> None:
        self.world = world
        self.transactions = count(1)
        self.woken: list[tuple[ConnectorKey, float]] = []
        self.stopped: list[ConnectorKey] = []
        self.keys: dict[StationId, list[ConnectorKey]] = {}
        for key in world.outlets:
            self.keys.setdefault(key.station, []).append(key)
        self.links = {name: Link(world, world.rng, weather) for name in self.keys}
        for key, outlet in world.outlets.items():
            self._report_at(key, world.rng.uniform(0, outlet.traits.report_s))

    def plug(self, key: ConnectorKey, car: Car, *, starts_s: float = 2.0) -> None:
        """Nothing happens where a car is plugged in already."""
        outlet = self.world.outlets[key]
        if outlet.car is not None:
            return
        outlet.car, outlet.plugged = car, outlet.plugged + 1
        plugged = outlet.plugged
        self._tell(key)
        self.world.at(self.world.now + starts_s, lambda: self._start(key, plugged))

    def _start(self, key: ConnectorKey, plugged: int) -> None:
        outlet = self.world.outlets[key]
        if outlet.car is not None and outlet.plugged == plugged and outlet.transaction is None:
            outlet.transaction = next(self.transactions)
            outlet.forget()
            self.world.touch(key)
            self._tell(key)

    def unplug(self, key: ConnectorKey) -> None:
        outlet = self.world.outlets[key]
        outlet.car, outlet.transaction = None, None
        outlet.forget()
        self.world.touch(key)
        self._tell(key)

    def stop_for_good(self, key: ConnectorKey) -> None:
        """The contactor opens, once the call has come: what is done to a station that does not obey."""
        self.links[key.station].to_station(lambda: self._stopped(key))

    def _stopped(self, key: ConnectorKey) -> None:
        if self.world.outlets[key].car is not None:
            self.stopped.append(key)
            self.unplug(key)

    def ask(self, key: ConnectorKey) -> None:
        """What it draws now, of a station that answers such questions."""
        if self.world.outlets[key].traits.tells:
            self.links[key.station].to_station(lambda: self._say(key))

    def receive(self, write: Write, watts: float | None, life: int) -> None:
        """A profile has arrived."""
        outlet = self.world.outlets[write.key]
        refused = outlet.transaction is None or self.world.rng.random() < outlet.traits.refuses
        if not refused:
            outlet.receive(write, watts, self.world.now)
            self.world.touch(write.key)
        if self.world.boundary():
            return
        answer = Answer.REJECTED if refused else Answer.ACCEPTED
        self.links[write.key.station].answer(lambda: self.world.gateway.answered(write, answer, life))

    def reboot(self, station: StationId, seconds: float) -> None:
        """It forgets its TxProfiles, keeps its fallback, and the car goes on after it."""
        for key in self.keys[station]:
            self.world.outlets[key].forget()
            self.world.touch(key)
        self.cut(station, seconds)

    def cut(self, station: StationId, seconds: float = inf) -> None:
        link = self.links[station]
        if not link.is_up:
            return
        link.cut()
        generation = link.generation

        def notice() -> None:
            if not link.is_up and link.generation == generation and self.world.gateway.alive:
                self.world.gateway.lost(station)

        self.world.at(self.world.now + link.notices_s, notice)
        if seconds < inf:
            self.world.at(self.world.now + seconds, lambda: self._back(station))

    def cut_all(self, seconds: float = inf) -> None:
        for station in self.links:
            self.cut(station, seconds)

    def _back(self, station: StationId) -> None:
        link = self.links[station]
        if not link.is_up:
            link.mend()
            if self.world.gateway.alive:
                self.world.gateway.lost(station)  # the new socket tells that the old one is gone
            self._return(station)

    def _return(self, station: StationId) -> None:
        """A station is there again: it tells its state, and is asked what it holds."""
        for key in self.keys[station]:
            self._introduce(key)

    def _introduce(self, key: ConnectorKey) -> None:
        outlet = self.world.outlets[key]
        has_ev, transaction = outlet.car is not None, outlet.transaction  # later news come in later messages
        self.links[key.station].to_gateway(lambda: self._known(key, transaction, has_ev=has_ev))

    def return_to_a_new_gateway(self) -> None:
        for station, link in self.links.items():
            if link.is_up:
                self._return_at(station, self.world.now + self.world.rng.uniform(0.5, 8.0))

    def _return_at(self, station: StationId, when: float) -> None:
        self.world.at(when, lambda: self._return(station))

    def _known(self, key: ConnectorKey, transaction: int | None, *, has_ev: bool) -> None:
        outlet, gateway = self.world.outlets[key], self.world.gateway
        if not gateway.alive or key not in gateway.facts:
            return
        is_told = outlet.traits.tells and transaction is not None and transaction == outlet.transaction
        gateway.know(
            key,
            reachable=True,
            has_ev=has_ev,
            transaction=transaction,
            adopted_a=outlet.enforced(self.world.now)[0] if is_told else None,
            measured_a=outlet.on_grid(outlet.drawn()),
            measured_at=self.world.now,
        )

    def _tell(self, key: ConnectorKey) -> None:
        """A StatusNotification or TransactionEvent."""
        outlet = self.world.outlets[key]
        has_ev, transaction = outlet.car is not None, outlet.transaction

        def arrive() -> None:
            gateway = self.world.gateway
            if gateway.alive and gateway.facts[key].reachable:
                gateway.know(key, has_ev=has_ev, transaction=transaction, adopted_a=None)

        self.links[key.station].to_gateway(arrive)

    def _report(self, key: ConnectorKey) -> None:
        outlet = self.world.outlets[key]
        if outlet.car is not None:
            self._use(outlet)
        self._say(key)
        self._report_at(key, self.world.now + outlet.traits.report_s)

    def _say(self, key: ConnectorKey) -> None:
        """MeterValues, if a transaction runs."""
        outlet = self.world.outlets[key]
        if outlet.transaction is not None:
            drawn = outlet.on_grid(outlet.drawn())

            def arrive() -> None:
                gateway = self.world.gateway
                if gateway.alive and gateway.facts[key].reachable:
                    before = gateway.facts[key].measured_a or NO_AMPS
                    is_news = any(abs(now - then) >= NEWS_A for now, then in zip(drawn, before, strict=True))
                    gateway.know(key, quiet=not is_news, measured_a=drawn, measured_at=self.world.now)

            self.links[key.station].to_gateway(arrive)

    def _report_at(self, key: ConnectorKey, when: float) -> None:
        self.world.at(when, lambda: self._report(key))

    def _use(self, outlet: Outlet) -> None:
        """The car fills up, and wakes are put down."""
        car = outlet.car
        if car is None:
            return
        if car.need_ah < inf and car.amps > 0:
            car.need_ah -= car.amps * outlet.traits.report_s / 3600
            if car.need_ah <= 0:
                self.world.moving.add(outlet.spec.key)
        if car.woke_s is not None:
            self.woken.append((outlet.spec.key, car.woke_s))
            car.woke_s = None
