"""`meter ct-test`: whether a meter's phases and directions are those of the building, and the options if not."""

import asyncio
import json
import random
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from gateway import cli_meter_source, config_edit, log
from gateway.cli_base import (
    REFUSED,
    TIMEOUT,
    TROUBLE,
    Unreachable,
    config_option,
    fail,
    json_option,
    load_config,
    request,
)
from gateway.cli_meter_source import Shown
from gateway.cli_meter_wiring import plain, said, show
from gateway.config import Config
from gateway.config_edit import EditError
from gateway.core.ct_test import Outcome, Rules, Sample
from gateway.core.ct_wiring import Now, PhaseTest, corrections, wiring
from gateway.metering import ct_run
from gateway.metering.ct_run import Pace, Progress
from gateway.model.ids import MeterId
from gateway.model.metering import Phases

_SILENT_S = 60.0
_SLOW_S = 2.0


@click.command("ct-test")
@click.argument("name", metavar="METER")
@click.option("--station", "stations", multiple=True, required=True, help="Where the car is. Repeat for other phases.")
@click.option("--connector", "connectors", multiple=True, type=click.IntRange(min=1), help="Of each station.")
@click.option(
    "--phase",
    "phases",
    multiple=True,
    type=click.Choice(["L1", "L2", "L3"]),
    help="The building's phase that each station's first phase is on, in the same order. Default: L1.",
)
@click.option("--amps", default="6-10", show_default=True, help="What the car draws: from-to, or one number.")
@click.option("--settle", "settle_s", default=10.0, show_default=True, help="Seconds to wait after each switching.")
@click.option(
    "--hold", "hold_s", default=30.0, show_default=True, help="Seconds to watch every other level, by chance."
)
@click.option(
    "--rounds", default=10, show_default=True, type=click.IntRange(4, 50), help="The most before it gives up."
)
@click.option("--yes", "is_sure", is_flag=True, help="Write the corrections without asking.")
@config_option
@json_option
def ct_test(
    *,
    name: str,
    stations: tuple[str, ...],
    connectors: tuple[int, ...],
    phases: tuple[str, ...],
    amps: str,
    settle_s: float,
    hold_s: float,
    rounds: int,
    is_sure: bool,
    path: Path | None,
    as_json: bool,
) -> None:
    """Test phases and directions of METER with a car that charges on one phase, at 6 to 10 A.

    You switch the car on and off when you are told to; the meter is watched meanwhile. Test all three phases in one
    run, at stations that are on different ones: --station A --phase L1 --station B --phase L2 --station C --phase L3.
    A car on three phases shows the directions, not the order.

    Exit status 1 if it can't tell or something has to be rewired, 4 if the corrections could not be written, 5 if the
    meter is silent.
    """
    if len(phases or ("L1",)) != len(stations) or len(connectors) not in (0, len(stations)):
        raise click.UsageError("give --phase (and --connector) once for each --station")
    config = load_config(path, as_json=as_json)
    meter = next((meter for meter in config.meters if meter.id == name), None)
    if meter is None:
        raise click.BadParameter(f"no meter {name} is in {config.source}", param_hint="METER")
    _check_stations(config, stations)
    log.setup("error")
    places = [
        _Place(station, connector, int(phase[1]) - 1)
        for station, connector, phase in zip(
            stations, connectors or [None] * len(stations), phases or ("L1",), strict=True
        )
    ]
    console = Console(stderr=as_json)
    pace = Pace(settle_s=settle_s, hold_s=hold_s, most_rounds=rounds)
    tests, inputs = asyncio.run(_Run(config, meter.id, _amps(amps), pace, console).tests(places))
    now = Now(meter.options.phase_order, meter.options.invert, inputs)
    found = wiring(tests, now)
    changes = corrections(found, now)
    if not as_json:
        show(found, now, changes, console)
    status = TROUBLE if found.to_turn or not found.is_complete else 0
    written = False
    if changes:
        status, written = _write(config, name, changes, console, is_sure=is_sure, asks=not as_json, status=status)
    if as_json:
        click.echo(json.dumps(plain(tests, found, changes, written)))
    sys.exit(status)


@dataclass(frozen=True)
class _Place:
    station: str
    connector: int | None
    phase: int

    def __str__(self) -> str:
        return self.station if self.connector is None else f"{self.station}, connector {self.connector}"


def _amps(text: str) -> tuple[float, float]:
    low, _, high = text.partition("-")
    try:
        found = float(low), float(high or low)
    except ValueError:
        raise click.BadParameter("write two numbers, such as 6-10", param_hint="--amps") from None
    if not 2 <= found[0] <= found[1] <= 80:
        raise click.BadParameter("must be 2 to 80 A, the lower first", param_hint="--amps")
    return found


def _check_stations(config: Config, stations: tuple[str, ...]) -> None:
    known = {str(station.id) for station in config.stations}
    try:
        known |= {one["id"] for one in request(config, "GET", "/v1/status")["stations"]}
    except Unreachable:
        if not known:
            return  # they may all have been approved by hand: only the gateway knows
    for station in stations:
        if station not in known:
            raise click.BadParameter(f"no station {station} is known", param_hint="--station")


# -- testing -----------------------------------------------------------------------------------------------------------


class _Person:
    """Switches the car when told to."""

    def __init__(self, place: _Place, console: Console) -> None:
        self._place = place
        self._is_quiet = console.stderr

    async def switch(self, *, is_on: bool) -> None:
        what = "Let the car charge" if is_on else "Stop the car"
        when = "it draws its current" if is_on else "it has stopped"
        words = f"{what} at {self._place}, and press Enter when {when}"
        await asyncio.to_thread(
            click.prompt, words, default="", show_default=False, prompt_suffix=" ", err=self._is_quiet
        )


class _Meter:
    """Readings out of a meter's states."""

    def __init__(self, states: AsyncGenerator[Shown]) -> None:
        self._states = states
        self._sequence: int | None = None
        self.resolution_a = 0.01
        self.interval_s = 1.0
        self.phases = 3

    async def next(self) -> Sample:
        """Raises TimeoutError if the meter is silent."""
        async with asyncio.timeout(_SILENT_S):
            while True:
                shown = await anext(self._states)
                reading = shown["reading"]
                if reading is None or reading["quality"] == "bad" or reading["sequence"] == self._sequence:
                    continue
                self._sequence = reading["sequence"]
                self.resolution_a, self.interval_s = reading["resolution_a"], shown["interval_s"] or 1.0
                sample = sample_of(reading, asyncio.get_running_loop().time())
                self.phases = sum(value is not None for value in (*sample.size_a, *sample.directed_a)) // 2 or 3
                return sample


def sample_of(reading: Mapping[str, Any], now: float) -> Sample:
    """Active power by volts, because that adds up; without, a current that has a direction of its own."""
    has_direction = reading["current_signed"] != "unknown"
    directed: list[float | None] = []
    for amps, volts, watts in zip(reading["current_a"], reading["voltage_v"], reading["power_w"], strict=True):
        if watts is not None:
            directed.append(watts / (volts or 230.0))
        else:
            directed.append(amps if has_direction else None)
    sizes = [None if amps is None else abs(amps) for amps in reading["current_a"]]
    return Sample(now - reading["age_s"], _phases(directed), _phases(sizes))


def _phases(values: list[float | None]) -> Phases:
    one, two, three = values
    return one, two, three


@dataclass(frozen=True)
class _Run:
    """All tests of one meter."""

    config: Config
    name: MeterId
    amps: tuple[float, float]
    pace: Pace
    console: Console

    async def tests(self, places: list[_Place]) -> tuple[list[PhaseTest], int]:
        """One at each place, and how many phases the meter measures."""
        states, source = cli_meter_source.states(self.config, self.name, 20.0)
        about = f"meter {self.name} ({cli_meter_source.described(self.config, self.name)}), {source}"
        self.console.print(about, highlight=False, markup=False)
        async with aclosing(states):
            meter = _Meter(states)
            try:
                await meter.next()
                found = [await self._test(place, meter) for place in places]
            except TimeoutError:
                fail(TIMEOUT, f"meter {self.name} says nothing. Remedy: ocpp-gateway meter read {self.name}")
        return found, meter.phases

    async def _test(self, place: _Place, meter: _Meter) -> PhaseTest:
        self.console.print(
            f"\nAt {place}, on L{place.phase + 1}: connect a car that charges on one phase, with {self.amps[0]:g} to "
            f"{self.amps[1]:g} A. Leave all other cars as they are. It does not charge yet.",
            highlight=False,
        )
        rules = Rules(self.amps, meter.resolution_a, 5 if meter.interval_s <= _SLOW_S else 3)
        finding = await ct_run.run(
            _Person(place, self.console),
            meter,
            asyncio.get_running_loop().time,
            rules,
            pace=self.pace,
            source=random.Random(),
            told=lambda progress: _told(progress, self.console),
        )
        self.console.print(said(finding), highlight=False)
        return PhaseTest(None if finding.outcome is Outcome.THREE else place.phase, finding)


def _told(progress: Progress, console: Console) -> None:
    last = progress.level.samples[-1].directed_a
    values = " / ".join("-" if amps is None else f"{amps:.1f}" for amps in last)
    state = "charging" if progress.level.is_on else "not charging"
    console.print(f"[dim]round {progress.rounds}, {state}: {values} A[/dim]", highlight=False)


# -- writing -----------------------------------------------------------------------------------------------


def _write(
    config: Config,
    name: str,
    changes: Mapping[str, str | bool],
    console: Console,
    *,
    is_sure: bool,
    asks: bool,
    status: int,
) -> tuple[int, bool]:
    """Exit status, and whether it was written."""
    words = ", ".join(f"{key} = {json.dumps(value)}" for key, value in changes.items())
    console.print(f"meter.{name}: {words}", highlight=False, markup=False)
    if not is_sure and not (asks and click.confirm(f"Write this to {config.source}?")):
        return TROUBLE, False
    try:
        config_edit.change_meter(config.source, name, changes)
    except EditError as error:
        console.print(f"[red]not written[/red]: {escape(str(error))}", highlight=False)
        return REFUSED, False
    console.print("written; restart the gateway, and run the test again to see that it is right", highlight=False)
    return status, True
