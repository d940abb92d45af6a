"""What is written when a plan mixes more and less: of every phase, nothing is raised before there is room."""

from gateway.model.balance import Answer, ConnectorFacts, Outcome, Policy, SiteFacts
from gateway.model.site_tree import CircuitNode, ConnectorSpec
from gateway.smartcharging.book import Sent
from gateway.smartcharging.circuits import SiteTree
from gateway.smartcharging.decide import Decision, State, decide
from gateway.smartcharging.fallback import choose
from gateway.smartcharging.invariants import breaches
from gateway.smartcharging.survey import Memory
from tests.smartcharging.rig import key

SWITCHED, OTHER = key(0), key(1)


def _site() -> SiteTree:
    node = CircuitNode(id="main", limit_a=(32.0,) * 3, background_a=(0.0,) * 3)
    specs = [
        ConnectorSpec(key=SWITCHED, circuit="main", switchable=True, fallback_a=0.0),
        ConnectorSpec(key=OTHER, circuit="main", phases=(1,), fallback_a=0.0),
    ]
    return choose([node], specs).tree


def _memory(amps: float, phases: int, now: float) -> Memory:
    sent = Sent(1, amps, phases, now - 100.0, now + 215.0, accepted=now - 99.0)
    return Memory(transaction=1, book=(sent,), heard=True, counted_since=now - 900.0)


def _decide(tree: SiteTree, state: State, now: float, *outcomes: Outcome) -> Decision:
    facts = tuple(ConnectorFacts(key=one, has_ev=True, transaction=1, proven=True) for one in (SWITCHED, OTHER))
    return decide(tree, SiteFacts(connectors=facts, outcomes=outcomes), state, Policy(), now)


def test_less_current_on_more_phases_is_a_raise_on_those_that_are_new() -> None:
    """It had 20 A on one phase and shall have 16 A on three; the second is still full of what the other car holds."""
    tree, now = _site(), 1000.0
    books = {SWITCHED: _memory(20.0, 1, now), OTHER: _memory(32.0, 3, now)}
    state = State(started=0.0, sequence=1, connectors=books, start_over=True)
    told = {key: [(20.0, 1), (32.0, 3)][number] for number, key in enumerate(books)}
    outcomes: list[Outcome] = []
    for _ in range(200):
        decision = _decide(tree, state, now, *outcomes)
        assert not breaches(tree, decision.holds(), decision.backgrounds)
        state, now = decision.state, now + 1.0
        outcomes = [Outcome(one.key, one.sequence, Answer.ACCEPTED, now) for one in decision.writes]
        told |= {one.key: (one.amps, one.phases or 3) for one in decision.writes}
    assert told == {SWITCHED: (16.0, 3), OTHER: (16.0, 3)}
