"""A real site and real listeners, an uplink that is out of order, and clients that behave or not."""

import asyncio
import base64
import json
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from gateway.dialects.base import Dialect
from gateway.downlink.server import DownlinkServer, ListenerOptions, StationAccess
from gateway.model.ids import StationId
from gateway.ports import LinkState
from gateway.rpc.session import RefusedResult, Request
from gateway.site import Site

LIMIT_S = 20.0
HEARTBEAT = '[2,"1","Heartbeat",{}]'
CP = StationId("CP-01")
SECRET = b"correct horse battery"


class FakeUplink:
    """The way to the CSMS, down. `picks`: what it negotiates, by default the first offer; `gates` hold it up."""

    def __init__(self) -> None:
        self.asked: list[tuple[StationId, tuple[str, ...]]] = []
        self.picks: Callable[[Sequence[str]], str | None] = lambda offers: offers[0]
        self.gates: list[asyncio.Event] = []
        self.waiting = asyncio.Semaphore(0)
        """Released whenever a negotiation begins to wait at its gate."""

    def state(self, station: StationId) -> LinkState:
        return LinkState.DOWN

    def dialect(self, station: StationId) -> Dialect | None:
        return None

    def post(self, station: StationId, request: Request) -> None:
        raise AssertionError("nothing is asked while the link is down")

    def send(self, station: StationId, message_id: str, action: str, payload: bytes) -> None:
        raise AssertionError("nothing is sent while the link is down")

    def refuse_result(self, station: StationId, refused: RefusedResult) -> None: ...

    def suspect(self, station: StationId) -> None: ...

    async def negotiate(self, station: StationId, offers: Sequence[str]) -> str | None:
        self.asked.append((station, tuple(offers)))
        if self.gates:
            gate = self.gates.pop(0)
            self.waiting.release()
            await gate.wait()
        return self.picks(offers)

    def wake(self, station: StationId) -> None: ...


def basic(user: str, password: bytes) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(user.encode() + b":" + password).decode()}


@dataclass
class RawClient:
    """A TCP connection that did a handshake of its own making, and answers nothing by itself."""

    status: int
    headers: dict[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def opcode(self) -> int | None:
        """The kind of the next frame (8 close, 9 ping); None at the end. Payloads are small and thrown away."""
        try:
            async with asyncio.timeout(LIMIT_S):
                head = await self.reader.readexactly(2)
                await self.reader.readexactly(head[1])
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return head[0] & 0x0F

    async def close_code(self) -> int | None:
        """The code of the close frame that comes next."""
        async with asyncio.timeout(LIMIT_S):
            head = await self.reader.readexactly(2)
            body = await self.reader.readexactly(head[1])
        code: int | None = struct.unpack("!H", body[:2])[0] if head[0] & 0x0F == 8 else None
        return code

    def send(self, text: str) -> None:
        data = text.encode()
        assert len(data) < 126
        self.writer.write(bytes([0x81, 0x80 | len(data)]) + bytes(4) + data)


@dataclass
class Rig:
    """Listeners on one site."""

    site: Site
    uplink: FakeUplink
    _stack: AsyncExitStack
    servers: list[DownlinkServer] = field(default_factory=list)

    async def listen(
        self,
        access: Mapping[StationId, StationAccess] | None = None,
        aliases: Mapping[str, StationId] | None = None,
        **options: Any,
    ) -> DownlinkServer:
        """Start a listener: profile 0 unless said otherwise."""
        chosen = ListenerOptions("127.0.0.1", 0, **{"security_profile": 0, **options})
        server = DownlinkServer(self.site, chosen, access or {}, aliases or {})
        await server.start()
        self.servers.append(server)
        self._stack.push_async_callback(server.close)
        return server

    async def dial(
        self,
        server: DownlinkServer,
        path: str = "/ocpp/CP-01",
        offers: Sequence[str] = ("ocpp1.6",),
        *,
        login: tuple[str, bytes] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> ClientConnection:
        """A connected client, closed at the end of the test. Raises InvalidStatus."""
        connection = await connect(
            f"{'wss' if tls else 'ws'}://127.0.0.1:{server.port}{path}",
            subprotocols=[Subprotocol(offer) for offer in offers] or None,
            additional_headers=basic(*login) if login else {},
            compression=None,
            proxy=None,
            ssl=tls,
            ping_interval=None,
            close_timeout=1,
        )
        self._stack.push_async_callback(connection.close)
        return connection

    async def refused(self, server: DownlinkServer, *args: Any, **more: Any) -> InvalidStatus:
        """The refusal of a handshake that has to fail."""
        try:
            await self.dial(server, *args, **more)
        except InvalidStatus as refusal:
            return refusal
        raise AssertionError("the handshake went through")

    async def raw(
        self, server: DownlinkServer, path: str = "/ocpp/CP-01", headers: Sequence[str] = (), *, instead: str = ""
    ) -> RawClient:
        """A handshake by hand; `instead`: the whole request."""
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        self._stack.push_async_callback(_hang_up, writer)
        lines = [
            f"GET {path} HTTP/1.1",
            "Host: x",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            *headers,
        ]
        writer.write((instead or "\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        try:
            async with asyncio.timeout(LIMIT_S):
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return RawClient(0, {}, reader, writer)
        fields = dict(line.split(": ", 1) for line in head[1:] if line)
        return RawClient(int(head[0].split()[1]), {k.casefold(): v for k, v in fields.items()}, reader, writer)


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        return


async def asks(connection: ClientConnection, call: str = HEARTBEAT) -> Any:
    """Send a CALL, return the frame that answers it."""
    async with asyncio.timeout(LIMIT_S):
        await connection.send(call)
        return json.loads(await connection.recv())


async def is_served(connection: ClientConnection) -> bool:
    """Whether the gateway answers on this socket; waits for an answer or the end."""
    try:
        return bool((await asks(connection))[0] == 3)
    except ConnectionClosed:
        return False


async def close_code(connection: ClientConnection) -> int | None:
    """Wait until the gateway has closed it."""
    async with asyncio.timeout(LIMIT_S):
        await connection.wait_closed()
    return connection.close_code


async def until(condition: Callable[[], object]) -> None:
    """Wait for something another task brings about."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.wait([asyncio.create_task(_turn())])


async def _turn() -> None:
    """One turn of the event loop."""
    await asyncio.get_running_loop().run_in_executor(None, lambda: None)


@asynccontextmanager
async def rig_on(site: Site, uplink: FakeUplink) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        yield Rig(site, uplink, stack)
