"""kill -9 of the real gateway at random moments, traffic running: real processes, real sockets, real disk.

A round is one gateway with its own directory, a CSMS that books everything twice if told twice, and eight busy
stations; it is killed and started again several times, then everything is drained and the history checker judges.
With all stations behind one link the checker is told whose each message was (`tests.sim.told_apart`).
"""

import asyncio
import random
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from gateway.demo.checker import Report, check, read_ledger
from gateway.demo.csms import SimulatedCsms
from gateway.demo.history import Acknowledged, Answered, Arrival, Attempt, Created, CsmsRecord, Failed, monotonic
from gateway.demo.station import SimulatedStation, StationOptions
from tests.gateway_process import GatewayProcess
from tests.sim.told_apart import Place, told_apart
from tests.sim.translated import told_again
from tests.storm import power

STATIONS = 8
SITE = "SITE"
OPTIONS = StationOptions(
    meter_interval_s=0.3,
    call_timeout_s=3.0,
    retry_wait_s=0.2,
    reconnect_min_s=0.1,
    reconnect_max_s=0.5,
    tick_s=0.1,
    react_s=0.05,
    longest_wait_s=0.5,
    validate=False,
)
ONE_LINK_OPTIONS = replace(OPTIONS, meter_interval_s=0.6)
LATENCY_S, ONE_LINK_LATENCY_S = (0.02, 0.25), (0.02, 0.08)
"""All stations share one CALL in flight there: it has to carry what they say."""
FIRST = 4
"""So many are there from the begin behind one link: a number is given at any moment, too."""
UPLINK = "\n[budgets]\nauthorize_s = 1\nstart_s = 1\nother_s = 1\n"


@dataclass
class Round:
    """What one round found."""

    seed: int
    kills: int = 0
    kills_in_flight: int = 0
    writes_at_risk: int = 0
    """Of power cuts: writes that were not synced."""
    report: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Scene:
    """`shim`: `power`'s, and each kill is a power cut. `csms`: what the CSMS speaks. `stations`: what they speak, drawn
    for each. `is_one_station`: topology "aggregate"."""

    shim: Path | None = None
    csms: Sequence[str] = ("2.0.1", "1.6")
    stations: Sequence[str] = ("1.6", "2.0.1")
    is_one_station: bool = False


def one_station(csms: str, stations: Sequence[str] = ()) -> Scene:
    """A site that is one station to a CSMS of this version; its stations speak the same if nothing else is said."""
    return Scene(csms=(csms,), stations=stations or (csms,), is_one_station=True)


class _Rig:
    """The gateway, its CSMS, and the stations that are there by now."""

    def __init__(self, seed: int, scene: Scene, folder: Path, csms: SimulatedCsms) -> None:
        self.scene = scene
        self.csms = csms
        self.source = random.Random(seed)
        self.gateway = GatewayProcess(folder, csms.url, extra=UPLINK)
        self.database = self.gateway.state_dir / "gateway.db"
        if scene.is_one_station:
            topology = f'[uplink]\ntopology = "aggregate"\nversions = {list(scene.csms)}\n'.replace("'", '"')
            self.gateway.write_config(self.gateway.config_file.read_text().replace("[uplink]\n", topology))
        if scene.shim is not None:
            self.gateway.environment = power.environment(scene.shim, self.database)
        options = ONE_LINK_OPTIONS if scene.is_one_station else OPTIONS
        self.absent = [
            SimulatedStation(
                f"CP-{n}", self.gateway.url, self.source.choice(scene.stations), seed=seed, options=options
            )
            for n in range(STATIONS)
        ]
        self.stations: list[SimulatedStation] = []
        self.drivers: list[asyncio.Task[None]] = []
        self._lives: list[asyncio.Task[None]] = []

    def join(self) -> None:
        """One station more."""
        if self.absent:
            station = self.absent.pop(0)
            self.stations.append(station)
            self._lives.append(asyncio.create_task(station.run()))
            self.drivers.append(asyncio.create_task(_drive(station, random.Random(self.source.random()))))

    async def end(self) -> None:
        for task in (*self._lives, *self.drivers):
            task.cancel()
        await asyncio.gather(*self._lives, *self.drivers, return_exceptions=True)
        await self.gateway.end()

    def judged(self, places: dict[int, Place]) -> Report:
        """What the checker says. `places`: the meaning of the site's numbers."""
        records = [record for station in self.stations for record in station.history.records]
        created = [record for record in records if isinstance(record, Created)]
        findings: list[str] = []
        held: list[CsmsRecord] = list(self.csms.history.records)
        if self.scene.is_one_station:
            held = told_apart(created, held, SITE, places, findings)
            numbers = {number for _, number in self.csms.books.statuses} - {0}
            findings += [f"the CSMS was told of number {number}, of nobody" for number in numbers - set(places)]
        if len(self.scene.csms) == 1:
            held = told_again(created, held, findings)
        report = check(records, read_ledger(self.database), held)
        report.findings += findings
        return report


async def play(seed: int, kills: int, scene: Scene = Scene()) -> Round:
    """Play one round; its directory is kept if anything was found."""
    folder = Path(tempfile.mkdtemp(prefix="kill-"))
    outcome = Round(seed)
    latency_s = ONE_LINK_LATENCY_S if scene.is_one_station else LATENCY_S
    async with SimulatedCsms(versions=scene.csms, latency_s=latency_s, seed=seed, validate=False) as csms:
        rig = _Rig(seed, scene, folder, csms)
        await rig.gateway.start()
        try:
            for _ in range(FIRST if scene.is_one_station else STATIONS):
                rig.join()
            await _traffic(rig.stations)
            for _ in range(kills):
                await _kill(rig, outcome)
            await _settle(rig)
            places = await _places(rig.gateway)
        finally:
            await rig.end()
    report = rig.judged(places)
    outcome.report = asdict(report)
    if report.is_clean:
        shutil.rmtree(folder)
    else:
        outcome.report["folder"] = str(folder)
    return outcome


async def _places(gateway: GatewayProcess) -> dict[int, Place]:
    """The numbers of the site as the gateway tells the operator."""
    stations = (await gateway.status())["stations"]
    return {number: (one["id"], int(evse)) for one in stations for evse, number in one["numbers"].items()}


async def _drive(station: SimulatedStation, source: random.Random) -> None:
    """Short sessions, one after another, whatever the connection does."""
    while True:
        await asyncio.sleep(source.uniform(0.0, 0.5))
        station.begin(1, f"TAG-{source.randrange(20)}")
        await asyncio.sleep(source.uniform(0.5, 4.0))
        station.end(1, "Local")


async def _traffic(stations: list[SimulatedStation]) -> None:
    """Wait until every station is served: a kill before that would hit nothing."""
    async with asyncio.timeout(300):
        for station in stations:
            await station.changes.until(lambda s=station: s.is_connected and s.is_accepted, 300)  # type: ignore[misc]


async def _kill(rig: _Rig, outcome: Round) -> None:
    """One kill; now and then in the middle of an outage of the CSMS, or just after one."""
    csms, source = rig.csms, rig.source
    rig.join()
    if source.random() < 0.2:
        csms.cut()
    await asyncio.sleep(source.uniform(0.05, 1.5))
    if csms.is_cut and source.random() < 0.5:
        csms.restore()
        await asyncio.sleep(source.uniform(0.5, 2.5))
    outcome.kills += 1
    outcome.kills_in_flight += _is_at_csms(csms) or any(_is_in_flight(station) for station in rig.stations)
    at = monotonic()
    await rig.gateway.kill()
    if rig.scene.shim is not None:
        outcome.writes_at_risk += power.cut(rig.database, source)
    csms.mark_kill(at)
    csms.restore()
    await rig.gateway.start()
    await _traffic(rig.stations)


def _is_at_csms(csms: SimulatedCsms) -> bool:
    """Whether the CSMS has a transaction message of the last second that it has not answered yet."""
    recent = [record for record in csms.history.records[-200:] if record.at > monotonic() - 1]
    answered = {record.order for record in recent if isinstance(record, Answered)}
    return any(isinstance(record, Arrival) and record.order not in answered for record in recent)


def _is_in_flight(station: SimulatedStation) -> bool:
    """Whether a transaction message of the station waits for its answer right now."""
    for record in reversed(station.history.records):
        if isinstance(record, Attempt):
            return True
        if isinstance(record, (Acknowledged, Failed)):
            return False
    return False


async def _settle(rig: _Rig) -> None:
    """End all sessions and let everything arrive."""
    rig.csms.restore()
    for driver in rig.drivers:
        driver.cancel()
    for station in rig.stations:
        station.end(1, "Local")
    for station in rig.stations:
        await station.drain(120)
    async with asyncio.timeout(600):
        while await rig.gateway.queued():
            await asyncio.sleep(0.2)
    await asyncio.sleep(1.5)


def add(total: dict[str, int], outcome: Round) -> None:
    """Add a round's figures to the total of many."""
    report = outcome.report
    counted = {
        "kills": outcome.kills,
        "kills_in_flight": outcome.kills_in_flight,
        "writes_at_risk": outcome.writes_at_risk,
        "acked": report["acknowledged"],
        "delivered": report["arrivals"] - report["repeated"],
        **{name: report[name] for name in ("lost", "duplicated", "out_of_order", "repeated", "lost_answers")},
    }
    for name, value in counted.items():
        total[name] = total.get(name, 0) + value


__all__ = ["Report", "Round", "Scene", "add", "one_station", "play"]
