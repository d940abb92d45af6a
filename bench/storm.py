"""The storm suite: a whole fleet connects and boots at once, row by row, interleaved.

Each row twice in its process: first chargers it has never seen, then the same ones again, cut off a moment before.
"""

import asyncio
import os
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import proc
from bench.crowd import Crowd, Storm
from bench.proc import Proxy
from bench.relay import Cores
from bench.rows import ROWS, Row
from bench.watch import Watch

GATEWAY = "pass_through"
_NAMES = ("direct", "websockets", GATEWAY)
STORM_ROWS = tuple(row for row in ROWS if row.name in _NAMES)

WATCHERS = 4
_BEATS_PER_S = 100.0


@dataclass(frozen=True, slots=True)
class Options:
    """`settle_s`: until what is left to do after the last answer is done; the gateway writes notes a second late."""

    chargers: int = 500
    repeats: int = 3
    seed: int = 1
    rows: Sequence[Row] = STORM_ROWS
    calm_s: float = 1.5
    settle_s: float = 2.5


@dataclass(slots=True)
class Sample:
    """One row in one repeat. `cpu_ms`: per charger, until all is calm again, the watchers' share taken off.

    `kb`: resident memory a charger (1,000 bytes), with its connection upstream. `lost`: not booted, gone after, or with
    a boot that never came to the CSMS.
    """

    row: Row
    first: Storm
    again: Storm
    cpu_ms: float = 0.0
    again_cpu_ms: float = 0.0
    base_mib: float = 0.0
    kb: float = 0.0
    again_kb: float = 0.0
    lost: int = 0
    mismatches: int = 0
    complaint: str | None = None
    calm_s: list[float] = field(default_factory=list)
    during_s: list[float] = field(default_factory=list)
    """Heartbeats of chargers that were connected before."""


@dataclass(slots=True)
class Run:
    """All samples of a run, repeat by repeat."""

    options: Options
    cores: Cores
    repeats: list[dict[str, Sample]] = field(default_factory=list)


async def run(options: Options) -> Run:
    """Measure every row in every repeat, in random order. Raises ProxyError or WatchError."""
    proc.allow_descriptors(2 * options.chargers + 500)
    source = random.Random(options.seed)
    before = os.sched_getaffinity(0)
    cores = Cores(min(before), max(before))
    os.sched_setaffinity(0, {cores.load})
    try:
        result = Run(options, cores)
        for _ in range(options.repeats):
            order = source.sample(options.rows, len(options.rows))
            result.repeats.append({row.name: await measure(row, options, cores) for row in order})
        return result
    finally:
        os.sched_setaffinity(0, before)


async def measure(row: Row, options: Options, cores: Cores) -> Sample:
    """One row, in a process of its own. Raises ProxyError or WatchError."""
    crowd = Crowd(options.chargers)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        csms_port = await crowd.open_csms()
        try:
            if row.arguments is None:
                return await _weather(crowd, csms_port, cores, options, row=row)
            port = proc.free_port()
            async with Proxy(row.arguments(port, csms_port, folder), port, folder, cores.proxy) as proxy:
                sample = await _weather(crowd, port, cores, options, row=row, proxy=proxy)
                proxy.check()
                return sample
        finally:
            await crowd.close()


@dataclass(frozen=True, slots=True)
class _State:
    """Of a proxy that has nothing to do. Without a proxy all is 0."""

    cpu_ns: int = 0
    rss: int = 0

    @classmethod
    def of(cls, proxy: Proxy | None) -> "_State":
        return cls(proc.cpu_ns(proxy.pid), proc.rss_bytes(proxy.pid)) if proxy else cls()


async def _weather(
    crowd: Crowd, port: int, cores: Cores, options: Options, *, row: Row, proxy: Proxy | None = None
) -> Sample:
    """Calm, a storm, calm, all chargers cut off, and the same storm again; some chargers are there all the time."""
    size = options.chargers
    async with Watch(port, WATCHERS, _BEATS_PER_S, cores.load) as watch:
        before = _State.of(proxy)
        await asyncio.sleep(options.calm_s)
        empty = _State.of(proxy)
        beats_ns = (empty.cpu_ns - before.cpu_ns) / options.calm_s

        async def storm(begin: _State) -> tuple[Storm, _State, float, int]:
            found = await crowd.storm(port)
            await asyncio.sleep(options.settle_s)
            end = _State.of(proxy)
            cpu_ns = end.cpu_ns - begin.cpu_ns - beats_ns * (found.took_s + options.settle_s)
            return found, end, cpu_ns / 1e6 / size, await crowd.served()

        first, full, cpu_ms, served = await storm(empty)
        crowd.drop()
        await asyncio.sleep(options.calm_s)
        again, full_again, again_cpu_ms, served_again = await storm(_State.of(proxy))
        seen = await watch.end()

    return Sample(
        row,
        first,
        again,
        cpu_ms=cpu_ms,
        again_cpu_ms=again_cpu_ms,
        base_mib=empty.rss / 2**20,
        kb=(full.rss - empty.rss) / 1000 / size,
        again_kb=(full_again.rss - full.rss) / 1000 / size,
        lost=max(2 * size - served - served_again, sum(max(2 - crowd.boots[name], 0) for name in crowd.names)),
        mismatches=crowd.complaints,
        complaint=crowd.first_complaint,
        calm_s=[one.took for one in seen if one.due < first.began],
        during_s=[one.took for one in seen if first.began <= one.due <= first.began + first.took_s],
    )
