"""The command line.

Exit status: 0 ok, 1 found trouble, 2 usage, 3 gateway unreachable, 4 refused, 5 time-out, 78 configuration.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import click
import httpx
from rich.console import Console
from rich.table import Table

import gateway
from gateway import app, log
from gateway.config import Config, load, redacted
from gateway.config_mistakes import ConfigError
from gateway.demo import commands as demo_commands
from gateway.errors import GatewayError

_TROUBLE, _UNREACHABLE, _REFUSED, _TIMEOUT, _CONFIG = 1, 3, 4, 5, 78
_PLACES = (Path("config.toml"), Path("/etc/ocpp-gateway/config.toml"))

config_option = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The configuration file. Default: ./config.toml, else /etc/ocpp-gateway/config.toml.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(gateway.__version__, prog_name="ocpp-gateway")
def main() -> None:
    """A Local Controller for parking sites: chargers on one side, the CSMS on the other, and nothing lost between."""


@main.command()
@config_option
def run(path: Path | None) -> None:
    """Run the gateway until it is told to stop."""
    config = _load(path)
    log.setup(config.log.level, config.log.format)
    try:
        asyncio.run(app.run(config))
    except GatewayError as error:
        _fail(_TROUBLE, f"cannot run: {error}")


@main.command("check-config")
@config_option
@json_option
def check_config(path: Path | None, as_json: bool) -> None:
    """Check the configuration file and say everything that is wrong with it."""
    config = _load(path, as_json=as_json)
    if as_json:
        click.echo(json.dumps({"ok": True, "warnings": config.warnings, "config": redacted(config)}, default=str))
        return
    for warning in config.warnings:
        click.echo(f"warning: {warning}")
    stations = len(config.stations)
    click.echo(f"{config.source}: good ({len(config.downlinks)} listeners, {stations} stations, {config.uplink.url})")


@main.command()
@config_option
@json_option
def status(path: Path | None, as_json: bool) -> None:
    """Show the stations, their links to the CSMS, and what is queued. Exit status 1 if something needs attention."""
    found = _ask(path, "GET", "/v1/status")
    if as_json:
        click.echo(json.dumps(found))
    else:
        _show_status(found)
    if found["store"] != "ok" or found["queue"]["parked"] or found["pending"]:
        sys.exit(_TROUBLE)


@main.group(invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def stations(context: click.Context, path: Path | None, as_json: bool) -> None:
    """List the stations, and those that wait for approval."""
    context.obj = path
    if context.invoked_subcommand is None:
        found = _ask(path, "GET", "/v1/status")
        if as_json:
            click.echo(json.dumps({"stations": found["stations"], "pending": found["pending"]}))
        else:
            _show_status(found)


@stations.command()
@click.argument("station")
@click.pass_obj
def approve(path: Path | None, station: str) -> None:
    """Take a waiting station into service. What it showed as password is what it must show from now on."""
    _ask(path, "POST", f"/v1/stations/{station}/approve")
    click.echo(f"{station} is approved; it connects again within its retry time")


@stations.command()
@click.argument("station")
@click.pass_obj
def reject(path: Path | None, station: str) -> None:
    """Refuse a station from now on."""
    _ask(path, "POST", f"/v1/stations/{station}/reject")
    click.echo(f"{station} is rejected")


main.add_command(demo_commands.simulate)
main.add_command(demo_commands.demo)


def _find(path: Path | None) -> Path:
    if path is not None:
        return path
    found = next((place for place in _PLACES if place.exists()), None)
    if found is None:
        _fail(_CONFIG, f"no configuration: neither {_PLACES[0]} nor {_PLACES[1]} is there. Remedy: give --config FILE.")
    return found


def _load(path: Path | None, *, as_json: bool = False) -> Config:
    try:
        return load(_find(path))
    except ConfigError as error:
        if as_json:
            mistakes = [{"path": m.path, "problem": m.problem, "remedy": m.remedy} for m in error.mistakes]
            click.echo(json.dumps({"ok": False, "mistakes": mistakes}))
        else:
            click.echo(str(error), err=True)
        sys.exit(_CONFIG)


def _ask(path: Path | None, method: str, route: str) -> Any:
    """Ask the running gateway over its socket."""
    socket = _load(path).site.state_dir / app.API_SOCKET
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), timeout=10) as client:
            answer = client.request(method, f"http://gateway{route}")
    except httpx.TimeoutException:
        _fail(_TIMEOUT, f"the gateway did not answer in 10 s on {socket}")
    except httpx.TransportError as error:
        _fail(
            _UNREACHABLE, f"no gateway answers on {socket} ({error}). Remedy: is it running, with this configuration?"
        )
    if answer.is_error:
        _fail(_REFUSED, f"refused: {answer.json().get('detail', answer.text)}")
    return answer.json()


def _fail(code: int, message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(code)


def _show_status(found: dict[str, Any]) -> None:
    console = Console()
    table = Table(title=found["site"], title_justify="left")
    for heading in ("station", "connected", "version", "uplink", "connectors", "running", "queue", "parked"):
        table.add_column(heading)
    for one in found["stations"]:
        connectors = " ".join(f"{name}:{state}" for name, state in one["connectors"].items())
        table.add_row(
            one["id"],
            "yes" if one["connected"] else "no",
            one["dialect"] or "-",
            "held by the CSMS" if one["held"] else one["uplink"],
            connectors or "-",
            str(one["running"]),
            str(one["queue"]),
            str(one["parked"]),
        )
    console.print(table)
    queue = found["queue"]
    console.print(
        f"{queue['rows']} messages on their way to the CSMS, {queue['parked']} set aside, "
        f"{queue['unknown_outcomes']} deliveries of unknown outcome; store {found['store']}"
    )
    clock = found["clock"]
    waiting = "; stations that boot have to wait for it" if clock["stations_wait"] else ""
    console.print(f"time {clock['time']}, {clock['trust']}: {clock['reason']}{waiting}")
    for one in found["stations"]:
        if one["clock"]["is_skewed"]:
            console.print(f"{one['id']}: its clock is {one['clock']['skew_s']:+.0f} s off. Remedy: set its time source")
        if abs(one["clock"]["given_offset_s"]) > 60:
            offset = f"{one['clock']['given_offset_s']:+.0f} s"
            console.print(f"{one['id']}: keeps a time {offset} off until its transaction has ended")
    for one in found["pending"]:
        console.print(
            f"waiting for approval: {one['id']} from {one['address']}, {one['waiting_s']} s. "
            f"Remedy: ocpp-gateway stations approve {one['id']}"
        )
