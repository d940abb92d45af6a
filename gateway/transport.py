"""The seam to the WebSocket library: what the rest of the gateway knows of a socket.

Messages are pushed to a listener in the event loop's turn that read them, and sent without waiting: a task or a future
per message would cost more than all the rest of relaying it. Who does not read is not read from (`Pump`).
"""

import asyncio
import sys
from types import GeneratorType
from typing import Any, ClassVar, Protocol

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import State
from websockets.streams import StreamReader

from gateway.errors import SocketClosed
from gateway.usual_frame import masked, message_in, plain

READ_BYTES = 16 * 1024
FRAMES_A_TURN = 32
"""Messages of one connection that are handed on in one turn of the event loop; then the others have theirs."""

_OPEN, _CLOSED = State.OPEN, State.CLOSED  # looking a member up in its enum takes longer than a call
_AT_FRAME = StreamReader.at_eof.__code__
"""Where the library's parser waits for the first byte of a frame."""


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

    Until somebody listens, what comes is kept, and after the first message nothing more is read. A read with one usual
    frame (`usual_frame`) is handed on without the library's parser, if that is between two frames.
    """

    masks: ClassVar[bool]
    """What it sends is masked, what it gets is not; else the other way round."""

    # In the library's own dictionary they were too many for Python to share its keys: 1.6 kB each.
    __slots__ = ("_is_between_frames", "_is_paused", "_kept", "_left", "_listener", "_most", "_parts")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._listener: Listener | None = None
        self._kept: list[bytes] = []
        """Messages for later, oldest first; while there are some nothing is read."""
        self._parts: list[bytes] = []
        self._left = 0
        self._most = self.protocol.max_message_size or sys.maxsize
        self._is_paused = False
        self._is_between_frames = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if hasattr(transport, "max_size"):  # asyncio's, and not documented: 256 KiB are 40,000 of the tiniest frames
            transport.max_size = READ_BYTES
        super().connection_made(transport)

    def listen(self, listener: Listener) -> None:
        self._listener = listener
        if self._kept:
            self._go_on()
        elif self.state is _CLOSED:
            self.loop.call_soon(self._tell_closed)

    def pause(self) -> None:
        self._is_paused = True
        self.transport.pause_reading()

    def resume(self) -> None:
        self._is_paused = False
        if self._kept:
            self.loop.call_soon(self._go_on)
        else:
            self._read_on()

    def push(self, data: bytes) -> None:
        """Send without waiting, as the library's own `broadcast` does; lost if the connection is not open."""
        protocol = self.protocol
        if protocol.state is not _OPEN:
            return
        if not protocol.extensions:
            self.transport.write(masked(data) if self.masks else plain(data))
            return
        protocol.send_text(data)
        for written in protocol.data_to_send():
            self.transport.write(written)

    def data_received(self, data: bytes) -> None:
        if self._is_between_frames and not self._kept and self._listener is not None:
            protocol = self.protocol
            if protocol.state is _OPEN and not self._parts:
                message = message_in(data, self._most, is_masked=not self.masks)
                if message is not None:
                    self._listener.on_message(message)
                    return
        self._left = FRAMES_A_TURN
        super().data_received(data)
        self._is_between_frames = self._parser_is_between_frames()

    def _parser_is_between_frames(self) -> bool:
        """Whether the library's parser waits for a frame's first byte, and will look at that frame as it is."""
        waits_in: object = self.protocol.parser
        while isinstance(waits_in, GeneratorType) and waits_in.gi_yieldfrom is not None:
            waits_in = waits_in.gi_yieldfrom
        is_at_frame = isinstance(waits_in, GeneratorType) and waits_in.gi_code is _AT_FRAME
        return is_at_frame and not self.protocol.extensions

    def process_event(self, event: Any) -> None:
        if type(event) is not Frame or event.opcode not in DATA_OPCODES:
            super().process_event(event)
        elif event.fin and not self._parts:
            self._push(bytes(event.data))
        elif not event.fin:
            if event.data or not self._parts:  # of empty ones a message may have any number
                self._parts.append(bytes(event.data))
        else:
            data, self._parts = b"".join([*self._parts, event.data]), []
            self._push(data)

    def _push(self, data: bytes) -> None:
        if self._listener is not None and self._left and not self._kept:
            self._left -= 1
            self._listener.on_message(data)
            return
        if not self._kept:
            self.transport.pause_reading()
            if self._listener is not None:
                self.loop.call_soon(self._go_on)
        self._kept.append(data)

    def _go_on(self) -> None:
        """Hand on what was kept, so many messages in one turn of the loop."""
        listener, is_closed = self._listener, self.state is _CLOSED
        if listener is None or (self._is_paused and not is_closed):
            return
        now, self._kept[:FRAMES_A_TURN] = self._kept[:FRAMES_A_TURN], []
        for data in now:
            listener.on_message(data)
        if self._kept:
            self.loop.call_soon(self._go_on)
        elif is_closed:
            self._tell_closed()
        else:
            self._read_on()

    def _read_on(self) -> None:
        if not (self._is_paused or self._kept or self.paused):
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        """The peer does not read: a flood of pings, each of which has its pong, must not pile up here."""
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._listener is not None:
            self._listener.on_writable()
        self._read_on()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._kept:
            self._go_on()
        else:
            self._tell_closed()

    def _tell_closed(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.on_closed(_translated(self.close_exc))


class PushingServer(Pushing, ServerConnection):
    """The station's end."""

    masks = False
    __slots__ = ()


class PushingClient(Pushing, ClientConnection):
    """The CSMS's end."""

    masks = True
    __slots__ = ()


class WebSocket:
    """A `websockets` connection as a Socket."""

    def __init__(self, connection: Pushing) -> None:
        self._connection = connection
        for half in (connection.request, connection.response):
            if half is not None:  # with a password, and 7 kB on both legs: kept as long as the connection
                half.headers.clear()
        self.listen = connection.listen
        self.pause = connection.pause
        self.resume = connection.resume
        self.send = connection.push

    @property
    def subprotocol(self) -> str | None:
        return self._connection.subprotocol

    @property
    def is_full(self) -> bool:
        return self._connection.paused

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
