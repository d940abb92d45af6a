"""The seam to the WebSocket library: what the rest of the gateway knows of a socket.

Messages are pushed to a listener in the event loop's turn that read them, and sent without waiting: a task or a future
per message would cost more than all the rest of relaying it. Who does not read is not read from (`Pump`).
"""

from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import State

from gateway.errors import SocketClosed


class Listener(Protocol):
    """Who hears of a socket. Its methods must not wait, and must not raise."""

    def on_message(self, data: bytes) -> None:
        """A message came."""

    def on_writable(self) -> None:
        """The socket is not full any more."""

    def on_closed(self, why: SocketClosed) -> None:
        """The socket is closed; nothing comes after this."""


class Socket(Protocol):
    """One WebSocket, its handshake done."""

    @property
    def subprotocol(self) -> str | None: ...

    @property
    def is_full(self) -> bool:
        """The peer does not read as fast as it is sent to: what is sent now piles up in memory."""

    def listen(self, listener: Listener) -> None:
        """Push to `listener` from now on, beginning with what came before; once."""

    def pause(self) -> None:
        """Read no more, so that the peer has to wait, until `resume`."""

    def resume(self) -> None: ...

    def send(self, data: bytes) -> None:
        """Hand one text message over; the order of calls is the order on the wire. Lost if the socket is closed."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it; returns when closed. Closing twice does no harm."""

    def abort(self) -> None:
        """Drop the connection without a closing handshake: the peer may be half-open."""

    async def ping(self) -> None:
        """Returns when the pong is there. Raises SocketClosed."""


class Pushing(Connection):
    """A `websockets` connection that hands its messages on at once instead of queueing them for `recv`.

    Until somebody listens, what comes is kept, and after the first message nothing more is read.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._listener: Listener | None = None
        self._early: list[bytes] = []
        self._parts: list[bytes] = []

    def listen(self, listener: Listener) -> None:
        self._listener = listener
        early, self._early = self._early, []
        for data in early:
            listener.on_message(data)
        if self.state is State.CLOSED:
            self.loop.call_soon(self._tell_closed)
        elif early:
            self.transport.resume_reading()

    def push(self, data: bytes) -> None:
        """Send without waiting, as the library's own `broadcast` does; lost if the connection is not open."""
        protocol = self.protocol
        if protocol.state is State.OPEN:
            protocol.send_text(data)
            for written in protocol.data_to_send():
                self.transport.write(written)

    def process_event(self, event: Any) -> None:
        if type(event) is not Frame or event.opcode not in DATA_OPCODES:
            super().process_event(event)
        elif event.fin and not self._parts:
            self._push(bytes(event.data))
        elif not event.fin:
            self._parts.append(bytes(event.data))
        else:
            data, self._parts = b"".join([*self._parts, event.data]), []
            self._push(data)

    def _push(self, data: bytes) -> None:
        if self._listener is not None:
            self._listener.on_message(data)
            return
        if not self._early:
            self.transport.pause_reading()
        self._early.append(data)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._listener is not None:
            self._listener.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._tell_closed()

    def _tell_closed(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.on_closed(_translated(self.close_exc))


class PushingServer(Pushing, ServerConnection):
    """The station's end."""


class PushingClient(Pushing, ClientConnection):
    """The CSMS's end."""


class WebSocket:
    """A `websockets` connection as a Socket."""

    def __init__(self, connection: Pushing) -> None:
        self._connection = connection
        self.listen = connection.listen
        self.send = connection.push

    @property
    def subprotocol(self) -> str | None:
        return self._connection.subprotocol

    @property
    def is_full(self) -> bool:
        return self._connection.paused

    def pause(self) -> None:
        self._connection.transport.pause_reading()

    def resume(self) -> None:
        self._connection.transport.resume_reading()

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
