"""What each switch changes, and that it changes nothing else."""

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import mend, quirks, schema
from gateway.dialects.quirks import NONE, Quirks
from gateway.rpc import frame
from tests.dialects.examples import EXAMPLES, Example

ALL = quirks.of(quirks.NAMES)


def mended(action: str, payload: str, *names: str, version: str = "1.6", kind: schema.Kind = "request") -> str:
    return mend.mend(version, action, kind, payload.encode(), quirks.of(names)).decode()


# Frames


@pytest.mark.parametrize(
    ("broken", "right"),
    [
        ('{"a":}', "{}"),
        ('{"a": }', "{}"),
        ('{ "a":,"b":1}', '{ "b":1}'),
        ('{"a":,"b":}', "{}"),
        ('{"x":1,"a":,"b":}', '{"x":1}'),
        ('{"x":1 , "a":\t\r\n, "b":2}', '{"x":1 , "b":2}'),
        ('{"x":{"a":},"y":[{"b":,"c":"d:,"}]}', '{"x":{},"y":[{"c":"d:,"}]}'),
        ('{"\\"a\\\\":,"b":"\\":,"}', '{"b":"\\":,"}'),
        ('{"ä":,"b":"ö"}', '{"b":"ö"}'),
        ('[2,"1","X",{"a":1,"b":\n}]', '[2,"1","X",{"a":1}]'),
    ],
)
def test_members_without_a_value_go(broken: str, right: str) -> None:
    assert mend.mend_frame(broken.encode()).decode() == right
    json.loads(right)


@pytest.mark.parametrize(
    "data",
    [b"", b'"', b'"\\', b"{", b'{"a"', b'{"a":', b'{"a":]', b'{"a"::1}', b"[1,,2]", b'"a:,', b"{a:,}", b"\xff\x00:,"],
)
def test_what_is_broken_otherwise_stays_so(data: bytes) -> None:
    assert mend.mend_frame(data) == data


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values, st.booleans(), st.sampled_from([None, 1]))
def test_a_valid_frame_is_the_same_object(value: Any, ascii_only: bool, indent: int | None) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode(errors="surrogatepass")
    assert mend.mend_frame(data) is data


@given(st.binary() | st.text('":,{}[]\\a ').map(str.encode))
def test_any_bytes_are_taken(data: bytes) -> None:
    mend.mend_frame(data)


@given(st.data())
def test_a_frame_without_some_values_is_the_frame_without_these_members(data: st.DataObject) -> None:
    """Written with holes, it comes back as if the members with holes had never been there."""
    hole = "HOLE-7f3a"
    member = st.dictionaries(st.text(), st.just(hole) | st.integers() | st.text())
    found = data.draw(st.dictionaries(st.text(), member | st.just(hole) | st.text()))
    spaces = data.draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")]))
    broken = json.dumps(found, separators=spaces).replace(json.dumps(hole), "")
    assert json.loads(mend.mend_frame(broken.encode())) == _without(found, hole)


def _without(found: dict[str, Any], hole: str) -> dict[str, Any]:
    inner = {key: _without(value, hole) if isinstance(value, dict) else value for key, value in found.items()}
    return {key: value for key, value in inner.items() if value != hole}


@pytest.mark.parametrize("piece", [b'"a":,', b'{"a":},', b'"\\"', b"\\", b'":', b'{"a" : } , '])
def test_a_large_frame_takes_no_time(piece: bytes) -> None:
    """A MiB of the worst, here a moment: with a step that is quadratic it would be hours."""
    for head in (b"[", b'"'):
        mend.mend_frame(head + piece * (1024**2 // len(piece)) + b'"a":}')


# Payloads

CASES = [
    ("capitalised-keys", "Authorize", '{"IdTag":"A"}', '{"idTag":"A"}'),
    ("capitalised-keys", "Authorize", '{ "\\u0049dTag" : "A" }', '{ "idTag" : "A" }'),
    ("capitalised-keys", "Authorize", '{"IDTAG":"A","idTag":"B","IdTag":"C"}', None),
    ("capitalised-keys", "DataTransfer", '{"VendorId":"V","Data":"{\\"IdTag\\":1}","Other":{"VendorId":1}}',
     '{"vendorId":"V","data":"{\\"IdTag\\":1}","Other":{"VendorId":1}}'),
    ("numbers-as-text", "StartTransaction", '{"connectorId":" +1 ","meterStart":"-007.0","idTag":"5"}',
     '{"connectorId":1,"meterStart":-7,"idTag":"5"}'),
    ("numbers-as-text", "StartTransaction", '{"connectorId":"0","meterStart":"1.5","reservationId":"1,5"}',
     '{"connectorId":0,"meterStart":"1.5","reservationId":"1,5"}'),
    ("numbers-as-text", "StartTransaction", '{"connectorId":"","meterStart":"0x1","reservationId":"NaN"}', None),
    ("numbers-as-text", "StopTransaction", '{"transactionId":"9223372036854775807"}',
     '{"transactionId":9223372036854775807}'),
    ("text-as-numbers", "Authorize", '{"idTag":-0.50e1}', '{"idTag":"-0.50e1"}'),
    ("text-as-numbers", "Authorize", '{"idTag":true}', None),
    ("text-as-numbers", "StatusNotification", '{"connectorId":1,"timestamp":5,"info":5}',
     '{"connectorId":1,"timestamp":5,"info":"5"}'),
    ("enum-spellings", "StatusNotification", '{"errorCode":"no error","status":"SUSPENDED_EV"}',
     '{"errorCode":"NoError","status":"SuspendedEV"}'),
    ("enum-spellings", "StatusNotification", '{"errorCode":"","status":"Occupied"}',
     '{"errorCode":"OtherError","status":"Occupied"}'),
    ("enum-spellings", "StatusNotification", '{"errorCode":5,"status":null}', None),
    ("enum-spellings", "MeterValues",
     '{"meterValue":[{"sampledValue":[{"value":"1","unit":"°C","phase":"l1-n"},{"value":"1","unit":"%"}]}]}',
     '{"meterValue":[{"sampledValue":[{"value":"1","unit":"°C","phase":"L1-N"},{"value":"1","unit":"Percent"}]}]}'),
    ("enum-spellings", "MeterValues",
     '{"meterValue":[{"sampledValue":[{"value":"1","unit":"celcius","location":"Roof","phase":"L4"}]}]}',
     '{"meterValue":[{"sampledValue":[{"value":"1","unit":"Celcius","location":"Roof","phase":"L4"}]}]}'),
    ("strip-nulls", "StatusNotification", '{"info":null,"connectorId":1, "vendorId" : null , "x":null}',
     '{"connectorId":1}'),
    ("strip-nulls", "StatusNotification", '{ "info":null }', "{  }"),
    ("strip-nulls", "StatusNotification", '{"info":"null","x":{"y":null},"z":[null]}', None),
    ("long-boot-texts", "BootNotification", '{"chargePointModel":"A model of 21 letters","x":"A model of 21 letters"}',
     '{"chargePointModel":"A model of 21 letter","x":"A model of 21 letters"}'),
    ("long-boot-texts", "BootNotification", '{"chargePointVendor":"ééééé ééééé ééééé ééééé"}',
     '{"chargePointVendor":"ééééé ééééé ééééé éé"}'),
    ("long-boot-texts", "Authorize", '{"idTag":"123456789012345678901"}', None),
    ("long-id-tag", "StopTransaction", '{"idTag":"123456789012345678901","meterStop":1}', '{"meterStop":1}'),
    ("long-id-tag", "StopTransaction", '{"idTag":"12345678901234567890","meterStop":1}', None),
    ("long-id-tag", "Authorize", '{"idTag":"123456789012345678901"}', None),
]  # fmt: skip


def test_what_one_switch_made_another_mends() -> None:
    """A number where a word is wanted: quoted, it is no known quantity, and goes as if it had come as text."""
    samples = '{{"meterValue":[{{"sampledValue":[{{"value":"1"}}{}]}}]}}'
    payload = samples.format(',{"value":"2","measurand":0}')
    assert mended("MeterValues", payload, "text-as-numbers", "enum-spellings") == samples.format("")


@pytest.mark.parametrize(("name", "action", "payload", "right"), CASES)
def test_a_switch_changes_what_it_is_about(name: str, action: str, payload: str, right: str | None) -> None:
    wanted = payload if right is None else right
    assert mended(action, payload, name) == wanted
    assert mended(action, wanted, name) == wanted, "a second time changes nothing"
    others = [other for other in quirks.NAMES if other != name]
    if right is not None:
        assert mended(action, payload, *others) != right, "no other switch does the same"
    assert mended(action, payload) == payload


def test_every_switch_of_payloads_has_a_case() -> None:
    missing = {one for one in quirks.NAMES if quirks.of([one]).mends_payloads} - {case[0] for case in CASES}
    assert missing == {"missing-connector-id"}


@pytest.mark.parametrize(
    ("payload", "right"),
    [
        ('{"evseId":1}', '{"connectorId":1,"evseId":1}'),
        ('{ "evseId":"0"}', '{"connectorId":0, "evseId":"0"}'),
        ('{"evseId":1,"connectorId":null}', '{"evseId":1,"connectorId":1}'),
        ('{"evseId":1,"connectorId":2}', None),
        ('{"connectorStatus":"Available"}', None),
    ],
)
def test_a_status_gets_its_connector(payload: str, right: str | None) -> None:
    wanted = right or payload
    assert mended("StatusNotification", payload, "missing-connector-id", version="2.0.1") == wanted
    assert mended("StatusNotification", payload, "missing-connector-id", version="1.6") == payload
    assert mended("MeterValues", payload, "missing-connector-id", version="2.0.1") == payload


def test_a_hertz_that_its_schema_lacks_goes_with_a_frequency_only() -> None:
    """In transactionData of a Stop there is no such unit, and a frequency without one is in Hertz."""
    wrap = '{"transactionData":[{"sampledValue":[{"value":"50","unit":"Hz"%s}]}]}'
    with_frequency, without = wrap % ',"measurand":"frequency"', wrap % ""
    right = '{"transactionData":[{"sampledValue":[{"value":"50","measurand":"Frequency"}]}]}'
    assert mended("StopTransaction", with_frequency, "enum-spellings") == right
    assert mended("StopTransaction", without, "enum-spellings") == without


def test_values_of_unknown_quantities_go_unless_they_are_all() -> None:
    wrap = '{"meterValue":[{"sampledValue":[%s]}]}'
    strange, known = '{"value":"1","measurand":"Request.Energy"}', '{"value":"2","measurand":"voltage"}'
    right = known.replace("voltage", "Voltage")
    for values, kept in (
        ([strange, known], [right]),
        ([known, strange, strange, known], [right, right]),
        ([strange, strange], [strange, strange]),
        ([strange, "5"], ["5"]),
    ):
        payload, wanted = (wrap % " , ".join(each) for each in (values, kept))
        assert mended("MeterValues", payload, "enum-spellings") == wanted


def test_an_optional_word_of_2_x_that_is_unknown_goes_if_that_says_nothing() -> None:
    payload = '{"transactionInfo":{"transactionId":"1","chargingState":"Busy","stoppedReason":"Bored"},"eventType":"x"}'
    right = '{"transactionInfo":{"transactionId":"1","stoppedReason":"Other"},"eventType":"x"}'
    assert mended("TransactionEvent", payload, "enum-spellings", version="2.0.1") == right


def test_switches_work_together_in_one_pass() -> None:
    payload = '{"ConnectorId":"1","ErrorCode":"error","Info":null,"status":"charging","VendorErrorCode":5,"X":"1"}'
    right = '{"connectorId":1,"errorCode":"OtherError","status":"Charging","vendorErrorCode":"5","X":"1"}'
    assert mended("StatusNotification", payload, *quirks.NAMES) == right


def test_answers_have_shapes_of_their_own() -> None:
    payload = '{"Status":"accepted","Data":5}'
    assert mended("DataTransfer", payload, *quirks.NAMES, kind="response") == '{"status":"Accepted","data":"5"}'
    assert mended("GetConfiguration", '{"unknownKey":null}', "strip-nulls", kind="response") == "{}"


@pytest.mark.parametrize("action", ["Heartbeat-Signed", "TransactionEvent-Signed", "VoltSecret", "", "../Authorize"])
def test_what_has_no_schema_is_left_alone(action: str) -> None:
    payload = '{"IdTag":null,"EventType":"started","seqNo":"1"}'
    for version in ("1.6", "2.0.1", "1.5"):
        assert mended(action, payload, *quirks.NAMES, version=version) == payload


@pytest.mark.parametrize("member", ['"x":null', '"IdTag":"1"', '"idTag":5'])
def test_what_is_too_long_to_be_walked_through_is_left_alone(member: str) -> None:
    payload = "{" + ",".join([member] * (mend.LONGEST // (len(member) + 1) - 1)) + "}"
    longest = payload + " " * (mend.LONGEST - len(payload))
    assert mended("Authorize", longest, *quirks.NAMES) != longest
    assert mended("Authorize", longest + " ", *quirks.NAMES) == longest + " "


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"5", b"{", b'{"a"', b"\xff", b'{"idTag":"' + b"[" * 5000, b"[" * 10**5]
)
def test_what_cannot_be_read_comes_back(payload: bytes) -> None:
    assert mend.mend("1.6", "Authorize", "request", payload, ALL) == payload


# Every schema there is


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_valid_payloads_are_the_same_object(example: Example) -> None:
    payload = example.payload()
    assert schema.validate(example.version, example.action, example.kind, payload) == []
    assert mend.mend(example.version, example.action, example.kind, payload, ALL) is payload


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_what_a_quirk_spoils_in_a_valid_payload_is_put_right(example: Example) -> None:
    right = example.payload()
    for name, spoilt in example.spoilt():
        on = quirks.of([name])
        assert mend.mend(example.version, example.action, example.kind, spoilt, on) == right, name


members = st.sampled_from(
    ["connectorId", "ConnectorId", "idTag", "IdTag", "meterStart", "MeterStart", "timestamp", "reservationId", "x", "X"]
)
texts = st.text() | st.sampled_from(["1", "01.50", "NoError", "error", "Hz", "L1", "2026-03-01T08:00:00Z"])
samples = st.fixed_dictionaries(
    {}, optional={name: texts | st.integers() for name in ("value", "unit", "measurand", "phase", "Unit", "context")}
)
meter_values = st.lists(st.fixed_dictionaries({"sampledValue": st.lists(samples), "timestamp": texts}))
payloads = st.dictionaries(members, json_values | texts) | st.fixed_dictionaries(
    {"meterValue": meter_values, "connectorId": texts, "transactionData": meter_values | st.none()}
)
some = st.builds(Quirks, *(st.booleans() for _ in fields(Quirks)))
ACTIONS = ("StartTransaction", "MeterValues", "StopTransaction", "StatusNotification", "BootNotification", "Authorize")


@given(payloads, st.sampled_from(ACTIONS), some, st.booleans(), st.sampled_from([None, 1]))
def test_the_outcome_is_json_and_a_second_pass_changes_nothing(
    value: Any, action: str, on: Quirks, ascii_only: bool, indent: int | None
) -> None:
    payload = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode(errors="replace")
    for version in ("1.6", "2.0.1"):
        once = mend.mend(version, action, "request", payload, on)
        assert isinstance(json.loads(once), dict)
        assert mend.mend(version, action, "request", once, on) == once
        assert mend.mend(version, action, "request", payload, NONE) == payload
        before, after = (frame.decode(frame.call("1", action, text)) for text in (payload, once))
        assert type(before) is type(after)


@given(payloads, st.sampled_from(ACTIONS))
def test_members_the_schema_does_not_know_are_kept(value: dict[str, Any], action: str) -> None:
    on = quirks.of([name for name in quirks.NAMES if name not in ("capitalised-keys", "strip-nulls")])
    after = json.loads(mend.mend("1.6", action, "request", json.dumps(value).encode(), on))
    known = set(schema.source("1.6", action, "request").get("properties", {}))
    strangers = {name: member for name, member in value.items() if name not in known}
    assert json.dumps({name: after.get(name, "gone") for name in strangers}) == json.dumps(strangers)
