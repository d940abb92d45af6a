"""The three invariants, each on its own: what counts in it, and that a breach is found."""

import pytest

from gateway.model.balance import Background, Hold
from gateway.model.site_tree import NO_AMPS, Amps, CircuitNode, ConnectorSpec
from gateway.smartcharging.circuits import compile_tree
from gateway.smartcharging.invariants import breaches
from tests.smartcharging.rig import key


def even(amps: float) -> Amps:
    return (amps, amps, amps)


def hold(
    number: int,
    amps: float,
    *,
    static: float | None = None,
    has_ev: bool = True,
    reachable: bool = True,
    fresh: bool = False,
) -> Hold:
    return Hold(
        key(number),
        even(amps),
        even(min(amps, 6.0)),
        even(amps if static is None else static),
        has_ev,
        reachable,
        fresh,
    )


def judged(holds: list[Hold], background: Background) -> list[str]:
    tree = compile_tree(
        [CircuitNode(id="main", limit_a=even(40.0))],
        [ConnectorSpec(key=one.key, circuit="main", phases=(0,)) for one in holds],
    )
    found = breaches(tree, holds, [background])
    return sorted(f"{breach.invariant.value} {breach.sum_a:g}" for breach in found if breach.phase == 1)


def idle(number: int, amps: float = 6.0) -> Hold:
    return hold(number, amps, has_ev=False)


def lost(number: int, amps: float = 6.0, *, fresh: bool) -> Hold:
    return hold(number, amps, has_ev=False, reachable=False, fresh=fresh)


@pytest.mark.parametrize(
    ("holds", "background", "found"),
    [
        ([hold(1, 20.0), hold(2, 20.0)], Background(), []),
        ([hold(1, 20.0, static=6.0), hold(2, 21.0, static=6.0)], Background(), ["live 41"]),
        ([hold(1, 20.0), hold(2, 21.0)], Background(), ["live 41", "static 41"]),
        ([hold(1, 32.0, static=6.0)], Background(now=even(9.0)), ["live 41"]),
        ([hold(1, 6.0)], Background(worst=even(35.0)), ["static 41"]),
        ([hold(1, 26.0, static=6.0)], Background(within_lease=even(20.0)), ["exposure 46"]),
        ([hold(1, 30.0, static=6.0), idle(2, 5.0), idle(3, 5.0), idle(4, 5.0)], Background(), []),
        ([hold(1, 30.0, static=6.0), idle(2), idle(3), idle(4, 1.0)], Background(), ["live 42"]),
        ([hold(1, 30.0, static=6.0), hold(2, 6.0, fresh=True), idle(3, 4.0), idle(4, 4.0)], Background(), []),
        ([hold(1, 30.0, static=6.0), hold(2, 6.0), idle(3, 4.0), idle(4, 4.0)], Background(), ["live 44"]),
        ([hold(1, 36.0, static=6.0), lost(2, fresh=True)], Background(), []),
        ([hold(1, 36.0, static=6.0), lost(2, fresh=False)], Background(), ["live 42"]),
        ([hold(1, 40.0, static=6.0), *(lost(n, fresh=True) for n in (2, 3))], Background(), ["exposure 52"]),
    ],
)
def test_what_counts(holds: list[Hold], background: Background, found: list[str]) -> None:
    assert judged(holds, background) == found


def test_a_breach_names_its_sum() -> None:
    tree = compile_tree([CircuitNode(id="main", limit_a=even(10.0))], [ConnectorSpec(key=key(1), circuit="main")])
    one = Hold(key(1), (0.0, 12.0, 0.0), NO_AMPS, NO_AMPS, has_ev=True, reachable=True)
    assert [str(breach) for breach in breaches(tree, [one], [Background()])] == [
        "live main L2: 12.00 A > 10.00 A",
        "exposure main L2: 12.00 A > 11.30 A",
    ]


def test_every_circuit_above_is_judged() -> None:
    tree = compile_tree(
        [CircuitNode(id="main", limit_a=even(10.0)), CircuitNode(id="row", parent="main", limit_a=even(63.0))],
        [ConnectorSpec(key=key(1), circuit="row")],
    )
    found = breaches(tree, [hold(1, 20.0, static=0.0)], [Background(), Background()])
    assert {breach.circuit for breach in found} == {"main"}


def test_a_fallback_counts_on_phases_that_the_car_does_not_use_unless_it_is_about_now() -> None:
    tree = compile_tree([CircuitNode(id="main", limit_a=even(10.0))], [ConnectorSpec(key=key(1), circuit="main")])
    one = Hold(key(1), (10.0, 0.0, 0.0), even(6.0), (6.0, 0.0, 0.0), has_ev=True, reachable=True)
    background = Background(now=(0.0, 9.0, 0.0), within_lease=(0.0, 9.0, 0.0), worst=(0.0, 9.0, 0.0))
    assert [str(breach) for breach in breaches(tree, [one], [background])] == [
        "static main L2: 15.00 A > 10.00 A",
        "exposure main L2: 15.00 A > 11.30 A",
    ]
