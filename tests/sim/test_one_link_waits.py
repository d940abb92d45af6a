"""How long a driver waits where fifty chargers share one CALL in flight, on virtual time."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.sim import loop
from tests.sim.one_station import OneStationWorld
from tests.sim.station import SimStation

CHARGERS, DRIVERS = 50, 10
EVERY_S, ANSWER_S = 10.0, 0.2
BEFORE_S, BACKLOG_S, LOOK_S = 20.0, 120.0, 100.0
CARDS_EVERY_S = 1.0, 3.0
LONGEST_S = 0.6


def waits_of(folder: Path, version: str) -> list[float]:
    """Of the cards shown while the chargers measure and the backlog of an outage drains, at chargers with a session and
    at ones without."""

    async def main() -> list[float]:
        world = OneStationWorld(folder, 1, version)
        await world.start()
        world.csms.delay_s = lambda action: ANSWER_S
        stations = [world.add(f"CP-{n}", version) for n in range(CHARGERS + DRIVERS)]
        for station in stations:
            await station.ready()
        values = int((BEFORE_S + BACKLOG_S + LOOK_S * 2) / EVERY_S)
        sessions = [
            asyncio.create_task(one.session(f"T-{one.identity}", values, EVERY_S)) for one in stations[:CHARGERS]
        ]
        await asyncio.sleep(BEFORE_S)
        world.csms.cut()
        await asyncio.sleep(BACKLOG_S)
        world.csms.mend()
        await asyncio.sleep(10)
        source, waits = random.Random(1), list[float]()
        end = asyncio.get_running_loop().time() + LOOK_S
        while asyncio.get_running_loop().time() < end:
            await asyncio.sleep(source.uniform(*CARDS_EVERY_S))
            waits.append(await _wait(source.choice(stations)))
        assert world.assembly is not None
        assert world.waiting(), "the backlog is gone already"
        for session in sessions:
            session.cancel()
        await world.stop()
        return waits

    return loop.run(main(), debug=False)


async def _wait(station: SimStation) -> float:
    began = asyncio.get_running_loop().time()
    assert await station.authorize("CARD") == "Accepted"
    return asyncio.get_running_loop().time() - began


@pytest.mark.parametrize("version", ["2.0.1"])
def test_a_card_is_answered_at_once_while_a_backlog_drains(tmp_path: Path, version: str) -> None:
    waits = sorted(waits_of(tmp_path, version))
    print(f"{len(waits)} cards: median {waits[len(waits) // 2]:.2f} s, p99 {waits[int(len(waits) * 0.99)]:.2f} s")
    assert len(waits) > 35
    assert waits[int(len(waits) * 0.99)] <= LONGEST_S
