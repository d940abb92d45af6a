"""Answers of the CSMS that are no answers: the station gets a right one, and nobody else notices."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.server import ServerConnection

from gateway.dialects import schema
from tests.bad_input.kit import MIB
from tests.bad_input.rig import TEXT, Kit, RawCsms, RawStation, WsFrame, good_answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOW = "2030-01-01T00:00:00Z"
CALLS: dict[str, dict[str, dict[str, Any]]] = {
    "1.6": {
        "BootNotification": {"chargePointVendor": "V", "chargePointModel": "M"},
        "Authorize": {"idTag": "TAG"},
        "StartTransaction": {"connectorId": 1, "idTag": "TAG", "meterStart": 0, "timestamp": NOW},
        "StopTransaction": {"transactionId": 7, "meterStop": 5, "timestamp": NOW},
        "StatusNotification": {"connectorId": 1, "errorCode": "NoError", "status": "Available"},
    },
    "2.0.1": {
        "BootNotification": {"chargingStation": {"vendorName": "V", "model": "M"}, "reason": "PowerUp"},
        "Authorize": {"idToken": {"idToken": "TAG", "type": "Central"}},
        "TransactionEvent": {
            "eventType": "Started",
            "timestamp": NOW,
            "triggerReason": "Authorized",
            "seqNo": 0,
            "transactionInfo": {"transactionId": "T-1"},
            "idToken": {"idToken": "TAG", "type": "Central"},
            "evse": {"id": 1, "connectorId": 1},
        },
    },
}
UNREADABLE = {
    "CALLRESULT of two": '[3,"ID"]',
    "CALLRESULT with a list": '[3,"ID",[]]',
    "CALLRESULT with null": '[3,"ID",null]',
    "CALLRESULT with NaN": '[3,"ID",{"transactionId":NaN}]',
    "CALLRESULT cut off": '[3,"ID",{"transactionId":',
    "CALLRESULT 10,000 deep": '[3,"ID",{"x":' + "[" * 10_000 + "]" * 10_000 + "}]",
    "lone surrogate": '[3,"ID",{"idTagInfo":{"status":"\\ud800"}}]',
    "CALLERROR of two": '[4,"ID"]',
    "CALLERROR under -1": '[4,"-1","FormatViolation","",{}]',
    "CALLERROR with a list": '[4,"ID",[],{},5]',
}
"""Answers to the CALL under ID that can't be read: as good as none."""

ODD: dict[str, str] = {
    "empty": "{}",
    "900 deep": '{"idTagInfo":' + "[" * 900 + "]" * 900 + "}",
    "wrong kinds": '{"status":5,"interval":"x","currentTime":[],"idTagInfo":7,"idTokenInfo":[],"transactionId":{}}',
    "nulls": '{"status":null,"interval":null,"currentTime":null,"idTagInfo":null,"transactionId":null}',
    "huge numbers": '{"transactionId":99999999999999999999,"interval":1e400,"idTagInfo":{"status":"Accepted"}}',
    "number of 100,000 digits": '{"transactionId":' + "9" * 100_000 + ',"idTagInfo":{"status":"Accepted"}}',
    "unknown statuses": '{"transactionId":7,"status":"Perhaps","idTagInfo":{"status":"Maybe"},"idTokenInfo":{}}',
    "half a megabyte": '{"x":"' + "x" * (MIB // 2) + '"}',
}
"""Answers that can be read, and say nothing of use."""

CASES = [(version, action) for version, actions in CALLS.items() for action in actions]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kit(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kit]:
    async with RawCsms() as csms, Kit.gateway_at(tmp_path_factory.mktemp("gw"), csms.url) as gateway:
        async with await RawStation.connect(gateway.port, "HEALTHY", "1.6") as healthy:
            kit = Kit(gateway, csms, healthy)
            await kit.linked("HEALTHY")
            yield kit
            await healthy.is_served()
        kit.assert_no_traceback()
        assert await gateway.stop() == 0


async def asked(kit: Kit, name: str, version: str, action: str, answer: str) -> tuple[list[Any], RawStation]:
    """What the station gets for its CALL if the CSMS answers like this; ID stands for the CALL's."""

    async def odd(message_id: str, asked_for: str, socket: ServerConnection) -> str:
        return answer.replace("ID", message_id) if asked_for == action else good_answer(message_id, asked_for)

    station = await kit.station(name, version)
    if action != "BootNotification":
        await station.ask("BootNotification", json.dumps(CALLS[version]["BootNotification"]))
    kit.csms.answers[name] = odd
    station.send(WsFrame(TEXT, json.dumps([2, "a", action, CALLS[version][action]]).encode()))
    await kit.healthy.is_served()
    came = await station.message()
    return came, station


async def still_served(station: RawStation, version: str, action: str) -> None:
    """Before its boot is accepted, nothing of a station goes up; 1.6 may ask for the time, 2.x is refused."""
    if action != "BootNotification":
        await station.is_served()
    elif version == "1.6":
        assert "currentTime" in await station.ask("Heartbeat")
    else:
        station.send(WsFrame(TEXT, b'[2,"early","Heartbeat",{}]'))
        assert (await station.message())[:3] == [4, "early", "SecurityError"]


@pytest.mark.parametrize(("version", "action"), CASES)
@pytest.mark.parametrize("answer", UNREADABLE)
async def test_unreadable(kit: Kit, answer: str, version: str, action: str) -> None:
    """The gateway answers for the CSMS, in the words of the version, or with a CALLERROR that says so."""
    name = f"U-{list(UNREADABLE).index(answer)}-{CASES.index((version, action))}"
    came, station = await asked(kit, name, version, action, UNREADABLE[answer])
    async with station:
        assert came[:2] == [3, "a"], came
        assert not schema.validate(version, action, "response", json.dumps(came[2]).encode()), came
        await still_served(station, version, action)
    await kit.healthy.is_served()


@pytest.mark.parametrize(("version", "action"), CASES)
@pytest.mark.parametrize("answer", ODD)
async def test_odd(kit: Kit, answer: str, version: str, action: str) -> None:
    """What can be read is the CSMS's word, and may reach the station as it is. It harms nobody."""
    name = f"O-{list(ODD).index(answer)}-{CASES.index((version, action))}"
    came, station = await asked(kit, name, version, action, f'[3,"ID",{ODD[answer]}]')
    async with station:
        assert came[:2] == [3, "a"], came
        await still_served(station, version, action)
    await kit.healthy.is_served()


@pytest.mark.parametrize("answer", ODD)
async def test_a_start_is_answered_with_a_transaction_id_in_any_case(kit: Kit, answer: str) -> None:
    """Without an id the driver's session can't go on."""
    name = f"S-{list(ODD).index(answer)}"
    came, station = await asked(kit, name, "1.6", "StartTransaction", f'[3,"ID",{ODD[answer]}]')
    async with station:
        assert came[:2] == [3, "a"], came
        assert isinstance(came[2].get("transactionId"), int), str(came)[:200]
        assert 1 <= came[2]["transactionId"] < 2**31
    await kit.healthy.is_served()


async def test_what_the_csms_says_makes_no_log_line_of_its_own(kit: Kit) -> None:
    forged = "2030-01-01 00:00:00.000 INFO    gateway.app: all is well"
    since = kit.log_length()
    refusal = json.dumps([4, "ID", "GenericError", f"no\n{forged}\x1b[2J", {}])
    _, station = await asked(kit, "FORGED", "1.6", "BootNotification", refusal)
    async with station:
        await kit.until(lambda: "refused its boot" in kit.gateway.log())
    lines = kit.gateway.log().splitlines()[since:]
    assert forged not in lines
    assert all(line.isprintable() for line in lines)
