"""Meters and circuits in lines of text."""

from typing import Any

from rich.markup import escape

Shown = dict[str, Any]
_COLOURS = {"good": "green", "fresh": "green", "partial": "yellow", "late": "yellow"}


def meter_lines(meters: list[Shown]) -> list[str]:
    """A line for each meter, for `status`."""
    lines = []
    for one in meters:
        quality = one["reading"]["quality"] if one["reading"] else "no reading"
        age = f"{one['age_s']:.1f} s old" if one["age_s"] is not None else "nothing to rely on"
        trouble = (
            f": {escape(one['trouble']['problem'])}. Remedy: {escape(one['trouble']['remedy'])}"
            if one["trouble"]
            else ""
        )
        lines.append(f"meter {one['id']}: {coloured(one['freshness'])}, {coloured(quality)}, {age}{trouble}")
    return lines


def circuit_lines(circuits: list[Shown]) -> list[str]:
    """A line for each circuit, for `status`."""
    lines = []
    for one in circuits:
        load = " / ".join(number(value, 1) for value in one["current_a"])
        missing = "; ".join(
            f"{part['meter'] or part['circuit']} {'/'.join(f'L{phase}' for phase in part['phases'])} {part['reason']}"
            for part in one["missing"]
        )
        lines.append(
            f"circuit {one['id']}: {load} A of {one['limit_a']:g} A{f' (missing: {missing})' if missing else ''}"
        )
    return lines


def number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def coloured(word: str) -> str:
    return f"[{_COLOURS.get(word, 'red')}]{word}[/]"
