"""Which registers are read together. Learns from refusals; does no I/O."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from drivers.model_file import WIDTHS, MeterModel, Register

SCALE: Final = "scale:"
"""Before a point's name: the register that it is multiplied by."""
_SCALE_EVERY_S: Final = 60.0
_LONGEST: Final = 125
"""Registers in one reply, by the Modbus specification."""


@dataclass(frozen=True, slots=True, order=True)
class Value:
    """One value in the meter: a point, of one phase."""

    function: str
    at: int
    name: str
    phase: int
    width: int
    every_s: float

    @property
    def end(self) -> int:
        return self.at + self.width


@dataclass(frozen=True, slots=True)
class Block:
    """One read. `padding` is read along for nothing but a length that no other block of this meter has."""

    values: tuple[Value, ...]
    padding: int = 0
    is_rigid: bool = False
    """The meter refuses any other length."""

    @property
    def function(self) -> str:
        return self.values[0].function

    @property
    def at(self) -> int:
        return self.values[0].at

    @property
    def every_s(self) -> float:
        return self.values[0].every_s

    @property
    def needed(self) -> int:
        return max(value.end for value in self.values) - self.at

    @property
    def count(self) -> int:
        return self.needed + self.padding


class Plan:
    """The blocks of one meter, and what was learned about them."""

    def __init__(self, model: MeterModel) -> None:
        self._model = model
        self.notes: list[str] = []
        self.dropped: set[str] = set()
        self.blocks: tuple[Block, ...] = ()
        values = sorted(_values(model), key=lambda value: (value.every_s, value))
        groups = groupby(values, key=lambda value: (value.every_s, value.function))
        self._set(block for _, group in groups for block in self._joined(list(group), model.modbus.max_registers))

    @property
    def is_distinct(self) -> bool:
        """Whether a reply's length tells which block it belongs to."""
        lengths = [(block.function, block.count) for block in self.blocks]
        return len(set(lengths)) == len(lengths)

    def refused(self, block: Block) -> bool:
        """The meter does not have these registers, or not so many at once. False: nothing smaller is left to try."""
        if block.padding:
            return self._replace(block, [replace(block, padding=0, is_rigid=True)])
        if len(block.values) > 1:
            parts = self._joined(list(block.values), block.count // 2)
            self.notes.append(f"reads {block.count} registers at {block.at:#06x} in {len(parts)} parts")
            return self._replace(block, parts)
        name = block.values[0].name
        if not self._is_optional(name):
            return False
        self.dropped.add(name)
        self.notes.append(f"leaves {name} out: the meter does not have it at {block.at:#06x}")
        return self._replace(block, [])

    def is_silent(self, block: Block) -> bool:
        """The meter answers shorter reads, but not this one. False: nothing smaller is left to try."""
        return (block.padding > 0 or len(block.values) > 1) and self.refused(block)

    def _is_optional(self, name: str) -> bool:
        return not name.startswith(SCALE) and self._model.is_optional(name)

    def _replace(self, block: Block, parts: list[Block]) -> bool:
        place = next(i for i, known in enumerate(self.blocks) if known.values == block.values)
        self._set((*self.blocks[:place], *parts, *self.blocks[place + 1 :]))
        return True

    def _set(self, blocks: Iterable[Block]) -> None:
        if self._model.modbus.block == "join":
            checks = (*self._model.probe, *self._model.require)
            used = {(_function(self._model, check), check.span[1]) for check in checks}
            blocks = _unequal(list(blocks), used)
        self.blocks = tuple(blocks)

    def _joined(self, values: list[Value], limit: int) -> list[Block]:
        """Neighbours in one read, as far as the model and the limit allow."""
        settings = self._model.modbus
        found: list[list[Value]] = []
        for value in values:
            last = found[-1] if found else []
            fits = bool(last) and value.end - last[0].at <= limit
            if settings.block == "exact":
                fits = fits and value.name == last[-1].name and value.at == last[-1].end
            else:
                fits = fits and value.at - max(known.end for known in last) <= settings.max_hole
            if fits:
                last.append(value)
            else:
                found.append([value])
        return [Block(tuple(group)) for group in found]


def _values(model: MeterModel) -> Iterable[Value]:
    for name, point in model.items().items():
        every_s = model.every_s(name)
        for phase, at in enumerate(point.addresses):
            yield Value(_function(model, point), at, name, phase, point.width, every_s)
        for number, register in enumerate(point.scale_register):
            width = WIDTHS[register.type]
            yield Value(_function(model, register), register.at, SCALE + name, number, width, _SCALE_EVERY_S)


def _function(model: MeterModel, register: Register) -> str:
    return register.function or model.modbus.function


def _unequal(blocks: list[Block], used: set[tuple[str, int]]) -> list[Block]:
    """Each with a length of its own: a late reply to another block is then known by its length."""
    used |= {(block.function, block.count) for block in blocks if block.is_rigid}
    found = []
    for block in blocks:
        if not block.is_rigid:
            room = min(_LONGEST, 0x10000 - block.at) - block.needed
            lengths = (block.needed + extra for extra in range(room + 1))
            count = next((count for count in lengths if (block.function, count) not in used), block.needed)
            block = replace(block, padding=count - block.needed)  # noqa: PLW2901  # the same block, longer
            used.add((block.function, block.count))
        found.append(block)
    return found
