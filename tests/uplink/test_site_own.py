"""What the site as one station is asked itself: settings, password, limit, list, availability, the way through."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import RefusedError
from gateway.flows import numbers, site_facts
from gateway.model.ids import StationId
from gateway.model.reasons import AuditKind
from tests.sim.one_station import SITE
from tests.sim.world import World
from tests.uplink.site_world import VERSIONS, SeenWorld, limit, plan, play, until

ACCEPTED = {"status": "Accepted"}
REJECTED = {"status": "Rejected"}


def caps(world: SeenWorld) -> list[tuple[str, Any]]:
    return [(cap.circuit, cap.limit_a) for cap in site_facts.gather(world.site).facts.caps]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_site_s_limit_caps_the_circuit_and_outlives_a_crash(tmp_path: Path, version: str) -> None:
    async def script(world: SeenWorld) -> None:
        await world.arrive(2)
        assert await world.command("SetChargingProfile", limit(version)) == ACCEPTED
        assert caps(world) == [("main", (20.0, 20.0, 20.0))]
        assert not any(action == "SetChargingProfile" for one in world.stations.values() for action, _ in one.commands)
        which = {"connectorId": 0} if version == "1.6" else {"evseId": 0}
        told = await world.command("GetCompositeSchedule", {**which, "duration": 600})
        schedule = told["chargingSchedule"] if version == "1.6" else told["schedule"]
        assert schedule["chargingSchedulePeriod"][0]["limit"] == 20.0
        await world.crash()
        await world.start()
        await until(lambda: SITE in world.csms.connections and len(world.told("BootNotification")) == 2)
        assert caps(world) == [("main", (20.0, 20.0, 20.0))]
        if version != "1.6":
            asked = {"requestId": 3, "evseId": 0, "chargingProfile": {}}
            assert await world.command("GetChargingProfiles", asked) == ACCEPTED
            await until(lambda: world.told("ReportChargingProfiles"))
            (part,) = world.told("ReportChargingProfiles")
            assert (part["evseId"], part["chargingProfile"][0]["id"]) == (0, 5)
        # By its id, as one of any station's.
        await until(lambda: all(one.wire for one in world.stations.values()))
        cleared = {"id": 5} if version == "1.6" else {"chargingProfileId": 5}
        assert await world.command("ClearChargingProfile", cleared) == ACCEPTED
        assert caps(world) == []

    play(tmp_path, version, script, plan(2))


def test_a_site_that_is_not_shared_as_a_whole_has_no_limit(tmp_path: Path) -> None:
    async def script(world: SeenWorld) -> None:
        await world.arrive(3)  # one of them is in no circuit
        assert await world.command("SetChargingProfile", limit("1.6")) == REJECTED
        assert caps(world) == []
        asked = {"connectorId": 0, "duration": 600}
        assert (await world.command("GetCompositeSchedule", asked)) == REJECTED

    play(tmp_path, "1.6", script, plan(2))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_csms_sets_the_password_of_the_link(tmp_path: Path, version: str) -> None:
    shown: list[bytes | None] = []

    async def script(world: SeenWorld) -> None:
        connect = world.connect

        async def seen(identity: str, subprotocols: Any, password: bytes | None) -> Any:
            shown.append(password)
            return await connect(identity, subprotocols, password)

        world.connect = seen  # type: ignore[method-assign]  # to see what is shown
        await world.arrive(2)
        if version == "1.6":
            change = {"key": "AuthorizationKey", "value": "30" * 16}
            assert await world.command("ChangeConfiguration", change) == ACCEPTED
        else:
            entry = {"component": {"name": "SecurityCtrlr"}, "variable": {"name": "BasicAuthPassword"}}
            data = {"setVariableData": [{"attributeValue": "0" * 16, **entry}]}
            assert (await world.command("SetVariables", data))["setVariableResult"][0]["attributeStatus"] == "Accepted"
        await until(lambda: shown[-1:] == [b"0" * 16])
        await until(lambda: len(world.told("BootNotification")) == 2)
        assert not any("Configuration" in action or "Set" in action for one in world.stations.values()
                       for action, _ in one.commands if action != "GetConfiguration")  # fmt: skip
        before = len(shown)
        await world.crash()
        await world.start()
        await until(lambda: len(shown) > before)
        assert shown[-1] == b"0" * 16

    play(tmp_path, version, script)


def test_settings_of_16_are_the_site_s_or_all_stations(tmp_path: Path) -> None:
    async def script(world: SeenWorld) -> None:
        await world.arrive(2)
        change = {"key": "LocalAuthorizeOffline", "value": "false"}
        assert await world.command("ChangeConfiguration", change) == ACCEPTED
        await world.command("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "77"})
        late = world.add("CP-9", "1.6")  # what was set before it came counts for it, too
        await late.ready()
        await until(lambda: 3 in world.numbers("StatusNotification"))
        assert world.site.columns.switches(StationId("CP-9")).local_offline is False
        rotation = {"key": "ConnectorPhaseRotation", "value": "3.RST"}
        assert await world.command("ChangeConfiguration", rotation) == REJECTED
        assert await world.command("ChangeConfiguration", {"key": "VendorKey", "value": "1"}) == ACCEPTED
        asked = [[payload for action, payload in one.commands if action == "ChangeConfiguration"]
                 for one in world.stations.values()]  # fmt: skip
        assert asked == [[{"key": "VendorKey", "value": "1"}]] * 3
        wanted = ["HeartbeatInterval", "NumberOfConnectors", "LocalAuthorizeOffline", "Nonsense"]
        found = await world.command("GetConfiguration", {"key": wanted})
        values = {key["key"]: key["value"] for key in found["configurationKey"]}
        assert values == {"HeartbeatInterval": "77", "NumberOfConnectors": "3", "LocalAuthorizeOffline": "false"}
        assert found["unknownKey"] == ["Nonsense"]

    play(tmp_path, "1.6", script)


@pytest.mark.parametrize("version", VERSIONS)
def test_one_list_for_the_site_and_for_who_comes_later(tmp_path: Path, version: str) -> None:
    async def script(world: SeenWorld) -> None:
        await world.arrive(2)
        info: dict[str, Any] = {"status": "Accepted"}
        if version == "1.6":
            entry = {"idTag": "A", "idTagInfo": info}
        else:
            info["evseId"] = [2]
            entry = {"idToken": {"idToken": "A", "type": "ISO14443"}, "idTokenInfo": info}
        number = "listVersion" if version == "1.6" else "versionNumber"
        full = {number: 4, "updateType": "Full", "localAuthorizationList": [entry]}
        assert await world.command("SendLocalList", full) == ACCEPTED
        assert await world.command("ClearCache", {}) == ACCEPTED
        late = world.add("CP-9", version)
        await late.ready()
        cleared = world.site.tokens.lists.of(StationId("CP-0")).cache_cleared
        assert cleared is not None
        await until(lambda: world.site.tokens.lists.of(StationId("CP-9")).cache_cleared is not None)
        await until(lambda: world.site.tokens.lists.of(StationId("CP-9")).version == 4)
        assert await world.command("GetLocalListVersion", {}) == {number: 4}
        old = {**full, number: 4, "updateType": "Differential"}
        assert await world.command("SendLocalList", old) == {"status": "VersionMismatch"}
        lists = world.site.tokens.lists
        entries = [next(iter(lists.entries(lists.of(StationId(f"CP-{n}")).digest).values())) for n in (0, 1, 9)]
        said = [(one.verdict.status, one.verdict.evses) for one in entries if one.verdict]
        if version == "1.6":
            assert said == [("Accepted", ())] * 3
        else:
            assert said == [("NotAtThisLocation", ()), ("Accepted", (1,)), ("NotAtThisLocation", ())]

    play(tmp_path, version, script)


def test_the_site_s_own_connector_follows_its_availability(tmp_path: Path) -> None:
    def own(world: SeenWorld) -> list[str]:
        return [one["status"] for one in world.told("StatusNotification") if one["connectorId"] == 0]

    async def script(world: SeenWorld) -> None:
        await world.arrive(2)
        assert own(world) == ["Available"]
        await world.command("ChangeAvailability", {"connectorId": 0, "type": "Inoperative"})
        await until(lambda: own(world) == ["Available", "Unavailable"])
        await world.crash()
        await world.start()
        await until(lambda: len(own(world)) == 3)
        await until(lambda: all(one.wire for one in world.stations.values()))
        await world.command("TriggerMessage", {"requestedMessage": "StatusNotification"})
        await until(lambda: own(world)[2:] == ["Unavailable"] * 2)

    play(tmp_path, "1.6", script)


def test_the_way_through_is_allowed_addressed_and_audited(tmp_path: Path) -> None:
    async def script(world: SeenWorld) -> None:
        await world.arrive(2)

        async def through(action: str, evse: int, vendor: str = "ocpp-gateway") -> Any:
            data = json.dumps({"evse": evse, "payload": {"requestedMessage": "Heartbeat"}})
            return await world.command("DataTransfer", {"vendorId": vendor, "messageId": action, "data": data})

        assert await through("TriggerMessage", 2, "other") == {"status": "UnknownVendorId"}
        assert await through("Reset", 2) == {"status": "UnknownMessageId"}
        assert await through("TriggerMessage", 9) == REJECTED
        assert await through("TriggerMessage", 2) == {"status": "Accepted", "data": '{"status": "Accepted"}'}
        asked = ("TriggerMessage", {"requestedMessage": "Heartbeat"})
        assert [asked in one.commands for one in world.stations.values()] == [False, True]
        (entry,) = [one for one in world.site.upkeep.audit if one.kind is AuditKind.PASSED_THROUGH]
        assert (entry.station, entry.detail) == ("CP-1", b'{"requestedMessage":"Heartbeat"}')

    play(tmp_path, "1.6", script)


def test_a_silent_station_does_not_hold_up_a_fan_out_or_a_reset(tmp_path: Path) -> None:
    async def script(world: SeenWorld) -> None:
        await world.arrive(3)
        deaf = world.stations["CP-1"]

        async def never(message_id: str, action: str, payload: Any) -> Any:
            await asyncio.sleep(3600)

        assert deaf.wire
        deaf.wire._handler = never  # it takes every command and says nothing
        for action, payload in (
            ("ChangeAvailability", {"connectorId": 0, "type": "Operative"}),
            ("Reset", {"type": "Soft"}),
        ):
            began = asyncio.get_running_loop().time()
            assert await world.command(action, payload) == REJECTED, "not every station did it"
            assert asyncio.get_running_loop().time() - began < 25
            assert all(world.stations[name].commands[-1] == (action, payload) for name in ("CP-0", "CP-2"))

    play(tmp_path, "1.6", script)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_station_is_replaced_and_another_removed(tmp_path: Path, version: str) -> None:
    async def script(world: SeenWorld) -> None:
        await world.arrive(3)
        site = world.site
        charging = asyncio.create_task(world.stations["CP-0"].session("TAG", 50, 30))
        await until(lambda: site.ledger.running(StationId("CP-0")))
        with pytest.raises(RefusedError, match="connected"):
            await numbers.removed(site, StationId("CP-1"))
        with pytest.raises(RefusedError, match="a transaction runs"):
            await numbers.replaced(site, StationId("CP-0"), StationId("CP-8"))
        charging.cancel()  # the charger dies in the middle of it
        with pytest.raises(RefusedError, match="never had a number"):
            await numbers.replaced(site, StationId("CP-7"), StationId("CP-8"))
        for name in ("CP-0", "CP-1"):
            world.stations.pop(name)
        for task in world._tasks[:2]:
            task.cancel()  # the two go for good
        for name in ("CP-0", "CP-1"):
            port = site.stations[StationId(name)].port
            assert port
            port.close(1000, "gone")
        await until(lambda: not any(site.stations[StationId(f"CP-{n}")].port for n in (0, 1)))
        await until(lambda: not site.stations[StationId("CP-0")].queue)
        assert await numbers.removed(site, StationId("CP-1")) == [2]
        assert await numbers.replaced(site, StationId("CP-0"), StationId("CP-8")) == [1]
        new = world.add("CP-8", version)
        await new.ready()
        await until(lambda: last_status(world, 1) == "Available")
        await until(lambda: last_status(world, 2) == "Unavailable")
        assert site.numbering.number(StationId("CP-8"), 1) == 1
        assert site.stations[StationId("CP-1")].record.approval == "rejected"

    play(tmp_path, version, script)


def last_status(world: SeenWorld, number: int) -> str | None:
    found = [payload for payload in world.told("StatusNotification") if world.number(payload) == number]
    return (found[-1].get("status") or found[-1]["connectorStatus"]) if found else None


def test_a_station_whose_version_can_t_be_translated_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """2.1 and 2.0.1 are not translated into each other."""

    async def script(world: SeenWorld) -> None:
        await world.arrive(1)
        assert await world.site.uplink.negotiate(StationId("CP-5"), ["ocpp2.1"]) is None
        assert "CP-5: offers ocpp2.1, and the site as one station speaks 2.0.1: refused" in caplog.text
        assert await world.site.uplink.negotiate(StationId("CP-5"), ["ocpp2.1", "ocpp1.6"]) == "ocpp1.6"

        async def blind(station: StationId, offers: Any) -> str | None:
            """A station that offers nothing is not negotiated with: its listener says what it speaks."""
            return str(offers[0])

        world.site.uplink.negotiate = blind  # type: ignore[method-assign]  # to get in unseen
        World.add(world, "CP-6", "2.1")
        await until(lambda: "CP-6: speaks 2.1, and the site as one station 2.0.1: closed" in caplog.text)
        await until(lambda: world.site.station(StationId("CP-6")).port is None)
        assert world.numbers("StatusNotification") == [1]

    play(tmp_path, "2.0.1", script)
