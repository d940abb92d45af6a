"""Whole decisions on the plant: what is written when, and why not more."""

from collections.abc import Callable

import pytest

from gateway.model.balance import AlarmKind, ExternalCap, Policy, Share, Urgency
from gateway.model.site_tree import Amps, Binding, CircuitNode, ConnectorSpec, Mode
from gateway.smartcharging.decide import State
from tests.smartcharging.rig import Plant, Station, build, key
from tests.smartcharging.scenes import judge


def even(amps: float) -> Amps:
    return (amps, amps, amps)


def site(
    cars: int,
    limit: float = 63.0,
    background: float = 0.0,
    *,
    metered: bool = False,
    proven: bool = True,
    change: Callable[[int, dict[str, object]], None] = lambda _number, _spec: None,
) -> Plant:
    """One circuit; every connector has a car that takes all it can have."""
    specs = []
    for number in range(cars):
        told: dict[str, object] = {"key": key(number), "circuit": "main"}
        change(number, told)
        specs.append(ConnectorSpec(**told))  # type: ignore[arg-type]
    node = CircuitNode(id="main", limit_a=even(limit), metered=metered, background_a=even(background))
    return build([node], specs, proven=proven)


def plug_all(plant: Plant) -> None:
    for number, one in enumerate(plant.stations):
        plant.plug(one, 100 + number)


def told(plant: Plant) -> list[float]:
    assert plant.decision is not None
    return [share.set_a for share in plant.decision.shares]


def share(plant: Plant, number: int) -> Share:
    assert plant.decision is not None
    return next(one for one in plant.decision.shares if one.key == key(number))


def station(plant: Plant, number: int) -> Station:
    return plant.stations[key(number)]


def test_cars_share_what_there_is_and_the_reason_is_named() -> None:
    plant = site(3, limit=63.0)
    plug_all(plant)
    plant.run(60)
    assert sorted(told(plant)) == [21.0, 21.0, 21.0]
    assert str(share(plant, 0).why) == "circuit main L1"


def test_eleven_amperes_for_two_keep_one_at_eleven_and_go_round() -> None:
    plant = site(2, limit=11.0)
    plug_all(plant)
    had = {key(0): 0, key(1): 0}
    idle = 0
    for _ in range(3 * 1200 + 300):
        plant.tick()
        assert not judge(plant)
        now = [one for one, shape in plant.stations.items() if shape.permitted(plant.now)[0] > 0]
        idle += not now
        assert len(now) <= 1
        for one in now:
            assert plant.stations[one].permitted(plant.now)[0] == 11.0
            had[one] += 1
    assert min(had.values()) > 1000
    assert idle < 0.05 * (3 * 1200 + 300), "usable current is used"
    starts = sum(1 for _at, write in plant.writes if write.amps == 11.0 and write.urgency is not Urgency.RENEW)
    assert starts <= 5


def test_room_is_given_only_after_the_others_have_left_it() -> None:
    plant = site(2, limit=40.0)
    plant.plug(key(0), 1)
    plant.run(60)
    assert told(plant)[0] == 32.0
    plant.plug(key(1), 2)
    plant.weather.least_s = plant.weather.most_s = 8.0
    raised_at = lowered_at = None
    for _ in range(120):
        plant.tick()
        assert not judge(plant)
        if lowered_at is None and station(plant, 0).permitted(plant.now)[0] < 32.0:
            lowered_at = plant.now
        if raised_at is None and told(plant)[1] > 8.0:
            raised_at = plant.now
    assert lowered_at is not None
    assert raised_at is not None
    assert raised_at >= lowered_at
    assert told(plant) == [20.0, 20.0]


def test_a_rise_of_the_background_is_answered_in_the_same_decision() -> None:
    plant = site(4, limit=63.0, background=40.0, metered=True)
    plug_all(plant)
    plant.run(200)
    before = sum(told(plant))
    assert before > 50.0
    plant.background = {"main": even(30.0)}
    plant.tick()
    assert plant.decision is not None
    assert {write.urgency for write in plant.decision.writes} == {Urgency.CUT}
    assert sum(told(plant)) <= 33.0
    plant.run(10)
    assert not plant.over()


def test_room_that_comes_back_is_given_slowly() -> None:
    plant = site(2, limit=40.0, background=20.0, metered=True)
    plant.background = {"main": even(20.0)}
    plug_all(plant)
    plant.run(120)
    assert told(plant) == [10.0, 10.0]
    plant.background = {"main": even(0.0)}
    began = plant.now
    while told(plant) == [10.0, 10.0]:
        plant.tick()
    assert plant.now - began >= 60.0 + 30.0, "a minute until the fall counts, and half a one of stable room"
    plant.run(60)
    assert told(plant) == [20.0, 20.0]


@pytest.mark.parametrize(("silence", "now_told"), [(3, 20.0), (9, 20.0), (11, 10.0), (70, 10.0)])
def test_a_silent_meter_stops_raises_and_then_leaves_the_worst_case(silence: int, now_told: float) -> None:
    plant = site(2, limit=40.0, background=20.0, metered=True)
    plug_all(plant)
    plant.run(200)
    assert told(plant) == [20.0, 20.0]
    plant.metered = False
    plant.run(silence)
    assert told(plant) == [now_told, now_told]
    assert plant.decision is not None
    blind = [alarm for alarm in plant.decision.alarms if alarm.kind is AlarmKind.METER_BLIND]
    assert bool(blind) is (silence > 60)


def test_a_lost_station_is_reserved_until_its_lease_ends() -> None:
    plant = site(3, limit=63.0)
    plug_all(plant)
    plant.run(60)
    station(plant, 0).reachable = False
    plant.run(200)
    assert told(plant)[1:] == [21.0, 21.0]
    assert share(plant, 0).why.binding is Binding.UNREACHABLE
    plant.run(240)
    assert sorted(told(plant)[1:]) == [28.0, 29.0], "it holds its fallback now"
    assert station(plant, 0).permitted(plant.now) == even(6.0)


def test_with_the_gateway_gone_everything_falls_back_within_what_the_fuse_bears() -> None:
    plant = site(6, limit=63.0, background=20.0, metered=True)
    plant.rises = {}
    plug_all(plant)
    plant.run(100)
    assert sum(told(plant)) > 6 * 7
    plant.alive = False
    plant.background = {"main": even(20.0)}
    for _ in range(400):
        plant.tick()
        assert not plant.over(1.13)
    assert not plant.over()
    assert [one.permitted(plant.now) for one in plant.stations.values()] == [even(6.0)] * 6


def test_after_a_start_nothing_is_raised_until_everybody_was_heard() -> None:
    plant = site(3, limit=63.0)
    plug_all(plant)
    plant.run(60)
    assert told(plant) == [21.0, 21.0, 21.0]
    plant.state = State(started=plant.now)
    for one in plant.stations.values():
        one.adopted_a = 10.0
    station(plant, 2).reachable = False
    plant.run(100)
    assert told(plant)[:2] == [10.0, 10.0]
    assert share(plant, 0).why.binding is Binding.START
    station(plant, 2).reachable = True
    plant.run(100)
    assert told(plant) == [21.0, 21.0, 21.0]


def test_unproven_stations_share_only_what_the_worst_case_leaves() -> None:
    plant = site(2, limit=63.0, background=41.0, metered=True, proven=False)
    plug_all(plant)
    plant.run(200)
    assert told(plant) == [11.0, 11.0], "63 - 41 A, although the meter shows no load at all"
    assert share(plant, 0).why.binding is Binding.UNPROVEN
    assert all(write.lease_s == 0 for _at, write in plant.writes)
    ceilings = [write.ceiling_a for _at, write in plant.writes if write.key == key(0)]
    assert [ceiling for ceiling in ceilings if ceiling is not None] == [11.0], "committed once, before the write"


def test_a_cap_of_the_grid_counts_what_is_told_and_not_what_fallbacks_reserve() -> None:
    plant = site(4, limit=63.0)
    plug_all(plant)
    plant.run(60)
    plant.caps = (ExternalCap(circuit="main", limit_w=3 * 230.0 * 14.0),)
    plant.run(60)
    assert sum(told(plant)) <= 14.0
    assert sorted(told(plant)) == [0.0, 0.0, 7.0, 7.0]


def test_a_budget_of_writes_holds_back_raises_and_never_a_cut() -> None:
    plant = site(2, limit=40.0, background=20.0, metered=True)
    plug_all(plant)
    cuts_late = 0
    for minute in range(66):
        plant.background = {"main": even(20.0 if minute % 2 else 0.0)}
        for second in range(60):
            plant.tick()
            cuts_late += bool(plant.over()) and second > 10
    assert cuts_late == 0
    last_hour = [write for at, write in plant.writes if at > plant.now - 3600 and write.urgency is not Urgency.CUT]
    assert len(last_hour) <= 2 * 30


def test_priority_classes_and_weights() -> None:
    def rank(number: int, spec: dict[str, object]) -> None:
        spec["rank"] = 1 if number == 2 else 0

    plant = site(3, limit=50.0, change=rank)
    plant.policy = Policy(mode=Mode.PRIORITY)
    plug_all(plant)
    plant.run(120)
    assert told(plant) == [9.0, 9.0, 32.0]


def test_a_car_that_draws_less_leaves_its_rest_to_the_others() -> None:
    plant = site(2, limit=40.0)
    station(plant, 0).takes_a = 10.0
    plug_all(plant)
    plant.run(300)
    first, second = told(plant)
    assert 10.0 <= first <= 13.0
    assert second >= 27.0


def test_two_connectors_of_one_station_are_written_one_after_the_other() -> None:
    def same_station(number: int, spec: dict[str, object]) -> None:
        spec["key"] = key(0)._replace(evse=number + 1)

    plant = site(3, limit=45.0, change=same_station)
    plug_all(plant)
    for _ in range(60):
        plant.tick()
        assert plant.decision is not None
        assert len(plant.decision.writes) <= 1
    assert told(plant) == [15.0, 15.0, 15.0]


def test_the_same_facts_give_the_same_decisions() -> None:
    def story() -> list[tuple[float, object]]:
        plant = site(5, limit=40.0, background=15.0, metered=True)
        plant.weather.lost = 0.2
        plug_all(plant)
        plant.run(300)
        return [(at, tuple(write)) for at, write in plant.writes]

    assert story() == story()


def test_an_unproven_station_that_comes_after_the_start_holds_no_more_than_its_fallback() -> None:
    """Nobody knows what it holds as long as it is away; once it is there without a transaction, nothing but that."""
    plant = site(2, limit=63.0, background=41.0, proven=False)
    one = station(plant, 1)
    one.reachable, one.ceiling_a = False, 32.0
    plant.run(1)
    assert plant.decision is not None
    assert max(plant.decision.views[1].hold_a) == 32.0
    one.reachable = True
    plant.run(1)
    assert max(plant.decision.views[1].hold_a) == plant.tree.fallback_a[key(1)]
