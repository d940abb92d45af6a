"""What registers mean: numbers, then the values of a reading. Pure."""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from drivers.api import NO_PHASES, Phases, Quality, Reason, Signed
from drivers.model_file import WIDTHS, Check, MeterModel, Point, Register
from drivers.register_plan import SCALE, Block, Value

_FORMATS: Final = {
    "int16": ">h",
    "uint16": ">H",
    "int32": ">i",
    "uint32": ">I",
    "int64": ">q",
    "uint64": ">Q",
    "float32": ">f",
    "float64": ">d",
}
_MISSING: Final = {
    "current": Reason.CURRENT_MISSING,
    "voltage": Reason.VOLTAGE_MISSING,
    "power": Reason.POWER_MISSING,
    "power_total": Reason.POWER_MISSING,
}
_FLOAT_RESOLUTION_A: Final = 0.01

Key = tuple[str, int]
"""Name of a point, and the phase from 0; or which of the registers that it is multiplied by."""


def number(registers: Sequence[int], register: Register, word_order: str) -> float | None:
    """The raw value; None: the meter says that it has none."""
    words = registers if (register.word_order or word_order) == "big" else registers[::-1]
    content = struct.pack(f">{len(words)}H", *words)
    value = struct.unpack(_FORMATS[register.type], content)[0]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return None if isinstance(register, Point) and value == _not_there(register) else float(value)


def said(check: Check, registers: Sequence[int], word_order: str) -> float | None:
    """The value of a probe or requirement in the registers of its span."""
    first = check.at - check.span[0]
    return number(registers[first : first + WIDTHS[check.type]], check, word_order)


def _not_there(point: Point) -> int | None:
    if not isinstance(point.nan, str):
        return point.nan
    bits, is_signed = 16 * WIDTHS[point.type], point.type.startswith("int")
    if point.nan == "max":
        return (1 << (bits - is_signed)) - 1
    return -(1 << (bits - 1)) if is_signed else 0


def decoded(model: MeterModel, block: Block, registers: Sequence[int]) -> dict[Key, float | None]:
    """Raw values of a block that was read whole. The length has been checked by the bus."""
    found: dict[Key, float | None] = {}
    for value in block.values:
        words = registers[value.at - block.at :][: value.width]
        found[value.name, value.phase] = number(words, _register(model, value), model.modbus.word_order)
    return found


def _register(model: MeterModel, value: Value) -> Register:
    point = model.items()[value.name.removeprefix(SCALE)]
    return point.scale_register[value.phase] if value.name.startswith(SCALE) else point


@dataclass(frozen=True, slots=True)
class Measured:
    """The part of a reading that comes from the registers."""

    fields: Mapping[str, Any]
    quality: Quality
    reasons: frozenset[Reason]


def measured(model: MeterModel, values: Mapping[Key, float | None], failed: bool = False) -> Measured:
    """Values of the points that were read, raw; those of scale registers too. `failed`: a slow block did not answer."""
    reasons = {Reason.VALUE_MISSING} if failed else set()
    phases: dict[str, Phases] = {}
    totals: dict[str, float | None] = {}
    for name, point in model.items().items():
        read = [_scaled(model, name, values, phase) for phase in range(point.phases) if (name, phase) in values]
        if any(value is None for value in read):
            reasons.add(_MISSING.get(name, Reason.VALUE_MISSING))
        if name in {"current", "voltage", "power"}:
            l1, l2, l3 = (*read, None, None, None)[:3]
            phases[name] = (l1, l2, l3)
        else:
            totals[name] = read[0] if read else None
    power = phases.get("power", NO_PHASES)
    current, signed = _signed(phases["current"], power, model.points.current.signed)
    if signed is Signed.UNKNOWN and model.points.current.signed == "from-power":
        reasons.add(Reason.SIGN_UNKNOWN)
    fields = {
        "current_a": current,
        "current_signed": signed,
        "voltage_v": phases.get("voltage", NO_PHASES),
        "power_w": power,
        "power_total_w": totals.get("power_total"),
        "power_factor": totals.get("power_factor"),
        "frequency_hz": totals.get("frequency"),
        "energy_import_kwh": totals.get("energy_import"),
        "energy_export_kwh": totals.get("energy_export"),
        "resolution_a": resolution_a(model),
        "phases": model.points.current.phases,
    }
    return Measured(fields, Quality.PARTIAL if reasons else Quality.GOOD, frozenset(reasons))


def _scaled(model: MeterModel, name: str, values: Mapping[Key, float | None], phase: int) -> float | None:
    value = values[name, phase]
    for place, register in enumerate(model.items()[name].scale_register):
        ratio = values.get((SCALE + name, place))
        # A ratio of 0 is one that nobody set: the value would be 0, too.
        value = None if value is None or ratio is None or ratio <= 0 else value * ratio * register.scale
    value = None if value is None else value * model.factor(name)
    return value if value is not None and math.isfinite(value) else None


def _signed(current: Phases, power: Phases, source: str) -> tuple[Phases, Signed]:
    if source == "native":
        return current, Signed.NATIVE
    sizes = [None if value is None else abs(value) for value in current]
    if source == "from-power":
        pairs = list(zip(sizes, power, strict=True))
        is_known = all(size is None or watts is not None for size, watts in pairs)
        # Where the direction is missing, the current counts as load: the safe side.
        sizes = [size if size is None or watts is None else math.copysign(size, watts) for size, watts in pairs]
        signed = Signed.FROM_POWER if is_known else Signed.UNKNOWN
    else:
        signed = Signed.UNKNOWN
    l1, l2, l3 = (None if size is None else size + 0.0 for size in sizes)
    return (l1, l2, l3), signed


def resolution_a(model: MeterModel) -> float:
    point = model.points.current
    if point.resolution is not None:
        return point.resolution
    return _FLOAT_RESOLUTION_A if point.type.startswith("float") else abs(model.factor("current"))
