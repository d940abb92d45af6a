"""Commands about recorded days: one played again with other fuses, and what a session was told."""

import json
import sys
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.cli_base import CONFIG, OTHER_USER, TROUBLE, config_option, console, fail, json_option, load_config
from gateway.config import Config
from gateway.config_balance import Made, make
from gateway.model.site_tree import ConnectorKey, Mode
from gateway.plan import Plan
from gateway.smartcharging import day as days
from gateway.smartcharging.circuits import SiteTree
from gateway.smartcharging.fallback import choose
from gateway.smartcharging.replay import Total, replay, total
from gateway.store import days as files

Shown = dict[str, Any]
LESS_KWH = 0.05
"""Who gets less than that less is not named."""


class _Limit(click.ParamType[tuple[str, float]]):
    """CIRCUIT=AMPERES."""

    name = "CIRCUIT=AMPERES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        circuit, _, amps = str(value).partition("=")
        try:
            found = float(amps)
        except ValueError:
            found = 0.0
        if not circuit or not 0 < found <= 10_000:
            self.fail(f'"{value}" is not such as main=80', param, ctx)
        return circuit, found


@click.command("replay")
@click.argument("day", required=False)
@click.option(
    "--limit", "limits", type=_Limit(), multiple=True, help="Another fuse; may be given for several circuits."
)
@click.option("--mode", type=click.Choice([one.value for one in Mode]), help="Another way of sharing.")
@config_option
@json_option
def replay_command(
    *, day: str | None, limits: tuple[tuple[str, float], ...], mode: str | None, path: Path | None, as_json: bool
) -> None:
    """Play a recorded DAY (UTC, such as 2026-05-01) again: what would other fuses have given each car?

    Without DAY, the last one that is over. It is played twice, with the fuses of the configuration and with the others.
    The gateway need not run. Exit status 1 if the other fuses could not be safe.
    """
    config = load_config(path, as_json=as_json)
    circuits = {str(one.id) for one in config.circuits}
    for name, _ in limits:
        if name not in circuits:
            raise click.BadParameter(f"there is no circuit {name}", param_hint="--limit")
    day, lines = _recorded(config, day)
    opening = next((line for line in lines if isinstance(line, days.Opening)), None)
    real = _made(config, {}, None, opening)
    other = _made(config, dict(limits), mode, opening)
    if other.plan is None or real.plan is None:
        for mistake in other.mistakes:
            click.echo(f"{mistake.path}: {mistake.problem}", err=True)
        fail(TROUBLE, "these fuses could not be safe")
    with Console(stderr=True).status("playing the day twice"):
        found = compared(day, lines, real.plan, other.plan)
    if as_json:
        click.echo(json.dumps(found))
    else:
        _show(found)


def _recorded(config: Config, day: str | None) -> tuple[str, list[days.Line]]:
    folder = config.site.state_dir / files.FOLDER
    known = _known(folder)
    wanted = day or next(iter(known[-2:]), None)
    if wanted not in known:
        there = f"there is {known[0]} to {known[-1]}" if known else f"none is in {folder}"
        fail(CONFIG, f"no day {day or ''} is recorded; {there}")
    return wanted, _lines(folder, wanted)


def _known(folder: Path) -> list[str]:
    try:
        return files.days(folder)
    except OSError as error:
        fail(TROUBLE, f"{folder} can't be read ({error.strerror}). {OTHER_USER}")


def _lines(folder: Path, day: str) -> list[days.Line]:
    return list(days.decoded(_raw(folder, day)))


def _raw(folder: Path, day: str) -> list[bytes]:
    try:
        return list(files.read(folder, day))
    except (OSError, EOFError, zlib.error) as error:
        fail(TROUBLE, f"the record of {day} can't be read: {error}")


def _made(config: Config, limits: Mapping[str, float], mode: str | None, opening: days.Opening | None) -> Made:
    """The configuration's tree with other fuses; stations are of the family they were of that day."""
    circuits = [
        one.model_copy(update={"limit_a": limits[one.id], "limits_a": None}) if one.id in limits else one
        for one in config.circuits
    ]
    balance = config.balance.model_copy(update={"mode": mode}) if mode else config.balance
    families = opening.families if opening else {}
    stations = [
        one.model_copy(update={"family": families[one.id]}) if one.family is None and one.id in families else one
        for one in config.stations
    ]
    made = make(circuits, stations, balance, {})
    if made.plan is None and not made.mistakes:
        fail(CONFIG, "this gateway shares no current: no station is in a circuit")
    return made


def compared(day: str, lines: Sequence[days.Line], real: Plan, other: Plan) -> Shown:
    """Both ways of the day, side by side. Energy in kWh, times in hours, current in A."""
    trees = [choose(plan.circuits, plan.connectors).tree for plan in (real, other)]
    totals = [_played(lines, tree, plan) for tree, plan in zip(trees, (real, other), strict=True)]
    recorded, volts = days.recorded_ah(lines, trees[0]), real.policy.voltage_v
    connectors = [_connector(key, recorded, totals, volts) for key in trees[0].specs]
    strangers = {stay.key for line in lines if isinstance(line, days.Minute) for stay in line.stays}
    minutes = [line for line in lines if isinstance(line, days.Minute)]
    opening = next((line for line in lines if isinstance(line, days.Opening)), None)
    fuses = {node.id: node.limit_a for node in trees[0].circuits}
    changed = [name for name, limit in (opening.limits if opening else {}).items() if fuses.get(name, limit) != limit]
    return {
        "day": day,
        "hours": round(sum(line.lasts_s for line in minutes) / 3600, 2),
        "circuits": [
            {
                "id": one.id,
                "real": _circuit(totals[0], one.id, one.limit_a),
                "other": _circuit(totals[1], one.id, trees[1].circuits[trees[1].index[one.id]].limit_a),
            }
            for one in trees[0].circuits
            if one.id not in real.own_circuit.values()
        ],
        "connectors": connectors,
        "less": [one["connector"] for one in connectors if one["real_kwh"] - one["other_kwh"] >= LESS_KWH],
        "writes": {"real": totals[0].writes, "other": totals[1].writes},
        "left_out": sorted(str(key) for key in strangers - set(trees[0].specs)),
        "other_fuses_then": sorted(changed),
    }


def _played(lines: Sequence[days.Line], tree: SiteTree, plan: Plan) -> Total:
    proven = {key: plan.is_proven(key.station) for key in tree.specs}
    moments = days.moments(lines, tree, proven)
    return total(replay(tree, moments, plan.policy, days.wishes(lines, tree)))


def _circuit(found: Total, name: str, limit_a: Sequence[float]) -> Shown:
    peak = found.peak_a.get(name)
    return {
        "limit_a": max(limit_a),
        "bound_h": round(found.bound_s.get(name, 0.0) / 3600, 2),
        "peak_a": None if peak is None else round(peak, 1),
    }


def _connector(
    key: ConnectorKey, recorded: Mapping[ConnectorKey, float], totals: Sequence[Total], volts: float
) -> Shown:
    kwh = [
        round(amps * volts / 1000, 2)
        for amps in (recorded.get(key, 0.0), *(one.all_ah.get(key, 0.0) for one in totals))
    ]
    waits = [round(one.short_s.get(key, 0.0) / 3600, 2) for one in totals]
    return {
        "connector": str(key),
        "recorded_kwh": kwh[0],
        "real_kwh": kwh[1],
        "other_kwh": kwh[2],
        "real_waits_h": waits[0],
        "other_waits_h": waits[1],
    }  # fmt: skip


def _show(found: Shown) -> None:
    screen = console(markup=True)
    table = Table(title=f"{found['day']} (UTC), {found['hours']:g} h on record", title_justify="left")
    for heading in ("circuit", "fuse", "at its limit", "peak", "other fuse", "at its limit", "peak"):
        table.add_column(heading, justify="left" if heading == "circuit" else "right")
    for one in found["circuits"]:
        shown = (
            f"{way['limit_a']:g} A|{way['bound_h']:.1f} h|{_amps(way['peak_a'])}" for way in (one["real"], one["other"])
        )
        table.add_row(escape(one["id"]), *"|".join(shown).split("|"))
    screen.print(table)
    table = Table()
    for heading in (
        "connector",
        "recorded",
        "fuse",
        "other fuse",
        "more or less",
        "waits",
        "other: waits",
    ):
        table.add_column(heading, justify="left" if heading == "connector" else "right")
    charged = [one for one in found["connectors"] if one["recorded_kwh"] or one["other_kwh"]]
    for one in [*charged, _sum(charged)]:
        change = one["other_kwh"] - one["real_kwh"]
        colour = "red" if change <= -LESS_KWH else "green" if change >= LESS_KWH else "default"
        table.add_row(
            escape(one["connector"]), f"{one['recorded_kwh']:.1f} kWh", f"{one['real_kwh']:.1f} kWh",
            f"{one['other_kwh']:.1f} kWh", f"[{colour}]{change:+.1f} kWh[/]", f"{one['real_waits_h']:.1f} h",
            f"{one['other_waits_h']:.1f} h",
        )  # fmt: skip
    screen.print(table)
    less = [escape(one) for one in found["less"]]
    screen.print(f"less with the other: {', '.join(less)}" if less else "nobody gets less with the other")
    if found["other_fuses_then"]:
        screen.print(f"other fuses than now on that day: {', '.join(map(escape, found['other_fuses_then']))}")
    if found["left_out"]:
        screen.print(f"left out, in no circuit now: {', '.join(map(escape, found['left_out']))}")


def _sum(shown: Sequence[Shown]) -> Shown:
    names = ("recorded_kwh", "real_kwh", "other_kwh", "real_waits_h", "other_waits_h")
    return {"connector": "all", **{name: sum(one[name] for one in shown) for name in names}}


def _amps(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} A"


# -- limits of a session ---------------------------------------------------------------------------------------------


def show_limits(config: Config, transaction: int, *, as_json: bool) -> None:
    """Every limit that a transaction was told, from the records of days."""
    folder = config.site.state_dir / files.FOLDER
    told = [one for day in _known(folder) for one in days.told(_raw(folder, day)) if one.transaction == transaction]
    shown: list[Shown] = [
        {
            "from": _moment(one.at),
            "to": _moment(later.at) if later else None,
            "connector": f"{one.station}/{one.evse}",
            "set_a": one.set_a,
            "target_a": one.target_a,
            "why": one.why,
        }
        for one, later in zip(told, [*told[1:], None][: len(told)], strict=True)
    ]
    if as_json:
        click.echo(json.dumps(shown))
        return
    if not shown:
        click.echo(f"no limit of transaction {transaction} is on record (the last minute is not yet)", err=True)
        sys.exit(TROUBLE)
    screen = console(markup=True)
    table = Table(title=f"transaction {transaction} at {escape(shown[0]['connector'])}", title_justify="left")
    for heading in ("from (UTC)", "to", "limit", "planned", "why"):
        table.add_column(heading, justify="right" if heading in ("limit", "planned") else "left")
    for one in shown:
        to = one["to"][11:] if one["to"] else "-"
        table.add_row(one["from"], to, f"{one['set_a']:g} A", f"{one['target_a']:g} A", escape(one["why"]))
    screen.print(table)


def _moment(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"
