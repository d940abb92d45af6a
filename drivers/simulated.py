"""A meter that does not exist: a building whose load is a function of seed and time, and the cars one adds to it."""

import math
from random import Random
from typing import Annotated, ClassVar, Final

from pydantic import Field

from drivers.api import Driver, Found, Health, Phases, Reading, Seams, Signed, wired
from drivers.options import Options
from drivers.pace import Deadlines

_DAY_S: Final = 86_400.0
_SLOT_S: Final = 120.0
"""How long a machine in the building stays on or off."""
_POWER_FACTOR: Final = 0.95
_SAG_V_PER_A: Final = 0.02

Amperes = Annotated[float, Field(ge=0, le=10_000, description="Write amperes, 0 to 10000.")]


class SimulatedOptions(Options):
    interval_s: Annotated[float, Field(ge=0.1, le=60, description="Write seconds between readings, 0.1 to 60.")] = 1.0
    seed: Annotated[int, Field(ge=0, description="Write a whole number: another one is another building.")] = 1
    voltage_v: Annotated[float, Field(gt=50, le=500, description="Write volts, phase to neutral.")] = 230.0
    base_a: Amperes = 20.0
    swing_a: Amperes = 8.0
    """Between day and night, up and down from the base."""
    machine_a: Amperes = 12.0
    """The largest machine that goes on and off."""
    noise_a: Amperes = 0.2
    solar_a: Amperes = 0.0
    """What the roof feeds in at noon; the first noon is a quarter of a day after the start."""


def building_a(options: SimulatedOptions, t: float) -> tuple[float, float, float]:
    """Load of the building on each phase, `t` seconds after the start. The same for the same options, always."""
    l1, l2, l3 = (_phase_a(options, t, phase) for phase in range(3))
    return l1, l2, l3


def _phase_a(options: SimulatedOptions, t: float, phase: int) -> float:
    sun = math.sin(2 * math.pi * t / _DAY_S)
    load = options.base_a + options.swing_a * sun
    slot = Random(f"machine {options.seed} {phase} {int(t // _SLOT_S)}")
    if slot.random() < 0.5:
        load += options.machine_a * slot.random()
    noise = Random(f"noise {options.seed} {phase} {round(t * 1000)}").gauss(0.0, options.noise_a)
    return max(0.0, load) + noise - options.solar_a * max(0.0, sun)


class SimulatedDriver(Driver[SimulatedOptions]):
    """For demonstrations, tests and commissioning without a meter."""

    options_type: ClassVar[type[Options]] = SimulatedOptions

    def __init__(self, name: str, options: SimulatedOptions, seams: Seams) -> None:
        super().__init__(name, options, seams)
        self.cars_a: tuple[float, float, float] = (0.0, 0.0, 0.0)
        """What the cars take, added to the building on each phase; set it at any time."""
        self._deadlines = Deadlines(options.interval_s)
        self._began: float | None = None
        self._health = Health()
        self._is_closed = False

    async def close(self) -> None:
        self._is_closed = True

    async def next_reading(self) -> Reading | None:
        await self.seams.sleep(self._deadlines.wait_s(self.seams.now()))
        if self._is_closed:
            return None
        reading = self._reading(self.seams.now())
        self._health = Health(readings=self._health.readings + 1, last_good_t=reading.t_mono)
        return reading

    def health(self) -> Health:
        return self._health

    @classmethod
    async def probe(cls, options: SimulatedOptions, seams: Seams) -> Found | None:
        return Found("a simulated building", wired(cls("probe", options, seams)._reading(seams.now()), options))

    def _reading(self, now: float) -> Reading:
        self._began = now if self._began is None else self._began
        building = building_a(self.options, now - self._began)
        amperes = [own + cars for own, cars in zip(building, self.cars_a, strict=True)]
        volts = [self.options.voltage_v - _SAG_V_PER_A * value for value in amperes]
        watts = [ampere * volt * _POWER_FACTOR for ampere, volt in zip(amperes, volts, strict=True)]
        return Reading(
            meter=self.name,
            sequence=self._health.readings,
            t_mono=now,
            t_wall=self.seams.wall(),
            interval_s=self.options.interval_s,
            current_a=_phases(amperes),
            current_signed=Signed.NATIVE,
            voltage_v=_phases(volts),
            power_w=_phases(watts),
            power_total_w=sum(watts),
            power_factor=_POWER_FACTOR,
            frequency_hz=50.0,
        )


def _phases(values: list[float]) -> Phases:
    l1, l2, l3 = values
    return l1, l2, l3
