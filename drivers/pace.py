"""When drivers work: hand over the newest, poll at fixed deadlines, come back after a failure."""

import asyncio
import random
from typing import Generic, TypeVar

T = TypeVar("T")


class Newest(Generic[T]):
    """A mailbox for one: what is not fetched in time is replaced. For push protocols."""

    def __init__(self) -> None:
        self._waiting: T | None = None
        self._arrived = asyncio.Event()
        self.is_closed = False
        self.replaced = 0

    def put(self, item: T) -> None:
        """From the loop's own thread."""
        self.replaced += self._waiting is not None
        self._waiting = item
        self._arrived.set()

    def close(self) -> None:
        """Wakes who waits; nothing more comes."""
        self.is_closed = True
        self._arrived.set()

    async def take(self) -> T | None:
        """Waits for an item that was not taken yet; None once closed."""
        await self._arrived.wait()
        if self.is_closed:
            return None
        self._arrived.clear()
        item, self._waiting = self._waiting, None
        return item


class Deadlines:
    """Fixed moments, an interval apart. Missed ones are left out, not made up for."""

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._next: float | None = None

    def wait_s(self, now: float) -> float:
        """Seconds until the next moment, which is then used up; the first is at once."""
        if self._next is None:
            self._next = now
        missed = int((now - self._next) // self.interval_s) if now > self._next else 0
        due = self._next + missed * self.interval_s
        self._next = due + self.interval_s
        return max(0.0, due - now)


class Backoff:
    """0.2 s, doubling to 5 s, each shortened by up to a quarter at random. Without end."""

    def __init__(self, source: random.Random, first_s: float = 0.2, longest_s: float = 5.0) -> None:
        self._source = source
        self._first_s = first_s
        self._longest_s = longest_s
        self._next_s = first_s

    def wait_s(self) -> float:
        wait = self._next_s
        self._next_s = min(wait * 2, self._longest_s)
        return wait * (1 - 0.25 * self._source.random())

    def reset(self) -> None:
        """After a success."""
        self._next_s = self._first_s
