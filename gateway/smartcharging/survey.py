"""What is known of every connector at one moment: facts, and what was carried over from the last decision."""

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import NamedTuple

from gateway.model.balance import Answer, ConnectorFacts, Hold, Outcome, SiteFacts, Write
from gateway.model.site_tree import NO_AMPS, Amps, ConnectorKey, ConnectorSpec
from gateway.smartcharging.book import Book, Sent, most_a, set_a, set_phases, settle, slack_s
from gateway.smartcharging.circuits import SiteTree, on_grid
from gateway.smartcharging.claims import EPSILON_A
from gateway.smartcharging.draws import DRAWS_A, Seen, observe
from gateway.smartcharging.ladder import Disobedience
from gateway.smartcharging.pace import Pace
from gateway.smartcharging.turns import Turn

FALLS_S = 5.0
"""A car may take so long to follow a step down (IEC 61851-1); a reading from before accuses nobody."""
FRESH_S = 20.0
"""So long after a plug-in or a lost link the cuts of the others may be under way."""
NEVER = -inf
_UNSEEN = Seen()
_UNPACED = Pace()
_OBEYS = Disobedience()


class Memory(NamedTuple):
    """What is carried of one connector. `heard`: it has accepted a value since the gateway's start.

    `counted_since`: since when it has an EV or is unreachable. `resumed_at`, `switched_at`: last step up from 0 A, last
    change between one and three phases. `nudges`: moments at 0 A since then, to wake the car. `lowered_at`: when a step
    down was last known to be done.
    """

    transaction: object = None
    book: Book = ()
    seen: Seen = _UNSEEN
    pace: Pace = _UNPACED
    disobedience: Disobedience = _OBEYS
    heard: bool = False
    counted_since: float | None = None
    resumed_at: float | None = None
    nudges: int = 0
    switched_at: float = NEVER
    lowered_at: float = NEVER


class View(NamedTuple):
    """One connector now. `phases`: the grid's phases its car uses. `hold_a`: per own phase, the most it may hold (D9);
    `static_a`: the same with the gateway dead. `is_claim`: the allocator decides on it."""

    spec: ConnectorSpec
    facts: ConnectorFacts
    memory: Memory
    turn: Turn | None
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
            fallback=on_grid((self.fallback_a,) * len(self.spec.phases), self.spec.phases),
            static=on_grid(self.static_a, self.phases),
            has_ev=self.facts.has_ev,
            reachable=self.facts.reachable,
            fresh=self.is_fresh,
        )


def survey(
    tree: SiteTree,
    facts: SiteFacts,
    memories: Mapping[ConnectorKey, Memory],
    turns: Mapping[ConnectorKey, Turn],
    *,
    now: float,
    is_starting: bool,
) -> list[View]:
    """One View per connector of the tree; one that the facts leave out is unreachable and unmanaged."""
    told = {fact.key: fact for fact in facts.connectors}
    outcomes: dict[ConnectorKey, list[Outcome]] = {}
    for outcome in facts.outcomes:
        outcomes.setdefault(outcome.key, []).append(outcome)
    views = []
    for spec in tree.connectors:
        key = spec.key
        fact = told.get(key) or ConnectorFacts(key=key, reachable=False, managed=False)
        memory = memories.get(key)
        if memory is None or (fact.reachable and fact.transaction != memory.transaction):
            # What an unproven one was given does not end, however late it comes back after the start.
            may_be_old = is_starting or not _is_proven(spec, fact)
            is_new = may_be_old and (memory is None or not memory.heard)
            first = _first_seen(spec, fact, tree.fallback_a[key], now, is_starting=is_new)
            memory = first if memory is None else _begun(memory, first, now)
        memory = _carried(memory, spec, fact, outcomes.get(key, ()), now)
        turn = turns.get(key) if fact.transaction == memory.transaction else None
        views.append(_view(spec, fact, memory, turn=turn, fallback_a=tree.fallback_a[key], now=now))
    return views


def _first_seen(
    spec: ConnectorSpec, fact: ConnectorFacts, fallback_a: float, now: float, *, is_starting: bool
) -> Memory:
    """After a start, a running transaction may hold what an earlier life of the gateway gave it."""
    memory = Memory(transaction=fact.transaction, pace=Pace(at=now))
    if fact.transaction is None and fact.reachable:
        return memory
    if not is_starting and fact.adopted_a is None:
        return memory
    measured = max(fact.measured_a) if fact.measured_a else 0.0
    adopted = max(fallback_a, measured) if fact.adopted_a is None else fact.adopted_a
    may_hold = adopted
    if not _is_proven(spec, fact):
        may_hold = max(adopted, spec.max_a if fact.ceiling_a is None else fact.ceiling_a)
    ends = now + spec.lease_s + slack_s(spec.latency_s) if _is_proven(spec, fact) else None
    past = Sent(0, may_hold, len(spec.phases), now, ends, given_up=True)
    return memory._replace(book=(past, past._replace(amps=adopted, phases=_certain_phases(spec, fact))))


def _certain_phases(spec: ConnectorSpec, fact: ConnectorFacts) -> int:
    """On how many phases an earlier life certainly let current flow: on others, any would be a raise."""
    if not spec.switchable:
        return len(spec.phases)
    measured = fact.measured_a or NO_AMPS
    return max(1, sum(measured[phase] > DRAWS_A for phase in spec.phases))


def _begun(memory: Memory, first: Memory, now: float) -> Memory:
    """Another transaction: nothing of the last one holds. (One that began before the gateway did is new to it only, and
    holds what it was given then.)"""
    return first._replace(
        pace=memory.pace._replace(room_since=None),
        heard=memory.heard,
        counted_since=memory.counted_since,
        lowered_at=now,
        disobedience=memory.disobedience.renewed(now),
    )


def _is_proven(spec: ConnectorSpec, fact: ConnectorFacts) -> bool:
    return fact.proven and spec.lease_s > 0


def _carried(
    memory: Memory, spec: ConnectorSpec, fact: ConnectorFacts, outcomes: Sequence[Outcome], now: float
) -> Memory:
    """Take in what happened since the last decision."""
    before = memory
    if memory.book:
        book = settle(memory.book, outcomes, now=now, latency_s=spec.latency_s, proven=_is_proven(spec, fact))
        if book is not memory.book:
            is_lower = most_a(book) < most_a(memory.book)
            memory = memory._replace(book=book, lowered_at=now if is_lower else memory.lowered_at)
    if memory.book and memory.transaction is None and fact.transaction is None and fact.reachable and fact.managed:
        # It was not there at the start; now it is, its fallback holds, and no transaction could hold anything else.
        memory = memory._replace(book=(), lowered_at=now)
    if outcomes:
        memory = _answered(memory, outcomes, now)
    if not memory.heard and fact.reachable and fact.managed and fact.transaction is None:
        memory = memory._replace(heard=True)
    if (fact.has_ev or not fact.reachable) != (memory.counted_since is not None):
        memory = memory._replace(counted_since=now if memory.counted_since is None else None)
    if fact.measured_a is not None and fact.transaction is not None:
        seen = _seen(before, spec, fact.measured_a, fact.measured_at, memory.book)
        if seen is not memory.seen:
            memory = memory._replace(seen=seen)
    return memory


def _answered(memory: Memory, outcomes: Iterable[Outcome], now: float) -> Memory:
    answers = {outcome.answer for outcome in outcomes}
    if Answer.REJECTED in answers:
        memory = memory._replace(pace=memory.pace._replace(refused_at=now))
    return memory._replace(heard=True) if Answer.ACCEPTED in answers else memory


def _seen(memory: Memory, spec: ConnectorSpec, measured_a: Amps, at: float, book: Book) -> Seen:
    seen = observe(
        memory.seen,
        tuple(measured_a[phase] for phase in spec.phases),
        at,
        offered_a=book[-1].amps if book else 0.0,
        offered_at=memory.pace.raised_at,
        resumed_at=memory.resumed_at,
    )
    if any(sent.phases < len(spec.phases) for sent in book):  # what is sent may not be obeyed yet
        return seen._replace(phases=memory.seen.phases, guess=0)
    return seen


def _view(
    spec: ConnectorSpec, fact: ConnectorFacts, memory: Memory, *, turn: Turn | None, fallback_a: float, now: float
) -> View:
    book = memory.book
    count = _phases_used(spec, fact, memory)
    phases = spec.phases[:count]
    floor = fallback_a if fact.managed else max(fallback_a, spec.max_a)
    if not book:
        static: tuple[float, ...] = (floor,) * count
    elif len(book) == 1 and book[0].phases >= count:
        static = (max(book[0].amps, floor),) * count
    else:
        static = tuple(max(most_a(book, own), floor) for own in range(count))
    hold, drawn = static, _counting_reading(fact, memory)
    if drawn is not None and fact.managed:
        most = max(drawn)
        if most > min(static):
            hold = tuple(max(held, drawn[phase]) for held, phase in zip(static, phases, strict=True))
        disobedience = memory.disobedience
        if disobedience.since is not None or fact.measured_at >= memory.lowered_at + FALLS_S:
            disobedience = disobedience.observe(most, max(static), now)
        if disobedience is not memory.disobedience:
            memory = memory._replace(disobedience=disobedience)
    proven = _is_proven(spec, fact)
    since = memory.counted_since
    safe = (floor,) * count if proven and not memory.disobedience.tried else hold
    if not fact.reachable and count < len(spec.phases):
        # Nobody would tell if another car came there: it begins with the fallback, on phases that this one leaves.
        rest = (floor,) * (len(spec.phases) - count)
        phases, hold, safe = spec.phases, hold + rest, safe + rest
    return View(
        spec,
        fact,
        memory,
        turn,
        fallback_a,
        proven,
        phases,
        set_a(book, fallback_a),
        set_phases(book, count),
        hold,
        safe,
        fact.reachable and fact.managed and fact.has_ev and fact.transaction is not None,
        since is not None,
        since is not None and now - since < FRESH_S,
    )


def _phases_used(spec: ConnectorSpec, fact: ConnectorFacts, memory: Memory) -> int:
    """As long as a car is not known to use fewer, all phases of the connector count.

    Fewer allowed by the CSMS are no fewer used: that is for the allocator to write, and for the book to know.
    """
    count = len(spec.phases)
    if count == 1 or fact.transaction is None:
        return count
    return min(fact.car_phases or memory.seen.phases or count, count)


def _counting_reading(fact: ConnectorFacts, memory: Memory) -> Amps | None:
    """The station's reading, unless it is older than a step down that is done. (Of one that does not obey, the last
    one counts until it says something else.)"""
    if fact.measured_a is None or fact.transaction is None:
        return None
    is_old = fact.measured_at < memory.lowered_at and memory.disobedience.since is None
    return None if is_old else fact.measured_a


def new_ceiling(view: View, amps: float) -> float | None:
    """What has to be on disk before so much is written; None if what is there suffices.

    The facts say what is there, not what an earlier write wanted to put there: its commit may fail or be under way. So
    the ceiling covers those writes too.
    """
    if view.proven or amps <= max(view.facts.ceiling_a or 0.0, view.fallback_a) + EPSILON_A:
        return None
    return max([amps, *(sent.amps for sent in view.memory.book if sent.sequence)])


def as_written(view: View, write: Write) -> View:
    """The view once the write has left: what it says may hold from now on."""
    phases = write.phases or len(view.phases)

    def with_it(amps: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(max(held, write.amps) if own < phases else held for own, held in enumerate(amps))

    return view._replace(hold_a=with_it(view.hold_a), static_a=view.static_a if view.proven else with_it(view.static_a))
