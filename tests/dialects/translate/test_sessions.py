"""What the translators of sessions must get right, one by one; whole conversations are transcripts."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects.translate import meter, places, session16, session20, tokens
from gateway.dialects.translate.base import AskedStart, Json, Memory
from gateway.rpc.codes import CallError
from tests.dialects.translate.pipe import Pipe, accepting

AT = "2026-03-01T08:00:00Z"
START = {"connectorId": 1, "idTag": "TAG-1", "meterStart": 100, "timestamp": AT}
LONG = "A-TOKEN-OF-MORE-THAN-TWENTY-CHARS"


def _events(pipe: Pipe) -> list[Json]:
    return [payload for action, payload in pipe.sent if action == "TransactionEvent"]


def _event(kind: str, number: int, trigger: str = "MeterValuePeriodic", **more: Any) -> Json:
    info = {"transactionId": "T-1", **more.pop("info", {})}
    return {
        "eventType": kind,
        "timestamp": AT,
        "triggerReason": trigger,
        "seqNo": number,
        "transactionInfo": info,
        **more,
    }


def _wh(value: float, context: str = "Transaction.Begin", **more: Any) -> list[Json]:
    return [{"timestamp": AT, "sampledValue": [{"value": value, "context": context, **more}]}]


EVSE: Json = {"evse": {"id": 1, "connectorId": 1}}
TOKEN: Json = {"idToken": {"idToken": "TAG-1", "type": "ISO14443"}}


# -- 1.6 -> 2.0.1 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [None, *session16.REASONS])
def test_every_stop_reason_has_its_pair(reason: str | None) -> None:
    pipe = Pipe("1.6", "2.0.1")
    tx = pipe.say("StartTransaction", START)["transactionId"]
    stop = {"transactionId": tx, "meterStop": 150, "timestamp": AT, **({"reason": reason} if reason else {})}
    assert pipe.say("StopTransaction", stop) == {}
    ended = _events(pipe)[-1]
    stopped, trigger = session16.REASONS[reason or "Local"]
    assert ended["transactionInfo"].get("stoppedReason") == (stopped if reason else None)
    assert (ended["triggerReason"], ended["seqNo"]) == (trigger, 1)
    assert meter.register_wh(ended["meterValue"], "Transaction.End") == 150


@pytest.mark.parametrize(
    ("contexts", "trigger"),
    [
        ([None], "MeterValuePeriodic"),
        (["Sample.Periodic"], "MeterValuePeriodic"),
        (["Sample.Clock", "Trigger"], "MeterValueClock"),
        (["Trigger"], "Trigger"),
        (["Interruption.Begin"], "MeterValuePeriodic"),
    ],
)
def test_meter_values_say_why_they_come(contexts: list[str | None], trigger: str) -> None:
    pipe = Pipe("1.6", "2.0.1")
    tx = pipe.say("StartTransaction", START)["transactionId"]
    samples = [{"value": "1", **({"context": context} if context else {})} for context in contexts]
    values = [{"timestamp": AT, "sampledValue": samples}]
    pipe.say("MeterValues", {"connectorId": 1, "transactionId": tx, "meterValue": values})
    assert _events(pipe)[-1]["triggerReason"] == trigger


def test_a_remote_start_is_known_again_by_its_token_and_evse() -> None:
    alias = tokens.alias_of(LONG, "Central").alias
    asked = AskedStart(11, alias.casefold(), LONG, "Central", 1, "2026-03-01T08:05:00Z")
    late = AskedStart(10, alias.casefold(), LONG, "Central", 1, "2026-03-01T07:59:00Z")
    pipe = Pipe("1.6", "2.0.1", memory=Memory(starts=(late, AskedStart(12, "other", "o", "Central", 1, AT), asked)))
    pipe.say("StartTransaction", {**START, "idTag": alias})
    started = _events(pipe)[0]
    assert started["idToken"] == {"idToken": LONG, "type": "Central"}
    assert (started["triggerReason"], started["transactionInfo"]["remoteStartId"]) == ("RemoteStart", 11)
    assert asked not in pipe.memory.starts
    pipe.say("StartTransaction", {**START, "idTag": alias})
    assert _events(pipe)[1]["triggerReason"] == "Authorized"


def test_a_stop_of_a_session_nobody_saw_begin_ends_one_of_its_own() -> None:
    """An id that says nothing ends nobody else's."""
    pipe = Pipe("1.6", "2.0.1")
    pipe.say("StartTransaction", START)
    running = _events(pipe)[0]["transactionInfo"]["transactionId"]
    for own_id in (-1, 0, 4711):
        pipe.say("StopTransaction", {"transactionId": own_id, "meterStop": 5, "timestamp": AT})
    pipe.say("MeterValues", {"connectorId": 1, "transactionId": -1, "meterValue": _wh_16("7")})
    ended = [event["transactionInfo"]["transactionId"] for event in _events(pipe)[1:]]
    assert len({*ended, running}) == 4
    assert pipe.sent[-1][0] == "MeterValues"
    assert not pipe.memory.tx_at(1).is_ended  # type: ignore[union-attr]


def _wh_16(value: str) -> list[Json]:
    return [{"timestamp": AT, "sampledValue": [{"value": value}]}]


def test_an_offline_event_says_so_and_nothing_of_the_state_of_now() -> None:
    pipe = Pipe("1.6", "2.0.1")
    pipe.say("StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": "Charging"}, is_offline=True)
    tx = pipe.say("StartTransaction", START, is_offline=True)["transactionId"]
    values = {"connectorId": 1, "transactionId": tx, "meterValue": _wh_16("7")}
    pipe.say("MeterValues", values, is_offline=True)
    pipe.say("MeterValues", values)
    first, second, third = _events(pipe)
    assert [event.get("offline") for event in (first, second, third)] == [True, True, None]
    states = [event["transactionInfo"].get("chargingState") for event in (first, second, third)]
    assert states == ["EVConnected", None, "Charging"]


def test_long_transaction_data_is_told_before_the_end() -> None:
    pipe = Pipe("1.6", "2.0.1")
    tx = pipe.say("StartTransaction", START)["transactionId"]
    data = [{"timestamp": AT, "sampledValue": [{"value": str(n)}]} for n in range(250)]
    pipe.say("StopTransaction", {"transactionId": tx, "meterStop": 9, "timestamp": AT, "transactionData": data})
    kinds = [event["eventType"] for event in _events(pipe)]
    assert kinds == ["Started", "Updated", "Updated", "Ended"]
    told = [value for event in _events(pipe)[1:] for value in event["meterValue"]]
    assert [value["sampledValue"][0]["value"] for value in told] == [*range(200), 9, *range(200, 250)]


def test_signed_data_without_a_reading_is_refused_outside_of_a_transaction() -> None:
    pipe = Pipe("1.6", "2.0.1")
    signed = [{"timestamp": AT, "sampledValue": [{"value": "OCMF|x", "format": "SignedData"}]}]
    with pytest.raises(CallError, match="signed values"):
        pipe.say("MeterValues", {"connectorId": 1, "meterValue": signed})
    tx = pipe.say("StartTransaction", START)["transactionId"]
    pipe.say("MeterValues", {"connectorId": 1, "transactionId": tx, "meterValue": signed})
    beside = _events(pipe)[-1]["customData"]
    assert beside == {"vendorId": meter.VENDOR, "signed": signed}


@given(st.text(max_size=3000))
@settings(max_examples=60, deadline=None)
def test_signed_data_is_never_altered(data: str) -> None:
    there, back = Pipe("1.6", "2.0.1"), Pipe("2.0.1", "1.6")
    tx = there.say("StartTransaction", START)["transactionId"]
    samples = [
        {"value": "1.50", "measurand": meter.REGISTER},
        {"value": data, "format": "SignedData", "measurand": meter.REGISTER},
    ]
    there.say(
        "MeterValues",
        {"connectorId": 1, "transactionId": tx, "meterValue": [{"timestamp": AT, "sampledValue": samples}]},
    )
    for action, payload in there.sent:
        back.say(action, json.loads(json.dumps(payload, default=float)))
    came = [
        sample
        for action, payload in back.sent
        if action == "MeterValues"
        for value in payload["meterValue"]
        for sample in value["sampledValue"]
    ]
    assert [sample["value"] for sample in came if sample.get("format") == "SignedData"] == [data]


# -- 2.0.1 -> 1.6 ------------------------------------------------------------------------------------------------------


def _begin(pipe: Pipe) -> None:
    pipe.say(
        "TransactionEvent",
        _event("Started", 0, info={"chargingState": "Charging"}, meterValue=_wh(100), **EVSE, **TOKEN),
    )


@pytest.mark.parametrize("reason", ["GroundFault", "StoppedByEV", "Timeout", *session20.REASONS])
def test_every_stopped_reason_has_its_pair(reason: str) -> None:
    pipe = Pipe("2.0.1", "1.6")
    _begin(pipe)
    pipe.say(
        "TransactionEvent",
        _event(
            "Ended",
            1,
            info={"stoppedReason": reason},
            meterValue=_wh(0.2, "Transaction.End", unitOfMeasure={"unit": "kWh"}),
        ),
    )
    stop = next(payload for action, payload in pipe.sent if action == "StopTransaction")
    assert stop["reason"] == session20.REASONS.get(reason, "Other")
    assert (stop["meterStop"], stop["transactionId"]) == (200, 77)


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (_event("Ended", 2, meterValue=_wh(100, "Transaction.End")), []),
        (_event("Ended", 2, meterValue=_wh(101, "Transaction.End")), [("NoAuthorization", 100, 101)]),
        (_event("Updated", 2, "Authorized", **TOKEN), [("TAG-1", 100, None)]),
        (
            _event("Updated", 2, "Authorized", idToken={"idToken": "", "type": "NoAuthorization"}),
            [("NoAuthorization", 100, None)],
        ),
    ],
)
def test_a_start_is_held_until_it_is_one(last: Json, told: list[tuple[str, int, int | None]]) -> None:
    pipe = Pipe("2.0.1", "1.6")
    pipe.say(
        "TransactionEvent",
        _event("Started", 0, "CablePluggedIn", info={"chargingState": "EVConnected"}, meterValue=_wh(100), **EVSE),
    )
    pipe.say("TransactionEvent", _event("Updated", 1, meterValue=_wh(100, "Sample.Periodic")))
    assert not any(action in ("StartTransaction", "MeterValues") for action, _ in pipe.sent)
    pipe.say("TransactionEvent", last)
    starts = [payload for action, payload in pipe.sent if action == "StartTransaction"]
    stops = [payload["meterStop"] for action, payload in pipe.sent if action == "StopTransaction"]
    assert [(one["idTag"], one["meterStart"], stops[0] if stops else None) for one in starts] == told
    if starts and stops:
        assert starts[0]["timestamp"] == AT


def test_a_token_without_a_cable_is_asked_for_and_not_begun() -> None:
    """Its verdict is the CSMS's, and not one that nobody gave."""

    def refusing(action: str, payload: Json) -> Json:
        return {"idTagInfo": {"status": "Blocked"}} if action == "Authorize" else accepting(action, payload)

    pipe = Pipe("2.0.1", "1.6", answers=refusing)
    answer = pipe.say(
        "TransactionEvent",
        _event("Started", 0, "Authorized", info={"chargingState": "Idle"}, meterValue=_wh(1), **EVSE, **TOKEN),
    )
    assert answer == {"idTokenInfo": {"status": "Blocked"}}
    assert [action for action, _ in pipe.sent] == ["Authorize"]


def test_statuses_are_of_both_words_and_finishing_is_remembered() -> None:
    pipe = Pipe("2.0.1", "1.6")
    occupied = {"timestamp": AT, "connectorStatus": "Occupied", "evseId": 1, "connectorId": 1}
    pipe.say("StatusNotification", occupied)
    _begin(pipe)
    pipe.say("TransactionEvent", _event("Updated", 1, "ChargingStateChanged", info={"chargingState": "SuspendedEVSE"}))
    pipe.say(
        "TransactionEvent",
        _event("Ended", 2, info={"chargingState": "EVConnected"}, meterValue=_wh(101, "Transaction.End")),
    )
    pipe.say("StatusNotification", occupied)
    pipe.say("StatusNotification", {**occupied, "connectorStatus": "Available"})
    pipe.say("StatusNotification", occupied)
    told = [payload["status"] for action, payload in pipe.sent if action == "StatusNotification"]
    assert told == ["Preparing", "Charging", "SuspendedEVSE", "Finishing", "Finishing", "Available", "Preparing"]


def test_connectors_are_numbered_once_and_for_good() -> None:
    memory, numbers = Memory(), []
    for evse, cable in [(1, 1), (1, 2), (2, 1), (3, 1), (1, 2), (2, 1), (0, 0), (1, 1)]:
        number, edit = places.number_of(memory, evse, cable)
        memory = edit(memory) if edit else memory
        numbers.append(number)
    assert numbers == [1, 2, 3, 4, 2, 3, 0, 1]
    assert [places.place_of(memory, number) for number in (1, 2, 3, 4, 0, 9)] == [
        (1, 1),
        (1, 2),
        (2, 1),
        (3, 1),
        (0, 0),
        (9, 1),
    ]


@pytest.mark.parametrize(
    ("sample", "told"),
    [
        ({"value": 1.5, "unitOfMeasure": {"unit": "Wh", "multiplier": 3}}, {"value": "1500", "unit": "Wh"}),
        ({"value": 12345, "unitOfMeasure": {"unit": "kWh", "multiplier": -3}}, {"value": "12.345", "unit": "kWh"}),
        ({"value": 0.25, "unitOfMeasure": {"unit": "MWh"}}, {"value": "250", "unit": "kWh"}),
        ({"value": 5, "measurand": "SoC", "unitOfMeasure": {"unit": "Percent"}},
         {"value": "5", "measurand": "SoC", "unit": "Percent"}),
        ({"value": 1, "measurand": "Energy.Active.Net"}, None),
        ({"value": 1, "unitOfMeasure": {"unit": "furlong"}}, None),
    ],
)  # fmt: skip
def test_units_and_multipliers_are_multiplied_out_exactly(sample: Json, told: Json | None) -> None:
    pipe = Pipe("2.0.1", "1.6")
    pipe.say("MeterValues", {"evseId": 1, "meterValue": [{"timestamp": AT, "sampledValue": [sample]}]})
    assert [payload["meterValue"][0]["sampledValue"] for _, payload in pipe.sent] == ([[told]] if told else [])
    assert bool(pipe.losses) == (told is None)


# -- tokens ------------------------------------------------------------------------------------------------------------


@given(st.text(min_size=1, max_size=40), st.sampled_from(["ISO14443", "Central", "eMAID"]))
@settings(max_examples=60, deadline=None)
def test_a_token_is_never_cut_and_comes_back(value: str, kind: str) -> None:
    tag, alias = tokens.tag_of(value, kind)
    assert 0 < len(tag) <= 20
    assert (tag == value) == (len(value) <= 20)
    known = {alias.alias.casefold(): alias} if alias else {}
    token, _ = tokens.token_of(tag, known, "2.0.1", kind)
    assert token == {"idToken": value, "type": kind}


def test_an_alias_does_not_mind_small_letters() -> None:
    assert tokens.alias_of(LONG, "Central").alias == tokens.alias_of(LONG.lower(), "central").alias
    assert tokens.alias_of(LONG, "Central").alias != tokens.alias_of(LONG, "eMAID").alias


def test_an_energy_of_forty_digits_is_no_energy() -> None:
    assert meter.number("1" * 41) is None
    assert meter.number("1e400") is None
    assert meter.number("NaN") is None
    assert meter.number(" 21.450 ") == Decimal("21.450")
