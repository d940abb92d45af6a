"""Runs a test of a meter's wiring: switches a car, reads the meter, asks `core.ct_test` whether that is enough."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from gateway.core.ct_test import Finding, Level, Rules, Sample, judge


class Steps(Protocol):
    """Whoever can switch one car: a person who is told to, or what steers the station."""

    async def switch(self, *, is_on: bool) -> None:
        """Returns when the car draws its current, or none any more; or when it was told to, if nobody knows more."""


class Readings(Protocol):
    """The meter."""

    async def next(self) -> Sample:
        """The next one that was not handed over yet."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a test takes. A round is on and off."""

    settle_s: float = 10.0
    """After switching: cars take seconds to ramp, and meters to tell."""
    hold_s: float = 30.0
    """Every other level, by chance, is watched for so long: nothing that comes and goes by itself keeps step with the
    car then, and it is seen."""
    least_rounds: int = 4
    most_rounds: int = 10


@dataclass(frozen=True, slots=True)
class Progress:
    """After each level. `finding`: None while there is too little to judge."""

    level: Level
    rounds: int
    finding: Finding | None


async def run(
    steps: Steps,
    readings: Readings,
    now: Callable[[], float],
    rules: Rules,
    *,
    pace: Pace,
    source: Random,
    told: Callable[[Progress], None] = lambda _progress: None,
) -> Finding:
    """Goes on until it is sure, or for the most rounds. The car is off at the end.

    What `steps` and `readings` raise ends the test; then, too, the car is switched off.
    """
    is_charging = False
    try:
        levels = [Level(False, await _samples(readings, now() + pace.settle_s, pace.hold_s, rules.take))]
        told(Progress(levels[0], 0, None))
        for rounds in range(1, pace.most_rounds + 1):
            for is_on in (True, False):
                await steps.switch(is_on=is_on)
                is_charging = is_on
                hold_s = source.choice((0.0, pace.hold_s))
                levels.append(Level(is_on, await _samples(readings, now() + pace.settle_s, hold_s, rules.take)))
                is_last = not is_on and rounds >= pace.least_rounds
                finding = judge(levels, rules) if is_last else None
                told(Progress(levels[-1], rounds, finding))
            if finding and finding.is_sure:
                break
        assert finding is not None
        return finding
    finally:
        if is_charging:
            await steps.switch(is_on=False)


async def _samples(readings: Readings, since: float, hold_s: float, take: int) -> tuple[Sample, ...]:
    samples: list[Sample] = []
    while len(samples) <= take or samples[-1].at < since + hold_s:
        if (sample := await readings.next()).at >= since:
            samples.append(sample)
    return tuple(samples)
