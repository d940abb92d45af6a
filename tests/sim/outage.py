"""A long outage of the CSMS on virtual time, and the return: what was lost, how fast it drained, what live status felt.

python -m tests.sim.outage [--stations 50 --hours 72 --sessions 2400 --crashes 3 --reboots 20 --seed 1]

One JSON line; exit 1 if a goal was missed. Time is virtual: the drain rate shows what the protocol's waiting allows
(one CALL in flight a station, 200 ms an answer), not what the machine can compute; that is `messages_per_cpu_s`, for
gateway, stations and CSMS together in one process.
"""

import argparse
import asyncio
import json
import logging
import random
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.demo.history import Arrival
from gateway.uplink.backoff import Backoff
from tests.sim import loop
from tests.sim.station import EPOCH, SimStation
from tests.sim.world import World

ANSWER_S = 0.2
DRAIN_GOAL = 10.0
"""Messages a second of a site, from five stations on; the site's own limit (`[replay]`) is 50."""
STATUS_GOAL_S = 2.0
STATUS_EVERY_S = 3.0


@dataclass(frozen=True)
class Plan:
    """What happens. `crashes` of the gateway and `reboots` of stations fall within the outage."""

    stations: int = 50
    hours: float = 72
    sessions: int = 2400
    crashes: int = 3
    reboots: int = 20
    seed: int = 1


@dataclass
class Outcome:
    """`drain_per_s`: of all stations, each while it drains. `status_missing`: live statuses the CSMS never saw."""

    sessions: int
    messages: int
    lost: int
    duplicated: int
    out_of_order: int
    queued: int
    drain_per_s: float
    drain_s: float
    status_p99_s: float
    status_count: int
    status_missing: int
    messages_per_cpu_s: float
    findings: list[str]

    @property
    def is_good(self) -> bool:
        is_whole = not (self.lost or self.duplicated or self.out_of_order or self.findings or self.status_missing)
        is_fast = self.drain_per_s >= DRAIN_GOAL and self.status_p99_s < STATUS_GOAL_S
        return is_whole and is_fast and self.status_count > 0


class _Site:
    """One outage being played."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.plan = plan
        self.world = World(folder, plan.seed)
        self.world.uplink = replace(self.world.uplink, backoff=Backoff(10, 10, 4))
        self.source = random.Random(f"outage {plan.seed}")
        self.statuses: dict[tuple[str, str], float] = {}

    async def play(self) -> Outcome:
        world, plan = self.world, self.plan
        began = time.process_time()
        await world.start()
        for number in range(plan.stations):
            world.add(f"CP-{number:02}", ("1.6", "2.0.1")[number % 2])
        world.csms.delay_s = lambda action: ANSWER_S
        for station in world.stations.values():
            await station.ready()
        await asyncio.sleep(60)
        world.csms.cut()
        await self._outage()
        queued = len(world.waiting())
        returned = asyncio.get_running_loop().time()
        world.csms.mend()
        async with asyncio.TaskGroup() as group:
            watching = [group.create_task(self._live_status(station)) for station in world.stations.values()]
            async with asyncio.timeout(24 * 3600):
                await world.drained()
            for task in watching:
                task.cancel()
        await world.stop()
        return self._outcome(queued, returned, began)

    async def _outage(self) -> None:
        seconds = self.plan.hours * 3600
        async with asyncio.TaskGroup() as group:
            for index, station in enumerate(self.world.stations.values()):
                count = self.plan.sessions // self.plan.stations + (index < self.plan.sessions % self.plan.stations)
                group.create_task(self._life(station, count, seconds))
            group.create_task(self._trouble(seconds))

    async def _life(self, station: SimStation, count: int, seconds: float) -> None:
        """So many sessions, spread over the outage; each driver has a token of his own, used all over the site."""
        slot = seconds / count
        for _ in range(count):
            token = f"TAG-{self.source.randrange(20 * self.plan.stations)}"
            pause = self.source.uniform(0.05, 0.3) * slot
            await asyncio.sleep(pause)
            session = asyncio.create_task(station.session(token, values=3, interval_s=0.15 * slot))
            await asyncio.sleep(slot - pause)
            await session

    async def _trouble(self, seconds: float) -> None:
        plan, loop_time = self.plan, asyncio.get_running_loop().time
        began = loop_time()
        events = [(self.source.uniform(0, 0.98) * seconds, "reboot") for _ in range(plan.reboots)]
        events += [(self.source.uniform(0, 0.98) * seconds, "crash") for _ in range(plan.crashes)]
        for at, what in sorted(events):
            await asyncio.sleep(max(0.0, began + at - loop_time()))
            if what == "reboot":
                self.source.choice(list(self.world.stations.values())).reboot()
            else:
                await self.world.crash()
                await asyncio.sleep(5)
                await self.world.start()

    async def _live_status(self, station: SimStation) -> None:
        """A status now and then while its link to the CSMS drains its queue."""
        while True:
            await asyncio.sleep(STATUS_EVERY_S * self.source.uniform(0.5, 1.5))
            if station.identity in self.world.csms.connections and station.wire and self._has_backlog(station):
                stamp = await station.tell_status("Available")
                self.statuses[station.identity, stamp] = asyncio.get_running_loop().time()

    def _has_backlog(self, station: SimStation) -> bool:
        return any(row.station == station.identity for row in self.world.waiting())

    def _outcome(self, queued: int, returned: float, began: float) -> Outcome:
        report = self.world.verdict()
        arrived = {
            (station, payload["timestamp"]): at
            for station, action, payload, at in self.world.csms.times
            if action == "StatusNotification"
        }
        took = sorted(arrived[key] - _second(key[1]) for key in self.statuses if key in arrived)
        drained = defaultdict(list)
        for record in self.world.csms.history.records:
            if isinstance(record, Arrival) and record.at >= returned:
                drained[record.station].append(record.at)
        rates = [len(times) / (times[-1] - times[0] + ANSWER_S) for times in drained.values()]
        return Outcome(
            sessions=report.transactions,
            messages=report.messages,
            lost=report.lost,
            duplicated=report.duplicated,
            out_of_order=report.out_of_order,
            queued=queued,
            drain_per_s=round(sum(rates), 1),
            drain_s=round(max(times[-1] for times in drained.values()) - returned, 1),
            status_p99_s=round(took[max(0, -(-len(took) * 99 // 100) - 1)], 3) if took else float("inf"),
            status_count=len(took),
            status_missing=len(self.statuses) - len(took),
            messages_per_cpu_s=round(report.messages / (time.process_time() - began), 1),
            findings=report.findings[:10],
        )


def _second(stamp: str) -> float:
    return (datetime.fromisoformat(stamp.replace("Z", "+00:00")) - EPOCH).total_seconds()


def run(plan: Plan) -> Outcome:
    """One outage in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="outage-"))
    try:
        return loop.run(_Site(folder, plan).play(), debug=False)
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Play one outage and print it as JSON; exit 1 if a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in asdict(Plan()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    plan = Plan(**vars(parser.parse_args()))
    logging.basicConfig(level=logging.CRITICAL)
    outcome = run(plan)
    line: dict[str, Any] = {"plan": asdict(plan), **asdict(outcome), "good": outcome.is_good}
    print(json.dumps(line))
    sys.exit(0 if outcome.is_good else 1)


if __name__ == "__main__":
    main()
