"""Numbers out of registers, and readings out of numbers."""

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import model_file
from drivers.api import Quality, Reason, Signed
from drivers.model_file import Check, Point
from drivers.options import Places
from drivers.register_values import Key, measured, number, resolution_a, said

SHIPPED = {name: model_file.load(path) for name, path in model_file.files(Places()).items()}
B23, SDM = SHIPPED["abb-b23"], SHIPPED["eastron-sdm630"]


def point(kind: str, **more: Any) -> Point:
    return Point(at=0, type=kind, unit="A", **more)  # type: ignore[arg-type]  # a literal from a table


@pytest.mark.parametrize(
    ("kind", "order", "registers", "value"),
    [
        ("int16", "big", [0xFFFE], -2),
        ("uint16", "big", [0xFFFE], 65534),
        ("int32", "big", [0xFFFF, 0xFFFE], -2),
        ("int32", "little", [0xFFFE, 0xFFFF], -2),
        ("uint32", "little", [0x08FD, 0x0000], 2301),
        ("uint64", "big", [0, 0, 0x075B, 0xCD15], 123456789),
        ("int64", "little", [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF], -1),
        ("float32", "big", [0x4366, 0x8000], 230.5),
        ("float32", "little", [0x8000, 0x4366], 230.5),
        ("float64", "big", [0x406C, 0xD000, 0, 0], 230.5),
    ],
)
def test_types_and_word_orders(kind: str, order: str, registers: list[int], value: float) -> None:
    assert number(registers, point(kind), order) == value
    assert number(registers, point(kind, word_order=order), "big") == value, "a point may have an order of its own"


@pytest.mark.parametrize(
    ("kind", "nan", "raw"),
    [
        ("uint16", "max", 0xFFFF),
        ("int16", "max", 0x7FFF),
        ("int16", "min", -0x8000),
        ("uint32", "max", 0xFFFFFFFF),
        ("int32", "max", 0x7FFFFFFF),
        ("uint64", "max", 0xFFFFFFFFFFFFFFFF),
        ("int64", "min", -(1 << 63)),
        ("int32", 99999, 99999),
    ],
)
def test_what_means_not_there_is_none(kind: str, nan: object, raw: int) -> None:
    content = raw.to_bytes(8, "big", signed=raw < 0)[-2 * model_file.WIDTHS[kind] :]
    registers = [int.from_bytes(content[i : i + 2], "big") for i in range(0, len(content), 2)]
    assert number(registers, point(kind, nan=nan), "big") is None
    assert number(registers, point(kind), "big") == float(raw)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_floats_that_are_no_numbers_are_none(value: float) -> None:
    assert number(struct.unpack(">HH", struct.pack(">f", value)), point("float32"), "big") is None


raws = st.none() | st.integers(-100_000, 100_000).map(float)


@given(st.sampled_from(sorted(SHIPPED)), st.data())
def test_nothing_is_there_that_was_not_read(name: str, data: st.DataObject) -> None:
    """Whatever drops out: None stays None, nothing becomes 0, no reading lacks its reason."""
    model = SHIPPED[name]
    keys = [(name, phase) for name, point in model.items().items() for phase in range(point.phases)]
    fast = {key for key in keys if key[0] in {"current", "voltage", "power"}}
    read = {key: data.draw(raws) for key in keys if key in fast or data.draw(st.booleans())}
    ratios = {
        (f"scale:{name}", place): 1 / register.scale
        for name, point in model.items().items()
        for place, register in enumerate(point.scale_register)
    }
    found = measured(model, read | ratios)
    fields = {
        "current": found.fields["current_a"],
        "voltage": found.fields["voltage_v"],
        "power": found.fields["power_w"],
        "power_total": (found.fields["power_total_w"],),
        "power_factor": (found.fields["power_factor"],),
        "frequency": (found.fields["frequency_hz"],),
        "energy_import": (found.fields["energy_import_kwh"],),
        "energy_export": (found.fields["energy_export_kwh"],),
    }
    for point_name, phase in keys:
        raw, value = read.get((point_name, phase)), fields[point_name][phase]
        assert (value is None) == (raw is None)
        assert raw is None or abs(value) == pytest.approx(abs(raw * model.factor(point_name)))
    assert (found.quality is Quality.GOOD) == (not found.reasons)
    assert (Reason.CURRENT_MISSING in found.reasons) == any(
        read["current", phase] is None for phase in range(model.points.current.phases)
    )


@pytest.mark.parametrize(
    ("signed", "current", "power", "seen", "says"),
    [
        ("from-power", (5, 5, 5), (9, -9, 0), (5, -5, 5), Signed.FROM_POWER),
        ("from-power", (-5, -5, 5), (9, -9, -9), (5, -5, -5), Signed.FROM_POWER),
        ("from-power", (5, 5, 5), (None, -9, 9), (5, -5, 5), Signed.UNKNOWN),
        ("from-power", (None, 5, 5), (None, -9, 9), (None, -5, 5), Signed.FROM_POWER),
        ("native", (-5, 5, None), (9, -9, 9), (-5, 5, None), Signed.NATIVE),
        ("unknown", (-5, 5, 0), (9, -9, 9), (5, 5, 0), Signed.UNKNOWN),
    ],
)
def test_where_the_sign_comes_from(signed: str, current: Any, power: Any, seen: Any, says: Signed) -> None:
    chosen = SDM.points.current.model_copy(update={"signed": signed})
    model = SDM.model_copy(update={"points": SDM.points.model_copy(update={"current": chosen})})
    raw: dict[Key, float | None] = {("current", phase): current[phase] for phase in range(3)}
    raw |= {("power", phase): power[phase] for phase in range(3)}
    raw |= {("voltage", phase): 230.0 for phase in range(3)}
    found = measured(model, raw)
    assert found.fields["current_a"] == seen
    assert found.fields["current_signed"] is says
    assert (Reason.SIGN_UNKNOWN in found.reasons) == (signed == "from-power" and says is Signed.UNKNOWN)


DTSU = SHIPPED["chint-dtsu666"]
RAW: dict[Key, float | None] = {
    (name, phase): 2.0 for name in ("current", "power", "voltage", "power_total") for phase in range(3)
}


def with_ratios(current: float | None, voltage: float | None) -> dict[str, Any]:
    names = {"current": [current], "voltage": [voltage], "power": [current, voltage], "power_total": [current, voltage]}
    ratios = {(f"scale:{name}", place): ratio for name, all_ in names.items() for place, ratio in enumerate(all_)}
    return dict(measured(DTSU, RAW | ratios).fields)


def test_ratios_in_the_meter_are_multiplied_in() -> None:
    """Ratios of 40 and, in tenths, 1.5. Values in mA, and tenths of V and W."""
    found = with_ratios(40, 15)
    assert found["current_a"] == (0.08, 0.08, 0.08)
    assert found["voltage_v"] == pytest.approx((0.3, 0.3, 0.3))
    assert found["power_w"] == pytest.approx((12.0, 12.0, 12.0))
    assert found["power_total_w"] == pytest.approx(12.0)


@pytest.mark.parametrize("ratio", [None, 0.0, -1.0])
def test_a_ratio_is_never_assumed(ratio: float | None) -> None:
    """One of 0 is one that nobody set, and would make a zero of every value."""
    found = with_ratios(ratio, 10)
    assert found["current_a"] == found["power_w"] == (None, None, None)
    assert found["power_total_w"] is None
    assert found["voltage_v"] == pytest.approx((0.2, 0.2, 0.2))
    without = measured(DTSU, RAW)
    assert without.fields["current_a"] == (None, None, None)
    assert {Reason.CURRENT_MISSING, Reason.VOLTAGE_MISSING, Reason.POWER_MISSING} <= without.reasons


def test_a_check_is_found_in_what_is_read_with_it() -> None:
    (probe,) = SHIPPED["siemens-pac3200"].probe
    assert probe.span == (64001, 27)
    assert said(probe, [42, *range(26)], "big") == 42
    check = Check(at=64003, type="uint32", equals=0x10002, within=probe.within)
    assert check.fits(said(check, [42, 0, 1, 2, *range(23)], "big"))
    assert not check.fits(None)


def test_the_step_of_the_currents() -> None:
    steps = {name: resolution_a(model) for name, model in SHIPPED.items()}
    fine = {name for name, step in steps.items() if step == 0.001}
    assert set(steps.values()) == {0.01, 0.001}
    assert {name.rpartition("-")[0] for name in fine} == {"carlo-gavazzi", "carlo-gavazzi-em24", "socomec-countis"}
