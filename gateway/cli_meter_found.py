"""What `meter probe` found, for a person and as plain data."""

from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from drivers.api import Reading
from drivers.probe import Meter, Outcome
from drivers.probe_mdns import Announced


@dataclass
class Seen:
    """What was found, all places together."""

    outcomes: list[Outcome] = field(default_factory=list)
    announced: list[Announced] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def meters(self) -> list[Meter]:
        return [meter for outcome in self.outcomes for meter in outcome.meters]


def show(seen: Seen, console: Console) -> None:
    names = {one.address: one for one in seen.announced}
    for outcome in seen.outcomes:
        device = names.get(outcome.place)
        title = f"{outcome.place} ({device.name})" if device else outcome.place
        console.print(f"\n[bold]{escape(title)}[/bold]: {escape(outcome.words)}", highlight=False)
        if outcome.trouble:
            console.print(f"  Remedy: {escape(outcome.trouble.remedy)}", highlight=False)
        elif device and not outcome.meters:
            console.print(f"  Remedy: {escape(device.remedy)}", highlight=False)
        for meter in outcome.meters:
            show_meter(meter, console, outcome.place)
    for note in seen.notes:
        console.print(f"note: {escape(note)}", highlight=False)
    if not seen.outcomes:
        console.print("there is no serial port, and nobody announces itself: give --port or --host", highlight=False)


def short(where: str) -> str:
    """Without the folder of the device."""
    return where.rpartition("/")[2] if where.startswith("/") else where


def show_meter(meter: Meter, console: Console, place: str) -> None:
    where = escape(meter.where.removeprefix(f"{place}, "))
    if meter.candidates:
        first = meter.candidates[0]
        console.print(f"{where}: [green]{escape(first.name)}[/green] ({first.why})", highlight=False)
    else:
        console.print(where, highlight=False)
    if meter.reading:
        console.print(_values(meter.reading))
    if meter.problem:
        console.print(f"[yellow]problem[/yellow]: {escape(meter.problem)}", highlight=False)


def _values(reading: Reading) -> Table:
    table = Table()
    for heading in ("", "L1", "L2", "L3", "all", "unit"):
        table.add_column(heading, justify="left" if heading in ("", "unit") else "right")
    for words, values, total, unit, digits in (
        ("current", reading.current_a, None, "A", 2),
        ("voltage", reading.voltage_v, None, "V", 1),
        ("active power", reading.power_w, reading.power_total_w, "W", 0),
    ):
        cells = ["-" if value is None else f"{value:.{digits}f}" for value in values]
        table.add_row(words, *cells, "" if total is None else f"{total:.{digits}f}", unit)
    for words, value, unit in (
        ("frequency", reading.frequency_hz, "Hz"),
        ("energy in", reading.energy_import_kwh, "kWh"),
        ("energy out", reading.energy_export_kwh, "kWh"),
    ):
        if value is not None:
            table.add_row(words, "", "", "", f"{value:.2f}", unit)
    return table


def plain(seen: Seen) -> dict[str, Any]:
    return {
        "places": [
            {
                "place": outcome.place,
                "words": outcome.words,
                "trouble": outcome.trouble and {"kind": outcome.trouble.kind, "remedy": outcome.trouble.remedy},
                "bytes_sent": outcome.sent,
                "meters": [_plain_meter(meter) for meter in outcome.meters],
            }
            for outcome in seen.outcomes
        ],
        "announced": [{"name": one.name, "address": one.address, "service": one.service} for one in seen.announced],
        "notes": seen.notes,
        "written": seen.written,
        "refused": seen.refused,
    }


def _plain_meter(meter: Meter) -> dict[str, Any]:
    reading = meter.reading
    keys = ("current_a", "voltage_v", "power_w", "power_total_w", "frequency_hz", "energy_import_kwh")
    return {
        "where": meter.where,
        "is_clear": meter.is_clear,
        "problem": meter.problem,
        "candidates": [{"table": dict(one.table), "name": one.name, "why": one.why} for one in meter.candidates],
        "reading": reading and {key: getattr(reading, key) for key in keys},
    }
