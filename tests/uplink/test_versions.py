"""Which OCPP version is spoken upstream, and what becomes of messages of another one."""

import asyncio
import random
from pathlib import Path

import pytest

from gateway.clock import Clock
from gateway.model.ids import StationId
from gateway.site import Site
from gateway.site_options import SiteOptions
from gateway.uplink.per_station import PerStation, PerStationOptions
from tests.sim.world import World
from tests.uplink.link_world import CP, LinkWorld, booked_offline, now, play, until


@pytest.mark.parametrize(
    ("versions", "offers", "chosen"),
    [
        ((), [], None),
        ((), ["ocpp9"], None),
        ((), ["ocpp1.6"], "ocpp1.6"),
        ((), ["ocpp9", "ocpp2.0.1"], "ocpp2.0.1"),
        (("1.6",), ["ocpp2.0.1", "ocpp1.6"], "ocpp1.6"),
        (("1.6",), ["ocpp2.1", "ocpp2.0.1"], "ocpp2.1"),
        (("2.0.1",), ["ocpp2.1"], None),
        (("2.0.1",), ["ocpp2.1", "ocpp1.6"], "ocpp1.6"),
        (("2.1",), ["ocpp1.6"], "ocpp1.6"),
        (("2.0.1", "1.6"), ["ocpp1.6", "ocpp2.0.1"], "ocpp1.6"),
    ],
)
async def test_the_first_offer_that_is_spoken_upstream_is_chosen_or_one_that_can_be_translated(
    tmp_path: Path, versions: tuple[str, ...], offers: list[str], chosen: str | None
) -> None:
    site = Site(SiteOptions(), Clock(), random.Random(1))
    uplink = PerStation(site, PerStationOptions(versions=versions), World(tmp_path, 1))
    assert await uplink.negotiate(CP, offers) == chosen


def test_with_nothing_learned_the_offers_are_tried_upstream(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        assert world.assembly
        uplink = world.assembly.site.uplink
        assert await uplink.negotiate(CP, ["ocpp2.0.1", "ocpp1.6"]) == "ocpp2.0.1"
        assert now() < 5
        assert len(world.attempts) == 1
        assert await uplink.negotiate(CP, ["ocpp1.6", "ocpp2.0.1"]) == "ocpp2.0.1"
        assert len(world.attempts) == 1

    play(tmp_path, script)


def test_a_csms_that_is_away_costs_five_seconds_and_the_first_offer_is_taken(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        assert world.assembly
        world.csms.cut()
        await asyncio.sleep(1)
        began = now()
        chosen = await world.assembly.site.uplink.negotiate(CP, ["ocpp1.6", "ocpp2.0.1"])
        assert (chosen, now() - began <= 5.01) == ("ocpp1.6", True)

    play(tmp_path, script)


def test_a_station_that_was_upgraded_is_served(tmp_path: Path) -> None:
    """It now speaks 2.0.1 only: the link of the old version goes, not the station."""

    async def script(world: LinkWorld) -> None:
        station = await world.arrive("1.6")
        await world.leave(station)
        station = world.add(CP, "2.0.1")
        await asyncio.sleep(900)
        assert world.link() is not None
        assert world.link().wire.socket.subprotocol == "ocpp2.0.1"
        assert station.wire is not None

    play(tmp_path, script)


def test_messages_of_a_version_the_csms_refuses_go_up_translated(tmp_path: Path) -> None:
    """The station has learned 2.0.1 meanwhile, the CSMS has forgotten 1.6."""

    async def script(world: LinkWorld) -> None:
        await booked_offline(world)
        world.csms.versions = ("2.0.1",)
        world.csms.mend()
        station = world.add(CP, "2.0.1")
        await until(lambda: world.is_up() and not world.queue(), 600)
        await station.session("TAG", values=1, interval_s=60)
        await station.drained()
        await asyncio.sleep(60)
        assert world.queue() == []
        events = [payload for _, action, payload in world.csms.calls if action == "TransactionEvent"]
        assert [event["seqNo"] for event in events] == [0, 1, 2, 3, 4, 0, 1, 2]
        assert [event.get("offline", False) for event in events] == [True] * 5 + [False] * 3
        assert not any(action == "StartTransaction" for _, action, _ in world.csms.calls)

    play(tmp_path, script)


def test_messages_that_nobody_can_translate_are_set_aside_and_the_station_goes_on(tmp_path: Path) -> None:
    """2.0.1 and 2.1 are not translated into each other."""

    async def script(world: LinkWorld) -> None:
        await booked_offline(world, "2.0.1")
        world.refuses = {"ocpp1.6", "ocpp2.0.1"}
        world.csms.mend()
        station = world.add(CP, "2.1")
        await until(world.is_up, 600)
        assert world.link().wire.socket.subprotocol == "ocpp2.1"
        assert world.assembly
        parked = world.assembly.site.station(CP).parked
        assert [row.dialect for row in parked.values()] == ["2.0.1"] * 5
        await station.session("TAG", values=1, interval_s=60)
        await station.drained()
        await asyncio.sleep(60)
        assert world.queue() == []
        assert len(parked) == 5

    play(tmp_path, script)


def test_messages_of_the_old_version_drain_first_on_a_link_of_their_own(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        await booked_offline(world)
        station = world.add(CP, "2.0.1")
        await asyncio.sleep(30)
        world.csms.mend()
        await until(lambda: world.link() is not None, 120)
        assert world.link().wire.socket.subprotocol == "ocpp1.6"
        await asyncio.sleep(300)
        assert world.queue() == []
        assert world.link().wire.socket.subprotocol == "ocpp2.0.1"
        assert await station.authorize("TAG") == "Accepted"

    play(tmp_path, script)


def test_passwords_of_stations_come_before_the_common_one() -> None:
    options = PerStationOptions(password=b"common", passwords={"CP-2": b"own"})
    assert [options.password_of(StationId(name)) for name in ("CP-1", "CP-2")] == [b"common", b"own"]
    assert PerStationOptions().password_of(CP) is None


# -- what was refused -----------------------------------------------------------------------------------------------


def test_a_csms_that_was_sick_for_a_while_gets_everything_afterwards(tmp_path: Path) -> None:
    """Ten minutes of CALLERRORs to everything; then the CSMS is well again."""

    async def script(world: LinkWorld) -> None:
        station = await world.arrive()
        world.csms.script = lambda cp, action, payload: "refuse"
        await station.session("TAG", values=1, interval_s=60)
        await asyncio.sleep(600)
        world.csms.script = lambda cp, action, payload: "answer"
        async with asyncio.timeout(4 * 3600):
            await world.drained()
        assert world.assembly
        assert world.assembly.site.station(CP).parked == {}

    play(tmp_path, script)


def test_what_was_set_aside_is_sent_again_on_the_next_link(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        station = await world.arrive()
        assert world.assembly
        site = world.assembly.site
        world.csms.script = lambda cp, action, payload: "refuse" if "BAD" in str(payload) else "answer"
        await station.session("BAD", values=0, interval_s=1)
        await station.session("GOOD", values=0, interval_s=1)
        await until(lambda: bool(site.station(CP).parked) and not site.station(CP).queue, 2 * 3600)
        before = len(world.csms.calls)
        world.csms.script = lambda cp, action, payload: "answer"
        world.link().wire.socket.cut()
        await asyncio.sleep(1800)
        again = [action for _, action, payload in world.csms.calls[before:] if "BAD" in str(payload)]
        assert "StartTransaction" in again
        assert site.station(CP).parked == {}

    play(tmp_path, script)
