"""A scripted network: pairs of sockets with delay, cuts and black holes. Order on one socket always holds."""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from gateway.errors import SocketClosed
from gateway.transport import Listener


@dataclass(slots=True)
class Weather:
    """Seconds one frame takes, at least and at most."""

    delay_min_s: float = 0.005
    delay_max_s: float = 0.05


class SimSocket:
    """One end of a connection (`gateway.transport.Socket`)."""

    def __init__(self, source: random.Random, weather: Weather, subprotocol: str | None) -> None:
        self.subprotocol = subprotocol
        self.peer: SimSocket
        self.is_black_hole = False
        self.closed: SocketClosed | None = None
        self.last_sent_at = -1.0
        self._source = source
        self._weather = weather
        self._inbox: deque[bytes] = deque()
        self._came = asyncio.Event()
        self._arrives_at = 0.0
        self._wire: deque[Callable[[], None]] = deque()
        self._listener: Listener | None = None
        self._is_reading = True
        self.is_full = False

    async def receive(self) -> bytes:
        """What a scripted peer reads with. Raises SocketClosed."""
        while True:
            if self._inbox:
                return self._inbox.popleft()
            if self.closed:
                raise self.closed
            self._came.clear()
            await self._came.wait()

    def listen(self, listener: Listener) -> None:
        self._listener = listener
        self.resume()
        if self.closed:
            asyncio.get_running_loop().call_soon(listener.on_closed, self.closed)

    def pause(self) -> None:
        self._is_reading = False

    def resume(self) -> None:
        self._is_reading = True
        while self._listener and self._is_reading and self._inbox:
            self._listener.on_message(self._inbox.popleft())

    def send(self, data: bytes) -> None:
        if self.closed:
            return
        loop = asyncio.get_running_loop()
        self.last_sent_at = loop.time()
        if not self.is_black_hole:
            self._later(lambda: self.peer.deliver(data))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self.closed is None:
            self.shut(SocketClosed(code, reason))
            if not self.is_black_hole:
                self._later(lambda: self.peer.shut(SocketClosed(code, reason)))

    def abort(self) -> None:
        """Both ends learn of it; what is on the wire is lost."""
        self.cut()

    def cut(self) -> None:
        for end in (self, self.peer):
            end._inbox.clear()
            end.shut(SocketClosed(1006, "cut"))

    async def ping(self) -> None:
        if self.closed:
            raise self.closed
        if self.is_black_hole:
            await asyncio.Event().wait()

    def shut(self, why: SocketClosed) -> None:
        if self.closed is None:
            self.closed = why
            self._came.set()
            if self._listener:
                asyncio.get_running_loop().call_soon(self._listener.on_closed, why)

    def deliver(self, data: bytes) -> None:
        if self.closed is None:
            self._inbox.append(data)
            self._came.set()
            if self._is_reading:
                self.resume()

    def _later(self, what: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        delay = self._source.uniform(self._weather.delay_min_s, self._weather.delay_max_s)
        self._arrives_at = max(self._arrives_at, loop.time() + delay)
        self._wire.append(what)
        loop.call_at(self._arrives_at, self._arrive)

    def _arrive(self) -> None:
        """Timers of one instant have no order; frames do."""
        self._wire.popleft()()


def pair(source: random.Random, weather: Weather, subprotocol: str | None) -> tuple[SimSocket, SimSocket]:
    """Two connected ends."""
    here, there = SimSocket(source, weather, subprotocol), SimSocket(source, weather, subprotocol)
    here.peer, there.peer = there, here
    return here, there
