"""kill -9 of the real gateway at random moments, traffic running: real processes, real sockets, real disk.

A round is one gateway with its own directory, a CSMS that books everything twice if told twice, and eight busy
stations; it is killed and started again several times, then everything is drained and the history checker judges.
"""

import asyncio
import random
import shutil
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gateway.demo.checker import Report, check, read_ledger
from gateway.demo.csms import SimulatedCsms
from gateway.demo.history import Acknowledged, Answered, Arrival, Attempt, Created, Failed, monotonic
from gateway.demo.station import SimulatedStation, StationOptions
from tests.gateway_process import GatewayProcess
from tests.sim.translated import told_again
from tests.storm import power

STATIONS = 8
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


async def play(seed: int, kills: int, shim: Path | None = None, csms_version: str | None = None) -> Round:
    """Play one round; its directory is kept if anything was found.

    With `power`'s shim each kill is a power cut. `csms_version`: all that the CSMS speaks.
    """
    folder = Path(tempfile.mkdtemp(prefix="kill-"))
    source = random.Random(seed)
    outcome = Round(seed)
    versions = (csms_version,) if csms_version else ("2.0.1", "1.6")
    async with SimulatedCsms(versions=versions, latency_s=(0.02, 0.25), seed=seed, validate=False) as csms:
        gateway = GatewayProcess(folder, csms.url, extra=UPLINK)
        database = gateway.state_dir / "gateway.db"
        if shim is not None:
            gateway.environment = power.environment(shim, database)
        await gateway.start()
        stations = [
            SimulatedStation(f"CP-{n}", gateway.url, source.choice(["1.6", "2.0.1"]), seed=seed, options=OPTIONS)
            for n in range(STATIONS)
        ]
        lives = [asyncio.create_task(station.run()) for station in stations]
        drivers = [asyncio.create_task(_drive(station, random.Random(source.random()))) for station in stations]
        try:
            await _traffic(stations)
            for _ in range(kills):
                await _kill(gateway, csms, stations, source, outcome, power_off=database if shim else None)
            await _settle(csms, stations, drivers, gateway)
        finally:
            for task in (*lives, *drivers):
                task.cancel()
            await asyncio.gather(*lives, *drivers, return_exceptions=True)
            await gateway.end()
    records = [record for station in stations for record in station.history.records]
    findings: list[str] = []
    created = (record for record in records if isinstance(record, Created))
    held = told_again(created, csms.history.records, findings) if csms_version else csms.history.records
    report = check(records, read_ledger(gateway.state_dir / "gateway.db"), held)
    report.findings += findings
    outcome.report = asdict(report)
    if report.is_clean:
        shutil.rmtree(folder)
    else:
        outcome.report["folder"] = str(folder)
    return outcome


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


async def _kill(
    gateway: GatewayProcess,
    csms: SimulatedCsms,
    stations: list[SimulatedStation],
    source: random.Random,
    outcome: Round,
    *,
    power_off: Path | None,
) -> None:
    """One kill; now and then in the middle of an outage of the CSMS, or just after one."""
    if source.random() < 0.2:
        csms.cut()
    await asyncio.sleep(source.uniform(0.05, 1.5))
    if csms.is_cut and source.random() < 0.5:
        csms.restore()
        await asyncio.sleep(source.uniform(0.5, 2.5))
    outcome.kills += 1
    outcome.kills_in_flight += _is_at_csms(csms) or any(_is_in_flight(station) for station in stations)
    at = monotonic()
    await gateway.kill()
    if power_off is not None:
        outcome.writes_at_risk += power.cut(power_off, source)
    csms.mark_kill(at)
    csms.restore()
    await gateway.start()
    await _traffic(stations)


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


async def _settle(
    csms: SimulatedCsms,
    stations: list[SimulatedStation],
    drivers: list[asyncio.Task[None]],
    gateway: GatewayProcess,
) -> None:
    """End all sessions and let everything arrive."""
    csms.restore()
    for driver in drivers:
        driver.cancel()
    for station in stations:
        station.end(1, "Local")
    for station in stations:
        await station.drain(120)
    async with asyncio.timeout(600):
        while await gateway.queued():
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


__all__ = ["Report", "Round", "add", "play"]
