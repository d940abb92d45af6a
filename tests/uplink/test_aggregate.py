"""The whole site as one station, on virtual time: scripted stations, the gateway, one socket to a scripted CSMS."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.dialects import registry, schema, site_says
from gateway.dialects.site_says import SiteIdentity
from gateway.model.ids import StationId
from gateway.uplink import aggregate
from tests.sim.csms import TRANSACTION_ACTIONS
from tests.uplink.site_world import COUNT, VERSIONS, SeenWorld, play, until


@pytest.mark.parametrize("version", VERSIONS)
def test_sessions_on_every_connector_at_once(tmp_path: Path, version: str) -> None:
    """Through an outage too: every message once, in its order, under its connector's number."""

    async def script(world: SeenWorld) -> None:
        await world.arrive()
        sessions = [asyncio.create_task(one.session(f"T{one.identity[-1]}", 4, 30)) for one in world.stations.values()]
        await asyncio.sleep(50)
        world.csms.cut()
        await asyncio.sleep(40)
        world.csms.mend()
        await asyncio.gather(*sessions)
        await world.drained()

    world = play(tmp_path, version, script)
    assert len(world.told("BootNotification")) == 2  # one for each socket
    assert {number for number in world.numbers("StatusNotification") if number} == set(range(1, COUNT + 1))
    stories = _stories(world)
    assert sorted(stories) == list(range(1, COUNT + 1))
    for number, story in stories.items():
        assert [kind for kind, _ in story] == ["Started", *["Updated"] * 4, "Ended"], number
        assert len({tx for _, tx in story}) == 1, number
    assert len({story[0][1] for story in stories.values()}) == COUNT


def _stories(world: SeenWorld) -> dict[int, list[tuple[str, Any]]]:
    """What the CSMS heard of each number's transaction, a message that came twice once."""
    found: dict[int, list[tuple[str, Any]]] = {}
    number_of: dict[Any, int] = {}
    seen: set[str] = set()
    given = iter(range(101, 1000))
    for payload in world.told(*TRANSACTION_ACTIONS):
        if json.dumps(payload, sort_keys=True) in seen:
            continue
        seen.add(json.dumps(payload, sort_keys=True))
        if world.version == "1.6":
            is_start, is_stop = "meterStart" in payload, "meterStop" in payload
            tx = next(given) if is_start else payload["transactionId"]
            kind = "Started" if is_start else "Ended" if is_stop else "Updated"
        else:
            tx, kind = payload["transactionInfo"]["transactionId"], payload["eventType"]
        number = world.number(payload)
        if kind == "Started":
            assert number is not None
            number_of[tx] = number
        assert number in (None, number_of[tx])
        found.setdefault(number_of[tx], []).append((kind, tx))
    return found


def test_commands_of_16_find_their_station(tmp_path: Path) -> None:
    async def script(world: SeenWorld) -> None:
        await world.arrive(3)
        assert await world.command("UnlockConnector", {"connectorId": 9}) == {"status": "UnlockFailed"}
        assert await world.command("RemoteStopTransaction", {"transactionId": 5}) == {"status": "Rejected"}
        running = asyncio.create_task(world.stations["CP-1"].session("TAG", 50, 30))
        await until(lambda: world.told("StartTransaction"))
        await asyncio.sleep(5)
        assert (await world.command("RemoteStopTransaction", {"transactionId": 101}))["status"] == "Accepted"
        assert (await running).stopped.is_set()
        answer = await world.command("ChangeAvailability", {"connectorId": 0, "type": "Operative"})
        asked = {name: one.commands[-1] for name, one in world.stations.items()}
        assert set(asked) == {"CP-0", "CP-1", "CP-2"}
        assert {action for action, _ in asked.values()} == {"ChangeAvailability"}
        assert answer["status"] == "Accepted"
        await world.command("ReserveNow", {"connectorId": 3, "idTag": "T", "reservationId": 4,
                                           "expiryDate": "2026-03-01T18:00:00Z"})  # fmt: skip
        assert world.stations["CP-2"].commands[-1][1]["connectorId"] == 1
        assert len(world.told("BootNotification")) == 1
        assert await world.command("TriggerMessage", {"requestedMessage": "BootNotification"}) == {"status": "Accepted"}
        await until(lambda: len(world.told("BootNotification")) == 2)
        keys = await world.command("GetConfiguration", {"key": ["NumberOfConnectors", "Other"]})
        assert keys == {
            "configurationKey": [{"key": "NumberOfConnectors", "readonly": True, "value": "3"}],
            "unknownKey": ["Other"],
        }

    play(tmp_path, "1.6", script)


def test_a_stop_under_the_id_of_another_charger_s_session_does_not_reach_the_csms(tmp_path: Path) -> None:
    """To the CSMS it is one station: it could not tell whose session it is."""

    async def script(world: SeenWorld) -> None:
        await world.arrive(2)
        running = asyncio.create_task(world.stations["CP-0"].session("TAG", 10, 60))
        await until(lambda: world.told("StartTransaction"))
        await asyncio.sleep(5)
        wire = world.stations["CP-1"].wire
        assert wire
        strange = {"transactionId": 101, "meterStop": 5, "timestamp": "2026-03-01T08:01:00Z"}
        assert await wire.call("x", "StopTransaction", strange) == {}
        unheard_of = {**strange, "transactionId": 5}
        assert await wire.call("y", "StopTransaction", unheard_of) == {}
        await running
        await until(lambda: len(world.told("StopTransaction")) == 2, 1200)
        assert strange not in world.told("StopTransaction")
        assert unheard_of in world.told("StopTransaction")
        [aside] = world.site.station(StationId("CP-1")).parked.values()
        assert json.loads(aside.payload) == strange

    play(tmp_path, "1.6", script)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_lost_station_is_unavailable_and_the_numbers_outlive_a_crash(tmp_path: Path, version: str) -> None:
    async def script(world: SeenWorld) -> None:
        await world.arrive(3)
        lost = world.stations.pop("CP-1")
        world._tasks.pop(1).cancel()  # the world's own list; it goes for good
        assert lost.wire
        lost.wire.socket.cut()
        await until(lambda: _last_status(world, 2) == "Unavailable")
        await world.crash()
        world.csms.calls.clear()
        await world.start()
        await until(lambda: {1, 2, 3} <= set(world.numbers("StatusNotification")))
        await until(lambda: _last_status(world, 1) == _last_status(world, 3) == "Available")
        assert _last_status(world, 2) == "Unavailable"

    play(tmp_path, version, script)


def _last_status(world: SeenWorld, number: int) -> str | None:
    found = [payload for payload in world.told("StatusNotification") if world.number(payload) == number]
    return (found[-1].get("status") or found[-1]["connectorStatus"]) if found else None


def test_the_sites_boot_is_a_valid_one() -> None:
    long = SiteIdentity("v" * 99, "m" * 99, "s" * 99, "f" * 99)
    for dialect in registry.ALL:
        assert schema.validate(dialect.name, "BootNotification", "request", site_says.boot(dialect, long)) == []


def test_commands_of_201_and_a_report_of_the_whole_site(tmp_path: Path) -> None:
    async def script(world: SeenWorld) -> None:
        await world.arrive(3)
        running = asyncio.create_task(world.stations["CP-2"].session("TAG", 50, 30))
        await until(lambda: world.told("TransactionEvent"))
        tx = world.told("TransactionEvent")[0]["transactionInfo"]["transactionId"]
        assert [world.site.csms_id(own) for own in world.site.ledger.transactions.values()] == [tx]
        assert (await world.command("RequestStopTransaction", {"transactionId": "CP-2-1"}))["status"] == "Rejected"
        assert (await world.command("RequestStopTransaction", {"transactionId": tx}))["status"] == "Accepted"
        assert (await running).stopped.is_set()
        asked = {"requestId": 8, "reportBase": "FullInventory"}
        assert await world.command("GetBaseReport", asked) == {"status": "Accepted"}
        data = {"component": {"name": "C"}, "variable": {"name": "v"}, "variableAttribute": [{"value": "1"}]}
        part = {"requestId": 8, "generatedAt": "2026-03-01T08:00:00Z", "seqNo": 0, "reportData": [data]}
        await asyncio.sleep(1)
        for one in world.stations.values():
            assert one.wire
            assert await one.wire.call("r1", "NotifyReport", {**part, "tbc": True}) == {}
            assert await one.wire.call("r2", "NotifyReport", {**part, "seqNo": 1}) == {}
        await until(lambda: len(world.told("NotifyReport")) == 7)
        told = world.told("NotifyReport")
        assert [one["seqNo"] for one in told] == list(range(7))
        assert [one["tbc"] for one in told[:-1]] == [True] * 6
        assert "tbc" not in told[-1]
        components = [one["reportData"][0]["component"] for one in told]
        assert components.pop(0) == {"name": "ChargingStation"}
        assert [one["instance"] for one in components] == ["1", "1", "2", "2", "3", "3"]

    play(tmp_path, "2.0.1", script)


def test_meter_values_give_way_when_the_csms_is_too_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begins and ends never do, nor first and last values."""
    monkeypatch.setattr(aggregate, "RELIEF_S", 60.0)

    async def script(world: SeenWorld) -> None:
        await world.arrive(3)
        world.csms.delay_s = lambda action: 4.0
        await asyncio.gather(*(one.session(f"T{one.identity[-1]}", 120, 5) for one in world.stations.values()))
        await world.drained()
        assert world.assembly
        ledger = world.assembly.site.ledger.transactions.values()
        assert all(own.thinned > 10 for own in ledger)
        told = {number: len(story) for number, story in _stories(world).items()}
        assert sum(told.values()) + sum(own.thinned for own in ledger) == 3 * 122

    world = play(tmp_path, "1.6", script)
    for number, story in _stories(world).items():
        kinds = [kind for kind, _ in story]
        assert (kinds[0], kinds[-1], set(kinds[1:-1])) == ("Started", "Ended", {"Updated"}), number
