"""The seam to the WebSocket library: what the rest of the gateway knows of a socket."""

from typing import Protocol

from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed

from gateway.errors import SocketClosed


class Socket(Protocol):
    """One WebSocket, its handshake done. Every method raises SocketClosed when the peer is gone."""

    @property
    def subprotocol(self) -> str | None: ...

    async def receive(self) -> bytes:
        """The next message."""

    async def send(self, data: bytes) -> None:
        """Hand one text message over; the order of calls is the order on the wire."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it; returns when closed. Closing twice does no harm."""

    def abort(self) -> None:
        """Drop the connection without a closing handshake: the peer may be half-open."""

    async def ping(self) -> None:
        """Returns when the pong is there."""


class WebSocket:
    """A `websockets` connection as a Socket."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def subprotocol(self) -> str | None:
        return self._connection.subprotocol

    async def receive(self) -> bytes:
        try:
            return await self._connection.recv(decode=False)
        except ConnectionClosed as closed:
            raise _translated(closed) from None

    async def send(self, data: bytes) -> None:
        try:
            await self._connection.send(data, text=True)
        except ConnectionClosed as closed:
            raise _translated(closed) from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._connection.close(code, reason)

    def abort(self) -> None:
        self._connection.transport.abort()

    async def ping(self) -> None:
        try:
            await (await self._connection.ping())
        except ConnectionClosed as closed:
            raise _translated(closed) from None


def _translated(closed: ConnectionClosed) -> SocketClosed:
    frame = closed.rcvd or closed.sent
    return SocketClosed(frame.code, frame.reason) if frame else SocketClosed()
