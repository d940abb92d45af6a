"""`python -m tests.bad_input.flood --frames 100000`: mutated frames without end over many connections.

One real gateway; the offenders in a process of their own, healthy stations in another, the CSMS in this one. First so
many mutated frames as fast as they are taken, and then as many again, by which nothing may grow any more. Then, by
turns, mutated frames and as many well-formed ones of the same sizes, at the same rate: malformed input may cost the
others no more than ordinary traffic does. At last one station sends tiny frames without waiting for anything. The last
line is one JSON object; exit 1 if the gateway died, leaked or showed a traceback, or if the healthy stations noticed
more than they may.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

from bench import proc
from bench.watch import DATA_TRANSFER, HEARTBEAT, Seen, Watch
from tests.bad_input.counted import CountedGateway, Held
from tests.bad_input.flood_report import (
    AFTER,
    AGAIN,
    BEFORE,
    BURST,
    FIRST,
    MUTATED,
    ORDINARY,
    PHASES,
    Latency,
    Load,
    Report,
    judge,
)
from tests.bad_input.mutator import EVERYONE
from tests.bad_input.offend import Offence
from tests.bad_input.pace import pause
from tests.bad_input.rig import LIMIT_S, Kit, RawCsms, RawStation
from tests.gateway_process import REPOSITORY

WATCHERS, ASKS_PER_S = 20, 50.0
BOOT = '{"reason":"PowerUp","chargingStation":{"vendorName":"kit","model":"kit"}}'
BOOTS = {"1.6": '{"chargePointVendor":"kit","chargePointModel":"kit"}'}


@dataclass(frozen=True, slots=True)
class Options:
    """`frames`: of each of the two floods at full speed. `pairs`: of slices of `pair_frames`, mutated and well-formed,
    at `rate` frames a second; short, for what else the machine does comes and goes. `judges_speed`: then the gateway
    gets a core of its own, if there are two."""

    seed: int
    frames: int
    pairs: int = 20
    pair_frames: int = 2000
    burst_frames: int = 300_000
    rate: float = 400.0
    quiet_s: float = 5.0
    judges_speed: bool = True


class Flood:
    """One gateway under it. `play` returns the report."""

    def __init__(self, options: Options) -> None:
        self.report = Report(options.seed)
        self._options = options
        self._seeds = random.Random(options.seed)
        self._times: dict[str, list[tuple[float, float]]] = {}
        self._cores = sorted(os.sched_getaffinity(0)) if options.judges_speed else []

    async def play(self, directory: Path) -> Report:
        report = self.report
        try:
            async with RawCsms() as csms, CountedGateway.at(directory, csms.url) as gateway:
                self._divide_cores(gateway)
                descriptors = gateway.descriptors()
                await asyncio.gather(*(_comes_once(gateway, *one) for one in EVERYONE))
                await _until_closed(gateway, descriptors)
                await self._watched(gateway)
                await self._serves_newcomers(gateway, csms)
                report.problems += [] if await gateway.stop() == 0 else ["it did not end well"]
        finally:
            os.sched_setaffinity(0, self._cores or os.sched_getaffinity(0))
        return report

    async def _watched(self, gateway: CountedGateway) -> None:
        """Everything that healthy stations have to bear, and what they say of it."""
        report, options = self.report, self._options
        core = self._cores[-1] if self._cores else None
        async with Watch(gateway.port, WATCHERS, ASKS_PER_S, core, HEARTBEAT, DATA_TRANSFER) as watch:
            descriptors = gateway.descriptors()

            async def calm(phase: str) -> Held:
                """All that the offenders had open is closed, and the store has nothing to do."""
                await _until_closed(gateway, descriptors)
                began = perf_counter()
                await pause(options.quiet_s)
                self._times.setdefault(phase, []).append((began, perf_counter()))
                return await gateway.held()

            report.held[BEFORE] = await calm(BEFORE)
            for flood in (FIRST, AGAIN):
                seed = self._seeds.randrange(1_000_000)
                await self._slice(gateway, Slice(flood, seed, options.frames))
                report.held[flood] = await calm(f"after {flood}")
            for pair in range(options.pairs):
                both = (MUTATED, ORDINARY) if pair % 2 == 0 else (ORDINARY, MUTATED)
                seed = self._seeds.randrange(1_000_000)
                for kind in both:
                    await self._slice(gateway, Slice(kind, seed, options.pair_frames, options.rate))
            await self._slice(gateway, Slice(BURST, self._options.seed, options.burst_frames))
            report.held[AFTER] = await calm(AFTER)
            self._sort(await watch.end())
        report.log_lines, report.log_kib = len(gateway.log().splitlines()), len(gateway.log()) // 1024
        report.problems += judge(report, judges_speed=options.judges_speed)

    async def _slice(self, gateway: CountedGateway, part: "Slice") -> None:
        assert gateway.pid is not None, "the gateway died"
        cpu = proc.cpu_ns(gateway.pid)
        done = await part.play(gateway)
        self.report.loads.setdefault(part.kind, Load()).add(done, proc.cpu_ns(gateway.pid) - cpu)
        self.report.kinds = max(self.report.kinds, done.kinds)
        self._times.setdefault(part.kind, []).append((done.began, done.ended))

    async def _serves_newcomers(self, gateway: CountedGateway, csms: RawCsms) -> None:
        async with await RawStation.connect(gateway.port, "LATER", "1.6") as later:
            await later.ask("BootNotification", BOOTS["1.6"])
            await Kit(gateway, csms, later).linked("LATER")
            await later.is_served()
        log = gateway.log()
        found = {"a traceback in the log": "Traceback" in log, "the store failed": "commit failed" in log}
        self.report.problems += [problem for problem, is_so in found.items() if is_so]

    def _sort(self, seen: list[Seen]) -> None:
        """What went on when an answer was due."""
        for action in (HEARTBEAT, DATA_TRANSFER):
            mine = [one for one in seen if one.action == action]

            def within(times: list[tuple[float, float]], mine: list[Seen] = mine) -> Latency:
                return Latency.of([one for one in mine if any(begin <= one.due < end for begin, end in times)])

            self.report.latency[action] = {phase: within(self._times.get(phase, [])) for phase in PHASES}
            self.report.pairs[action] = [
                (within([mutated]), within([ordinary]))
                for mutated, ordinary in zip(self._times[MUTATED], self._times[ORDINARY], strict=True)
            ]

    def _divide_cores(self, gateway: CountedGateway) -> None:
        """The gateway on the first core, all else on the last, where there are two."""
        if self._cores and gateway.pid is not None:
            os.sched_setaffinity(gateway.pid, {self._cores[0]})
            os.sched_setaffinity(0, {self._cores[-1]})


@dataclass(frozen=True, slots=True)
class Slice:
    """One run of the offenders. `rate`: frames a second, 0 = as fast as they are taken."""

    kind: str
    seed: int
    frames: int
    rate: float = 0.0

    async def play(self, gateway: CountedGateway) -> Offence:
        mode = {ORDINARY: "good", BURST: "burst"}.get(self.kind, "bad")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bad_input.offend"),
            *(str(gateway.port), str(self.seed), str(self.frames), str(self.rate), mode),
            cwd=REPOSITORY,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            told, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, f"the offenders failed\n{gateway.log_tail()}"
        return Offence(**json.loads(told))


async def _comes_once(gateway: CountedGateway, name: str, version: str) -> None:
    boot = BOOTS.get(version, BOOT)
    async with await RawStation.connect(gateway.port, name, version) as station:
        await station.ask("BootNotification", boot)
        await station.ask("Heartbeat")


async def _until_closed(gateway: CountedGateway, descriptors: int) -> None:
    """Wait until no more are open than that. Raises AssertionError."""
    end = perf_counter() + LIMIT_S
    while gateway.descriptors() > descriptors:
        assert perf_counter() < end, f"{gateway.descriptors()} are open, not {descriptors}\n{gateway.log_tail()}"
        await pause(0.05)


async def flood(options: Options, directory: Path) -> Report:
    """Play one flood. Prints the seed first and the report last."""
    print(f"flood with seed {options.seed}: {options.frames} frames", flush=True)
    report = await Flood(options).play(directory)
    print(json.dumps(asdict(report)), flush=True)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bad_input.flood")
    parser.add_argument("--frames", type=int, default=100_000, help="of each of the two floods")
    parser.add_argument("--pairs", type=int, default=20, help="of slices: 2,000 mutated frames, 2,000 well-formed ones")
    parser.add_argument("--rate", type=float, default=400.0, help="frames a second in a slice")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 1_000_000))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flood-") as folder:
        report = asyncio.run(flood(Options(given.seed, given.frames, given.pairs, rate=given.rate), Path(folder)))
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
