"""The gateway is killed between two writes that belong together: what is on disk must not contradict itself, nor what
the CSMS and the stations have heard."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.flows import install, numbers, operator
from gateway.model.ids import StationId
from gateway.model.records import ProfileRow, Put
from gateway.model.settings import Key, Setting
from gateway.site import Site
from gateway.site_options import SiteOptions
from gateway.smartcharging.profiles import to_json
from tests.sim.csms import TRANSACTION_ACTIONS
from tests.sim.peer import Wire
from tests.sim.test_balance import Scene, plan, plan_keys
from tests.sim.test_balance import play as play_scene
from tests.sim.world import World
from tests.uplink import site_world
from tests.uplink.link_world import CP, LinkWorld, booked_offline, play, until
from tests.uplink.site_world import SeenWorld


@pytest.mark.parametrize("is_replaced", [True, False])
def test_numbers_move_with_the_last_delivery(tmp_path: Path, is_replaced: bool) -> None:
    """A row that the outbox on disk does not know to be delivered would go up under numbers that are another's now."""
    old, new = StationId("CP-0"), StationId("CP-8")

    async def script(world: SeenWorld) -> None:
        await world.arrive(1)
        station, site = world.stations.pop(old), world.site
        wire = station.wire
        assert wire
        begun = {
            "eventType": "Started",
            "seqNo": 0,
            "triggerReason": "CablePluggedIn",
            "timestamp": "2026-03-01T08:00:01Z",
        }
        goes_on = {**begun, "eventType": "Updated", "seqNo": 1, "triggerReason": "ChargingStateChanged"}
        same = {
            "transactionInfo": {"transactionId": "T-1", "chargingState": "EVConnected"},
            "evse": {"id": 1, "connectorId": 1},
        }
        for number, event in enumerate((begun, goes_on)):
            await wire.call(f"m-{number}", "TransactionEvent", {**event, **same})
        world._tasks.pop().cancel()  # the charger goes for good
        wire.socket.cut()
        await until(lambda: site.station(old).port is None and not site.station(old).queue, 0.5)
        await (numbers.replaced(site, old, new) if is_replaced else numbers.removed(site, old))
        places = site.numbering.places()
        await world.crash()
        world.csms.calls.clear()
        await world.start()
        await asyncio.sleep(60)
        assert world.site.numbering.places() == places
        assert world.told("TransactionEvent") == []

    site_world.play(tmp_path, "2.0.1", script)


def test_a_ceiling_that_is_raised_while_a_fallback_is_asked_for_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an unproven station may hold if the gateway dies: the next life counts with no less."""
    seen: dict[str, Any] = {}
    raised_a = 17.0

    async def act(scene: Scene) -> None:
        await asyncio.sleep(30)
        assert scene.world.assembly
        site, key, first = scene.world.assembly.site, plan_keys()[0], scene.stations[0]
        scene.tasks.append(asyncio.create_task(first.session("T-1", 60, 5.0)))
        await asyncio.sleep(20)

        async def is_gone(site: Site, *_: Any) -> bool:
            """The walk raises it meanwhile."""
            if "asked" in seen:
                return True
            await site.commit([Put(replace(site.charging.connector(key), ceiling_a=raised_a))])
            site.balancer.noted[key] = raised_a
            seen["asked"] = True
            return False

        monkeypatch.setattr(install, "_holds", is_gone)
        first.reboot()
        await until(lambda: "asked" in seen, 60)
        await asyncio.sleep(0.5)
        seen["noted"] = site.balancer.noted[key]
        seen["on disk"] = site.charging.connector(key).ceiling_a

    play_scene(tmp_path, monkeypatch, act, plan(proven=False))
    assert seen["on disk"] == seen["noted"] == raised_a


def test_a_station_that_is_called_proven_no_more_may_hold_what_it_was_leased(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its leases do not end, which is why the configuration was changed; and the car may take more at any moment."""
    seen: list[float] = []

    async def act(scene: Scene) -> None:
        await asyncio.sleep(30)
        first = scene.stations[0]
        scene.tasks.append(asyncio.create_task(first.session("T-1", 600, 5.0)))
        await until(lambda: first.limit_a() > 6.0, 120)
        await scene.world.crash()
        monkeypatch.setattr(first, "current_a", lambda: 0.0)
        scene.world.options = replace(scene.world.options, plan=plan(proven=False))
        await scene.world.start()
        assert scene.world.assembly
        balancer = scene.world.assembly.site.balancer
        await until(lambda: balancer.decision is not None, 10)
        assert balancer.decision
        seen.extend(max(view.static_a) for view in balancer.decision.views if view.key == plan_keys()[0])

    play_scene(tmp_path, monkeypatch, act, plan())
    assert seen == [32.0]


def test_a_card_shown_in_mid_session_is_still_the_csms_s_to_judge(tmp_path: Path) -> None:
    """Killed before it could answer, the gateway knows no more of the card than before: the station says it again, and
    the CSMS is there."""
    heard: list[Any] = []

    async def script(world: LinkWorld) -> None:
        station = await world.arrive("2.0.1")
        assert station.wire
        await station.wire.call("m-0", "TransactionEvent", _event("Started", 0, "CablePluggedIn"))
        world.csms.delay_s = lambda action: 5.0 if action == "TransactionEvent" else 0.1
        shown = _event("Updated", 1, "Authorized") | {"idToken": {"idToken": "TAG", "type": "ISO14443"}}
        asked = asyncio.create_task(station.wire.call("m-1", "TransactionEvent", shown))
        await until(lambda: len(_of_sessions(world)) == 2, 10)
        await world.crash()
        await asyncio.gather(asked, return_exceptions=True)
        station._tell_status = _nothing  # type: ignore[method-assign]
        await world.start()
        await station.ready()
        heard.append(await station.wire.call("m-2", "TransactionEvent", shown))

    play(tmp_path, script, options=SiteOptions())
    assert heard == [{"idTokenInfo": {"status": "Accepted"}}]


def _event(kind: str, seq_no: int, trigger: str) -> dict[str, Any]:
    return {
        "eventType": kind,
        "seqNo": seq_no,
        "triggerReason": trigger,
        "timestamp": "2026-03-01T08:00:01Z",
        "transactionInfo": {"transactionId": "T-1", "chargingState": "EVConnected"},
        "evse": {"id": 1, "connectorId": 1},
    }


async def _nothing(wire: Wire, status: str) -> str:
    return ""


def _of_sessions(world: World) -> list[Any]:
    return [payload for _, action, payload in world.csms.calls if action in TRANSACTION_ACTIONS]


def test_a_connector_s_number_is_kept_before_the_csms_hears_it(tmp_path: Path) -> None:
    """A 1.6 CSMS has one number for each cable of a 2.x station, for good."""

    async def script(world: LinkWorld) -> None:
        world.csms.versions = ("1.6",)
        station = await world.arrive("2.0.1")

        async def tell(evse: int, connector: int) -> None:
            assert station.wire
            payload = {"timestamp": "2026-03-01T08:00:01Z", "connectorStatus": "Available", "evseId": evse}
            await station.wire.call(f"s-{evse}-{connector}", "StatusNotification", payload | {"connectorId": connector})

        await tell(1, 2)
        await world.crash()
        await asyncio.sleep(1)
        world.csms.calls.clear()
        await world.start()
        await until(lambda: station.wire is None, 5)
        await station.ready()
        await until(world.is_up, 30)
        await asyncio.sleep(1)
        await tell(2, 1)
        await tell(1, 2)

    world = play(tmp_path, script)
    told = [payload["connectorId"] for _, action, payload in world.csms.calls if action == "StatusNotification"]
    assert told == [1, 3, 2]


def test_a_boot_that_was_answered_is_not_forgotten(tmp_path: Path) -> None:
    """What ran before it, at a station that says it is free, has ended."""

    async def script(world: LinkWorld) -> None:
        station = await world.arrive("1.6")
        assert station.wire
        start = {"connectorId": 1, "idTag": "TAG", "meterStart": 1, "timestamp": "2026-03-01T08:00:01Z"}
        await station.wire.call("m-0", "StartTransaction", start)
        says_nothing = station._tell_status
        station._tell_status = _nothing  # type: ignore[method-assign]
        station.reboot()
        await until(lambda: len(station.boot_answers) == 2, 30)
        await world.crash()
        station._tell_status = says_nothing  # type: ignore[method-assign]
        await world.start()
        await asyncio.sleep(30)
        assert world.assembly
        assert world.assembly.site.ledger.running(CP) == []

    play(tmp_path, script)


def test_a_refusal_at_the_repeat_of_a_started_stops_its_session(tmp_path: Path) -> None:
    """The station had its Accepted before the gateway was killed, and does not ask again; the outbox does."""

    async def script(world: LinkWorld) -> None:
        station = await world.arrive("2.0.1")
        session = asyncio.create_task(station.session("TAG", values=60, interval_s=60))
        await until(lambda: station._running is not None and station._running.status == "Accepted", 60)
        await world.crash()
        world.csms.verdicts["TAG"] = "Blocked"
        await world.start()
        async with asyncio.timeout(600):
            assert (await session).stopped.is_set()

    play(tmp_path, script)


@pytest.mark.parametrize("is_overtaken", [True, False])
def test_an_old_status_is_not_told_after_a_newer(tmp_path: Path, is_overtaken: bool) -> None:
    """It waited for the CSMS; the newer comes while it goes up, or right after."""

    async def script(world: LinkWorld) -> None:
        station = await world.arrive("1.6")
        world.csms.cut()
        await asyncio.sleep(5)
        await station.tell_status("Faulted")
        world.csms.delay_s = lambda action: 1.0 if is_overtaken else 0.01
        world.csms.mend()
        await until(lambda: world.csms.calls[-1][2].get("status") == "Faulted", 60)
        await asyncio.sleep(0 if is_overtaken else 0.15)
        await station.tell_status("Available")
        await world.leave(station)
        await world.crash()
        assert world.csms.calls.pop()[2]["status"] == "Available"
        world.csms.calls.clear()
        await world.start()
        back = world.add(CP, "1.6")
        back._has_booted, back._tell_status = True, _nothing  # type: ignore[method-assign]
        await asyncio.sleep(30)

    world = play(tmp_path, script)
    assert [payload["status"] for _, action, payload in world.csms.calls if action == "StatusNotification"] == []


def test_an_accepted_that_its_station_never_heard_outlives_a_restart(tmp_path: Path) -> None:
    """With its cache switched off only the ledger can know of it: the session is not to be judged anew."""
    heard: list[Any] = []

    async def script(world: LinkWorld) -> None:
        station = await world.arrive("2.0.1")
        assert station.wire
        started = _event("Started", 0, "Authorized") | {"idToken": {"idToken": "TAG", "type": "ISO14443"}}
        assert world.assembly
        await world.assembly.site.commit([Put(Setting(CP, Key.CACHE_ENABLED, "false", None))])
        world.csms.delay_s = lambda action: 0.5
        asked = asyncio.create_task(station.wire.call("m-0", "TransactionEvent", started))
        await until(lambda: len(_of_sessions(world)) == 1, 10)
        station.wire.socket.cut()
        await asyncio.sleep(2)
        assert world.queue() == []
        await world.crash()
        await asyncio.gather(asked, return_exceptions=True)
        await world.start()
        await until(lambda: station.wire is not None, 30)
        await station.ready()
        heard.append(await station.wire.call("m-1", "TransactionEvent", started))

    play(tmp_path, script, options=SiteOptions())
    assert heard == [{"idTokenInfo": {"status": "Accepted"}}]


async def _killed_with_one_sent(world: LinkWorld, version: str) -> None:
    """Of the messages that were booked offline."""
    await booked_offline(world, version)
    world.csms.script = lambda station, action, _: "silent" if action in TRANSACTION_ACTIONS else "answer"
    world.csms.mend()
    await until(lambda: len(_of_sessions(world)) == 1, 600)
    await world.crash()


def test_what_may_have_gone_up_is_listed_though_it_was_set_aside_since(tmp_path: Path) -> None:
    """Sent, killed, refused for its version, killed, tried again: the CSMS has it twice, and the list says so."""

    async def script(world: LinkWorld) -> None:
        await _killed_with_one_sent(world, "2.0.1")
        world.refuses = {"ocpp1.6", "ocpp2.0.1"}
        await world.start()
        world.add(CP, "2.1")
        await until(lambda: len(_site(world).station(CP).parked) == 5, 600)
        await asyncio.sleep(2)
        await world.crash()
        world.refuses, world.csms.script = set(), lambda station, action, payload: "answer"
        await world.start()
        await until(world.is_up, 600)
        await operator.retry(_site(world), list(_site(world).station(CP).parked.values()))
        await until(lambda: len(_of_sessions(world)) == 6, 600)
        assert [one.action for one in _site(world).unknown_outcomes.values()][:1] == ["TransactionEvent"]

    world = play(tmp_path, script)
    first, again, *_ = _of_sessions(world)
    assert first == again


def _site(world: World) -> Site:
    assert world.assembly
    return world.assembly.site


def test_a_session_s_profile_does_not_outlive_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's end is on disk, the end of its profile is not yet: nobody sees the session end any more."""
    seen: dict[str, Any] = {}
    limit = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 10.0}]}
    same = {"chargingProfileId": 7, "stackLevel": 1, "chargingProfileKind": "Relative", "chargingSchedule": limit}

    async def act(scene: Scene) -> None:
        await asyncio.sleep(30)
        scene.tasks.append(asyncio.create_task(scene.stations[0].session("T-1", 12, 5.0)))
        await asyncio.sleep(20)
        site, station = _site(scene.world), StationId("CP-1")
        payload = {"connectorId": 1, "csChargingProfiles": {**same, "chargingProfilePurpose": "TxProfile"}}
        seen["said"] = await scene.world.csms.call(station, "SetChargingProfile", payload)
        [held] = site.charging.profiles(station).held
        await until(lambda: not site.ledger.running(station), 120)
        await asyncio.sleep(2)
        assert site.charging.profiles(station).held == ()
        await site.commit([Put(ProfileRow(station, held.key, to_json(held)))])  # as if its end had not been written
        scene.meters.cancel()
        await scene.world.crash()
        await scene.world.start()
        await asyncio.sleep(5)
        seen["left"] = _site(scene.world).charging.profiles(station).held

    play_scene(tmp_path, monkeypatch, act)
    assert seen == {"said": {"status": "Accepted"}, "left": ()}


def test_a_refused_sample_goes_again_as_it_was(tmp_path: Path) -> None:
    """It was never written before; what was sent is frozen all the same."""
    refused: list[Any] = []

    def refuse_one(station: str, action: str, payload: Any) -> str:
        if payload.get("eventType") != "Updated" or refused:
            return "answer"
        refused.append(payload)
        return "refuse"

    async def script(world: LinkWorld) -> None:
        world.csms.script = refuse_one
        station = await world.arrive("2.0.1")
        session = asyncio.create_task(station.session("TAG", values=2, interval_s=5))
        await until(lambda: bool(refused), 60)
        await asyncio.sleep(1)
        world.csms.cut()
        await session
        await station.drained()
        await world.crash()
        world.csms.mend()
        await world.start()
        await until(lambda: not world.waiting(), 600)

    again = [payload for payload in _of_sessions(play(tmp_path, script)) if payload["seqNo"] == 1]
    assert again == refused * 2


def test_what_may_have_gone_up_is_listed_though_it_was_dropped(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        await _killed_with_one_sent(world, "1.6")
        world.csms.cut()
        await world.start()
        site = _site(world)
        dropped = await operator.drop(site, [next(iter(site.station(CP).queue))])
        assert (dropped[0].action, len(dropped)) == ("StartTransaction", 5)
        assert [one.message_id for one in site.unknown_outcomes.values()] == [dropped[0].message_id]

    play(tmp_path, script)


def test_a_remote_start_s_profile_survives_a_start_that_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What never was on disk never began, and so has not ended either."""
    seen: dict[str, Any] = {}
    limit = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 10.0}]}
    kind = {"chargingProfilePurpose": "TxProfile", "chargingProfileKind": "Relative"}
    profile = {"chargingProfileId": 7, "stackLevel": 1, **kind, "chargingSchedule": limit}

    async def act(scene: Scene) -> None:
        await asyncio.sleep(30)
        site, station = _site(scene.world), StationId("CP-1")
        payload = {"connectorId": 1, "idTag": "T-1", "chargingProfile": profile}
        await scene.world.csms.call(station, "RemoteStartTransaction", payload)
        await asyncio.sleep(2)
        scene.world.commit_delay_s = scene.world.runner._delay_s = lambda: 0.5
        scene.tasks.append(asyncio.create_task(scene.stations[0].session("T-1", 60, 5.0)))
        await until(lambda: bool(site.ledger.running(station)), 10)
        scene.world.runner.fails = True
        await asyncio.sleep(10)
        scene.world.runner.fails = False
        scene.world.commit_delay_s = lambda: 0.005
        await until(lambda: not site.ledger.running(station), 60)
        await asyncio.sleep(60)
        seen["held"] = [held.transaction for held in site.charging.profiles(station).held]
        seen["running"] = [one.key for one in site.ledger.running(station)]

    play_scene(tmp_path, monkeypatch, act)
    assert seen["held"] == seen["running"] != []
