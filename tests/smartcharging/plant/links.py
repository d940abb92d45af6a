"""The link between one station and the gateway: late, lossy, cut, and never out of order in one direction."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

LATE_S = 5.0
CALL_S = 30.0
"""So long a call waits for an answer that was lost, and nothing else may be sent to the station."""


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
    under_way: list[tuple[float, float]] = field(default_factory=list)
    """When each message left and arrives, or is given up, for `carries_in_time`."""

    def carries_in_time(self) -> bool:
        """Whether it is up, and nothing on it has been under way for longer than a station may be waited for."""
        now = self.clock.now
        return self.is_up and not any(left < now - LATE_S and now < arrives for left, arrives in self.under_way)

    def to_station(self, deliver: Callable[[], None]) -> None:
        """A call."""
        if not self.is_up:
            return
        if self.rng.random() >= self.weather.lost:
            self.down_at = self._carry(self.down_at, deliver)
        else:
            self.under_way.append((self.clock.now, self.clock.now + CALL_S))

    def answer(self, deliver: Callable[[], None]) -> None:
        if not self.is_up:
            return
        if self.rng.random() >= self.weather.unanswered:
            self.up_at = self._carry(self.up_at, deliver)
        else:
            self.under_way.append((self.clock.now, self.clock.now + CALL_S))

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

        self.under_way = [one for one in self.under_way if one[1] > self.clock.now]
        self.under_way.append((self.clock.now, arrives))
        self.clock.at(arrives, arrive)
        return arrives

    def cut(self) -> None:
        """What is under way is lost."""
        self.is_up = False
        self.generation += 1
        self.under_way.clear()

    def mend(self) -> None:
        self.is_up = True
