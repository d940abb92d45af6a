"""Who gets in: below its minimum a car charges not at all, so when not all minima fit, somebody waits.

In the order of the claims each gets its minimum while every row holds it. Then the ones left out look for a way in:
on one phase instead of three, themselves or another; or for one that is in, pays less for the same rows and can wait.
"""

from collections.abc import Sequence

from gateway.smartcharging.claims import EPSILON_A, Claim, Walls


def admit(claims: Sequence[Claim], walls: Walls) -> tuple[list[Claim], list[float], dict[int, int]]:
    """Return the claims (some on one phase now), the floor of each (0: not in), and for each one left out the row.

    `walls.used` afterwards bears the fallbacks of all and the floors of those let in.
    """
    claims = list(claims)
    floors = [0.0] * len(claims)
    for claim in claims:
        walls.add(claim.loads, claim.base_a)
    out: dict[int, int] = {}
    order = sorted(range(len(claims)), key=lambda i: claims[i].order)
    _insert(claims, order, floors, walls, out)
    if out and walls.imbalances and widen(walls):
        _insert(claims, [i for i in order if i in out], floors, walls, out)
    if out:
        _on_one_phase(claims, order, floors, walls, out)
    return claims, floors, out


def _insert(
    claims: Sequence[Claim], order: Sequence[int], floors: list[float], walls: Walls, out: dict[int, int]
) -> None:
    for i in order:
        claim = claims[i]
        if claim.cap_a < claim.min_a - EPSILON_A:
            continue
        blocked = -1
        for floor in _floors(claim):
            blocked = _blocking(claim, floor, walls)
            if blocked < 0:
                _enter(claim, floor, walls)
                floors[i] = floor
                out.pop(i, None)
                break
        if blocked >= 0:
            out[i] = blocked


def _floors(claim: Claim) -> tuple[float, ...]:
    """Its fallback costs nothing that was not spent: begin there, unless a cap on all current is too tight."""
    free = min(claim.base_a, claim.cap_a)
    return (free, claim.min_a) if free > claim.min_a + EPSILON_A else (claim.min_a,)


def _blocking(claim: Claim, floor: float, walls: Walls) -> int:
    blocked = walls.blocking(claim.loads, floor - claim.base_a) if floor > claim.base_a else -1
    return walls.blocking(claim.caps, floor) if blocked < 0 and claim.caps else blocked


def _enter(claim: Claim, floor: float, walls: Walls, sign: int = 1) -> None:
    if floor > claim.base_a:
        walls.add(claim.loads, sign * (floor - claim.base_a))
    if claim.caps:
        walls.add(claim.caps, sign * floor)


def _leave(claim: Claim, floor: float, walls: Walls) -> None:
    _enter(claim, floor, walls, -1)


def widen(walls: Walls) -> bool:
    """Let each phase carry as much more as the least loaded one carries already. True if that made room."""
    wider = False
    for rows, limit in walls.imbalances:
        least = min(abs(walls.used[row]) for row in rows)
        for row in rows:
            if walls.capacity[row] < limit + least - EPSILON_A:
                walls.capacity[row] = limit + least
                wider = True
    return wider


def _on_one_phase(
    claims: list[Claim], order: Sequence[int], floors: list[float], walls: Walls, out: dict[int, int]
) -> None:
    """Let one left out in on one phase; or put one that is in, later in the order, on one phase to make room."""
    for i in [i for i in order if i in out]:
        lean = as_lean(claims[i])
        if lean is not None and _blocking(lean, lean.min_a, walls) < 0:
            claims[i] = lean
            _enter(lean, lean.min_a, walls)
            floors[i] = lean.min_a
            del out[i]
            continue
        for other in reversed(order):
            thinner = as_lean(claims[other]) if floors[other] and claims[other].rank <= claims[i].rank else None
            if thinner is None or claims[other].pinned:
                continue
            _leave(claims[other], floors[other], walls)
            _enter(thinner, thinner.min_a, walls)
            if _blocking(claims[i], claims[i].min_a, walls) < 0:
                claims[other], floors[other] = thinner, thinner.min_a
                _enter(claims[i], claims[i].min_a, walls)
                floors[i] = claims[i].min_a
                del out[i]
                break
            _leave(thinner, thinner.min_a, walls)
            _enter(claims[other], floors[other], walls)


def as_lean(claim: Claim) -> Claim | None:
    """The claim on one phase, None if it is or can't be. Its fallback goes on counting on all phases."""
    if claim.lean is None or claim.phases == 1:
        return None
    return claim._replace(loads=claim.lean, caps=claim.lean_caps, phases=1)
