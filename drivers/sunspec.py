"""The driver of meters that speak SunSpec, on any transport of `bus`: they say themselves where their values are."""

from datetime import timedelta
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from drivers.api import Kind, Reading, Seams, Trouble
from drivers.bus import Answer, Bus, BusError, NoReply, Read, Refused
from drivers.line_options import LineOptions
from drivers.modbus_polling import PollingDriver
from drivers.options import Options
from drivers.sunspec_model import BASES, COMMON, END, LAYOUTS, MARKER, Block, Registers, measured, text

_MOST_MODELS: Final = 100
_SLOW_S: Final = 60.0
_SLOW_RETRY_S: Final = 10.0
_TIMEOUT_MS: Final = 1000
_GAP_S: Final = 0.02
_TEXT: Final = 16
"""Registers of the maker's name, and of the product's."""


class SunspecOptions(LineOptions):
    base: Annotated[
        int | None, Field(ge=0, le=0xFFF0, description="Write where SunSpec begins in the device, such as 40000.")
    ] = None
    meter: int = Field(default=1, ge=1, le=20, description="Write 2 for the second meter in the device, and so on.")
    plus: Literal["import", "export"] = "import"


class SunspecDriver(PollingDriver[SunspecOptions]):
    """Finds the meter after each opening of the line, then reads it in two blocks."""

    options_type: ClassVar[type[Options]] = SunspecOptions

    def __init__(self, name: str, options: SunspecOptions, seams: Seams) -> None:
        super().__init__(name, options, seams)
        self._meter: Block | None = None
        self._scanned = -1
        self._product = ""
        self._slow_due = 0.0

    @property
    def model_name(self) -> str:
        model = f"SunSpec model {self._meter.id}" if self._meter else "SunSpec"
        return f"{self._product} ({model})" if self._product else f"a meter ({model})"

    async def polled(self, bus: Bus) -> Reading:
        fast, answer, meter = await self._found(bus)
        slow, has_failed = await self._slow(bus, meter)
        now, wall = self.seams.now(), self.seams.wall()
        fields = measured(meter.id, fast, slow, plus_is_export=self.options.plus == "export", failed=has_failed)
        return Reading(
            meter=self.name,
            sequence=self._counts.readings,
            t_mono=answer.t_mono,
            t_wall=wall - timedelta(seconds=now - answer.t_mono),
            interval_s=self.options.interval_s,
            **fields,
        )

    async def _found(self, bus: Bus) -> tuple[Registers, Answer, Block]:
        """The block with the currents. It begins with the model's id: one that moved is looked for again."""
        while True:
            is_new = self._meter is None or self._scanned != bus.generation
            meter = await self._scan(bus) if is_new or self._meter is None else self._meter
            first, count = LAYOUTS[meter.id].fast
            answer = await bus.read(self._read(meter.at + first, count))
            if answer.registers[:2] == (meter.id, meter.length):
                return Registers(first, answer.registers), answer, meter
            self._meter = None
            if is_new:
                problem = f"the SunSpec models of unit {self.options.unit} change while they are read"
                raise BusError(Trouble(Kind.GARBLED, problem, "Wait: the device may be starting"))

    async def _slow(self, bus: Bus, meter: Block) -> tuple[Registers | None, bool]:
        """What balancing does not need, once a minute; without it, the rest is still a reading. True: it failed."""
        if self.seams.now() < self._slow_due:
            return None, False
        first, count = LAYOUTS[meter.id].slow
        try:
            answer = await bus.read(self._read(meter.at + first, count))
        except BusError as error:
            self._count(error)
            self._slow_due = self.seams.now() + _SLOW_RETRY_S
            return None, True
        self._slow_due = self.seams.now() + _SLOW_S
        return Registers(first, answer.registers), False

    async def _scan(self, bus: Bus) -> Block:
        """Walks the chain of models to the meter."""
        block = await self._start(bus)
        seen: list[int] = []
        meters: list[Block] = []
        while block.id != END and len(seen) < _MOST_MODELS and block.next < 0xFFFF:
            seen.append(block.id)
            if block.id == COMMON:
                await self._name(bus, block)
            if block.is_meter:
                meters.append(block)
            model, length = (await bus.read(self._read(block.next, 2))).registers
            block = Block(model, block.next, length)
        if len(meters) < self.options.meter:
            raise BusError(self._without(seen, meters))
        self._meter, self._scanned = meters[self.options.meter - 1], bus.generation
        return self._meter

    async def _start(self, bus: Bus) -> Block:
        """The first model, after "SunS"."""
        bases = BASES if self.options.base is None else (self.options.base,)
        silent: NoReply | None = None
        for base in bases:
            try:
                answer = await bus.read(self._read(base, 4))
            except Refused as error:
                if error.trouble.kind is Kind.SILENT:  # a gateway's word for a meter that does not answer
                    raise
                continue
            except NoReply as error:  # some say nothing where they have nothing
                silent = error
                continue
            if answer.registers[:2] == MARKER:
                return Block(answer.registers[2], base + 2, answer.registers[3])
        if silent is not None:
            raise silent
        problem = f'unit {self.options.unit} does not speak SunSpec: no "SunS" at {", ".join(map(str, bases))}'
        raise BusError(Trouble(Kind.WRONG_METER, problem, "Switch SunSpec on in the device; check unit, and base"))

    async def _name(self, bus: Bus, common: Block) -> None:
        try:
            answer = await bus.read(self._read(common.at + 2, 2 * _TEXT))
        except Refused:
            return
        maker, product = text(answer.registers[:_TEXT]), text(answer.registers[_TEXT:])
        self._product = " ".join(filter(None, (maker, product)))

    def _without(self, seen: list[int], meters: list[Block]) -> Trouble:
        models = ", ".join(map(str, seen)) or "none"
        if not meters:
            problem = f"unit {self.options.unit} speaks SunSpec, but has no meter (models: {models})"
            remedy = (
                "Check unit: many devices give their meter an address of its own; meters are models 201-204, 211-214"
            )
            return Trouble(Kind.WRONG_METER, problem, remedy)
        problem = (
            f"unit {self.options.unit} has {len(meters)} SunSpec meters, and this is to be number {self.options.meter}"
        )
        return Trouble(Kind.MISCONFIGURED, problem, f"Write meter = {len(meters)}, or less")

    def _read(self, at: int, count: int) -> Read:
        timeout_s = (self.options.timeout_ms or _TIMEOUT_MS) / 1000
        return Read(self.options.unit, "holding", at, count, timeout_s, _GAP_S, is_alike=count == 2)
