"""What a SunSpec device's registers mean: its chain of models, and the meters among them. Pure.

Models 201 to 204 have whole numbers with scale factors, 211 to 214 the same values as floats (SunSpec Information Model
Specification, models 20x and 21x). Offsets count from a model's id.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from drivers.api import Phases, Reason, Signed
from drivers.derive import quality, signed

MARKER: Final = (0x5375, 0x6E53)
"""'SunS', where the chain begins."""
BASES: Final = (40000, 0, 50000)
END: Final = 0xFFFF
COMMON: Final = 1
"""The model that names maker and product, as two texts of 16 registers after id and length."""

_PHASES: Final = {1: 1, 2: 2, 3: 3, 4: 3}
"""By the id's last digit: one phase, split phase, wye, delta."""
_DELTA: Final = 4
_NOT_THERE: Final = -0x8000
_LARGEST_SCALE: Final = 10
_FLOAT_RESOLUTION_A: Final = 0.01


@dataclass(frozen=True, slots=True)
class Place:
    """A value of all phases and of each; `scale` is where its scale factor is."""

    total: int
    phases: tuple[int, int, int]
    scale: int | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """Where values are; `fast` and `slow` are the first register of a read, and how many.

    Scale factors are read with their values, each time; `fast` begins with the model's id and length.
    """

    fast: tuple[int, int]
    slow: tuple[int, int]
    current: Place
    voltage: Place
    power: Place
    frequency: tuple[int, int | None]
    power_factor: tuple[int, int | None]
    energy_export: tuple[int, int | None]
    energy_import: tuple[int, int | None]


_WHOLE: Final = Layout(
    fast=(0, 23),
    slow=(33, 22),
    current=Place(2, (3, 4, 5), 6),
    voltage=Place(7, (8, 9, 10), 15),
    power=Place(18, (19, 20, 21), 22),
    frequency=(16, 17),
    power_factor=(33, 37),
    energy_export=(38, 54),
    energy_import=(46, 54),
)
_FLOATS: Final = Layout(
    fast=(0, 36),
    slow=(52, 18),
    current=Place(2, (4, 6, 8)),
    voltage=Place(10, (12, 14, 16)),
    power=Place(28, (30, 32, 34)),
    frequency=(26, None),
    power_factor=(52, None),
    energy_export=(60, None),
    energy_import=(68, None),
)
LAYOUTS: Final[Mapping[int, Layout]] = {
    **dict.fromkeys((201, 202, 203, 204), _WHOLE),
    **dict.fromkeys((211, 212, 213, 214), _FLOATS),
}


@dataclass(frozen=True, slots=True)
class Block:
    """One model of the chain."""

    id: int
    at: int
    length: int
    """Registers after id and length."""

    @property
    def next(self) -> int:
        return self.at + 2 + self.length

    @property
    def is_meter(self) -> bool:
        """Whether it is a meter, and long enough for what is read."""
        layout = LAYOUTS.get(self.id)
        return layout is not None and self.length + 2 >= sum(layout.slow) and self.next <= 0x10000


def text(registers: Sequence[int]) -> str:
    raw = b"".join(one.to_bytes(2, "big") for one in registers)
    return raw.partition(b"\0")[0].decode("ascii", "replace").strip()


@dataclass(frozen=True, slots=True)
class Registers:
    """A read of one model, from an offset on."""

    first: int
    content: Sequence[int]

    def value(self, at: int, scale: int | None) -> float | None:
        """Whole numbers with a scale factor, floats without one. None: not there."""
        return self._float(at) if scale is None else self._scaled(self._int16(at), scale)

    def counter(self, at: int, scale: int | None) -> float | None:
        """Of energy: 32 bits, 0 means not there."""
        if scale is None:
            return self._float(at)
        high, low = self._words(at, 2)
        return self._scaled((high << 16 | low) or None, scale)

    def exponent(self, at: int) -> int | None:
        power = self._int16(at)
        return None if power is None or abs(power) > _LARGEST_SCALE else power

    def _scaled(self, raw: int | None, scale: int) -> float | None:
        power = self.exponent(scale)
        # Divided, not multiplied by 0.1 and the like: 2305 at -1 is 230.5 and nothing else.
        if raw is None or power is None:
            return None
        return raw * 10.0**power if power >= 0 else raw / 10.0**-power

    def _int16(self, at: int) -> int | None:
        (word,) = self._words(at, 1)
        value = word - 0x10000 if word & 0x8000 else word
        return None if value == _NOT_THERE else value

    def _float(self, at: int) -> float | None:
        value: float = struct.unpack(">f", struct.pack(">HH", *self._words(at, 2)))[0]
        return value if math.isfinite(value) else None

    def _words(self, at: int, count: int) -> Sequence[int]:
        return self.content[at - self.first : at - self.first + count]


def measured(
    model: int, fast: Registers, slow: Registers | None, *, plus_is_export: bool, failed: bool
) -> dict[str, Any]:
    """The fields of a reading. `slow` is None when it was not read, `failed` when it should have been."""
    layout, phases = LAYOUTS[model], _PHASES[model % 10]
    power = _phased(fast, layout.power, phases)
    total = fast.value(layout.power.total, layout.power.scale)
    if plus_is_export:
        power, total = _turned(power), _negative(total)
    voltage = _phased(fast, layout.voltage, phases)
    current, is_unsure = signed(_phased(fast, layout.current, phases), power)
    missing = {
        Reason.CURRENT_MISSING: None in current[:phases],
        Reason.VOLTAGE_MISSING: None in voltage[:phases] and model % 10 != _DELTA,
        Reason.POWER_MISSING: total is None,
        Reason.SIGN_UNKNOWN: is_unsure,
        Reason.VALUE_MISSING: failed,
    }
    reasons = frozenset(reason for reason, is_so in missing.items() if is_so)
    return {
        "current_a": current,
        "current_signed": Signed.UNKNOWN if is_unsure else Signed.FROM_POWER,
        "voltage_v": voltage,
        "power_w": power,
        "power_total_w": total,
        "frequency_hz": fast.value(*layout.frequency),
        "resolution_a": _resolution_a(fast, layout),
        "phases": phases,
        "quality": quality(reasons),
        "reasons": reasons,
        **(_slow(layout, slow) if slow else {}),
    }


def _slow(layout: Layout, slow: Registers) -> dict[str, float | None]:
    factor = slow.value(*layout.power_factor)
    percent = layout.power_factor[1] is not None
    return {
        "power_factor": factor / 100 if factor is not None and percent else factor,
        "energy_import_kwh": _thousandth(slow.counter(*layout.energy_import)),
        "energy_export_kwh": _thousandth(slow.counter(*layout.energy_export)),
    }


def _phased(fast: Registers, place: Place, phases: int) -> Phases:
    l1, l2, l3 = (fast.value(at, place.scale) if n < phases else None for n, at in enumerate(place.phases))
    if phases == 1 and l1 is None:  # meters of one phase may give it as the total only
        l1 = fast.value(place.total, place.scale)
    return l1, l2, l3


def _resolution_a(fast: Registers, layout: Layout) -> float:
    if layout.current.scale is None:
        return _FLOAT_RESOLUTION_A
    power = fast.exponent(layout.current.scale)
    return _FLOAT_RESOLUTION_A if power is None else 10.0**power


def _turned(values: Phases) -> Phases:
    return _negative(values[0]), _negative(values[1]), _negative(values[2])


def _negative(value: float | None) -> float | None:
    return None if value is None else 0.0 - value


def _thousandth(value: float | None) -> float | None:
    return None if value is None else value / 1000
