"""The driver of meters that speak Modbus, on any transport of `bus`; a register map (`models/`) says what is read."""

from datetime import timedelta
from typing import ClassVar, Final

from drivers.api import Kind, Reading, Seams, Trouble
from drivers.bus import Bus, BusError, NoReply, Read, Refused
from drivers.modbus_options import ModbusOptions
from drivers.modbus_polling import PollingDriver
from drivers.model_file import Check, Probe, Requirement
from drivers.options import Options
from drivers.register_plan import Block, Plan
from drivers.register_values import Key, decoded, measured, said

_TOO_MUCH: Final = {0x02, 0x03}
"""Modbus exceptions of a meter that does not have these registers, or not so many at once."""
_SHORTER_EVERY: Final = 3
"""Polls without an answer, after which a shorter read is tried."""
_SLOW_RETRY_S: Final = 10.0


class ModbusDriver(PollingDriver[ModbusOptions]):
    """Reads the points of one register map."""

    options_type: ClassVar[type[Options]] = ModbusOptions

    def __init__(self, name: str, options: ModbusOptions, seams: Seams) -> None:
        super().__init__(name, options, seams)
        self._plan = Plan(options.model)
        self._identified = -1
        self._worked: set[Block] = set()
        self._due: dict[float, float] = {}
        self._scales: dict[Key, float | None] = {}

    @property
    def model_name(self) -> str:
        return self.options.model.name

    def notes(self) -> tuple[str, ...]:
        return tuple(self._plan.notes)

    async def polled(self, bus: Bus) -> Reading:
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
                await self._recognise(bus, probe)
            for requirement in self.options.model.require:
                await self._require(bus, requirement)
        if self._identified != bus.generation:
            self._worked.clear()
            self._identified = bus.generation

    async def _recognise(self, bus: Bus, probe: Probe) -> None:
        is_there, value = await self._said(bus, probe)
        if not probe.fits(value) and (is_there or not probe.optional):
            problem = f"unit {self.options.unit} is no {self.model_name}: {_words(probe, value)}"
            remedy = "Correct model or unit; if it is that model all the same, add identify = false"
            raise BusError(Trouble(Kind.WRONG_METER, problem, remedy))

    async def _require(self, bus: Bus, requirement: Requirement) -> None:
        is_there, value = await self._said(bus, requirement)
        if not requirement.fits(value) and (is_there or not requirement.optional):
            problem = f"unit {self.options.unit}: {requirement.problem} ({_words(requirement, value)})"
            without = "" if is_there else "; if it has no such setting, add identify = false"
            raise BusError(Trouble(Kind.MISCONFIGURED, problem, requirement.remedy + without))

    async def _said(self, bus: Bus, check: Check) -> tuple[bool, float | None]:
        """Whether the meter has the register, and what it says."""
        order = self.options.model.modbus.word_order
        try:
            answer = await bus.read(self._read(check.function or self.options.model.modbus.function, *check.span))
        except Refused as error:
            if error.code not in _TOO_MUCH:
                raise
            return False, None
        return True, said(check, answer.registers, order)

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


def _words(check: Check, value: float | None) -> str:
    return f"register {check.at:#06x} says {'nothing' if value is None else f'{int(value):#x}'}"
