"""Power cuts on virtual time, in the middle of a write: nothing acknowledged is lost, and the file stays sound."""

import asyncio
import random
from pathlib import Path

from gateway.demo.checker import Report
from tests.sim import loop
from tests.sim.disk import Files, Moment, torn
from tests.sim.world import World

CUTS = 20


async def _site(folder: Path, seed: int) -> World:
    world = World(folder, seed)
    await world.start()
    for number, version in enumerate(("1.6", "2.0.1", "1.6")):
        world.add(f"CP-{number}", version)
    return world


async def _live(world: World, seconds: float) -> None:
    """Sessions one after another at every station, for so long."""
    end = asyncio.get_running_loop().time() + seconds

    async def live(number: int) -> None:
        station = world.stations[f"CP-{number}"]
        while asyncio.get_running_loop().time() < end:
            await station.session(f"TAG-{number}", values=2, interval_s=5)

    await asyncio.gather(*(live(number) for number in range(len(world.stations))))


async def _end(world: World) -> Report:
    async with asyncio.timeout(7200):
        await world.drained()
    await world.stop()
    return world.verdict()


async def _power_cuts(folder: Path, seed: int) -> tuple[World, Report]:
    world = await _site(folder, seed)
    traffic = asyncio.create_task(_live(world, 900))
    while world.power_cuts < CUTS:
        if world.random.random() < 0.3:
            world.csms.cut()
        await world.die_at(Moment.POWER, world.random.randrange(12))
        world.csms.mend()
        await asyncio.sleep(world.random.uniform(0, 3))
        await world.start()
    await traffic
    return world, await _end(world)


def test_twenty_power_cuts_lose_nothing(tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    world, report = loop.run(_power_cuts(tmp_path, seed), debug=False)
    assert report.findings == []
    assert world.power_cuts == CUTS
    assert report.acknowledged > CUTS


async def _lying_disk(folder: Path) -> Report:
    world = await _site(folder, 7)
    stale = Files.read(world.path)
    await _live(world, 60)
    await world.crash()
    stale.write(world.path)
    await world.start()
    return await _end(world)


def test_a_disk_that_did_not_sync_is_found_out(tmp_path: Path) -> None:
    assert loop.run(_lying_disk(tmp_path), debug=False).lost > 0


def test_a_torn_write_touches_only_what_was_not_synced() -> None:
    source = random.Random(3)
    synced = Files(b"d" * 1024, b"w" * 2048)
    longer = Files(synced.main, synced.wal + b"n" * 4096)
    kinds = {torn(source, synced, longer) for _ in range(50)}
    assert len(kinds) > 10
    assert all(files.main == synced.main and files.wal.startswith(synced.wal) for files in kinds)
    checkpoint = Files(b"e" * 1024, longer.wal)
    assert {torn(source, longer, checkpoint).wal for _ in range(20)} == {longer.wal}
