"""The background: up at once, down slowly, and not fooled by cars."""

import pytest

from gateway.model.balance import CircuitReading, Rung, SiteFacts
from gateway.model.site_tree import NO_AMPS, Amps, CircuitNode
from gateway.smartcharging.background import Doubt, Draw, Metered, backgrounds_of, rungs_of
from gateway.smartcharging.circuits import compile_tree

LIMIT = (63.0, 63.0, 63.0)


def even(amps: float) -> Amps:
    return (amps, amps, amps)


def reading(amps: float, at: float, interval_s: float = 1.0) -> CircuitReading:
    return CircuitReading(current_a=even(amps), at=at, interval_s=interval_s)


def test_a_rise_counts_at_once_and_a_fall_after_a_minute() -> None:
    metered, seen = Metered(), []
    for second in range(200):
        flow = 30.0 if 50 <= second < 60 else 10.0
        metered = metered.observe(reading(flow, float(second)), Draw(), LIMIT)
        seen.append(metered.amps[0])
    assert seen[49] == 10.0
    assert seen[50:120] == [30.0] * 70
    assert seen[120:] == [10.0] * 80


def test_a_reading_is_taken_once_and_export_is_no_room() -> None:
    metered = Metered().observe(reading(10.0, 1.0), Draw(), LIMIT)
    assert metered.observe(reading(50.0, 1.0), Draw(), LIMIT) is metered
    assert Metered().observe(reading(-20.0, 1.0), Draw(), LIMIT).amps == NO_AMPS


def test_what_chargers_draw_is_no_background() -> None:
    assert Metered().observe(reading(40.0, 1.0), Draw(even(32.0)), LIMIT).amps == even(8.0)


def test_a_car_that_stops_between_two_reports_is_no_load_that_went_away() -> None:
    """Its station reports every 90 s: for so long the meter seems to have 32 A less background than there is."""
    metered = Metered()
    for second in range(300):
        flow = 72.0 if second < 100 else 40.0
        reported = 32.0 if second < 170 else 0.0
        age = float(second % 90) if second < 170 else float(second - 170)
        metered = metered.observe(reading(flow, float(second)), Draw(even(reported), max(age, 80.0)), LIMIT)
        assert metered.amps[0] == 40.0


def test_a_reading_may_be_older_than_its_arrival() -> None:
    """Storm seed 13235: it came 10 s late; the last sample before the car stopped has to count until the next one."""
    metered = Metered()
    for second in range(160):
        flow, age = (12.0 if second < 50 else 6.0), float(second - 60) if second >= 60 else 5.0
        metered = metered.observe(reading(flow, float(second)), Draw(even(6.0), min(age, 90.0)), LIMIT)
        if second < 50 + 60 + 20:
            assert metered.amps == even(6.0), second


def test_after_a_gap_a_car_that_stopped_meanwhile_is_no_load_that_went_away() -> None:
    """Storm seed 9507471: its station's last word is of before the meter came back, and the car has stopped since."""
    metered, worst, old = Metered().observe(reading(20.0, 0.0), Draw(even(10.0)), LIMIT), even(12.0), even(10.0)
    for second in range(40, 100):
        before = second < 70
        draw = Draw(old, second - 30.0, unseen=old) if before else Draw(NO_AMPS, second - 70.0)
        metered = metered.observe(reading(10.0, float(second)), draw, LIMIT, worst)
        assert (metered.amps, metered.since) == (even(10.0), 40.0)
    held = metered.observe(reading(40.0, 200.0), Draw(old, 90.0, unseen=old), LIMIT, worst)
    assert held.amps == even(30.0), "what is certain counts, though it is more than was declared"
    assert metered.observe(reading(12.0, 200.0), Draw(old, 90.0, unseen=old), LIMIT, worst).amps == worst


def test_a_rise_that_a_ramp_explains_is_no_background_as_long_as_the_fuse_is_fine() -> None:
    metered = Metered().observe(reading(20.0, 0.0), Draw(even(0.0)), LIMIT)
    ramp = Draw(even(0.0), 0.0, even(16.0))
    assert metered.observe(reading(36.0, 1.0), ramp, LIMIT).amps == even(20.0)
    assert metered.observe(reading(46.0, 1.0), ramp, LIMIT).amps == even(30.0), (
        "what is beyond the ramp is not explained"
    )
    assert metered.observe(reading(64.0, 1.0), Draw(even(0.0), 0.0, even(60.0)), LIMIT).amps == even(64.0)


def test_rungs_decide_what_counts() -> None:
    tree = compile_tree(
        [
            CircuitNode(id="main", limit_a=LIMIT, metered=True, background_a=even(25.0)),
            CircuitNode(id="row", parent="main", limit_a=even(32.0), background_a=even(4.0)),
        ],
        [],
    )
    metered = {"main": Metered().observe(reading(12.0, 0.0), Draw(), LIMIT)}

    def at(now: float, **more: Amps) -> tuple[float, float, Rung]:
        facts = SiteFacts(connectors=(), readings={"main": reading(12.0, 0.0)}, rises=dict(more))
        main = backgrounds_of(tree, facts, metered, rungs_of(tree, facts, metered, now))[0]
        return main.now[0], main.within_lease[0], main.rung

    assert at(1.0) == (12.0, 29.0, Rung.NORMAL), "without a record the worst case within a lease"
    assert at(1.0, main=even(5.0)) == (12.0, 17.0, Rung.NORMAL)
    assert at(1.0, main=even(50.0)) == (12.0, 29.0, Rung.NORMAL)
    assert at(5.0) == (12.0, 29.0, Rung.LATE)
    assert at(20.0) == (29.0, 29.0, Rung.STALE)
    assert at(90.0) == (29.0, 29.0, Rung.BLIND)


def test_a_slow_meter_needs_a_margin_and_a_very_slow_one_gives_no_room() -> None:
    tree = compile_tree([CircuitNode(id="main", limit_a=LIMIT, metered=True, background_a=even(40.0))], [])

    def now_a(interval_s: float, step: float | None) -> float:
        steps = {} if step is None else {"main": even(step)}
        facts = SiteFacts(connectors=(), readings={"main": reading(10.0, 0.0, interval_s)}, steps=steps)
        metered = {"main": Metered().observe(reading(10.0, 0.0), Draw(), LIMIT)}
        return backgrounds_of(tree, facts, metered, rungs_of(tree, facts, metered, 1.0))[0].now[0]

    assert (now_a(5.0, None), now_a(10.0, None), now_a(10.0, 6.0), now_a(30.0, 6.0)) == (10.0, 40.0, 16.0, 40.0)


def test_a_circuit_without_a_meter_adds_up_what_is_below_it() -> None:
    tree = compile_tree(
        [
            CircuitNode(id="main", limit_a=LIMIT, background_a=even(3.0)),
            CircuitNode(id="a", parent="main", limit_a=even(40.0), metered=True, background_a=even(20.0)),
            CircuitNode(id="b", parent="main", limit_a=even(40.0), background_a=even(2.0)),
        ],
        [],
    )
    metered = {"a": Metered().observe(reading(7.0, 0.0), Draw(), LIMIT)}
    facts = SiteFacts(connectors=(), readings={"a": reading(7.0, 0.0)})
    rungs = rungs_of(tree, facts, metered, 1.0)
    found = backgrounds_of(tree, facts, metered, rungs)
    assert [background.now[0] for background in found] == [12.0, 7.0, 2.0]
    assert tree.worst[0] == even(25.0)
    late = rungs_of(tree, facts, metered, 5.0)
    assert late == (Rung.LATE, Rung.LATE, Rung.NORMAL)


def test_a_meter_that_sees_less_than_the_chargers_say_is_believed_no_more_until_it_was_right_for_long() -> None:
    """First nothing is raised; once every charger has had time to say something else, it is as good as none."""
    metered, drawn = Metered(), Draw(even(20.0), oldest_s=5.0)
    found: dict[float, Rung] = {}
    for second in range(700):
        flow = -30.0 if 100 <= second < 130 else 30.0
        metered = metered.observe(reading(flow, float(second)), drawn, LIMIT)
        found[second] = metered.doubt.rung(float(second))
    assert [at for at, rung in found.items() if rung != found.get(at - 1)] == [0, 100, 120]
    assert (found[99], found[100], found[119], found[120]) == (Rung.NORMAL, Rung.LATE, Rung.LATE, Rung.BLIND)
    assert metered.doubt.rung(728.0) is Rung.BLIND
    assert metered.doubt.rung(730.0) is Rung.NORMAL


@pytest.mark.parametrize(
    ("flow", "is_doubted"),
    [((20.0, 4.0, 4.0), False), ((4.0, 4.0, 20.0), False), ((-12.0, 4.0, 4.0), True), ((2.0, 1.0, 1.0), True)],
)
def test_what_may_flow_on_one_phase_is_looked_for_on_all_of_them(flow: Amps, is_doubted: bool) -> None:
    """16 A at a station that does not say of which phase; a reversed meter, or a dead one, is noticed all the same."""
    doubt, draw = Doubt(), Draw(even(16.0), 1.0, unsure=even(16.0))
    for second in range(60):
        doubt = doubt.observe(CircuitReading(current_a=flow, at=float(second)), draw)
    assert (doubt.rung(60.0) is Rung.BLIND) is is_doubted


def test_where_something_feeds_in_the_chargers_may_draw_more_than_flows_in() -> None:
    metered = Metered().observe(reading(-30.0, 1.0), Draw(even(20.0)), LIMIT, generates=True)
    assert metered.doubt.rung(1.0) is Rung.NORMAL
