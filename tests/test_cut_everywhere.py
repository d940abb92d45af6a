"""A session on virtual time, with one fault at every step of it: nothing is lost, doubled or out of order.

A step is what the CSMS sees: a CALL arrives, an answer leaves. For every step the fault strikes right before it, at the
same moment, and a little after it. Commits are steps of another kind. The history checker judges, which knows
nothing of the gateway's own books.
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
from tests.sim.network import Weather
from tests.sim.world import World

SEED = 11
OUTAGE_S = 60.0
AWAY_S = 5.0
VALUES = 2
MESSAGES = VALUES + 2
VERSIONS = ("1.6", "2.0.1")
OTHER = {"1.6": "2.0.1", "2.0.1": "1.6"}
STEPS = {"online": 2 * (4 + MESSAGES), "replayed": 2 * (3 + MESSAGES)}
"""Each CALL and its answer: boot, status, Authorize (not in an outage), status, and the session's messages."""

WHEN = {"before": 0.0, "at": 0.0, "in the gateway": 0.012, "after": 0.03}
"""Seconds after the step. A frame takes 10 ms, a commit 5: 12 ms after an answer the gateway is about to write it."""

COMMIT_S = 0.005
Fault = Callable[[World], Awaitable[None]]


@dataclass
class Strike:
    """One fault: at which step, and when. `running` ends when the fault is over."""

    step: int
    when: str
    fault: Fault
    closes_uplink: bool
    delay_s: float
    running: asyncio.Task[None] | None = None

    @property
    def has_struck(self) -> bool:
        return self.running is not None

    def start(self, world: World) -> None:
        self.running = asyncio.create_task(self._run(world), name="fault")

    async def _run(self, world: World) -> None:
        await asyncio.sleep(self.delay_s)
        await self.fault(world)


class CountingCsms(SimCsms):
    """Counts its steps, and lets the fault strike at the one asked for."""

    steps = 0
    strike: Strike | None = None
    world: World

    async def _handle(self, connection: Any, message_id: str, action: str, payload: Any) -> Any:
        await self._step()
        answer = await super()._handle(connection, message_id, action, payload)
        await self._step()
        return answer

    def _is_due(self, when: str) -> bool:
        strike = self.strike
        return strike is not None and not strike.has_struck and (strike.step, strike.when) == (self.steps, when)

    async def _step(self) -> None:
        """Where the fault comes first, what would come over the dead link does not come at all."""
        if self.strike and self._is_due("before"):
            self.strike.start(self.world)
            await asyncio.sleep(3600 if self.strike.closes_uplink else 0.001)
        for when in WHEN:
            if self.strike and self._is_due(when):
                self.strike.start(self.world)
        self.steps += 1


class CountingDisk:
    """Counts commits as steps, once `is_on`."""

    steps = 0
    is_on = False

    def __init__(self, world: World, strike: Strike | None) -> None:
        self._world = world
        self._strike = strike

    def delay_s(self) -> float:
        strike = self._strike
        if self.is_on and strike and not strike.has_struck and strike.step == self.steps:
            strike.start(self._world)
        self.steps += self.is_on
        return COMMIT_S


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


async def _spoil_disk(world: World) -> None:
    world.runner.fails = True
    await asyncio.sleep(AWAY_S)
    world.runner.fails = False


FAULTS: dict[str, tuple[Fault, bool]] = {
    "uplink cut": (_cut_uplink, True),
    "gateway killed": (_kill_gateway, True),
    "station cut": (_cut_station, False),
    "station reboots": (_reboot_station, False),
}


DISK_FAULTS: dict[str, tuple[Fault, float]] = {
    "killed before it is written": (_kill_gateway, COMMIT_S / 2),
    "killed when it is written": (_kill_gateway, COMMIT_S * 1.01),
    "bad disk": (_spoil_disk, 0.0),
}


@dataclass
class Outcome:
    """`steps` at the CSMS, `commits` on the disk."""

    world: World
    report: Report
    steps: int
    commits: int


async def _session(
    folder: Path, version: str, kind: str, strike: Strike | None, *, at_commits: bool, translated: bool
) -> Outcome:
    world = World(folder, SEED)
    world.weather = Weather(0.01, 0.01)
    csms = world.csms = CountingCsms(random.Random(SEED))
    csms.versions = (OTHER[version],) if translated else ()
    csms.world, csms.strike = world, None if at_commits else strike
    disk = CountingDisk(world, strike if at_commits else None)
    world.commit_delay_s = disk.delay_s
    await world.start()
    station = world.add("CP-1", version)
    async with asyncio.timeout(3600):
        await station.ready()
        disk.is_on = True
        if kind == "replayed":
            await asyncio.sleep(1)
            csms.cut()
        await station.session("TAG-1", values=VALUES, interval_s=20)
        if kind == "replayed":
            await station.drained()
            csms.mend()
        await world.drained()
        if strike and strike.running:
            await strike.running
        await world.drained()
    commits = disk.steps
    await world.stop()
    return Outcome(world, world.verdict(), csms.steps, commits)


def _run(
    folder: Path,
    version: str,
    kind: str,
    strike: Strike | None = None,
    *,
    at_commits: bool = False,
    translated: bool = False,
) -> Outcome:
    return loop.run(_session(folder, version, kind, strike, at_commits=at_commits, translated=translated), debug=False)


def _problems(strike: Strike, report: Report) -> list[str]:
    problems = list(report.findings)
    if not strike.has_struck:
        problems.append("never reached")
    if not report.is_clean:
        problems.append(f"lost {report.lost}, duplicated {report.duplicated}, out of order {report.out_of_order}")
    if report.repeated > report.lost_answers:
        problems.append(f"{report.repeated} repeated, {report.lost_answers} answers lost")
    if (report.messages, report.acknowledged) != (MESSAGES, MESSAGES):
        problems.append(f"{report.messages} messages, {report.acknowledged} acknowledged")
    return problems


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("version", VERSIONS)
def test_steps_are_counted(version: str, kind: str, tmp_path: Path) -> None:
    calm = _run(tmp_path, version, kind)
    assert calm.steps == STEPS[kind], [action for _, action, _ in calm.world.csms.calls]
    assert calm.commits >= MESSAGES
    assert calm.report.is_clean
    assert calm.report.repeated == 0


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
        strike = Strike(step, when, fault, closes_uplink, WHEN[when])
        problems = _problems(strike, _run(folder, version, kind, strike).report)
        found += [f"seed {SEED}, {version} {kind}, {name} {when} step {step}: {problem}" for problem in problems]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", DISK_FAULTS)
@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_fault_at_every_commit(version: str, kind: str, name: str, tmp_path: Path) -> None:
    fault, delay_s = DISK_FAULTS[name]
    found: list[str] = []
    (tmp_path / "calm").mkdir()
    for step in range(_run(tmp_path / "calm", version, kind).commits):
        folder = tmp_path / str(step)
        folder.mkdir()
        strike = Strike(step, name, fault, False, delay_s)
        problems = _problems(strike, _run(folder, version, kind, strike, at_commits=True).report)
        found += [f"seed {SEED}, {version} {kind}, {name}, commit {step}: {problem}" for problem in problems]
    assert not found, "\n".join(found)


def test_the_verdict_can_be_bad(tmp_path: Path) -> None:
    """A message taken out of the CSMS's own history is found to be lost."""
    calm = _run(tmp_path, "1.6", "online")
    records = calm.world.csms.history.records
    stop = next(record for record in records if isinstance(record, Arrival) and record.action == "StopTransaction")
    records.remove(stop)
    assert calm.world.verdict().lost == 1
    records.append(stop)
    assert calm.world.verdict().is_clean


@pytest.mark.parametrize("version", VERSIONS)
def test_a_death_at_every_commit_under_translation(version: str, tmp_path: Path) -> None:
    """The CSMS speaks the other version: every message is a decision that is on disk before it leaves."""
    (tmp_path / "calm").mkdir()
    calm = _run(tmp_path / "calm", version, "replayed", translated=True)
    found: list[str] = []
    for step in range(calm.commits):
        for name, (fault, delay_s) in DISK_FAULTS.items():
            folder = tmp_path / f"{step} {name}"
            folder.mkdir()
            strike = Strike(step, name, fault, False, delay_s)
            problems = _problems(
                strike, _run(folder, version, "replayed", strike, at_commits=True, translated=True).report
            )
            found += [f"seed {SEED}, {version}, {name}, commit {step}: {problem}" for problem in problems]
    assert not found, "\n".join(found)
