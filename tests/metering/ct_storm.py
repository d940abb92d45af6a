"""All 48 wirings of a meter in many random buildings. `python -m tests.metering.ct_storm --seeds N`

An answer has to be right; "can't tell" is allowed, and counted. Exit status 1 after a wrong answer, or if more than one
trap in 300 is walked into: those have a fault of the person's in them already.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from gateway.core.ct_test import Finding, Level, Outcome, Rules, judge
from gateway.core.ct_wiring import ORDERS, Now, PhaseTest, corrections, wiring
from gateway.metering.ct_run import Pace
from tests.metering.ct_plant import Car, Plant, random_plant

WIRINGS = tuple(product(ORDERS, product((1, -1), repeat=3)))
PACE = Pace()


@dataclass(frozen=True)
class Result:
    """Of one wiring in one building."""

    is_right: bool
    is_complete: bool
    what: str


def finding_of(plant: Plant, rules: Rules, pace: Pace = PACE) -> Finding:
    """As the shell does it: on and off until it is sure."""

    def level(*, is_on: bool) -> Level:
        hold_s = plant.source.choice((0.0, pace.hold_s))
        return plant.level(is_on=is_on, settle_s=pace.settle_s, hold_s=hold_s, count=rules.take + 1)

    levels = [level(is_on=False)]
    while True:
        levels.append(level(is_on=len(levels) % 2 == 1))
        if len(levels) % 2 == 1 and len(levels) > 2 * pace.least_rounds:
            found = judge(levels, rules)
            if found.is_sure or len(levels) > 2 * pace.most_rounds:
                return found


def scene(order: tuple[int, ...], signs: tuple[int, ...], seed: int, pace: Pace = PACE) -> Result:
    """A car on each phase in turn."""
    source = random.Random(f"{order} {signs} {seed}")
    tests = []
    for phase in range(3):
        car = Car((phase,), source.uniform(5.8, 10.0), source.uniform(0.5, 4), source.uniform(1, 5))
        plant = random_plant(source, order, signs, car)
        found = finding_of(plant, Rules(resolution_a=plant.resolution_a), pace)
        if found.is_sure and (found.outcome is not Outcome.ONE or found.moved != _truth(order, signs, phase)):
            return Result(False, False, f"phase {phase + 1}: {found}")
        tests.append(PhaseTest(phase, found))
    result = wiring(tests, Now())
    if result.order not in (None, order) or any(signs[one] != sign for one, sign in result.directions.items()):
        return Result(False, result.is_complete, str(result))
    changes = corrections(result, Now())
    if result.is_complete and Now().order != order and changes.get("phase_map") != ORDERS[order]:
        return Result(False, True, str(changes))
    unsure = Counter(test.finding.outcome.value for test in tests if not test.finding.is_sure)
    return Result(True, result.is_complete, ", ".join(sorted(unsure)))


def _truth(order: tuple[int, ...], signs: tuple[int, ...], phase: int) -> dict[int, int]:
    one = order.index(phase)
    return {one: signs[one]}


def trap(seed: int) -> str | None:
    """Cars that draw nothing, or on two or three phases, and crossed volts: what was answered wrongly."""
    source = random.Random(f"trap {seed}")
    order, signs = source.choice(WIRINGS)
    phases = source.choice(((), (0, 1), (1, 2), (0, 1, 2), (2,)))
    plant = random_plant(source, order, signs, Car(phases, source.uniform(6, 10)))
    plant.has_crossed_volts = phases == (2,)
    found = finding_of(plant, Rules(resolution_a=plant.resolution_a))
    if not found.is_sure:
        return None
    truth = {one: signs[one] for one in range(3) if order[one] in phases}
    if found.outcome is Outcome.THREE and len(phases) == 3 and found.moved == truth:
        return None
    return f"seed {seed}, car on {phases}: {found}"


def storm(seeds: range) -> Iterator[tuple[int, Result]]:
    for seed in seeds:
        for order, signs in WIRINGS:
            yield seed, scene(order, signs, seed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    counts: Counter[str] = Counter()
    for seed, result in storm(seeds):
        kind = "wrong" if not result.is_right else "found" if result.is_complete else "unsure"
        counts[kind] += 1
        if not result.is_right:
            print(f"seed {seed}: {result.what}")
    traps = [answer for seed in range(seeds.start * 48, seeds.stop * 48) if (answer := trap(seed))]
    for answer in traps:
        print(f"trap: {answer}")
    scenes = len(seeds) * len(WIRINGS)
    print(f"{scenes} wirings: {counts['found']} found, {counts['unsure']} can't tell, ", end="")
    print(f"{counts['wrong']} wrong; {scenes} traps: {len(traps)} wrong")
    return 1 if counts["wrong"] or len(traps) * 300 > scenes else 0


if __name__ == "__main__":
    sys.exit(main())
