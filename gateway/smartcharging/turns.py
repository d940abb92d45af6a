"""Whose turn it is when not every car can have its minimum: deficit round robin.

A car that is let in keeps its place for a quantum. Those that wait come first, the longest wait before all, so that of
n alike cars of which k fit nobody waits more than ceil(n/k) - 1 quanta. Among cars that wait alike, and among those
whose quantum is over, the one that received least compared to its entitlement (in Ah) goes first.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gateway.model.site_tree import ConnectorKey

MOST_DEFICIT_AH = 60.0
WAIT_GRAIN_S = 10.0
"""Waits that differ by less are alike."""


class Turn(NamedTuple):
    """`since`: when it was let in, or put out (`is_in`). `deficit_ah`: entitlement less what it received."""

    is_in: bool
    since: float
    deficit_ah: float = 0.0


class Received(NamedTuple):
    """What a contender draws per phase, and what it is entitled to in comparison with the others."""

    key: ConnectorKey
    amps: float
    weight: float


def order_of(
    turn: Turn, *, now: float, rank: int, is_pinned: bool, quantum_s: float, urgency: float | None = None
) -> tuple[float, ...]:
    """Sort key, the least first. `urgency`, where known, goes before waiting and deficit."""
    age = now - turn.since
    if is_pinned:
        return (0.0, -rank, 0.0, -turn.deficit_ah)
    if turn.is_in and age < quantum_s:
        return (1.0, -rank, 0.0, -turn.deficit_ah)
    if urgency is not None:
        return (1.0, -rank, 1.0, -urgency, -turn.deficit_ah)
    if not turn.is_in:
        return (1.0, -rank, 1.0, -int(age / WAIT_GRAIN_S), -turn.deficit_ah)
    return (1.0, -rank, 2.0, -turn.deficit_ah)


def moved(turn: Turn | None, is_in: bool, now: float) -> Turn:
    """The turn after a decision. A car that has just come waits from now on."""
    if turn is None:
        return Turn(is_in, now)
    return turn if turn.is_in == is_in else turn._replace(is_in=is_in, since=now)


def accrued(
    turns: Mapping[ConnectorKey, Turn], received: Iterable[Received], elapsed_s: float
) -> dict[ConnectorKey, Turn]:
    """Book what was received: together the contenders are entitled to what all of them had, by weight."""
    contenders = [one for one in received if one.key in turns]
    weights = sum(one.weight for one in contenders)
    result = dict(turns)
    if weights <= 0 or elapsed_s <= 0:
        return result
    rate = sum(one.amps for one in contenders) / weights
    hours = elapsed_s / 3600
    for one in contenders:
        turn = turns[one.key]
        deficit = turn.deficit_ah + (one.weight * rate - one.amps) * hours
        bounded = min(max(deficit, -MOST_DEFICIT_AH), MOST_DEFICIT_AH)
        result[one.key] = Turn(turn.is_in, turn.since, bounded)
    return result
