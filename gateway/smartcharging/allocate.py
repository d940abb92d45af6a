"""Who gets how much, and why not more: admission, weighted max-min water-filling, then down to the set-points.

Reserves are gone from the walls before this begins. A value between 0 and the minimum becomes 0. Classes are served
one after the other, but every class has its minima before a higher one takes more than that.
"""

from collections.abc import Sequence

from gateway.model.site_tree import Binding, Why
from gateway.smartcharging.admission import admit, widen
from gateway.smartcharging.claims import EPSILON_A, Claim, Planned, Walls, step_down, step_up
from gateway.smartcharging.fill import fill

WIDENINGS = 3


def allocate(claims: Sequence[Claim], walls: Walls) -> list[Planned]:
    """Share what the walls leave. `walls.used` bears the result afterwards."""
    claims, amps, out = admit(claims, walls)
    members = [i for i, floor in enumerate(amps) if floor > 0]
    floors = list(amps)
    _fill(claims, members, amps, [min(claim.cap_a, max(claim.soft_a, claim.min_a)) for claim in claims], walls)
    if any(claim.soft_a < claim.cap_a for claim in claims):
        _fill(claims, members, amps, [claim.cap_a for claim in claims], walls)
    wanted = list(amps)
    _quantise(claims, members, floors, amps, walls)
    blocked = _spend_crumbs(claims, members, wanted, amps, walls)
    return [_planned(claim, amps[i], out.get(i), blocked.get(i), walls) for i, claim in enumerate(claims)]


def _fill(
    claims: Sequence[Claim], members: Sequence[int], amps: list[float], caps: Sequence[float], walls: Walls
) -> None:
    ranks = sorted({claims[i].rank for i in members}, reverse=True)
    for _ in range(1 + (WIDENINGS if walls.imbalances else 0)):
        for rank in ranks:
            fill(claims, [i for i in members if claims[i].rank == rank], amps, caps, walls)
        if not widen(walls):
            break


def _quantise(
    claims: Sequence[Claim], members: Sequence[int], floors: Sequence[float], amps: list[float], walls: Walls
) -> None:
    """Round down, but never below what admission gave."""
    for i in members:
        rounded = max(step_down(claims[i], amps[i]), floors[i])
        if rounded != amps[i]:
            _add(claims[i], rounded - amps[i], walls)
            amps[i] = rounded


def _spend_crumbs(
    claims: Sequence[Claim], members: Sequence[int], wanted: Sequence[float], amps: list[float], walls: Walls
) -> dict[int, int]:
    """A step more for those that rounding cost most, then all that fits. Return which row blocks whom."""
    blocked: dict[int, int] = {}
    fed = []
    for i in sorted(members, key=lambda i: (-claims[i].rank, amps[i] - wanted[i], -claims[i].weight)):
        higher = step_up(claims[i], amps[i])
        if higher > claims[i].cap_a + EPSILON_A:
            continue
        row = _blocking(claims[i], higher - amps[i], walls)
        if row >= 0:
            blocked[i] = row
            continue
        _add(claims[i], higher - amps[i], walls)
        amps[i] = higher
        fed.append(i)
    for i in members if walls.is_delta else fed:
        claim = claims[i]
        most = step_down(claim, min(claim.cap_a, amps[i] + min(walls.room(claim.loads), walls.room(claim.caps))))
        if most > amps[i]:
            _add(claim, most - amps[i], walls)
            amps[i] = most
        higher = step_up(claim, amps[i])
        if higher <= claim.cap_a + EPSILON_A and (row := _blocking(claim, higher - amps[i], walls)) >= 0:
            blocked[i] = row
    return blocked


def _planned(claim: Claim, amps: float, left_out: int | None, blocked: int | None, walls: Walls) -> Planned:
    """Name what keeps the claim from its next step."""
    if left_out is not None:
        row = walls.why[left_out]
        return Planned(0.0, claim.phases, Why(Binding.TURN, row.circuit, row.phase))
    if blocked is not None:
        return Planned(amps, claim.phases, walls.why[blocked])
    if amps == 0 and claim.cap_a > 0:
        return Planned(amps, claim.phases, Why(Binding.MINIMUM, claim.cap_why.binding))
    return Planned(amps, claim.phases, claim.cap_why)


def _blocking(claim: Claim, amps: float, walls: Walls) -> int:
    blocked = walls.blocking(claim.loads, amps)
    return walls.blocking(claim.caps, amps) if blocked < 0 and claim.caps else blocked


def _add(claim: Claim, amps: float, walls: Walls) -> None:
    walls.add(claim.loads, amps)
    if claim.caps:
        walls.add(claim.caps, amps)
