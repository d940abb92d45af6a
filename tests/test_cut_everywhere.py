"""A session on virtual time, with one fault at every step of it: nothing is lost, doubled or out of order.

A step is what the CSMS sees: a CALL arrives, an answer leaves. For every step the fault strikes right before it, at the
same moment, and a little after it. The history checker judges, which knows nothing of the gateway's own books.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.checker import Report
from gateway.demo.history import Arrival
from tests.sim import loop
from tests.sim.csms import SimCsms
from tests.sim.world import World

SEED = 11
OUTAGE_S = 60.0
AWAY_S = 5.0
VALUES = 2
MESSAGES = VALUES + 2
VERSIONS = ("1.6", "2.0.1")
STEPS = {"online": 2 * (4 + MESSAGES), "replayed": 2 * (3 + MESSAGES)}
"""Each CALL and its answer: boot, status, Authorize (not in an outage), status, and the session's messages."""

WHEN = ("before", "at", "after")
Fault = Callable[[World], Awaitable[None]]


@dataclass
class Strike:
    """One fault: at which step, and when. `fault` runs in a task of its own."""

    step: int
    when: str
    fault: Fault
    closes_uplink: bool
    has_struck: bool = False


class CountingCsms(SimCsms):
    """Counts its steps, and lets the fault strike at the one asked for."""

    steps = 0
    strike: Strike | None = None
    world: World
    running: asyncio.Task[None] | None = None

    async def _handle(self, connection: Any, message_id: str, action: str, payload: Any) -> Any:
        await self._step("before")
        self._now("at")
        self._soon()
        self.steps += 1
        answer = await super()._handle(connection, message_id, action, payload)
        await self._step("before")
        self._now("at")
        self._soon()
        self.steps += 1
        return answer

    def _is_due(self, when: str) -> bool:
        strike = self.strike
        return strike is not None and not strike.has_struck and (strike.step, strike.when) == (self.steps, when)

    async def _step(self, when: str) -> None:
        """The fault comes first: what comes over a dead link does not come at all."""
        if self._is_due(when) and self.strike:
            self._now(when)
            await asyncio.sleep(0.001 if not self.strike.closes_uplink else 3600)

    def _now(self, when: str) -> None:
        if self._is_due(when) and self.strike:
            self.strike.has_struck = True
            self.running = asyncio.create_task(self._run(self.strike.fault, 0.0))

    def _soon(self) -> None:
        """Later than the frame's way to the gateway takes, at least; the gateway may be in the middle of its turn."""
        if self._is_due("after") and self.strike:
            self.strike.has_struck = True
            self.running = asyncio.create_task(self._run(self.strike.fault, 0.055))

    async def _run(self, fault: Fault, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await fault(self.world)


async def _cut_uplink(world: World) -> None:
    world.csms.cut()
    await asyncio.sleep(OUTAGE_S)
    world.csms.mend()


async def _kill_gateway(world: World) -> None:
    await world.crash()
    await asyncio.sleep(AWAY_S)
    await world.start()


async def _cut_station(world: World) -> None:
    station = world.stations["CP-1"]
    if station.wire:
        station.wire.socket.cut()


async def _reboot_station(world: World) -> None:
    world.stations["CP-1"].reboot()


FAULTS: dict[str, tuple[Fault, bool]] = {
    "uplink cut": (_cut_uplink, True),
    "gateway killed": (_kill_gateway, True),
    "station cut": (_cut_station, False),
    "station reboots": (_reboot_station, False),
}


async def _session(folder: Path, version: str, kind: str, strike: Strike | None) -> tuple[CountingCsms, World, Report]:
    world = World(folder, SEED)
    csms = world.csms = CountingCsms(random.Random(SEED))
    csms.world, csms.strike = world, strike
    await world.start()
    station = world.add("CP-1", version)
    await station.ready()
    if kind == "replayed":
        await asyncio.sleep(1)
        csms.cut()
    await station.session("TAG-1", values=VALUES, interval_s=20)
    if kind == "replayed":
        await station.drained()
        csms.mend()
    async with asyncio.timeout(3600):
        await world.drained()
        if csms.running:
            await csms.running
        await world.drained()
    await world.stop()
    return csms, world, world.verdict()


def _run(folder: Path, version: str, kind: str, strike: Strike | None) -> tuple[CountingCsms, World, Report]:
    return loop.run(_session(folder, version, kind, strike), debug=False)


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("version", VERSIONS)
def test_steps_are_counted(version: str, kind: str, tmp_path: Path) -> None:
    csms, _, report = _run(tmp_path, version, kind, None)
    assert csms.steps == STEPS[kind], [action for _, action, _ in csms.calls]
    assert report.is_clean


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_fault_at_every_step(version: str, kind: str, name: str, when: str, tmp_path: Path) -> None:
    fault, closes_uplink = FAULTS[name]
    found: list[str] = []
    for step in range(STEPS[kind]):
        folder = tmp_path / str(step)
        folder.mkdir()
        strike = Strike(step, when, fault, closes_uplink)
        _, _, report = _run(folder, version, kind, strike)
        problems = list(report.findings)
        if not strike.has_struck:
            problems.append("never reached")
        if not report.is_clean:
            problems.append(f"lost {report.lost}, duplicated {report.duplicated}, out of order {report.out_of_order}")
        if report.repeated > report.lost_answers:
            problems.append(f"{report.repeated} repeated, {report.lost_answers} answers lost")
        if (report.messages, report.acknowledged) != (MESSAGES, MESSAGES):
            problems.append(f"{report.messages} messages, {report.acknowledged} acknowledged")
        found += [f"seed {SEED}, {version} {kind}, {name} {when} step {step}: {problem}" for problem in problems]
    assert not found, "\n".join(found)


def test_the_verdict_can_be_bad(tmp_path: Path) -> None:
    """A message taken out of the CSMS's own history is found to be lost."""
    _, world, report = _run(tmp_path, "1.6", "online", None)
    assert report.is_clean
    records = world.csms.history.records
    stop = next(record for record in records if isinstance(record, Arrival) and record.action == "StopTransaction")
    records.remove(stop)
    assert world.verdict().lost == 1
    records.append(stop)
    assert world.verdict().is_clean
