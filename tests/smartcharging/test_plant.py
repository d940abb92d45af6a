"""The plant's scenarios, the short forms of the goals and the storm: what the fuse had to bear, by the truth."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.model.balance import Urgency
from tests.smartcharging import goals, storm
from tests.smartcharging.plant.breaker import TAU_S, Breaker, towards
from tests.smartcharging.plant.report import play
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


@pytest.mark.parametrize("seed", [901, 903])
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
