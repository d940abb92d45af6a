"""Recorded readings as text: JSON lines or CSV. Pure.

JSON: one object a line, `{"t": 0.0, "current_a": [6.1, 5.9, 6.0], "voltage_v": [...], "power_total_w": 4140}`.
CSV: a head line with the same names, those of phases as `current_a_l1` and so on. `t` is seconds, rising; what is
null, empty or left out was not there, and will not be there when it is played.
"""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from drivers.api import NO_PHASES, Phases, Reading, Signed

_PHASED: Final = ("current_a", "voltage_v", "power_w")
_SINGLE: Final = ("power_total_w", "power_factor", "frequency_hz", "energy_import_kwh", "energy_export_kwh")


class Row(BaseModel):
    """One recorded moment. The names are those of `Reading`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    t: float
    current_a: Phases = NO_PHASES
    current_signed: Signed = Signed.NATIVE
    voltage_v: Phases = NO_PHASES
    power_w: Phases = NO_PHASES
    power_total_w: float | None = None
    power_factor: float | None = None
    frequency_hz: float | None = None
    energy_import_kwh: float | None = None
    energy_export_kwh: float | None = None
    resolution_a: float = 0.01
    phases: int = 3

    def fields(self) -> dict[str, Any]:
        """For a Reading."""
        return {name: getattr(self, name) for name in type(self).model_fields if name != "t"}


class RecordingError(Exception):
    """`line` counts from 1."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line
        self.problem = problem


def line_of(reading: Reading, t: float) -> str:
    """A reading as a line of a JSON recording, `t` seconds after its beginning."""
    values = {name: getattr(reading, name) for name in (*_PHASED, "current_signed", *_SINGLE, "resolution_a", "phases")}
    is_there = {name: value for name, value in values.items() if value is not None and value != NO_PHASES}
    return json.dumps({"t": round(t, 3), **is_there}) + "\n"


def parsed(text: str) -> list[Row]:
    """The rows of a recording. Raises RecordingError: a line that makes no sense, or no line at all."""
    raw = _from_json(text) if text.lstrip().startswith("{") else _from_csv(text)
    rows: list[Row] = []
    for line, content in raw:
        try:
            row = Row.model_validate(content)
        except ValidationError as error:
            detail = error.errors(include_url=False)[0]
            raise RecordingError(line, f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}") from None
        if rows and row.t <= rows[-1].t:
            raise RecordingError(line, f"t is {row.t:g}, not later than the line before")
        rows.append(row)
    if not rows:
        raise RecordingError(1, "there are no readings")
    return rows


def _from_json(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, content in enumerate(text.splitlines(), 1):
        if not content.strip():
            continue
        try:
            value = json.loads(content)
        except ValueError as error:
            raise RecordingError(line, f"is not JSON ({error})") from None
        if not isinstance(value, dict):
            raise RecordingError(line, "is no object")
        yield line, value


def _from_csv(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text), strict=True)
    columns = {name.strip() for name in reader.fieldnames or ()}
    try:
        for cells in reader:
            if None in cells or None in cells.values():
                raise RecordingError(reader.line_num, f"has not {len(columns)} cells, as the head line has")
            yield reader.line_num, _row({name.strip(): value.strip() for name, value in cells.items()})
    except csv.Error as error:
        raise RecordingError(reader.line_num, str(error)) from None


def _row(cells: dict[str, str]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, text in cells.items():
        stem, _, phase = name.rpartition("_l")
        if stem in _PHASED and phase in {"1", "2", "3"}:
            row.setdefault(stem, [None, None, None])[int(phase) - 1] = text or None
        elif text:
            row[name] = text
    return row
