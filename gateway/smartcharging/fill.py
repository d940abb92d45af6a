"""Weighted max-min by water-filling: one level rises, every claim stands at weight x level between its floor and its
cap, and stays where it is when a wall stops it.

Exact and deterministic. For each row the level at which it is full is found by walking the levels at which its claims
leave their floors and reach their caps. The row that is full first freezes its claims there; the others can only be
full later then, so they are looked at again no sooner than their turn comes. (In a delta network they can be full
sooner: there they are looked at again at once.)
"""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from math import inf

from gateway.smartcharging.claims import EPSILON_A, Claim, Load, Walls, distance

Bend = tuple[float, int, Load]
"""A level, the claim that begins or ends to rise there, and by how much that changes the slope of a row's load."""


def fill(
    claims: Sequence[Claim], members: Sequence[int], amps: list[float], caps: Sequence[float], walls: Walls
) -> None:
    """Raise `amps` of the members as far as the walls and `caps` allow; what they have now is their floor."""
    rising = {i for i in members if amps[i] < caps[i] - EPSILON_A}
    bends = _bends(claims, rising, amps, caps, walls)
    full_at = [(_full_at(row, bends[row], rising, walls), row) for row in bends]
    queue = [entry for entry in full_at if entry[0] < inf]
    heapify(queue)
    changed: set[int] = set()
    while queue:
        level, row = heappop(queue)
        if row in changed:
            changed.discard(row)
            if (again := _full_at(row, bends[row], rising, walls)) < inf:
                heappush(queue, (again, row))
            continue
        for _level, i, _change in bends[row]:
            if i in rising:
                rising.remove(i)
                _rise(claims[i], i, min(max(level * claims[i].weight, amps[i]), caps[i]), amps, walls)
                changed.update([row for row, _load in claims[i].loads if row in bends])
                if claims[i].caps:
                    changed.update([row for row, _load in claims[i].caps if row in bends])
        if walls.is_delta:
            queue = [(at, other) for other in bends if (at := _full_at(other, bends[other], rising, walls)) < inf]
            heapify(queue)
            changed.clear()
    for i in rising:
        _rise(claims[i], i, caps[i], amps, walls)


def _rise(claim: Claim, i: int, to: float, amps: list[float], walls: Walls) -> None:
    gain, used = to - amps[i], walls.used
    amps[i] = to
    for row, load in claim.loads:
        used[row] += load * gain
    for row, load in claim.caps:
        used[row] += load * gain


def _bends(
    claims: Sequence[Claim], rising: set[int], amps: Sequence[float], caps: Sequence[float], walls: Walls
) -> dict[int, list[Bend]]:
    """The bends of every row that can be full at all, in the order of their levels."""
    most = list(walls.used)
    events: list[tuple[float, int, float]] = []
    for i in rising:
        claim, floor, cap = claims[i], amps[i], caps[i]
        for row, load in claim.loads:
            most[row] += load * (cap - floor)
        for row, load in claim.caps:
            most[row] += load * (cap - floor)
        weight = claim.weight
        events.append((floor / weight, i, weight))
        events.append((cap / weight, i, -weight))
    events.sort()
    is_delta = walls.is_delta
    can_be_full = [is_delta or size > limit + EPSILON_A for size, limit in zip(most, walls.capacity, strict=True)]
    bends: dict[int, list[Bend]] = {row: [] for row, can in enumerate(can_be_full) if can}
    for event in events:
        level, i, change = event
        for row, load in claims[i].loads:
            if can_be_full[row]:
                bends[row].append(event if load == 1.0 else (level, i, change * load))
        for row, load in claims[i].caps:
            if can_be_full[row]:
                bends[row].append((level, i, change * load))
    return bends


def _full_at(row: int, bends: Sequence[Bend], rising: set[int], walls: Walls) -> float:
    """The level at which the row is full if nothing else stops its claims; inf if it never is."""
    capacity, load, level = walls.capacity[row], walls.used[row], 0.0
    slope: Load = 0.0
    delta = walls.is_delta
    for at, who, change in bends:
        if who not in rising:
            continue
        if slope:
            if delta:
                step = distance(load, slope, capacity)
                if step <= at - level + EPSILON_A / 1000:
                    return level + max(step, 0.0)
            elif load + slope * (at - level) > capacity + EPSILON_A / 1000:
                return float(level + max((capacity - load) / slope, 0.0))
            load += slope * (at - level)
        level = at
        slope += change
    return inf
