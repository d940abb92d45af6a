"""Real connections to a real WebSocket server, and one open link."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import trustme
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from gateway.clock import Clock
from gateway.dialects import registry
from gateway.errors import ConnectError, SocketClosed
from gateway.rpc.codes import CallError
from gateway.rpc.frame import Call
from gateway.rpc.session import Answered, Priority, Silence, Unanswered
from gateway.transport import Socket
from gateway.uplink.link import Link, LinkOptions, WebSocketConnector, basic_auth
from tests.inbox import Inbox
from tests.sim import loop
from tests.sim.network import SimSocket, Weather, pair

LIMIT_S = 10
Process = Callable[[ServerConnection, Request], Response | None]


class _Csms:
    """A server that notes what came with each handshake, and echoes."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answer: HTTPStatus | None = None
        self.headers: dict[str, str] = {}
        self.port = 0

    def process(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        if self.answer is None:
            return None
        response = connection.respond(self.answer, "no\n")
        for name, value in self.headers.items():
            response.headers[name] = value
        return response

    async def echo(self, connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    @asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None, speaks: Sequence[str] = ()) -> AsyncIterator["_Csms"]:
        server: Server
        async with serve(
            self.echo,
            "127.0.0.1",
            0,
            ssl=tls,
            subprotocols=[Subprotocol(name) for name in speaks] or None,
            process_request=self.process,
        ) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            yield self


@pytest.fixture
async def csms() -> AsyncIterator[_Csms]:
    async with _Csms().running(speaks=["ocpp1.6", "ocpp2.0.1"]) as csms:
        yield csms


async def _connect(
    url: str,
    identity: str = "CP-1",
    offers: Sequence[str] = ("ocpp1.6",),
    password: bytes | None = None,
    ca_file: Path | None = None,
) -> Socket:
    connector = WebSocketConnector(LinkOptions(url, ca_file=ca_file, open_timeout_s=LIMIT_S))
    return await connector.connect(identity, offers, password)


async def _refused(url: str, **named: Any) -> ConnectError:
    with pytest.raises(ConnectError) as caught:
        await (await _connect(url, **named)).close()
    return caught.value


# -- identity and password ------------------------------------------------------------------------------------------


async def test_the_identity_is_the_last_segment_of_the_path(csms: _Csms) -> None:
    for identity, path in [("CP-1", "/ocpp/CP-1"), ("a b/c?d#ä%", "/ocpp/a%20b%2Fc%3Fd%23%C3%A4%25")]:
        for end in ("", "/"):
            await (await _connect(f"ws://127.0.0.1:{csms.port}/ocpp{end}", identity)).close()
            assert csms.requests[-1].path == path


@pytest.mark.parametrize(
    "password", [b"secret", b"", b"\xff\x00\xfe:\x80", bytes(range(256)), "pässwörd".encode(), b"a:b"]
)
async def test_the_password_goes_out_byte_for_byte(csms: _Csms, password: bytes) -> None:
    await (await _connect(f"ws://127.0.0.1:{csms.port}", password=password)).close()
    kind, _, coded = csms.requests[-1].headers["Authorization"].partition(" ")
    assert kind == "Basic"
    assert base64.b64decode(coded, validate=True) == b"CP-1:" + password
    assert f"Basic {coded}" == basic_auth("CP-1", password)


async def test_without_a_password_there_is_no_header(csms: _Csms) -> None:
    await (await _connect(f"ws://127.0.0.1:{csms.port}")).close()
    assert "Authorization" not in csms.requests[-1].headers


async def test_the_handshake_says_no_more_than_it_must(csms: _Csms) -> None:
    await (await _connect(f"ws://127.0.0.1:{csms.port}")).close()
    assert "Sec-WebSocket-Extensions" not in csms.requests[-1].headers
    assert csms.requests[-1].headers["User-Agent"] == "ocpp-gateway"


async def test_a_proxy_of_the_environment_is_not_used(csms: _Csms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    await (await _connect(f"ws://127.0.0.1:{csms.port}")).close()


# -- subprotocols ---------------------------------------------------------------------------------------------------


async def test_the_csms_picks_among_the_offers(csms: _Csms) -> None:
    socket = await _connect(f"ws://127.0.0.1:{csms.port}", offers=("ocpp2.0.1", "ocpp1.6"))
    assert csms.requests[-1].headers["Sec-WebSocket-Protocol"] == "ocpp2.0.1, ocpp1.6"
    assert socket.subprotocol in ("ocpp2.0.1", "ocpp1.6")
    await socket.close()


async def test_a_csms_that_picks_none_leaves_none() -> None:
    async with _Csms().running() as csms:
        socket = await _connect(f"ws://127.0.0.1:{csms.port}")
        assert socket.subprotocol is None
        await socket.close()


async def test_a_csms_that_speaks_none_of_them_is_a_connect_error(csms: _Csms) -> None:
    error = await _refused(f"ws://127.0.0.1:{csms.port}", offers=("ocpp9.9",))
    assert error.status == 400


async def test_a_csms_that_picks_what_was_not_offered_is_a_connect_error() -> None:
    def pick(connection: ServerConnection, offers: Sequence[Subprotocol]) -> Subprotocol:
        return Subprotocol("ocpp2.0")

    async def idle(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async with serve(idle, "127.0.0.1", 0, select_subprotocol=pick) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        error = await _refused(f"ws://127.0.0.1:{port}")
    assert error.status == 400
    assert "ocpp1.6" in str(error)


# -- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (HTTPStatus.UNAUTHORIZED, "credentials"),
        (HTTPStatus.FORBIDDEN, "forbids"),
        (HTTPStatus.NOT_FOUND, "does not know this station"),
        (HTTPStatus.SERVICE_UNAVAILABLE, "503"),
        (HTTPStatus.OK, "200"),
        (HTTPStatus.FOUND, "302"),
    ],
)
async def test_a_refusal_tells_the_operator_what_to_do(csms: _Csms, status: HTTPStatus, words: str) -> None:
    csms.answer = status
    error = await _refused(f"ws://127.0.0.1:{csms.port}", password=b"top secret")
    assert error.status == status
    assert words in str(error)
    assert "top secret" not in str(error)


async def test_a_redirect_to_another_host_gets_no_password(csms: _Csms) -> None:
    async with _Csms().running(speaks=["ocpp1.6"]) as thief:
        csms.answer = HTTPStatus.FOUND
        csms.headers = {"Location": f"ws://127.0.0.1:{thief.port}/"}
        connector = WebSocketConnector(LinkOptions(f"ws://127.0.0.1:{csms.port}", open_timeout_s=LIMIT_S))
        try:
            await (await connector.connect("CP-1", ["ocpp1.6"], b"secret")).close()
        except ConnectError:
            assert thief.requests == []
        assert all("Authorization" not in request.headers for request in thief.requests)


async def test_nobody_there_is_a_connect_error() -> None:
    async with _Csms().running() as gone:
        port = gone.port
    error = await _refused(f"ws://127.0.0.1:{port}")
    assert error.status is None


@pytest.mark.parametrize("reply", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 101\r\n\r\n", b"\x00" * 100])
async def test_something_else_on_the_port_is_a_connect_error(reply: bytes) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        await _refused(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")


async def test_a_server_that_says_nothing_is_given_up() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server, asyncio.timeout(LIMIT_S):
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(ConnectError, match="Timeout"):
            await WebSocketConnector(LinkOptions(url, open_timeout_s=0.1)).connect("CP-1", ["ocpp1.6"], None)


# -- TLS ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    made = trustme.CA()
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    made.cert_pem.write_to_path(path)
    return made, path


def _server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


async def test_a_private_authority_is_trusted_where_it_is_configured(authority: tuple[trustme.CA, Path]) -> None:
    made, path = authority
    async with _Csms().running(_server_context(made, "127.0.0.1", "localhost")) as csms:
        for host in ("127.0.0.1", "localhost"):
            socket = await _connect(f"wss://{host}:{csms.port}", ca_file=path, password=b"x")
            inbox = Inbox(socket)
            socket.send(b"[]")
            assert await inbox.receive() == b"[]"
            await socket.close()


async def test_a_certificate_for_another_host_is_refused(authority: tuple[trustme.CA, Path]) -> None:
    made, path = authority
    async with _Csms().running(_server_context(made, "csms.example.com")) as csms:
        error = await _refused(f"wss://127.0.0.1:{csms.port}", ca_file=path, password=b"x")
    assert "127.0.0.1" in str(error)
    assert csms.requests == []


@pytest.mark.parametrize("has_own_authority", [True, False])
async def test_a_server_of_an_unknown_authority_is_refused(
    authority: tuple[trustme.CA, Path], has_own_authority: bool
) -> None:
    async with _Csms().running(_server_context(trustme.CA(), "127.0.0.1")) as csms:
        error = await _refused(
            f"wss://127.0.0.1:{csms.port}", ca_file=authority[1] if has_own_authority else None, password=b"x"
        )
    assert "certificate" in str(error)
    assert csms.requests == []


async def test_an_old_tls_is_refused(authority: tuple[trustme.CA, Path]) -> None:
    made, path = authority
    context = _server_context(made, "127.0.0.1")
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with _Csms().running(context) as csms:
        await _refused(f"wss://127.0.0.1:{csms.port}", ca_file=path)


async def test_a_secure_link_is_not_led_to_an_open_one(authority: tuple[trustme.CA, Path]) -> None:
    made, path = authority
    async with (
        _Csms().running(speaks=["ocpp1.6"]) as plain,
        _Csms().running(_server_context(made, "127.0.0.1")) as csms,
    ):
        csms.answer = HTTPStatus.FOUND
        csms.headers = {"Location": f"ws://127.0.0.1:{plain.port}/"}
        await _refused(f"wss://127.0.0.1:{csms.port}", ca_file=path, password=b"x")
        assert plain.requests == []


# -- the socket -----------------------------------------------------------------------------------------------------


async def test_a_closed_socket_says_how_it_was_closed(csms: _Csms) -> None:
    socket = await _connect(f"ws://127.0.0.1:{csms.port}")
    await socket.close(1000, "enough")
    await socket.close()
    socket.send(b"[]")
    for use in (Inbox(socket).receive(), socket.ping()):
        with pytest.raises(SocketClosed) as caught:
            await use
        assert caught.value.code == 1000


async def test_an_aborted_socket_is_gone_at_once(csms: _Csms) -> None:
    socket = await _connect(f"ws://127.0.0.1:{csms.port}")
    await socket.ping()
    socket.abort()
    with pytest.raises(SocketClosed) as caught:
        async with asyncio.timeout(LIMIT_S):
            await Inbox(socket).receive()
    assert caught.value.code == 1006


# -- an open link ---------------------------------------------------------------------------------------------------


def _with_link(
    script: Callable[[Link, SimSocket], Awaitable[None]], answer: Callable[[Call, float], Awaitable[bytes]]
) -> str:
    """Play the CSMS's end of an open link; returns why the link ended."""

    async def main() -> str:
        import random

        here, there = pair(random.Random(1), Weather(), "ocpp1.6")
        link = Link("CP-1", here, registry.by_name("1.6"), clock=Clock(), answer=answer, call_timeout_s=30)
        running = asyncio.create_task(link.run())
        async with asyncio.timeout(1000):
            await script(link, there)
            there.cut()
            return await running

    return loop.run(main())


async def _next(socket: SimSocket) -> Any:
    return json.loads(await socket.receive())


async def _never(call: Call, received: float) -> bytes:
    raise AssertionError(f"no command was sent: {call}")


def test_commands_are_handled_side_by_side() -> None:
    gate = asyncio.Event()

    async def answer(call: Call, received: float) -> bytes:
        if call.action == "Slow":
            await gate.wait()
        return b'{"was":"%b"}' % call.action.encode()

    async def script(link: Link, csms: SimSocket) -> None:
        csms.send(b'[2,"1","Slow",{}]')
        csms.send(b'[2,"2","Quick",{}]')
        assert await _next(csms) == [3, "2", {"was": "Quick"}]
        gate.set()
        assert await _next(csms) == [3, "1", {"was": "Slow"}]

    _with_link(script, answer)


def test_a_refused_command_and_a_failing_one_are_answered() -> None:
    async def answer(call: Call, received: float) -> bytes:
        if call.action == "Refused":
            raise CallError("NotSupported", "not here", b'{"a":1}')
        raise RuntimeError("our own fault, with secrets in its text")

    async def script(link: Link, csms: SimSocket) -> None:
        csms.send(b'[2,"1","Refused",{}]')
        assert await _next(csms) == [4, "1", "NotSupported", "not here", {"a": 1}]
        csms.send(b'[2,"2","Fails",{}]')
        answered = await _next(csms)
        assert answered[:3] == [4, "2", "InternalError"]
        assert "secrets" not in answered[3]

    _with_link(script, answer)


def test_a_link_that_falls_ends_what_its_commands_were_doing() -> None:
    cancelled = []

    async def answer(call: Call, received: float) -> bytes:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(call.message_id)
            raise
        return b"{}"

    async def script(link: Link, csms: SimSocket) -> None:
        csms.send(b'[2,"1","A",{}]')
        csms.send(b'[2,"2","B",{}]')
        await asyncio.sleep(1)

    assert "1006" in _with_link(script, answer)
    assert sorted(cancelled) == ["1", "2"]


def test_a_call_that_is_never_answered_cycles_the_socket() -> None:
    async def script(link: Link, csms: SimSocket) -> None:
        outcome = await link.pump.call("a", "Heartbeat", b"{}", priority=Priority.STATUS, timeout_s=30)
        assert outcome == Unanswered(Silence.TIMEOUT, was_sent=True)
        assert asyncio.get_running_loop().time() == pytest.approx(30)
        with pytest.raises(SocketClosed):
            await csms.receive()

    _with_link(script, _never)


@pytest.mark.parametrize("sign_of_life", [b'[3,"late",{}]', b"[]", b"nonsense", b'[4,"x","GenericError","",{}]'])
def test_anything_that_arrives_ends_the_suspicion(sign_of_life: bytes) -> None:
    async def script(link: Link, csms: SimSocket) -> None:
        link.is_suspect = True
        csms.send(sign_of_life)
        await asyncio.sleep(1)
        assert not link.is_suspect

    _with_link(script, _never)


def test_a_question_goes_up_and_its_answer_comes_down() -> None:
    async def script(link: Link, csms: SimSocket) -> None:
        asking = asyncio.create_task(link.pump.call("a", "Heartbeat", b"{}", priority=Priority.STATUS, timeout_s=30))
        assert await _next(csms) == [2, "a", "Heartbeat", {}]
        csms.send(b'[3,"a",{"currentTime":"x"}]')
        assert await asking == Answered(b'{"currentTime":"x"}')

    _with_link(script, _never)
