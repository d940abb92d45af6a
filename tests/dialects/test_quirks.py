"""The switches, by name; what a boot says of its station; what is of the past."""

import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config_values import Quirk
from gateway.dialects import quirks
from gateway.dialects.quirks import Quirks

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


def test_every_switch_is_a_field_and_a_word_of_the_configuration() -> None:
    assert [name.replace("-", "_") for name in quirks.NAMES] == [one.name for one in fields(Quirks)]
    assert get_args(Quirk) == quirks.NAMES
    for switch in quirks.SWITCHES:
        assert switch.does.endswith(".")
        assert switch.evidence.endswith(".")


@pytest.mark.parametrize("name", quirks.NAMES)
def test_a_switch_is_on_by_its_name_and_alone(name: str) -> None:
    one = quirks.of([name])
    assert str(one) == name
    assert one | quirks.NONE == quirks.NONE | one == one
    assert one.mends_payloads == (name not in ("empty-values", "history-at-first-connect"))
    assert str(quirks.NONE) == "none"


def test_switches_add_up_and_others_are_refused() -> None:
    both = quirks.of(["strip-nulls"]) | quirks.of(["empty-values"])
    assert both == quirks.of(["empty-values", "strip-nulls", "strip-nulls"])
    with pytest.raises(KeyError):
        quirks.of(["strip_nulls"])


@pytest.mark.parametrize(
    ("boot", "said"),
    [
        (None, None),
        (b"", None),
        (b"[]", None),
        (b"[" * 100_000, None),
        (b"{}", ("", "")),
        (b'{"chargePointVendor":"Volt","chargePointModel":"One"}', ("Volt", "One")),
        (b'{"ChargePointVendor":"Volt","CHARGEPOINTMODEL":"One"}', ("Volt", "One")),
        (b'{"chargePointVendor":5,"chargePointModel":null}', ("", "")),
        (b'{"reason":"PowerUp","chargingStation":{"model":"One","vendorName":"Volt"}}', ("Volt", "One")),
        (b'{"reason":"PowerUp","ChargingStation":{"Model":"One"}}', ("", "One")),
        (b'{"chargingStation":"One"}', ("", "")),
    ],
)
def test_vendor_and_model(boot: bytes | None, said: tuple[str, str] | None) -> None:
    assert quirks.model_of(boot) == said


def test_a_serial_number_is_found_in_every_version() -> None:
    assert quirks.serial_of(b'{"chargeBoxSerialNumber":"B","chargePointSerialNumber":"A"}') == "A"
    assert quirks.serial_of(b'{"chargingStation":{"serialNumber":"A"}}') == "A"
    assert quirks.serial_of(b'{"chargingStation":{"serialNumber":5}}') == quirks.serial_of(None) == ""


@pytest.mark.parametrize(
    ("timestamp", "is_history"),
    [
        ('"2026-03-01T07:49:59Z"', True),
        ('"2026-03-01T07:50:00.000Z"', False),
        ('"2026-03-01T09:49:59+02:00"', True),
        ('"2026-03-01T09:00:00Z"', False),
        ('"1970-01-01T00:00:00Z"', True),
        ('"2025-11-01T10:00:00"', False),
        ('"yesterday"', False),
        ("1772352010", False),
        ("null", False),
    ],
)
def test_a_time_that_can_be_read_tells_of_the_past(timestamp: str, is_history: bool) -> None:
    assert quirks.is_history(b'{"timestamp":%b}' % timestamp.encode(), NOW) is is_history


@pytest.mark.parametrize("payload", [b"{}", b"[]", b"5", b"", b"{", b"[" * 100_000])
def test_what_names_no_time_is_of_now(payload: bytes) -> None:
    assert not quirks.is_history(payload, NOW)
    assert not quirks.is_not_newer(payload, payload)


def test_only_readable_times_are_compared() -> None:
    early, late = (b'{"timestamp":"%b"}' % text for text in (b"2026-03-01T08:00:00Z", b"2026-03-01T08:00:01Z"))
    assert quirks.is_not_newer(early, late)
    assert quirks.is_not_newer(early, early)
    assert not quirks.is_not_newer(late, early)
    assert not quirks.is_not_newer(b"{}", late)
    assert not quirks.is_not_newer(early, b"{}")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists), st.text())
def test_nothing_said_in_a_boot_or_as_a_time_raises(value: Any, text: str) -> None:
    said = json.dumps({"timestamp": value, text: value}).encode()
    quirks.is_history(said, NOW + timedelta(days=1))
    quirks.model_of(said)
