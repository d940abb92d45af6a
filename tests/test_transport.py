"""Messages are pushed in order, however their bytes come, so many in a turn, and the end comes last."""

import asyncio
import random
import socket as socketlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from gateway import transport
from gateway.errors import SocketClosed
from gateway.transport import FRAMES_A_TURN, PushingServer, WebSocket
from gateway.usual_frame import message_in
from tests.bad_input.rig import TEXT, WsFrame, request

LIMIT_S = 10.0
PING, CONT, CLOSE = 9, 0, 8


class Heard:
    """A listener that writes down what it hears, and in which turn of the loop."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.why: SocketClosed | None = None
        self.a_turn: list[int] = [0]
        self._changed = asyncio.Event()

    def on_message(self, data: bytes) -> None:
        assert self.why is None, "nothing comes after the end"
        if not self.a_turn[-1]:
            asyncio.get_running_loop().call_soon(self.a_turn.append, 0)
        self.a_turn[-1] += 1
        self.messages.append(data)
        self._changed.set()

    def on_writable(self) -> None: ...

    def on_closed(self, why: SocketClosed) -> None:
        self.why = why
        self._changed.set()

    async def until(self, count: int, *, is_closed: bool = False) -> None:
        async with asyncio.timeout(LIMIT_S):
            while len(self.messages) < count or is_closed != (self.why is not None):
                self._changed.clear()
                await self._changed.wait()


async def a_turn() -> None:
    """Everybody else has a turn of the event loop."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(over.set_result, None)
    await over


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, WebSocket]]:
    """A raw client, its handshake done, and the gateway's end."""
    socket: asyncio.Future[WebSocket] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def handle(connection: ServerConnection) -> None:
        assert isinstance(connection, PushingServer)
        socket.set_result(WebSocket(connection))
        await over.wait()

    server = await serve(handle, "127.0.0.1", 0, create_connection=PushingServer, compression=None, max_size=100_000)
    async with server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        writer.write(request("/x"))
        await reader.readuntil(b"\r\n\r\n")
        try:
            yield reader, writer, await asyncio.wait_for(socket, LIMIT_S)
        finally:
            over.set()
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)


def frame(data: bytes, opcode: int = TEXT, *, fin: bool = True) -> bytes:
    return WsFrame(opcode, data, fin).encode(masks=True)


@pytest.mark.parametrize("seed", range(8))
async def test_bytes_cut_anywhere_make_the_same_messages(seed: int) -> None:
    source = random.Random(seed)
    expected, sent = [], []
    for number in range(60):
        message = b"%d " % number + b"x" * source.choice((0, 1, 120, 130, 2000, 70_000 if number % 20 == 0 else 5))
        expected.append(message)
        if source.random() < 0.3:
            at = source.randrange(len(message) + 1)
            sent += [frame(message[:at], fin=False), frame(b"p", PING), frame(message[at:], CONT)]
        else:
            sent.append(frame(message))
    async with connected() as (_, writer, socket):
        heard = Heard()
        socket.listen(heard)
        some = b""
        for one in sent:
            some += one
            while some and source.random() < 0.7:
                cut = len(some) if source.random() < 0.5 else source.randrange(len(some) + 1)
                writer.write(some[:cut])
                some = some[cut:]
                await writer.drain()
                if source.random() < 0.5:
                    await a_turn()
        writer.write(some)
        await heard.until(len(expected))
    assert heard.messages == expected


async def test_usual_frames_take_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """It rests on where the library's parser waits: another version of it may need another look."""
    short: list[bytes] = []

    def seen(data: bytes, most: int, *, is_masked: bool) -> bytes | None:
        message = message_in(data, most, is_masked=is_masked)
        short.extend([] if message is None else [message])
        return message

    monkeypatch.setattr(transport, "message_in", seen)
    async with connected() as (_, writer, socket):
        heard = Heard()
        socket.listen(heard)
        for number in range(10):
            writer.write(frame(b"%d" % number))
            await heard.until(number + 1)
        writer.write(frame(b"p", PING) + frame(b"10"))
        await heard.until(11)
        writer.write(frame(b"11"))
        await heard.until(12)
    assert short == [b"%d" % number for number in (*range(10), 11)]


async def test_many_frames_of_one_read_are_handed_on_in_several_turns_and_the_end_comes_last() -> None:
    expected = [b"%d" % number for number in range(5 * FRAMES_A_TURN + 3)]
    async with connected() as (_, writer, socket):
        heard = Heard()
        socket.listen(heard)
        writer.write(b"".join(map(frame, expected)))
        writer.close()
        await heard.until(len(expected), is_closed=True)
    assert heard.messages == expected
    assert max(heard.a_turn) <= FRAMES_A_TURN


async def test_a_listener_that_pauses_gets_the_rest_when_it_resumes() -> None:
    expected = [b"%d" % number for number in range(3 * FRAMES_A_TURN)]
    async with connected() as (_, writer, socket):
        heard = Heard()
        socket.listen(heard)
        socket.pause()
        writer.write(b"".join(map(frame, expected)))
        await writer.drain()
        for _ in range(20):
            await a_turn()
        assert len(heard.messages) <= FRAMES_A_TURN
        socket.resume()
        await heard.until(len(expected))
        assert heard.messages == expected


async def test_who_pings_and_does_not_read_is_not_read_from() -> None:
    """Every pong is written, so a flood of pings would pile up here."""
    ping, most = frame(b"x" * 125, PING), 1024 * 1024
    async with connected() as (reader, writer, socket):
        heard, theirs = Heard(), socket._connection.transport
        socket.listen(heard)
        for end, buffer in ((theirs, socketlib.SO_SNDBUF), (writer.transport, socketlib.SO_RCVBUF)):
            end.get_extra_info("socket").setsockopt(socketlib.SOL_SOCKET, buffer, 65_536)
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a socket it can
        writer.write(ping * (3 * most // len(ping)) + frame(b"behind"))
        for _ in range(2000):
            await a_turn()
        assert theirs.get_write_buffer_size() < most
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        reading = asyncio.create_task(reader.read(-1))
        await heard.until(1)
        assert heard.messages == [b"behind"]
        reading.cancel()


async def test_empty_pieces_of_a_message_take_no_room() -> None:
    async with connected() as (_, writer, socket):
        heard = Heard()
        socket.listen(heard)
        writer.write(frame(b"", TEXT, fin=False) + frame(b"", CONT, fin=False) * 5000 + frame(b"a", CONT, fin=False))
        writer.write(frame(b"", PING))
        async with asyncio.timeout(LIMIT_S):
            while b"a" not in socket._connection._parts:
                await a_turn()
        assert len(socket._connection._parts) <= 2
        writer.write(frame(b"b", CONT) + frame(b"c"))
        await heard.until(2)
        assert heard.messages == [b"ab", b"c"]


async def test_what_came_before_anybody_listened_is_heard_also_after_the_end() -> None:
    expected = [b"%d" % number for number in range(FRAMES_A_TURN + 9)]
    async with connected() as (_, writer, socket):
        writer.write(b"".join(map(frame, expected)))
        await writer.drain()
        heard = Heard()
        socket.listen(heard)
        await heard.until(len(expected))
        writer.write(frame(b"\x03\xe8", CLOSE))
        writer.close()
        await heard.until(len(expected), is_closed=True)
    assert heard.messages == expected
    assert heard.why is not None
    assert heard.why.code == 1000


async def test_a_message_sent_is_a_frame_of_the_library() -> None:
    async with connected() as (reader, writer, socket):
        socket.send(b"x" * 1250)
        head = await asyncio.wait_for(reader.readexactly(4), LIMIT_S)
        assert head == b"\x81\x7e\x04\xe2"
        assert await asyncio.wait_for(reader.readexactly(1250), LIMIT_S) == b"x" * 1250
        writer.write(frame(b"y" * 100_001))
        writer.close()
        heard = Heard()
        socket.listen(heard)
        await heard.until(0, is_closed=True)
        assert heard.why is not None
        assert heard.why.code == 1009
