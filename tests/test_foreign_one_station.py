"""Foreign peers above and below a site that is one station: `ocpp-rpc` (strict) and `ocpp-csms`, fifty chargers."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.peers import ocpp_rpc_rig, python_env
from tests.peers.ocpp_csms_rig import OcppCsms
from tests.peers.ocpp_rpc_commands import LATER, PROFILE_16, PROFILE_201, TOKEN
from tests.peers.ocpp_rpc_rig import Csms, Fleet
from tests.peers.one_station import (
    SITE,
    diff_of_one,
    numbers_of,
    one_station_gateway,
    strangers,
    strayed,
    transactions,
)
from tests.peers.peer_process import Stats
from tests.peers.steps import ForeignCsms, all_hold, assert_no_errors, install_or_skip

COUNT = 50
ACCEPTED = {"status": "Accepted"}
Payload = dict[str, Any]


@pytest.fixture(scope="session")
def node() -> None:
    install_or_skip(ocpp_rpc_rig.install)


@pytest.fixture(scope="session")
def python() -> None:
    install_or_skip(python_env.install)


@pytest.fixture
def gateway_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a short path, for the Unix socket in it."""
    return tmp_path_factory.mktemp("gw")


class Asking:
    """Commands to the site, and who got them."""

    def __init__(self, csms: ForeignCsms, fleet: Fleet, numbers: dict[str, int]) -> None:
        self.csms, self.fleet, self.numbers = csms, fleet, numbers
        self.by_number = {number: identity for identity, number in numbers.items()}

    async def call(self, action: str, payload: Payload) -> Payload:
        return await self.csms.call(SITE, action, payload)

    async def of_one(self, number: int, action: str, payload: Payload, expected: Payload) -> Payload:
        """For one station: just that one gets it, as its own connector. Returns what it got."""
        before = await self.fleet.received()
        answer = await self.call(action, payload)
        assert expected.items() <= answer.items(), f"{action}: {answer}"
        got = [
            (identity, command["params"])
            for identity, commands in (await self.fleet.received()).items()
            for command in commands[len(before[identity]) :]
            if command["action"] == action  # lists are written into stations at any time
        ]
        assert [identity for identity, _ in got] == [self.by_number[number]], f"{action}: {got}"
        params: Payload = got[0][1]
        return params

    async def of_all(self, action: str, payload: Payload, expected: Payload) -> None:
        """For the site: every station gets it as it is, once."""
        before = await self.fleet.received()
        answer = await self.call(action, payload)
        assert expected.items() <= answer.items(), f"{action}: {answer}"
        for identity, commands in (await self.fleet.received()).items():
            got = [command for command in commands[len(before[identity]) :] if command["action"] == action]
            assert got == [{"action": action, "params": payload}], f"{identity}: {got}"

    async def arrived(self) -> None:
        """Wait until the CSMS has everything the stations sent."""
        problems: list[str] = []

        async def complete() -> bool:
            problems[:] = (await diff_of_one(self.fleet, self.csms, self.numbers)).problems
            return not problems

        try:
            await self.csms.until(complete, 60, "everything arrived")
        except TimeoutError:
            pytest.fail("\n".join(problems[:10]))

    async def idle(self, identities: list[str]) -> None:
        async def over() -> bool:
            running = {one["identity"] for one in await self.fleet.sessions() if not one["ended"]}
            return not running & set(identities)

        await self.fleet.until(over, 30, "the sessions ended")

    async def runs(self, count: int) -> None:
        async def held() -> bool:
            sessions = await self.fleet.sessions()
            return len([one for one in sessions if one["measured"] and not one["ended"]]) == count

        await self.fleet.until(held, 30, f"{count} sessions run")


async def ask_16(site: Asking) -> None:
    """Every kind of command there is in 1.6."""
    one, ids = 7, await transactions(site.csms)
    profile = {**PROFILE_16, "chargingProfilePurpose": "TxProfile", "transactionId": ids[one]}
    got = await site.of_one(one, "SetChargingProfile", {"connectorId": one, "csChargingProfiles": profile}, ACCEPTED)
    assert got == {"connectorId": 1, "csChargingProfiles": profile}
    await site.of_all("SetChargingProfile", {"connectorId": 0, "csChargingProfiles": PROFILE_16}, ACCEPTED)
    limit = {**PROFILE_16, "chargingProfilePurpose": "ChargePointMaxProfile"}
    answer = await site.call("SetChargingProfile", {"connectorId": 0, "csChargingProfiles": limit})
    assert answer == {"status": "Rejected"}, "nothing is shared at this site"
    await site.of_all("ClearChargingProfile", {"id": 7}, ACCEPTED)
    await site.of_one(one, "UnlockConnector", {"connectorId": one}, {"status": "Unlocked"})
    reserve = {"connectorId": one, "expiryDate": LATER, "idTag": "RESERVED", "reservationId": 3}
    await site.of_one(one, "ReserveNow", reserve, ACCEPTED)
    await site.of_one(one, "CancelReservation", {"reservationId": 3}, ACCEPTED)
    await site.of_one(one, "ChangeAvailability", {"connectorId": one, "type": "Operative"}, ACCEPTED)
    await site.of_all("ChangeAvailability", {"connectorId": 0, "type": "Operative"}, ACCEPTED)
    trigger = {"requestedMessage": "StatusNotification", "connectorId": one}
    await site.of_one(one, "TriggerMessage", trigger, ACCEPTED)
    await site.of_all("TriggerMessage", {"requestedMessage": "StatusNotification"}, ACCEPTED)
    await site.of_all("ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": "30"}, ACCEPTED)
    found = await site.call("GetConfiguration", {"key": ["NumberOfConnectors", "MeterValueSampleInterval", "Nonsense"]})
    assert {key["key"]: key["value"] for key in found["configurationKey"]} == {
        "NumberOfConnectors": str(COUNT),
        "MeterValueSampleInterval": "30",
    }
    assert found["unknownKey"] == ["Nonsense"]
    every = {key["key"]: key.get("value") for key in (await site.call("GetConfiguration", {}))["configurationKey"]}
    assert len((every["ConnectorPhaseRotation"] or "").split(",")) == COUNT
    assert await site.call("SendLocalList", local_list("listVersion", "idTag", "idTagInfo")) == ACCEPTED
    assert await site.call("GetLocalListVersion", {}) == {"listVersion": 5}
    assert await site.call("ClearCache", {}) == ACCEPTED
    through = {"vendorId": "ocpp-gateway", "messageId": "GetDiagnostics"}
    answer = await site.call("DataTransfer", {**through, "data": '{"evse":7,"payload":{"location":"ftp://x/"}}'})
    assert answer == {"status": "Accepted", "data": '{"fileName":"diagnostics.txt"}'}


def local_list(version: str, token: str, info: str) -> Payload:
    entry: Payload = {token: "LISTED", info: {"status": "Accepted"}}
    return {version: 5, "updateType": "Full", "localAuthorizationList": [entry]}


async def ask_201(site: Asking) -> None:
    """Every kind of command there is in 2.0.1."""
    one, ids = 7, await transactions(site.csms)
    profile = {**PROFILE_201, "chargingProfilePurpose": "TxProfile", "transactionId": ids[one]}
    got = await site.of_one(one, "SetChargingProfile", {"evseId": one, "chargingProfile": profile}, ACCEPTED)
    assert got["evseId"] == 1
    assert got["chargingProfile"]["transactionId"] != ids[one]
    await site.of_all("SetChargingProfile", {"evseId": 0, "chargingProfile": PROFILE_201}, ACCEPTED)
    await site.of_all("ClearChargingProfile", {"chargingProfileId": 7}, ACCEPTED)
    await site.of_one(one, "UnlockConnector", {"evseId": one, "connectorId": 1}, {"status": "Unlocked"})
    reserve = {"id": 3, "expiryDateTime": LATER, "idToken": TOKEN, "evseId": one}
    await site.of_one(one, "ReserveNow", reserve, ACCEPTED)
    await site.of_one(one, "CancelReservation", {"reservationId": 3}, ACCEPTED)
    await site.of_one(one, "ChangeAvailability", {"evse": {"id": one}, "operationalStatus": "Operative"}, ACCEPTED)
    await site.of_all("ChangeAvailability", {"operationalStatus": "Operative"}, ACCEPTED)
    trigger = {"requestedMessage": "StatusNotification", "evse": {"id": one, "connectorId": 1}}
    await site.of_one(one, "TriggerMessage", trigger, ACCEPTED)
    await site.of_all("TriggerMessage", {"requestedMessage": "StatusNotification"}, ACCEPTED)
    interval = {"component": {"name": "SampledDataCtrlr"}, "variable": {"name": "TxUpdatedInterval"}}
    asked = {"setVariableData": [{"attributeValue": "30", **interval}]}
    await site.of_all("SetVariables", asked, {"setVariableResult": [{"attributeStatus": "Accepted", **interval}]})
    of_one = {"component": {"name": "SampledDataCtrlr", "instance": f"{one}"}, "variable": interval["variable"]}
    model = {"component": {"name": "ChargingStation"}, "variable": {"name": "Model"}}
    found = await site.call("GetVariables", {"getVariableData": [interval, model, of_one]})
    results = found["getVariableResult"]
    assert [result["attributeValue"] for result in results] == ["30", "Site", "30"]
    assert results[2]["component"]["instance"] == f"{one}"
    assert await site.call("GetBaseReport", {"requestId": 4, "reportBase": "FullInventory"}) == ACCEPTED
    listed = local_list("versionNumber", "idToken", "idTokenInfo")
    listed["localAuthorizationList"][0]["idToken"] = TOKEN
    assert await site.call("SendLocalList", listed) == ACCEPTED
    assert await site.call("GetLocalListVersion", {}) == {"versionNumber": 5}
    assert await site.call("ClearCache", {}) == ACCEPTED
    log = {"location": "ftp://x/", "remoteLocation": "ftp://x/"}
    data = {
        "evse": 7,
        "payload": {"requestId": 6, "logType": "DiagnosticsLog", "log": {"remoteLocation": log["location"]}},
    }
    answer = await site.call("DataTransfer", {"vendorId": "ocpp-gateway", "messageId": "GetLog", "data": data})
    assert answer == {"status": "Accepted", "data": {"status": "Accepted", "filename": "log.txt"}}


async def stop_and_start(site: Asking, version: str) -> None:
    """By the id of the transaction; then by the connector, and once more wherever there is room."""
    is_16, ids = version == "1.6", await transactions(site.csms)
    stop = "RemoteStopTransaction" if is_16 else "RequestStopTransaction"
    for number in (3, 9):
        await site.of_one(number, stop, {"transactionId": ids[number]}, ACCEPTED)
    await site.idle([site.by_number[3], site.by_number[9]])
    start = "RemoteStartTransaction" if is_16 else "RequestStartTransaction"
    wanted: Payload = {"idTag": "REMOTE"} if is_16 else {"idToken": TOKEN, "remoteStartId": 11}
    connector = "connectorId" if is_16 else "evseId"
    await site.of_one(9, start, {**wanted, connector: 9}, ACCEPTED)
    await site.runs(COUNT - 1)
    await site.arrived()
    await site.of_one(3, start, wanted, ACCEPTED)
    await site.runs(COUNT)
    assert (await site.call(start, wanted))["status"] == "Rejected", "there is no room anywhere"


async def whole_day(csms: Any, gateway_dir: Path, version: str, commands: Any) -> tuple[Stats, Any]:
    """Boot, a session everywhere at once, commands, a reset of the site. Returns the stations' figures and the log."""
    protocols = [f"ocpp{version}"]
    async with (
        csms,
        one_station_gateway(gateway_dir, csms.url, version) as gateway,
        Fleet(endpoint=gateway.url, count=COUNT, protocols=protocols) as fleet,
    ):
        identities = await fleet.connect()
        running = asyncio.create_task(fleet.ask("run", meter_values=1, interval_ms=50, hold=True, timeout_s=300))
        await all_hold(fleet, COUNT)
        site = Asking(csms, fleet, await numbers_of(gateway))
        assert sorted(site.numbers.values()) == list(range(1, COUNT + 1))
        await site.arrived()
        await commands(site)
        await stop_and_start(site, version)
        await fleet.ask("release")
        await running
        await site.idle(identities)
        await site.call("Reset", {"type": "Soft" if version == "1.6" else "OnIdle"})
        await back(fleet)
        await site.arrived()
        sessions, received = await fleet.sessions(), await fleet.received()
        diff = await diff_of_one(fleet, csms, site.numbers)
        stations = Stats.of(await fleet.ask("stop"))
        status = await gateway.stop()
        server, log = await csms.stats(), await csms.log()
    assert_no_errors(stations, server)
    assert diff.problems == []
    assert diff.transactions == len(sessions) == COUNT + 2
    assert set(server.peers) == {SITE}
    assert server.total.max_sockets == 1
    assert strangers(log, identities) == []
    assert strayed(received, sessions) == []
    assert status == 0
    return server, log


async def back(fleet: Fleet) -> None:
    async def twice() -> bool:
        return all(peer.connections == 2 for peer in (await fleet.stats()).peers.values())

    await fleet.until(twice, 30, "every station has booted again")


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize(("version", "commands"), [("1.6", ask_16), ("2.0.1", ask_201)], ids=["1.6", "2.0.1"])
async def test_fifty_chargers_are_one_station_of_ocpp_rpc(gateway_dir: Path, version: str, commands: Any) -> None:
    csms = Csms(delay_ms=[0, 2], log_all=True, protocols=[f"ocpp{version}"])
    server, log = await whole_day(csms, gateway_dir, version, commands)
    assert server.total.max_in_flight == 1
    assert server.total.actions["BootNotification"] == 1
    told = [entry["params"] for entry in log if entry["action"] == "StatusNotification"]
    assert {one.get("connectorId" if version == "1.6" else "evseId") for one in told} - {0} == set(range(1, COUNT + 1))
    parts = [entry["params"] for entry in log if entry["action"] == "NotifyReport"]
    if version != "1.6":
        assert [part["seqNo"] for part in parts] == list(range(COUNT + 1))
        assert [part.get("tbc", False) for part in parts] == [True] * COUNT + [False]


@pytest.mark.usefixtures("node", "python")
async def test_fifty_chargers_are_one_station_of_ocpp_csms(gateway_dir: Path) -> None:
    await whole_day(OcppCsms(gateway_dir), gateway_dir, "1.6", ask_16)
