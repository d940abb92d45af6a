"""What the decision watches beside the connectors: meters and overloads, alarms, and when to look again."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf

from gateway.model.balance import Alarm, AlarmKind, Background, Rung, SiteFacts
from gateway.model.site_tree import NO_AMPS, Amps, ConnectorKey
from gateway.smartcharging.background import READING_LIVES_S, Draw, Metered
from gateway.smartcharging.book import ANSWER_S
from gateway.smartcharging.circuits import SiteTree, added, on_grid
from gateway.smartcharging.draws import RAMP_KNOWN_S, RAMP_S
from gateway.smartcharging.ladder import Overload, next_rung_at
from gateway.smartcharging.survey import View

BACKGROUND_OVER_A = 0.5


def read_meters(
    tree: SiteTree, facts: SiteFacts, before: Mapping[str, Metered], views: Sequence[View], now: float
) -> Mapping[str, Metered]:
    """Take the readings that are new. Trust is judged elsewhere; one that is not trusted is not taken in."""
    new = {
        node.id: reading
        for node in tree.circuits
        if node.metered
        and (reading := facts.readings.get(node.id)) is not None
        and reading.trusted
        and (node.id not in before or reading.at > before[node.id].samples[-1].at)
    }
    if not new:
        return before
    begun = {circuit: before.get(circuit, Metered()).since_with(reading) for circuit, reading in new.items()}
    draws = _draws(tree, views, begun, now)
    result = dict(before)
    for circuit, reading in new.items():
        index = tree.index[circuit]
        node, draw, so_far = tree.circuits[index], draws.get(circuit, Draw()), before.get(circuit, Metered())
        result[circuit] = so_far.observe(reading, draw, node.limit_a, tree.worst[index], generates=node.generates)
    return result


def _draws(tree: SiteTree, views: Sequence[View], begun: Mapping[str, float], now: float) -> dict[str, Draw]:
    """Per metered circuit. `begun`: since when each is read without a gap."""
    draws: dict[str, Draw] = {}
    for view in views:
        own = _draw(view, now)
        if own is None:
            continue
        for index in tree.ancestors[tree.index[view.spec.circuit]]:
            circuit = tree.circuits[index].id
            if circuit in begun:
                sum_of = draws.get(circuit, Draw())
                is_unseen = view.facts.measured_at < begun[circuit]
                draws[circuit] = Draw(
                    added(sum_of.drawn, own.drawn),
                    max(sum_of.oldest_s, own.oldest_s),
                    added(sum_of.ramping, own.ramping),
                    added(sum_of.unseen, own.drawn) if is_unseen else sum_of.unseen,
                    added(sum_of.unsure, own.unsure),
                )
    return draws


def _draw(view: View, now: float) -> Draw | None:
    """What one charger takes of a meter's flow, by its own last word; more than it may hold is not believed."""
    facts = view.facts
    if facts.transaction is None:
        return None
    hold, drawn, age = on_grid(view.hold_a, view.phases), NO_AMPS, 0.0
    if facts.measured_a is not None and now - facts.measured_at <= READING_LIVES_S:
        drawn = _lower(facts.measured_a, hold)
        age = now - facts.measured_at
    begun = max(view.memory.pace.raised_at, view.memory.counted_since or -inf)
    ramping = NO_AMPS
    if now < begun + RAMP_KNOWN_S and facts.measured_at < begun + RAMP_S:
        ramping = (hold[0] - drawn[0], hold[1] - drawn[1], hold[2] - drawn[2])
    return Draw(drawn, age, ramping, unsure=NO_AMPS if facts.names_phases else drawn)


def _lower(a: Amps, b: Amps) -> Amps:
    return (min(a[0], b[0]), min(a[1], b[1]), min(a[2], b[2]))


def watch_overloads(
    tree: SiteTree, facts: SiteFacts, before: Mapping[str, Overload], rungs: Sequence[Rung], now: float
) -> Mapping[str, Overload]:
    result = dict(before)
    for index, node in enumerate(tree.circuits):
        if not node.metered:
            continue
        reading = facts.readings.get(node.id)
        flow = reading.current_a if reading is not None and rungs[index] <= Rung.LATE else None
        result[node.id] = before.get(node.id, Overload()).observe(flow, node.limit_a, now)
    return result


def shed(
    tree: SiteTree, views: Iterable[View], ranks: Mapping[ConnectorKey, int], overloads: Mapping[str, Overload]
) -> Mapping[ConnectorKey, str]:
    """Connectors to be cut to 0 A, each with the circuit that is over: the lowest classes below it."""
    levels = {circuit: overload.shed for circuit, overload in overloads.items() if overload.shed}
    if not levels:
        return {}
    below: dict[str, list[ConnectorKey]] = {}
    for view in views:
        for index in tree.ancestors[tree.index[view.spec.circuit]]:
            if tree.circuits[index].id in levels:
                below.setdefault(tree.circuits[index].id, []).append(view.key)
    cut: dict[ConnectorKey, str] = {}
    for circuit, keys in below.items():
        classes = sorted({ranks[key] for key in keys})[: levels[circuit]]
        cut |= {key: circuit for key in keys if ranks[key] in classes}
    return cut


def squeezed(
    tree: SiteTree, views: Sequence[View], ranks: Mapping[ConnectorKey, int], backgrounds: Sequence[Background]
) -> Mapping[ConnectorKey, str]:
    """Connectors to be cut to 0 A because a circuit is full even with all the others at their fallback.

    A station draws more than it was told, or the background more than its worst case: then the fallbacks of those that
    obey 0 A are no reserve to be kept, but current to be had. The lowest classes go first.
    """
    is_odd = any(view.memory.disobedience.since is not None for view in views)
    cut: dict[ConnectorKey, str] = {}
    for index, background in enumerate(backgrounds):
        if not is_odd and all(now <= worst for now, worst in zip(background.now, background.worst, strict=True)):
            continue
        node, keys = tree.circuits[index], set(tree.below[index])
        here = [view for view in views if view.key in keys]
        for phase in range(3):
            least = {view.key: _least(view, phase) for view in here if phase in view.phases}
            over = background.now[phase] + sum(least.values()) - node.limit_a[phase]
            for view in sorted(here, key=lambda view: (ranks.get(view.key, 0), view.key)):
                if over <= 0:
                    break
                if view.key in least and _can_be_cut(view):
                    cut[view.key] = node.id
                    over -= least[view.key]
    return cut


def _least(view: View, phase: int) -> float:
    """What flows there if it is told to take no more than its fallback."""
    if not view.counts:
        return 0.0
    if view.is_claim and view.memory.disobedience.since is None:
        return view.fallback_a
    return view.hold_a[view.phases.index(phase)]


def _can_be_cut(view: View) -> bool:
    return view.is_claim and view.spec.pausable and view.memory.disobedience.since is None


def alarms_of(
    tree: SiteTree,
    views: Iterable[View],
    backgrounds: Sequence[Background],
    overloads: Mapping[str, Overload],
    *,
    metered: Mapping[str, Metered],
    now: float,
) -> Iterator[Alarm]:
    for node, background in zip(tree.circuits, backgrounds, strict=True):
        if node.metered and background.rung is Rung.BLIND:
            is_doubted = node.id in metered and metered[node.id].doubt.rung(now) is Rung.BLIND
            yield Alarm(AlarmKind.METER_DOUBTED if is_doubted else AlarmKind.METER_BLIND, node.id)
        if any(now > worst + BACKGROUND_OVER_A for now, worst in zip(background.now, background.worst, strict=True)):
            yield Alarm(AlarmKind.BACKGROUND, node.id)
        if overloads.get(node.id, Overload()).shed:
            yield Alarm(AlarmKind.OVERLOAD, node.id)
    for view in views:
        if view.memory.disobedience.remedy is not None:
            yield Alarm(AlarmKind.DISOBEDIENT, str(view.key), view.memory.disobedience.remedy)
        if view.memory.seen.asleep:
            yield Alarm(AlarmKind.SLEEPY, str(view.key))


def changes_ahead(
    facts: SiteFacts,
    views: Iterable[View],
    overloads: Mapping[str, Overload],
    metered: Mapping[str, Metered],
    now: float,
) -> Iterator[float]:
    """Moments at which what is known means something else, even if nothing new comes."""
    for reading in facts.readings.values():
        yield next_rung_at(reading, now)
    for one in metered.values():
        yield one.doubt.until
    for overload in overloads.values():
        if overload.shed:
            yield overload.until
    for view in views:
        for sent in view.memory.book:
            if sent.accepted is not None:
                yield sent.accepted + view.spec.latency_s
            elif not sent.given_up:
                yield sent.at + ANSWER_S
            if sent.ends is not None:
                yield sent.ends
