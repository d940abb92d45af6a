"""OCPP 2.1: what it changes over 2.0.1, against the schema folders of both."""

import json
from typing import Any

import pytest

from gateway.dialects import schema
from gateway.dialects.base import Commit, DownRule, Json, Route, UpRule
from gateway.dialects.v21 import V21
from gateway.dialects.v201 import V201
from gateway.model.token import AuthorizationStatus, Decision, Reason
from gateway.rpc.codes import ErrorCode

OWN = schema.actions("2.1") - schema.actions("2.0.1")
EVENT = {
    "eventType": "Updated",
    "timestamp": "2026-03-01T08:01:00Z",
    "triggerReason": "MeterValuePeriodic",
    "seqNo": 1,
    "transactionInfo": {"transactionId": "T-1"},
    "meterValue": [{"timestamp": "2026-03-01T08:01:00Z", "sampledValue": [{"value": 10.5}]}],
}


def is_answered(action: str) -> bool:
    """Whether the schema folder has an answer to it."""
    try:
        schema.source("2.1", action, "response")
    except KeyError:
        return False
    return True


def event(**more: Any) -> bytes:
    payload = json.dumps({**EVENT, **more}).encode()
    assert schema.validate("2.1", "TransactionEvent", "request", payload) == []
    return payload


# -- the table -------------------------------------------------------------------------------------------------------


def test_all_actions_have_a_row() -> None:
    assert len(schema.actions("2.1")) == 91
    assert len(OWN) == 27
    assert set(V21.up) | set(V21.down) == schema.actions("2.1")
    assert set(V21.up) & set(V21.down) == {"DataTransfer"}
    assert set(V21.up) & OWN == set(V21.up) - set(V201.up)


def test_only_what_has_no_answer_is_a_send() -> None:
    unanswered = {action for action in schema.actions("2.1") if not is_answered(action)}
    assert {rule.action for rule in V21.up.values() if rule.is_send} == unanswered == {"NotifyPeriodicEventStream"}
    assert not any(rule.is_send for rule in V201.up.values())


def test_what_2_1_says_again_it_changes() -> None:
    tables: list[tuple[dict[str, UpRule | DownRule], dict[str, UpRule | DownRule]]]
    tables = [(dict(V21.up), dict(V201.up)), (dict(V21.down), dict(V201.down))]
    changed = {action for new, old in tables for action in old if new[action] is not old[action]}
    assert changed == {"CertificateSigned", "ClearDisplayMessage", "InstallCertificate", "SetVariables"}
    assert V21.down["ClearDisplayMessage"].rejected == b'{"status":"Rejected"}'


def test_what_has_worth_is_durable() -> None:
    durable = {action: V21.up[action].commit for action in set(V21.up) & OWN if V21.up[action].route is Route.DURABLE}
    assert durable == {
        "BatterySwap": Commit.EAGER,
        "NotifySettlement": Commit.EAGER,
        "NotifyDERAlarm": Commit.LAZY,
        "NotifyDERStartStop": Commit.LAZY,
    }
    assert V21.up["TransactionEvent"].commit is Commit.EAGER


def test_what_changes_a_charging_profile_is_merged() -> None:
    merged = {rule.action for rule in V21.down.values() if rule.route is Route.MERGE} & OWN
    assert merged == {"AFRRSignal", "UpdateDynamicSchedule", "UsePriorityCharging"}


def test_the_site_as_one_station_has_no_streams_tariffs_or_der() -> None:
    refused = {rule.action for rule in V21.down.values() if rule.aggregate is Route.REFUSE} & OWN
    assert refused == {
        action
        for action in set(V21.down) & OWN
        if any(t in action for t in ("Stream", "Tariff", "DER", "RequestBatterySwap"))
    }


@pytest.mark.parametrize("action", ["GetCertificateChainStatus", "VatNumberValidation"])
def test_no_fixed_answer_repeats_what_was_asked(action: str) -> None:
    assert V21.up[action].offline is ErrorCode.GENERIC_ERROR
    assert schema.validate("2.1", action, "response", b'{"status":"Rejected"}')


@pytest.mark.parametrize(
    ("action", "type_", "passes"),
    [
        ("CertificateSigned", "V2GCertificate", True),
        ("CertificateSigned", "V2G20Certificate", True),
        ("CertificateSigned", "ChargingStationCertificate", False),
        ("CertificateSigned", None, False),
        ("InstallCertificate", "OEMRootCertificate", True),
        ("InstallCertificate", "MORootCertificate", True),
        ("InstallCertificate", "CSMSRootCertificate", False),
    ],
)
def test_new_kinds_of_certificate_pass_and_those_of_the_leg_do_not(
    action: str, type_: str | None, passes: bool
) -> None:
    guard = V21.down[action].guard
    assert guard is not None
    guarded = guard(json.dumps({"certificateType": type_} if type_ else {}).encode())
    assert (guarded.forward is not None) == passes
    if not passes:
        assert guarded.finish(None) == b'{"status":"Rejected"}'


def test_every_kind_of_certificate_was_thought_of() -> None:
    types = schema.source("2.1", "InstallCertificate", "request")["definitions"]["InstallCertificateUseEnumType"][
        "enum"
    ]
    guard = V21.down["InstallCertificate"].guard
    assert guard is not None
    stopped = {t for t in types if guard(json.dumps({"certificateType": t}).encode()).forward is None}
    assert stopped == {"CSMSRootCertificate"}


def test_priority_of_one_transaction_replaces_only_its_own() -> None:
    slot = V21.up["NotifyPriorityCharging"].slot
    assert slot is not None
    first: Json = {"transactionId": "T-1", "activated": True}
    assert slot(first) == slot({**first, "activated": False}) != slot({**first, "transactionId": "T-2"})


# -- the codec -------------------------------------------------------------------------------------------------------


def test_samples_are_samples() -> None:
    message = V21.codec.transaction("TransactionEvent", event(evse={"id": 1}, numberOfPhasesUsed=3))
    assert message is not None
    assert message.samples_only
    assert message.meter_wh == 10


@pytest.mark.parametrize(
    "more",
    [
        {"costDetails": {"totalCost": {"currency": "EUR", "typeOfCost": "NormalCost", "total": {}},
                         "totalUsage": {"energy": 1.0, "chargingTime": 60, "idleTime": 0}}},
        {"preconditioningStatus": "Ready"},
        {"evseSleep": True},
        {"transactionInfo": {"transactionId": "T-1", "operationMode": "ChargingOnly"}},
        {"transactionInfo": {"transactionId": "T-1", "tariffId": "day"}},
        {"transactionInfo": {"transactionId": "T-1", "transactionLimit": {"maxCost": 10.0}}},
        {"triggerReason": "TxResumed"},
        {"triggerReason": "RunningCost"},
        {"triggerReason": "LimitSet"},
    ],
    ids=lambda more: "-".join([*more, *more.get("transactionInfo", {})]),
)  # fmt: skip
def test_news_is_no_sample(more: Json) -> None:
    message = V21.codec.transaction("TransactionEvent", event(**more))
    assert message is not None
    assert not message.samples_only


def test_long_tokens_of_any_type() -> None:
    token = {"idToken": "x" * 255, "type": "VIN"}
    payload = json.dumps({"idToken": token}).encode()
    assert schema.validate("2.1", "Authorize", "request", payload) == []
    assert schema.validate("2.0.1", "Authorize", "request", payload)
    read = V21.codec.token(payload)
    assert read is not None
    assert (read.value, read.type) == ("x" * 255, "VIN")


@pytest.mark.parametrize(("length", "is_told"), [(36, True), (37, True), (255, True), (256, False)])
def test_a_group_is_told_up_to_its_length(length: int, is_told: bool) -> None:
    decision = Decision(AuthorizationStatus.ACCEPTED, Reason.CSMS, "g" * length)
    answer = V21.codec.answer_authorize(decision)
    assert schema.validate("2.1", "Authorize", "response", answer) == []
    assert ("groupIdToken" in json.loads(answer)["idTokenInfo"]) == is_told
    told_in_201 = "groupIdToken" in json.loads(V201.codec.answer_authorize(decision))["idTokenInfo"]
    assert told_in_201 == (length <= 36)
