"""The meters that are known: what may stand as driver and model in a `[meter.NAME]`."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from drivers import model_file, mqtt_layout, p1_telegram, registry
from drivers.model_file import MeterModel
from drivers.mqtt_layout import LayoutFile
from drivers.options import OptionsError, Places
from gateway.cli_base import PLACES, TROUBLE, config_option, json_option

_WIDE = 110
"""Columns of a terminal in which the sources have room."""


@dataclass(frozen=True, slots=True)
class Known:
    """`key` and `value` go into the meter's section beside `driver`; None: the driver needs no model."""

    driver: str
    key: str | None
    value: str | None
    name: str
    protocol: str
    line: str | None = None
    verified: bool | None = None
    sources: tuple[str, ...] = ()
    notes: str = ""
    problem: str | None = None
    """Why this file cannot be used."""
    refused: str | None = None
    """Why this meter cannot be used, and what to do instead."""


_BY_PROTOCOL = (
    Known("sml", None, None, "German meters with an optical port", "SML", "9600 8N1", None, ("pysml",)),
    Known("han", None, None, "Aidon, Kaifa, Kamstrup: Nordic customer port", "HDLC", "2400 8N1", None, ("amshan",)),
    Known(
        "speedwire", None, None, "SMA Energy Meter, Sunny Home Manager", "UDP", None, None, ("SMA EMETER-Protokoll",)
    ),
)
_LISTED = ("modbus", "mqtt", "p1", "sunspec", *(one.driver for one in _BY_PROTOCOL))


def known_meters(places: Places) -> list[Known]:
    """By driver; those of the installer's own files too."""
    maps = _files("modbus", "Modbus", model_file.files(places), lambda path: _register_map(model_file.load(path)))
    layouts = _files("mqtt", "MQTT", mqtt_layout.files(places), lambda path: _layout(mqtt_layout.load(path)))
    others = [
        Known(name, None, None, "see docs/configuration.md", name) for name in registry.names() if name not in _LISTED
    ]
    return [*maps, *_refused(), _sunspec(), *layouts, *_p1(), *_BY_PROTOCOL, *others]


def _files(driver: str, protocol: str, files: dict[str, Path], load: Callable[[Path], Known]) -> Iterator[Known]:
    for name, path in sorted(files.items()):
        try:
            yield load(path)
        except OptionsError as error:
            yield Known(driver, "model", name, str(path), protocol, problem=str(error))


def _register_map(model: MeterModel) -> Known:
    serial, ways = model.modbus.serial, model.modbus.transports
    names = {"serial": f"{serial.baud} 8{serial.parity}{serial.stop}", "tcp": "TCP", "udp": "UDP"}
    line = " or ".join(names[way] for way in ways)
    return Known("modbus", "model", model.id, model.name, "Modbus", line, model.verified, model.sources, model.notes)


def _refused() -> Iterator[Known]:
    for one in model_file.refusals().values():
        why = f"{one.problem}. {one.remedy}"
        yield Known("modbus", "model", one.id, one.name, "Modbus", None, None, one.sources, refused=why)


def _sunspec() -> Known:
    name = "any meter with SunSpec model 201-204 or 211-214"
    sources = ("SunSpec information models", "pysunspec2")
    return Known("sunspec", None, None, name, "SunSpec", "9600 8N1, TCP or UDP", None, sources)


def _layout(model: LayoutFile) -> Known:
    return Known("mqtt", "model", model.id, model.name, "MQTT", None, model.verified, model.sources, model.notes)


def _p1() -> Iterator[Known]:
    for name, spec in p1_telegram.SPECS.items():
        line = f"{spec.baud} {spec.bits}{spec.parity}1"
        sources = (f"dsmr-parser {spec.parser}",)
        notes = "" if spec.has_currents else "no currents of phases, so it is refused for a circuit"
        yield Known("p1", "spec", name, f"smart meters, specification {name}", "P1", line, None, sources, notes)


@click.command()
@config_option
@json_option
def models(path: Path | None, as_json: bool) -> None:
    """List the meters that are known, those of your own folder meter-models included.

    Exit status 1 if one of your own files cannot be used.
    """
    config = path or next((place for place in PLACES if place.exists()), None)
    found = known_meters(Places(config.absolute().parent if config else Path.cwd()))
    if as_json:
        click.echo(json.dumps({"models": [asdict(one) for one in found]}))
    else:
        _show(found)
    if any(one.problem for one in found):
        sys.exit(TROUBLE)


def _show(found: list[Known]) -> None:
    console, table = Console(), Table()
    has_room = console.width >= _WIDE
    for heading in ("driver", "write", "meter", "line", "verified", *(["sources"] if has_room else [])):
        table.add_column(heading, overflow="fold", no_wrap=heading == "write")
    for one in found:
        if one.refused:
            continue
        write = f'{one.key} = "{one.value}"' if one.key else "-"
        verified = {True: "yes", False: "no", None: "-"}[one.verified]
        cells: list[Any] = [one.driver, write, one.name, one.line or "-", verified]
        table.add_row(*cells, *([", ".join(one.sources) or "-"] if has_room else []))
    console.print(table)
    if not has_room:
        console.print("A wider window, or --json, shows the sources.")
    console.print("verified: two independent sources agree; compare with the meter's display all the same.")
    for one in found:
        if one.notes:
            console.print(f"{one.value}: {one.notes}", highlight=False, markup=False)
    for one in found:
        if one.refused:
            console.print(f"{one.value}: cannot be used: {one.refused}", highlight=False, markup=False)
        if one.problem:
            console.print(f"{one.name} cannot be used: {one.problem}", style="red", highlight=False, markup=False)
