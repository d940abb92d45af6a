"""A listener that keeps what a socket pushes, for tests that read at their own pace."""

import asyncio

from gateway.errors import SocketClosed
from gateway.transport import Socket


class Inbox:
    """Listens to a socket from the beginning."""

    def __init__(self, socket: Socket) -> None:
        self.closed: SocketClosed | None = None
        self.writable = 0
        self._queue: asyncio.Queue[bytes | SocketClosed] = asyncio.Queue()
        socket.listen(self)

    async def receive(self) -> bytes:
        """The next message. Raises SocketClosed."""
        came = await self._queue.get()
        if isinstance(came, SocketClosed):
            raise came
        return came

    def on_message(self, data: bytes) -> None:
        assert self.closed is None
        self._queue.put_nowait(data)

    def on_writable(self) -> None:
        self.writable += 1

    def on_closed(self, why: SocketClosed) -> None:
        assert self.closed is None
        self.closed = why
        self._queue.put_nowait(why)
