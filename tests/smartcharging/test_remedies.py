"""How full circuits are as far as remedies are concerned, and who gets no more."""

from math import inf

import pytest

from gateway.model.balance import Background, CircuitReading, ConnectorFacts, Rung, SiteFacts
from gateway.model.site_tree import Amps, CircuitNode, ConnectorSpec
from gateway.smartcharging.circuits import SiteTree, compile_tree
from gateway.smartcharging.ladder import Disobedience
from gateway.smartcharging.remedies import loads_of, remedied
from gateway.smartcharging.survey import Memory, View, survey
from tests.smartcharging.rig import key

ONE, OTHER = key(1), key(2)


def even(amps: float) -> Amps:
    return (amps, amps, amps)


def site(row_a: float = 20.0) -> SiteTree:
    nodes = [
        CircuitNode(id="main", limit_a=even(40.0), metered=True, background_a=even(10.0)),
        CircuitNode(id="row", parent="main", limit_a=even(row_a)),
    ]
    specs = [
        ConnectorSpec(key=ONE, circuit="row", phases=(1, 2, 0)),
        ConnectorSpec(key=OTHER, circuit="row", phases=(2,)),
    ]
    return compile_tree(nodes, specs, {ONE: 6.0, OTHER: 6.0})


def seen(tree: SiteTree, *, since: float | None = 0.0) -> tuple[SiteFacts, list[View]]:
    """One draws 16 A on L2 and L3, the other 7 A (nearly its 6 A) on L3; the meter sees 30 A on every phase."""
    facts = SiteFacts(
        connectors=(
            ConnectorFacts(key=ONE, has_ev=True, transaction=1, measured_a=(0.0, 16.0, 16.0), measured_at=100.0),
            ConnectorFacts(key=OTHER, has_ev=True, transaction=2, measured_a=(0.0, 0.0, 7.0), measured_at=100.0),
        ),
        readings={"main": CircuitReading(current_a=even(30.0), at=100.0)},
    )
    memories = {
        ONE: Memory(transaction=1, disobedience=Disobedience(since=since, stepped_at=since or 0.0)),
        OTHER: Memory(transaction=2),
    }
    return facts, survey(tree, facts, memories, {}, now=100.0, is_starting=False)


def backgrounds(rung: Rung = Rung.NORMAL, amps: float = 8.0) -> tuple[Background, Background]:
    return Background(even(amps), even(amps), even(10.0), rung), Background()


def test_a_circuit_bears_what_its_meter_or_its_stations_say_whichever_is_more() -> None:
    tree = site()
    facts, views = seen(tree)
    assert loads_of(tree, facts, views, backgrounds()) == pytest.approx(
        [30 / 40, 30 / 40, 31 / 40, 0, 16 / 20, 23 / 20]
    )
    stale = loads_of(tree, facts, views, backgrounds(Rung.STALE, amps=2.0))
    assert stale[:3] == pytest.approx([2 / 40, 18 / 40, 25 / 40]), "a meter that is not believed says nothing"
    assert loads_of(site(row_a=0.0), facts, views, backgrounds())[3:] == [0.0, inf, inf]


@pytest.mark.parametrize(
    ("row_a", "step_s", "held", "tried"), [(20.0, 5.0, "row", 1), (14.0, 2.5, "row", 3), (32.0, 15.0, None, 1)]
)
def test_the_fullest_circuit_above_a_station_sets_the_pace(
    row_a: float, step_s: float, held: str | None, tried: int
) -> None:
    tree = site(row_a)
    facts, views = seen(tree, since=100.0)
    _, at_most, again_at = remedied(tree, facts, views, backgrounds(), 100.0)
    assert again_at == 100.0 + step_s
    assert at_most == ({ONE: held} if held else {})
    after, _, _ = remedied(tree, facts, views, backgrounds(), 100.0 + step_s)
    assert [view.memory.disobedience.tried for view in after] == [tried, 0]


def test_where_everybody_obeys_nothing_is_done() -> None:
    tree = site()
    facts, views = seen(tree, since=None)
    calm = [view._replace(memory=view.memory._replace(disobedience=Disobedience())) for view in views]
    assert remedied(tree, facts, calm, backgrounds(), 100.0) == (calm, {}, inf)
