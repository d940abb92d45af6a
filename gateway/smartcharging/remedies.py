"""What is done about stations that draw more than they may: how soon, and what they get no more meanwhile.

The ladder goes as fast as the breaker asks for: its pace is that of the fullest circuit above the station.
"""

from collections.abc import Mapping, Sequence
from math import inf

from gateway.model.balance import Background, Rung, SiteFacts
from gateway.model.site_tree import NO_AMPS, ConnectorKey
from gateway.smartcharging.circuits import SiteTree
from gateway.smartcharging.ladder import REMEDY_EVERY_S, part_of
from gateway.smartcharging.survey import View


def loads_of(tree: SiteTree, facts: SiteFacts, views: Sequence[View], backgrounds: Sequence[Background]) -> list[float]:
    """What every row of the tree bears, as a part of its limit: by its meter or by what stations say, if more."""
    sums = [amps for background in backgrounds for amps in background.now]
    for view in views:
        if view.facts.transaction is None:
            continue
        measured = view.facts.measured_a or NO_AMPS
        for own, phase in enumerate(view.phases):
            drawn = min(measured[phase], view.hold_a[own])
            for row in tree.rows(view.spec.circuit, (phase,)):
                sums[row] += drawn
    for index, node in enumerate(tree.circuits):
        reading = facts.readings.get(node.id)
        if node.metered and reading is not None and backgrounds[index].rung <= Rung.LATE:
            for phase in range(3):
                sums[3 * index + phase] = max(sums[3 * index + phase], reading.current_a[phase])
    return [part_of(amps, tree.limit(row)) for row, amps in enumerate(sums)]


def remedied(
    tree: SiteTree, facts: SiteFacts, views: list[View], backgrounds: Sequence[Background], now: float
) -> tuple[list[View], Mapping[ConnectorKey, str], float]:
    """The views with the remedies whose time has come; which of them get no more, and because of which circuit; when
    to look again."""
    odd = [i for i, view in enumerate(views) if view.memory.disobedience.since is not None]
    if not odd:
        return views, {}, inf
    loads, result = loads_of(tree, facts, views, backgrounds), list(views)
    stopped_short, again_at = {}, inf
    for i in odd:
        view, disobedience = views[i], views[i].memory.disobedience
        rows = tree.rows(view.spec.circuit, view.spec.phases)
        fullest = max(rows, key=lambda row: loads[row])
        if loads[fullest] > 1.0:
            stopped_short[view.key] = tree.circuits[fullest // 3].id
        due = disobedience.due_at(loads[fullest])
        if now >= due and (not disobedience.next_is_stop or _knows_of_zero(view, now)):
            disobedience = disobedience.stepped(now, loads[fullest])
            result[i] = view._replace(memory=view.memory._replace(disobedience=disobedience))
            due = disobedience.due_at(loads[fullest])
        if due <= now:  # it waits for a reading, or for the usual time
            due = disobedience.stepped_at + REMEDY_EVERY_S
        again_at = min(again_at, due if due > now else inf)
    return result, stopped_short, again_at


def _knows_of_zero(view: View, now: float) -> bool:
    """Whether its reading is from after it was told 0 A, and had time to obey. Where that can't be known (it refuses,
    it does not answer), the usual time has to pass."""
    memory = view.memory
    if view.facts.measured_at < memory.lowered_at:
        return False
    told = memory.book[-1] if memory.book else None
    is_settled = told is not None and told.amps == 0 and len(memory.book) == 1 and told.accepted is not None
    zero_at = memory.disobedience.stepped_at
    return (is_settled and view.facts.measured_at >= zero_at) or now - zero_at >= REMEDY_EVERY_S
