"""A recorded day at another fuse, and the log of its sessions."""

from dataclasses import replace

from gateway.model.balance import CircuitReading, ConnectorFacts, ExternalCap, Policy, Share, SiteFacts
from gateway.model.site_tree import Amps, Binding, CircuitNode, ConnectorSpec, Why
from gateway.smartcharging import day
from gateway.smartcharging.circuits import SiteTree
from gateway.smartcharging.fallback import choose
from gateway.smartcharging.replay import Moment, Replayed, replay, total
from gateway.smartcharging.session_log import Line, lines
from tests.smartcharging.rig import key

SPECS = [ConnectorSpec(key=key(number), circuit="main") for number in range(2)]


def even(amps: float) -> Amps:
    return (amps, amps, amps)


def tree(limit: float) -> SiteTree:
    node = CircuitNode(id="main", limit_a=even(limit), metered=True, background_a=even(20.0))
    return choose([node], SPECS).tree


def record(minutes: int = 10) -> list[Moment]:
    """At 40 A, two cars had 12 A each beside 16 A of other loads; the second never takes more than 9 A."""
    moments = []
    for second in range(minutes * 60):
        at = float(second)
        connectors = [
            ConnectorFacts(key=key(number), has_ev=True, transaction=1, measured_a=even(amps), measured_at=at)
            for number, amps in ((0, 12.0), (1, 9.0))
        ]
        reading = CircuitReading(current_a=even(16.0 + 21.0), at=at)
        facts = SiteFacts(connectors=tuple(connectors), readings={"main": reading}, rises={"main": even(4.0)})
        moments.append(Moment(at, facts, {key(0): 12.0, key(1): 12.0}))
    return moments


def last(found: list[Replayed]) -> dict[int, float]:
    return {number: max(found[-1].drawn[key(number)]) for number in range(2)}


def test_a_larger_fuse_gives_more_to_the_car_that_would_have_taken_it() -> None:
    same = list(replay(tree(40.0), record(), Policy()))
    larger = list(replay(tree(80.0), record(), Policy()))
    assert last(larger)[0] == 32.0
    assert last(larger)[1] == last(same)[1] == 9.0
    assert last(same)[0] < 16.0
    assert larger[-1].flow["main"] == even(16.0 + 32.0 + 9.0), "the other loads are what they were"
    assert total(larger).got_ah[key(0)] > 1.5 * total(same).got_ah[key(0)]
    assert total(larger).writes > 0


def test_a_smaller_one_lets_them_take_turns() -> None:
    """9 A are left for two."""
    found = total(replay(tree(25.0), record(15), replace(Policy(), quantum_s=300.0)))
    assert found.short_s[key(0)] > 200
    assert found.short_s[key(1)] > 200
    assert min(found.got_ah.values()) > 0


def test_a_recorded_cap_holds_at_the_other_fuse_too() -> None:
    cap, larger, played = ExternalCap(circuit="main", limit_a=even(8.0)), tree(80.0), []
    for minute in range(5):
        tally = day.Tally()
        for moment in record(1):
            told = [Share(one.key, 6.0, 6.0, 3, Why(Binding.GRID)) for one in moment.facts.connectors]
            tally.add(replace(moment.facts, caps=(cap,)), told, moment.at)
        played.append(tally.close(minute * 60, 60))
    moments = day.moments(played, larger, {spec.key: True for spec in SPECS})
    assert sum(last(list(replay(larger, moments, Policy()))).values()) <= 8.0


def test_a_log_has_a_line_for_each_change_and_none_for_passing_reasons() -> None:
    def told(amps: float, binding: Binding) -> Share:
        return Share(key(0), 16.0, amps, 3, Why(binding, "main", 1))

    running = frozenset((key(0),))
    first = list(lines({}, [told(6.0, Binding.SETTLING)], running, 1.0))
    assert first == [Line(1.0, key(0), 6.0, 16.0, "settling main L1")]
    before = {key(0): first[0]}
    assert not list(lines(before, [told(6.0, Binding.PENDING)], running, 2.0))
    assert [line.why for line in lines(before, [told(6.0, Binding.CIRCUIT)], running, 3.0)] == ["circuit main L1"]
    assert [line.set_a for line in lines(before, [told(8.0, Binding.PENDING)], running, 4.0)] == [8.0]
    assert not list(lines({}, [told(8.0, Binding.CIRCUIT)], frozenset(), 5.0))
