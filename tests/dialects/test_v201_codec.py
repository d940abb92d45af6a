import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import schema
from gateway.dialects.v201_codec import Codec201, meter_slot, status_slot
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

CODEC = Codec201()
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STARTED: dict[str, Any] = {
    "eventType": "Started",
    "timestamp": "2026-01-02T03:04:05Z",
    "triggerReason": "Authorized",
    "seqNo": 0,
    "transactionInfo": {"transactionId": "tx-1", "chargingState": "EVConnected"},
    "evse": {"id": 2, "connectorId": 1},
    "idToken": {"idToken": "Tag-1", "type": "ISO14443"},
    "meterValue": [
        {
            "timestamp": "2026-01-02T03:04:05Z",
            "sampledValue": [
                {"value": 1.5, "context": "Transaction.Begin", "unitOfMeasure": {"unit": "kWh"}},
                {"value": 9, "context": "Sample.Periodic", "unitOfMeasure": {"unit": "Wh", "multiplier": 3}},
            ],
        }
    ],
}
UPDATED: dict[str, Any] = {
    "eventType": "Updated",
    "timestamp": "2026-01-02T03:05:05Z",
    "triggerReason": "MeterValuePeriodic",
    "seqNo": 1,
    "transactionInfo": {"transactionId": "tx-1", "chargingState": "Charging", "timeSpentCharging": 60},
    "evse": {"id": 2},
    "offline": False,
    "numberOfPhasesUsed": 3,
    "meterValue": STARTED["meterValue"],
}
ENDED: dict[str, Any] = {
    "eventType": "Ended",
    "timestamp": "2026-01-02T04:04:05Z",
    "triggerReason": "EVDeparted",
    "seqNo": 2,
    "transactionInfo": {"transactionId": "tx-1", "stoppedReason": "EVDisconnected"},
}
RAW = (
    b'{ "seqNo" : 1.0e0, "offline":false , "customData":{"vendorId":"\\u0078"},"eventType":"Ended",'
    b'"transactionInfo":{"transactionId":"a", "stoppedReason":"Remote" } }'
)


def read(event: dict[str, Any]) -> TransactionMessage:
    message = CODEC.transaction("TransactionEvent", json.dumps(event).encode())
    assert message is not None
    return message


def test_examples_are_valid() -> None:
    for event in (STARTED, UPDATED, ENDED):
        assert schema.validate("2.0.1", "TransactionEvent", "request", json.dumps(event).encode()) == []


def fingerprint(said: str) -> str:
    """transactionId | seqNo | eventType | timestamp, hashed: it recognises a retry, also in a file of an older day."""
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def test_started() -> None:
    assert read(STARTED) == TransactionMessage(
        EventKind.STARTED,
        fingerprint("tx-1|0|Started|2026-01-02T03:04:05Z"),
        station_tx_id="tx-1",
        evse=2,
        token=IdToken("Tag-1", "ISO14443"),
        timestamp="2026-01-02T03:04:05Z",
        meter_wh=1500,
    )


def test_updated_and_ended() -> None:
    updated, ended = read(UPDATED), read(ENDED)
    assert (updated.kind, updated.samples_only, updated.meter_wh) == (EventKind.UPDATED, True, 9000)
    assert (updated.token, updated.stopped_reason) == (None, None)
    assert (ended.kind, ended.samples_only, ended.stopped_reason) == (EventKind.ENDED, False, "EVDisconnected")
    assert read({**ENDED, "transactionInfo": {"transactionId": "tx-1"}}).stopped_reason == "Local"


@pytest.mark.parametrize(
    "said",
    [
        {"triggerReason": "ChargingStateChanged"},
        {"triggerReason": "Trigger"},
        {"triggerReason": None},
        {"triggerReason": ["MeterValuePeriodic"]},
        {"idToken": {"idToken": "", "type": "NoAuthorization"}},
        {"reservationId": 1},
        {"cableMaxCurrent": 32},
        {"customData": {"vendorId": "x"}},
        {"transactionInfo": {"transactionId": "tx-1", "remoteStartId": 1}},
        {"transactionInfo": {"transactionId": "tx-1", "stoppedReason": "Local"}},
        {"eventType": "Ended"},
        {"eventType": "Started"},
    ],
)
def test_what_else_is_said_makes_it_more_than_samples(said: dict[str, Any]) -> None:
    assert read({**UPDATED, **said}).samples_only is False


@pytest.mark.parametrize(
    "said",
    [
        {"triggerReason": "MeterValueClock"},
        {"idToken": None},
        {"offline": True},
        {"transactionInfo": {"transactionId": "tx-1"}},
        {"evse": {"id": 2, "connectorId": 1}},
    ],
)
def test_samples_stay_samples(said: dict[str, Any]) -> None:
    assert read({**UPDATED, **said}).samples_only is True


def test_fingerprints_tell_events_apart() -> None:
    assert read({**UPDATED, "seqNo": "1", "offline": True}).fingerprint == read(UPDATED).fingerprint
    others: list[dict[str, Any]] = [
        {"seqNo": 2},
        {"timestamp": "2026-01-02T03:05:06Z"},
        {"eventType": "Ended"},
        {"triggerReason": "CablePluggedIn"},
        {"transactionInfo": {"transactionId": "tx-2"}},
    ]
    assert read(UPDATED).fingerprint not in {read({**UPDATED, **other}).fingerprint for other in others}


def test_a_start_button_names_nobody() -> None:
    assert read({**STARTED, "idToken": {"idToken": "", "type": "NoAuthorization"}}).token is None
    assert read({**STARTED, "idToken": "bare"}).token == IdToken("bare")


def test_reading_is_lenient() -> None:
    message = read({"eventType": "started", "transactionInfo": {"transactionId": 5}, "seqNo": 1.0, "evse": {"id": "3"}})
    assert message == TransactionMessage(EventKind.STARTED, fingerprint("5|1|Started|"), station_tx_id="5", evse=3)


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"[]", ErrorCode.FORMAT_VIOLATION),
        (b'{"eventType":"Updated"}', ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION),
        (b'{"eventType":"Updated","transactionInfo":{"transactionId":""}}', ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION),
        (b'{"eventType":"Begun","transactionInfo":{"transactionId":"a"}}', ErrorCode.PROPERTY_CONSTRAINT_VIOLATION),
        (b'{"transactionInfo":{"transactionId":"a"}}', ErrorCode.PROPERTY_CONSTRAINT_VIOLATION),
    ],
)
def test_what_cannot_be_booked_is_refused(payload: bytes, code: ErrorCode) -> None:
    with pytest.raises(CallError) as raised:
        CODEC.transaction("TransactionEvent", payload)
    assert raised.value.code == code


def test_other_actions_are_no_transaction_messages() -> None:
    with pytest.raises(CallError):
        CODEC.transaction("MeterValues", b"{}")


def test_tokens() -> None:
    assert CODEC.token(b'{"idToken":{"idToken":"aB","type":"eMAID"}}') == IdToken("aB", "eMAID")
    assert CODEC.remote_token(b'{"remoteStartId":1,"idToken":{"idToken":"aB","type":"Central"}}') == IdToken(
        "aB", "Central"
    )
    assert CODEC.token(b'{"idToken":{"type":"NoAuthorization"}}') == IdToken("", "NoAuthorization")
    assert CODEC.token(b'{"idToken":{}}') is None
    assert CODEC.token(b"{}") is None


@pytest.mark.parametrize(
    ("payload", "report", "slot"),
    [
        (
            b'{"evseId":2,"connectorId":3,"connectorStatus":"Occupied","timestamp":"t"}',
            StatusReport(2, 3, "Occupied"),
            "status:2/3",
        ),
        (b'{"evseId":0,"connectorId":0,"connectorStatus":"Available"}', StatusReport(0, 0, "Available"), "status:0/0"),
        (b'{"evseId":0,"connectorStatus":"Faulted"}', StatusReport(0, 0, "Faulted"), "status:0/0"),
        (b'{"evseId":1,"connectorStatus":"available"}', StatusReport(1, 1, "Available"), "status:1/1"),
        (b'{"connectorId":1,"connectorStatus":"Available"}', None, "status:?/1"),
    ],
)
def test_status(payload: bytes, report: StatusReport | None, slot: str) -> None:
    assert CODEC.status(payload) == report
    assert status_slot(json.loads(payload)) == slot


def test_meter_slots() -> None:
    assert [meter_slot({"evseId": n}) for n in (0, 1, "1", None)] == ["meter:0", "meter:1", "meter:1", "meter:?"]


@pytest.mark.parametrize(
    ("info", "verdict"),
    [
        ({"status": "NoCredit"}, Verdict(AuthorizationStatus.NO_CREDIT)),
        (
            {
                "status": "accepted",
                "cacheExpiryDateTime": "2030-01-01T00:00:00Z",
                "groupIdToken": {"idToken": "FAM", "type": "ISO14443"},
            },
            Verdict(AuthorizationStatus.ACCEPTED, "FAM|ISO14443", "2030-01-01T00:00:00Z"),
        ),
        ({"status": "Accepted", "groupIdToken": {"idToken": "FAM"}}, Verdict(AuthorizationStatus.ACCEPTED, "FAM")),
        ({"status": "Accepted", "groupIdToken": {"type": "Local"}}, Verdict(AuthorizationStatus.ACCEPTED)),
        ({"status": "Whatever"}, None),
        ({}, None),
        ([], None),
    ],
)
def test_verdicts(info: Any, verdict: Verdict | None) -> None:
    payload = json.dumps({"idTokenInfo": info, "transactionId": 7}).encode()
    assert CODEC.authorize_answer(payload) == verdict
    assert CODEC.transaction_answer("TransactionEvent", payload) == TransactionAnswer(None, verdict)


def test_answers_that_cannot_be_read_say_nothing() -> None:
    for payload in (b"", b"[]", b"{}"):
        assert CODEC.transaction_answer("TransactionEvent", payload) == TransactionAnswer()
        assert CODEC.authorize_answer(payload) is None
        assert CODEC.boot_answer(payload) is None


@pytest.mark.parametrize("status", AuthorizationStatus)
@pytest.mark.parametrize("group", [None, "FAM", "FAM|ISO14443", "A" * 37])
@pytest.mark.parametrize("expiry", [None, "2030-01-01T00:00:00.5+01:00", "never"])
def test_own_answers_are_valid(status: AuthorizationStatus, group: str | None, expiry: str | None) -> None:
    decision = Decision(status, Reason.KNOWN, group, expiry)
    answers = {
        "Authorize": CODEC.answer_authorize(decision),
        "TransactionEvent": CODEC.answer_transaction("TransactionEvent", read(STARTED), decision, "tx-1"),
    }
    kept = None if group is not None and len(group) > 36 else group
    written = "2029-12-31T23:00:00Z" if expiry == "2030-01-01T00:00:00.5+01:00" else None
    for action, payload in answers.items():
        assert schema.validate("2.0.1", action, "response", payload) == []
        assert CODEC.authorize_answer(payload) == Verdict(status, kept, written)


def test_own_answer_without_a_decision() -> None:
    assert CODEC.answer_transaction("TransactionEvent", read(UPDATED), None, "tx-1") == b"{}"


def test_own_boot_and_heartbeat_answers_are_valid() -> None:
    for status in RegistrationStatus:
        payload = CODEC.answer_boot(BootAnswer(status, 300), NOW)
        assert schema.validate("2.0.1", "BootNotification", "response", payload) == []
        assert CODEC.boot_answer(payload) == BootAnswer(status, 300)
    assert schema.validate("2.0.1", "Heartbeat", "response", CODEC.answer_heartbeat(NOW)) == []


def test_no_answer_is_rebound() -> None:
    assert CODEC.rebind_answer("TransactionEvent", b'{"transactionId":1}', "2") == b'{"transactionId":1}'


def test_binding_sets_the_offline_flag_and_no_other_byte() -> None:
    bound = CODEC.bind("TransactionEvent", RAW, upstream_tx_id=7, offline=True, stopped_reason=None)
    assert bound == RAW.replace(b"false", b"true")
    bare = RAW.replace(b' "offline":false ,', b"")
    bound = CODEC.bind("TransactionEvent", bare, upstream_tx_id=None, offline=True, stopped_reason=None)
    assert bound == b'{"offline":true,' + bare[1:]
    assert CODEC.bind("TransactionEvent", RAW, upstream_tx_id=7, offline=False, stopped_reason=None) == RAW


def test_binding_corrects_the_reason() -> None:
    bound = CODEC.bind("TransactionEvent", RAW, upstream_tx_id=None, offline=False, stopped_reason="DeAuthorized")
    assert bound == RAW.replace(b'"Remote"', b'"DeAuthorized"')
    bare = RAW.replace(b', "stoppedReason":"Remote"', b"")
    bound = CODEC.bind("TransactionEvent", bare, upstream_tx_id=None, offline=False, stopped_reason="DeAuthorized")
    assert bound == bare.replace(b'{"transactionId"', b'{"stoppedReason":"DeAuthorized","transactionId"')


@pytest.mark.parametrize("action", ["TransactionEvent-Signed", "NotifyEvent", "SecurityEventNotification"])
def test_binding_leaves_signed_and_other_actions(action: str) -> None:
    assert CODEC.bind(action, RAW, upstream_tx_id=7, offline=True, stopped_reason="DeAuthorized") == RAW


def test_transaction_ids_are_texts() -> None:
    assert CODEC.map_tx_id('a"b') == b'"a\\"b"'
    assert CODEC.remote_stop("tx-1") == ("RequestStopTransaction", b'{"transactionId":"tx-1"}')


def test_queue_status_tells_of_the_gateways_queue() -> None:
    answer = b'{"ongoingIndicator":true, "messagesInQueue":false}'
    assert CODEC.queue_status(answer, True) == answer.replace(b"false", b"true")
    assert CODEC.queue_status(answer, False) == answer
    assert CODEC.queue_status(answer.replace(b"false", b"true"), False) == answer.replace(b"false", b"true")
    assert CODEC.queue_status(b"{", True) == b"{"


_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([1, {}]) | st.just({"a": [1]})
_OBJECTS = st.dictionaries(st.sampled_from(["id", "connectorId", "idToken", "type", "chargingState"]), _VALUES)
_NAMES = ["seqNo", "timestamp", "triggerReason", "evse", "idToken", "meterValue", "offline", "evseId", "connectorId"]


@given(st.dictionaries(st.sampled_from([*_NAMES, "connectorStatus"]), _VALUES | _OBJECTS), _OBJECTS)
def test_any_event_with_type_and_id_can_be_read_and_bound(found: dict[str, Any], info: dict[str, Any]) -> None:
    event = {**found, "eventType": "Ended", "transactionInfo": {**info, "transactionId": "a"}}
    payload = json.dumps(event).encode()
    assert read(event).station_tx_id == "a"
    bound = CODEC.bind("TransactionEvent", payload, upstream_tx_id=None, offline=True, stopped_reason="Other")
    assert json.loads(bound)["offline"] is True
    CODEC.status(payload)
    CODEC.token(payload)
    assert status_slot(found)
    assert meter_slot(found)
