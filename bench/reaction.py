"""From a reading to the commands: `python -m bench.reaction [--cycles N] [--json]`. Exit status 1 if over budget.

A load of 40 % of the fuse comes on while every car charges, so that every one has to be cut. The whole gateway runs as
it is (meter, balancing, profiles, store, OCPP-J; the stations and their network are those of `tests.sim`) in one
process, on a clock that is the CPU time of this process, and jumps where nobody computes. So the figures are those of
one core that has nothing else to do but this, stations included, whatever else the machine does meanwhile.
"""

import asyncio
import json
import logging
import random
import selectors
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from unittest.mock import patch

import click

from drivers import registry, simulated
from drivers.simulated import SimulatedOptions
from gateway.metering.runner import Metering
from gateway.model.circuit import Circuit
from gateway.model.ids import CircuitId, MeterId, StationId
from gateway.model.metering import MeterState
from gateway.model.site_tree import CircuitNode, ConnectorKey, ConnectorSpec
from gateway.model.token import OfflineMode
from gateway.plan import Plan
from gateway.site import Site
from gateway.site_options import SiteOptions
from gateway.smartcharging.families import Family
from gateway.smartcharging.history import WEEK_S, Rises
from tests.sim.charger import Building, ObedientStation, meter_options
from tests.sim.network import Weather
from tests.sim.world import World

BUDGET_S = {54: 0.250, 500: 1.0}
"""p99 from the reading to the command, at so many connectors."""
CAR_A = 20.0
"""The fuse per connector: room for 16 A each before the load comes, for 8 A with it."""
CHARGES = 0.6
"""What everybody has of that before the load comes: 0.7, but for whole amperes and the noise of the meter."""
BEFORE, STEP, WORST, RISE = 0.2, 0.4, 0.6, 0.1
"""Parts of the fuse: other loads, what comes on, their worst case, and their largest rise on record."""
READS_S = 30.0
"""Between two MeterValues of a station."""
LOOK_EVERY = 200


class _CoreSelector(selectors.SelectSelector):
    skipped = 0.0
    _turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._turns += 1
        if timeout is None or self._turns % LOOK_EVERY == 0:
            ready = super().select(0)
            if ready:
                return ready
        self.skipped += max(timeout or 0.0, 0.0)
        return []


class CoreLoop(asyncio.SelectorEventLoop):
    """Time is what this process has computed since, and all the waiting that was skipped."""

    def __init__(self) -> None:
        self._core, self._began = _CoreSelector(), process_time()
        super().__init__(self._core)
        self.slow_callback_duration = float("inf")

    def time(self) -> float:
        return process_time() - self._began + self._core.skipped


@dataclass(slots=True)
class Figures:
    """Seconds from the reading that shows the load to each station's command, and to the last one of each step."""

    connectors: int
    commands_s: list[float] = field(default_factory=list)
    last_s: list[float] = field(default_factory=list)

    @property
    def p99_s(self) -> float:
        return sorted(self.commands_s)[int(len(self.commands_s) * 0.99)]

    @property
    def is_within(self) -> bool:
        return self.p99_s <= BUDGET_S.get(self.connectors, BUDGET_S[500])

    def __str__(self) -> str:
        spent = sorted(self.commands_s)
        verdict = "ok" if self.is_within else "OVER BUDGET"
        return (
            f"{self.connectors:4} connectors, {len(self.last_s)} steps, {len(spent)} commands: from the reading to the "
            f"command p50 {1000 * spent[len(spent) // 2]:.0f} ms, p99 {1000 * self.p99_s:.0f} ms, "
            f"worst {1000 * spent[-1]:.0f} ms (budget {1000 * BUDGET_S.get(self.connectors, 1.0):.0f}): {verdict}"
        )


def plan(connectors: int) -> Plan:
    """Main, and rows of twenty; every station was seen to step down by itself."""
    names = [StationId(f"CP-{number:03}") for number in range(connectors)]
    limit = CAR_A * connectors
    family = Family(name="obedient", proven=True, latency_s=2.0, tells=True)
    rows = range((connectors + 19) // 20)
    return Plan(
        circuits=(
            CircuitNode(id="main", limit_a=(limit,) * 3, background_a=(WORST * limit,) * 3, metered=True),
            *(CircuitNode(id=f"row{row}", limit_a=(20 * CAR_A,) * 3, parent="main") for row in rows),
        ),
        connectors=tuple(
            ConnectorSpec(key=ConnectorKey(name, 1), circuit=f"row{number // 20}", latency_s=2.0)
            for number, name in enumerate(names)
        ),
        families=dict.fromkeys(names, family),
    )


class Scene:
    """A site in which everybody charges, and the moments at which the meter was heard."""

    def __init__(self, folder: Path, connectors: int) -> None:
        self.limit_a = CAR_A * connectors
        self.plan = plan(connectors)
        self.meter = SimulatedOptions(
            driver="simulated", base_a=BEFORE * self.limit_a, swing_a=0, machine_a=0, noise_a=0.05
        )
        options = SiteOptions(
            offline=OfflineMode.ALLOW_UNKNOWN,
            plan=self.plan,
            circuits=[Circuit(CircuitId("main"), self.limit_a, meter=MeterId("grid"))],
            meters=[MeterId("grid")],
        )
        self.world = World(folder, 1, options)
        self.world.weather = Weather(0.0, 0.0)
        self.stations: list[ObedientStation] = []
        self.building = Building(self.meter, self.stations)
        self.tasks: list[asyncio.Task[object]] = []
        self.heard: list[tuple[float, float]] = []

    @property
    def site(self) -> Site:
        assert self.world.assembly is not None
        return self.world.assembly.site

    async def begin(self) -> None:
        await self.world.start()
        meters = self.site.meters
        put = meters.put

        def noted(state: MeterState) -> None:
            amps = state.current_a[0]
            if amps is not None and (not self.heard or amps.value != self.heard[-1][1]):
                self.heard.append((self.now(), amps.value))
            put(state)

        meters.put = noted  # type: ignore[method-assign]  # beside the product's own way, not in it
        metering = Metering([meter_options(self.meter, self.limit_a)], meters, self.site.clock, random.Random(1))
        for work in (self.building.run(), metering.run()):
            self.tasks.append(asyncio.create_task(work))
        for spec in self.plan.connectors:
            station = ObedientStation(spec.key.station, "1.6", self.world.dial, random.Random(spec.key.station))
            self.stations.append(station)
            self.tasks.append(asyncio.create_task(station.run()))
        for station in self.stations:
            await station.ready()
        await asyncio.sleep(30.0)
        for number, station in enumerate(self.stations):
            self.tasks.append(asyncio.create_task(station.session(f"T-{number}", 10**6, READS_S)))
            await asyncio.sleep(READS_S / len(self.stations))

    async def cycle(self, figures: Figures) -> None:
        """The load goes, everybody gets current again, the load comes."""
        self.building.step_a = 0.0
        self.site.balancer.rises["main"] = Rises(days=((RISE * self.limit_a,) * 3,), recorded_s=WEEK_S)
        await asyncio.sleep(400.0)
        before = {station.identity: station.limit_a() for station in self.stations}
        if min(before.values()) < CHARGES * CAR_A:
            raise click.ClickException(f"not everybody charges before the step: {min(before.values()):g} A")
        self.building.step_a = STEP * self.limit_a
        stepped, most = self.now(), self.heard[-1][1] + STEP * self.limit_a / 2
        await asyncio.sleep(20.0)
        read_at = next(at for at, amps in self.heard if at >= stepped and amps > most)
        commands = [next(at for at, amps in station.written() if at >= stepped) for station in self.stations]
        figures.commands_s += [at - read_at for at in commands]
        figures.last_s.append(max(commands) - read_at)
        self.heard = self.heard[-1:]

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.world.stop()

    @staticmethod
    def now() -> float:
        return asyncio.get_running_loop().time()


def measure(connectors: int, cycles: int) -> Figures:
    figures = Figures(connectors)

    async def whole(folder: Path) -> None:
        scene = Scene(folder, connectors)
        # A site of 500 has a transformer of its own: thousands of amperes are not to look like a sagging line.
        with patch.object(registry, "build", scene.building.build), patch.object(simulated, "_SAG_V_PER_A", 0.0):
            await scene.begin()
            for _ in range(cycles):
                await scene.cycle(figures)
            await scene.end()

    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=CoreLoop) as runner:
        runner.run(whole(Path(folder)))
    return figures


def _asked(connectors: tuple[int, ...], cycles: int | None) -> Iterator[tuple[int, int]]:
    for number in connectors or BUDGET_S:
        yield number, cycles or max(2, 400 // number)


@click.command(help=__doc__)
@click.option("--connectors", multiple=True, type=int, help="54 and 500 if not given.")
@click.option("--cycles", type=int, help="Steps of the load per size; 7 and 2 if not given.")
@click.option("--json", "as_json", is_flag=True, help="Machine output.")
def main(connectors: tuple[int, ...], cycles: int | None, *, as_json: bool) -> None:
    logging.basicConfig(level=logging.CRITICAL)
    is_within = True
    for number, times in _asked(connectors, cycles):
        figures = measure(number, times)
        is_within = is_within and figures.is_within
        if as_json:
            print(json.dumps({"connectors": number, "p99_s": figures.p99_s, "last_s": figures.last_s}))
        else:
            print(figures, flush=True)
    sys.exit(0 if is_within else 1)


if __name__ == "__main__":
    main()
