"""The simulated CSMS by itself: raw sockets show exactly what it puts on the wire."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from ocpp.v16 import call as v16
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from gateway.demo.csms import SimulatedCsms
from gateway.demo.csms_connection import Effect, payload_text
from gateway.demo.history import Answered, Closed, Killed

LIMIT_S = 10
START = {"connectorId": 1, "idTag": "T", "meterStart": 0, "timestamp": "2026-01-01T00:00:00Z"}


@pytest.fixture
async def csms() -> AsyncIterator[SimulatedCsms]:
    async with SimulatedCsms() as csms:
        yield csms


def dial(csms: SimulatedCsms, version: str = "1.6", identity: str = "CP%201") -> connect:
    return connect(f"{csms.url}/{identity}", subprotocols=[Subprotocol(f"ocpp{version}")], proxy=None)


async def ask(socket: ClientConnection, action: str, payload: dict[str, Any], message_id: str = "m1") -> list[Any]:
    await socket.send(json.dumps([2, message_id, action, payload]))
    answer: list[Any] = json.loads(await socket.recv())
    return answer


async def test_it_does_not_recognise_repeats(csms: SimulatedCsms) -> None:
    async with dial(csms) as socket:
        ids = [(await ask(socket, "StartTransaction", START, "same"))[2]["transactionId"] for _ in range(2)]
    assert ids == [1, 2]
    assert [a.payload for a in csms.arrivals] == [json.dumps(START)] * 2


async def test_both_versions_are_served_at_once(csms: SimulatedCsms) -> None:
    async with dial(csms, "1.6") as one, dial(csms, "2.0.1", "CP-2") as two:
        assert (await ask(one, "Authorize", {"idTag": "T"}))[2] == {"idTagInfo": {"status": "Accepted"}}
        token = {"idToken": {"idToken": "T", "type": "ISO14443"}}
        assert (await ask(two, "Authorize", token))[2] == {"idTokenInfo": {"status": "Accepted"}}
        assert csms.connected == {"CP 1", "CP-2"}


@pytest.mark.parametrize("status", ["Invalid", "Blocked", "Expired", "ConcurrentTx"])
async def test_verdicts_follow_the_books(csms: SimulatedCsms, status: str) -> None:
    csms.books.verdicts["T"] = status
    async with dial(csms) as socket:
        assert (await ask(socket, "Authorize", {"idTag": "T"}))[2]["idTagInfo"]["status"] == status
        assert (await ask(socket, "StartTransaction", START))[2]["idTagInfo"]["status"] == status


async def test_a_refusal_is_a_callerror_for_the_chosen_occurrences(csms: SimulatedCsms) -> None:
    csms.script(Effect.REFUSE, action="Authorize", station="CP 1", skip=1, times=1, code="GenericError")
    async with dial(csms) as socket:
        answers = [await ask(socket, "Authorize", {"idTag": "T"}) for _ in range(3)]
    assert [answer[0] for answer in answers] == [3, 4, 3]
    assert answers[1][2] == "GenericError"


async def test_a_lost_answer_is_kept_and_cuts_the_socket(csms: SimulatedCsms) -> None:
    csms.script(Effect.LOSE, action="StartTransaction")
    async with dial(csms) as socket:
        with pytest.raises(ConnectionClosed):
            await ask(socket, "StartTransaction", START)
    await csms.changes.until(lambda: not csms.connected, LIMIT_S)
    answered, closed = csms.history.records[1:]
    assert isinstance(answered, Answered)
    assert isinstance(closed, Closed)
    assert (answered.outcome, closed.cut) == ("lose", True)
    assert json.loads(answered.answer or "")["transactionId"] == 1


async def test_silence_keeps_the_message_and_the_socket(csms: SimulatedCsms) -> None:
    csms.script(Effect.SILENT, action="StartTransaction")
    async with dial(csms) as socket:
        await socket.send(json.dumps([2, "m1", "StartTransaction", START]))
        assert (await ask(socket, "Heartbeat", {}, "m2"))[1] == "m2"
    assert [r.outcome for r in csms.history.records if isinstance(r, Answered)] == ["silent"]


async def test_a_cut_closes_everything_and_turns_new_ones_away(csms: SimulatedCsms) -> None:
    async with dial(csms) as socket:
        await csms.changes.until(lambda: bool(csms.connected), LIMIT_S)
        csms.cut()
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    with pytest.raises(InvalidStatus):
        await dial(csms)
    csms.restore()
    async with dial(csms) as socket:
        assert (await ask(socket, "Heartbeat", {}))[0] == 3


async def test_a_socket_closed_in_good_order_is_not_cut(csms: SimulatedCsms) -> None:
    async with dial(csms) as socket:
        await ask(socket, "StartTransaction", START)
    await csms.changes.until(lambda: not csms.connected, LIMIT_S)
    assert [r.cut for r in csms.history.records if isinstance(r, Closed)] == [False]


async def test_a_kill_is_noted(csms: SimulatedCsms) -> None:
    csms.mark_kill(12.5)
    assert csms.history.records == [Killed(12.5)]


async def test_an_answer_waits_for_the_latency() -> None:
    async with SimulatedCsms(latency_s=(0.05, 0.05)) as csms, dial(csms) as socket:
        await ask(socket, "StartTransaction", START)
        arrival, answered = csms.history.records
        assert answered.at - arrival.at >= 0.05


async def test_commands_need_a_station(csms: SimulatedCsms) -> None:
    with pytest.raises(LookupError):
        await csms.call("CP 1", v16.ClearCache())
    async with dial(csms):
        await csms.changes.until(lambda: bool(csms.connected), LIMIT_S)
        csms.changes.notify()
        csms.abort("CP 1")
        with pytest.raises((ConnectionError, LookupError)):
            await csms.call("CP 1", v16.ClearCache())


async def test_meter_values_without_a_transaction_are_not_logged(csms: SimulatedCsms) -> None:
    meter = {"connectorId": 1, "meterValue": [{"timestamp": START["timestamp"], "sampledValue": [{"value": "1"}]}]}
    async with dial(csms) as socket:
        assert (await ask(socket, "MeterValues", meter))[0] == 3
        assert csms.arrivals == []
        assert (await ask(socket, "MeterValues", {**meter, "transactionId": 1}))[0] == 3
    assert len(csms.arrivals) == 1


@pytest.mark.parametrize(
    "frame",
    ['[2,"a,b","X",{"v":1.50,"t":"]"}]', ' [ 2 , "a" ,\n"X" , {"v":1.50,"t":"]"} ] ', '[2,"[","{",{"v":1.50,"t":"]"}]'],
)
def test_the_payload_is_kept_as_written(frame: str) -> None:
    assert payload_text(frame) == '{"v":1.50,"t":"]"}'
