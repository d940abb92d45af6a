"""Commands about the building's meters."""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import aclosing, suppress
from pathlib import Path

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from gateway import cli_meter_source, log
from gateway.cli_base import TIMEOUT, TROUBLE, config_option, json_option, load_config
from gateway.cli_meter_ct import ct_test
from gateway.cli_meter_models import models
from gateway.cli_meter_probe import probe_command
from gateway.cli_meter_source import Shown
from gateway.config import Config
from gateway.model.ids import MeterId
from gateway.web import meter_snapshot

_COLOURS = {"good": "green", "fresh": "green", "partial": "yellow", "late": "yellow"}


@click.group()
def meter() -> None:
    """Find the building's meters, read them, and list those that are known."""


@meter.command()
@click.argument("name")
@config_option
@json_option
@click.option("--watch", is_flag=True, help="Go on until Ctrl-C; with --json, one object a line.")
@click.option("--wait", "wait_s", default=20.0, show_default=True, help="Seconds to wait for a first reading.")
def read(name: str, path: Path | None, as_json: bool, watch: bool, wait_s: float) -> None:
    """Show what meter NAME says: values, their age, and how far they can be believed.

    Asks the running gateway. If none runs, the meter is read directly, as the configuration says.

    Exit status 1 if the values can't be relied on, 5 if the meter says nothing.
    """
    config = load_config(path, as_json=as_json)
    names = [one.id for one in config.meters]
    if name not in names:
        known = f"it has {', '.join(names)}" if names else "it has none: add a section [meter.NAME]"
        raise click.BadParameter(f"no meter {name} is in {config.source}; {known}", param_hint="NAME")
    log.setup("error")
    with suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(_read(config, MeterId(name), as_json, watch, wait_s)))


meter.add_command(models)
meter.add_command(probe_command)
meter.add_command(ct_test)


async def _read(config: Config, name: MeterId, as_json: bool, watch: bool, wait_s: float) -> int:
    """Returns the exit status."""
    states, source = cli_meter_source.states(config, name, wait_s)
    about = f"meter {name} ({cli_meter_source.described(config, name)}), {source}"
    status = 0
    async with aclosing(states):
        if watch and not as_json and Console().is_terminal:
            with Live(auto_refresh=False) as live:
                async for shown in states:
                    live.update(_table(shown, about), refresh=True)
        else:
            async for shown in states:
                if as_json:
                    click.echo(json.dumps({**shown, "source": source}))
                else:
                    Console().print(_table(shown, about))
                status = _status(shown)
                if not watch:
                    return status
    return status


def _status(shown: Shown) -> int:
    if meter_snapshot.is_relied_on(shown):
        return 0
    silent = shown["reading"] is None and (shown["trouble"] or {"kind": "silent"})["kind"] == "silent"
    return TIMEOUT if silent else TROUBLE


def _table(shown: Shown, about: str) -> RenderableType:
    reading = shown["reading"] or {}
    if not reading:
        return Group(about, *_lines(shown, reading))
    table = Table()
    for heading in ("", "L1", "L2", "L3", "all", "unit"):
        table.add_column(heading, justify="left" if heading in ("", "unit") else "right")
    for words, key, unit, digits in (
        ("current", "current_a", "A", 2), ("voltage", "voltage_v", "V", 1), ("active power", "power_w", "W", 0),
    ):  # fmt: skip
        total = [_number(reading["power_total_w"], digits)] if key == "power_w" else [""]
        table.add_row(words, *(_number(one, digits) for one in reading[key]), *total, unit)
    for words, key, unit, digits in (
        ("power factor", "power_factor", "", 2), ("frequency", "frequency_hz", "Hz", 2),
        ("energy in", "energy_import_kwh", "kWh", 2), ("energy out", "energy_export_kwh", "kWh", 2),
    ):  # fmt: skip
        if shown[key]:
            table.add_row(words, "", "", "", _number(shown[key]["value"], digits), unit)
    return Group(about, table, *_lines(shown, reading))


def _lines(shown: Shown, reading: Shown) -> Iterator[str]:
    """What is to be said about the values."""
    if reading:
        yield f"age {reading['age_s']:.1f} s, expected every {shown['interval_s'] or '?'} s"
        yield f"quality {_coloured(reading['quality'])}"
        for one in reading["reasons"]:
            where = "".join(f" L{phase}" for phase in one["phases"])
            yield f"  {one['reason']}{where}: {one['words']}"
        if reading["current_signed"] == "unknown":
            yield "  the currents have no direction: export looks like import"
    else:
        yield "no reading yet"
    relied = f"{shown['age_s']:.1f} s old" if shown["age_s"] is not None else "no currents that can be believed"
    yield f"for balancing: {_coloured(shown['freshness'])} ({relied})"
    if shown["bad_in_a_row"]:
        yield f"  the last {shown['bad_in_a_row']} readings were not believed"
    if not shown["gives_room"] and shown["interval_s"]:
        yield "  too slow to share what is left by the moment: it shows the base load only"
    if trouble := shown["trouble"]:
        yield f"[red]trouble[/red]: {escape(trouble['problem'])}"
        yield f"  Remedy: {escape(trouble['remedy'])}"
    yield from (f"note: {escape(note)}" for note in shown["notes"])


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
        lines.append(f"meter {one['id']}: {_coloured(one['freshness'])}, {_coloured(quality)}, {age}{trouble}")
    return lines


def circuit_lines(circuits: list[Shown]) -> list[str]:
    """A line for each circuit, for `status`."""
    lines = []
    for one in circuits:
        load = " / ".join(_number(value, 1) for value in one["current_a"])
        missing = "; ".join(
            f"{part['meter'] or part['circuit']} {'/'.join(f'L{phase}' for phase in part['phases'])} {part['reason']}"
            for part in one["missing"]
        )
        lines.append(
            f"circuit {one['id']}: {load} A of {one['limit_a']:g} A{f' (missing: {missing})' if missing else ''}"
        )
    return lines


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _coloured(word: str) -> str:
    return f"[{_COLOURS.get(word, 'red')}]{word}[/]"
