import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import payloads
from gateway.model.events import BootAnswer, RegistrationStatus
from gateway.rpc.codes import CallError, ErrorCode
from gateway.rpc.splice import splice

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"null", b"12", b'"text"', b"{", b'{"a":1}}', b'{"a":\xff}', b'{"a":' + b"[" * 200_000],
    ids=lambda payload: repr(payload[:12]),
)
def test_what_is_no_object_is_a_format_violation(payload: bytes) -> None:
    with pytest.raises(CallError) as raised:
        payloads.read(payload)
    assert raised.value.code == ErrorCode.FORMAT_VIOLATION
    with pytest.raises(CallError):
        payloads.read_once(payload)
    assert payloads.read_answer(payload) == {}


def test_reading_is_lenient() -> None:
    assert payloads.read(b' {"a":1,"a":2}\n') == {"a": 2}
    assert payloads.read(b'{"a":"\\ud800"}') == {"a": "\ud800"}
    assert math.isnan(payloads.read(b'{"a":NaN}')["a"])
    assert payloads.read(b'{"a":9223372036854775808}') == {"a": 2**63}
    assert payloads.read_answer(None) == {}


@given(st.dictionaries(st.text(), ANY_JSON, max_size=4))
def test_what_can_be_read_can_be_spliced(found: dict[str, Any]) -> None:
    payload = json.dumps(found).encode()
    name = next((key for key in found), "new")
    assert payloads.read(splice(payload, (name,), b"true"))[name] is True


def test_a_guard_refuses_a_member_that_stands_twice() -> None:
    assert payloads.read_once(b'{"key":"A","value":{"key":"B"}}') == {"key": "A", "value": {"key": "B"}}
    for payload in (b'{"key":"A","key":"B"}', b'{"a":[{"b":1,"b":1}]}', b'{"key":"A","k\\u0065y":"B"}'):
        with pytest.raises(CallError):
            payloads.read_once(payload)


@pytest.mark.parametrize(
    ("value", "number", "text"),
    [
        (0, 0, "0"),
        (-1, -1, "-1"),
        (2**63 - 1, 2**63 - 1, "9223372036854775807"),
        (12.0, 12, "12"),
        (12.5, None, "12.5"),
        ("12", 12, "12"),
        (" +12 ", 12, " +12 "),
        ("1_2", None, "1_2"),
        ("\u0661", None, "\u0661"),
        ("", None, ""),
        ("9" * 5000, None, "9" * 5000),
        (True, None, None),
        (None, None, None),
        ({}, None, None),
        ([1], None, None),
        (math.inf, None, "inf"),
    ],
)
def test_numbers_and_texts_stand_for_each_other(value: Any, number: int | None, text: str | None) -> None:
    assert payloads.integer(value) == number
    assert payloads.text(value) == text


@given(ANY_JSON)
def test_readers_of_members_never_raise(value: Any) -> None:
    assert isinstance(payloads.integer(value), int | None)
    assert isinstance(payloads.text(value), str | None)
    assert isinstance(payloads.tx_id(value), str | None)
    assert isinstance(payloads.meter_wh(value), int | None)
    assert isinstance(payloads.member({"a": value}, "a"), dict)
    assert all(isinstance(item, dict) for item in payloads.objects({"a": value}, "a"))
    assert payloads.token_status(value) is None


def test_times_are_utc_without_fractions() -> None:
    moment = datetime(2026, 1, 2, 5, 4, 5, 999_999, timezone(timedelta(hours=2)))
    assert payloads.wire_time(moment) == "2026-01-02T03:04:05Z"
    assert payloads.answer_heartbeat(moment) == b'{"currentTime":"2026-01-02T03:04:05Z"}'


@pytest.mark.parametrize(
    ("expiry", "written"),
    [
        ("2026-01-02T03:04:05.678+02:00", "2026-01-02T01:04:05Z"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_an_expiry_that_cannot_be_read_is_not_written(expiry: str | None, written: str | None) -> None:
    assert payloads.wire_expiry(expiry) == written


@given(st.text(min_size=1), st.sampled_from(["Central", "eMAID", "ISO14443", "Local", "MacAddress"]))
def test_a_group_comes_back_with_its_type(value: str, type_: str) -> None:
    assert payloads.split_group(payloads.join_group(value, type_)) == (value, type_)


@given(st.sampled_from(["A|Local", "A|Central", "|Central", "A|Local|Central"]), st.sampled_from(["Central", "Local"]))
def test_a_group_that_looks_as_if_it_had_a_type_comes_back(value: str, type_: str) -> None:
    assert payloads.split_group(payloads.join_group(value, type_)) == (value, type_)


def test_a_group_of_type_central_reads_like_one_of_1_6() -> None:
    assert payloads.join_group("FAMILY", "Central") == "FAMILY"
    assert payloads.join_group("FAMILY", "ISO14443") == "FAMILY|ISO14443"
    assert payloads.join_group("FAMILY", "no such type") == "FAMILY"


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        (b'{"status":"Accepted","interval":300}', BootAnswer(RegistrationStatus.ACCEPTED, 300)),
        (b'{"status":"pending","interval":"60"}', BootAnswer(RegistrationStatus.PENDING, 60)),
        (b'{"status":"Rejected"}', BootAnswer(RegistrationStatus.REJECTED, 0)),
        (b'{"status":"Accepted","interval":-5}', BootAnswer(RegistrationStatus.ACCEPTED, 0)),
        (b'{"status":"Maybe","interval":300}', None),
        (b'{"status":1}', None),
        (b"{}", None),
        (b"nonsense", None),
    ],
)
def test_boot_answers(payload: bytes, answer: BootAnswer | None) -> None:
    assert payloads.boot_answer(payload) == answer


def test_own_boot_answer() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    payload = payloads.answer_boot(BootAnswer(RegistrationStatus.PENDING, 30), now)
    assert json.loads(payload) == {"currentTime": "2026-01-02T03:04:05Z", "interval": 30, "status": "Pending"}


def test_energy_prefers_the_context_then_the_last() -> None:
    begin, middle, end = (
        {"value": "1", "context": "Transaction.Begin"},
        {"value": "2"},
        {"value": "3", "context": "Sample.Periodic"},
    )
    samples = [(sample, None, 0) for sample in (begin, middle, end)]
    assert payloads.energy_wh(samples, None) == 3
    assert payloads.energy_wh(samples, "Transaction.Begin") == 1
    assert payloads.energy_wh(samples, "Transaction.End") == 3


@pytest.mark.parametrize(
    ("sample", "unit", "multiplier", "wh"),
    [
        ({"value": 21.45}, "kWh", 0, 21450),
        ({"value": "21.4"}, "kWh", 0, 21400),
        ({"value": 5}, "Wh", 3, 5000),
        ({"value": 5}, "kWh", -1, 500),
        ({"value": 5}, None, 0, 5),
        ({"value": 5, "measurand": "Energy.Active.Import.Register"}, "wh", 0, 5),
        ({"value": 5, "measurand": "Power.Active.Import"}, "Wh", 0, None),
        ({"value": 5, "phase": "L1"}, "Wh", 0, None),
        ({"value": 5, "location": "Inlet"}, "Wh", 0, None),
        ({"value": 5, "location": "Outlet"}, "Wh", 0, 5),
        ({"value": 5}, "A", 0, None),
        ({"value": 5}, "Wh", 400, None),
        ({"value": "NaN"}, "Wh", 0, None),
        ({"value": "1e999"}, "Wh", 0, None),
        ({"value": "many"}, "Wh", 0, None),
        ({"value": True}, "Wh", 0, None),
        ({}, "Wh", 0, None),
        ({"value": 5, "measurand": ["x"]}, "Wh", 0, None),
    ],
)
def test_energy_in_wh(sample: dict[str, Any], unit: str | None, multiplier: int, wh: int | None) -> None:
    assert payloads.energy_wh([(sample, unit, multiplier)], None) == wh
