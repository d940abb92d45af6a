"""Which Modbus questions are sent with which line settings to which units, in which order. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.late_replies import FUNCTIONS
from drivers.model_file import MeterModel
from drivers.probe_sound import Settings

LINES: Final = (
    Settings(9600),
    Settings(9600, parity="E"),
    Settings(19_200, parity="E"),
    Settings(2400),
    Settings(19_200),
    Settings(38_400),
    Settings(115_200),
)
"""As meters leave the factory, the usual first."""
USUAL_UNITS: Final = (*range(1, 11), 100, 101)
ALL_UNITS: Final = (*USUAL_UNITS, *(unit for unit in range(1, 248) if unit not in USUAL_UNITS))


@dataclass(frozen=True, slots=True, order=True)
class Ask:
    """A read. `function` is "holding" or "input"."""

    function: str
    at: int
    count: int

    @property
    def code(self) -> int:
        return FUNCTIONS[self.function]


Reply = tuple[int, ...] | int | None
"""Registers, the code of a refusal, or silence."""

SUNSPEC_BASES: Final = (40_000, 0, 50_000)
_SUNS: Final = (0x5375, 0x6E53)


def sunspec_asks() -> list[Ask]:
    """Where a SunSpec device begins."""
    return [Ask("holding", at, 2) for at in SUNSPEC_BASES]


def is_sunspec(reply: Reply) -> bool:
    return reply == _SUNS


@dataclass(frozen=True, slots=True)
class Trial:
    settings: Settings
    unit: int
    ask: Ask


def factory(model: MeterModel) -> Settings:
    serial = model.modbus.serial
    return Settings(serial.baud, 8, serial.parity, serial.stop)


def first_value(model: MeterModel) -> Ask:
    """A read that this model answers: its voltage, else its current."""
    point = model.points.voltage or model.points.current
    return Ask(point.function or model.modbus.function, point.at, point.width)


def common_asks(models: Iterable[MeterModel]) -> list[Ask]:
    """For each function the question that most models answer. Others answer with a refusal, mostly."""
    counts = Counter(first_value(model) for model in models)
    best = {ask.function: ask for ask, _ in sorted(counts.items(), key=lambda each: (each[1], each[0]))}
    return sorted(best.values(), key=lambda ask: -counts[ask])


def trials(models: Sequence[MeterModel], units: Sequence[int]) -> Iterator[Trial]:
    """Everybody with all settings first; then what meters need that are silent to what they don't know."""
    common = common_asks(models)
    lines = (*LINES, *sorted({factory(model) for model in models}.difference(LINES)))
    for settings in lines:
        for unit in units:
            for ask in common:
                yield Trial(settings, unit, ask)
    others = {(factory(model), first_value(model)) for model in models if first_value(model) not in common}
    for settings, ask in sorted(others, key=lambda other: (lines.index(other[0]), other[1])):
        for unit in units:
            yield Trial(settings, unit, ask)
