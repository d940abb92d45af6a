"""What is written when a plan mixes more and less: of every phase, nothing is raised before there is room."""

from dataclasses import replace

import pytest

from gateway.model.balance import Answer, CapStep, ConnectorFacts, Outcome, Policy, SiteFacts, Urgency, Write
from gateway.model.site_tree import Amps, CircuitNode, ConnectorSpec
from gateway.smartcharging.book import Sent
from gateway.smartcharging.circuits import SiteTree
from gateway.smartcharging.decide import Decision, State, decide
from gateway.smartcharging.fallback import choose
from gateway.smartcharging.invariants import breaches
from gateway.smartcharging.pace import Pace
from gateway.smartcharging.survey import Memory
from tests.smartcharging.rig import key

SWITCHED, OTHER = key(0), key(1)


def _site(*, switchable: bool = True) -> SiteTree:
    node = CircuitNode(id="main", limit_a=(32.0,) * 3, background_a=(0.0,) * 3)
    specs = [
        ConnectorSpec(key=SWITCHED, circuit="main", switchable=switchable, fallback_a=0.0),
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


def test_a_ceiling_that_was_not_stored_is_asked_for_again() -> None:
    """The commit of the first write fails, so it is never sent; nothing above what is on disk leaves without one."""
    tree = choose(
        [CircuitNode(id="main", limit_a=(32.0,) * 3, background_a=(0.0,) * 3)],
        [ConnectorSpec(key=SWITCHED, circuit="main", lease_s=0.0, fallback_a=6.0)],
    ).tree
    fact = ConnectorFacts(key=SWITCHED, has_ev=True, transaction=1, ceiling_a=6.0)
    policy = Policy()

    def decided(state: State, now: float, fact: ConnectorFacts, *outcomes: Outcome) -> Decision:
        return decide(tree, SiteFacts(connectors=(fact,), outcomes=outcomes), state, policy, now)

    books = {SWITCHED: Memory(transaction=1, heard=True)}
    first = decided(State(started=0.0, connectors=books, start_over=True), 1000.0, fact)
    assert [write.ceiling_a for write in first.writes] == [32.0]

    lost = Outcome(SWITCHED, first.writes[0].sequence, Answer.NOT_SENT, 1001.0)
    again = decided(first.state, 1001.0, fact, lost)
    assert [write.ceiling_a for write in again.writes] == [32.0]

    capped = replace(fact, csms=(CapStep(0.0, 10.0),))
    cut = decided(first.state, 1001.0, capped)
    assert [(write.amps, write.ceiling_a) for write in cut.writes] == [(10.0, 32.0)], "the first may be on its way"

    stored = decided(first.state, 1001.0, replace(capped, ceiling_a=32.0))
    assert [(write.amps, write.ceiling_a) for write in stored.writes] == [(10.0, None)]


@pytest.mark.parametrize("switchable", [True, False])
def test_phases_that_the_csms_forbids_count_until_the_station_has_left_them(switchable: bool) -> None:
    """It had 20 A on three phases when the CSMS allows one. A station that can't switch goes on using all of them."""
    tree, now = _site(switchable=switchable), 1000.0
    state = State(started=0.0, sequence=1, connectors={SWITCHED: _memory(20.0, 3, now)}, start_over=True)
    fact = ConnectorFacts(key=SWITCHED, has_ev=True, transaction=1, proven=True, phase_cap=1)
    other = ConnectorFacts(key=OTHER)
    outcomes: tuple[Outcome, ...] = ()
    writes: list[Write] = []
    loads = []
    for _ in range(200):
        decision = decide(tree, SiteFacts(connectors=(fact, other), outcomes=outcomes), state, Policy(), now)
        loads.append(decision.holds()[0].load)
        state, now = decision.state, now + 1.0
        outcomes = tuple(Outcome(one.key, one.sequence, Answer.ACCEPTED, now) for one in decision.writes)
        writes += decision.writes
    assert loads[0][1] >= 20.0
    assert writes[0].urgency is (Urgency.CUT if switchable else Urgency.RAISE)
    assert {write.phases for write in writes} == ({1} if switchable else {0})
    assert loads[-1] == ((32.0, 0.0, 0.0) if switchable else (32.0, 32.0, 32.0))


@pytest.mark.parametrize(("measured", "phases"), [((12.0, 0.0, 0.0), 1), ((12.0, 12.0, 12.0), 0), (None, 1)])
def test_after_a_start_current_is_no_less_on_phases_that_had_none(measured: Amps | None, phases: int) -> None:
    """Storm seed 3402: an earlier life may have let it have one phase only, and so another car has the others."""
    fact = ConnectorFacts(
        key=SWITCHED, has_ev=True, transaction=1, proven=True, measured_a=measured, measured_at=1000.0, adopted_a=12.0
    )
    facts = SiteFacts(connectors=(fact, ConnectorFacts(key=OTHER, reachable=False, proven=True)))
    decision = decide(_site(), facts, State(started=1000.0), Policy(), 1000.0)
    assert [(one.key, one.amps, one.phases) for one in decision.writes] == [(SWITCHED, 12.0, phases)]
    assert decision.holds()[0].load == (12.0,) * 3, "it may have had all of them"


@pytest.mark.parametrize(("said_at", "told"), [(1041.0, 32.0), (1035.0, 20.0)])
def test_nothing_more_is_given_while_the_last_raise_may_still_explain_what_the_meter_sees(
    said_at: float, told: float
) -> None:
    """Storm seed 13235: raises that followed one another before the station had said what it draws hid other loads."""
    raised_at = 1000.0
    spec = ConnectorSpec(key=OTHER, circuit="main", phases=(1,), fallback_a=0.0)
    tree = choose([CircuitNode(id="main", limit_a=(32.0,) * 3, background_a=(0.0,) * 3)], [spec]).tree
    sent = Sent(1, 20.0, 3, raised_at, raised_at + 315.0, accepted=raised_at + 1.0)
    pace = Pace(at=raised_at, raised_at=raised_at, wrote_at=raised_at, room_since=raised_at, room_a=32.0)
    memory = Memory(transaction=1, book=(sent,), pace=pace, heard=True, counted_since=100.0)
    facts = ConnectorFacts(
        key=OTHER, has_ev=True, transaction=1, proven=True, measured_a=(0.0, 20.0, 0.0), measured_at=said_at
    )
    state = State(started=0.0, sequence=1, connectors={OTHER: memory}, start_over=True)
    decision = decide(tree, SiteFacts(connectors=(facts,)), state, Policy(), raised_at + 75.0)
    assert ([one.amps for one in decision.writes] or [20.0]) == [told]
