"""A driver that does what a test says, and a rig that runs meters on virtual time."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from drivers.api import Driver, Found, Health, Kind, Reading, Seams, Trouble
from drivers.options import Options
from gateway.clock import Clock
from gateway.core.meter_checks import Rules
from gateway.metering.runner import Metering, MeterOptions
from gateway.meters import Meters
from gateway.model.circuit import Circuit
from gateway.model.ids import MeterId
from gateway.model.metering import MeterState
from tests.sim import loop as virtual

DRIVERS = {"scripted": "tests.metering.scripted:ScriptedDriver"}
"""To be put in the place of `drivers.registry.DRIVERS`."""

Script = Callable[["ScriptedDriver"], AsyncIterator[Reading]]


class ScriptedOptions(Options):
    script: Any


class ScriptedDriver(Driver[ScriptedOptions]):
    """Each start runs the script anew. `trouble` is what it says is wrong; `SILENT` until the first reading."""

    options_type = ScriptedOptions

    def __init__(self, name: str, options: ScriptedOptions, seams: Seams) -> None:
        super().__init__(name, options, seams)
        self.trouble: Trouble | None = None
        self.count = 0
        self._script = options.script(self)

    async def next_reading(self) -> Reading | None:
        reading: Reading | None = await anext(self._script, None)
        return reading

    def health(self) -> Health:
        return Health(readings=self.count, trouble=self.trouble)

    async def close(self) -> None:
        await self._script.aclose()

    @classmethod
    async def probe(cls, options: ScriptedOptions, seams: Seams) -> Found | None:
        return None

    def reading(self, *current_a: float | None, **changes: Any) -> Reading:
        """One of now; values move with each, and are never 0."""
        self.count += 1
        said = current_a or (10.0 + self.count / 100, 11.0, 12.0)
        fields: dict[str, Any] = {"interval_s": 1.0, "t_mono": self.seams.now(), "t_wall": self.seams.wall()}
        return Reading(meter=self.name, sequence=self.count, current_a=said, **{**fields, **changes})  # type: ignore[arg-type]  # always three


async def steady(driver: ScriptedDriver) -> AsyncIterator[Reading]:
    """A reading every second, for ever."""
    while True:
        yield driver.reading()
        await driver.seams.sleep(1.0)


UNPLUGGED = Trouble(Kind.UNPLUGGED, "/dev/x is not there", "Plug it in")


@dataclass
class Wall:
    """A wall clock that steps when told."""

    offset_s: float = 1.8e9

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.offset_s


@dataclass
class Rig:
    """Meters with scripts, and the board they write to."""

    scripts: dict[str, Script]
    circuits: list[Circuit] = field(default_factory=list)
    rules: Rules = field(default_factory=Rules)
    wall: Wall = field(default_factory=Wall)

    def __post_init__(self) -> None:
        self.clock = Clock(wall=self.wall)
        self.meters = Meters([MeterId(name) for name in self.scripts], self.circuits)

    async def run(self, seconds: float) -> None:
        """Read the meters for a while, then stop."""
        options = [
            MeterOptions(MeterId(name), ScriptedOptions(driver="scripted", script=script), self.rules)
            for name, script in self.scripts.items()
        ]
        task = asyncio.create_task(Metering(options, self.meters, self.clock, random.Random(1)).run())
        await asyncio.wait([task], timeout=seconds)
        assert not task.done(), task
        task.cancel()
        await asyncio.wait([task])

    @property
    def now(self) -> float:
        return self.clock.monotonic()


def played(rig: Rig, seconds: float) -> dict[str, MeterState]:
    """The meters' states after so much virtual time."""
    virtual.run(rig.run(seconds))
    return {str(name): state for name, state in rig.meters.states.items()}
