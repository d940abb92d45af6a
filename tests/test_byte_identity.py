"""What is relayed arrives byte for byte, in both directions, but for the members a dialect table names.

The peers are raw: they write and read texts. One gateway serves all examples of a test.
"""

import asyncio
import itertools
import json
import re
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.model.token import OfflineMode
from gateway.site_options import SiteOptions
from tests.sim.loop import VirtualLoop
from tests.transcript import Peer, Rig

T = TypeVar("T")
VERSIONS = ("1.6", "2.0.1")
DIRECTIONS = ("up", "down")
_CALL = re.compile(r'\[2,("[^"]*"),("(?:[^"\\]|\\.)*"),(.*)\]', re.DOTALL)

ODD = {
    "spacing": '{ "a" :\t1 ,\r\n "b" : [ 1 , 2 ]\n}',
    "key order": '{"z":1,"a":2,"m":{"y":1,"b":2}}',
    "trailing zero": '{"v":1.10,"w":1.1,"x":-0,"y":-0.0,"z":0e0}',
    "big numbers": '{"i":123456789012345678901234567890,"f":1.7976931348623157e308,"g":3.141592653589793238462643383}',
    "exponents": '{"a":1E5,"b":1e+5,"c":100000,"d":1.0E-05}',
    "beyond a float": '{"a":1e400,"b":-1E-400}',
    "raw letters": '{"a":"\u00e4\u26a1\U0001f50c","\u00e4":1}',
    "escaped letters": '{"a":"\\u00e4\\u26A1\\ud83d\\udd0c","\\u00e4":1}',
    "escapes": '{"a":"\\/ / \\" \\\\ \\b\\f\\n\\r\\t \\u0000"}',
    "a name twice": '{"a":1,"a":2}',
    "empty things": '{"":"","a":{},"b":[],"c":null,"d":[{}]}',
    "vendor members": '{"vendorId":"volt","volt:x":{"deep":[[[1.0]]]},"customData":{"vendorId":"volt"}}',
    "looks like a frame": '{"a":"[3,\\"1\\",{}]","b":[2,"1","Heartbeat",{}]}',
    "long": '{"a":"' + "x" * 9_000 + '"}',
    "empty": "{}",
}
# Relayed in both tables, or in none of them.
UP = ("DataTransfer", "VoltSelfTest", "StatusNotification", "FirmwareStatusNotification", "Nobody-Signed")
DOWN = ("DataTransfer", "VoltBlink", "UnlockConnector", "GetLog", "ReserveNow", "ChangeAvailability", "Nobody-Signed")


class Talk:
    """A booted station and a CSMS, to be driven from outside of the loop."""

    def __init__(self, folder: Path, version: str) -> None:
        self.runner = asyncio.Runner(loop_factory=VirtualLoop, debug=False)
        self.rig = Rig(folder, version, SiteOptions(offline=OfflineMode.ALLOW_UNKNOWN, after_boot_s=0))
        self._ids = itertools.count(1)

    def run(self, talk: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(talk)

    async def start(self) -> None:
        await self.rig.start()
        await self.rig.connect()
        await self.answered(self.rig.station, "BootNotification", '{"a":1}', '{"status":"Accepted","interval":300}')

    def other(self, peer: Peer) -> Peer:
        return self.rig.csms if peer is self.rig.station else self.rig.station

    async def asked(self, peer: Peer, action: str, payload: str) -> tuple[str, str, str]:
        """Send a CALL; returns its id, the id under which it arrives, and the payload that does."""
        call_id = json.dumps(f"q{next(self._ids)}")
        await peer.say(f"[2,{call_id},{json.dumps(action)},{payload}]")
        came = await self.other(peer).hear()
        assert came is not None, f"{action} did not arrive; {list(peer.unread)}"
        call = _CALL.fullmatch(came)
        assert call, came
        assert json.loads(call[2]) == action
        return call_id, call[1], call[3]

    async def told(self, peer: Peer, answer: str) -> str:
        """Send the answer of a CALL; returns the frame the asker gets."""
        await peer.say(answer)
        came = await self.other(peer).hear()
        assert came is not None, "no answer arrived"
        return came

    async def answered(self, peer: Peer, action: str, payload: str, answer: str) -> tuple[str, str]:
        """A CALL and its CALLRESULT; returns both payloads as they arrived."""
        call_id, relayed_id, arrived = await self.asked(peer, action, payload)
        came = await self.told(self.other(peer), f"[3,{relayed_id},{answer}]")
        head = f"[3,{call_id},"
        assert came.startswith(head), came
        assert came.endswith("]")
        return arrived, came[len(head) : -1]

    def peer(self, direction: str) -> Peer:
        return self.rig.station if direction == "up" else self.rig.csms


@contextmanager
def _talk(folder: Path, version: str) -> Iterator[Talk]:
    talk = Talk(folder, version)
    with talk.runner:
        talk.run(talk.start())
        try:
            yield talk
        finally:
            talk.run(talk.rig.stop())


@pytest.fixture
def talk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Talk]:
    with _talk(tmp_path, request.param) as found:
        yield found


both = pytest.mark.parametrize("talk", VERSIONS, indirect=True)
up_and_down = pytest.mark.parametrize("direction", DIRECTIONS)


# -- whatever is written ---------------------------------------------------------------------------------------------


def _actions(direction: str) -> tuple[str, ...]:
    return UP if direction == "up" else DOWN


@both
@up_and_down
def test_odd_texts_arrive_as_written(talk: Talk, direction: str) -> None:
    for action in _actions(direction):
        for what, text in ODD.items():
            arrived = talk.run(talk.answered(talk.peer(direction), action, text, text))
            assert arrived == (text, text), f"{action}: {what}"


_space = st.text(alphabet=" \t\n\r", max_size=2)
_letters = st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters='"\\')
_escape = st.sampled_from(['\\"', "\\\\", "\\/", "\\b", "\\n", "\\u0041", "\\u00e4", "\\ud83d\\udd0c", "\\u0000"])
_string = st.lists(_letters | _escape, max_size=6).map(lambda parts: '"' + "".join(parts) + '"')
_number = st.from_regex(r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,3})?", fullmatch=True, alphabet=st.characters(codec="ascii"))  # fmt: skip  # noqa: E501


def _joined(opening: str, items: st.SearchStrategy[str], closing: str) -> st.SearchStrategy[str]:
    return st.lists(items, max_size=4).map(lambda found: opening + ",".join(found) + closing)


def _object(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.tuples(_space, _string, _space, _space, values, _space)
    return _joined("{", member.map(lambda m: f"{m[0]}{m[1]}{m[2]}:{m[3]}{m[4]}{m[5]}"), "}")


def _array(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return _joined("[", st.tuples(_space, values, _space).map("".join), "]")


_value = st.recursive(
    _string | _number | st.sampled_from(["true", "false", "null"]),
    lambda inner: _object(inner) | _array(inner),
    max_leaves=8,
)
payload_texts = _object(_value)


@both
@up_and_down
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=25)
@given(data=st.data())
def test_any_payload_arrives_as_written(talk: Talk, direction: str, data: st.DataObject) -> None:
    action = data.draw(st.sampled_from(_actions(direction)))
    question, answer = data.draw(payload_texts), data.draw(payload_texts)
    json.loads(question)
    assert talk.run(talk.answered(talk.peer(direction), action, question, answer)) == (question, answer)


@both
@up_and_down
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=20)
@given(description=st.text(st.characters(codec="utf-8"), max_size=60), details=payload_texts)
def test_errors_arrive_with_code_description_and_details(
    talk: Talk, direction: str, description: str, details: str
) -> None:
    peer = talk.peer(direction)

    async def refused(code: str) -> str:
        call_id, relayed_id, _ = await talk.asked(peer, "DataTransfer", "{}")
        error = f"{json.dumps(code)},{json.dumps(description)},{details}"
        came = await talk.told(talk.other(peer), f"[4,{relayed_id},{error}]")
        head = f"[4,{call_id},"
        assert came.startswith(head)
        return came[len(head) : -1]

    for code in ("NotImplemented", "PropertyConstraintViolation", "VoltError"):
        came = talk.run(refused(code))
        assert came.endswith(f",{details}")
        assert json.loads(f"[{came}]") == [code, description, json.loads(details)]


@pytest.mark.parametrize(
    ("talk", "spelling"), [("1.6", "OccurenceConstraintViolation"), ("2.0.1", "OccurrenceConstraintViolation")],
    indirect=["talk"],
)  # fmt: skip
@up_and_down
def test_an_error_code_is_spelled_as_its_version_does(talk: Talk, spelling: str, direction: str) -> None:
    async def refused() -> str:
        _, relayed_id, _ = await talk.asked(talk.peer(direction), "VoltSelfTest", "{}")
        return await talk.told(talk.other(talk.peer(direction)), f'[4,{relayed_id},"{spelling}","x",{{}}]')

    assert json.loads(talk.run(refused()))[2] == spelling


@both
def test_a_payload_may_stand_in_a_frame_with_spaces(talk: Talk) -> None:
    async def asked() -> str | None:
        await talk.rig.station.say(' [ 2 , "s" , "DataTransfer" , { "a" : 1.10 } ] ')
        return await talk.rig.csms.hear()

    came = talk.run(asked())
    assert came is not None
    assert came.endswith(',"DataTransfer",{ "a" : 1.10 }]')


# -- but for what is spliced -------------------------------------------------------------------------------------------

START = '{"connectorId":1,"idTag":"TAG-1","meterStart":5,"timestamp":"2026-03-01T08:00:10Z"}'
ODD_TX = (
    '{{"transactionId":{id}}}',
    '{{ "transactionId" : {id} , "connectorId" : 1, "v" : 1.10}}',
    '{{"x":{{"transactionId":7}},\n\t"transactionId":{id}\r\n, "\\u00e4":"\u26a1","n":1e400}}',
    '{{"transactionId":{id},"transactionId" :{id}}}',
    '{{"transaction\\u0049d":{id}}}',
)


async def _mapped_transaction(talk: Talk) -> str:
    """A transaction that the station knows under the id returned, and the CSMS under 900."""
    rig = talk.rig
    await rig.station.say(f'[2,"start","StartTransaction",{START}]')
    call = _CALL.fullmatch(await rig.csms.hear() or "")
    assert call
    assert call[3] == START
    await asyncio.sleep(8)
    given = json.loads(await rig.station.hear() or "")[2]["transactionId"]
    await rig.csms.say(f'[3,{call[1]},{{"transactionId":900,"idTagInfo":{{"status":"Accepted"}}}}]')
    await asyncio.sleep(1)
    assert given != 900
    return str(given)


@pytest.mark.parametrize("talk", ["1.6"], indirect=True)
def test_a_mapped_id_is_all_that_changes_on_the_way_up(talk: Talk) -> None:
    given = talk.run(_mapped_transaction(talk))
    for action in ("MeterValues", "StopTransaction"):
        for template in ODD_TX:
            arrived, _ = talk.run(talk.answered(talk.rig.station, action, template.format(id=given), "{}"))
            assert arrived == template.format(id=900), f"{action} {template}"


@pytest.mark.parametrize("talk", ["1.6"], indirect=True)
def test_a_mapped_id_is_all_that_changes_on_the_way_down(talk: Talk) -> None:
    given = talk.run(_mapped_transaction(talk))
    nested = '{{"connectorId" :1, "csChargingProfiles" : {{ "transactionId":{id} , "stackLevel":0 , "limit":16.0 }} }}'
    commands = [("RemoteStopTransaction", template) for template in ODD_TX]
    commands += [("SetChargingProfile", nested), ("RemoteStartTransaction", nested.replace("csChargingProfiles", "chargingProfile"))]  # fmt: skip  # noqa: E501
    for action, template in commands:
        arrived, _ = talk.run(talk.answered(talk.rig.csms, action, template.format(id=900), "{}"))
        assert arrived == template.format(id=given), f"{action} {template}"


@pytest.mark.parametrize("talk", ["1.6"], indirect=True)
def test_an_id_of_nobody_is_left_alone(talk: Talk) -> None:
    talk.run(_mapped_transaction(talk))
    for text in ('{"transactionId": 12345678901234567890 }', '{"transactionId":"x"}', '{"transactionId":1.5}', "{}"):
        arrived = talk.run(talk.answered(talk.rig.csms, "RemoteStopTransaction", text, text))
        assert arrived == (text, text)


EVENT = (
    '{{ "eventType" : "Updated" ,"timestamp":"2026-03-01T08:0{n}:00.000Z","triggerReason":"ChargingStateChanged",'
    '"seqNo":{n} ,"transactionInfo":{{"transactionId":"T-1","volt":1.10}}{offline},"\\u00e4":"\u26a1","n":1e400}}'
)


@pytest.mark.parametrize("talk", ["2.0.1"], indirect=True)
def test_offline_is_all_that_changes_in_a_replayed_event(talk: Talk) -> None:
    """A member that is missing is put in front; one that is there gets the other value."""
    rig = talk.rig
    cases = ["", ',"offline":false', ', "offline" : null ', ',"offline":true', ',"x":{"offline":false}']
    texts = [EVENT.format(n=n, offline=offline) for n, offline in enumerate(cases)]

    async def replayed() -> list[str]:
        rig.world.csms.cut()
        await asyncio.sleep(1)
        for n, text in enumerate(texts):
            await rig.station.say(f'[2,"e{n}","TransactionEvent",{text}]')
            assert await rig.station.hear() == f'[3,"e{n}",{{}}]'
        rig.world.csms.mend()
        await asyncio.sleep(10)
        arrived = []
        for _ in texts:
            call = _CALL.fullmatch(await rig.csms.hear() or "")
            assert call
            arrived.append(call[3])
            await rig.csms.say(f"[3,{call[1]},{{}}]")
        return arrived

    after = ["", ',"offline":true', ', "offline" : true ', ',"offline":true', ',"x":{"offline":false}']
    expected = [EVENT.format(n=n, offline=offline) for n, offline in enumerate(after)]
    for n in (0, 4):
        expected[n] = '{"offline":true,' + expected[n][1:]
    assert talk.run(replayed()) == expected


@both
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=20)
@given(extra=payload_texts, answer=payload_texts)
def test_a_transaction_message_online_arrives_as_written(talk: Talk, extra: str, answer: str) -> None:
    """No id to map, nothing offline: no byte changes, up or down."""
    number = talk.rig.world.random.getrandbits(40)
    head = f'{{"transactionId":-1,"timestamp":"{number}","connectorId":1,"vendor":'
    action = "StopTransaction"
    if talk.rig.version == "2.0.1":
        action = "TransactionEvent"
        head = f'{{"eventType":"Updated","seqNo":1,"timestamp":"{number}","transactionInfo":{{"transactionId":"T"}},"vendor":'  # noqa: E501
    assert talk.run(talk.answered(talk.rig.station, action, f"{head} {extra} }}", answer)) == (
        f"{head} {extra} }}",
        answer,
    )


@pytest.mark.parametrize("talk", ["1.6"], indirect=True)
def test_a_gateway_that_writes_json_anew_is_found_out(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    def anew(message_id: str, action: str, payload: bytes) -> bytes:
        return json.dumps([2, message_id, action, json.loads(payload)], separators=(",", ":")).encode()

    monkeypatch.setattr("gateway.rpc.frame.call", anew)
    for what in ("spacing", "trailing zero", "big numbers", "exponents", "raw letters", "escapes", "a name twice"):
        arrived, _ = talk.run(talk.answered(talk.rig.station, "DataTransfer", ODD[what], "{}"))
        assert arrived != ODD[what], what
