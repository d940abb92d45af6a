"""Seeded storms on virtual time: everything that can go wrong between stations, gateway and CSMS, mixed.

But for answers lost on a station's living connection (`test_catalogue`): followed by a crash, such a loss doubles a
MeterValues of 1.6 by right, for nothing of it was written, and the checker counts lost answers of the CSMS only.

python -m tests.sim.storm --seeds 200 --hours 6 --stations 5
"""

import argparse
import asyncio
import json
import logging
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway.demo.checker import Report
from gateway.demo.history import Answered, Arrival
from tests.sim import loop
from tests.sim.csms import identity_of
from tests.sim.disk import Moment
from tests.sim.peer import NoAnswer
from tests.sim.station import SimStation
from tests.sim.world import World, quick

TOKENS = [f"TAG-{number}" for number in range(8)]


async def storm(
    folder: Path,
    seed: int,
    hours: float = 6,
    stations: int = 5,
    *,
    csms: str | None = None,
    make: Callable[[Path, int], World] = World,
) -> tuple[World, Report]:
    """One storm, then calm, then the checker's report.

    `csms`: the one version it speaks; None: all. `make`: a world of another kind.
    """
    world = make(folder, seed)
    if csms:
        world.csms.versions = (csms,)
    world.options = quick(world.options)
    source = random.Random(f"storm {seed}")
    await world.start()
    for number in range(stations):
        world.add(f"CP-{number}", source.choice(["1.6", "2.0.1"]))
    world.csms.deduplicates = source.random() < 0.5
    world.gets_sick = source.random() < 0.5
    refused = Counter[str]()
    world.csms.script = lambda station, action, payload: _fate(source, world, refused, json.dumps(payload))
    end = asyncio.get_running_loop().time() + hours * 3600
    async with asyncio.TaskGroup() as group:
        for station in world.stations.values():
            group.create_task(_life(world, station, source, end))
        group.create_task(_weather(world, source, end))
    world.csms.script = lambda station, action, payload: "answer"
    world.csms.cut()  # what was set aside goes again with the next link
    world.csms.mend()
    if world.assembly is None:
        await world.start()
    async with asyncio.timeout(12 * 3600):
        await world.drained()
    await world.stop()
    return world, _judged(world)


def _judged(world: World) -> Report:
    """The checker's report; and a CSMS that de-duplicates must hold every Start and Stop just once.

    After a crash only the station knows of a MeterValues of 1.6 that was not written yet: its id is new then.
    """
    report = world.verdict()
    if world.csms.deduplicates:
        refused = {r.order for r in world.csms.history.records if isinstance(r, Answered) and r.outcome == "refused"}
        payloads, identities = set(), set()
        for one in world.csms.history.records:
            if isinstance(one, Arrival) and one.order not in refused and one.action != "MeterValues":
                payload = json.loads(one.payload)
                identities.add((one.station, identity_of(one.message_id, one.action, payload)))
                payloads.add((one.station, one.action, payload["timestamp"], payload.get("seqNo")))
        if len(identities) != len(payloads):
            report.duplicated += len(identities) - len(payloads)
            report.findings.append(f"a CSMS that de-duplicates books {len(payloads)} messages as {len(identities)}")
    return report


def _fate(source: random.Random, world: World, refused: Counter[str], said: str) -> str:
    """Mostly an answer. A refusal is rare, unless the CSMS is sick: then there is nothing else.

    A storm has either: refused alone and then by a sick CSMS, a message would rightly pass for poison. So would one
    that is refused three times by chance.
    """
    if world.csms.is_sick:
        return "refuse"
    fate = _drawn(source, world)
    refused[said] += fate == "refuse"
    return "answer" if fate == "refuse" and refused[said] > 2 else fate


def _drawn(source: random.Random, world: World) -> str:
    weights = [96, 2, 1, 1, 0] if world.gets_sick else [95, 2, 1, 1, 1]
    return source.choices(["answer", "lose", "silent", "twice", "refuse"], weights)[0]


async def _life(world: World, station: SimStation, source: random.Random, end: float) -> None:
    while asyncio.get_running_loop().time() < end:
        await asyncio.sleep(source.expovariate(1 / 600))
        await station.session(
            world.shared_token or source.choice(TOKENS), values=source.randrange(6), interval_s=source.uniform(10, 300)
        )
        if source.random() < 0.1:
            station.reboot()


async def _weather(world: World, source: random.Random, end: float) -> None:
    """Cuts, outages, crashes and bad disks, one after another."""
    while asyncio.get_running_loop().time() < end:
        await asyncio.sleep(source.expovariate(1 / 400))
        await source.choice(TROUBLES)(world, source)
        for station_id in list(world.csms.connections):
            if source.random() < 0.05:
                await _command(world, station_id)


async def _outage(world: World, source: random.Random) -> None:
    world.csms.cut()
    await asyncio.sleep(source.expovariate(1 / 900))
    world.csms.mend()


async def _cut_station(world: World, source: random.Random) -> None:
    station = source.choice(list(world.stations.values()))
    if station.wire:
        station.wire.socket.cut()


async def _crash(world: World, source: random.Random) -> None:
    await world.crash()
    await asyncio.sleep(source.uniform(1, 30))
    await world.start()


async def _crash_at_operation(world: World, source: random.Random) -> None:
    """Right before or right after an operation of the store, or with the power gone in the middle of it."""
    await world.die_at(source.choice(list(Moment)), source.randrange(5))
    await asyncio.sleep(source.uniform(1, 30))
    await world.start()


async def _power_cut(world: World, source: random.Random) -> None:
    await world.die_at(Moment.POWER, source.randrange(10))
    await asyncio.sleep(source.uniform(1, 30))
    await world.start()


async def _replacement(world: World, source: random.Random) -> None:
    source.choice(list(world.stations.values())).replace()


async def _shared_token(world: World, source: random.Random) -> None:
    """One token at every charger, in an outage: the order among stations counts."""
    world.shared_token = source.choice(TOKENS)
    await _outage(world, source)
    world.shared_token = None


async def _sick_csms(world: World, source: random.Random) -> None:
    """Refuses all for a while, and is well again until what it refused is through."""
    if not world.gets_sick:
        return
    world.csms.is_sick = True
    await asyncio.sleep(source.uniform(10, 900))
    world.csms.is_sick = False
    while any(row.errors for row in world.waiting()):
        await asyncio.sleep(1)


async def _bad_disk(world: World, source: random.Random) -> None:
    world.runner.fails = True
    await asyncio.sleep(source.uniform(1, 60))
    world.runner.fails = False


async def _slow_csms(world: World, source: random.Random) -> None:
    slow = source.uniform(0.5, 7)
    world.csms.delay_s = lambda action: source.uniform(0, slow)
    await asyncio.sleep(120)
    world.csms.delay_s = lambda action: source.uniform(0.01, 0.2)


async def _other_verdict(world: World, source: random.Random) -> None:
    world.csms.verdicts[source.choice(TOKENS)] = source.choice(["Accepted", "Accepted", "Blocked"])


async def _half_open(world: World, source: random.Random) -> None:
    if world.csms.connections:
        source.choice(list(world.csms.connections.values())).wire.socket.is_black_hole = True


TROUBLES = [
    _outage,
    _cut_station,
    _crash,
    _crash_at_operation,
    _power_cut,
    _replacement,
    _shared_token,
    _sick_csms,
    _bad_disk,
    _slow_csms,
    _other_verdict,
    _half_open,
]


async def _command(world: World, station: str) -> None:
    try:
        await world.csms.call(station, "TriggerMessage", {"requestedMessage": "StatusNotification"})
    except NoAnswer:
        return


def seeds(first: int, count: int) -> Iterator[int]:
    yield from range(first, first + count)


def run(
    seed: int,
    hours: float,
    stations: int,
    *,
    csms: str | None = None,
    make: Callable[[Path, int], World] = World,
) -> Report:
    """One storm in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="storm-"))
    try:
        return loop.run(storm(folder, seed, hours, stations, csms=csms, make=make), debug=False)[1]
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Run storms and print a JSON line a seed; exit 1 if one found anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--hours", type=float, default=6)
    parser.add_argument("--stations", type=int, default=5)
    parser.add_argument("--csms", choices=["1.6", "2.0.1"], help="the one version that the CSMS speaks")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO if options.verbose else logging.CRITICAL, stream=sys.stderr)
    is_clean = True
    for seed in seeds(options.first, options.seeds):
        report = run(seed, options.hours, options.stations, csms=options.csms)
        is_clean = is_clean and report.is_clean
        line: dict[str, Any] = {"seed": seed, **asdict(report)}
        line["findings"] = line["findings"][:5]
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    sys.exit(0 if is_clean else 1)


if __name__ == "__main__":
    main()
