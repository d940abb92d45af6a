"""One decision: facts, what was carried over and `now` in; writes, reasons and what to carry out.

Survey the connectors, see how far the meters are believed, reserve what is not to be decided, allocate the rest, shape
it into writes. A reading, a plug, an answer and a timer take this same path.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from gateway.model.balance import Alarm, Background, Hold, Policy, Rung, Share, SiteFacts, Write
from gateway.model.site_tree import Binding, ConnectorKey, Why
from gateway.smartcharging.allocate import allocate
from gateway.smartcharging.background import Metered, backgrounds_of, rungs_of
from gateway.smartcharging.book import set_a
from gateway.smartcharging.circuits import SiteTree
from gateway.smartcharging.claims import EPSILON_A, Claim, Planned, Walls
from gateway.smartcharging.demand import claims_of, rank_of
from gateway.smartcharging.ladder import Overload
from gateway.smartcharging.reserve import Room, room_of
from gateway.smartcharging.shape import Case, Shaped, Shaper
from gateway.smartcharging.survey import Memory, View, as_written, survey
from gateway.smartcharging.turns import Received, Turn, accrued, moved
from gateway.smartcharging.watch import alarms_of, changes_ahead, read_meters, shed, squeezed, watch_overloads

START_SLACK_S = 15.0
RECEIVES_S = 120.0
BOOK_EVERY_S = 5.0
"""What was received is booked this often."""
LATEST_S = 5.0
"""Without any event, the next decision is due after this."""


@dataclass(frozen=True, slots=True)
class State:
    """What is carried from one decision to the next. A gateway that starts begins with State(started=now)."""

    started: float
    booked: float = -inf
    sequence: int = 0
    connectors: Mapping[ConnectorKey, Memory] = field(default_factory=dict)
    turns: Mapping[ConnectorKey, Turn] = field(default_factory=dict)
    metered: Mapping[str, Metered] = field(default_factory=dict)
    overloads: Mapping[str, Overload] = field(default_factory=dict)
    start_over: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """`writes`: at most one per station, in the order they should leave. `shares`: what every connector is meant to
    have, and what keeps it from more. `backgrounds`: per circuit, in the tree's order. `ceilings`: stored ceilings that
    may be lowered at leisure. `wake_at`: when to decide again if nothing happens before."""

    writes: tuple[Write, ...]
    shares: tuple[Share, ...]
    views: tuple[View, ...] = field(repr=False)
    backgrounds: tuple[Background, ...]
    alarms: tuple[Alarm, ...]
    ceilings: Mapping[ConnectorKey, float]
    wake_at: float
    state: State

    def holds(self) -> tuple[Hold, ...]:
        """What every connector may hold once the writes have left."""
        written = {write.key: write for write in self.writes}
        return tuple(
            (as_written(view, written[view.key]) if view.key in written else view).as_hold() for view in self.views
        )


def decide(tree: SiteTree, facts: SiteFacts, state: State, policy: Policy, now: float) -> Decision:
    """Every Write returned counts as sent: one that could not be sent comes back as an Outcome."""
    views = survey(tree, facts, state.connectors, state.turns, now=now, is_starting=not state.start_over)
    is_starting = not state.start_over and _is_starting(views, state, now)
    metered = read_meters(tree, facts, state.metered, views, now)
    rungs = rungs_of(tree, facts, metered, now)
    backgrounds = backgrounds_of(tree, facts, metered, rungs)
    overloads = watch_overloads(tree, facts, state.overloads, rungs, now)
    room = room_of(tree, views, backgrounds, facts.caps, policy.voltage_v)
    deciding = [view for view in views if view.is_claim]
    ranks = {view.key: rank_of(view, policy) for view in deciding}
    cut = {**squeezed(tree, views, ranks, backgrounds), **shed(tree, deciding, ranks, overloads)}
    claims = claims_of(deciding, room, policy, now, cut)
    held_back = _held_back(tree, rungs, is_starting=is_starting)
    cases = [
        Case(view, claim, plan, held_back.get(view.spec.circuit))
        for view, claim, plan in zip(deciding, claims, _plan(claims, room), strict=True)
    ]
    shaped = Shaper(room, policy, now, state.sequence).shape(cases)
    memories = {view.key: view.memory for view in views} | dict(shaped.memories)
    carried = replace(
        state,
        booked=now if now - state.booked >= BOOK_EVERY_S else state.booked,
        sequence=state.sequence + len(shaped.writes),
        connectors=memories,
        turns=_turns(memories, cases, now - state.booked, now),
        metered=metered,
        overloads=overloads,
        start_over=not is_starting,
    )
    ahead = [at for at in changes_ahead(facts, views, overloads, metered, now) if at > now]
    return Decision(
        writes=shaped.writes,
        shares=tuple(_shares(views, cases, shaped)),
        views=tuple(views),
        backgrounds=backgrounds,
        alarms=tuple(alarms_of(tree, views, backgrounds, overloads, metered=metered, now=now)),
        ceilings=_lowered_ceilings(views),
        wake_at=min([shaped.again_at, now + LATEST_S, *ahead]),
        state=carried,
    )


def _is_starting(views: Sequence[View], state: State, now: float) -> bool:
    """Until every connector was heard, or every lease of an earlier life has ended."""
    longest = max((view.spec.lease_s for view in views), default=0.0)
    return now < state.started + longest + START_SLACK_S and not all(view.memory.heard for view in views)


def _plan(claims: Sequence[Claim], room: Room) -> list[Planned]:
    """Allocate on a copy: what was planned is not held yet. Imbalance limits that grew in the plan stay grown."""
    walls = room.walls
    return allocate(claims, Walls(list(walls.capacity), walls.why, walls.imbalances, used=list(walls.used)))


def _held_back(tree: SiteTree, rungs: Sequence[Rung], *, is_starting: bool) -> dict[str, Why]:
    """Circuits below which nothing may be raised. A meter that is worse than late leaves the worst case to share."""
    back: dict[str, Why] = {}
    for index, node in enumerate(tree.circuits):
        if is_starting:
            back[node.id] = Why(Binding.START)
            continue
        for above in tree.ancestors[index]:
            if tree.circuits[above].metered and rungs[above] is Rung.LATE:
                back[node.id] = Why(Binding.METER, tree.circuits[above].id)
    return back


def _turns(
    memories: Mapping[ConnectorKey, Memory], cases: Sequence[Case], elapsed_s: float, now: float
) -> dict[ConnectorKey, Turn]:
    """Whose turn it is after this decision. A quantum begins with the current, not with the plan."""
    contending = [case for case in cases if _contends(case)]
    booked = {case.view.key: case.view.turn for case in contending if case.view.turn is not None}
    if BOOK_EVERY_S <= elapsed_s < inf:
        received = [Received(case.view.key, _receives(case.view, now), case.claim.weight) for case in contending]
        booked = accrued(booked, received, elapsed_s)
    turns = {}
    for case in contending:
        key = case.view.key
        turn = moved(booked.get(key), case.planned.amps > 0, now)
        if turn.is_in and set_a(memories[key].book, case.view.fallback_a) <= 0:
            turn = turn._replace(since=now)
        turns[key] = turn
    return turns


def _contends(case: Case) -> bool:
    """A car that wants current, and could have its minimum if nobody else were there."""
    return case.view.facts.wants and case.claim.cap_a >= case.claim.min_a - EPSILON_A


def _receives(view: View, now: float) -> float:
    if view.facts.measured_a is not None and now - view.facts.measured_at < RECEIVES_S:
        return max(view.facts.measured_a)
    return view.set_a


def _shares(views: Sequence[View], cases: Sequence[Case], shaped: Shaped) -> Iterator[Share]:
    decided = {case.view.key: case for case in cases}
    for view in views:
        case = decided.get(view.key)
        if case is None:
            yield Share(view.key, view.fallback_a, view.set_a, len(view.phases), Why(_not_decided(view)))
            continue
        why = shaped.whys.get(view.key, case.planned.why)
        if not view.facts.wants:
            why = Why(Binding.SATISFIED)
        book = shaped.memories[view.key].book
        told = set_a(book, view.fallback_a)
        yield Share(view.key, case.planned.amps, told, case.planned.phases, why)


def _not_decided(view: View) -> Binding:
    if not view.facts.reachable:
        return Binding.UNREACHABLE
    return Binding.NO_TRANSACTION if view.facts.managed else Binding.UNMANAGED


def _lowered_ceilings(views: Sequence[View]) -> dict[ConnectorKey, float]:
    """Without a transaction nothing above the fallback is held."""
    return {
        view.key: view.fallback_a
        for view in views
        if view.facts.reachable
        and view.facts.transaction is None
        and view.facts.ceiling_a is not None
        and view.facts.ceiling_a > view.fallback_a
    }
