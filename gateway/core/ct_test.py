"""Which phase of a meter moves, and which way, when a car is switched on and off. Says so only if it is sure.

Each switching gives a step on every phase: the level after it less the level before. Other loads disturb steps, at
any size and mostly not all. So each step is taken as the car's (normal around its amperes, or around nothing on a
phase it is not on) or as disturbed (a broad distribution). All combinations of phases and directions are weighed
against one another, with the car's amperes unknown but the same in all steps: what is coincidence does not repeat.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise, product
from typing import Final

from gateway.model.metering import Phases

_DISTURBED: Final = (0.07, 0.35, 0.6)
"""Share of steps that other loads are expected to disturb: the least, if nothing is known, and the most."""
_ALIKE: Final = (0.02, 0.1, 0.4)
"""Share of steps that another load of the car's size disturbs, likewise: a car, or what comes and goes by itself."""
_SPREAD_A: Final = 8.0
"""How large disturbances of any size are."""
_FARTHEST_A: Final = 200.0
_FLOOR_A: Final = 0.2
_WOBBLE: Final = 0.04
"""A car's own current varies by this part."""
_CERTAIN: Final = math.log(1e7)
"""Odds of the best against all others together..."""
_NO_MORE: Final = math.log(3000)
"""... and against a car on the same phase and another one, too: the person was told to take one of one phase."""
_AGREEING: Final = 5
"""So many steps have to show it, both up and down."""
_SHARE: Final = 0.4
_NOISY: Final = 1 / 3
"""Noise above this part of the car's current hides it."""
_ALIGNED: Final = 0.75
_REACTIVE: Final = 0.5
"""Of a step in active current: what the magnitude has to grow less than by, and the reactive part change less than.
Beside the volts of another phase a car's step is half active and 0.87 reactive."""
_WEAK: Final = 0.88
"""A step below this part of the least amperes is not the whole car's."""
_GRID: Final = 18
STATES: Final = tuple(product((0, 1, -1), repeat=3))
"""Of L1, L2, L3: does not move, moves with the car, moves against it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading. `directed_a`: active power by volts, or a current with a sign; `size_a`: the current's magnitude."""

    at: float
    directed_a: Phases
    size_a: Phases = (None, None, None)


@dataclass(frozen=True, slots=True)
class Level:
    """Readings while the car surely drew its current, or surely none. The longer, the better others are known."""

    is_on: bool
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """What is known beforehand: the car's amperes, the least step of the meter's, which phases it measures."""

    amps: tuple[float, float] = (6.0, 10.0)
    resolution_a: float = 0.01
    take: int = 5
    """Readings of each level, next to the switching."""


class Outcome(StrEnum):
    ONE = "one"
    """One phase moved: the answer."""
    THREE = "three"
    """A car on three phases: directions are known, the order is not."""
    TWO = "two"
    NOTHING = "nothing"
    UNSURE = "unsure"
    NOISY = "noisy"
    CROSSED = "crossed"
    """The volts beside the current that moved are another phase's."""
    WEAK = "weak"
    """Something moved, by less than the car draws."""
    BLIND = "blind"
    """The meter gives no directions."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`moved`: phase as the meter tells it now, from 0 -> +1 with the car, -1 against it."""

    outcome: Outcome
    moved: Mapping[int, int]
    amps: float | None
    odds: float
    """Natural logarithm: this against everything else."""
    steps: int
    agreeing: int
    """Steps that show it undisturbed."""

    @property
    def is_sure(self) -> bool:
        return self.outcome in (Outcome.ONE, Outcome.THREE)


def judge(levels: Sequence[Level], rules: Rules) -> Finding:
    """Of levels in the order of time, on and off by turns."""
    pairs = [(before, after) for before, after in pairwise(levels) if before.is_on is not after.is_on]
    steps = [(after.is_on, _step(before, after, rules.take)) for before, after in pairs]
    phases = [phase for phase in range(3) if all(step[phase] is not None for _, step in steps)]
    if not steps or not phases:
        return Finding(Outcome.BLIND, {}, None, 0.0, len(steps), 0)
    moves = {phase: [value for _, step in steps if (value := step[phase]) is not None] for phase in phases}
    noise = {phase: _noise(levels, phase, rules) for phase in phases}
    if min(noise.values()) > _NOISY * rules.amps[0]:
        return Finding(Outcome.NOISY, {}, None, 0.0, len(steps), 0)
    disturbed = {phase: _disturbed(levels, phase, noise[phase], rules) for phase in phases}
    state, amps, odds = _weighed(moves, noise, disturbed, rules.amps)
    moved = {phase: sign for phase, sign in enumerate(state) if sign}
    agrees = [
        all(abs(moves[phase][i] - sign * amps) <= _near(noise[phase], amps) for phase, sign in moved.items())
        for i in range(len(steps))
    ]
    ups = sum(is_on and agree for (is_on, _), agree in zip(steps, agrees, strict=True))
    downs = sum(agrees) - ups
    outcome = _outcome(len(moved), odds, min(ups, downs), sum(agrees), len(steps))
    if outcome in (Outcome.ONE, Outcome.THREE):
        shown = [pair for pair, agree in zip(pairs, agrees, strict=True) if agree]
        sizes = [abs(moves[phase][i]) for phase in moved for i, agree in enumerate(agrees) if agree]
        if statistics.median(sizes) < _WEAK * rules.amps[0]:
            outcome = Outcome.WEAK
        elif any(_is_crossed(shown, phase, noise[phase], rules) for phase in moved):
            outcome = Outcome.CROSSED
    return Finding(outcome, moved, amps if moved else None, odds, len(steps), sum(agrees))


def _outcome(moved: int, odds: float, both_ways: int, agreeing: int, steps: int) -> Outcome:
    if odds < _CERTAIN:
        return Outcome.UNSURE
    if moved == 0:
        return Outcome.NOTHING
    if both_ways < 2 or agreeing < _AGREEING or agreeing < _SHARE * steps:
        return Outcome.UNSURE
    return {1: Outcome.ONE, 2: Outcome.TWO, 3: Outcome.THREE}[moved]


def _step(before: Level, after: Level, take: int) -> Phases:
    """The car's step on each phase: positive with the car."""
    old, new = before.samples[-take:], after.samples[:take]
    one, two, three = (_change([s.directed_a[i] for s in old], [s.directed_a[i] for s in new]) for i in range(3))
    sign = 1.0 if after.is_on else -1.0
    return (
        None if one is None else sign * one,
        None if two is None else sign * two,
        None if three is None else sign * three,
    )


def _change(old: Sequence[float | None], new: Sequence[float | None]) -> float | None:
    before, after = ([value for value in values if value is not None] for values in (old, new))
    return statistics.median(after) - statistics.median(before) if before and after else None


def _noise(levels: Sequence[Level], phase: int, rules: Rules) -> float:
    """Of one step, without disturbances: a standard deviation in A."""
    apart = []
    for level in levels:
        for some in (level.samples[: rules.take], level.samples[-rules.take :]):
            values = [value for sample in some if (value := sample.directed_a[phase]) is not None]
            if values:
                middle = statistics.median(values)
                apart += [abs(value - middle) for value in values]
    spread = 1.4826 * statistics.median(apart) if apart else 0.0
    return _FLOOR_A + 0.4 * rules.resolution_a + 1.77 * spread / math.sqrt(rules.take)


def _near(noise: float, amps: float) -> float:
    return 3 * (noise + _WOBBLE * amps)


def _disturbed(levels: Sequence[Level], phase: int, noise: float, rules: Rules) -> tuple[float, float]:
    """How many steps other loads change on this phase, at all and by a car's size: as seen while nobody switched."""
    take = rules.take
    # A step reaches from the last readings of a level to the first of the next.
    gap_s = statistics.fmean(b.samples[:take][-1].at - a.samples[-take:][0].at for a, b in pairwise(levels))
    watched_s, changes = 0.0, []
    for level in levels:
        first, last = level.samples[:take], level.samples[-take:]
        change = _change([s.directed_a[phase] for s in first], [s.directed_a[phase] for s in last])
        if change is not None and len(level.samples) >= 2 * take:
            changes.append(abs(change))
            watched_s += last[-1].at - first[0].at
    some = sum(change > 3 * noise for change in changes)
    large = sum(change > max(3 * noise, 0.5 * rules.amps[0]) for change in changes)
    return _rate(some, watched_s / max(gap_s, 1.0), _DISTURBED), _rate(large, watched_s / max(gap_s, 1.0), _ALIKE)


def _rate(seen: int, watched: float, bounds: tuple[float, float, float]) -> float:
    """`watched`: for how many steps' time."""
    least, unknown, most = bounds
    return min(most, max(least, (seen + 2 * unknown) / (watched + 2)))


def _weighed(
    moves: Mapping[int, Sequence[float]],
    noise: Mapping[int, float],
    disturbed: Mapping[int, tuple[float, float]],
    amps: tuple[float, float],
) -> tuple[tuple[int, ...], float, float]:
    """The best state, its amperes, and its logarithmic odds against all others."""
    low, high = 0.7 * amps[0], 1.15 * amps[1]
    grid = [low * (high / low) ** (i / (_GRID - 1)) for i in range(_GRID)]
    likely = {
        (phase, sign): [_log_likelihood(xs, sign, a, noise[phase], disturbed[phase]) for a in grid]
        for phase, xs in moves.items()
        for sign in (0, 1, -1)
    }
    scores: dict[tuple[int, ...], tuple[float, float]] = {}
    for state in STATES:
        if all(not sign or phase in moves for phase, sign in enumerate(state)):
            by_amps = [sum(likely[phase, state[phase]][i] for phase in moves) for i in range(_GRID)]
            best = max(range(_GRID), key=by_amps.__getitem__)
            scores[state] = _log_sum(by_amps), grid[best]
    winner = max(scores, key=lambda state: scores[state][0])
    more = [score for state, (score, _) in scores.items() if state != winner and _has_all(state, winner)]
    others = [score for state, (score, _) in scores.items() if state != winner and not _has_all(state, winner)]
    top, at = scores[winner]
    odds = min(top - _log_sum(others), top - _log_sum(more) + _CERTAIN - _NO_MORE if more else math.inf)
    return winner, at, odds


def _has_all(state: Sequence[int], least: Sequence[int]) -> bool:
    """Whether all that moves in one moves in the other, too, and in at least one phase."""
    return any(least) and all(sign in (0, state[phase]) for phase, sign in enumerate(least))


def _log_likelihood(xs: Sequence[float], sign: int, amps: float, noise: float, disturbed: tuple[float, float]) -> float:
    """Of steps with the car's part in them: clean, disturbed by anything, or by what is like the car."""
    deviation = noise + _WOBBLE * amps if sign else noise
    anything, alike = disturbed
    top = 1 / (deviation * math.sqrt(2 * math.pi))
    clean, like, broad = (1 - max(anything, alike)) * top, 0.5 * alike * top, anything / (2 * _SPREAD_A)
    total = 0.0
    for x in xs:
        rest = x - sign * amps
        near = clean * _bell(rest / deviation) + like * _bell((abs(rest) - amps) / deviation)
        total += math.log(near + broad * math.exp(-min(abs(rest), _FARTHEST_A) / _SPREAD_A))
    return total


def _bell(z: float) -> float:
    return math.exp(-0.5 * z * z) if abs(z) < 8 else 0.0


def _log_sum(values: Sequence[float]) -> float:
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values))


def _is_crossed(pairs: Sequence[tuple[Level, Level]], phase: int, noise: float, rules: Rules) -> bool:
    """Whether the volts beside the current are another phase's: the car, all active, then changes reactive current."""
    told = [_turns(before, after, phase, noise, rules) for before, after in pairs]
    known = [one for one in told if one is not None]
    return sum(known) * 2 > len(known)


def _turns(before: Level, after: Level, phase: int, noise: float, rules: Rules) -> bool | None:
    """None: the meter tells no magnitude beside the direction."""
    levels = []
    for some in (before.samples[-rules.take :], after.samples[: rules.take]):
        active = [value for sample in some if (value := sample.directed_a[phase]) is not None]
        size = [value for sample in some if (value := sample.size_a[phase]) is not None]
        if not active or not size:
            return None
        levels.append((statistics.median(active), statistics.median(size)))
    (old, old_size), (new, new_size) = levels
    # What the reactive part may be, with noise and rounding, on either side.
    reactive = [
        (size * size - active * active, 2 * max(size, abs(active)) * (noise + rules.resolution_a))
        for active, size in levels
    ]
    (low, least), (high, most) = sorted(reactive)
    apart = math.sqrt(max(0.0, high - most)) - math.sqrt(max(0.0, low + least))
    step, grown = abs(new - old), abs(new_size - old_size) - noise - rules.resolution_a
    return apart > _REACTIVE * step or grown * _ALIGNED > step
