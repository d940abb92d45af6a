"""Peers that say whatever they are told to: a station on a raw socket, a CSMS on a raw socket, and one real gateway."""

import asyncio
import itertools
import json
import re
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from gateway.dialects import registry
from tests.gateway_process import GatewayProcess

LIMIT_S = 30.0
SUBPROTOCOLS = {dialect.name: dialect.subprotocol for dialect in registry.ALL}
VERSIONS = tuple(SUBPROTOCOLS)
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_numbers = itertools.count(1)


def parse(text: bytes | str) -> Any:
    """JSON, numbers of any length among it."""
    return json.loads(text, parse_int=lambda digits: int(digits[:1000]))


@dataclass(frozen=True, slots=True)
class WsFrame:
    """One WebSocket frame, right or wrong. `length`: what the header claims, if not the truth. `masked`: None as the
    side that sends it has to."""

    opcode: int
    payload: bytes = b""
    fin: bool = True
    rsv: int = 0
    length: int | None = None
    masked: bool | None = None

    def encode(self, masks: bool) -> bytes:
        """The bytes. `masks`: the sender is a client. The mask is zero, which leaves the payload as it is."""
        masked = masks if self.masked is None else self.masked
        length = len(self.payload) if self.length is None else self.length
        bit = 0x80 if masked else 0
        head = bytes([(0x80 if self.fin else 0) | self.rsv << 4 | self.opcode])
        if length < 126:
            head += bytes([bit | length])
        elif length < 65536:
            head += struct.pack("!BH", bit | 126, length)
        else:
            head += struct.pack("!BQ", bit | 127, length)
        return head + (bytes(4) if masked else b"") + self.payload


class Gone(Exception):
    """The gateway closed the socket. `code`: of its close frame; None if there was none."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


def request(path: str, headers: Sequence[str] = (), *, without: str = "", first: str = "") -> bytes:
    """A handshake. `first`: another request line; `without`: a header to leave out."""
    lines = [
        "Host: gateway",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ]
    replaced = {header.partition(":")[0] for header in headers if not header.startswith("+")}
    lines = [line for line in lines if line.partition(":")[0] not in {without, *replaced}]
    lines += [header.removeprefix("+") for header in headers]
    return ("\r\n".join([first or f"GET {path} HTTP/1.1", *lines]) + "\r\n\r\n").encode("latin-1")


class RawStation:
    """A TCP connection to the gateway that answers pings, and nothing else by itself."""

    def __init__(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.name = name
        self.status = 0
        """Of the handshake; 0: closed without an answer."""
        self.headers: dict[str, str] = {}
        self._reader = reader
        self._writer = writer

    @classmethod
    async def dial(cls, port: int, name: str = "?") -> Self:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        return cls(name, reader, writer)

    @classmethod
    async def connect(cls, port: int, name: str, version: str) -> Self:
        """A station whose handshake went well."""
        station = await cls.dial(port, name)
        await station.shake(request(f"/ocpp/{name}", [f"Sec-WebSocket-Protocol: {SUBPROTOCOLS[version]}"]))
        if station.status != 101:
            station.reset()
            raise AssertionError(f"{name}: HTTP {station.status}")
        return station

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return

    async def shake(self, raw: bytes) -> None:
        """Send a handshake, read what comes of it."""
        self.write(raw)
        try:
            async with asyncio.timeout(LIMIT_S):
                head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        self.status = int(head[0].split()[1])
        self.headers = {key.casefold(): value for key, _, value in (line.partition(": ") for line in head[1:])}

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def send(self, *frames: WsFrame) -> None:
        self.write(b"".join(frame.encode(masks=True) for frame in frames))

    async def drain(self) -> None:
        """Wait until the gateway takes more. A gateway that closed meanwhile says so when it is read from."""
        try:
            async with asyncio.timeout(LIMIT_S):
                await self._writer.drain()
        except ConnectionError:
            return

    def reset(self) -> None:
        """Drop the connection without a word."""
        self._writer.transport.abort()

    async def message(self) -> Any:
        """The next text, parsed. Raises Gone."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                opcode, payload = await self._frame()
                if opcode == PING:
                    self.send(WsFrame(PONG, payload))
                elif opcode == CLOSE:
                    raise Gone(struct.unpack("!H", payload[:2])[0] if payload else 1005)
                elif opcode != PONG:
                    assert opcode == TEXT, f"opcode {opcode}"
                    came = parse(payload)
                    if came[0] != 2 or came[2] != "TriggerMessage":
                        return came
                    # Who has not booted is asked for its boot; these stations don't know how.
                    self.send(WsFrame(TEXT, b'[3,"%b",{"status":"NotImplemented"}]' % came[1].encode()))

    async def _frame(self) -> tuple[int, bytes]:
        try:
            head = await self._reader.readexactly(2)
            length = head[1]
            if length == 126:
                length = struct.unpack("!H", await self._reader.readexactly(2))[0]
            elif length == 127:
                length = struct.unpack("!Q", await self._reader.readexactly(8))[0]
            return head[0] & 0x0F, await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Gone(None) from None

    async def close_code(self) -> int | None:
        """The code of the close frame that comes, sooner or later; None if there is none."""
        try:
            while True:
                await self.message()
        except Gone as gone:
            return gone.code

    async def ended(self) -> int | None:
        """Wait until the gateway has closed the connection; the code of its close frame."""
        code = await self.close_code()
        self.send(WsFrame(CLOSE))
        await self.hung_up()
        return code

    async def hung_up(self) -> None:
        """Wait until the gateway has closed the connection."""
        async with asyncio.timeout(LIMIT_S):
            try:
                while await self._reader.read(65536):
                    pass
            except ConnectionError:
                return

    async def ask(self, action: str, payload: str = "{}") -> Any:
        """Send a CALL; the next message must be its CALLRESULT, whose payload is returned. Raises Gone."""
        message_id = f"ask-{next(_numbers)}"
        self.send(WsFrame(TEXT, f'[2,"{message_id}","{action}",{payload}]'.encode()))
        came = await self.message()
        assert came[:2] == [3, message_id], came
        return came[2]

    async def is_served(self) -> None:
        """Answered by the gateway, and by the CSMS through it, however slow the machine makes that."""
        assert "currentTime" in await self.ask("Heartbeat")
        async with asyncio.timeout(LIMIT_S):
            while await self.ask("DataTransfer", '{"vendorId":"kit"}') != {"status": "Accepted"}:
                pass  # the CSMS took longer than the gateway waits


CsmsAnswer = Callable[[str, str, ServerConnection], Awaitable[str | None]]
"""Given message id, action and socket: the text to answer with; None: no answer."""


@dataclass
class RawCsms:
    """A CSMS that answers everything well, but for the stations with an answer of their own."""

    port: int = 0
    answers: dict[str, CsmsAnswer] = field(default_factory=dict)
    sockets: dict[str, ServerConnection] = field(default_factory=dict)
    said: dict[str, asyncio.Queue[Any]] = field(default_factory=dict)
    """Per station, what came up but is no CALL: answers, right or wrong."""
    _server: Server | None = None

    async def __aenter__(self) -> Self:
        names = [Subprotocol(name) for name in SUBPROTOCOLS.values()]
        self._server = await serve(self._serve, "127.0.0.1", 0, subprotocols=names, compression=None, max_size=None)
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/csms"

    async def _serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        name = socket.request.path.rpartition("/")[2]
        self.sockets[name] = socket
        said = self.said.setdefault(name, asyncio.Queue())
        try:
            async for text in socket:
                parts = parse(text)
                if parts[0] != 2:
                    said.put_nowait(parts)
                    continue
                answer = await self._answer(name, parts[1], parts[2], socket)
                if answer is not None:
                    await socket.send(answer)
        except ConnectionClosed:
            return

    async def _answer(self, name: str, message_id: str, action: str, socket: ServerConnection) -> str | None:
        if name in self.answers:
            return await self.answers[name](message_id, action, socket)
        return good_answer(message_id, action)

    def write(self, name: str, *frames: WsFrame) -> None:
        """Put frames on the link of a station, past the library."""
        self.sockets[name].transport.write(b"".join(frame.encode(masks=False) for frame in frames))

    async def heard(self, name: str) -> Any:
        """The next answer that came up."""
        async with asyncio.timeout(LIMIT_S):
            return await self.said.setdefault(name, asyncio.Queue()).get()


def good_answer(message_id: str, action: str) -> str:
    """What a CSMS answers that likes everything."""
    payloads = {
        "BootNotification": '{"status":"Accepted","interval":300,"currentTime":"2030-01-01T00:00:00Z"}',
        "StartTransaction": '{"transactionId":7,"idTagInfo":{"status":"Accepted"}}',
        "Authorize": '{"idTagInfo":{"status":"Accepted"},"idTokenInfo":{"status":"Accepted"}}',
        "Heartbeat": '{"currentTime":"2030-01-01T00:00:00Z"}',
        "DataTransfer": '{"status":"Accepted"}',
    }
    return f'[3,"{message_id}",{payloads.get(action, "{}")}]'


def tune(gateway: GatewayProcess, more: str, grace_s: float) -> None:
    """Have a gateway reconnect at once. `more`: keys of its listener; `grace_s`: how long a link is kept."""
    text = gateway.config_file.read_text()
    text = text.replace("retry_wait_min_s = 1", f"retry_wait_min_s = 0.1\ngrace_s = {grace_s}")
    text = text.replace("retry_random_range_s = 1", "retry_random_range_s = 0")
    text += "\n[grace]\nafter_boot_s = 0\nafter_reconnect_s = 0\n"
    gateway.write_config(text.replace('path = "/ocpp"', f'path = "/ocpp"\n{more}'))


@dataclass
class Kit:
    """A gateway, its CSMS, and one station that must never notice anything."""

    gateway: GatewayProcess
    csms: RawCsms
    healthy: RawStation

    @classmethod
    def gateway_at(cls, directory: Path, uplink_url: str, more: str = "", grace_s: float = 15) -> GatewayProcess:
        """A gateway that reconnects at once. `more`: keys of its listener; `grace_s`: how long a link is kept."""
        gateway = GatewayProcess(directory, uplink_url)
        tune(gateway, more, grace_s)
        return gateway

    async def station(self, name: str, version: str) -> RawStation:
        """A connected station whose way to the CSMS is open. Close it."""
        station = await RawStation.connect(self.gateway.port, name, version)
        await self.linked(name)
        return station

    async def linked(self, name: str, times: int = 1) -> None:
        """Wait until the station's link to the CSMS has come up this often."""
        await self.until(lambda: len(self.lines(name, "link to the CSMS is up")) >= times)

    def lines(self, name: str, pattern: str = "", *, since: int = 0) -> list[str]:
        """Log lines about a station, after the first `since` lines of the log."""
        about = re.compile(rf" {re.escape(name)}(?: uplink)?: .*{pattern}")
        return [line for line in self.gateway.log().splitlines()[since:] if about.search(line)]

    def log_length(self) -> int:
        return len(self.gateway.log().splitlines())

    async def until(self, condition: Callable[[], object], limit_s: float = LIMIT_S) -> None:
        """Wait for something that another process brings about. Raises AssertionError."""
        end = asyncio.get_running_loop().time() + limit_s
        while not condition():
            assert asyncio.get_running_loop().time() < end, f"waited in vain\n{self.gateway.log_tail()}"
            await self.healthy.ask("Heartbeat")

    def assert_no_traceback(self) -> None:
        assert "Traceback" not in self.gateway.log(), self.gateway.log_tail(80)
