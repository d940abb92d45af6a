"""Cars: how they follow what they are offered, and how they wake after a pause."""

from dataclasses import dataclass
from enum import StrEnum
from math import inf

FULL_A = 0.01


class Wakes(StrEnum):
    """`prompt`: as at a start. `slow`: after `slow_s`. `edge`: not by the first offer after a pause, by the second.
    `never`: not before it is plugged in again."""

    PROMPT = "prompt"
    SLOW = "slow"
    EDGE = "edge"
    NEVER = "never"


@dataclass(slots=True)
class Car:
    """`start_s`: until it draws once it is offered current. `react_s`, `fall_s`: until it follows a higher and a lower
    offer. `rise_a_s`, `fall_a_s`: how fast. `need_ah`: per phase, until it is full."""

    max_a: float = 32.0
    phases: int = 3
    min_a: float = 6.0
    start_s: float = 8.0
    react_s: float = 2.0
    fall_s: float = 0.5
    rise_a_s: float = 2.0
    fall_a_s: float = 20.0
    wakes: Wakes = Wakes.PROMPT
    slow_s: float = 90.0
    need_ah: float = inf
    amps: float = 0.0
    offer: float = 0.0
    moves_at: float = inf
    edges: int = 0
    was_paused: bool = False
    resumed_at: float | None = None
    woke_s: float | None = None

    def offered(self, amps: float, now: float) -> None:
        """The station's signal changed."""
        before, self.offer = self.offer, amps
        if amps < self.min_a <= before:
            self.was_paused = self.was_paused or self.amps > 0
            self.moves_at = now + self.fall_s
        elif before < self.min_a <= amps:
            self._resume(now)
        elif amps != before:
            self.moves_at = now + (self.fall_s if min(amps, self.max_a) < self.amps else self.react_s)

    def _resume(self, now: float) -> None:
        delay = self.start_s
        if self.was_paused:
            self.edges += 1
            if self.edges == 1:
                self.resumed_at = now
            if self.wakes is Wakes.SLOW and self.edges == 1:
                delay = self.slow_s
            if self.wakes is Wakes.NEVER or (self.wakes is Wakes.EDGE and self.edges == 1):
                delay = inf
        self.moves_at = now + delay

    @property
    def target(self) -> float:
        return 0.0 if self.offer < self.min_a - FULL_A or self.need_ah <= 0 else min(self.offer, self.max_a)

    def step(self, now: float, seconds: float) -> bool:
        """Follow the offer. Return whether it is still on its way."""
        target = self.target
        if self.amps == target:
            return False
        if now < self.moves_at:
            return False
        if target > self.amps:
            self.amps = min(target, max(self.amps, min(self.min_a, target)) + self.rise_a_s * seconds)
            if self.was_paused:
                self._woken(now)
        else:
            self.amps = max(target, self.amps - self.fall_a_s * seconds)
        return self.amps != target

    def _woken(self, now: float) -> None:
        if self.resumed_at is not None:
            self.woke_s = now - self.resumed_at
        self.was_paused, self.edges, self.resumed_at = False, 0, None
