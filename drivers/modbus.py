"""The driver of meters that speak Modbus, over a serial line or TCP. What it reads is a register map (`models/`)."""

import logging
from collections import deque
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar, Final

from drivers import bus as buses
from drivers.api import Driver, DriverError, Found, Health, Kind, Reading, Seams, Trouble, wired
from drivers.bus import Bus, BusError, Down, Garbled, NoReply, Read, Refused
from drivers.modbus_options import ModbusOptions
from drivers.model_file import WIDTHS, Probe
from drivers.options import Options
from drivers.pace import Backoff, Deadlines
from drivers.register_plan import Block, Plan
from drivers.register_values import Key, decoded, measured, number

_log = logging.getLogger(__name__)
_WINDOW: Final = 5
_TOLERATED: Final = 2
"""So many of the last reads may have failed before it counts as trouble: stray bytes are normal on RS-485."""
_PASSING: Final = {Kind.SILENT, Kind.GARBLED}
"""Troubles that may be nothing but one bad frame."""
_TOO_MUCH: Final = {0x02, 0x03}
"""Modbus exceptions of a meter that does not have these registers, or not so many at once."""
_SHORTER_EVERY: Final = 3
"""Polls without an answer, after which a shorter read is tried."""
_SLOW_RETRY_S: Final = 10.0
_PROBE_TRIES: Final = 3


class ModbusDriver(Driver[ModbusOptions]):
    """Polls one meter. Several may share a line: each asks through its bus."""

    options_type: ClassVar[type[Options]] = ModbusOptions

    def __init__(self, name: str, options: ModbusOptions, seams: Seams) -> None:
        super().__init__(name, options, seams)
        self._bus: Bus | None = None
        self._plan = Plan(options.model)
        self._deadlines = Deadlines(options.interval_s)
        self._backoff = Backoff(seams.random)
        self._retry_s: float | None = None
        self._failures: deque[bool] = deque(maxlen=_WINDOW)
        self._in_a_row = 0
        self._trouble: Trouble | None = None
        self._counts = Health()
        self._identified = -1
        self._worked: set[Block] = set()
        self._due: dict[float, float] = {}
        self._scales: dict[Key, float | None] = {}

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
                reading = await self._polled(bus)
            except BusError as error:
                self._failed(error)
            else:
                self._succeeded(reading)
                return reading
        return None

    def health(self) -> Health:
        counts = replace(self._counts, trouble=self._shown(), notes=tuple(self._plan.notes))
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
    async def probe(cls, options: ModbusOptions, seams: Seams) -> Found | None:
        trouble = None
        async with cls("probe", options, seams) as driver:
            bus = driver._bus
            assert bus is not None
            for _ in range(_PROBE_TRIES):
                try:
                    reading = await driver._polled(bus)
                except NoReply:
                    continue
                except (Down, Garbled) as error:
                    trouble = error.trouble
                except BusError as error:
                    return Found(error.trouble.problem)
                else:
                    return Found(options.model.name, wired(reading, options))
        if trouble is not None:
            raise DriverError(trouble.kind, trouble.problem, trouble.remedy)
        return None

    async def _polled(self, bus: Bus) -> Reading:
        is_new = True
        while is_new:
            await self._identify(bus)
            values, asked_at = await self._group(bus, 0.0)
            is_new = bus.generation != self._identified
        has_failed = False
        for every_s in sorted({block.every_s for block in self._plan.blocks} - {0.0}):
            if self.seams.now() >= self._due.get(every_s, 0.0):
                has_failed |= not await self._slow(bus, every_s, values)
        now, wall = self.seams.now(), self.seams.wall()
        result = measured(self.options.model, values | self._scales, has_failed)
        return Reading(
            meter=self.name,
            sequence=self._counts.readings,
            t_mono=asked_at,
            t_wall=wall - timedelta(seconds=now - asked_at),
            interval_s=self.options.interval_s,
            quality=result.quality,
            reasons=result.reasons,
            **result.fields,
        )

    async def _identify(self, bus: Bus) -> None:
        """After each opening of the line: another meter read with this map would give numbers, but wrong ones."""
        if self.options.identify and self._identified != bus.generation:
            for probe in self.options.model.probe:
                await self._check(bus, probe)
        if self._identified != bus.generation:
            self._worked.clear()
            self._identified = bus.generation

    async def _check(self, bus: Bus, probe: Probe) -> None:
        model = self.options.model
        function, width = probe.function or model.modbus.function, WIDTHS[probe.type]
        try:
            answer = await bus.read(self._read(function, probe.at, width))
        except Refused as error:
            if error.code not in _TOO_MUCH:
                raise
            value = None
        else:
            value = number(answer.registers, probe, model.modbus.word_order)
        if not probe.fits(value):
            says = "nothing" if value is None else f"{int(value):#x}"
            problem = f"unit {self.options.unit} is no {model.name}: register {probe.at:#06x} says {says}"
            remedy = "Correct model or unit; if it is that model all the same, add identify = false"
            raise BusError(Trouble(Kind.WRONG_METER, problem, remedy))

    async def _slow(self, bus: Bus, every_s: float, values: dict[Key, float | None]) -> bool:
        """Reads what balancing does not need; without it, the rest is still a reading."""
        try:
            found, _ = await self._group(bus, every_s)
        except BusError as error:
            self._count(error)
            self._due[every_s] = self.seams.now() + min(every_s, _SLOW_RETRY_S)
            return False
        self._due[every_s] = self.seams.now() + every_s
        scales = {key: value for key, value in found.items() if key not in self._names()}
        self._scales |= scales
        values.update({key: value for key, value in found.items() if key not in scales})
        return True

    def _names(self) -> set[Key]:
        items = self.options.model.items().items()
        return {(name, phase) for name, point in items for phase in range(point.phases)}

    async def _group(self, bus: Bus, every_s: float) -> tuple[dict[Key, float | None], float]:
        """Values of all blocks that are read so often, and when the oldest was asked for."""
        values: dict[Key, float | None] = {}
        asked_at = self.seams.now()
        done: set[Block] = set()
        while block := self._next_block(every_s, done):
            try:
                answer = await bus.read(self._read(block.function, block.at, block.count))
            except (Refused, NoReply) as error:
                if block in self._worked or not await self._learned(bus, block, error):
                    raise
                continue
            done.add(block)
            self._worked.add(block)
            asked_at = min(asked_at, answer.t_mono) if len(done) > 1 else answer.t_mono
            values |= decoded(self.options.model, block, answer.registers)
        return values, asked_at

    def _next_block(self, every_s: float, done: set[Block]) -> Block | None:
        """Learning replaces blocks while they are read; what was read is not read again."""
        read = {value for block in done for value in block.values}
        left = (block for block in self._plan.blocks if block.every_s == every_s)
        return next((block for block in left if not read.issuperset(block.values)), None)

    async def _learned(self, bus: Bus, block: Block, error: Refused | NoReply) -> bool:
        """Whether the plan has something smaller to try for a block that never worked."""
        if isinstance(error, Refused):
            return error.code in _TOO_MUCH and self._plan.refused(block)
        if self._in_a_row % _SHORTER_EVERY != _SHORTER_EVERY - 1 or block.count == block.values[0].width:
            return False
        await bus.read(self._read(block.function, block.at, block.values[0].width))
        return self._plan.is_silent(block)

    def _read(self, function: str, at: int, count: int) -> Read:
        settings = self.options.model.modbus
        return Read(
            unit=self.options.unit,
            function=function,
            at=at,
            count=count,
            timeout_s=(self.options.timeout_ms or settings.timeout_ms) / 1000,
            gap_s=settings.gap_ms / 1000,
            is_alike=not self._plan.is_distinct,
        )

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
