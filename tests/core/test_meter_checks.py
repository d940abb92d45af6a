"""What is found in readings that cannot be true, and that true ones are left alone."""

import random
from typing import Any

import pytest

from gateway.core.meter_checks import Rules, Still, check
from gateway.model.metering import WORDS, Finding, MeterReading, MeterReason, Quality, Signed
from tests.core.meters import GOOD, WALL, reading

R = MeterReason
GOOD_Q, PARTIAL, SUSPECT, BAD = Quality
RULES = Rules(230.0, 125.0)
NO_POWER: dict[str, Any] = {"power_w": (None, None, None), "power_total_w": None, "power_factor": None}
ONE = {"phases": 1, "current_a": (10.0, None, None), "voltage_v": (230.1, None, None), "power_w": (2250.0, None, None)}
EXPORT: dict[str, Any] = {
    "current_a": (-10.0, -20.0, -5.0),
    "power_w": (-2250.0, -4400.0, -1100.0),
    "power_total_w": -7750.0,
}

TRUE: list[dict[str, Any]] = [
    {},
    NO_POWER,
    ONE | {"power_total_w": 2250.0},
    EXPORT,
    {"current_a": (-10.0, 20.0, 5.0), "power_w": (-2250.0, 4400.0, 1100.0), "power_total_w": 3250.0},
    {"current_a": (0.0, 0.0, 0.0), "power_w": (0.0, 0.0, 0.0), "power_total_w": 0.0},
    {"voltage_v": (138.0, 299.0, 230.0)} | NO_POWER,
    # A phase that is not connected.
    {"voltage_v": (230.1, 0.3, 231.2), "current_a": (10.0, 0.02, 5.0), "power_w": (2250.0, 0.0, 1100.0)}
    | {"power_total_w": 3350.0},
    {"current_a": (249.0, 20.0, 5.0), "power_w": (55000.0, 4400.0, 1100.0), "power_total_w": 60500.0},
    # Whole amperes, as P1 sends them: 0 may be 0.9.
    {"current_a": (0.0, 0.0, 0.0), "power_w": (200.0, 150.0, 0.0), "power_total_w": 350.0, "resolution_a": 1.0},
    # Near zero, current and power need not agree on a direction.
    {"current_a": (0.4, 20.0, 5.0), "power_w": (-80.0, 4400.0, 1100.0), "power_total_w": 5420.0},
    # Magnitudes without direction.
    EXPORT | {"current_a": (10.0, 20.0, 5.0), "current_signed": Signed.UNKNOWN},
    # Reactive load beside solar export: one phase may well have half the power, negative.
    {"current_a": (-10.0, 20.0, 5.0), "power_w": (-1150.0, 4400.0, 1100.0), "power_total_w": 4350.0},
    {"measured_at": 100.9},
]


@pytest.mark.parametrize("changes", TRUE, ids=str)
def test_a_true_reading_is_left_as_it_is(changes: dict[str, Any]) -> None:
    checked, still = check(reading(**changes), RULES, None, 100.0)
    assert checked == reading(**changes)
    assert (still.since, still.readings) == (checked.measured_at, 1)


FALSE: list[tuple[dict[str, Any], Quality, MeterReason, tuple[int, ...]]] = [
    ({"measured_at": 101.1}, BAD, R.TIME_WRONG, ()),
    ({"voltage_v": (230.0, 137.0, 231.0)} | NO_POWER, BAD, R.VOLTAGE_RANGE, (2,)),
    ({"voltage_v": (0.0, 0.0, 0.0), "current_a": (0.0, 0.0, 0.0)} | NO_POWER, BAD, R.VOLTAGE_RANGE, (1, 2, 3)),
    ({"voltage_v": (400.0, 401.0, 399.0)}, BAD, R.VOLTAGE_RANGE, (1, 2, 3)),
    ({"voltage_v": (0.0, 230.0, 231.0), "current_a": (9.0, 20.0, 5.0)} | NO_POWER, SUSPECT, R.VOLTAGE_RANGE, (1,)),
    ({"current_a": (250.0, 20.0, 5.0)} | NO_POWER, BAD, R.CURRENT_RANGE, (1,)),
    ({"current_a": (10.0, -230.1 * 2, 5.0)} | NO_POWER, BAD, R.CURRENT_RANGE, (2,)),
    ({"power_w": (2250.0, 5200.0, 1100.0), "power_total_w": 8550.0}, BAD, R.POWER_MISMATCH, (2,)),
    ({"voltage_v": (230.1, 0.0, 231.2), "current_a": (10.0, 0.0, 5.0)}, BAD, R.POWER_MISMATCH, (2,)),
    ({"power_total_w": 9000.0}, SUSPECT, R.SUM_MISMATCH, ()),
    ({"power_total_w": -7750.0}, SUSPECT, R.SUM_MISMATCH, ()),
    ({"current_a": (10.0, -20.0, 5.0)}, BAD, R.SIGN_WRONG, (2,)),
    ({"power_w": (2250.0, -2300.0, -577.0), "current_a": (10.0, -20.0, -5.0)} | {"power_total_w": -627.0},
     SUSPECT, R.PHASE_WRONG, (2, 3)),
    ({"current_a": (100.0, 110.0, 90.0)}, SUSPECT, R.CT_RATIO, ()),
    ({"current_a": (10.0, None, 5.0)}, PARTIAL, R.CURRENT_MISSING, (2,)),
    (ONE | {"current_a": (None, None, None), "power_total_w": 2250.0}, PARTIAL, R.CURRENT_MISSING, ()),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "quality", "reason", "phases"), FALSE, ids=str)
def test_a_false_reading_is_found_out(
    changes: dict[str, Any], quality: Quality, reason: MeterReason, phases: tuple[int, ...]
) -> None:
    checked, _ = check(reading(**changes), RULES, None, 100.0)
    assert (checked.quality, checked.findings) == (quality, (Finding(reason, phases),))
    assert checked.current_a == reading(**changes).current_a


def test_what_the_driver_found_stays_and_is_not_said_twice() -> None:
    said = reading(quality=SUSPECT, findings=(Finding(R.PARTS_APART),), current_a=(10.0, None, 5.0))
    checked, _ = check(said, RULES, None, 100.0)
    assert checked.quality is SUSPECT
    assert checked.findings == (Finding(R.PARTS_APART), Finding(R.CURRENT_MISSING, (2,)))
    already = reading(quality=PARTIAL, findings=(Finding(R.CURRENT_MISSING),), current_a=(10.0, None, 5.0))
    assert check(already, RULES, None, 100.0)[0] == already


def test_values_of_different_moments_may_disagree() -> None:
    apart = (Finding(R.PARTS_APART),)
    for changes in ({"power_w": (2250.0, 6000.0, 1100.0)}, {"current_a": (-10.0, 20.0, 5.0)}):
        checked, _ = check(reading(findings=apart, quality=SUSPECT, **changes), RULES, None, 100.0)
        assert checked.quality is SUSPECT
        assert len(checked.findings) >= 2


def test_without_a_fuse_there_is_no_bound_and_another_voltage_has_its_own_window() -> None:
    assert check(reading(current_a=(5000.0, 1.0, 1.0), **NO_POWER), Rules(230.0), None, 100.0)[0].quality is GOOD_Q
    assert check(reading(voltage_v=(120.0, 119.0, 121.0), **NO_POWER), Rules(120.0), None, 100.0)[0].quality is GOOD_Q


# A source that repeats itself


def _run(said: list[MeterReading], rules: Rules = RULES) -> list[MeterReading]:
    still: Still | None = None
    found = []
    for one in said:
        checked, still = check(one, rules, still, one.measured_at)
        found.append(checked)
    return found


def _same(count: int, step_s: float = 1.0, **changes: Any) -> list[MeterReading]:
    return [reading(measured_at=100.0 + step_s * number, sequence=number, **changes) for number in range(count)]


def test_a_frozen_source_is_found_and_its_values_are_as_old_as_they_are() -> None:
    found = _run(_same(40))
    assert [one.quality for one in found] == [GOOD_Q] * 30 + [SUSPECT] * 10
    assert found[-1].findings == (Finding(R.FROZEN),)
    assert [one.measured_at for one in found[29:]] == [129.0] + [100.0] * 10


def test_the_least_movement_thaws_it() -> None:
    moved = (230.1, 229.7, 231.3)
    said = [*_same(40), *(reading(measured_at=at, voltage_v=moved) for at in (140.0, 141.0))]
    found = _run(said)
    assert [one.quality for one in found[38:]] == [SUSPECT, SUSPECT, GOOD_Q, GOOD_Q]
    assert found[-1].measured_at == 141.0


def test_what_comes_only_now_and_then_is_no_movement() -> None:
    said = [
        reading(measured_at=100.0 + number, energy_import_kwh=17.5 if number % 20 == 0 else None)
        for number in range(45)
    ]
    assert _run(said)[-1].findings == (Finding(R.FROZEN),)
    said[40] = reading(measured_at=140.0, energy_import_kwh=17.6)
    assert _run(said)[-1].quality is GOOD_Q


@pytest.mark.parametrize(
    "changes",
    [
        {"current_a": (0.0, 0.0, 0.0), "voltage_v": (230.0, 230.0, 230.0), "power_w": (0.0, 0.0, 0.0)}
        | {"power_total_w": 0.0},
        {"current_a": (3.0, 2.0, 1.0), "voltage_v": (None, None, None), "resolution_a": 1.0} | NO_POWER,
    ],
    ids=["idle", "whole amperes"],
)
def test_values_that_may_stand_still_are_not_called_frozen(changes: dict[str, Any]) -> None:
    assert _run(_same(100, **changes))[-1].quality is GOOD_Q


def test_slow_meters_are_given_five_readings_and_averaging_ones_are_excused() -> None:
    found = _run(_same(8, step_s=10.0))
    assert [one.quality for one in found] == [GOOD_Q] * 4 + [SUSPECT] * 4
    assert {one.quality for one in _run(_same(100), Rules(230.0, 125.0, moves=False))} == {GOOD_Q}


def test_a_live_source_is_never_called_frozen(seed: int) -> None:
    source = random.Random(seed)
    said = [
        reading(
            measured_at=100.0 + number,
            voltage_v=tuple(round(230 + source.gauss(0, 0.3), 1) for _ in range(3)),
            current_a=(0.0, 0.0, 0.0), power_w=(0.0, 0.0, 0.0), power_total_w=0.0,
        )
        for number in range(2000)
    ]  # fmt: skip
    assert {one.quality for one in _run(said)} == {GOOD_Q}


def test_every_reason_has_its_words() -> None:
    assert set(WORDS) == set(MeterReason)
    assert GOOD.measured == WALL
