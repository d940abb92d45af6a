"""Whole sites whose clock is lost, steps, or comes back; on virtual time."""

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.model.ids import StationId
from gateway.model.token import OfflineMode
from gateway.site import Site
from gateway.site_options import SiteOptions
from gateway.timekeeper import TimeOptions
from gateway.web import snapshot
from tests.sim import loop
from tests.sim.station import EPOCH, SimStation
from tests.sim.world import World

CP = StationId("CP-1")
HOUR_S = 3600.0


def play(scene: Coroutine[Any, Any, None]) -> None:
    loop.run(scene, debug=False)


def site_of(world: World) -> Site:
    assert world.assembly is not None
    return world.assembly.site


def trust(site: Site) -> str:
    return site.time.base.trust.value


def true_now() -> datetime:
    return EPOCH + timedelta(seconds=asyncio.get_running_loop().time())


async def told(station: SimStation) -> datetime:
    """The time the station gets for a heartbeat."""
    assert station.wire is not None
    answer = await station.wire.call(f"beat-{asyncio.get_running_loop().time()}", "Heartbeat", {})
    return datetime.fromisoformat(answer["currentTime"])


def off_s(moment: datetime) -> float:
    return (moment - true_now()).total_seconds()


async def accepted_before(world: World, version: str = "1.6") -> None:
    """A station the CSMS took, and a site that has been off since."""
    await world.start()
    station = world.add(CP, version)
    await station.ready()
    await asyncio.sleep(5)
    await world.crash()
    world.csms.cut()
    world.boot = "boot-2"
    world.lose_time()
    station.reboot()


def test_on_estimated_time_a_session_begins_and_ends_on_one_time_base(tmp_path: Path) -> None:
    async def scene(version: str) -> None:
        world = World(tmp_path, 7)
        world.path = tmp_path / f"{version}.db"
        await accepted_before(world, version)
        station = world.stations[CP]
        await asyncio.sleep(10 * HOUR_S)
        await world.start()
        site = site_of(world)
        assert trust(site) == "estimated"
        before = len(station.boot_answers)
        await station.ready()
        answers = station.boot_answers[before:]
        assert [answer["status"] for answer in answers[:-1]] == ["Pending"] * (len(answers) - 1)
        assert len(answers) > 3, "two minutes of waiting"
        given = datetime.fromisoformat(answers[-1]["currentTime"])
        assert given >= EPOCH, "not before the last time that was saved"
        assert off_s(given) < -9 * HOUR_S
        session = asyncio.create_task(station.session("TAG-1", values=10, interval_s=60))
        await asyncio.sleep(90)
        [transaction] = site.ledger.running(CP)
        assert transaction.stamp is not None
        assert site.time.corrected(transaction.stamp) is None
        world.sync_clock()
        await asyncio.sleep(60)
        assert trust(site) == "ntp"
        assert abs(off_s(site.clock.now())) < 1, "the gateway knows the time,"
        kept = await told(station)
        assert off_s(kept) < -9 * HOUR_S, "the station keeps its own,"
        found = snapshot.status(site)["stations"][0]
        assert found["clock"]["given_offset_s"] < -9 * HOUR_S
        dated = site.time.corrected(transaction.stamp)
        assert dated is not None
        assert 100 < (true_now() - dated).total_seconds() < 200, "the books are put right,"
        assert transaction.received is not None
        assert transaction.received < dated - timedelta(hours=9), "and what they said first is kept."
        await world.crash()
        await world.start()
        site = site_of(world)
        assert site.time.base.reason.value.startswith("the system's clock, synchronised")
        await station.ready()
        assert off_s(await told(station)) < -9 * HOUR_S, "also through a restart"
        await session
        await station.drained()
        assert abs(off_s(await told(station))) <= 1.5, "stepped when nothing runs on it any more"
        world.csms.mend()
        await world.drained()
        await world.stop()
        assert world.verdict().findings == []

    for version in ("1.6", "2.0.1"):
        play(scene(version))


def test_a_wrong_step_of_hours_does_not_reach_a_running_transaction(tmp_path: Path) -> None:
    async def scene() -> None:
        world = World(tmp_path, 8)
        await world.start()
        station = world.add(CP, "1.6")
        await station.ready()
        session = asyncio.create_task(station.session("TAG-1", values=10, interval_s=60))
        for step_s in (HOUR_S, -HOUR_S, 20 * 365 * 86_400.0, -EPOCH.timestamp()):
            world.step_s = step_s
            await asyncio.sleep(25)
            assert abs(off_s(await told(station))) <= 1.5
        world.step_s = 0.0
        await session
        await world.drained()
        assert abs(off_s(await told(station))) <= 1.5
        await world.stop()
        assert world.verdict().findings == []

    play(scene())


def test_require_sync_waits_for_the_time_and_the_csms_may_tell_it(tmp_path: Path) -> None:
    async def scene() -> None:
        options = SiteOptions(offline=OfflineMode.ALLOW_UNKNOWN, time=TimeOptions(requires_sync=True))
        world = World(tmp_path, 9, options)
        await accepted_before(world)
        station = world.stations[CP]
        await world.start()
        before = len(station.boot_answers)
        await asyncio.sleep(HOUR_S)
        answers = station.boot_answers[before:]
        assert len(answers) > 10
        assert {answer["status"] for answer in answers} == {"Pending"}
        assert snapshot.status(site_of(world))["clock"]["stations_wait"]
        world.csms.mend()
        async with asyncio.timeout(600):
            await station.ready()
        clock = snapshot.status(site_of(world))["clock"]
        assert (clock["trust"], clock["stations_wait"]) == ("csms", False)
        await world.stop()

    play(scene())


def test_the_floor_rides_along_and_is_where_a_lost_clock_goes_on(tmp_path: Path) -> None:
    async def scene() -> None:
        world = World(tmp_path, 10)
        await world.start()
        station = world.add(CP, "2.0.1")
        await station.ready()
        await asyncio.sleep(2)
        commits = site_of(world).writer.commits
        await asyncio.sleep(10 * HOUR_S)
        assert site_of(world).writer.commits == commits, "time alone is worth no commit"
        await station.session("TAG-1", values=1, interval_s=10)
        await asyncio.sleep(5)
        saved = true_now()
        await world.crash()
        world.boot = "boot-2"
        world.lose_time()
        await world.start()
        time = site_of(world).time
        assert timedelta(0) < saved - time.floor < timedelta(minutes=11)
        assert site_of(world).clock.now() >= time.floor
        await world.stop()

    play(scene())


def test_a_wrong_clock_of_a_station_is_measured_and_its_times_go_up_as_they_are(tmp_path: Path) -> None:
    async def scene() -> None:
        world = World(tmp_path, 11)
        await world.start()
        station = world.add(CP, "1.6")
        station.clock_error_s = 1800.0
        await station.ready()
        await station.session("TAG-1", values=1, interval_s=10)
        await world.drained()
        found = snapshot.status(site_of(world))["stations"][0]["clock"]
        assert found["is_skewed"]
        assert abs(found["skew_s"] - 1800) < 5
        started = next(payload for _, action, payload in world.csms.calls if action == "StartTransaction")
        assert off_s(datetime.fromisoformat(started["timestamp"])) > 1700
        [transaction] = site_of(world).ledger.transactions.values()
        assert transaction.started == started["timestamp"]
        assert transaction.received is not None
        assert off_s(transaction.received) < 0
        await world.stop()

    play(scene())


def test_the_queue_of_a_rejected_station_is_held_also_through_a_restart(tmp_path: Path) -> None:
    async def scene() -> None:
        world = World(tmp_path, 12)
        await world.start()
        station = world.add(CP, "1.6")
        await station.ready()
        world.csms.cut()
        station.reboot()
        await asyncio.sleep(30)
        await station.session("TAG-1", values=1, interval_s=10)
        await station.drained()
        world.csms.boot_status = "Rejected"
        world.csms.mend()
        await asyncio.sleep(30)
        for _ in range(2):
            here = site_of(world).stations[CP]
            assert (here.record.registration, here.is_held, len(here.queue)) == ("Rejected", True, 3)
            calls = len(world.csms.calls)
            await asyncio.sleep(400)
            assert {action for _, action, _ in world.csms.calls[calls:]} == {"BootNotification"}
            await world.crash()
            await world.start()
        world.csms.boot_status = "Accepted"
        await world.drained()
        await world.stop()
        assert world.verdict().findings == []

    play(scene())
