"""The reading, and how a site's wiring changes it."""

from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.api import Health, Quality, Reading, Reason, Signed, wired, worst
from drivers.options import Options

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ORDERS = ["".join(f"L{phase}" for phase in order) for order in permutations((1, 2, 3))]


def reading(**values: Any) -> Reading:
    plain: dict[str, Any] = {"meter": "grid", "sequence": 0, "t_mono": 100.0, "t_wall": NOON, "interval_s": 1.0}
    return Reading(**(plain | values))


def site(**values: Any) -> Options:
    return Options(driver="any", **values)


@pytest.mark.parametrize("field", ["current_a", "voltage_v", "power_w"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_no_number_cannot_be_in_a_reading(field: str, bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        reading(**{field: (1.0, bad, None)})


def test_a_reading_is_good_or_has_reasons() -> None:
    with pytest.raises(ValueError, match="reasons"):
        reading(quality=Quality.PARTIAL)
    with pytest.raises(ValueError, match="reasons"):
        reading(reasons=frozenset({Reason.FROZEN}))


def test_the_age_is_that_of_the_oldest_part_whatever_the_wall_clock_says() -> None:
    for t_wall in (NOON, NOON.replace(year=1970), NOON.replace(year=2099)):
        assert reading(t_wall=t_wall).age_s(103.5) == 3.5


def test_degrading_never_improves() -> None:
    bad = reading().degraded(Quality.BAD, Reason.RETAINED)
    both = bad.degraded(Quality.PARTIAL, Reason.CURRENT_MISSING)
    assert (both.quality, len(both.reasons)) == (Quality.BAD, 2)
    assert worst([]) is Quality.GOOD
    assert worst(Quality) is Quality.BAD


@pytest.mark.parametrize(
    ("current", "phases", "has"),
    [((1.0, 2.0, 3.0), 3, True), ((1.0, None, 3.0), 3, False), ((None, 2.0, None), 1, True), ((None,) * 3, 1, False)],
)
def test_currents_are_there_when_each_measured_phase_has_one(current: Any, phases: int, has: bool) -> None:
    assert reading(current_a=current, phases=phases).has_currents is has


def test_phases_direction_and_size_are_those_of_the_site() -> None:
    given_by_meter = reading(
        current_a=(1.0, -2.0, None),
        current_signed=Signed.NATIVE,
        voltage_v=(230.0, 231.0, 232.0),
        power_w=(230.0, -462.0, None),
        power_total_w=-232.0,
        power_factor=0.9,
        energy_import_kwh=5.0,
        energy_export_kwh=7.0,
    )
    seen = wired(given_by_meter, site(invert=True, phase_map="L2L3L1", ct_ratio=40.0))
    assert seen.current_a == (None, -40.0, 80.0)
    assert seen.power_w == (None, -9200.0, 18480.0)
    assert seen.voltage_v == (232.0, 230.0, 231.0)
    assert (seen.power_total_w, seen.power_factor) == (9280.0, -0.9)
    assert (seen.energy_import_kwh, seen.energy_export_kwh) == (280.0, 200.0)
    assert seen.resolution_a == pytest.approx(0.4)
    assert (seen.t_mono, seen.sequence) == (given_by_meter.t_mono, given_by_meter.sequence)
    assert wired(given_by_meter, site()) is given_by_meter


def test_a_current_without_direction_is_not_turned() -> None:
    seen = wired(reading(current_a=(1.0, 2.0, 3.0), current_signed=Signed.UNKNOWN), site(invert=True))
    assert seen.current_a == (1.0, 2.0, 3.0)


maybe = st.none() | st.floats(-1000, 1000)


@given(
    values=st.tuples(maybe, maybe, maybe),
    order=st.sampled_from(ORDERS),
    invert=st.booleans(),
    ratio=st.sampled_from([1.0, 0.5, 40.0]),
)
def test_wiring_invents_and_loses_no_value(values: Any, order: Any, invert: bool, ratio: float) -> None:
    seen = wired(
        reading(current_a=values, current_signed=Signed.NATIVE), site(invert=invert, phase_map=order, ct_ratio=ratio)
    )
    factor = -ratio if invert else ratio
    for place in range(3):
        phase = int(order[2 * place + 1]) - 1
        value = values[place]
        assert seen.current_a[phase] == (None if value is None else value * factor)


def test_health_begins_at_nothing() -> None:
    assert Health() == Health(readings=0, last_good_t=None, trouble=None, notes=())
