"""SunSpec devices as registers: a chain of models, composed here, apart from the driver's offsets."""

import random
import struct
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")
NOT_THERE = 0x8000
NAN = struct.unpack(">HH", struct.pack(">f", float("nan")))

WHOLE = (
    *("A", "AphA", "AphB", "AphC", "A_SF", "PhV", "PhVphA", "PhVphB", "PhVphC", "PPV", "PhVphAB", "PhVphBC"),
    *("PhVphCA", "V_SF", "Hz", "Hz_SF", "W", "WphA", "WphB", "WphC", "W_SF", "VA", "VAphA", "VAphB", "VAphC"),
    *("VA_SF", "VAR", "VARphA", "VARphB", "VARphC", "VAR_SF", "PF", "PFphA", "PFphB", "PFphC", "PF_SF"),
)
COUNTERS = tuple(f"TotWh{way}{phase}" for way in ("Exp", "Imp") for phase in ("", "PhA", "PhB", "PhC"))
FLOATS = (*(name for name in WHOLE if not name.endswith("_SF")), *COUNTERS)
"""In the order of the specification, after id and length."""


def words(text: str, count: int) -> list[int]:
    raw = text.encode().ljust(2 * count, b"\0")
    return [int.from_bytes(raw[i : i + 2], "big") for i in range(0, 2 * count, 2)]


def whole_model(model: int, values: Mapping[str, int | None], wh_scale: int | None = 0) -> list[int]:
    """What is not named is not there."""
    found = [_int16(values.get(name)) for name in WHOLE]
    for name in COUNTERS:
        found += divmod(values.get(name) or 0, 0x10000)
    found.append(_int16(wh_scale))
    return [model, 105, *found, *[0] * (105 - len(found))]


def float_model(model: int, values: Mapping[str, float | None]) -> list[int]:
    found: list[int] = []
    for name in FLOATS:
        value = values.get(name)
        found += NAN if value is None else struct.unpack(">HH", struct.pack(">f", value))
    return [model, 124, *found, *NAN * ((124 - len(found)) // 2)]


def _int16(value: int | None) -> int:
    return NOT_THERE if value is None else value & 0xFFFF


COMMON = [1, 66, *words("Acme", 16), *words("Meter 3", 16), *words("", 8), *words("1.0", 8), *words("4711", 16), 1, 0]
INVERTER = [103, 50, *[NOT_THERE] * 50]


def device(*models: Iterable[int], base: int = 40000) -> dict[int, int]:
    """The registers of a whole device: "SunS", common, these models, the end."""
    content = [0x5375, 0x6E53, *COMMON, *(word for model in models for word in model), 0xFFFF, 0]
    return {base + place: word for place, word in enumerate(content)}


def random_model(model: int, source: random.Random) -> list[int]:
    """Any values, many of them not there. Scale factors are: without them nobody knows what a value is."""
    if model > 210:
        return float_model(model, {name: _some(source, source.uniform(-1e5, 1e5)) for name in FLOATS})
    scales = {name: source.randint(-3, 2) for name in WHOLE if name.endswith("_SF")}
    values = {name: scales.get(name, _some(source, source.randint(-32767, 32767))) for name in WHOLE}
    values |= {name: _some(source, source.randint(0, 0xFFFFFFFF)) for name in COUNTERS}
    return whole_model(model, values, source.randint(-3, 3))


def _some(source: random.Random, value: T) -> T | None:
    return None if source.random() < 0.15 else value
