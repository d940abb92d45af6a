"""Commands about sharing current."""

import json
import sys
import threading
from math import isfinite
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from gateway.cli_base import TROUBLE, ask, config_option, console, json_option, segment
from gateway.cli_record import replay_command

Shown = dict[str, Any]
DRILL_LOOK_S = 1.0
LATELY = 8
"""Changes of a session's limit that are shown."""


@click.group(invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def circuits(context: click.Context, path: Path | None, as_json: bool) -> None:
    """Show the live tree: limit, other loads, what cars were given, what is kept for others, per phase.

    Exit status 1 if a circuit's meter can't be relied on, or a station is not managed.
    """
    if context.invoked_subcommand is not None:
        return
    found = ask(path, "GET", "/v1/circuits")
    if as_json:
        click.echo(json.dumps(found))
    else:
        _show_circuits(found)
    are_bad = any(one["rung"] not in ("normal", "late") for one in found["circuits"])
    if are_bad or found["troubles"]:
        sys.exit(TROUBLE)


circuits.add_command(replay_command)


def _show_circuits(found: Shown) -> None:
    screen = console(markup=True)
    if not found["shared"]:
        screen.print("no current is shared: no station is in a circuit")
        return
    table = Table(caption="amperes of L1 / L2 / L3", caption_justify="left")
    for heading in ("circuit", "limit", "other loads", "cars", "reserve", "free", "meter"):
        table.add_column(heading, overflow="fold", justify="left" if heading in ("circuit", "meter") else "right")
    depths: dict[str | None, int] = {None: -1}
    for one in found["circuits"]:
        depth = depths[one["id"]] = depths.get(one["parent"], 0) + 1
        table.add_row(
            "  " * depth + escape(one["id"]),
            _amps(one["limit_a"]),
            _amps(one["background_a"]),
            _amps(one["allocated_a"]),
            _amps(one["reserve_a"]),
            _amps(one["free_a"]),
            _meter(one),
        )
    screen.print(table)
    for one in found["circuits"]:
        for cap in one["caps"]:
            screen.print(f"circuit {escape(one['id'])}: {escape(_cap(cap))}")
    screen.print(connector_table(found["connectors"]))
    for trouble in found["troubles"]:
        screen.print(escape(trouble), style="bold red")


def connector_table(shown: list[Shown]) -> Table:
    table = Table()
    for heading in ("connector", "limit", "draws", "fallback", "why"):
        table.add_column(heading, overflow="fold", justify="left" if heading in ("connector", "why") else "right")
    for one in shown:
        table.add_row(
            f"{escape(one['station'])}/{one['evse']}",
            f"{one['set_a']:g} A" if one["transaction"] else "-",
            _amps(one["measured_a"]) if one["measured_a"] else "-",
            f"{one['fallback_a']:g} A",
            why_words(one["why"]),
        )
    return table


def why_words(why: Shown) -> str:
    where = f" {escape(why['circuit'])}" if why["circuit"] else ""
    phase = f" L{why['phase']}" if why["phase"] else ""
    until = f", for {why['until_s']:.0f} s more" if why["until_s"] is not None and why["until_s"] > 0 else ""
    return f"{why['binding']}{where}{phase}: {why['because']}{until}"


def show_why(shown: list[Shown]) -> None:
    """A station's connectors, each with what binds it and who has the rest."""
    screen = console(markup=True)
    for one in shown:
        screen.print(f"{escape(one['station'])}/{one['evse']} in circuit {escape(one['circuit'])}")
        state = "managed" if one["managed"] else "not managed"
        planned = f"planned {one['target_a']:g} A on {one['phases']} phases"
        screen.print(f"  limit {one['set_a']:g} A of {one['most_a']:g} A, {planned}")
        proof = "proven" if one["proven"] else "not proven"
        screen.print(f"  fallback {one['fallback_a']:g} A, {state}, {proof}, family {one['family']}")
        if one["measured_a"]:
            screen.print(f"  draws {_amps(one['measured_a'])} A of L1 / L2 / L3")
        screen.print(f"  {why_words(one['why'])}")
        for other in one["others"]:
            screen.print(f"    {escape(other['connector'])} may hold {other['may_hold_a']:g} A")
        for line in one["lately"][-LATELY:]:
            screen.print(f"  {line['ago_s']:.0f} s ago: {line['set_a']:g} A ({escape(line['why'])})")


@click.command()
@click.argument("station")
@config_option
def release(station: str, path: Path | None) -> None:
    """Take the gateway's profiles out of STATION, which leaves this site.

    Exit status 1 if something of them is left in it.
    """
    left = ask(path, "POST", f"/v1/stations/{segment(station)}/release")["left"]
    if left:
        click.echo(f"still in {station}: {', '.join(left)}. Remedy: clear it by hand", err=True)
        sys.exit(TROUBLE)
    click.echo(f"{station} is released; take it out of its circuit in the configuration")


@click.command()
@click.argument("station")
@click.option("--evse", type=click.IntRange(min=1), help="Its connector (2.x: EVSE), if cars charge at several.")
@click.option(
    "--seconds", type=click.IntRange(30, 600), default=60, show_default=True, help="How long the lease lasts."
)
@config_option
@json_option
def prove(station: str, evse: int | None, seconds: int, path: Path | None, *, as_json: bool) -> None:
    """Prove that STATION steps down by itself: a car charges there, and a lease runs out on purpose.

    Exit status 1 if it did not, or if that could not be seen.
    """
    began = ask(path, "POST", f"/v1/stations/{segment(station)}/prove", body={"evse": evse, "seconds": seconds})
    found, said = began, ""
    while found["verdict"] is None:
        line = _drill_line(found)
        if line != said and not as_json:
            click.echo(line)
        said = line
        threading.Event().wait(DRILL_LOOK_S)
        found = next(
            one for one in ask(path, "GET", f"/v1/stations/{segment(station)}/prove") if one["evse"] == began["evse"]
        )
    if as_json:
        click.echo(json.dumps(found))
    else:
        model = " ".join(filter(None, (found["vendor"], found["model"], found["firmware"]))) or "of no known model"
        click.echo(f"{found['verdict']}: {station} ({model}): {found['because']}")
    if found["verdict"] != "proven":
        sys.exit(TROUBLE)
    if not as_json:
        click.echo("Write into its section, and into those of the others of this model and firmware:\n")
        click.echo(f'[[station]]\nid = "{station}"\nproven = true')


def _drill_line(found: Shown) -> str:
    if found["left_s"] is None:
        return "waits for the moment to write the lease"
    drawn = "nothing yet" if found["drawn_a"] is None else f"{found['drawn_a']:g} A"
    when = "runs" if found["left_s"] > 0 else "is over"
    return f"the lease of {found['value_a']:g} A {when}, then {found['down_a']:g} A; it draws {drawn}"


@click.group()
def cap() -> None:
    """Cap a circuit for some time, as the grid operator or an energy manager would."""


class _Amount(click.FloatRange):
    """A range that takes neither nan nor inf."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found: float = super().convert(value, param, ctx)
        if not isfinite(found):
            self.fail(f"{value} is no amount", param, ctx)
        return found


@cap.command("set")
@click.argument("circuit")
@click.option("--limit-w", type=_Amount(min=0), help="Watts of all chargers in and below it, over all phases.")
@click.option("--limit-a", type=_Amount(min=0), help="Amperes a phase of all chargers in and below it.")
@click.option("--seconds", type=_Amount(min=1), required=True, help="How long it holds.")
@click.option(
    "--source", default="operator", show_default=True, help="Who says so: a newer cap of the same replaces it."
)
@config_option
def set_cap(
    *, circuit: str, limit_w: float | None, limit_a: float | None, seconds: float, source: str, path: Path | None
) -> None:
    """Cap CIRCUIT from now on."""
    if limit_w is None and limit_a is None:
        raise click.UsageError("give --limit-w or --limit-a")
    body = {"circuit": circuit, "limit_w": limit_w, "limit_a": limit_a, "seconds": seconds}
    found = ask(path, "PUT", f"/v1/caps/{segment(source)}", body=body)
    click.echo(f"circuit {found['circuit']} is capped until {found['until']}")


@cap.command("clear")
@click.option("--source", default="operator", show_default=True, help="Whose cap.")
@config_option
def clear_cap(source: str, path: Path | None) -> None:
    """Take a cap away before its end."""
    ask(path, "DELETE", f"/v1/caps/{segment(source)}")
    click.echo(f"the cap of {source} is taken away")


@cap.command("list")
@config_option
@json_option
def list_caps(path: Path | None, as_json: bool) -> None:
    """Show the caps there are."""
    found = ask(path, "GET", "/v1/caps")
    if as_json:
        click.echo(json.dumps({"caps": found}))
        return
    for one in found:
        click.echo(f"circuit {one['circuit']}: {_cap(one)}")
    if not found:
        click.echo("no cap")


def _cap(one: Shown) -> str:
    limits = [
        f"{one['limit_w']:g} W" if one["limit_w"] is not None else "",
        f"{one['limit_a'][0]:g} A" if one["limit_a"] else "",
    ]
    limit = " and ".join(filter(None, limits)) or "no limit"
    if one["fail_safe"]:
        return f"{limit}, the fail-safe of {one['source']}, which was not heard; until {one['until']} at least"
    return f"{limit} by {one['source']} until {one['until']}"


def _meter(one: Shown) -> str:
    if not one["metered"]:
        return "-"
    colour = {"normal": "green", "late": "yellow"}.get(one["rung"], "red")
    return f"[{colour}]{one['rung']}[/]"


def _amps(values: list[float]) -> str:
    return " / ".join(f"{value:g}" for value in values)
