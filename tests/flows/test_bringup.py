"""Stations that come up are asked one after another, and nobody waits behind one that comes again and again."""

from pathlib import Path

from gateway.model.ids import StationId
from tests.flows.test_replay import now, play, ready, site_of
from tests.sim.station import SUBPROTOCOLS
from tests.sim.world import World


def test_a_station_that_comes_every_second_waits_once(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await ready(world)
        site, begun = site_of(world), now()
        while now() < begun + 120:
            socket = await world.dial("CP-FLAPS", SUBPROTOCOLS["1.6"])
            assert socket is not None
            socket.cut()
            assert site.came.count(StationId("CP-FLAPS")) <= 1

    play(tmp_path, scene)
