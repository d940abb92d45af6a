"""What all drivers do that poll a meter over a shared line (`bus`): deadlines, retries, and what is told of trouble."""

import logging
from abc import abstractmethod
from collections import deque
from dataclasses import replace
from typing import Final, TypeVar

from drivers import bus as buses
from drivers.api import Driver, DriverError, Found, Health, Kind, Reading, Seams, Trouble, wired
from drivers.bus import Bus, BusError, Down, Garbled, NoReply, Refused
from drivers.line_options import LineOptions
from drivers.pace import Backoff, Deadlines

_log = logging.getLogger(__name__)
_WINDOW: Final = 5
_TOLERATED: Final = 2
"""So many of the last reads may have failed before it counts as trouble: stray bytes are normal on RS-485."""
_PASSING: Final = {Kind.SILENT, Kind.GARBLED}
"""Troubles that may be nothing but one bad frame."""
_PROBE_TRIES: Final = 3

L = TypeVar("L", bound=LineOptions)


class PollingDriver(Driver[L]):
    """Polls one meter. Several may share a line: each asks through its bus. A subclass says what is read."""

    def __init__(self, name: str, options: L, seams: Seams) -> None:
        super().__init__(name, options, seams)
        self._bus: Bus | None = None
        self._deadlines = Deadlines(options.interval_s)
        self._backoff = Backoff(seams.random)
        self._retry_s: float | None = None
        self._failures: deque[bool] = deque(maxlen=_WINDOW)
        self._in_a_row = 0
        """Polls without a reading."""
        self._trouble: Trouble | None = None
        self._counts = Health()

    @property
    @abstractmethod
    def model_name(self) -> str:
        """Of the meter, for people."""

    @abstractmethod
    async def polled(self, bus: Bus) -> Reading:
        """Asks the meter once. Raises BusError."""

    def notes(self) -> tuple[str, ...]:
        """What was learned and is done differently since."""
        return ()

    async def open(self) -> None:
        if self._bus is None:
            self._bus = buses.lease(self.seams, self.options.line)

    async def close(self) -> None:
        if self._bus is not None:
            buses.release(self._bus, self.seams)
            self._bus = None

    async def next_reading(self) -> Reading | None:
        while (bus := self._bus) is not None:
            wait_s = self._deadlines.wait_s(self.seams.now()) if self._retry_s is None else self._retry_s
            await self.seams.sleep(wait_s)
            try:
                reading = await self.polled(bus)
            except BusError as error:
                self._failed(error)
            else:
                self._succeeded(reading)
                return reading
        return None

    def health(self) -> Health:
        counts = replace(self._counts, trouble=self._shown(), notes=self.notes())
        if (bus := self._bus) is None:
            return counts
        line = bus.counters
        return replace(
            counts,
            crc_errors=line.crc_errors,
            short_frames=line.short_frames,
            late_frames=line.late_frames,
            reconnects=line.reconnects,
        )

    @classmethod
    async def probe(cls, options: L, seams: Seams) -> Found | None:
        trouble = None
        async with cls("probe", options, seams) as driver:
            bus = driver._bus
            assert bus is not None
            for _ in range(_PROBE_TRIES):
                try:
                    reading = await driver.polled(bus)
                except NoReply:
                    continue
                except (Down, Garbled) as error:
                    trouble = error.trouble
                except BusError as error:
                    return Found(error.trouble.problem)
                else:
                    return Found(driver.model_name, wired(reading, options))
        if trouble is not None:
            raise DriverError(trouble.kind, trouble.problem, trouble.remedy)
        return None

    def _count(self, error: BusError) -> None:
        counts = self._counts
        if isinstance(error, NoReply):
            self._counts = replace(counts, timeouts=counts.timeouts + 1)
        elif isinstance(error, Refused):
            self._counts = replace(counts, refusals=counts.refusals + 1)

    def _failed(self, error: BusError) -> None:
        self._count(error)
        self._in_a_row += 1
        self._failures.append(True)
        if self._trouble is None or self._trouble.kind is not error.trouble.kind:
            _log.debug("meter %s: %s", self.name, error.trouble)  # whoever watches `health` tells people
        self._trouble = error.trouble
        # A line that is down is waited for by the bus; whoever asks first gets it first.
        self._retry_s = 0.0 if isinstance(error, Down) else self._backoff.wait_s()

    def _succeeded(self, reading: Reading) -> None:
        if self._trouble is not None and self._in_a_row > _TOLERATED:
            _log.debug("meter %s: readings come again", self.name)
        self._failures.append(False)
        if self._trouble is not None and (self._trouble.kind not in _PASSING or not self._is_bad()):
            self._trouble = None
            self._failures.clear()
        self._in_a_row = 0
        self._retry_s = None
        self._backoff.reset()
        counts = self._counts
        self._counts = replace(counts, readings=counts.readings + 1, last_good_t=reading.t_mono)

    def _is_bad(self) -> bool:
        return sum(self._failures) > _TOLERATED

    def _shown(self) -> Trouble | None:
        """One bad frame is no trouble."""
        trouble = self._trouble
        if trouble is None or (trouble.kind in _PASSING and self._counts.readings and not self._is_bad()):
            return None
        if self._in_a_row:
            return trouble
        share = f"{sum(self._failures)} of the last {len(self._failures)} reads failed: {trouble.problem}"
        return Trouble(trouble.kind, share, trouble.remedy)
