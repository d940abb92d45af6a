"""The link between one station and the gateway: late, lossy, cut, and never out of order in one direction."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """What a link needs of the world."""

    now: float

    def at(self, when: float, do: Callable[[], None]) -> None: ...


@dataclass(frozen=True, slots=True)
class Weather:
    """Seconds a message takes, and the parts of calls and of answers that are lost."""

    least_s: float = 0.1
    most_s: float = 0.4
    lost: float = 0.0
    unanswered: float = 0.0


@dataclass(slots=True)
class Link:
    """`is_up` is the truth; the gateway notices a cut `notices_s` later, by its pings."""

    clock: Clock
    rng: random.Random
    weather: Weather
    notices_s: float = 20.0
    is_up: bool = True
    down_at: float = 0.0
    up_at: float = 0.0
    generation: int = 0

    def to_station(self, deliver: Callable[[], None]) -> None:
        """A call."""
        if self.is_up and self.rng.random() >= self.weather.lost:
            self.down_at = self._carry(self.down_at, deliver)

    def answer(self, deliver: Callable[[], None]) -> None:
        if self.is_up and self.rng.random() >= self.weather.unanswered:
            self.up_at = self._carry(self.up_at, deliver)

    def to_gateway(self, deliver: Callable[[], None]) -> None:
        """A call of the station's own; lost only with the link, after which the station tells anew."""
        if self.is_up:
            self.up_at = self._carry(self.up_at, deliver)

    def _carry(self, after: float, deliver: Callable[[], None]) -> float:
        weather, generation = self.weather, self.generation
        arrives = max(self.clock.now + self.rng.uniform(weather.least_s, weather.most_s), after + 0.001)

        def arrive() -> None:
            if self.generation == generation:
                deliver()

        self.clock.at(arrives, arrive)
        return arrives

    def cut(self) -> None:
        """What is under way is lost."""
        self.is_up = False
        self.generation += 1

    def mend(self) -> None:
        self.is_up = True
