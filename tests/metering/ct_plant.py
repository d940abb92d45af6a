"""A building with other loads, a meter wired in any way, and a car that is switched: for the test of the wiring."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.core.ct_test import Level, Sample

VOLTS = 230.0


@dataclass
class Load:
    """Jumps between sizes at random moments."""

    source: random.Random
    largest_a: float
    dwell_s: float
    phases: tuple[int, ...]
    amps: float = 0.0
    until: float = 0.0

    def at(self, now: float) -> float:
        if now >= self.until:
            self.amps = self.source.uniform(0, self.largest_a) if self.source.random() < 0.6 else 0.0
            self.until = now + self.source.expovariate(1 / self.dwell_s)
        return self.amps


@dataclass
class Cycler:
    """On and off by the clock: a compressor, or a car that somebody else switches."""

    amps: float
    period_s: float
    begins_s: float
    phases: tuple[int, ...]

    def at(self, now: float) -> float:
        return self.amps if (now - self.begins_s) % self.period_s < self.period_s / 2 else 0.0


@dataclass
class Car:
    """Follows with a delay and a ramp; `phases` of the building, from 0."""

    phases: tuple[int, ...]
    amps: float
    latency_s: float = 1.5
    ramp_a_s: float = 2.0
    amps_now: float = 0.0
    wanted: float = 0.0
    switched: float = -1e9

    def switch(self, now: float, *, is_on: bool) -> None:
        self.wanted, self.switched = self.amps if is_on else 0.0, now

    def step(self, now: float, seconds: float) -> None:
        if now - self.switched >= self.latency_s:
            most = self.ramp_a_s * seconds if self.wanted > self.amps_now else 20.0 * seconds
            self.amps_now += max(-most, min(most, self.wanted - self.amps_now))


@dataclass
class Plant:
    """`order`: the building's phase at each input; `signs`: which way each transformer faces.

    What the meter says is told as with the options `phase_map = "L1L2L3"` and `invert = false`.
    """

    source: random.Random
    order: Sequence[int]
    signs: Sequence[int]
    car: Car
    noise_a: float = 0.1
    resolution_a: float = 0.01
    delay_s: float = 1.0
    interval_s: float = 1.0
    has_crossed_volts: bool = False
    loads: list[Load | Cycler] = field(default_factory=list)
    base: list[complex] = field(default_factory=list)
    now: float = 0.0
    _said: list[tuple[float, Sample]] = field(default_factory=list)

    def reading(self) -> Sample:
        """The next one; time goes on."""
        while True:
            self.now += self.interval_s
            self.car.step(self.now, self.interval_s)
            self._said.append((self.now, self._measured()))
            if self._said[0][0] <= self.now - self.delay_s:
                return self._said.pop(0)[1]

    def switch(self, *, is_on: bool) -> None:
        self.car.switch(self.now, is_on=is_on)

    def level(self, *, is_on: bool, settle_s: float, hold_s: float, count: int) -> Level:
        """Switches, waits, and reads."""
        self.switch(is_on=is_on)
        began = self.now
        while (sample := self.reading()).at < began + settle_s:
            pass
        samples = [sample]
        while len(samples) < count or samples[-1].at < began + settle_s + hold_s:
            samples.append(self.reading())
        return Level(is_on, tuple(samples))

    def _measured(self) -> Sample:
        """Amperes as phasors to the phase's own volts; what is measured is rounded."""
        building = list(self.base)
        for load in self.loads:
            amps = load.at(self.now)
            for phase in load.phases:
                building[phase] += amps
        for phase in self.car.phases:
            building[phase] += self.car.amps_now * (1 + self.source.gauss(0, 0.01))
        directed: list[float] = []
        sizes: list[float] = []
        for phase, sign in zip(self.order, self.signs, strict=True):
            current = building[phase] + self.source.gauss(0, self.noise_a)
            turned = current * complex(-0.5, math.sqrt(0.75)) if self.has_crossed_volts else current
            directed.append(self._rounded(sign * turned.real))
            sizes.append(abs(self._rounded(abs(current))))
        one, two, three = directed
        first, second, third = sizes
        return Sample(self.now, (one, two, three), (first, second, third))

    def _rounded(self, amps: float) -> float:
        return round(amps / self.resolution_a) * self.resolution_a


def random_plant(source: random.Random, order: Sequence[int], signs: Sequence[int], car: Car) -> Plant:
    """Offices, cold stores, other cars, the sun: sizes and how often they change by chance."""
    plant = Plant(source, order, signs, car)
    plant.noise_a = source.choice((0.02, 0.1, 0.3))
    plant.resolution_a = source.choice((0.001, 0.01, 0.1, 1.0))
    plant.delay_s = source.choice((0.0, 1.0, 3.0))
    plant.base = [complex(source.uniform(-25, 40), source.uniform(-2, 8)) for _ in range(3)]
    for _ in range(source.randrange(7)):
        phases = tuple(range(3)) if source.random() < 0.3 else (source.randrange(3),)
        plant.loads.append(Load(source, source.choice((2.0, 6.0, 16.0, 32.0)), source.uniform(15, 200), phases))
    if source.random() < 0.15:
        amps = source.choice((car.amps, source.uniform(4, 12)))
        plant.loads.append(Cycler(amps, source.uniform(20, 90), source.uniform(0, 90), (source.randrange(3),)))
    return plant
