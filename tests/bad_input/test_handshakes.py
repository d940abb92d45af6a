"""Handshakes that are no handshakes: an HTTP status or a close, one log line, no station, and nobody else notices."""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from tests.bad_input.handshakes import NO_LINK, OFFER, REQUESTS, RESPONSES, TLS_HELLO, BadRequest, BadResponse
from tests.bad_input.rig import VERSIONS, Kit, RawCsms, RawStation, request

pytestmark = pytest.mark.asyncio(loop_scope="module")

HALF_OPEN = 300
PATIENT = "handshake_timeout_s = 5"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kit(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kit]:
    async with RawCsms() as csms, Kit.gateway_at(tmp_path_factory.mktemp("gw"), csms.url, PATIENT) as gateway:
        async with await RawStation.connect(gateway.port, "HEALTHY", "1.6") as healthy:
            kit = Kit(gateway, csms, healthy)
            await kit.linked("HEALTHY")
            yield kit
            await healthy.is_served()
            assert not kit.lines("HEALTHY", "disconnected")
        kit.assert_no_traceback()
        assert await gateway.stop() == 0


def new_lines(kit: Kit, since: int) -> list[str]:
    """Lines about handshakes, and of new stations."""
    about = re.compile("handshake|connection from|taken into service")
    return [line for line in kit.gateway.log().splitlines()[since:] if about.search(line)]


def param(bad: BadRequest) -> Any:
    return pytest.param(bad, id=bad.name)


@pytest.mark.parametrize("bad", [param(bad) for bad in REQUESTS])
async def test_request_of_a_station(kit: Kit, bad: BadRequest) -> None:
    since = kit.log_length()
    async with await RawStation.dial(kit.gateway.port) as stranger:
        await stranger.shake(bad.raw)
        await kit.healthy.is_served()
        assert stranger.status == bad.status
        await stranger.hung_up()
    await kit.healthy.is_served()
    await kit.healthy.is_served()
    (line,) = new_lines(kit, since)
    assert re.search(bad.log, line), line
    assert line.isprintable()
    assert len(line) < 600


@pytest.mark.parametrize(
    "offers", ["ocpp1.5", "mqtt", "ocpp 1.6", "ocpp1.6.0", "soap, ocpp1.2", "x" * 5000], ids=lambda offers: offers[:9]
)
async def test_wrong_subprotocol(kit: Kit, offers: str) -> None:
    name = "SUB-" + re.sub("[^a-z0-9]+", "-", offers[:9])
    since = kit.log_length()
    async with await RawStation.dial(kit.gateway.port, name) as station:
        await station.shake(request(f"/ocpp/{name}", [f"Sec-WebSocket-Protocol: {offers}"]))
        await kit.healthy.is_served()
        assert (station.status, station.headers.get("sec-websocket-protocol")) == (101, None)
        assert await station.ended() == 1002
    (line,) = kit.lines(name, "closed", since=since)
    assert "no OCPP version in common" in line
    assert offers[:9] in line
    assert len(line) < 600
    async with await kit.station(name, VERSIONS[-1]) as station:
        await station.is_served()


async def test_first_message_together_with_the_handshake(kit: Kit) -> None:
    """Early, but in order: no reason to lose it."""
    async with await RawStation.dial(kit.gateway.port, "EARLY") as station:
        frame = b'\x81\x96\x00\x00\x00\x00[2,"h","Heartbeat",{}]'
        await station.shake(request("/ocpp/EARLY", [OFFER]) + frame)
        assert station.status == 101
        assert (await station.message())[:2] == [3, "h"]


async def test_tls_hello_without_a_line_end_is_cut_in_time(kit: Kit) -> None:
    async with await RawStation.dial(kit.gateway.port) as stranger:
        await stranger.shake(TLS_HELLO.replace(b"\n", b"."))
        assert stranger.status == 0
    await kit.until(lambda: re.search("no whole HTTP request came in time|speaks TLS", kit.gateway.log()))
    await kit.healthy.is_served()


@pytest.mark.parametrize("hangs_up", [False, True], ids=["cut by the gateway", "cut by the stranger"])
async def test_half_open_handshakes_keep_nobody_out(kit: Kit, hangs_up: bool) -> None:
    """Nothing, half a request line, or all but the last line break, while stations come and work."""
    beginnings = [b"", b"GET /ocpp/SLOW HT", request("/ocpp/SLOW", [OFFER])[:-2]]
    async with AsyncExitStack() as stack:
        strangers = await asyncio.gather(*(RawStation.dial(kit.gateway.port) for _ in range(HALF_OPEN)))
        for number, stranger in enumerate(strangers):
            await stack.enter_async_context(stranger)
            stranger.write(beginnings[number % 3])
        for number in range(10):
            async with await kit.station(f"AMID-{hangs_up}-{number}", VERSIONS[number % len(VERSIONS)]) as station:
                await station.is_served()
            await kit.healthy.is_served()
        if not hangs_up:
            await asyncio.gather(*(stranger.hung_up() for stranger in strangers))
    await kit.healthy.is_served()
    assert not kit.lines("SLOW")


# The same from the CSMS's side.


@asynccontextmanager
async def odd_csms() -> AsyncIterator[str]:
    """Answers the handshake of station "N" with the Nth response; its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            found = re.search(r"^GET (/csms/R-(\d+)) ", head)
            assert found
            key = re.search(r"Sec-WebSocket-Key: (\S+)", head)
            assert key
            guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            accept = base64.b64encode(hashlib.sha1((key[1] + guid).encode()).digest())
            raw = RESPONSES[int(found[2])].raw.replace(b": ACCEPT", b": " + accept)
            writer.write(raw.replace(b": SELF", b": " + found[1].encode()))
            await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/csms"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lonely(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kit]:
    """A gateway whose CSMS never does a handshake right."""
    async with odd_csms() as url, Kit.gateway_at(tmp_path_factory.mktemp("gw"), url) as gateway:
        async with await RawStation.connect(gateway.port, "R-0", "1.6") as healthy:
            kit = Kit(gateway, RawCsms(), healthy)
            yield kit
        kit.assert_no_traceback()
        assert await gateway.stop() == 0


@pytest.mark.parametrize("bad", RESPONSES, ids=lambda bad: bad.name)
async def test_response_of_the_csms(lonely: Kit, bad: BadResponse) -> None:
    """The station is served all the same, each try is one line, and it is tried again."""
    name = f"R-{RESPONSES.index(bad)}"
    if name == "R-0":
        await lonely.until(lambda: len(lonely.lines(name, NO_LINK)) > 1)
        return
    async with await RawStation.connect(lonely.gateway.port, name, "1.6") as station:
        assert "currentTime" in await station.ask("Heartbeat")
        await lonely.until(lambda: len(lonely.lines(name, bad.log)) > 1)
        assert "currentTime" in await station.ask("Heartbeat")
    strange = [line for line in lonely.lines(name, "CSMS") if not re.search(bad.log, line)]
    assert not strange
    assert all(line.isprintable() and len(line) < 600 for line in lonely.lines(name))
