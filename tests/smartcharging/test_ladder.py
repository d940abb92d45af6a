"""What is believed of a silent meter, and what is done about disobedience and overload, each at its second."""

import pytest

from gateway.model.balance import CircuitReading, Remedy, Rung
from gateway.smartcharging.ladder import Disobedience, Overload, next_rung_at, rung_of, thresholds_s

NONE = (0.0, 0.0, 0.0)
LIMIT = (50.0, 50.0, 50.0)


@pytest.mark.parametrize(
    ("interval_s", "expected"),
    [(1.0, (3.0, 10.0, 60.0)), (5.0, (7.5, 12.5, 60.0)), (10.0, (15.0, 25.0, 60.0)), (30.0, (45.0, 75.0, 150.0))],
)
def test_thresholds_scale_with_the_meter(interval_s: float, expected: tuple[float, float, float]) -> None:
    assert thresholds_s(interval_s) == expected


@pytest.mark.parametrize(
    ("age", "rung"),
    [
        (0.0, Rung.NORMAL),
        (3.0, Rung.NORMAL),
        (3.1, Rung.LATE),
        (10.0, Rung.LATE),
        (10.1, Rung.STALE),
        (60.0, Rung.STALE),
        (60.1, Rung.BLIND),
    ],
)
def test_rungs_of_a_meter_of_one_second(age: float, rung: Rung) -> None:
    reading = CircuitReading(current_a=NONE, at=100.0)
    assert rung_of(reading, 100.0 + age) is rung


def test_bad_frames_make_a_meter_stale_and_mistrust_makes_it_blind() -> None:
    assert rung_of(CircuitReading(current_a=NONE, at=0.0, bad_in_a_row=4), 1.0) is Rung.NORMAL
    assert rung_of(CircuitReading(current_a=NONE, at=0.0, bad_in_a_row=5), 1.0) is Rung.STALE
    assert rung_of(CircuitReading(current_a=NONE, at=0.0, trusted=False), 1.0) is Rung.BLIND
    assert rung_of(None, 1.0) is Rung.BLIND


def test_the_next_rung_is_foreseen() -> None:
    reading = CircuitReading(current_a=NONE, at=100.0)
    assert [next_rung_at(reading, now) for now in (100.0, 104.0, 120.0)] == [103.0, 110.0, 160.0]
    assert next_rung_at(reading, 200.0) == next_rung_at(None, 0.0) == float("inf")


Remedies = list[tuple[float, Remedy]]


def told(state: Disobedience, seconds: int, load: float, *, drawn: float = 20.0) -> tuple[Disobedience, Remedies]:
    """What is tried with a station that draws too much, as it is looked at ten times a second."""
    seen: Remedies = []
    for tenth in range(10 * seconds + 1):
        now = tenth / 10
        state = state.observe(drawn, 10.0, now)
        if now >= state.due_at(load):
            state = state.stepped(now, load)
            assert state.remedy is not None
            seen.append((now, state.remedy))
    return state, seen


@pytest.mark.parametrize(("load", "step_s"), [(0.5, 15.0), (1.13, 15.0), (1.2, 5.0), (1.45, 5.0)])
def test_remedies_follow_one_another_as_fast_as_the_fullest_circuit_asks_for(load: float, step_s: float) -> None:
    _, seen = told(Disobedience(), 90, load)
    every = (Remedy.RESEND, Remedy.OTHER_PURPOSE, Remedy.ZERO, Remedy.STOP)
    assert [remedy for _at, remedy in seen] == list(every)
    assert [at for at, _remedy in seen] == pytest.approx([step_s, 2 * step_s, 3 * step_s, 4 * step_s])


@pytest.mark.parametrize("load", [1.46, float("inf")])
def test_far_over_the_limit_nothing_is_tried_that_would_not_show_in_time(load: float) -> None:
    """Storm seed 13224: a breaker that had borne much already."""
    _, seen = told(Disobedience(), 90, load)
    assert seen == [(2.5, Remedy.ZERO), (5.0, Remedy.STOP)]


def test_a_station_that_draws_less_for_a_while_goes_on_where_it_was() -> None:
    state, _ = told(Disobedience(), 35, 1.0)
    obeys = state.observe(12.0, 10.0, 80.0)
    assert obeys.remedy is None, "ten percent and one ampere are borne"
    assert obeys.tried == 2
    again = obeys.observe(12.1, 10.0, 300.0)
    assert again.remedy is None, "not before it had time to obey"
    assert (again.due_at(1.0), again.stepped(315.0, 1.0).remedy) == (315.0, Remedy.ZERO)


def test_ten_minutes_of_obedience_are_forgiveness_and_no_remedy_tried_is_no_record() -> None:
    state, _ = told(Disobedience(), 35, 1.0)
    obeys = state.observe(10.0, 10.0, 80.0)
    assert obeys.observe(10.0, 10.0, 679.0).tried == 2
    assert obeys.observe(10.0, 10.0, 680.0) == Disobedience()
    assert Disobedience().observe(20.0, 10.0, 1.0).observe(5.0, 10.0, 9.0) == Disobedience()


def test_what_was_tried_counts_in_the_next_transaction_too() -> None:
    state, _ = told(Disobedience(), 60, 1.0)
    next_one = state.renewed(70.0)
    assert (next_one.since, next_one.remedy, next_one.tried) == (None, None, 4)
    again = next_one.observe(20.0, 10.0, 100.0).stepped(102.5, 1.0)
    assert (again.remedy, again.stepped(105.0, 1.0).remedy) == (Remedy.ZERO, Remedy.STOP)


@pytest.mark.parametrize(("flow", "sheds_at"), [(54.0, None), (56.0, 30), (63.0, 5)])
def test_a_circuit_over_its_limit_sheds_in_time(flow: float, sheds_at: int | None) -> None:
    state, shed_at = Overload(), None
    for now in range(60):
        state = state.observe((flow, 0.0, 0.0), LIMIT, float(now))
        if state.shed and shed_at is None:
            shed_at = now
    assert shed_at == sheds_at


def test_shedding_goes_on_class_by_class_and_is_latched() -> None:
    state = Overload()
    for now in range(11):
        state = state.observe((70.0, 0.0, 0.0), LIMIT, float(now))
    assert state.shed == 2
    state = state.observe((10.0, 0.0, 0.0), LIMIT, 200.0)
    assert state.shed == 2, "for five minutes"
    assert state.observe((10.0, 0.0, 0.0), LIMIT, 311.0) == Overload()


def test_a_gap_in_the_readings_is_no_overload() -> None:
    state = Overload().observe((56.0, 0.0, 0.0), LIMIT, 0.0).observe(None, LIMIT, 10.0)
    assert state.observe((56.0, 0.0, 0.0), LIMIT, 31.0).shed == 0
