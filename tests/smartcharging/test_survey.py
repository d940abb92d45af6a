"""What a connector may hold, as far as who can tell of its car."""

import pytest

from gateway.model.balance import ConnectorFacts, SiteFacts
from gateway.model.site_tree import CircuitNode, ConnectorSpec
from gateway.smartcharging.book import Sent
from gateway.smartcharging.circuits import compile_tree
from gateway.smartcharging.survey import Memory, survey
from tests.smartcharging.rig import key


@pytest.mark.parametrize(("reachable", "load"), [(True, (0.0, 14.0, 0.0)), (False, (6.0, 14.0, 6.0))])
def test_another_car_may_come_to_a_station_that_is_away_and_use_all_phases(
    reachable: bool, load: tuple[float, float, float]
) -> None:
    spec = ConnectorSpec(key=key(1), circuit="main", phases=(1, 2, 0))
    tree = compile_tree([CircuitNode(id="main", limit_a=(40.0,) * 3)], [spec], {key(1): 6.0})
    facts = ConnectorFacts(key=key(1), reachable=reachable, has_ev=True, transaction=1, car_phases=1)
    memory = Memory(transaction=1, book=(Sent(1, 14.0, 3, 0.0, 310.0, accepted=1.0),), heard=True)
    (view,) = survey(tree, _only(facts), {key(1): memory}, {}, now=100.0, is_starting=False)
    assert view.as_hold().load == load
    assert view.as_hold().static == tuple(6.0 if amps else 0.0 for amps in load)


@pytest.mark.parametrize(("accepted", "phases"), [(None, 3), (20.0, 1)])
def test_one_phase_is_the_car_s_only_where_three_are_obeyed(accepted: float | None, phases: int) -> None:
    """Storm seed 6861: three are on their way, and it has one phase still."""
    spec = ConnectorSpec(key=key(1), circuit="main", switchable=True)
    tree = compile_tree([CircuitNode(id="main", limit_a=(40.0,) * 3)], [spec], {key(1): 0.0})
    book = (Sent(1, 6.0, 1, 0.0, None, accepted=1.0), Sent(2, 6.0, 3, 10.0, None, accepted=accepted))
    memories = {key(1): Memory(transaction=1, book=book, heard=True)}
    for at in (40.0, 80.0):
        facts = ConnectorFacts(
            key=key(1), has_ev=True, transaction=1, measured_a=(6.0, 0.0, 0.0), measured_at=at, proven=True
        )
        (view,) = survey(tree, _only(facts), memories, {}, now=at, is_starting=False)
        memories = {key(1): view.memory}
    assert len(view.phases) == phases


def _only(facts: ConnectorFacts) -> SiteFacts:
    return SiteFacts(connectors=(facts,))
