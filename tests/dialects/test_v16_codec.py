import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import schema
from gateway.dialects.v16_codec import Codec16, meter_slot, status_slot
from gateway.model.events import (
    BootAnswer,
    EventKind,
    RegistrationStatus,
    StatusReport,
    TransactionAnswer,
    TransactionMessage,
)
from gateway.model.token import AuthorizationStatus, Decision, IdToken, Reason, Verdict
from gateway.rpc.codes import CallError, ErrorCode

CODEC = Codec16()
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
START = b'{"connectorId":1,"idTag":"Tag-1","meterStart":100,"timestamp":"2026-01-02T03:04:05Z"}'
STOP = (
    b'{ "transactionId" : 5, "meterStop":1500.0, "timestamp":"t", "x\\u00e4":"\\/", "reason":"EVDisconnected",'
    b'"idTag":"TAG-1" }'
)
METER = (
    b'{"connectorId":2,"transactionId": 5 ,"meterValue":[{"timestamp":"t1","sampledValue":[{"value":"1"}]},'
    b'{"timestamp":"t2","sampledValue":[{"value":"7.50","unit":"kWh","context":"Sample.Periodic"},'
    b'{"value":"00ff","format":"SignedData"}]}]}'
)
UNDECIDED = TransactionMessage(EventKind.UPDATED, "f")
STATUSES_OF_1_6 = {"Accepted", "Blocked", "Expired", "Invalid", "ConcurrentTx"}
WEIRD_IDS = [0, -1, 1, 2**31, 2**63 - 1, 10**30]


def read(action: str, payload: bytes) -> TransactionMessage:
    message = CODEC.transaction(action, payload)
    assert message is not None
    return message


def with_id(payload: bytes, number: str) -> bytes:
    return payload.replace(b": 5 ,", b": %b ," % number.encode()).replace(b": 5,", b": %b," % number.encode())


def test_start() -> None:
    assert read("StartTransaction", START) == TransactionMessage(
        EventKind.STARTED,
        "1|tag-1|100|2026-01-02T03:04:05Z",
        evse=1,
        token=IdToken("Tag-1"),
        timestamp="2026-01-02T03:04:05Z",
        meter_wh=100,
    )


def test_start_is_recognised_by_what_it_says_not_by_its_bytes() -> None:
    again = b'{"idTag":"TAG-1", "reservationId":4, "connectorId":"1", "meterStart":100.0, "timestamp":'
    again += b'"2026-01-02T03:04:05Z"}'
    assert read("StartTransaction", again).fingerprint == read("StartTransaction", START).fingerprint
    for old, new in ((b":1,", b":2,"), (b"Tag-1", b"Tag-2"), (b":100,", b":101,"), (b":05Z", b":06Z")):
        assert (
            read("StartTransaction", START.replace(old, new)).fingerprint != read("StartTransaction", START).fingerprint
        )


def test_start_without_a_tag_still_has_a_token_to_decide_on() -> None:
    assert read("StartTransaction", b"{}").token == IdToken("")
    assert read("StartTransaction", b'{"idTag":1234}').token == IdToken("1234")


def test_stop() -> None:
    assert read("StopTransaction", STOP) == TransactionMessage(
        EventKind.ENDED,
        hashlib.sha256(STOP).hexdigest()[:32],
        station_tx_id="5",
        token=IdToken("TAG-1"),
        timestamp="t",
        meter_wh=1500,
        stopped_reason="EVDisconnected",
    )


def test_stop_without_tag_and_reason() -> None:
    for tag in (b"", b',"idTag":""', b',"idTag":null'):
        message = read("StopTransaction", b'{"transactionId":5,"meterStop":-1%b}' % tag)
        assert (message.token, message.stopped_reason, message.meter_wh) == (None, "Local", -1)
    assert read("StopTransaction", b"{}").station_tx_id is None


def test_meter_values() -> None:
    assert read("MeterValues", METER) == TransactionMessage(
        EventKind.UPDATED,
        hashlib.sha256(METER).hexdigest()[:32],
        station_tx_id="5",
        evse=2,
        samples_only=True,
    )


@pytest.mark.parametrize("id_", ["", "null", "{}", "true", '""'])
def test_meter_values_without_a_transaction(id_: str) -> None:
    member = b',"transactionId":%b' % id_.encode() if id_ else b""
    assert CODEC.transaction("MeterValues", b'{"connectorId":1%b}' % member) is None


@pytest.mark.parametrize("number", WEIRD_IDS)
def test_any_id_is_taken_and_has_one_spelling(number: int) -> None:
    spellings = [f"{number}", f'"{number}"', f'" {number}"']
    if abs(number) < 2**53:
        spellings.append(f"{number}.0")
    for spelling in spellings:
        for action, payload in (("StopTransaction", STOP), ("MeterValues", METER)):
            assert read(action, with_id(payload, spelling)).station_tx_id == str(number)
    assert CODEC.map_tx_id(str(number)) == b"%d" % number
    assert json.loads(CODEC.remote_stop(str(number))[1]) == {"transactionId": number}


def test_an_id_that_is_no_number_is_kept() -> None:
    assert read("MeterValues", with_id(METER, '"abc"')).station_tx_id == "abc"
    with pytest.raises(ValueError, match="abc"):
        CODEC.map_tx_id("abc")


@pytest.mark.parametrize("action", ["StartTransaction", "StopTransaction", "MeterValues"])
def test_no_object_is_a_format_violation(action: str) -> None:
    for payload in (b"[]", b"{", b"", b"12"):
        with pytest.raises(CallError) as raised:
            CODEC.transaction(action, payload)
        assert raised.value.code == ErrorCode.FORMAT_VIOLATION


def test_other_actions_are_no_transaction_messages() -> None:
    with pytest.raises(CallError):
        CODEC.transaction("Heartbeat", b"{}")


def test_tokens() -> None:
    assert CODEC.token(b'{"idTag":"aB"}') == CODEC.remote_token(b'{"idTag":"aB","connectorId":1}') == IdToken("aB")
    assert CODEC.token(b'{"idTag":""}') == IdToken("")
    assert CODEC.token(b"{}") is None
    assert CODEC.token(b'{"idTag":["x"]}') is None


@pytest.mark.parametrize(
    ("payload", "report", "slot"),
    [
        (
            b'{"connectorId":2,"status":"Charging","errorCode":"NoError"}',
            StatusReport(2, 1, "Charging", "NoError"),
            "status:2/1",
        ),
        (b'{"connectorId":0,"status":"Available"}', StatusReport(0, 0, "Available"), "status:0/0"),
        (b'{"connectorId":"1","status":"available"}', StatusReport(1, 1, "Available"), "status:1/1"),
        (b'{"connectorId":1,"status":"Vendor"}', StatusReport(1, 1, "Vendor"), "status:1/1"),
        (b'{"status":"Charging"}', None, "status:?/1"),
    ],
)
def test_status(payload: bytes, report: StatusReport | None, slot: str) -> None:
    assert CODEC.status(payload) == report
    assert status_slot(json.loads(payload)) == slot


def test_meter_slots() -> None:
    assert [meter_slot({"connectorId": n}) for n in (0, 1, "1", None)] == ["meter:0", "meter:1", "meter:1", "meter:?"]


@pytest.mark.parametrize(
    ("info", "verdict"),
    [
        ({"status": "Accepted"}, Verdict(AuthorizationStatus.ACCEPTED)),
        ({"status": "blocked"}, Verdict(AuthorizationStatus.BLOCKED)),
        (
            {"status": "ConcurrentTx", "parentIdTag": "FAM", "expiryDate": "2030-01-01T00:00:00Z"},
            Verdict(AuthorizationStatus.CONCURRENT_TX, "FAM", "2030-01-01T00:00:00Z"),
        ),
        ({"status": "Accepted", "parentIdTag": "", "expiryDate": None}, Verdict(AuthorizationStatus.ACCEPTED)),
        ({"status": "Whatever"}, None),
        ({"status": 3}, None),
        ({}, None),
        ("Accepted", None),
        (None, None),
    ],
)
def test_verdicts(info: Any, verdict: Verdict | None) -> None:
    payload = json.dumps({"idTagInfo": info, "transactionId": "77"}).encode()
    assert CODEC.authorize_answer(payload) == verdict
    assert CODEC.transaction_answer("StartTransaction", payload) == TransactionAnswer(77, verdict)
    assert CODEC.transaction_answer("StopTransaction", payload) == TransactionAnswer(None, verdict)


def test_answers_that_cannot_be_read_say_nothing() -> None:
    for payload in (b"", b"[]", b"{}", b'{"transactionId":"x"}'):
        assert CODEC.transaction_answer("StartTransaction", payload) == TransactionAnswer()
        assert CODEC.authorize_answer(payload) is None
        assert CODEC.boot_answer(payload) is None


@pytest.mark.parametrize("status", AuthorizationStatus)
@pytest.mark.parametrize("group", [None, "FAM", "FAM|ISO14443", "A" * 21])
@pytest.mark.parametrize("expiry", [None, "2030-01-01T00:00:00.5+01:00", "never"])
def test_own_answers_are_valid(status: AuthorizationStatus, group: str | None, expiry: str | None) -> None:
    decision = Decision(status, Reason.KNOWN, group, expiry)
    answers = {
        "Authorize": CODEC.answer_authorize(decision),
        "StartTransaction": CODEC.answer_transaction("StartTransaction", UNDECIDED, decision, "12"),
        "StopTransaction": CODEC.answer_transaction("StopTransaction", UNDECIDED, decision, "12"),
    }
    for action, payload in answers.items():
        assert schema.validate("1.6", action, "response", payload) == []
        info = json.loads(payload)["idTagInfo"]
        assert info["status"] in STATUSES_OF_1_6
        assert (info["status"] == "Accepted") == (status is AuthorizationStatus.ACCEPTED)
        assert info.get("parentIdTag") == ("FAM" if group in ("FAM", "FAM|ISO14443") else None)
        assert info.get("expiryDate") == ("2029-12-31T23:00:00Z" if expiry == "2030-01-01T00:00:00.5+01:00" else None)
    assert json.loads(answers["StartTransaction"])["transactionId"] == 12


def test_statuses_1_6_lacks() -> None:
    def said(status: AuthorizationStatus) -> str:
        payload = CODEC.answer_authorize(Decision(status, Reason.KNOWN))
        return str(json.loads(payload)["idTagInfo"]["status"])

    assert said(AuthorizationStatus.UNKNOWN) == "Invalid"
    assert said(AuthorizationStatus.NO_CREDIT) == said(AuthorizationStatus.NOT_AT_THIS_TIME) == "Blocked"


@pytest.mark.parametrize("number", WEIRD_IDS)
def test_own_start_answer_takes_any_id(number: int) -> None:
    payload = CODEC.answer_transaction("StartTransaction", UNDECIDED, None, str(number))
    assert json.loads(payload) == {"idTagInfo": {"status": "Invalid"}, "transactionId": number}
    assert schema.validate("1.6", "StartTransaction", "response", payload) == []


def test_own_answers_without_a_decision() -> None:
    assert CODEC.answer_transaction("StopTransaction", UNDECIDED, None, "1") == b"{}"
    assert CODEC.answer_transaction("MeterValues", UNDECIDED, None, None) == b"{}"
    with pytest.raises(ValueError, match="id"):
        CODEC.answer_transaction("StartTransaction", UNDECIDED, None, None)


def test_own_boot_and_heartbeat_answers_are_valid() -> None:
    for status in RegistrationStatus:
        payload = CODEC.answer_boot(BootAnswer(status, 300), NOW)
        assert schema.validate("1.6", "BootNotification", "response", payload) == []
        assert CODEC.boot_answer(payload) == BootAnswer(status, 300)
    assert schema.validate("1.6", "Heartbeat", "response", CODEC.answer_heartbeat(NOW)) == []


def test_only_a_start_answer_is_rebound() -> None:
    answer = b'{ "transactionId" :  7 , "idTagInfo":{"status":"Accepted","x":1.50} }'
    rebound = answer.replace(b"7", b"1000000001")
    assert CODEC.rebind_answer("StartTransaction", answer, "1000000001") == rebound
    assert CODEC.rebind_answer("StartTransaction", answer, None) == answer
    assert CODEC.rebind_answer("StopTransaction", answer, "1000000001") == answer
    assert CODEC.rebind_answer("StartTransaction", b"{", "1000000001") == b"{"


@pytest.mark.parametrize("number", WEIRD_IDS)
@pytest.mark.parametrize(("action", "payload"), [("StopTransaction", STOP), ("MeterValues", METER)])
def test_binding_changes_the_id_and_no_other_byte(action: str, payload: bytes, number: int) -> None:
    bound = CODEC.bind(action, payload, upstream_tx_id=number, offline=True, stopped_reason=None)
    assert bound == with_id(payload, str(number))


def test_binding_corrects_the_reason_of_a_stop() -> None:
    bound = CODEC.bind("StopTransaction", STOP, upstream_tx_id=None, offline=True, stopped_reason="DeAuthorized")
    assert bound == STOP.replace(b"EVDisconnected", b"DeAuthorized")
    bare = b'{ "transactionId":5}'
    bound = CODEC.bind("StopTransaction", bare, upstream_tx_id=6, offline=False, stopped_reason="DeAuthorized")
    assert bound == b'{"reason":"DeAuthorized", "transactionId":6}'
    assert CODEC.bind("MeterValues", METER, upstream_tx_id=None, offline=True, stopped_reason="X") == METER


def test_binding_inserts_no_id_and_leaves_other_actions() -> None:
    for action in ("StopTransaction", "MeterValues"):
        payload = b'{"connectorId":1}'
        assert CODEC.bind(action, payload, upstream_tx_id=6, offline=True, stopped_reason=None) == payload
    assert CODEC.bind("StartTransaction", START, upstream_tx_id=6, offline=True, stopped_reason="X") == START
    event = b'{"transactionId":1}'
    assert CODEC.bind("SecurityEventNotification", event, upstream_tx_id=6, offline=True, stopped_reason="X") == event


def test_queue_status_is_unknown_here() -> None:
    assert CODEC.queue_status(b"{}", True) == b"{}"


_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([1, {}]) | st.just({"a": [1]})
_NAMES = ["connectorId", "idTag", "meterStart", "timestamp", "transactionId", "meterStop", "reason", "meterValue"]


@given(st.dictionaries(st.sampled_from([*_NAMES, "status", "errorCode"]), _VALUES))
def test_any_object_can_be_read_and_bound(found: dict[str, Any]) -> None:
    payload = json.dumps(found).encode()
    for action in ("StartTransaction", "StopTransaction", "MeterValues"):
        CODEC.transaction(action, payload)
        CODEC.bind(action, payload, upstream_tx_id=1, offline=True, stopped_reason="DeAuthorized")
    CODEC.status(payload)
    CODEC.token(payload)
    assert status_slot(found)
    assert meter_slot(found)
