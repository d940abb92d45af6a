"""How old is too old, and that nothing but a believed reading makes values younger."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import freshness
from gateway.core.freshness import accept, age_s, by_age, limits, of_meter
from gateway.model.ids import MeterId
from gateway.model.metering import Freshness, Held, MeterState, Phases, Quality
from tests.core.meters import reading

FRESH, LATE, STALE, BLIND = Freshness
EMPTY = MeterState(meter=MeterId("grid"))


@pytest.mark.parametrize(
    ("interval_s", "late_s", "stale_s", "blind_s"),
    [(0.2, 3, 10, 60), (1, 3, 10, 60), (2, 3, 10, 60), (10, 15, 25, 60), (12, 18, 30, 60), (60, 90, 150, 300)],
)
def test_limits_grow_with_the_interval(interval_s: float, late_s: float, stale_s: float, blind_s: float) -> None:
    assert limits(interval_s) == freshness.Limits(late_s, stale_s, blind_s)
    for edge, below, above in ((late_s, FRESH, LATE), (stale_s, LATE, STALE), (blind_s, STALE, BLIND)):
        assert (by_age(edge, interval_s), by_age(edge + 0.001, interval_s)) == (below, above)


def test_a_value_from_the_future_has_no_age() -> None:
    assert (by_age(-0.5, 1), by_age(-1.1, 1), by_age(float("nan"), 1)) == (FRESH, BLIND, BLIND)


def test_a_meter_that_said_nothing_is_blind() -> None:
    assert of_meter(EMPTY, 0.0) is BLIND
    assert age_s(EMPTY, 0.0) is None
    only_energy = accept(EMPTY, reading(current_a=(None, None, None), quality=Quality.PARTIAL))
    assert of_meter(only_energy, 100.0) is BLIND
    assert freshness.of(EMPTY, Held(1.0, 0.0), 0.0) is BLIND


def test_a_reading_that_is_not_believed_is_shown_and_changes_no_value() -> None:
    state = accept(EMPTY, reading())
    bad = reading(measured_at=105.0, current_a=(99.0, 99.0, 99.0), quality=Quality.BAD)
    after = accept(state, bad)
    assert after == replace(state, latest=bad, bad_in_a_row=1)
    assert of_meter(after, 105.0) is LATE


def test_five_bad_readings_in_a_row_are_enough_whatever_the_age() -> None:
    state = accept(EMPTY, reading())
    for count in range(1, 6):
        state = accept(state, reading(quality=Quality.BAD, sequence=count))
        assert of_meter(state, 100.5) is (STALE if count == 5 else FRESH)
    assert of_meter(accept(state, reading()), 100.5) is FRESH


def test_a_doubtful_reading_allows_no_raise() -> None:
    state = accept(EMPTY, reading(quality=Quality.SUSPECT))
    assert (of_meter(state, 100.0), of_meter(state, 111.0)) == (LATE, STALE)


def test_a_missing_phase_keeps_its_value_with_its_own_age() -> None:
    state = accept(EMPTY, reading())
    state = accept(state, reading(measured_at=104.0, current_a=(12.0, None, 6.0), quality=Quality.PARTIAL))
    assert state.current_a == (Held(12.0, 104.0), Held(20.0, 100.0), Held(6.0, 104.0))
    assert age_s(state, 105.0) == 5.0
    assert of_meter(state, 105.0) is LATE
    assert [freshness.of(state, held, 111.0) for held in state.current_a if held] == [LATE, STALE, LATE]


@pytest.mark.parametrize(
    ("phases", "powers", "total", "expected"),
    [
        (3, (1.0, 2.0, 3.0), 7.0, 7.0),
        (3, (1.0, 2.0, 3.0), None, 6.0),
        (3, (1.0, None, 3.0), None, None),
        (1, (None, 2.0, None), None, 2.0),
        (1, (None, None, None), None, None),
    ],
)
def test_total_power_is_the_meters_own_or_all_phases(
    phases: int, powers: tuple[float | None, float | None, float | None], total: float | None, expected: float | None
) -> None:
    one = reading(phases=phases, power_w=powers, power_total_w=total)
    assert freshness.total_power_w(one) == expected


def test_a_slow_meter_gives_no_room() -> None:
    assert (freshness.gives_room(20.0), freshness.gives_room(20.1)) == (True, False)


@given(st.lists(st.tuples(st.floats(0, 30), st.sampled_from(Quality), st.booleans()), max_size=30), st.floats(0, 400))
def test_only_a_believed_reading_makes_a_meter_younger(said: list[tuple[float, Quality, bool]], later: float) -> None:
    """Whatever else is said, the age is that of the last current that was believed."""
    now, state = 0.0, EMPTY
    believed_at: list[float | None] = [None, None, None]
    for wait, quality, whole in said:
        now += wait
        current: Phases = (1.0, 2.0, 3.0) if whole else (1.0, None, 3.0)
        state = accept(state, reading(measured_at=now, current_a=current, quality=quality))
        if quality is not Quality.BAD:
            believed_at = [at if amps is None else now for at, amps in zip(believed_at, current, strict=True)]
    now += later
    known = [at for at in believed_at if at is not None]
    assert age_s(state, now) == (now - min(known) if known else None)
    order = list(Freshness)
    least = order.index(by_age(now - min(known), 1.0)) if known else 3
    assert order.index(of_meter(state, now)) >= least
