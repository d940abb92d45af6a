"""Every setting with two columns, in both families of versions: who answers, what is kept, what the CSMS reads."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import columns, columns_v2, keys, schema
from gateway.dialects.keys import ROWS, Row, Use
from gateway.model.settings import Column, Key, Learned

RIGHT: dict[Callable[[str], str | None], str] = {keys._whole: "30", keys._flag: "true", keys._anything: "Some,Thing"}
HEX = "00112233445566778899aabbccddeeff"
PASSWORD = "sixteen or more."
OF_16 = [row for row in ROWS if row.v16]
OF_2 = [row for row in ROWS if row.v2]
READ_ONLY = (Use.FIXED, Use.GIVEN)


def names(row: Row) -> str:
    return row.key


def right(row: Row) -> str:
    return RIGHT[row.wrong]


def learned(guarded: Any, answer: bytes | None) -> Learned:
    found = guarded.learn(answer) if guarded.learn else Learned()
    assert isinstance(found, Learned)
    return found


def test_every_key_of_the_table_stands_once() -> None:
    assert sorted(row.key for row in ROWS) == sorted(Key)
    assert len({row.v16 for row in OF_16}) == len(OF_16)
    assert len({row.v2 for row in OF_2}) == len(OF_2)


# -- 1.6 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", OF_16, ids=names)
def test_a_key_is_set(row: Row) -> None:
    value = HEX if row.use is Use.CREDENTIAL else right(row)
    payload = json.dumps({"key": f" {row.v16} ".upper(), "value": value}).encode()
    guarded = columns.change_configuration(payload, {row.key: Column(None, "held")})
    goes_down, answer = row.use is Use.SHARED, b'{"status":"Accepted"}'
    assert guarded.forward == (payload if goes_down else None)
    finished = guarded.finish(answer if goes_down else None)
    assert json.loads(finished) == {"status": "Rejected" if row.use in READ_ONLY else "Accepted"}
    expected = {
        Use.OURS: Learned({row.key: Column(value, "held")}, is_promise=True),
        Use.SHARED: Learned({row.key: Column(value, value)}, is_promise=True),
        Use.FIXED: Learned(),
        Use.GIVEN: Learned(),
        Use.CREDENTIAL: Learned(secret=bytes.fromhex(HEX), is_promise=True),
    }
    assert learned(guarded, answer if goes_down else None) == expected[row.use]
    if goes_down:
        for refusal in (b'{"status":"Rejected"}', b'{"status":"NotSupported"}', b"[]"):
            assert learned(guarded, refusal) == Learned()


@pytest.mark.parametrize("value", ["-1", "1.5", "yes", "", "99999999999", "x" * 1001, None, "٣"])
def test_a_wrong_value_is_rejected_and_not_kept(value: str | None) -> None:
    judged = [row for row in OF_16 if row.use is not Use.SHARED]
    wrong = [row for row in judged if row.use is not Use.OURS or value is None or row.wrong(value)]
    assert len(wrong) > len(judged) - 2
    for row in wrong:
        guarded = columns.change_configuration(json.dumps({"key": row.v16, "value": value}).encode(), {})
        assert (guarded.forward, guarded.finish(None)) == (None, b'{"status":"Rejected"}')
        assert learned(guarded, None) == Learned()


@given(st.binary(min_size=0, max_size=30), st.booleans())
def test_an_authorization_key_is_16_to_20_bytes_in_hex(secret: bytes, is_upper: bool) -> None:
    value = secret.hex().upper() if is_upper else secret.hex()
    assert keys.authorization_key(value) == (secret if 16 <= len(secret) <= 20 else None)
    assert keys.authorization_key(value[:-1]) is None
    assert keys.authorization_key(f" {value}") is None


def test_the_configuration_is_read_with_the_csms_own_values() -> None:
    known: dict[str, Column] = {
        Key.HEARTBEAT_INTERVAL: Column("60", "300"),
        Key.LIST_ENABLED: Column("true", None),
        Key.STOP_ON_INVALID_ID: Column("true", "true"),
        Key.METER_SAMPLE_INTERVAL: Column("10", "30"),
        Key.MAX_ENERGY_ON_INVALID_ID: Column("5", "5"),
    }
    asked = b'{"key":["HeartbeatInterval","LocalAuthListEnabled"]}'
    answer = (
        b'{"configurationKey":[{"key":"heartbeatinterval","readonly":true,"value":"300"},{"key":"X","readonly":false,'
        b'"value":"1.50"},{"key":"MeterValueSampleInterval","readonly":false,"value":"30"},{"key":'
        b'"StopTransactionOnInvalidId","readonly":false,"value":"false"}],"unknownKey":["LocalAuthListEnabled"] }'
    )
    guarded = columns.get_configuration(asked, known)
    assert guarded.forward == asked
    finished = guarded.finish(answer)
    assert schema.validate("1.6", "GetConfiguration", "response", finished) == []
    values = {entry["key"]: (entry["readonly"], entry["value"]) for entry in json.loads(finished)["configurationKey"]}
    assert values == {
        "heartbeatinterval": (False, "60"),
        "X": (False, "1.50"),
        "MeterValueSampleInterval": (False, "10"),
        "StopTransactionOnInvalidId": (False, "false"),
        "LocalAuthListEnabled": (False, "true"),
    }
    assert "unknownKey" not in json.loads(finished)
    assert learned(guarded, answer) == Learned(
        {
            Key.HEARTBEAT_INTERVAL: Column("60", "300"),
            Key.METER_SAMPLE_INTERVAL: Column("10", "30"),
            Key.STOP_ON_INVALID_ID: Column(None, "false"),
        }
    )


@pytest.mark.parametrize("answer", [b"{}", b"[]", b"{", b'{"configurationKey":{}}', b'{"unknownKey":[1,{}]}'])
def test_a_strange_configuration_breaks_nothing(answer: bytes) -> None:
    guarded = columns.get_configuration(b"{}", {Key.STOP_ON_INVALID_ID: Column("true", "true")})
    assert guarded.finish(answer) == answer
    assert learned(guarded, answer) == Learned()


def test_where_the_gateway_holds_the_profiles_its_own_bounds_are_told() -> None:
    """Whatever the station could: its own words are neither told nor kept."""
    bounds: dict[str, Column] = {Key.PROFILE_STACK_LEVEL: Column("1000"), Key.PROFILE_UNITS: Column("Current,Power")}
    asked = b'{"key":["ChargeProfileMaxStackLevel","ChargingScheduleAllowedChargingRateUnit"]}'
    answer = (
        b'{"configurationKey":[{"key":"ChargeProfileMaxStackLevel","readonly":true,"value":"0"}],'
        b'"unknownKey":["ChargingScheduleAllowedChargingRateUnit"]}'
    )
    guarded = columns.get_configuration(asked, bounds)
    told = json.loads(guarded.finish(answer))
    assert [(one["key"], one["readonly"], one["value"]) for one in told["configurationKey"]] == [
        ("ChargeProfileMaxStackLevel", True, "1000"),
        ("ChargingScheduleAllowedChargingRateUnit", True, "Current,Power"),
    ]
    assert learned(guarded, answer) == Learned()
    assert columns.get_configuration(asked, {}).finish(answer) == answer, "a station that holds its own"


def test_a_report_has_the_gateways_bounds_of_profiles() -> None:
    report = {
        "requestId": 1,
        "generatedAt": "2026-03-01T08:00:00Z",
        "seqNo": 0,
        "reportData": [
            {
                "component": {"name": "SmartChargingCtrlr"},
                "variable": {"name": "Entries", "instance": "ChargingProfiles"},
                "variableAttribute": [{"value": "3"}],
                "variableCharacteristics": {"dataType": "integer", "maxLimit": 8, "supportsMonitoring": False},
            }
        ],
    }
    bounds: dict[str, Column] = {Key.PROFILES_HELD: Column("1"), Key.PROFILES_INSTALLED: Column("200")}
    cleaned, kept = columns_v2.clean_report(json.dumps(report).encode(), bounds)
    [told] = json.loads(cleaned)["reportData"]
    assert (told["variableAttribute"], told["variableCharacteristics"]["maxLimit"]) == ([{"value": "1"}], 200)
    assert schema.validate("2.0.1", "NotifyReport", "request", cleaned) == []
    assert kept == Learned()


# -- 2.x --------------------------------------------------------------------------------------------------------------


def entry(row: Row, value: str | None = None, **more: Any) -> dict[str, Any]:
    assert row.v2
    said: dict[str, Any] = {"component": {"name": row.v2[0]}, "variable": {"name": row.v2[1]}, **more}
    return said if value is None else {**said, "attributeValue": value}


def answered(guarded: Any) -> tuple[list[dict[str, Any]], Learned]:
    """What the CSMS hears where the station accepts all it gets; and what is kept."""
    asked = json.loads(guarded.forward)["setVariableData"] if guarded.forward else []
    results = [
        {k: v for k, v in one.items() if k != "attributeValue"} | {"attributeStatus": "Accepted"} for one in asked
    ]
    answer = json.dumps({"setVariableResult": results}).encode() if guarded.forward else None
    finished = guarded.finish(answer)
    assert schema.validate("2.0.1", "SetVariables", "response", finished) == []
    found: list[dict[str, Any]] = json.loads(finished)["setVariableResult"]
    return found, learned(guarded, answer)


def set_variables(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"setVariableData": entries}).encode()


def test_all_variables_in_one_request() -> None:
    """Every row, in one mixed request: one result each, in order; the station gets those that work in it."""
    values = {row.key: PASSWORD if row.use is Use.CREDENTIAL else right(row) for row in OF_2}
    guarded = columns_v2.set_variables(set_variables(*(entry(row, values[row.key]) for row in OF_2)), {})
    assert guarded.forward is not None
    went = [one["variable"]["name"] for one in json.loads(guarded.forward)["setVariableData"]]
    assert went == [row.v2[1] for row in OF_2 if row.use is Use.SHARED and row.v2]
    results, kept = answered(guarded)
    assert [(one["component"]["name"], one["variable"]["name"]) for one in results] == [row.v2 for row in OF_2]
    for row, result in zip(OF_2, results, strict=True):
        assert result["attributeStatus"] == ("Rejected" if row.use in READ_ONLY else "Accepted"), row.key
    expected: dict[str, Column] = {row.key: Column(values[row.key], None) for row in OF_2 if row.use is Use.OURS}
    expected |= {row.key: Column(values[row.key], values[row.key]) for row in OF_2 if row.use is Use.SHARED}
    assert kept == Learned(expected, PASSWORD.encode(), is_promise=True)


@pytest.mark.parametrize(
    ("value", "longest", "fits"),
    [
        ("x" * 15, 40, False),
        ("x" * 16, 40, True),
        ("x" * 40, 40, True),
        ("x" * 41, 40, False),
        ("x" * 64, 64, True),
        ("x" * 65, 64, False),
        ("ünïcode is as good", 40, True),
        ("a line\nfeed in the middle", 40, False),
        ("half a character \ud800", 40, False),
    ],
)
def test_a_password_has_its_length(value: str, longest: int, fits: bool) -> None:
    assert keys.basic_password(value, longest) == (value.encode() if fits else None)
    if value.isascii():
        guarded = columns_v2.longest(longest)(set_variables(entry(ROWS[0], value)), {})
        [result], kept = answered(guarded)
        assert result["attributeStatus"] == ("Accepted" if fits else "Rejected")
        assert kept.secret == (value.encode() if fits else None)
        assert value not in repr(kept)


OFFLINE = next(row for row in ROWS if row.key is Key.OFFLINE_THRESHOLD)
START_POINT = next(row for row in ROWS if row.key is Key.TX_START_POINT)
ATTEMPTS = next(row for row in ROWS if row.key is Key.MESSAGE_ATTEMPTS)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (entry(OFFLINE, "many"), "Rejected"),
        (entry(OFFLINE), "Rejected"),
        (entry(OFFLINE, "1", attributeType="Target"), "NotSupportedAttributeType"),
        (entry(ROWS[0], PASSWORD, attributeType="Target"), "Rejected"),
        (entry(OFFLINE, "1") | {"component": {"name": "OCPPCommCtrlr", "evse": {"id": 1}}}, "Rejected"),
    ],
)
def test_what_is_not_kept_never_goes_down(said: dict[str, Any], status: str) -> None:
    guarded = columns_v2.set_variables(set_variables(said), {})
    assert guarded.forward is None
    [result], kept = answered(guarded)
    assert (result["attributeStatus"], kept) == (status, Learned())


def test_instances_have_columns_of_their_own() -> None:
    usual = entry(ATTEMPTS, "5") | {"variable": {"name": "MessageAttempts", "instance": "transactionevent"}}
    other = entry(ATTEMPTS, "6") | {"variable": {"name": "MessageAttempts", "instance": "Other"}}
    _, kept = answered(columns_v2.set_variables(set_variables(usual, other), {}))
    assert kept.columns == {"TransactionMessageAttempts": Column("5"), "TransactionMessageAttempts[Other]": Column("6")}


def test_results_that_do_not_fit_the_request_teach_nothing() -> None:
    guarded = columns_v2.set_variables(set_variables(entry(START_POINT, "EVConnected")), {})
    wrong = {**entry(ATTEMPTS), "attributeStatus": "Accepted"}
    malformed: list[Any] = [[], [wrong], [1], {}]
    for results in malformed:
        assert learned(guarded, json.dumps({"setVariableResult": results}).encode()) == Learned()


KNOWN: dict[str, Column] = {Key.OFFLINE_THRESHOLD: Column("60", "7"), Key.TX_START_POINT: Column("A", "B")}


def test_variables_are_read_with_the_csms_own_values() -> None:
    results = [
        {**entry(OFFLINE, "9"), "attributeStatus": "Accepted", "attributeType": "Actual"},
        {**entry(OFFLINE, "900"), "attributeStatus": "Accepted", "attributeType": "MaxSet"},
        {**entry(OFFLINE), "attributeStatus": "UnknownVariable"},
        {**entry(START_POINT, "B"), "attributeStatus": "Accepted"},
        {**entry(ATTEMPTS, "3"), "attributeStatus": "Accepted"},
        {**entry(ATTEMPTS), "attributeStatus": "UnknownComponent"},
    ]
    answer = json.dumps({"getVariableResult": results}).encode()
    guarded = columns_v2.get_variables(b"{}", KNOWN)
    finished = guarded.finish(answer)
    assert schema.validate("2.0.1", "GetVariables", "response", finished) == []
    found = [(one["attributeStatus"], one.get("attributeValue")) for one in json.loads(finished)["getVariableResult"]]
    told = [("Accepted", "60"), ("Accepted", "900"), ("Accepted", "60"), ("Accepted", "A"), ("Accepted", "3")]
    assert found == [*told, ("UnknownComponent", None)]
    heard: dict[str, Column] = {Key.OFFLINE_THRESHOLD: Column("60", "9"), Key.TX_START_POINT: Column("A", "B")}
    assert learned(guarded, answer) == Learned({**heard, Key.MESSAGE_ATTEMPTS: Column(None, "3")})


def test_a_report_tells_the_csms_own_values() -> None:
    report = (
        b'{"requestId":1,"generatedAt":"2026-03-01T08:00:00Z","seqNo":0,"reportData":[{"component":{"name":'
        b'"OCPPCommCtrlr"},"variable":{"name":"OfflineThreshold"},"variableAttribute":[{"mutability":"ReadWrite"},'
        b'{"type":"MaxSet","value":"1.50"}]},{"component":{"name":"TxCtrlr"},"variable":{"name":"TxStartPoint"},'
        b'"variableAttribute":[{"value":"C"}]}]}'
    )
    told, kept = columns_v2.clean_report(report, KNOWN)
    assert told == report.replace(b'{"mutability"', b'{"value":"60","mutability"')
    assert kept == Learned({Key.TX_START_POINT: Column(None, "C")})
    assert columns_v2.clean_report(report, {})[0] == report
