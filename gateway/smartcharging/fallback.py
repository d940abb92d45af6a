"""Fallback currents: what each connector may draw with the gateway dead for good (D9's static invariant).

Worst background + sum of all fallbacks <= limit, on every circuit and phase. 0 A is a legal fallback, and the only one
that needs no reserve.
"""

from collections.abc import Iterable, Sequence
from math import ceil
from typing import NamedTuple

from gateway.model.site_tree import CircuitNode, ConnectorKey, ConnectorSpec
from gateway.smartcharging.circuits import SiteTree, compile_tree

EPSILON_A = 1e-6


class Failure(NamedTuple):
    """A sum that exceeds its limit, or cannot be known. `phase`: 1 to 3, 0 for all."""

    circuit: str
    phase: int
    text: str


class Choice(NamedTuple):
    """The tree with every connector's fallback, and why it is not safe; without failures the static invariant holds."""

    tree: SiteTree
    failures: tuple[Failure, ...]


def choose(circuits: Iterable[CircuitNode], connectors: Sequence[ConnectorSpec]) -> Choice:
    """Give every connector its minimum; where not all fit, some, and the rest 0 A.

    Fallbacks that an installer asked for are kept as they are, and who does not obey 0 A has its minimum; then higher
    classes go first, then the order given.
    A fallback flows whatever is written, so that those who have one never make room for those who have none: no more
    get one than leaves the others a turn as soon as if nobody had. Raise ValueError if the circuits are no tree.
    """
    bare = compile_tree(circuits, connectors, {spec.key: 0.0 for spec in connectors})
    used = [load for worst in bare.worst for load in worst]
    chosen: dict[ConnectorKey, float] = {}
    for spec in sorted(bare.connectors, key=lambda spec: (spec.fallback_a is None and spec.pausable, -spec.rank)):
        wanted = spec.min_a if spec.fallback_a is None else spec.fallback_a
        rows = bare.rows(spec.circuit, spec.phases)
        is_free = spec.fallback_a is None and spec.pausable
        if is_free and any(used[row] + wanted > bare.limit(row) + EPSILON_A for row in rows):
            wanted = 0.0
        chosen[spec.key] = wanted
        for row in rows:
            used[row] += wanted
    _leave_turns(bare, chosen)
    tree = bare.with_fallbacks(chosen)
    return Choice(tree, prove(tree))


def _leave_turns(tree: SiteTree, chosen: dict[ConnectorKey, float]) -> None:
    """Take fallbacks back, the last given first, until on every circuit and phase turns come round in time."""
    for index in range(len(tree.circuits)):
        for phase in range(3):
            here = [key for key in chosen if key in tree.below[index] and phase in tree.specs[key].phases]
            free = [key for key in here if tree.specs[key].fallback_a is None and tree.specs[key].pausable]
            room = tree.circuits[index].limit_a[phase] - tree.worst[index][phase]
            for key in reversed(free):
                if _turns_come(tree, chosen, here, room):
                    break
                chosen[key] = 0.0


def _turns_come(tree: SiteTree, chosen: dict[ConnectorKey, float], here: list[ConnectorKey], room: float) -> bool:
    """Whether those without a fallback wait no more rounds than n / k, with n connectors here and room for k."""
    without = [key for key in here if chosen[key] == 0]
    if not without:
        return True
    least = max(tree.specs[key].min_a for key in here)
    fit = int((room + EPSILON_A) / least)
    left = int((room - sum(chosen[key] for key in here) + EPSILON_A) / least)
    return fit == 0 or (left > 0 and ceil(len(without) / left) <= ceil(len(here) / fit))


def prove(tree: SiteTree) -> tuple[Failure, ...]:
    """Every circuit and phase on which the static invariant does not hold, each as the sum that fails."""
    failures = [
        Failure(node.id, 0, f"circuit {node.id}: it has other loads of unknown size, so it needs a meter")
        for node in tree.circuits
        if node.background_a is None and not node.metered
    ]
    for index, node in enumerate(tree.circuits):
        for phase in range(3):
            worst = tree.worst[index][phase]
            held = [
                tree.fallback_a[key]
                for key in tree.below[index]
                if phase in tree.specs[key].phases and tree.fallback_a[key] > 0
            ]
            if worst + sum(held) > node.limit_a[phase] + EPSILON_A:
                failures.append(Failure(node.id, phase + 1, _sum_that_fails(node, phase, worst, held)))
    return tuple(failures)


def _sum_that_fails(node: CircuitNode, phase: int, worst: float, held: list[float]) -> str:
    groups = [f"{held.count(amps)} x {amps:g} A" for amps in sorted(set(held), reverse=True)]
    parts = [f"worst background {worst:g} A", *(f"fallbacks {group}" for group in groups)]
    total = f"{' + '.join(parts)} = {worst + sum(held):g} A"
    return f"circuit {node.id}, L{phase + 1}: {total}, but its limit is {node.limit_a[phase]:g} A"
