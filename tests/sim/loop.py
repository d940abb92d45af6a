"""An event loop on virtual time: it never waits, it moves its clock to the next timer."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


_LOOK_EVERY = 200
"""A real look at files costs more than the rest of a turn."""


class Deadlock(Exception):
    """Nothing is ready and no timer is set: everybody waits for somebody else."""


class _VirtualSelector(selectors.SelectSelector):
    """Advances time instead of waiting. Files (the loop's own pipe, for signals) are looked at now and then only."""

    now = 0.0
    _turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._turns += 1
        if timeout is None or self._turns % _LOOK_EVERY == 0:
            ready = super().select(0)
            if ready:
                return ready
            if timeout is None:
                raise Deadlock
        self.now += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time starts at 0 and is what `time` says, for timers, timeouts and sleeps alike."""

    def __init__(self) -> None:
        self._virtual = _VirtualSelector()
        super().__init__(self._virtual)
        self.slow_callback_duration = float("inf")

    def time(self) -> float:
        return self._virtual.now


def run(main: Coroutine[Any, Any, T], *, debug: bool = True) -> T:
    """Run a coroutine to its end on a loop of its own. Debug mode costs three quarters of the time."""
    with asyncio.Runner(loop_factory=VirtualLoop, debug=debug) as runner:
        return runner.run(main)
