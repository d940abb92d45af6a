"""A station that sends without end leaves turns of the event loop to the others."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from gateway.clock import Clock
from gateway.downlink.server import UnknownStations
from gateway.rpc.session import Received, Session
from gateway.site import Site
from gateway.site_options import SiteOptions
from gateway.store import database
from gateway.store.writer import Writer
from tests.bad_input.rig import TEXT, WsFrame
from tests.downlink.rig import FakeUplink, Rig, rig_on, until

FRAMES, MOST_A_TURN = 12_000, 1500


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    site, path, uplink = Site(SiteOptions(), Clock(), random.Random(1)), tmp_path / "gateway.db", FakeUplink()
    site.uplink = uplink
    site.writer = Writer(await database.start(path), partial(database.reopen, path), site.load)
    writing = asyncio.create_task(site.writer.run())
    async with rig_on(site, uplink) as rig:
        yield rig
    site.writer.close()
    await writing


@pytest.mark.parametrize("data", [b'[3,"x",{}]', b"[2,x"])
async def test_one_station_never_has_the_loop_for_long(rig: Rig, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that nobody answers, so that nothing slows their sender down; the tiniest ones there are."""
    loop, turns, handled, receive = asyncio.get_running_loop(), 0, Counter[int](), Session.receive

    def counted(session: Session, frame: bytes, now: float) -> Received | None:
        handled[turns] += 1
        return receive(session, frame, now)

    def turn() -> None:
        nonlocal turns
        turns += 1
        if handled.total() < FRAMES:
            loop.call_soon(turn)

    server = await rig.listen(unknown_stations=UnknownStations.ACCEPT)
    loud = await rig.raw(server, headers=["Sec-WebSocket-Protocol: ocpp1.6"])
    assert loud.status == 101
    monkeypatch.setattr(Session, "receive", counted)
    loud.writer.write(WsFrame(TEXT, data).encode(masks=True) * FRAMES)
    loop.call_soon(turn)
    await until(lambda: handled.total() >= FRAMES)
    assert max(handled.values()) <= MOST_A_TURN
