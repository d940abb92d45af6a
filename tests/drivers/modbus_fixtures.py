"""Register dumps and the readings they must give, one file a model."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivers.api import Reading
from tests.drivers.modbus_rig import Unit

FOLDER = Path(__file__).parent / "fixtures"


@dataclass(frozen=True, slots=True)
class Fixture:
    model: str
    unit: Unit
    expected: Mapping[str, Any]

    def differences(self, reading: Reading) -> dict[str, tuple[object, object]]:
        """Field -> expected and read. Values to the 9th digit: floats of 32 bits are exact in the files."""
        wanted = dict.fromkeys(_VALUES) | {"quality": "good", "reasons": []} | dict(self.expected)
        found = {}
        for name, value in wanted.items():
            is_read = _plain(getattr(reading, name))
            expected = _padded(value) if name in _PHASED else _plain(value)
            if is_read != expected:
                found[name] = (expected, is_read)
        return found


_PHASED = ("current_a", "voltage_v", "power_w")
_VALUES = ("power_total_w", "power_factor", "frequency_hz", "energy_import_kwh", "energy_export_kwh")


def _plain(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, tuple):
        return tuple(_plain(one) for one in value)
    if isinstance(value, frozenset | list):
        return sorted(str(one) for one in value)
    return value if value is None else str(value) if isinstance(value, str) else value


def _padded(values: Any) -> object:
    return _plain((*values, None, None, None)[:3])


def load(model: str) -> Fixture:
    """With `like`, the registers and the reading of that fixture, but for what is said here."""
    table = tomllib.loads((FOLDER / f"{model}.toml").read_text("utf-8"))
    registers = {name: _registers(blocks) for name, blocks in table.get("registers", {}).items()}
    alone = {int(at, 16): content for at, content in table.get("alone", {}).get("input", {}).items()}
    unit = Unit(registers.get("holding", {}), registers.get("input", {}), alone, tuple(table.get("borders", ())))
    reading = table.get("reading", {})
    if "like" in table:
        base = load(table["like"])
        parts = ({**base.unit.holding, **unit.holding}, {**base.unit.input, **unit.input}, {**base.unit.alone, **alone})
        unit, reading = Unit(*parts, unit.borders or base.unit.borders), {**base.expected, **reading}
    return Fixture(table["model"], unit, reading)


def _registers(blocks: Mapping[str, list[int]]) -> dict[int, int]:
    return {int(at, 16) + place: content for at, block in blocks.items() for place, content in enumerate(block)}
