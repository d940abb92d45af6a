"""The life of a station's link to the CSMS, on virtual time: when it opens, what it survives, when it is closed."""

import asyncio
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.history import Closed
from gateway.model.ids import StationId
from gateway.ports import LinkState
from gateway.rpc.session import Request, Silence, Unanswered
from gateway.site_options import SiteOptions
from tests.sim.peer import NoAnswer
from tests.uplink.link_world import CP, GRACE_S, LinkWorld, booked_offline, now, play, until


def test_there_is_no_link_without_a_station(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        await asyncio.sleep(60)
        assert (world.attempts, world.state()) == ([], LinkState.IDLE)

    play(tmp_path, script)


def test_a_link_is_opened_when_its_station_is_there_and_stays(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        await world.arrive()
        opened = world.link()
        assert world.state() is LinkState.UP
        await asyncio.sleep(3600)
        assert world.link() is opened
        assert len(world.attempts) == 1

    play(tmp_path, script)


def test_a_blip_of_the_station_keeps_the_same_socket(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        station = await world.arrive()
        opened = world.link()
        for _ in range(10):
            assert station.wire
            station.wire.socket.cut()
            await asyncio.sleep(20)
            assert station.wire is not None
            assert world.link() is opened
        assert len(world.attempts) == 1

    play(tmp_path, script)


def test_the_link_of_a_station_that_is_gone_is_closed_after_the_grace(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        station = await world.arrive()
        await world.leave(station)
        gone = now()
        await asyncio.sleep(GRACE_S - 0.5)
        assert world.link() is not None
        closed = await until(lambda: world.link() is None, 5)
        assert GRACE_S - 0.1 <= closed - gone <= GRACE_S + 1
        assert world.state() is LinkState.IDLE
        await asyncio.sleep(3600)
        assert len(world.attempts) == 1
        [ending] = [record for record in world.csms.history.records if isinstance(record, Closed)]
        assert not ending.cut

    play(tmp_path, script)


def test_the_grace_begins_anew_with_each_visit(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        station = await world.arrive()
        opened = world.link()
        for _ in range(5):
            await world.leave(station)
            await asyncio.sleep(GRACE_S - 3)
            assert world.link() is opened
            station = await world.arrive()
        assert world.link() is opened

    play(tmp_path, script)


def test_a_station_that_comes_back_later_gets_a_new_link(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        station = await world.arrive()
        first = world.link()
        await world.leave(station)
        await asyncio.sleep(GRACE_S + 5)
        assert world.link() is None
        await world.arrive()
        assert world.link() is not first

    play(tmp_path, script)


# -- draining -------------------------------------------------------------------------------------------------------


def test_an_outbox_that_is_not_empty_wants_a_link_without_its_station(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        await booked_offline(world)
        await asyncio.sleep(600)
        assert world.link() is None
        world.csms.mend()
        await until(lambda: world.queue() == [], 120)
        drained = now()
        assert world.link() is not None
        closed = await until(lambda: world.link() is None, 60)
        assert GRACE_S - 1 <= closed - drained <= GRACE_S + 2
        assert world.state() is LinkState.IDLE

    play(tmp_path, script)


def test_a_station_that_comes_back_adopts_the_draining_socket(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        await booked_offline(world)
        world.csms.delay_s = lambda action: 3.0
        world.csms.mend()
        await until(lambda: world.link() is not None, 60)
        draining = world.link()
        world.add(CP, "1.6")
        await asyncio.sleep(120)
        assert world.queue() == []
        assert world.link() is draining

    play(tmp_path, script)


def test_after_a_restart_an_outbox_that_is_not_empty_opens_its_link(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        await booked_offline(world)
        await world.crash()
        world.csms.mend()
        await world.start()
        await until(lambda: world.queue() == [] and world.link() is not None, 120)
        await until(lambda: world.link() is None, 60)

    play(tmp_path, script)


def test_at_the_end_every_link_is_closed(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        await world.arrive()
        link = world.link()
        assert world.assembly
        assert world._running
        world.assembly.stop()
        await world._running
        await asyncio.sleep(5)
        assert link.wire.socket.closed is not None
        assert link.wire.socket.closed.code in (1000, 1001)

    play(tmp_path, script)


# -- the way to the CSMS falls --------------------------------------------------------------------------------------


def test_attempts_follow_the_backoff(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        await world.arrive()
        world.csms.cut()
        await asyncio.sleep(600)
        assert world.state() in (LinkState.DOWN, LinkState.CONNECTING)
        times = [at for at, _ in world.attempts]
        gaps = [later - earlier for earlier, later in pairwise(times[1:])]
        for failures, gap in enumerate(gaps[:8], start=1):
            minimum = 2 * 2 ** min(failures - 1, 3)
            assert minimum <= gap <= minimum + 2 + 0.2, (failures, gap)
        world.csms.mend()
        back = await until(world.is_up, 60)
        await asyncio.sleep(60)
        world.csms.cut()
        await asyncio.sleep(1)
        world.csms.mend()
        again = await until(world.is_up, 10)
        assert again > back  # one success, and the back-off began anew

    play(tmp_path, script)


def test_a_link_that_falls_is_opened_again_and_never_twice(tmp_path: Path) -> None:
    """Every kind of end, at any moment, on both sides: `play` sees to the twins."""
    source = random.Random(5)

    async def script(world: LinkWorld) -> None:
        station = await world.arrive()
        for _ in range(150):
            await asyncio.sleep(source.expovariate(1 / 8))
            match source.randrange(5):
                case 0 if world.link():
                    world.link().wire.socket.cut()
                case 1 if world.link():
                    await world.link().wire.socket.close(1001, "going away")
                case 2 if station.wire:
                    station.wire.socket.cut()
                case 3:
                    world.csms.cut()
                    await asyncio.sleep(source.expovariate(1 / 20))
                    world.csms.mend()
                case 4 if world.link():
                    world.link().wire.socket.is_black_hole = True
                    await station.authorize("TAG")
        world.csms.mend()
        await asyncio.sleep(120)
        assert world.is_up()
        assert await station.authorize("TAG") == "Accepted"

    play(tmp_path, script)


def test_a_call_without_a_link_is_not_connected(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        assert world.assembly
        heard: list[Any] = []
        uplink, nobody = world.assembly.site.uplink, StationId("nobody")
        uplink.post(nobody, Request("m", "Heartbeat", b"{}", heard.append))
        assert heard == [Unanswered(Silence.NOT_CONNECTED, was_sent=False)]

    play(tmp_path, script)


# -- commands in the grace ------------------------------------------------------------------------------------------


def test_a_command_in_the_grace_waits_ten_seconds_and_is_rejected(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        station = await world.arrive()
        await world.leave(station)
        await asyncio.sleep(1)
        began = now()
        assert await world.csms.call(CP, "Reset", {"type": "Soft"}) == {"status": "Rejected"}
        assert 9.9 <= now() - began <= 10.5
        assert station.commands == []

    play(tmp_path, script)


def test_where_there_is_no_status_it_is_an_error(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        station = await world.arrive()
        await world.leave(station)
        began = now()
        with pytest.raises(NoAnswer, match="GenericError"):
            await world.csms.call(CP, "SomeVendorsOwn", {})
        assert 9.9 <= now() - began <= 10.5

    play(tmp_path, script)


def test_a_command_in_a_blip_reaches_the_station_that_comes_back(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        station = await world.arrive()
        assert station.wire
        station.wire.socket.cut()
        await asyncio.sleep(0.2)
        assert await world.csms.call(CP, "Reset", {"type": "Soft"}) == {"status": "Accepted"}
        assert station.commands == [("Reset", {"type": "Soft"})]

    play(tmp_path, script)


def test_a_command_while_draining_is_rejected_too(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        await booked_offline(world)
        world.csms.delay_s = lambda action: 5.0
        world.csms.mend()
        await until(lambda: world.link() is not None, 60)
        assert await world.csms.call(CP, "Reset", {"type": "Soft"}) == {"status": "Rejected"}

    play(tmp_path, script)


def test_no_command_goes_down_after_its_deadline(tmp_path: Path) -> None:
    """With `call_timeout_s` under the 10 s of the grace; the session sends without looking at `send_by`."""

    async def script(world: LinkWorld) -> None:
        station = await world.arrive()
        await world.leave(station)
        asking = asyncio.create_task(world.csms.call(CP, "Reset", {"type": "Soft"}))
        await asyncio.sleep(6)
        station = await world.arrive()
        answer = await asking
        assert station.commands == []
        assert answer == {"status": "Rejected"}

    play(tmp_path, script, options=replace(SiteOptions(), call_timeout_s=5.0))


# -- suspicion ------------------------------------------------------------------------------------------------------


def test_after_one_exhausted_budget_waiting_is_half_a_second_until_anything_comes(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        station = await world.arrive()

        async def takes() -> float:
            began = now()
            await station.authorize("TAG")
            return now() - began

        assert await takes() < 1
        world.csms.script = lambda cp, action, payload: "silent"
        world.csms.delay_s = lambda action: 1e6 if action == "Authorize" else 0.05
        assert 4 <= await takes() < 4.5
        assert world.state() is LinkState.SUSPECT
        assert 0.5 <= await takes() < 1
        assert 0.5 <= await takes() < 1
        await world.csms.call(CP, "Reset", {"type": "Soft"})
        assert world.state() is LinkState.UP
        assert 4 <= await takes() < 4.5

    play(tmp_path, script)


def test_a_new_link_is_not_suspect(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        await world.arrive()
        assert world.assembly
        world.assembly.site.uplink.suspect(CP)
        world.assembly.site.uplink.suspect(StationId("nobody"))
        assert world.state() is LinkState.SUSPECT
        world.link().wire.socket.cut()
        await asyncio.sleep(0.2)
        await until(world.is_up, 60)
        assert world.state() is LinkState.UP

    play(tmp_path, script)


# -- versions -------------------------------------------------------------------------------------------------------
