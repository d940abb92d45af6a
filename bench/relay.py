"""The relay suite: CPU per OCPP round trip (CALL up, CALLRESULT down) and added latency, row by row, interleaved."""

import asyncio
import os
import random
import sqlite3
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter

from bench import proc, traffic
from bench.fleet import Fleet
from bench.proc import Proxy
from bench.rows import ROWS, Row
from gateway.dialects import registry

_WARM_UP_S = 1.5
"""By then the gateway has also written what it notes of boots and Starts, at most a second late."""

_LIGHT_RATE = 200.0
"""Round trips a second for the latencies: few enough that nothing waits for the proxy's CPU."""


@dataclass(frozen=True, slots=True)
class Options:
    chargers: int = 40
    repeats: int = 5
    seconds: float = 2.0
    seed: int = 1
    rows: Sequence[Row] = ROWS


@dataclass(frozen=True, slots=True)
class Cores:
    """Where things run; the same core twice if there is only one."""

    proxy: int
    load: int

    @property
    def are_two(self) -> bool:
        return self.proxy != self.load


@dataclass(slots=True)
class Sample:
    """One row in one repeat. `lost`: acknowledged to the charger and neither at the CSMS nor in the database.

    `unstored`: of a row that stores, acknowledged and not in the database after kill -9.
    """

    row: Row
    cpu_us: dict[str, float] = field(default_factory=dict)
    rate: dict[str, float] = field(default_factory=dict)
    commits: float = 0.0
    written_kib: float = 0.0
    p50_ms: float = 0.0
    acknowledged: int = 0
    lost: int = 0
    unstored: int = 0
    mismatches: int = 0
    complaint: str | None = None


@dataclass(slots=True)
class Run:
    """All samples of a run, repeat by repeat."""

    options: Options
    cores: Cores
    fsync_ms: float
    repeats: list[dict[str, Sample]] = field(default_factory=list)


async def run(options: Options) -> Run:
    """Measure every row in every repeat, in random order. Raises ProxyError or FleetError."""
    source = random.Random(options.seed)
    before = os.sched_getaffinity(0)
    cores = Cores(min(before), max(before))
    os.sched_setaffinity(0, {cores.load})
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            result = Run(options, cores, proc.fsync_ms(Path(folder)))
        for _ in range(options.repeats):
            order = source.sample(options.rows, len(options.rows))
            result.repeats.append({row.name: await measure(row, options, cores) for row in order})
        return result
    finally:
        os.sched_setaffinity(0, before)


async def measure(row: Row, options: Options, cores: Cores) -> Sample:
    """One row: both mixes at saturation, then the latencies at a light load, then kill -9 and the recount."""
    sample = Sample(row)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        fleet = Fleet(options.chargers)
        csms_port = await fleet.open_csms()
        try:
            if row.arguments is None:
                await fleet.connect(csms_port)
                await _measure_windows(sample, fleet, options, None)
            else:
                port = proc.free_port()
                async with Proxy(row.arguments(port, csms_port, folder), port, folder, cores.proxy) as proxy:
                    await fleet.connect(port)
                    await _measure_windows(sample, fleet, options, proxy)
                    proxy.check()
                    await _kill_under_load(fleet, proxy)
        finally:
            await fleet.close()
        _recount(sample, fleet, folder)
    return sample


async def _measure_windows(sample: Sample, fleet: Fleet, options: Options, proxy: Proxy | None) -> None:
    for mix in traffic.MIXES:
        fleet.begin_closed_loop(mix)
        await asyncio.sleep(min(_WARM_UP_S, options.seconds))
        await _measure_window(sample, fleet, options.seconds, mix, proxy)
        await fleet.end_closed_loop()
    sample.p50_ms = median(await fleet.play_open_loop(_LIGHT_RATE, options.seconds)) * 1000


async def _measure_window(sample: Sample, fleet: Fleet, seconds: float, mix: str, proxy: Proxy | None) -> None:
    begin, answered, counted = perf_counter(), fleet.answered, _Counters.read(proxy)
    await asyncio.sleep(seconds)
    spent = _Counters.read(proxy)
    trips = max(fleet.answered - answered, 1)
    sample.rate[mix] = trips / (perf_counter() - begin)
    sample.cpu_us[mix] = (spent.cpu_ns - counted.cpu_ns) / 1000 / trips
    if mix == "meter":
        sample.commits = (spent.commits - counted.commits) / trips
        sample.written_kib = (spent.written - counted.written) / 1024 / trips


@dataclass(frozen=True, slots=True)
class _Counters:
    cpu_ns: int = 0
    commits: int = 0
    written: int = 0

    @classmethod
    def read(cls, proxy: Proxy | None) -> "_Counters":
        if proxy is None:
            return cls()
        return cls(proc.cpu_ns(proxy.pid), proc.wal_commits(proxy.folder), proc.written_bytes(proxy.pid))


async def _kill_under_load(fleet: Fleet, proxy: Proxy) -> None:
    """`kill -9` while every charger has a message on its way."""
    fleet.begin_closed_loop("meter")
    await fleet.until_answered(5 * len(fleet.chargers))
    await proxy.kill()


def _recount(sample: Sample, fleet: Fleet, folder: Path) -> None:
    """Every acknowledged MeterValues must be at the CSMS or in the database; where it is claimed, in the database."""
    stored = _stored(folder / "state" / "gateway.db")
    read = registry.by_name("1.6").codec.transaction
    for charger in fleet.chargers.values():
        sample.acknowledged += len(charger.acknowledged)
        for number in charger.acknowledged:
            is_stored = False
            if stored:
                message = read("MeterValues", charger.own.payload(number))
                is_stored = message is not None and (charger.name, message.fingerprint) in stored
            sample.lost += not is_stored and number not in charger.at_csms
            sample.unstored += sample.row.stores and not is_stored
    sample.mismatches = fleet.mismatches + fleet.repeats
    sample.complaint = fleet.first_complaint


def _stored(database: Path) -> set[tuple[str, str]]:
    """Station and fingerprint of every message in a gateway's database."""
    if not database.exists():
        return set()
    connection = sqlite3.connect(database)
    try:
        return set(connection.execute("SELECT station, fingerprint FROM outbox"))
    finally:
        connection.close()
