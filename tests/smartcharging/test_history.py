"""The record of what the background did."""

from gateway.smartcharging.history import DAY_S, WEEK_S, Rises, Steps


def after(rises: Rises, values: list[tuple[float, float]]) -> Rises:
    for at, amps in values:
        rises = rises.observe((amps, 5.0, 5.0), at)
    return rises


def test_nothing_is_said_before_a_week_is_on_record() -> None:
    rises = Rises(recorded_s=WEEK_S - 30)
    assert after(rises, [(0.0, 5.0), (20.0, 25.0)]).largest() is None
    week = after(rises, [(0.0, 5.0), (20.0, 25.0), (40.0, 5.0)]).largest()
    assert week is not None
    assert [round(amps, 3) for amps in week] == [22.0, 0.0, 0.0], "the rise of 20 A, with its margin"


def test_a_rise_slower_than_a_lease_counts_only_as_far_as_the_window_sees_it() -> None:
    rises = after(Rises(recorded_s=WEEK_S), [(second, second * 0.01) for second in range(0, 3000, 5)])
    largest = rises.largest()
    assert largest is not None
    assert 4.0 * 1.1 <= largest[0] <= 4.2 * 1.1


def test_a_rise_over_a_gap_in_the_record_is_none() -> None:
    rises = after(Rises(recorded_s=WEEK_S), [(0.0, 5.0), (500.0, 60.0), (510.0, 61.0)])
    assert rises.days == ((1.0, 0.0, 0.0),)
    assert rises.recorded_s == WEEK_S + 10


def test_days_pass_and_old_ones_are_forgotten() -> None:
    rises = Rises(recorded_s=WEEK_S, days=((30.0, 0.0, 0.0), *[(1.0, 1.0, 1.0)] * 27), today_s=DAY_S - 5)
    rises = after(rises, [(0.0, 5.0), (10.0, 5.0)])
    assert len(rises.days) == 28
    largest = rises.largest()
    assert largest is not None
    assert largest[0] == 1.1


def test_the_usual_step_needs_a_thousand_readings() -> None:
    steps = Steps()
    for number in range(1001):
        assert steps.usual_most() is None
        steps = steps.observe((20.0 if number % 50 == 0 else 5.0, 5.0, 5.0 + number % 2), float(number))
    usual = steps.usual_most()
    assert usual is not None
    assert usual[0] >= 15.0, "one step in fifty is more than one in a hundred"
    assert usual[1:] == (0.5, 1.5)


def test_a_rare_step_is_not_usual() -> None:
    steps = Steps()
    for number in range(2001):
        steps = steps.observe((50.0 if number % 500 == 7 else 5.0, 5.0, 5.0), float(number))
    assert steps.usual_most() == (0.5, 0.5, 0.5)
