"""Commands about the stations of a running gateway."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click
from rich.table import Table

from gateway.cli_base import REFUSED, TROUBLE, ask, config_option, console, fail, json_option, segment
from gateway.cli_meter_lines import circuit_lines, meter_lines


@click.command()
@config_option
@json_option
def status(path: Path | None, as_json: bool) -> None:
    """Show the stations, their links to the CSMS, and what is queued. Exit status 1 if something needs attention."""
    found = ask(path, "GET", "/v1/status")
    if as_json:
        click.echo(json.dumps(found))
    else:
        _show_status(found)
    are_read = all(one["freshness"] in ("fresh", "late") for one in found["meters"])
    is_troubled = found["store"] != "ok" or found["alarms"] or found["queue"]["parked"] or found["pending"]
    if is_troubled or not are_read:
        sys.exit(TROUBLE)


class _Stations(click.Group):
    """`stations NAME` is short for `stations show NAME`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            args = ["show", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=_Stations, invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def stations(context: click.Context, path: Path | None, as_json: bool) -> None:
    """List the stations, and those that wait for approval."""
    context.obj = path
    if context.invoked_subcommand is None:
        found = ask(path, "GET", "/v1/status")
        if as_json:
            click.echo(json.dumps({"stations": found["stations"], "pending": found["pending"]}))
        else:
            _show_status(found)


@stations.command()
@click.argument("station")
@click.option("--why", is_flag=True, help="Say what keeps its cars from more current, and who has the rest.")
@config_option
@json_option
@click.pass_obj
def show(said: Path | None, station: str, path: Path | None, *, why: bool, as_json: bool) -> None:
    """Show one station; "show" may be left out."""
    path = path or said
    if not why:
        click.echo(json.dumps(_one_station(path, station), indent=None if as_json else 2))
        return
    found = ask(path, "GET", f"/v1/stations/{segment(station)}/why")
    if as_json:
        click.echo(json.dumps(found))
        return
    from gateway.cli_balance import show_why

    show_why(found)


def _one_station(path: Path | None, station: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = ask(path, "GET", "/v1/status")["stations"]
    one = next((one for one in found if one["id"] == station), None)
    if one is None:
        fail(REFUSED, f"no station {station} is known")
    return one


@stations.command()
@click.argument("station")
@config_option
@click.pass_obj
def approve(said: Path | None, station: str, path: Path | None) -> None:
    """Take a waiting station into service. What it showed as password is what it must show from now on."""
    ask(path or said, "POST", f"/v1/stations/{segment(station)}/approve")
    click.echo(f"{station} is approved; it connects again within its retry time")


@stations.command()
@click.argument("station")
@config_option
@click.pass_obj
def reject(said: Path | None, station: str, path: Path | None) -> None:
    """Refuse a station from now on."""
    ask(path or said, "POST", f"/v1/stations/{segment(station)}/reject")
    click.echo(f"{station} is rejected")


@stations.command()
@click.argument("old")
@click.argument("new")
@config_option
@click.pass_obj
def replace(said: Path | None, old: str, new: str, path: Path | None) -> None:
    """Give the connector numbers of the station OLD to NEW. For a site that is one station to the CSMS."""
    found = ask(path or said, "POST", f"/v1/stations/{segment(old)}/replace/{segment(new)}")
    click.echo(f"{new} has the numbers of {old} from now on: {_numbers(found)}")


@stations.command()
@click.argument("station")
@config_option
@click.pass_obj
def remove(said: Path | None, station: str, path: Path | None) -> None:
    """Take a station out for good. Its connector numbers stay at the CSMS, as Unavailable, and are never given again.

    For a site that is one station to the CSMS.
    """
    found = ask(path or said, "POST", f"/v1/stations/{segment(station)}/remove")
    click.echo(f"{station} is removed; Unavailable from now on: {_numbers(found)}")


def _numbers(found: dict[str, Any]) -> str:
    return ", ".join(map(str, found["numbers"]))


@click.command()
@click.argument("token")
@click.option("--station", required=True, help="The station it would be shown at.")
@click.option("--evse", type=click.IntRange(min=1), help="The connector (2.x: EVSE) it would start at.")
@click.option("--type", "kind", default="", help="Type of the token in OCPP 2.x, such as eMAID; a card without it.")
@config_option
@json_option
def authorize(*, token: str, station: str, evse: int | None, kind: str, path: Path | None, as_json: bool) -> None:
    """Say what would happen if TOKEN were shown at a station now, and why. Changes nothing.

    Exit status 1 if it could not start there without the CSMS.
    """
    asked = {"token": token, "station": station, "kind": kind, **({"evse": str(evse)} if evse else {})}
    found = ask(path, "GET", f"/v1/authorize?{urlencode(asked)}")
    if as_json:
        click.echo(json.dumps(found))
    else:
        _show_authorization(found)
    if not found["offline"]["start"]["accepted"]:
        sys.exit(TROUBLE)


def _show_authorization(found: dict[str, Any]) -> None:
    online, offline = found["online"], found["offline"]
    if online["answers_before"]:
        click.echo("now: accepted at once, and the CSMS is asked meanwhile; its word on the start counts")
    elif online["asks_csms"]:
        click.echo(f"now: the CSMS is asked; if it is silent for {online['waits_s']:g} s, as without it")
    else:
        click.echo(f"now: as without the CSMS, which can't be asked (link {online['link']})")
    for what, shown in (("shown", offline["authorize"]), ("start", offline["start"])):
        more = "".join(f", {name} {shown[name]}" for name in ("group", "expiry") if shown[name])
        click.echo(f"without the CSMS, {what}: {shown['status']} ({shown['reason']}): {shown['because']}{more}")
    known = found["known"]
    if listed := known["local_list"]:
        whose = f"version {listed['version']}, this station's" if listed["is_own"] else "the newest of the site"
        click.echo(f"local list ({whose}): {listed['status']}")
    if cached := known["cache"]:
        click.echo(f"cache: {cached['status']}, said {cached['seen']}, last used {cached['used']}")
    if not (listed or cached or known["tags_file"]):
        click.echo("in no list, no cache, no tags file")


def _numbered(one: dict[str, Any], name: str) -> str:
    """A connector, and the number the CSMS knows it by where that is another."""
    number = one["numbers"].get(name.partition("/")[0])
    return name if number is None else f"{name}={number}"


def _presence(one: dict[str, Any]) -> str:
    """A station that is refused looks like one that is switched off, unless it is said."""
    if one["connected"]:
        return "yes"
    return f"no, {one['approval']}" if one["approval"] in ("rejected", "unknown") else "no"


def _show_status(found: dict[str, Any]) -> None:
    screen = console()
    table = Table(title=found["site"], title_justify="left")
    for heading in ("station", "connected", "version", "uplink", "connectors", "running", "queue", "parked"):
        table.add_column(heading, overflow="fold")
    for one in found["stations"]:
        connectors = " ".join(f"{_numbered(one, name)}:{state}" for name, state in one["connectors"].items())
        table.add_row(
            one["id"],
            _presence(one),
            one["dialect"] or "-",
            "held by the CSMS" if one["held"] else one["uplink"],
            connectors or "-",
            str(one["running"]),
            str(one["queue"]),
            str(one["parked"]),
        )
    screen.print(table)
    if link := found["one_link"]:
        screen.print(
            f"one station to the CSMS: {link['identity']}, link {link['state']}, {link['numbers']} connectors; "
            f"{link['waiting']} messages wait, all gone in {link['drain_s']:g} s"
        )
    for line in meter_lines(found["meters"]) + circuit_lines(found["circuits"]):
        screen.print(line, markup=True)
    queue = found["queue"]
    screen.print(
        f"{queue['rows']} messages on their way to the CSMS, {queue['parked']} set aside, "
        f"{queue['unknown_outcomes']} deliveries of unknown outcome; store {found['store']}"
    )
    clock = found["clock"]
    waiting = "; stations that boot have to wait for it" if clock["stations_wait"] else ""
    screen.print(f"time {clock['time']}, {clock['trust']}: {clock['reason']}{waiting}")
    for one in found["stations"]:
        if one["clock"]["is_skewed"]:
            screen.print(f"{one['id']}: its clock is {one['clock']['skew_s']:+.0f} s off. Remedy: set its time source")
        if abs(one["clock"]["given_offset_s"]) > 60:
            offset = f"{one['clock']['given_offset_s']:+.0f} s"
            screen.print(f"{one['id']}: keeps a time {offset} off until its transaction has ended")
    for alarm in found["alarms"]:
        screen.print(f"ALARM {alarm['kind']} since {alarm['since']}: {alarm['text']}", style="bold red")
    if queue["parked"]:
        screen.print("Messages are set aside. Remedy: ocpp-gateway queue list --parked says which and why")
    for one in found["pending"]:
        if one["problem"]:
            remedy = "name its circuit in [[station]], or the listener's in [[downlink]]"
            screen.print(f"not served: {one['id']} from {one['address']}: {one['problem']}. Remedy: {remedy}")
            continue
        screen.print(
            f"waiting for approval: {one['id']} from {one['address']}, {one['waiting_s']} s. "
            f"Remedy: ocpp-gateway stations approve {shlex.quote(one['id'])}"
        )
