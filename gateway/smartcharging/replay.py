"""What another fuse, mode or fallback would have made of a recorded day: the pure part of `replay`.

A record is what balancing was told, moment by moment. Of a car that took less than it was offered, what it took is all
it wants; of one that took all, its rating is. Loads that are no chargers are what they were. Stations obey at once.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from gateway.model.balance import Answer, CircuitReading, ConnectorFacts, Outcome, Policy, SiteFacts
from gateway.model.site_tree import NO_AMPS, Amps, ConnectorKey
from gateway.smartcharging.circuits import SiteTree, added, on_grid
from gateway.smartcharging.decide import Decision, State, decide

LEFT_A = 2.0
"""A car that drew less than its offer by more than this had what it wanted."""
LONGEST_S = 30.0
"""A gap of the record counts as this when energy is summed up."""


class Moment(NamedTuple):
    """What was known at `at`, and what every connector had been told by then."""

    at: float
    facts: SiteFacts
    told_a: Mapping[ConnectorKey, float]


class Replayed(NamedTuple):
    """One moment of the other day: its decision, what the cars draw then, and the flow into each metered circuit."""

    at: float
    decision: Decision
    drawn: Mapping[ConnectorKey, Amps]
    flow: Mapping[str, Amps]


class Total(NamedTuple):
    """`got_ah`: per connector and phase used. `short_s`: how long cars stood at 0 A. `writes`: profiles written."""

    got_ah: Mapping[ConnectorKey, float]
    short_s: Mapping[ConnectorKey, float]
    writes: int


def replay(tree: SiteTree, moments: Iterable[Moment], policy: Policy) -> Iterator[Replayed]:
    """Play a record, in the order of time, at a site as `tree` says. Circuits that it lacks a meter of are blind."""
    state: State | None = None
    told: dict[ConnectorKey, float] = dict(tree.fallback_a)
    outcomes: list[Outcome] = []
    for moment in moments:
        state = state or State(started=moment.at)
        connectors = tuple(_with_draw(one, moment, told, tree) for one in moment.facts.connectors)
        drawn = {one.key: one.measured_a for one in connectors if one.measured_a is not None}
        readings = {
            name: _reading(name, reading, moment, drawn, tree) for name, reading in moment.facts.readings.items()
        }
        facts = replace(moment.facts, connectors=connectors, readings=readings, outcomes=tuple(outcomes))
        decision = decide(tree, facts, state, policy, moment.at)
        state = decision.state
        outcomes = [Outcome(write.key, write.sequence, Answer.ACCEPTED, moment.at) for write in decision.writes]
        told |= {share.key: share.set_a for share in decision.shares}
        yield Replayed(moment.at, decision, drawn, {name: reading.current_a for name, reading in readings.items()})


def _with_draw(
    one: ConnectorFacts, moment: Moment, told: Mapping[ConnectorKey, float], tree: SiteTree
) -> ConnectorFacts:
    """The connector with what its car draws in the other day."""
    spec = tree.specs.get(one.key)
    if spec is None or one.measured_a is None or one.transaction is None:
        return one
    had = max(one.measured_a)
    wants = spec.max_a if had > moment.told_a.get(one.key, 0.0) - LEFT_A else had
    draws = min(wants, told.get(one.key, 0.0))
    drawn = on_grid([draws if one.measured_a[phase] > 0 or had == 0 else 0.0 for phase in spec.phases], spec.phases)
    return replace(one, measured_a=drawn, measured_at=moment.at, adopted_a=None, ceiling_a=None)


def _reading(
    name: str, reading: CircuitReading, moment: Moment, drawn: Mapping[ConnectorKey, Amps], tree: SiteTree
) -> CircuitReading:
    """The flow with the chargers' part exchanged."""
    if name not in tree.index:
        return reading
    below, change = set(tree.below[tree.index[name]]), NO_AMPS
    for one in moment.facts.connectors:
        if one.key in below and one.measured_a is not None:
            now, then = drawn.get(one.key, NO_AMPS), one.measured_a
            change = added(change, (now[0] - then[0], now[1] - then[1], now[2] - then[2]))
    return replace(reading, current_a=added(reading.current_a, change))


def total(replayed: Iterable[Replayed]) -> Total:
    """What the other day comes to."""
    got: dict[ConnectorKey, float] = {}
    short: dict[ConnectorKey, float] = {}
    writes, last = 0, None
    for one in replayed:
        writes += len(one.decision.writes)
        passed = 0.0 if last is None else min(one.at - last, LONGEST_S)
        last = one.at
        for view in one.decision.views:
            amps = max(one.drawn.get(view.key, NO_AMPS)) if view.facts.transaction is not None else 0.0
            got[view.key] = got.get(view.key, 0.0) + amps * passed / 3600
            if view.is_claim and view.facts.wants and view.set_a == 0:
                short[view.key] = short.get(view.key, 0.0) + passed
    return Total(got, short, writes)
