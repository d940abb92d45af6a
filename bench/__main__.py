"""`python -m bench`: the relay suite with its defaults. Exit status 1 if a goal is missed."""

import asyncio
import json
import sys
from dataclasses import asdict

import click
from rich.console import Console

from bench import relay as suite
from bench import report, storm_report
from bench import storage as store_suite
from bench import storm as storm_suite
from bench.fleet import FleetError
from bench.proc import ProxyError
from bench.watch import WatchError

_WIDTH = 120
"""Of a table that goes to no terminal."""


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="2 repeats of 1 s, to see that it works.")
@click.pass_context
def main(context: click.Context, quick: bool) -> None:
    """What the gateway costs, as ratios against a floor measured in the same run."""
    if context.invoked_subcommand is None:
        context.invoke(relay, quick=quick)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--chargers", default=40, show_default=True, type=click.IntRange(1, 1000))
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=2.0, show_default=True, type=click.FloatRange(0.1), help="Length of each window.")
@click.option("--seed", default=1, show_default=True, help="Of the order of the rows.")
@click.option("--slack", default=0.0, show_default=True, help="Share by which a ratio may stay below its goal.")
@click.option("--quick", is_flag=True, help="2 repeats of 1 s.")
def relay(*, as_json: bool, chargers: int, repeats: int, seconds: float, seed: int, slack: float, quick: bool) -> None:
    """CPU per round trip and added latency of the gateway, a bare TCP and a bare WebSocket relay, a naive gateway."""
    if quick:
        repeats, seconds = 2, 1.0
    try:
        run = asyncio.run(suite.run(suite.Options(chargers, repeats, seconds, seed)))
    except (ProxyError, FleetError) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(report.as_json(run, slack)))
    else:
        report.show(run, _console(), slack)
    sys.exit(0 if all(goal.is_met for goal in report.goals(run, slack)) else 1)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--chargers", default=500, show_default=True, type=click.IntRange(1, 1900))
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=1, show_default=True, help="Of the order of the rows.")
@click.option("--slack", default=0.0, show_default=True, help="Share by which a figure may be over its goal.")
@click.option("--quick", is_flag=True, help="1 repeat.")
def storm(*, as_json: bool, chargers: int, repeats: int, seed: int, slack: float, quick: bool) -> None:
    """All chargers connect and boot at once: time, CPU and memory of the gateway and of a bare WebSocket relay."""
    options = storm_suite.Options(chargers, 1 if quick else repeats, seed)
    try:
        run = asyncio.run(storm_suite.run(options))
    except (ProxyError, WatchError) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(storm_report.as_json(run, slack)))
    else:
        storm_report.show(run, _console(), slack)
    sys.exit(0 if all(goal.is_met for goal in storm_report.goals(run, slack)) else 1)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--sessions", default=store_suite.SESSIONS, show_default=True, type=click.IntRange(100))
def storage(*, as_json: bool, sessions: int) -> None:
    """Room that billing records of 50 chargers take in 30 days, written by the real store."""
    figures = asyncio.run(store_suite.measure(sessions))
    if as_json:
        click.echo(json.dumps([{**asdict(figure), "met": figure.is_met} for figure in figures]))
    else:
        for figure in figures:
            state = "delivered" if figure.delivered else "30 days of outage"
            click.echo(
                f"{figure.version}, {state}: {figure.sessions} sessions take {figure.megabytes:.1f} MB, "
                f"{figure.bytes_each:.0f} bytes each; goal {store_suite.GOAL_MB:.0f} MB for {store_suite.SESSIONS}: "
                + ("met" if figure.is_met else "MISSED")
            )
    sys.exit(0 if all(figure.is_met for figure in figures) else 1)


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)


if __name__ == "__main__":
    main(prog_name="python -m bench")
