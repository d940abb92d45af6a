"""The only clock. Timers and budgets run on monotonic time; wall time is for records and answers."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


class Clock:
    """`monotonic` is the event loop's own time, so that a loop with virtual time moves everything."""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = _loop_time) -> None:
        self._wall = wall
        self.monotonic = monotonic

    def now(self) -> datetime:
        """The wall clock, aware, UTC."""
        return datetime.fromtimestamp(self._wall(), UTC)


def system() -> Clock:
    """The system's clocks. The monotonic one is that of asyncio's own loop, without its call."""
    return Clock(time.time, time.monotonic)


def timestamp(moment: datetime) -> str:
    """A time as OCPP wants it: UTC, "Z", no fractions (OCPP 2.0.1 Part 2, 3.1; some chargers choke on more)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
