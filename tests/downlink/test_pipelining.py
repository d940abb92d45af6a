"""A station that does not wait for answers: it says at once what it kept while it was alone."""

import asyncio
import json
from pathlib import Path

from tests.sim import loop
from tests.sim.network import SimSocket
from tests.sim.station import SUBPROTOCOLS
from tests.sim.world import World

COUNT = 300
LARGE, TOO_MANY = 20_000, 150


async def _served(world: World) -> SimSocket:
    await world.start()
    socket = await world.dial("CP-1", SUBPROTOCOLS["1.6"])
    assert socket is not None
    socket.send(b'[2,"boot","BootNotification",{"chargePointVendor":"V","chargePointModel":"M"}]')
    assert json.loads(await socket.receive())[2]["status"] == "Accepted"
    return socket


def _stop(number: int, data: str = "") -> bytes:
    payload = {"transactionId": number, "meterStop": 5, "timestamp": "2026-03-01T08:00:00Z", "idTag": data}
    return json.dumps([2, f"{number}", "StopTransaction", payload]).encode()


async def _answers(world: World, count: int, data: str) -> list[int]:
    """Send so many at once; what came back: 3 or 4 each, in their order."""
    async with asyncio.timeout(600):
        socket = await _served(world)
        for number in range(1, count + 1):
            socket.send(_stop(number, data))
        answers = [json.loads(await socket.receive()) for _ in range(count)]
        await world.drained()
        socket.cut()
        await world.stop()
    taken = [int(answer[1]) for answer in answers if answer[0] == 3]
    assert taken == [payload["transactionId"] for _, action, payload in world.csms.calls if action == "StopTransaction"]
    return taken


def test_all_that_a_station_says_at_once_is_taken_in_its_order(tmp_path: Path) -> None:
    taken = loop.run(_answers(World(tmp_path, 1), COUNT, ""), debug=False)
    assert taken == list(range(1, COUNT + 1))


def test_but_not_more_than_there_is_room_for(tmp_path: Path) -> None:
    taken = loop.run(_answers(World(tmp_path, 1), TOO_MANY, "x" * LARGE), debug=False)
    assert 64 <= len(taken) < TOO_MANY
