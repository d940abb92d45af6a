"""What a station or a stranger says without end may not grow without end: in memory, on disk, in the log."""

import asyncio
import random
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from gateway.clock import Clock
from gateway.dialects import registry
from gateway.flows import inbound
from gateway.model.ids import StationId
from gateway.rpc.frame import Call
from gateway.site import Site
from gateway.site_options import SiteOptions
from gateway.store import database
from gateway.store.writer import Writer
from tests.bad_input.rig import TEXT, Kit, RawCsms, RawStation, WsFrame, request
from tests.downlink.rig import FakeUplink

V16 = registry.by_name("1.6")
CONNECTORS, MOST_CONNECTORS = 400, 300
VISITS, FRAMES, MOST_COMPLAINTS = 5, 40, 100
STRANGERS, MOST_REFUSALS = 220, 150


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """With a store, and without a CSMS."""
    site = Site(SiteOptions(), Clock(), random.Random(1))
    path = tmp_path / "gateway.db"
    site.uplink = FakeUplink()
    site.writer = Writer(await database.start(path), partial(database.reopen, path), site.load)
    writing = asyncio.create_task(site.writer.run())
    yield site
    site.writer.close()
    await writing


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a short path, for the Unix socket in it."""
    return tmp_path_factory.mktemp("gw")


async def test_a_station_has_no_end_of_connectors(site: Site) -> None:
    """`Station.connectors`, `Station.latest`: an entry for good, and a row while the CSMS is away, for every number."""
    station = site.station(StationId("HOSTILE"))

    async def report(connector: int) -> None:
        payload = b'{"connectorId":%d,"errorCode":"NoError","status":"Available"}' % connector
        call = Call(str(connector), "StatusNotification", payload)
        assert await inbound.handle(site, station, V16, call, site.clock.monotonic()) == b"{}"

    await asyncio.gather(*(report(connector) for connector in range(1, CONNECTORS + 1)))
    assert 1 <= len(station.connectors) <= MOST_CONNECTORS
    assert 1 <= len(station.latest) <= MOST_CONNECTORS


async def test_garbage_over_many_connections_does_not_fill_the_disk(directory: Path) -> None:
    """`Pump`: a new connection has all its lines again."""
    async with RawCsms() as csms, Kit.gateway_at(directory, csms.url) as gateway:
        for _ in range(VISITS):
            async with await RawStation.connect(gateway.port, "LOUD", "1.6") as loud:
                loud.send(*[WsFrame(TEXT, b"[2,not JSON")] * FRAMES)
                for _ in range(FRAMES):
                    assert (await loud.message())[0] == 4
        lines = [line for line in gateway.log().splitlines() if "unusable frame" in line]
        assert 1 <= len(lines) <= MOST_COMPLAINTS


async def test_strangers_at_the_door_do_not_fill_the_disk(directory: Path) -> None:
    """`downlink.server`: a line for every handshake that is refused, whoever makes it, as often as he likes."""
    async with RawCsms() as csms, Kit.gateway_at(directory, csms.url) as gateway:
        for _ in range(STRANGERS):
            async with await RawStation.dial(gateway.port) as stranger:
                await stranger.shake(request("/nowhere"))
                assert stranger.status == 404
        assert 1 <= len([line for line in gateway.log().splitlines() if "refused" in line]) <= MOST_REFUSALS
