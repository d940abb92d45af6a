"""What another fuse, mode or fallback would have made of a recorded day: the pure part of `circuits replay`.

A record is what balancing was told, moment by moment. Loads that are no chargers are what they were. Stations obey at
once. A car takes what it is given, up to its own limit and until it has all it wanted, as far as the record shows
either: one that always took all it was offered could have taken what its connector is rated for.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from math import inf
from typing import NamedTuple, TypeVar

from gateway.model.balance import Answer, CircuitReading, ConnectorFacts, Outcome, Policy, SiteFacts
from gateway.model.site_tree import NO_AMPS, Amps, ConnectorKey
from gateway.smartcharging.circuits import SiteTree, added, on_grid
from gateway.smartcharging.decide import Decision, State, decide

K = TypeVar("K")
LEFT_A = 2.0
"""A car that drew less than its offer by more than this had what it wanted."""
LONGEST_S = 60.0
"""A gap of the record counts as this when energy is summed up."""


class Moment(NamedTuple):
    """What was known at `at`, and what every connector had been told by then."""

    at: float
    facts: SiteFacts
    told_a: Mapping[ConnectorKey, float]


class Wish(NamedTuple):
    """What the car of one transaction wanted: at most `most_a`, in all `ah` per phase used, on these grid phases."""

    most_a: float
    ah: float
    phases: tuple[int, ...]


class Replayed(NamedTuple):
    """One moment of the other day: its decision, what the cars draw then, and the flow into each metered circuit."""

    at: float
    decision: Decision
    drawn: Mapping[ConnectorKey, Amps]
    flow: Mapping[str, Amps]


class Total(NamedTuple):
    """`got_ah`: per connector and phase used; `all_ah`: over all phases. `short_s`: how long cars stood at 0 A.
    `bound_s`: how long each circuit kept a car from more. `peak_a`: the most on any phase of each circuit that is
    measured. `writes`: profiles written."""

    got_ah: dict[ConnectorKey, float]
    all_ah: dict[ConnectorKey, float]
    short_s: dict[ConnectorKey, float]
    bound_s: dict[str, float]
    peak_a: dict[str, float]
    writes: int


Wishes = Mapping[tuple[ConnectorKey, object], Wish]


def replay(
    tree: SiteTree, moments: Iterable[Moment], policy: Policy, wishes: Wishes | None = None
) -> Iterator[Replayed]:
    """Play a record, in the order of time, at a site as `tree` says. Circuits that it lacks a meter of are blind.

    `wishes`: of each connector and transaction; of others each moment tells by itself what the car would take.
    """
    state: State | None = None
    told: dict[ConnectorKey, float] = dict(tree.fallback_a)
    got: dict[tuple[ConnectorKey, object], float] = {}
    outcomes: list[Outcome] = []
    last = inf
    for moment in moments:
        state = state or State(started=moment.at)
        connectors = tuple(
            _with_draw(one, moment, told, tree, _left(wishes, got, one)) for one in moment.facts.connectors
        )
        drawn = {one.key: one.measured_a for one in connectors if one.measured_a is not None}
        for one in connectors:
            if one.measured_a is not None and one.transaction is not None:
                hours = min(max(moment.at - last, 0.0), LONGEST_S) / 3600
                got[one.key, one.transaction] = got.get((one.key, one.transaction), 0.0) + max(one.measured_a) * hours
        last = moment.at
        readings = {
            name: _reading(name, reading, moment, drawn, tree) for name, reading in moment.facts.readings.items()
        }
        facts = replace(moment.facts, connectors=connectors, readings=readings, outcomes=tuple(outcomes))
        decision = decide(tree, facts, state, policy, moment.at)
        state = decision.state
        outcomes = [Outcome(write.key, write.sequence, Answer.ACCEPTED, moment.at) for write in decision.writes]
        told |= {share.key: share.set_a for share in decision.shares}
        yield Replayed(moment.at, decision, drawn, {name: reading.current_a for name, reading in readings.items()})


def _left(wishes: Wishes | None, got: Mapping[tuple[ConnectorKey, object], float], one: ConnectorFacts) -> Wish | None:
    """The car's wish less what it has got by now."""
    wish = wishes.get((one.key, one.transaction)) if wishes else None
    return wish._replace(ah=wish.ah - got.get((one.key, one.transaction), 0.0)) if wish else None


def _with_draw(
    one: ConnectorFacts, moment: Moment, told: Mapping[ConnectorKey, float], tree: SiteTree, left: Wish | None
) -> ConnectorFacts:
    """The connector with what its car draws in the other day."""
    spec = tree.specs.get(one.key)
    if spec is None or one.transaction is None:
        return one
    if left is not None:
        wants = left.ah > 0
        draws = min(left.most_a, told.get(one.key, 0.0)) if wants else 0.0
        one = replace(one, wants=wants)
        drawn = on_grid([draws if phase in left.phases else 0.0 for phase in spec.phases], spec.phases)
    elif one.measured_a is None:
        return one
    else:
        had = max(one.measured_a)
        most = spec.max_a if had > moment.told_a.get(one.key, 0.0) - LEFT_A else had
        draws = min(most, told.get(one.key, 0.0))
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
    found = Total({}, {}, {}, {}, {}, 0)
    last = None
    for one in replayed:
        found = found._replace(writes=found.writes + len(one.decision.writes))
        passed = 0.0 if last is None else min(one.at - last, LONGEST_S)
        last = one.at
        for view in one.decision.views:
            drawn = one.drawn.get(view.key, NO_AMPS) if view.facts.transaction is not None else NO_AMPS
            _add(found.got_ah, view.key, max(drawn) * passed / 3600)
            _add(found.all_ah, view.key, sum(drawn) * passed / 3600)
            if view.is_claim and view.facts.wants and view.set_a == 0:
                _add(found.short_s, view.key, passed)
        wanting = {view.key for view in one.decision.views if view.is_claim and view.facts.wants}
        binding = {share.why.circuit for share in one.decision.shares if share.key in wanting}
        for circuit in binding - {""}:
            _add(found.bound_s, circuit, passed)
        for circuit, flow in one.flow.items():
            found.peak_a[circuit] = max(found.peak_a.get(circuit, 0.0), *flow)
    return found


def _add(sums: dict[K, float], key: K, more: float) -> None:
    sums[key] = sums.get(key, 0.0) + more
