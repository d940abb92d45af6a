"""A station that sends without end leaves turns of the event loop to the others."""

import asyncio

import pytest

from gateway.clock import Clock
from gateway.dialects import registry
from gateway.errors import SocketClosed
from gateway.pump import Pump
from gateway.rpc.session import Session

FRAMES, FEWEST_TURNS = 2000, 100
STRAY, GARBAGE, HEARTBEAT = b'[3,"x",{}]', b"[2,x", b'[2,"h","Heartbeat",{}]'


class _FullSocket:
    """A socket that has always read more already, and whose peer takes everything: nothing on it ever waits."""

    subprotocol: str | None = None

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = FRAMES

    async def receive(self) -> bytes:
        if self._left == 0:
            raise SocketClosed(1000)
        self._left -= 1
        return self._data

    async def send(self, data: bytes) -> None: ...

    async def close(self, code: int = 1000, reason: str = "") -> None: ...

    def abort(self) -> None: ...

    async def ping(self) -> None: ...


@pytest.mark.xfail(strict=True, reason="the pump goes on as long as there are frames")
@pytest.mark.parametrize("data", [STRAY, GARBAGE, HEARTBEAT])
async def test_the_others_have_turns_while_one_station_sends_without_end(data: bytes) -> None:
    loop, turns = asyncio.get_running_loop(), 0
    pump = Pump("LOUD", _FullSocket(data), Session(registry.by_name("1.6").framing), Clock(), lambda _: None)
    pumping = asyncio.create_task(pump.run())

    def turn() -> None:
        nonlocal turns
        turns += 1
        if not pumping.done():
            loop.call_soon(turn)

    loop.call_soon(turn)
    await pumping
    assert turns >= FEWEST_TURNS
