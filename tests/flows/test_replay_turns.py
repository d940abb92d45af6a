"""Replay against a link that is on its way down and refuses everything at once: nobody else may have to wait."""

import asyncio
import random
from contextlib import suppress

from gateway.clock import Clock
from gateway.dialects import registry
from gateway.dialects.base import Dialect
from gateway.flows import replay
from gateway.model.ids import StationId
from gateway.model.records import LatestMessage, StationRecord
from gateway.ports import LinkState
from gateway.rpc.session import Request, Silence, Unanswered
from gateway.site import Site
from gateway.site_options import SiteOptions
from tests.downlink.rig import FakeUplink

CP = StationId("CP-1")
ENOUGH = 1000


class _Falling(FakeUplink):
    """Still listed as up, and closed already."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_for = 0
        self.often = asyncio.Event()

    def state(self, station: StationId) -> LinkState:
        return LinkState.UP

    def dialect(self, station: StationId) -> Dialect | None:
        return registry.by_name("1.6")

    def post(self, station: StationId, request: Request) -> None:
        self.asked_for += 1
        if self.asked_for == 3:
            self.often.set()
        if self.asked_for > ENOUGH:
            raise asyncio.CancelledError("replay did not let anybody else have a turn")
        request.on_done(Unanswered(Silence.NOT_CONNECTED, was_sent=False))


async def test_a_link_that_refuses_at_once_stops_nobody() -> None:
    site = Site(SiteOptions(), Clock(), random.Random(1))
    uplink = site.uplink = _Falling()
    station = site.station(CP)
    station.record = StationRecord(CP, dialect="1.6", was_accepted=True)
    station.latest["1"] = LatestMessage(CP, "1", "1.6", "StatusNotification", b"{}")
    running = asyncio.create_task(replay.run(site))
    async with asyncio.timeout(10):
        await uplink.often.wait()
    assert uplink.asked_for <= ENOUGH
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
