"""Configuration keys and variables: one table, names that are found again, values in the other version's words."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocpp.v16.enums import ConfigurationKey
from ocpp.v201 import enums

from gateway.dialects import keys
from gateway.dialects.translate import key_table
from gateway.dialects.translate.key_table import OTHER_KEYS, ROWS, Variable, key_of, row_of_key, variable_of

_NAME = st.text("abcXYZ019 -_", min_size=1, max_size=8).filter(lambda name: name.strip() == name)


def test_every_key_and_every_variable_stands_once() -> None:
    assert len({row.key.casefold() for row in ROWS}) == len(ROWS)
    assert len({(row.component, row.variable, row.instance) for row in ROWS}) == len(ROWS)


def test_a_setting_with_two_columns_is_the_same_pair_here() -> None:
    """Else a CSMS would read another setting than the one it has set."""
    for row in keys.ROWS:
        if row.v16 is not None and row.v2 is not None:
            here = row_of_key(row.v16)
            assert here is not None, row.v16
            assert (here.component, here.variable, here.instance) == (*row.v2, row.instance)
        elif row.v2 is not None and row.use is keys.Use.OURS:
            assert key_of(Variable(*row.v2)) is None, f"{row.v2} has no key of 1.6"


NEWER_KEYS = {"MessageTimeout", "SupportedFileTransferProtocols"}
"""Keys of 1.6 that the `ocpp` package lacks: of the errata, and of the second edition."""


def test_names_are_spelled_as_the_ocpp_package_spells_them() -> None:
    keys_16 = {key.value for key in ConfigurationKey} | NEWER_KEYS
    for row in ROWS:
        names = {name.value for name in getattr(enums, f"{row.component}VariableName")}
        assert row.variable in names, row
        assert row.key in keys_16, row
    assert set(key_table.FEATURES.values()) <= {name.value for name in enums.ControllerComponentName}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)
def test_a_row_is_found_from_both_sides(row: key_table.Row) -> None:
    of = variable_of(row.key.upper())
    assert of is not None
    assert key_of(of) == row.key
    assert key_of(Variable(OTHER_KEYS, row.key)) is None, "a key with a variable has no second name"


@settings(max_examples=20)
@given(
    st.builds(
        Variable,
        _NAME,
        _NAME,
        st.none() | _NAME,
        st.none() | _NAME,
        st.none() | st.integers(0, 99),
        st.none(),
    )
)
def test_a_variable_is_found_again_by_its_key(variable: Variable) -> None:
    assert variable_of(variable.key) == variable


@pytest.mark.parametrize(
    ("key", "in_16", "in_2x"),
    [
        ("ChargingScheduleAllowedChargingRateUnit", "Current,Power", "A,W"),
        ("HeartbeatInterval", "300", "300"),
    ],
)
def test_a_value_reads_the_same_on_both_sides(key: str, in_16: str, in_2x: str) -> None:
    row = row_of_key(key)
    assert row is not None
    assert (row.to_2x(in_16), row.to_16(in_2x)) == (in_2x, in_16)


@pytest.mark.parametrize(
    ("key", "in_16"),
    [
        ("ChargingScheduleAllowedChargingRateUnit", "Joule"),
        ("ChargingScheduleAllowedChargingRateUnit", "Current,Joule"),
    ],
)
def test_a_value_without_a_word_there_has_none(key: str, in_16: str) -> None:
    row = row_of_key(key)
    assert row is not None
    assert row.to_2x(in_16) is None
