"""What a fuse had to bear: worst current, time over the limit, heat.

Heat is a first-order I2t model, set so that 1.13 x the limit for ever just trips it (IEC 60898-1: a breaker bears that
for an hour) and 2.55 x trips a cold one after 26 s: a breaker at the quick end of what the standard allows.
"""

from dataclasses import dataclass, field
from math import exp

TAU_S = 120.0
TRIPS_AT = 1.13**2
MARKS = (1.0, 1.05, 1.13, 1.25, 1.45)
"""Multiples of the limit above which time is counted."""
NOISE_A = 0.05
"""A current so little over a mark is not over it."""


@dataclass(slots=True)
class Breaker:
    """One circuit's fuse on one phase. `heat`: 1 is where it trips. `total_s`, `longest_s`: over each mark."""

    limit_a: float
    heat: float = 0.0
    hottest: float = 0.0
    worst_a: float = 0.0
    total_s: list[float] = field(default_factory=lambda: [0.0] * len(MARKS))
    longest_s: list[float] = field(default_factory=lambda: [0.0] * len(MARKS))
    stretch_s: list[float] = field(default_factory=lambda: [0.0] * len(MARKS))

    def carry(self, amps: float, seconds: float, part: float) -> None:
        """`part`: how far heat goes towards its end value in that time (`towards`)."""
        drive = (amps / self.limit_a) ** 2 / TRIPS_AT
        self.heat += (drive - self.heat) * part
        self.hottest = max(self.hottest, self.heat)
        self.worst_a = max(self.worst_a, amps)
        if amps <= self.limit_a + NOISE_A:
            if self.stretch_s[0]:
                self.stretch_s = [0.0] * len(MARKS)
            return
        for i, mark in enumerate(MARKS):
            if amps > mark * self.limit_a + NOISE_A:
                self.total_s[i] += seconds
                self.stretch_s[i] += seconds
                self.longest_s[i] = max(self.longest_s[i], self.stretch_s[i])
            else:
                self.stretch_s[i] = 0.0

    def over_s(self, mark: float) -> float:
        return self.total_s[MARKS.index(mark)]

    def stretch_over_s(self, mark: float) -> float:
        """The longest time without a break above the mark."""
        return self.longest_s[MARKS.index(mark)]


def towards(seconds: float) -> float:
    return 1.0 - exp(-seconds / TAU_S)
