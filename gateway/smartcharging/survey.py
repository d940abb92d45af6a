"""What is known of every connector at one moment: facts, and what was carried over from the last decision."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import NamedTuple

from gateway.model.balance import Answer, ConnectorFacts, Hold, Outcome, SiteFacts, Write
from gateway.model.site_tree import Amps, ConnectorKey, ConnectorSpec
from gateway.smartcharging.book import LEASE_SLACK_S, Book, Sent, most_a, set_a, set_phases, settle
from gateway.smartcharging.circuits import SiteTree, on_grid
from gateway.smartcharging.draws import Seen, observe
from gateway.smartcharging.ladder import Disobedience
from gateway.smartcharging.pace import Pace
from gateway.smartcharging.turns import Turn

FRESH_S = 20.0
"""So long after a plug-in or a lost link the cuts of the others may be under way."""
NEVER = -inf
_UNSEEN = Seen()
_UNPACED = Pace()
_OBEYS = Disobedience()


@dataclass(frozen=True, slots=True)
class Memory:
    """What is carried of one connector. `heard`: it has accepted a value since the gateway's start.

    `counted_since`: since when it has an EV or is unreachable. `resumed_at`, `switched_at`: last step up from 0 A, last
    change between one and three phases. `lowered_at`: when a step down was last known to be done. `ceiling_a`: the
    ceiling stored for an unproven one.
    """

    transaction: object = None
    book: Book = ()
    turn: Turn | None = None
    seen: Seen = _UNSEEN
    pace: Pace = _UNPACED
    disobedience: Disobedience = _OBEYS
    heard: bool = False
    counted_since: float | None = None
    was_reachable: bool = True
    resumed_at: float | None = None
    switched_at: float = NEVER
    lowered_at: float = NEVER
    ceiling_a: float = 0.0


class View(NamedTuple):
    """One connector now. `phases`: the grid's phases its car uses. `hold_a`: per own phase, the most it may hold (D9);
    `static_a`: the same with the gateway dead. `is_claim`: the allocator decides on it."""

    spec: ConnectorSpec
    facts: ConnectorFacts
    memory: Memory
    fallback_a: float
    proven: bool
    phases: tuple[int, ...]
    set_a: float
    set_phases: int
    hold_a: tuple[float, ...]
    static_a: tuple[float, ...]
    is_claim: bool
    counts: bool
    is_fresh: bool

    @property
    def key(self) -> ConnectorKey:
        return self.facts.key

    def as_hold(self) -> Hold:
        return Hold(
            key=self.facts.key,
            load=on_grid(self.hold_a, self.phases),
            fallback=on_grid((self.fallback_a,) * len(self.phases), self.phases),
            static=on_grid(self.static_a, self.phases),
            has_ev=self.facts.has_ev,
            reachable=self.facts.reachable,
            fresh=self.is_fresh,
        )


def survey(
    tree: SiteTree, facts: SiteFacts, memories: Mapping[ConnectorKey, Memory], *, now: float, is_starting: bool
) -> list[View]:
    """One View per connector of the tree; one that the facts leave out is unreachable and unmanaged."""
    told = {fact.key: fact for fact in facts.connectors}
    outcomes: dict[ConnectorKey, list[Outcome]] = {}
    for outcome in facts.outcomes:
        outcomes.setdefault(outcome.key, []).append(outcome)
    views = []
    for spec in tree.connectors:
        fact = told.get(spec.key) or ConnectorFacts(key=spec.key, reachable=False, managed=False)
        memory = memories.get(spec.key)
        if memory is None:
            memory = _first_seen(spec, fact, tree.fallback_a[spec.key], now, is_starting=is_starting)
        memory = _carried(memory, spec, fact, outcomes.get(spec.key, ()), now)
        views.append(_view(spec, fact, memory, tree.fallback_a[spec.key], now))
    return views


def _first_seen(
    spec: ConnectorSpec, fact: ConnectorFacts, fallback_a: float, now: float, *, is_starting: bool
) -> Memory:
    """After a start, a running transaction may hold what an earlier life of the gateway gave it."""
    ceiling = fact.ceiling_a or 0.0
    memory = Memory(transaction=fact.transaction, pace=Pace(at=now), ceiling_a=ceiling)
    if not is_starting or (fact.transaction is None and fact.reachable):
        return memory
    measured = max(fact.measured_a) if fact.measured_a else 0.0
    adopted = max(fallback_a, measured) if fact.adopted_a is None else fact.adopted_a
    may_hold = adopted
    if not _is_proven(spec, fact):
        may_hold = max(adopted, spec.max_a if fact.ceiling_a is None else ceiling)
    ends = now + spec.lease_s + LEASE_SLACK_S if _is_proven(spec, fact) else None
    past = Sent(0, may_hold, len(spec.phases), now, ends, given_up=True)
    return replace(memory, book=(past, past._replace(amps=adopted)))


def _is_proven(spec: ConnectorSpec, fact: ConnectorFacts) -> bool:
    return fact.proven and spec.lease_s > 0


def _carried(
    memory: Memory, spec: ConnectorSpec, fact: ConnectorFacts, outcomes: Iterable[Outcome], now: float
) -> Memory:
    """Take in what happened since the last decision."""
    changes: dict[str, object] = {}
    if fact.reachable and fact.transaction != memory.transaction:
        memory = Memory(
            transaction=fact.transaction,
            pace=memory.pace._replace(room_since=None),
            heard=memory.heard,
            counted_since=memory.counted_since,
            was_reachable=memory.was_reachable,
        )
    outcomes = tuple(outcomes)
    book = memory.book
    if book:
        book = settle(book, outcomes, now=now, latency_s=spec.latency_s, proven=_is_proven(spec, fact))
        if book is not memory.book:
            changes["book"] = book
            if most_a(book) < most_a(memory.book):
                changes["lowered_at"] = now
    if any(outcome.answer is Answer.REJECTED for outcome in outcomes):
        changes["pace"] = memory.pace._replace(refused_at=now)
    heard = any(outcome.answer is Answer.ACCEPTED for outcome in outcomes)
    if not memory.heard and (heard or (fact.reachable and fact.managed and fact.transaction is None)):
        changes["heard"] = True
    counts = fact.has_ev or not fact.reachable
    if counts != (memory.counted_since is not None):
        changes["counted_since"] = now if counts else None
    if fact.reachable != memory.was_reachable:
        changes["was_reachable"] = fact.reachable
    if fact.measured_a is not None and fact.transaction is not None and fact.measured_at > memory.seen.at:
        changes["seen"] = _seen(memory, spec, fact.measured_a, fact.measured_at, book)
    if not changes:
        return memory
    return replace(memory, **changes)  # type: ignore[arg-type]


def _seen(memory: Memory, spec: ConnectorSpec, measured_a: Amps, at: float, book: Book) -> Seen:
    seen = observe(
        memory.seen,
        tuple(measured_a[phase] for phase in spec.phases),
        at,
        offered_a=book[-1].amps if book else 0.0,
        offered_at=memory.pace.raised_at,
        resumed_at=memory.resumed_at,
    )
    if book and book[-1].phases < len(spec.phases):
        return seen._replace(phases=memory.seen.phases, guess=0)
    return seen


def _view(spec: ConnectorSpec, fact: ConnectorFacts, memory: Memory, fallback_a: float, now: float) -> View:
    book = memory.book
    count = _phases_used(spec, fact, memory)
    phases = spec.phases[:count]
    floor = fallback_a if fact.managed else max(fallback_a, spec.max_a)
    drawn = _counting_reading(fact, memory)
    static, hold = [], []
    for own, phase in enumerate(phases):
        most = max(most_a(book, own), floor)
        static.append(most)
        hold.append(max(most, drawn[phase]) if drawn is not None else most)
    allowed = max(static, default=floor)
    disobedience = memory.disobedience
    if drawn is not None and fact.reachable and fact.managed:
        disobedience = disobedience.observe(max(drawn), allowed, now)
    if disobedience is not memory.disobedience:
        memory = replace(memory, disobedience=disobedience)
    proven = _is_proven(spec, fact)
    return View(
        spec=spec,
        facts=fact,
        memory=memory,
        fallback_a=fallback_a,
        proven=proven,
        phases=phases,
        set_a=set_a(book, fallback_a),
        set_phases=set_phases(book, count),
        hold_a=tuple(hold),
        static_a=(floor,) * count if proven else tuple(static),
        is_claim=fact.reachable and fact.managed and fact.has_ev and fact.transaction is not None,
        counts=memory.counted_since is not None,
        is_fresh=memory.counted_since is not None and now - memory.counted_since < FRESH_S,
    )


def _phases_used(spec: ConnectorSpec, fact: ConnectorFacts, memory: Memory) -> int:
    """As long as a car is not known to use fewer, all phases of the connector count."""
    told = fact.car_phases or memory.seen.phases or len(spec.phases)
    return min(told, fact.phase_cap, len(spec.phases)) if fact.transaction is not None else len(spec.phases)


def _counting_reading(fact: ConnectorFacts, memory: Memory) -> Amps | None:
    """The station's reading, unless it is older than a step down that is done."""
    if fact.measured_a is None or fact.transaction is None or fact.measured_at < memory.lowered_at:
        return None
    return fact.measured_a


def as_written(view: View, write: Write) -> View:
    """The view once the write has left: what it says may hold from now on."""
    phases = write.phases or len(view.phases)

    def with_it(amps: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(max(held, write.amps) if own < phases else held for own, held in enumerate(amps))

    return view._replace(hold_a=with_it(view.hold_a), static_a=view.static_a if view.proven else with_it(view.static_a))
