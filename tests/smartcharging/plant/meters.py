"""Meters: late, noisy, silent, frozen, reversed, on wrong phases. The gateway's own checks judge what they say."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING

from gateway.core.meter_checks import Rules, Still, check
from gateway.model.balance import CircuitReading
from gateway.model.ids import MeterId
from gateway.model.metering import MeterReading, Phases, Quality, Signed
from gateway.model.site_tree import Amps

if TYPE_CHECKING:
    from tests.smartcharging.plant.world import World

BEGAN = datetime(2026, 3, 2, tzinfo=UTC)


class MeterFault(StrEnum):
    SILENT = "silent"
    FROZEN = "frozen"
    FLIPPED = "flipped"
    SWAPPED = "swapped"
    BAD = "bad"
    """Frames that the checks refuse."""


@dataclass(slots=True)
class Meter:
    """`noise`: part of the value, at most, by which it is off. `delay_s`: from the measurement to the gateway."""

    circuit: str
    limit_a: float
    interval_s: float = 1.0
    delay_s: float = 0.3
    noise: float = 0.0
    fault: MeterFault | None = None
    last: MeterReading | None = None
    still: Still | None = None
    bad: int = 0
    taken: CircuitReading | None = None

    def read(self, flow: Amps, now: float, rng: random.Random) -> MeterReading | None:
        """What it says; None if it says nothing."""
        if self.fault is MeterFault.SILENT:
            return None
        if self.fault is MeterFault.FROZEN and self.last is not None:
            self.last = self._said(self.last.current_a, self.last.voltage_v, self.last.power_w, now)
            return self.last
        amps = [amp * (1 + rng.uniform(-self.noise, self.noise)) for amp in flow]
        if self.fault is MeterFault.FLIPPED:
            amps = [-amp for amp in amps]
        if self.fault is MeterFault.SWAPPED:
            amps = [amps[1], amps[0], amps[2]]
        if self.fault is MeterFault.BAD:
            amps = [amp + 9999.0 for amp in amps]
        volts = [round(rng.uniform(228.0, 232.0), 1) for _ in amps]
        power = [amp * volt for amp, volt in zip(amps, volts, strict=True)]
        self.last = self._said(_three(amps), _three(volts), _three(power), now)
        return self.last

    def _said(self, amps: Phases, volts: Phases, power: Phases, now: float) -> MeterReading:
        return MeterReading(
            meter=MeterId(self.circuit),
            sequence=0 if self.last is None else self.last.sequence + 1,
            measured_at=now,
            measured=BEGAN + timedelta(seconds=now),
            interval_s=self.interval_s,
            current_a=amps,
            current_signed=Signed.NATIVE,
            voltage_v=volts,
            power_w=power,
        )

    def judged(self, reading: MeterReading, now: float) -> CircuitReading | None:
        """As balancing is told: a bad one only counts as such."""
        rules = Rules(fuse_a=self.limit_a)
        reading, self.still = check(reading, rules, self.still, now)
        if reading.quality is Quality.BAD:
            self.bad += 1
            if self.taken is not None:
                self.taken = CircuitReading(
                    current_a=self.taken.current_a,
                    at=self.taken.at,
                    interval_s=self.interval_s,
                    bad_in_a_row=self.bad,
                )
            return self.taken
        self.bad = 0
        first, second, third = (amp or 0.0 for amp in reading.current_a)
        self.taken = CircuitReading(
            current_a=(first, second, third),
            at=reading.measured_at,
            interval_s=self.interval_s,
            suspect=reading.quality is Quality.SUSPECT,
        )
        return self.taken


class Readings:
    """Reads the meters. With `is_calm` they rest while nothing moves, and are read when the gateway looks."""

    def __init__(self, world: "World", meters: Iterable[Meter], *, is_calm: bool) -> None:
        self.world, self.is_calm = world, is_calm
        self.meters = {meter.circuit: meter for meter in meters}
        self.resting: set[str] = set()
        for meter in self.meters.values():
            self._read_at(meter, world.rng.uniform(0, meter.interval_s))

    def _read_at(self, meter: Meter, when: float) -> None:
        self.world.at(when, lambda: self._read(meter))

    def _read(self, meter: Meter) -> None:
        self._take(meter, meter.delay_s)
        world = self.world
        if self.is_calm and not world.moving and world.gateway.is_idle and meter.fault is None:
            self.resting.add(meter.circuit)
        else:
            self._read_at(meter, world.now + meter.interval_s)

    def fail(self, circuit: str, fault: MeterFault, seconds: float) -> None:
        meter = self.meters[circuit]
        meter.fault = fault
        self.disturb()
        if seconds < inf:
            self.world.at(self.world.now + seconds, lambda: setattr(meter, "fault", None))

    def disturb(self) -> None:
        """Something moves: the meters go on in their own time."""
        for circuit in self.resting:
            meter = self.meters[circuit]
            self._read_at(meter, self.world.now + self.world.rng.uniform(0, meter.interval_s))
        self.resting.clear()

    def look(self) -> None:
        """The gateway looks again: what a resting meter would have said."""
        for circuit in self.resting:
            self._take(self.meters[circuit], 0.0)

    def _take(self, meter: Meter, delay_s: float) -> None:
        world, row = self.world, 3 * self.world.tree.index[meter.circuit]
        said = meter.read((world.flow[row], world.flow[row + 1], world.flow[row + 2]), world.now, world.rng)
        if said is None:
            return

        def arrive() -> None:
            reading = meter.judged(said, world.now)
            if reading is not None and world.gateway.alive:
                world.gateway.readings[meter.circuit] = reading
                world.gateway.poke()

        if delay_s:
            world.at(world.now + delay_s, arrive)
        else:
            arrive()


def _three(values: Iterable[float]) -> Phases:
    first, second, third = values
    return first, second, third
