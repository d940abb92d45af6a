"""Which phase moved: made-up levels, where the answer is known."""

import random
from collections.abc import Sequence

import pytest

from gateway.core.ct_test import Level, Outcome, Rules, Sample, judge

RULES = Rules(amps=(6, 10))


def _levels(
    moved: dict[int, float],
    *,
    rounds: int = 3,
    noise: float = 0.05,
    base: Sequence[float] = (5.0, 12.0, -8.0),
    seed: int = 3,
    **options: object,
) -> list[Level]:
    """Off, on, off, ...: while on, phases carry so much more. `drift`: A from level to level; `hide`: a phase."""
    source = random.Random(seed)
    found = []
    for number in range(2 * rounds + 1):
        is_on = number % 2 == 1
        samples = []
        for second in range(20):
            values: list[float | None] = [
                base[phase] + source.gauss(0, noise) + (moved.get(phase, 0.0) if is_on else 0.0) for phase in range(3)
            ]
            if (drift := options.get("drift")) and isinstance(drift, float):
                values = [value + drift * number for value in values if value is not None]
            if isinstance(hidden := options.get("hide"), int):
                values[hidden] = None
            one, two, three = values
            sizes = [None if value is None else abs(value) for value in values]
            samples.append(Sample(30.0 * number + second, (one, two, three), (sizes[0], sizes[1], sizes[2])))
        found.append(Level(is_on, tuple(samples)))
    return found


@pytest.mark.parametrize("phase", range(3))
@pytest.mark.parametrize("sign", [1, -1])
def test_the_phase_and_its_direction_are_told(phase: int, sign: int) -> None:
    found = judge(_levels({phase: sign * 7.4}), RULES)
    assert (found.outcome, found.moved) == (Outcome.ONE, {phase: sign})
    assert found.amps == pytest.approx(7.4, abs=0.4)
    assert (found.steps, found.agreeing) == (6, 6)
    assert found.is_sure


@pytest.mark.parametrize(
    ("moved", "options", "outcome"),
    [
        ({}, {}, Outcome.NOTHING),
        ({0: 7.0, 1: 7.0}, {}, Outcome.TWO),
        ({0: 7.0, 1: -7.0, 2: 7.0}, {}, Outcome.THREE),
        ({1: 4.0}, {}, Outcome.WEAK),
        ({1: 5.0}, {}, Outcome.WEAK),
        ({1: 20.0}, {}, Outcome.UNSURE),
        ({1: 7.0}, {"noise": 9.0}, Outcome.NOISY),
        ({1: 7.0}, {"rounds": 2}, Outcome.UNSURE),
        ({1: 7.0}, {"drift": 0.3}, Outcome.ONE),
        ({1: 7.0}, {"hide": 0}, Outcome.ONE),
        ({1: 7.0}, {"hide": 1}, Outcome.NOTHING),
    ],
)
def test_what_is_no_answer_is_said_to_be_none(
    moved: dict[int, float], options: dict[str, int | float], outcome: Outcome
) -> None:
    found = judge(_levels(moved, **options), RULES)  # type: ignore[arg-type]  # numbers of all kinds
    assert found.outcome is outcome, found


def test_steps_that_others_disturb_count_for_little() -> None:
    """Two levels of eleven, by as much as the car draws, on two phases."""
    levels = _levels({2: 8.0}, rounds=5)
    spoiled = []
    for number, level in enumerate(levels):
        add = 8.0 if number in (2, 3) else 0.0
        samples = (
            Sample(s.at, (_plus(s, 0, add), _plus(s, 1, -add), s.directed_a[2]), s.size_a) for s in level.samples
        )
        spoiled.append(Level(level.is_on, tuple(samples)))
    found = judge(spoiled, RULES)
    assert (found.outcome, found.moved) == (Outcome.ONE, {2: 1})


def _plus(sample: Sample, phase: int, amps: float) -> float:
    value = sample.directed_a[phase]
    assert value is not None
    return value + amps


def test_a_load_that_comes_once_is_not_taken_for_a_car() -> None:
    """Nothing charges; one phase goes up by 8 A and stays there."""
    levels = _levels({})
    spoiled = [
        Level(
            level.is_on,
            tuple(
                Sample(s.at, (_plus(s, 0, 8.0 if n > 2 else 0), s.directed_a[1], s.directed_a[2]))
                for s in level.samples
            ),
        )
        for n, level in enumerate(levels)
    ]
    assert not judge(spoiled, RULES).is_sure


def test_whole_amperes_are_enough() -> None:
    rounded = [
        Level(
            level.is_on,
            tuple(Sample(s.at, (_whole(s, 0), _whole(s, 1), _whole(s, 2))) for s in level.samples),
        )
        for level in _levels({0: -6.4}, rounds=4, noise=0.3)
    ]
    found = judge(rounded, Rules((6, 10), resolution_a=1.0))
    assert (found.outcome, found.moved) == (Outcome.ONE, {0: -1})


def _whole(sample: Sample, phase: int) -> float:
    return round(_plus(sample, phase, 0.0))


def test_volts_of_another_phase_are_noticed() -> None:
    """Half of a car's current is active beside them; the amperes themselves move by all of it."""
    levels = [
        Level(
            level.is_on,
            tuple(
                Sample(s.at, (_plus(s, 0, 0), _plus(s, 1, 0), -0.5 * _plus(s, 2, 0)), (5.0, 12.0, _plus(s, 2, 0)))
                for s in level.samples
            ),
        )
        for level in _levels({2: 14.0}, base=(5.0, 12.0, 20.0))
    ]
    assert judge(levels, RULES).outcome is Outcome.CROSSED


def test_without_directions_nothing_is_told() -> None:
    nobody = Sample(0.0, (None, None, None), (1.0, 2.0, 3.0))
    levels = [Level(number % 2 == 1, (nobody,) * 6) for number in range(7)]
    assert judge(levels, RULES).outcome is Outcome.BLIND
    assert judge([], RULES).outcome is Outcome.BLIND
