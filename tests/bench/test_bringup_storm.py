"""A storm on virtual time: whoever comes while others are asked for their status has its grace all the same."""

import asyncio
import random
from dataclasses import replace

import pytest

from gateway.clock import Clock
from gateway.dialects import registry
from gateway.dialects.base import Dialect
from gateway.flows import bringup
from gateway.model.ids import StationId
from gateway.rpc.session import Answered, Outcome, RefusedResult
from gateway.site import Site
from gateway.site_options import SiteOptions
from gateway.station import Station
from tests.downlink.rig import FakeUplink
from tests.sim import loop as virtual

AFTER_S = SiteOptions().after_reconnect_s


class _Port:
    """A station's socket; notes when it is asked."""

    def __init__(self) -> None:
        self.asked_at: float | None = None

    @property
    def dialect(self) -> Dialect:
        return registry.by_name("1.6")

    async def call(self, action: str, payload: bytes, *, send_by: float = float("inf")) -> Outcome:
        self.asked_at = asyncio.get_running_loop().time()
        return Answered(b'{"status":"Accepted"}')

    def send(self, action: str, payload: bytes) -> None: ...

    def refuse_result(self, refused: RefusedResult) -> None: ...

    def close(self, code: int, reason: str) -> None: ...

    async def is_alive(self, within_s: float) -> bool:
        return True


async def _comes_late(others: int) -> tuple[float, float | None]:
    """When a station comes that goes on without a boot, some time after a crowd, and when it is asked."""
    site = Site(SiteOptions(), Clock(monotonic=asyncio.get_running_loop().time), random.Random(1))
    site.uplink = FakeUplink()

    def come(name: str) -> _Port:
        station: Station = site.station(StationId(name))
        station.record = replace(station.record, was_accepted=True)
        port = _Port()
        site.attach(station, port)
        return port

    for number in range(others):
        come(f"EARLY-{number}")
    asking = asyncio.create_task(bringup.run(site))
    late_at = AFTER_S + others * bringup.PACE_S - 0.3
    await asyncio.sleep(late_at)
    late = come("LATE")
    await asyncio.sleep(60)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    return late_at, late.asked_at


@pytest.mark.parametrize("others", [0, 30])
def test_a_station_has_its_grace_before_it_is_asked(others: int) -> None:
    came_at, asked_at = virtual.run(_comes_late(others))
    assert asked_at is not None
    assert asked_at - came_at >= AFTER_S - 1e-6
