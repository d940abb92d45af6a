"""Stations of both versions behind the site as one station, on virtual time: CP-1 speaks another one than the CSMS."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.history import Created
from gateway.flows import site_facts
from gateway.model.ids import StationId
from gateway.ports import LinkState
from tests.sim.one_station import SITE
from tests.uplink.site_world import OTHER, VERSIONS, SeenWorld, limit, plan, play, until

CP1 = StationId("CP-1")
LONG = "DE-8AA-CA2B3C4D5-0123456789-LONG"


def transactions(world: SeenWorld, number: int) -> list[Any]:
    """Ids of the transactions that began at a number."""
    if world.version == "1.6":
        starts = [payload for payload in world.told("StartTransaction") if payload["connectorId"] == number]
        given = iter(range(101, 1000))
        ids = [next(given) for _ in world.told("StartTransaction")]
        return [tx for tx, payload in zip(ids, world.told("StartTransaction"), strict=True) if payload in starts]
    events = [one for one in world.told("TransactionEvent") if one["eventType"] == "Started"]
    return [one["transactionInfo"]["transactionId"] for one in events if one["evse"]["id"] == number]


@pytest.mark.parametrize("version", VERSIONS)
def test_sessions_at_once_through_an_outage_and_a_crash(tmp_path: Path, version: str) -> None:
    async def script(world: SeenWorld) -> None:
        await world.arrive(4)
        sessions = [asyncio.create_task(one.session(f"T{one.identity[-1]}", 8, 30)) for one in world.stations.values()]
        await asyncio.sleep(50)
        world.csms.cut()
        await asyncio.sleep(40)
        await world.crash()
        await world.start()
        await asyncio.sleep(40)
        world.csms.mend()
        await asyncio.gather(*sessions)
        await world.drained()

    world = play(tmp_path, version, script, is_mixed=True)
    report = world.verdict()
    assert (report.findings, report.transactions, report.lost, report.duplicated) == ([], 4, 0, 0)
    assert {one.version for station in world.stations.values() for one in station.history.records
            if isinstance(one, Created)} == {"1.6", "2.0.1"}  # fmt: skip
    assert {number for number in world.numbers("StatusNotification") if number} == {1, 2, 3, 4}


@pytest.mark.parametrize("version", VERSIONS)
def test_commands_find_a_translated_station(tmp_path: Path, version: str) -> None:
    is_16 = version == "1.6"

    async def script(world: SeenWorld) -> None:
        await world.arrive(3)
        translated = world.stations["CP-1"]
        running = asyncio.create_task(translated.session("TAG", 50, 30))
        await until(lambda: transactions(world, 2))
        (tx,) = transactions(world, 2)
        await until(lambda: [world.site.csms_id(own) for own in world.site.ledger.transactions.values()] == [str(tx)])
        stop, unknown = ("RemoteStopTransaction", 5) if is_16 else ("RequestStopTransaction", "CP-1-1")
        assert (await world.command(stop, {"transactionId": unknown}))["status"] == "Rejected"
        assert (await world.command(stop, {"transactionId": tx}))["status"] == "Accepted"
        assert (await running).stopped.is_set()
        await translated.drained()

        everywhere = {"connectorId": 0, "type": "Operative"} if is_16 else {"operationalStatus": "Operative"}
        assert (await world.command("ChangeAvailability", everywhere))["status"] == "Accepted"
        asked = [next(said for action, said in reversed(one.commands) if action == "ChangeAvailability")
                 for one in world.stations.values()]  # fmt: skip
        assert ["operationalStatus" in one for one in asked] == [not is_16, is_16, not is_16]

        begin = {"connectorId": 2, "idTag": "T"} if is_16 else {
            "evseId": 2, "idToken": {"idToken": "T", "type": "Central"}, "remoteStartId": 8}  # fmt: skip
        start = "RemoteStartTransaction" if is_16 else "RequestStartTransaction"
        assert (await world.command(start, begin))["status"] == "Accepted"
        action, said = translated.commands[-1]
        assert (action, said.get("evseId") or said.get("connectorId")) == (
            "RequestStartTransaction" if is_16 else "RemoteStartTransaction", 1)  # fmt: skip

        reset = {"type": "Soft"} if is_16 else {"type": "OnIdle"}
        assert (await world.command("Reset", reset))["status"] in ("Accepted", "Scheduled")
        await until(lambda: translated.commands[-1] == ("Reset", {"type": "Immediate"} if is_16 else {"type": "Soft"}))

    play(tmp_path, version, script, is_mixed=True)


def test_a_report_of_the_whole_site_has_the_translated_station_s_part(tmp_path: Path) -> None:
    async def script(world: SeenWorld) -> None:
        await world.arrive(3)
        asked = {"requestId": 8, "reportBase": "FullInventory"}
        assert await world.command("GetBaseReport", asked) == {"status": "Accepted"}
        data = {"component": {"name": "C"}, "variable": {"name": "v"}, "variableAttribute": [{"value": "1"}]}
        part = {"requestId": 8, "generatedAt": "2026-03-01T08:00:00Z", "seqNo": 0, "reportData": [data]}
        await asyncio.sleep(1)
        for name in ("CP-0", "CP-2"):
            wire = world.stations[name].wire
            assert wire
            assert await wire.call("r1", "NotifyReport", part) == {}
        await until(lambda: [one for one in world.told("NotifyReport") if "tbc" not in one])
        told = world.told("NotifyReport")
        assert [one["seqNo"] for one in told] == list(range(len(told)))
        assert [one.get("tbc", False) for one in told] == [True] * (len(told) - 1) + [False]
        found = [entry["component"] for one in told for entry in one["reportData"]]
        heads = {one["instance"].split(":")[0] for one in found if "instance" in one} | {
            str(one["evse"]["id"]) for one in found if "evse" in one
        }
        assert heads == {"1", "2", "3"}
        assert any(action == "GetConfiguration" for action, _ in world.stations["CP-1"].commands)

    play(tmp_path, "2.0.1", script, is_mixed=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_status_of_a_translated_station_through_its_absence_and_a_crash(tmp_path: Path, version: str) -> None:
    async def script(world: SeenWorld) -> None:
        await world.arrive(3)
        session = asyncio.create_task(world.stations["CP-1"].session("TAG", 60, 30))
        await until(lambda: last_status(world, 2) in ("Occupied", "Charging"))
        before = last_status(world, 2)
        assert world.stations["CP-1"].wire
        there, world.dial = world.dial, _nobody  # type: ignore[method-assign]  # it can't come back
        world.stations["CP-1"]._dial = _nobody
        world.stations["CP-1"].wire.socket.cut()
        await until(lambda: last_status(world, 2) == "Unavailable")
        world.dial = there  # type: ignore[method-assign]  # now it can
        world.stations["CP-1"]._dial = there
        await until(lambda: last_status(world, 2) == before)
        await world.crash()
        world.csms.calls.clear()
        await world.start()
        await until(lambda: last_status(world, 2) == before and last_status(world, 1) == "Available")
        session.cancel()

    play(tmp_path, version, script, is_mixed=True)


async def _nobody(identity: str, subprotocol: str) -> None:
    await asyncio.sleep(1)


def last_status(world: SeenWorld, number: int) -> str | None:
    found = [payload for payload in world.told("StatusNotification") if world.number(payload) == number]
    return (found[-1].get("status") or found[-1]["connectorStatus"]) if found else None


@pytest.mark.parametrize("version", VERSIONS)
def test_a_station_comes_back_with_the_other_version(tmp_path: Path, version: str) -> None:
    """New firmware, in the middle of an outage: what is queued goes up as it was said, what it says now likewise."""

    async def script(world: SeenWorld) -> None:
        await world.arrive(2)
        site, changed = world.site, world.stations["CP-1"]
        world.csms.cut()
        await changed.session("OLD", 2, 30)
        await changed.drained()
        changed.version = version
        changed.reboot()
        await until(lambda: site.station(CP1).port and site.station(CP1).record.dialect == version)
        await changed.session("NEW", 2, 30)
        world.csms.mend()
        await world.drained()
        await until(lambda: len(transactions(world, 2)) == 2)
        assert site.uplink.state(CP1) is LinkState.UP
        spoken = site.uplink.dialect(CP1)
        assert spoken is not None
        assert spoken.name == version
        await world.command("Reset", {"type": "Hard"} if version == "1.6" else {"type": "Immediate"})
        action, said = changed.commands[-1]
        assert (action, said) == ("Reset", {"type": "Hard"} if version == "1.6" else {"type": "Immediate"})

    world = play(tmp_path, version, script, is_mixed=True)
    queued = {"CP-1-1", "CP-1-2"}
    made = {one.transaction for one in world.stations["CP-1"].history.records if isinstance(one, Created)}
    assert made == queued


def test_an_alias_in_the_site_s_list_is_the_token_itself_where_it_can_be_read(tmp_path: Path) -> None:
    async def script(world: SeenWorld) -> None:
        await world.arrive(2)
        assert await world.stations["CP-1"].authorize(LONG) == "Accepted"
        (alias,) = {one["idTag"] for one in world.told("Authorize")}
        assert len(alias) <= 20
        entry = {"idTag": alias, "idTagInfo": {"status": "Accepted"}}
        full = {"listVersion": 4, "updateType": "Full", "localAuthorizationList": [entry]}
        assert await world.command("SendLocalList", full) == {"status": "Accepted"}
        lists = world.site.tokens.lists
        tokens = [
            one.token.value
            for name in ("CP-0", "CP-1")
            for one in lists.entries(lists.of(StationId(name)).digest).values()
        ]
        assert tokens == [alias, LONG]

    play(tmp_path, "1.6", script, is_mixed=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_way_through_speaks_the_station_s_own_version(tmp_path: Path, version: str) -> None:
    async def script(world: SeenWorld) -> None:
        await world.arrive(2)
        asked = {"evse": 2, "payload": {"requestedMessage": "Heartbeat"}}
        data = json.dumps(asked) if version == "1.6" else asked
        transfer = {"vendorId": "ocpp-gateway", "messageId": "TriggerMessage", "data": data}
        assert (await world.command("DataTransfer", transfer))["status"] == "Accepted"
        assert ("TriggerMessage", {"requestedMessage": "Heartbeat"}) in world.stations["CP-1"].commands
        assert SITE in world.csms.connections
        assert OTHER[version] == world.stations["CP-1"].version

    play(tmp_path, version, script, is_mixed=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_limits_of_the_site_and_of_a_translated_connector_are_shared(tmp_path: Path, version: str) -> None:
    is_16 = version == "1.6"

    async def script(world: SeenWorld) -> None:
        await world.arrive(2)
        assert await world.command("SetChargingProfile", limit(version)) == {"status": "Accepted"}
        caps = site_facts.gather(world.site).facts.caps
        assert [(cap.circuit, cap.limit_a) for cap in caps] == [("main", (20.0,) * 3)]
        running = asyncio.create_task(world.stations["CP-1"].session("TAG", 50, 30))
        await until(lambda: transactions(world, 2))
        told = limit(version, "Max")
        own = told["csChargingProfiles" if is_16 else "chargingProfile"]
        own |= {"chargingProfilePurpose": "TxDefaultProfile", "chargingProfileId" if is_16 else "id": 6}
        schedule = own["chargingSchedule"] if is_16 else own["chargingSchedule"][0]
        schedule["chargingSchedulePeriod"] = [{"startPeriod": 0, "limit": 9.0}]
        told["connectorId" if is_16 else "evseId"] = 2
        assert await world.command("SetChargingProfile", told) == {"status": "Accepted"}
        which = {"connectorId": 2} if is_16 else {"evseId": 2}
        answer = await world.command("GetCompositeSchedule", {**which, "duration": 600})
        found = answer["chargingSchedule"] if is_16 else answer["schedule"]
        assert found["chargingSchedulePeriod"][0]["limit"] == 9.0
        written = world.stations["CP-1"].commands
        await until(lambda: '"limit": 9' in json.dumps([one for action, one in written if "Profile" in action]))
        if not is_16:
            for request, asked in ((9, {"evseId": 2}), (10, {})):
                wanted = {"chargingProfilePurpose": "TxDefaultProfile"}
                get = {"requestId": request, "chargingProfile": wanted, **asked}
                assert await world.command("GetChargingProfiles", get) == {"status": "Accepted"}
                await until(lambda number=request: _reported(world, number))  # type: ignore[misc]  # a default
                assert _reported(world, request) == [(2, 6)], asked
        running.cancel()

    play(tmp_path, version, script, plan(2), is_mixed=True)


def _reported(world: SeenWorld, request: int) -> list[tuple[int, int]]:
    parts = [one for one in world.told("ReportChargingProfiles") if one["requestId"] == request]
    return [(one["evseId"], one["chargingProfile"][0]["id"]) for one in parts]
