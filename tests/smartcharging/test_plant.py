"""The plant's scenarios, the short forms of the goals and the storm: what the fuse had to bear, by the truth."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

from gateway.model.balance import Urgency, Write
from gateway.model.ids import StationId
from gateway.model.site_tree import Binding, Why
from tests.smartcharging import goals, storm
from tests.smartcharging.plant.breaker import TAU_S, Breaker, towards
from tests.smartcharging.plant.report import Borne, borne, play
from tests.smartcharging.plant.scenario import HERE, build, load

SCENARIOS = sorted(HERE.glob("*.toml"))
SHORT = tuple(goals.GOALS)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: str(path.stem))
def test_scenario(path: Path) -> None:
    assert not play(load(path))


@pytest.mark.parametrize("name", SHORT)
def test_goal(name: str) -> None:
    goal: Callable[..., Iterator[goals.Figure]] = goals.GOALS[name]
    missed = [str(figure) for figure in goal(short=True) if not figure.is_met]
    assert not missed


@pytest.mark.parametrize("seed", [3402, 9507471])
def test_no_seed_of_the_storm_breaks_an_invariant(seed: int) -> None:
    assert storm.run(seed).wrong == ()


def test_a_car_that_wakes_only_by_an_edge_is_nudged_once_and_draws_in_time() -> None:
    world = load(HERE / "cars-sleep.toml").world
    world.run(930)
    nudges = [write.amps for _at, write in world.gateway.log if write.urgency is Urgency.WAKE]
    assert nudges == [0.0]
    ((_key, seconds),) = world.stations.woken
    assert 60.0 < seconds < 180.0


def test_a_breaker_trips_at_the_current_it_bears_for_an_hour_and_no_sooner() -> None:
    bears, trips = Breaker(100.0), Breaker(100.0)
    for _ in range(3600):
        bears.carry(112.9, 1.0, towards(1.0))
        trips.carry(113.5, 1.0, towards(1.0))
    assert bears.hottest < 1.0 < trips.hottest
    cold = Breaker(100.0)
    cold.carry(255.0, 26.5, towards(26.5))
    assert cold.heat > 1.0
    assert TAU_S > 60.0


def test_the_judge_sees_what_a_gateway_must_not_do() -> None:
    """Somebody else writes 32 A to everybody: exposure does not hold, and the breaker says so too."""
    scenario = load(HERE / "background-jumps.toml")
    world = scenario.world
    world.run(100)
    assert not world.wrong
    for outlet in world.outlets.values():
        write = world.gateway.log[-1][1]._replace(key=outlet.spec.key, amps=32.0)
        outlet.receive(write, None, world.now)
        world.touch(outlet.spec.key)
    world.run(130)
    assert any("exposure" in line for line in world.wrong)
    assert any("is believed" in line for line in world.wrong)
    assert world.breakers[0].worst_a > 80.0


def test_a_gateway_killed_between_two_writes_leaves_nothing_behind() -> None:
    world = goals.redistribution()
    world.die_at, world.restart_s = 7, 15.0
    world.run(70)
    assert not world.gateway.alive
    assert not world.gateway.lines
    world.run(100)
    assert not world.wrong


def test_a_site_whose_fallbacks_do_not_fit_is_refused() -> None:
    told = {
        "seconds": 1,
        "circuit": {"main": {"limit_a": 10, "background_a": 5}},
        "station": [{"circuit": "main", "fallback_a": 6.0}],
    }
    with pytest.raises(ValueError, match="6 A = 11 A, but its limit is 10 A"):
        build(told)


def test_those_that_do_not_obey_are_told_nothing_but_zero_while_their_circuit_is_far_over_its_limit() -> None:
    world = load(HERE / "two-ignore-it-on-a-small-circuit.toml").world
    first, second = world.outlets
    told = set()
    while world.now < 400:
        before = len(world.gateway.log)
        world.run(world.now + 0.5)
        if world.flow[3 + 2] > 1.45 * 20.0:
            told |= {write.amps for _, write in world.gateway.log[before:]}
    assert told == {0.0}
    assert world.stations.stopped == [first]
    assert world.gateway.log[-1][1].key == second
    assert world.gateway.log[-1][1].amps > 0.0, "it has room again"
    assert world.gateway.decisions < 700, "waiting for a reading is no reason to decide all the time"


def deaf_site() -> dict[str, Any]:
    """A deaf station that alone is too much for its circuit, beside two that obey."""
    stations = [{"circuit": "row", "family": "deaf", "phases": "L1", "plug_at": 80, "car": {}}]
    stations += [{"circuit": "row", "phases": "L1", "car": {}} for _ in range(2)]
    return {
        "seconds": 400,
        "circuit": {
            "main": {"limit_a": 63, "background_a": 5, "metered": True},
            "row": {"limit_a": 20, "parent": "main"},
        },
        "station": stations,
    }


def test_the_judge_sees_beside_a_deaf_station_what_others_may_not_hold() -> None:
    world = build(deaf_site()).world
    world.run(100)
    assert not world.wrong
    outlet = world.outlets[list(world.outlets)[1]]
    outlet.receive(world.gateway.log[-1][1]._replace(key=outlet.spec.key, amps=16.0), None, world.now)
    world.touch(outlet.spec.key)
    world.run(110)
    assert any("exposure" in line for line in world.wrong)
    assert any("is believed" in line for line in world.wrong)


def test_heat_by_a_deaf_station_is_excused_only_while_nobody_can_tell_it_anything_and_only_its_own() -> None:
    """Else it is a violation: with a gateway and a link, in a circuit with a meter, or by others."""

    def heats(*, kills: bool = False, cuts: bool = False, meter: bool = False, others_a: float) -> tuple[float, float]:
        site = deaf_site()
        site["circuit"]["row"]["metered"] = meter
        world = build(site).world
        world.run(90)
        if kills:
            world.kill()
        else:
            world.gateway.poked = True  # alive, and does nothing
        if cuts:
            world.stations.cut(StationId("CP-01"))
        for outlet in list(world.outlets.values())[1:]:
            write = Write(outlet.spec.key, 0, others_a, 0, 0.0, 0.0, Urgency.CUT, Why(Binding.CONNECTOR), at=world.now)
            outlet.receive(write, None, world.now)
            world.touch(outlet.spec.key)
        world.run(400)
        row = next(one for one in borne(world) if one.circuit == "row")
        return row.heat, row.spared_heat

    for heat, spared in (heats(kills=True, others_a=6.0), heats(cuts=True, others_a=6.0)):
        assert heat > 1.0 > spared
    assert min(heats(kills=True, others_a=12.0)) > 1.0
    assert min(heats(cuts=True, meter=True, others_a=6.0)) > 1.0
    assert min(heats(others_a=0.0)) > 1.0


def test_what_a_storm_found_outlives_a_kill(tmp_path: Path) -> None:
    figures, path = storm.Figures(5, seconds=1.0), tmp_path / "storm.json"
    circuit = Borne("main", 20.0, 30.0, 1, 9.0, 8.0, 7.0, 1.5, 0.5)
    figures.add(storm.Played(5, (), is_odd=True, circuits=(circuit,)))
    figures.add(storm.Played(6, ("exposure",), is_odd=False, circuits=(replace(circuit, spared_heat=1.5),), stopped=1))
    storm.save(path, figures)
    again = storm.load(path, 5)
    assert (again.done, again.violations, again.defied, again.stopped) == (2, [6], [5], 1)
    assert list(again.lines()) == list(figures.lines())
    with pytest.raises(click.UsageError, match="seeds from 5"):
        storm.load(path, 6)
