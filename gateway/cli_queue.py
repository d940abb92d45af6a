"""Commands about the queue and the transactions."""

import json
import sys
from pathlib import Path
from typing import Any, TextIO

import click
from rich.table import Table

from gateway.cli_base import TROUBLE, ask, config_option, console, json_option, lines, load_config

_WORDS = {
    "in-flight": "with the CSMS now",
    "next": "next",
    "behind": "behind others",
    "link-down": "no link to the CSMS",
    "boot-first": "the boot goes first",
    "held-by-csms": "the CSMS holds the station",
    "csms-sick": "the CSMS is sick, waiting",
    "refused": "refused by the CSMS",
    "earlier-use-of-token": "older use of the card first",
    "start-unanswered": "its start is not answered",
    "paced": "its turn comes",
    "being-written": "being written",
    "start-refused": "its start was refused",
    "version-refused": "the CSMS refuses its version",
    "start-dropped": "its start was dropped",
}
"""What the reasons of the API mean, in an operator's words."""

station_option = click.option("--station", help="Of this station only.")
parked_option = click.option("--parked", is_flag=True, help="Only what is set aside.")
limit_option = click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(0, 10_000), help="Rows to show at most; 0 = 10000."
)
rows_argument = click.argument("rows", metavar="MESSAGE...", nargs=-1, type=click.IntRange(1))


@click.group()
def queue() -> None:
    """Messages on their way to the CSMS: list, show, retry, export, drop."""


@queue.command("list")
@config_option
@station_option
@parked_option
@limit_option
@json_option
def list_(path: Path | None, station: str | None, *, parked: bool, limit: int, as_json: bool) -> None:
    """List what is on its way and what is set aside, with the reason. Exit status 1 if something is set aside."""
    found = ask(path, "GET", "/v1/queue", params={"station": station, "parked": parked, "limit": limit})
    if as_json:
        click.echo(json.dumps(found))
    else:
        _show_queue(found, parked=parked)
    if found["parked"]:
        sys.exit(TROUBLE)


@queue.command()
@config_option
@click.argument("message", type=click.IntRange(1))
@json_option
def show(path: Path | None, message: int, *, as_json: bool) -> None:
    """Show one message whole, with its transaction."""
    found = ask(path, "GET", f"/v1/queue/{message}")
    if as_json:
        click.echo(json.dumps(found))
        return
    own = found.pop("transaction")
    payload = found.pop("payload")
    found["reason"] = _said(found["reason"], found["waits_s"])
    _show_pairs(found, f"message {message}")
    if own:
        _show_pairs(own, "its transaction")
    click.echo(payload)


@queue.command()
@config_option
@rows_argument
@click.option("--station", help="All that is set aside of this station.")
@click.option("--all", "everything", is_flag=True, help="All that is set aside.")
def retry(path: Path | None, rows: tuple[int, ...], station: str | None, *, everything: bool) -> None:
    """Send messages again now. What was set aside goes with the rest of its transaction."""
    if not (rows or station or everything):
        raise click.UsageError("Name messages, or give --station or --all.")
    body = {"rows": list(rows), "station": station, "all": everything}
    found = ask(path, "POST", "/v1/queue/retry", body=body)
    click.echo(f"{found['tried']} messages go again as soon as their link allows; {found['set_aside']} were set aside")


@queue.command()
@config_option
@station_option
@parked_option
@click.option("--output", type=click.File("w", lazy=True), default="-", help="A file instead of the terminal.")
def export(path: Path | None, station: str | None, *, parked: bool, output: TextIO) -> None:
    """Write messages whole, a JSON object a line. They stay in the queue."""
    count = 0
    for line in lines(path, "/v1/queue/export", params={"station": station, "parked": parked}):
        output.write(line + "\n")
        count += 1
    click.echo(f"{count} messages", err=True)


@queue.command()
@config_option
@rows_argument
@click.option("--yes", is_flag=True, help="Yes, they never reach the CSMS.")
def drop(path: Path | None, rows: tuple[int, ...], *, yes: bool) -> None:
    """Take messages out of the queue for good. A start takes the rest of its transaction along.

    What was dropped stays readable: ocpp-gateway queue log --json
    """
    if not rows:
        raise click.UsageError("Name the messages.")
    if not yes:
        raise click.UsageError("These messages will never reach the CSMS. Export them first, then add --yes.")
    found = ask(path, "POST", "/v1/queue/drop", body={"rows": list(rows), "confirm": True})
    dropped = found["dropped"]
    click.echo(f"{len(dropped)} messages are dropped: {', '.join(map(str, dropped))}")


@queue.command("log")
@config_option
@limit_option
@json_option
def log_(path: Path | None, *, limit: int, as_json: bool) -> None:
    """Show what was done to the queue and the database, newest first."""
    found = ask(path, "GET", "/v1/queue/log", params={"limit": limit})
    if as_json:
        click.echo(json.dumps(found))
        return
    for one in found:
        place = f" {one['station']}:" if one["station"] else ""
        click.echo(f"{_time(one['at'])} {one['kind']}:{place} {one['text']}")


@click.command()
@config_option
@station_option
@click.option("--running", is_flag=True, help="Only those that run.")
@click.option("--unknown", is_flag=True, help="Deliveries that the CSMS may hold twice, because no answer came.")
@click.option(
    "--limits", "number", type=click.IntRange(1), help="What the transaction of this number was told, and why."
)
@limit_option
@json_option
def transactions(
    *,
    path: Path | None,
    station: str | None,
    running: bool,
    unknown: bool,
    number: int | None,
    limit: int,
    as_json: bool,
) -> None:
    """List charging transactions, newest first. With --unknown, exit status 1 if there is any."""
    if number is not None:
        from gateway.cli_record import show_limits

        show_limits(load_config(path), number, as_json=as_json)
        return
    params = {"station": station, "limit": limit}
    if unknown:
        found = ask(path, "GET", "/v1/unknown-outcomes", params=params)
    else:
        found = ask(path, "GET", "/v1/transactions", params={**params, "running": running})
    if as_json:
        click.echo(json.dumps(found))
    elif unknown:
        _show_unknown(found)
    else:
        _show_transactions(found)
    if unknown and found:
        sys.exit(TROUBLE)


# -- tables ---------------------------------------------------------------------------------------------------------


def _show_queue(found: dict[str, Any], *, parked: bool) -> None:
    screen = console()
    if found["stations"] and not parked:
        table = _table("station", "waiting", "set aside", "oldest (UTC)", "waits for", "last error")
        for one in found["stations"]:
            table.add_row(
                one["station"],
                str(one["rows"]),
                str(one["parked"]),
                _time(one["oldest"]),
                _said(one["waits_for"], one["waits_s"]),
                one["last_error"] or "-",
            )
        screen.print(table)
    if found["messages"]:
        table = _table(
            "message", "station", "what", "transaction", "since (UTC)", "state", "why", "refusals", "last error"
        )
        for one in found["messages"]:
            table.add_row(
                str(one["row"]),
                one["station"],
                _what(one),
                str(one["transaction"] or "-"),
                _time(one["received"]),
                "set aside" if one["state"] == "parked" else one["state"] + ("?" if one["may_be_at_csms"] else ""),
                _said(one["reason"], one["waits_s"]),
                str(one["refusals"] or "-"),
                one["last_error"] or "-",
            )
        screen.print(table)
    total = found["parked"] if parked else found["rows"] + found["parked"]
    more = total - len(found["messages"])
    screen.print(
        f"{found['rows']} messages on their way to the CSMS, {found['parked']} set aside, "
        f"{found['unknown_outcomes']} deliveries of unknown outcome" + (f"; {more} more: --limit 0" if more > 0 else "")
    )
    if found["parked"]:
        screen.print("Remedies: queue show MESSAGE, queue retry MESSAGE, queue export --parked, queue drop MESSAGE")


def _show_transactions(found: list[dict[str, Any]]) -> None:
    table = _table("number", "station", "EVSE", "id", "at the CSMS", "card", "state", "started", "energy", "queued")
    for one in found:
        begin, end = one["meter_start_wh"], one["meter_stop_wh"]
        energy = f"{(end - begin) / 1000:.2f} kWh" if begin is not None and end is not None else "-"
        table.add_row(
            str(one["key"]),
            one["station"],
            str(one["evse"] or "-"),
            one["id"] or "-",
            str(one["csms_id"] or one["upstream_id"] or "-"),
            one["token"] or "-",
            one["state"] + (" (set aside)" if one["set_aside"] else ""),
            one["started"] or "-",
            energy,
            str(one["queued"] or "-"),
        )
    console().print(table)


def _show_unknown(found: list[dict[str, Any]]) -> None:
    screen = console()
    if found:
        table = _table(
            "message", "station", "action", "transaction", "id at the CSMS", "message id", "noticed (UTC)", "now"
        )
        for one in found:
            own = one["transaction"] or {}
            table.add_row(
                str(one["row"]),
                one["station"],
                one["action"],
                str(own.get("key", "-")),
                str(own.get("csms_id") or own.get("upstream_id") or own.get("id") or "-"),
                one["message_id"],
                _time(one["noticed"]),
                "goes again" if one["is_queued"] else "answered since",
            )
        screen.print(table)
    screen.print(f"{len(found)} deliveries were sent and not answered: the CSMS may hold these messages twice")


def _show_pairs(pairs: dict[str, Any], title: str) -> None:
    """What is so, and not what is none; 0 is a value."""
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in pairs.items():
        if value is None or value is False or value == []:
            continue
        table.add_row(name.replace("_", " "), str(value))
    console().print(table)


def _table(*headings: str) -> Table:
    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _what(one: dict[str, Any]) -> str:
    return f"{one['action']} {one['kind']}" if one["action"] == "TransactionEvent" else str(one["action"])


def _said(reason: str | None, seconds: int | None) -> str:
    if reason is None:
        return "-"
    return _WORDS.get(reason, reason) + (f" ({seconds} s)" if seconds else "")


def _time(text: str | None) -> str:
    """Without the part of the second and the zone: it is UTC."""
    return "-" if text is None else text[:19].replace("T", " ")
