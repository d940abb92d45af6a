"""Fallback currents: chosen so that the static invariant holds, or refused with the sum that fails."""

import pytest

from gateway.model.site_tree import Amps, CircuitNode, ConnectorSpec
from gateway.smartcharging.circuits import compile_tree, mistakes_of
from gateway.smartcharging.external import guaranteed_power_w
from gateway.smartcharging.fallback import choose, prove
from tests.smartcharging.rig import key


def even(amps: float) -> Amps:
    return (amps, amps, amps)


def connectors(
    count: int, circuit: str = "main", fallback_a: float | None = None, rank: int = 0
) -> list[ConnectorSpec]:
    return [ConnectorSpec(key=key(i), circuit=circuit, fallback_a=fallback_a, rank=rank) for i in range(count)]


@pytest.mark.parametrize(
    ("limit", "background", "count", "with_fallback"),
    [
        (63.0, 0.0, 10, 10),
        (63.0, 20.0, 10, 4),
        (63.0, 63.0, 10, 0),
        (63.0, 58.0, 10, 0),
        (63.0, 57.0, 10, 0),
        (11.0, 0.0, 2, 0),
        (12.0, 0.0, 3, 1),
        (36.0, 0.0, 6, 6),
    ],
)
def test_as_many_get_their_minimum_as_leaves_the_others_their_turns(
    limit: float, background: float, count: int, with_fallback: int
) -> None:
    node = CircuitNode(id="main", limit_a=even(limit), background_a=even(background), metered=True)
    choice = choose([node], connectors(count))
    assert not choice.failures
    assert sorted(choice.tree.fallback_a.values()) == [0.0] * (count - with_fallback) + [6.0] * with_fallback


def test_who_does_not_obey_0_amperes_has_its_minimum_or_the_site_is_refused() -> None:
    stubborn = [ConnectorSpec(key=key(i), circuit="main", pausable=False) for i in range(2)]
    node = CircuitNode(id="main", limit_a=even(12.0))
    assert set(choose([node], stubborn).tree.fallback_a.values()) == {6.0}
    assert not choose([node], stubborn).failures
    assert choose([node], [*stubborn, ConnectorSpec(key=key(2), circuit="main", pausable=False)]).failures
    zero = ConnectorSpec(key=key(0), circuit="main", pausable=False, fallback_a=0.0)
    assert "does not obey 0 A" in mistakes_of([node], [zero])[0]


def test_unknown_loads_behind_a_meter_leave_no_fallback_but_are_safe() -> None:
    node = CircuitNode(id="main", limit_a=even(63.0), background_a=None, metered=True)
    choice = choose([node], connectors(3))
    assert not choice.failures
    assert set(choice.tree.fallback_a.values()) == {0.0}


def test_unknown_loads_without_a_meter_are_refused() -> None:
    choice = choose([CircuitNode(id="main", limit_a=even(63.0), background_a=None)], connectors(1))
    assert [failure.text for failure in choice.failures] == [
        "circuit main: it has other loads of unknown size, so it needs a meter"
    ]


def test_fallbacks_an_installer_asked_for_are_kept_and_the_sum_that_fails_is_told() -> None:
    nodes = [
        CircuitNode(id="main", limit_a=even(100.0), background_a=even(20.0), metered=True),
        CircuitNode(id="row-a", parent="main", limit_a=(63.0, 80.0, 80.0)),
    ]
    specs = [*connectors(4, "row-a", fallback_a=16.0), ConnectorSpec(key=key(9), circuit="row-a", phases=(1,))]
    choice = choose(nodes, specs)
    assert [failure.text for failure in choice.failures] == [
        "circuit row-a, L1: worst background 0 A + fallbacks 4 x 16 A = 64 A, but its limit is 63 A"
    ]
    assert choice.tree.fallback_a[key(9)] == 6.0


def test_a_background_over_the_limit_fails_without_any_connector() -> None:
    tree = compile_tree([CircuitNode(id="main", limit_a=even(20.0), background_a=(0.0, 25.0, 0.0))], [])
    assert [(failure.circuit, failure.phase) for failure in prove(tree)] == [("main", 2)]


def test_loads_of_a_sub_circuit_count_in_all_above_it() -> None:
    nodes = [
        CircuitNode(id="row", parent="main", limit_a=even(40.0), background_a=even(10.0)),
        CircuitNode(id="main", limit_a=even(50.0), background_a=even(30.0), metered=True),
    ]
    choice = choose(nodes, connectors(3, "row"))
    assert not choice.failures
    assert set(choice.tree.fallback_a.values()) == {0.0}, "one place for three: it goes round"


def test_higher_classes_get_their_fallback_first() -> None:
    specs = [*connectors(2), ConnectorSpec(key=key(7), circuit="main", rank=5)]
    choice = choose([CircuitNode(id="main", limit_a=even(12.0))], specs)
    assert choice.tree.fallback_a == {key(0): 0.0, key(1): 0.0, key(7): 6.0}


@pytest.mark.parametrize(
    ("nodes", "specs", "told"),
    [
        ([CircuitNode(id="a", limit_a=even(1.0), parent="b")], [], "its parent b does not exist"),
        (
            [CircuitNode(id="a", limit_a=even(1.0), parent="b"), CircuitNode(id="b", limit_a=even(1.0), parent="a")],
            [],
            "it is its own ancestor",
        ),
        ([CircuitNode(id="a", limit_a=even(1.0)), CircuitNode(id="a", limit_a=even(2.0))], [], "the same name"),
        ([CircuitNode(id="a", limit_a=(1.0, -1.0, 1.0))], [], "a limit is negative"),
        ([], connectors(1), "its circuit main does not exist"),
        ([CircuitNode(id="main", limit_a=even(1.0))], connectors(1) * 2, "listed twice"),
        ([CircuitNode(id="main", limit_a=even(1.0))], connectors(1, fallback_a=3.0), "0 or at least min_a (6 A)"),
        ([CircuitNode(id="main", limit_a=even(1.0))], connectors(1, fallback_a=64.0), "between 0 and max_a (32 A)"),
        (
            [CircuitNode(id="main", limit_a=even(1.0))],
            [ConnectorSpec(key=key(1), circuit="main", phases=(0, 0))],
            "different ones of L1, L2 and L3",
        ),
        (
            [CircuitNode(id="main", limit_a=even(1.0))],
            [ConnectorSpec(key=key(1), circuit="main", min_a=10.0, max_a=8.0)],
            "0 < min_a <= max_a",
        ),
    ],
)
def test_what_is_no_tree_is_told_in_words(nodes: list[CircuitNode], specs: list[ConnectorSpec], told: str) -> None:
    assert any(told in mistake for mistake in mistakes_of(nodes, specs))
    with pytest.raises(ValueError, match=r"circuit|connector"):
        compile_tree(nodes, specs)


@pytest.mark.parametrize(
    ("points", "kilowatts"), [(0, 0.0), (1, 4.2), (2, 7.56), (8, 18.9), (9, 19.32), (20, 40.11), (50, 96.81)]
)
def test_guaranteed_power_of_section_14a(points: int, kilowatts: float) -> None:
    assert guaranteed_power_w(points) == pytest.approx(kilowatts * 1000)
