"""`meter probe`: which meters are there, and the section of the configuration for each."""

import asyncio
import json
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from drivers import probe, probe_mdns, serial_ports
from drivers.api import DriverError, Kind, Reading, Seams
from drivers.modbus_line import tcp_place
from drivers.options import Places
from drivers.probe import Candidate, Meter, Outcome, Search
from drivers.probe_host import Host
from drivers.probe_line import Patience
from gateway import config_edit, log
from gateway.cli_base import (
    PLACES,
    REFUSED,
    TROUBLE,
    Unreachable,
    config_option,
    json_option,
    load_config,
    request,
)
from gateway.cli_meter_found import Seen, plain, short, show, show_meter
from gateway.clock import Clock
from gateway.config import Config
from gateway.config_edit import EditError

_ANNOUNCED_S = 3.0
MODBUS_PORT = 502


@dataclass(frozen=True)
class _Task:
    """What was asked for. `configured`: places of the configuration's meters, with their names."""

    ports: tuple[serial_ports.SerialPort, ...]
    hosts: tuple[Host, ...]
    looks_around: bool
    patience: Patience
    all_units: bool
    places: Places
    configured: Mapping[str, str]
    is_running: bool
    """The gateway, with this configuration. If it does not, nobody is disturbed."""

    def left_alone(self, called: str, place: str) -> Outcome | None:
        """What is said of a place that the running gateway uses."""
        meter = self.configured.get(place)
        if meter is None or not self.is_running:
            return None
        return Outcome(called, f"meter {meter} of the running gateway reads here: left alone")

    def told(self, outcome: Outcome, place: str) -> Outcome:
        """With a guess at who uses a port, if somebody does."""
        meter = self.configured.get(place)
        if meter is None or outcome.trouble is None or outcome.trouble.kind is not Kind.IN_USE:
            return outcome
        return replace(outcome, words=f"{outcome.words}; it is that of meter {meter}: does a gateway run?")

    def search(self, said: Callable[[str], None]) -> Search:
        clock = Clock()
        seams = Seams(clock.monotonic, clock.now, asyncio.sleep, random.Random())
        return Search(seams=seams, places=self.places, patience=self.patience, all_units=self.all_units, said=said)


@click.command("probe")
@click.option("--port", "ports", multiple=True, help="A serial port; may be repeated. Default: all there are.")
@click.option("--host", "hosts", multiple=True, help="Ask this host (HOST or HOST:PORT) by Modbus; may be repeated.")
@click.option(
    "--listen-seconds",
    "listen_s",
    type=click.FloatRange(0.2, 300),
    default=12.0,
    show_default=True,
    help="How long to listen before anything is sent: a meter may send only every 10 s, another master rarer.",
)
@click.option("--all-ids", is_flag=True, help="Ask units 1 to 247 instead of the usual 1-10, 100, 101. Takes long.")
@click.option("--name", default="grid", show_default=True, help="What to call the meter in the configuration.")
@click.option("--yes", "is_sure", is_flag=True, help="Write what is clear without asking.")
@config_option
@json_option
def probe_command(
    *,
    ports: tuple[str, ...],
    hosts: tuple[str, ...],
    listen_s: float,
    all_ids: bool,
    name: str,
    is_sure: bool,
    path: Path | None,
    as_json: bool,
) -> None:
    """Find the meters at serial ports and in the network, show what they say, and write their configuration.

    Listens first. Where anything is heard, nothing is sent: a line with another master is not disturbed. Ports of a
    running gateway are left alone.

    Exit status 1 if no meter was found that can be read, 4 if it could not be written.
    """
    file = path or next((place for place in PLACES if place.exists()), None)
    config = load_config(file, as_json=as_json) if file else None
    log.setup("error")
    everywhere = not ports and not hosts
    task = _Task(
        ports=tuple(serial_ports.listed() if everywhere else map(serial_ports.named, ports)),
        hosts=tuple(map(_host, hosts)),
        looks_around=everywhere,
        patience=Patience(listen_s=listen_s),
        all_units=all_ids,
        places=Places(file.absolute().parent if file else Path.cwd()),
        configured=_places(config) if config else {},
        is_running=config is not None and _is_running(config),
    )
    console = Console(stderr=as_json)
    seen = asyncio.run(_look(task, console))
    if not as_json:
        show(seen, console)
    _Writer(task, config, console, name, is_sure, asks=not as_json).write(seen)
    if as_json:
        click.echo(json.dumps(plain(seen)))
    if seen.refused:
        sys.exit(REFUSED)
    if not any(meter.reading for meter in seen.meters):
        sys.exit(TROUBLE)


def _host(text: str) -> Host:
    name, _, port = text.rpartition(":")
    if not name or not port.isdecimal() or (":" in name and not name.endswith("]")):
        return Host(text.strip("[]"))
    return Host(name.strip("[]"), int(port))


def _is_running(config: Config) -> bool:
    try:
        request(config, "GET", "/v1/meters")
    except Unreachable:
        return False
    return True


def _places(config: Config) -> dict[str, str]:
    resources = ((meter.id, meter.options.resource()) for meter in config.meters)
    return {resource.place: name for name, resource in resources if resource}


# -- looking -----------------------------------------------------------------------------------------------------------


async def _look(task: _Task, console: Console) -> Seen:
    seen = Seen()

    def said(place: str) -> Callable[[str], None]:
        return lambda words: console.print(f"[dim]{escape(short(place))}: {escape(words)}[/dim]", highlight=False)

    async def at_port(port: serial_ports.SerialPort) -> Outcome:
        if port.is_console:
            return Outcome(str(port), "this machine's console: left alone. With --port it is looked at all the same")
        if outcome := task.left_alone(str(port), port.place):
            return outcome
        return task.told(await probe.at_port(port.name, task.search(said(port.name))), port.place)

    async def at_host(host: Host) -> Outcome:
        place = tcp_place(host.name, host.port or MODBUS_PORT)
        return task.left_alone(str(host), place) or await probe.at_host(host, task.search(said(str(host))))

    async def in_network() -> list[Outcome]:
        if task.looks_around:
            try:
                seen.announced = await probe_mdns.announced(_ANNOUNCED_S, task.search(said("network")).seams)
            except DriverError as error:
                seen.notes.append(str(error))
        hosts = dict.fromkeys((*task.hosts, *(Host(one.address) for one in seen.announced)))
        return await asyncio.gather(*map(at_host, hosts))

    at_ports, at_hosts = await asyncio.gather(asyncio.gather(*map(at_port, task.ports)), in_network())
    seen.outcomes = [*at_ports, *at_hosts]
    return seen


# -- writing -----------------------------------------------------------------------------------------------------------


@dataclass
class _Writer:
    """Puts what was found into the configuration, after asking a person."""

    task: _Task
    config: Config | None
    console: Console
    name: str
    is_sure: bool
    asks: bool

    def write(self, seen: Seen) -> None:
        for meter in seen.meters:
            if not meter.candidates:
                continue
            try:
                chosen = self._chosen(meter)
            except click.Abort:
                self.console.print("\nnothing more was written")
                return
            if chosen:
                self._written(chosen, seen)

    def _chosen(self, meter: Meter) -> Candidate | None:
        """What a person says it is; with --yes, what is clear."""
        if self.is_sure:
            if meter.is_clear and meter.reading:
                return meter.candidates[0]
            self.console.print(f"{escape(short(meter.where))}: not clear enough to be written unasked", highlight=False)
            return None
        if not self.asks:
            return None
        for number, candidate in enumerate(meter.candidates):
            if number:
                more, problem = asyncio.run(self._read(candidate))
                show_meter(Meter(meter.where, (candidate,), reading=more, problem=problem), self.console, "")
            if click.confirm(f"{short(meter.where)}: does its display show these values, as {candidate.name}?"):
                return candidate
        return None

    async def _read(self, candidate: Candidate) -> tuple[Reading | None, str]:
        return await probe.read_with(candidate, self.task.search(lambda _words: None))

    def _written(self, chosen: Candidate, seen: Seen) -> None:
        name = self._free_name(seen)
        if self.asks and not self.is_sure:
            name = click.prompt("What is it called in the configuration?", default=name)
        text = config_edit.stanza(name, chosen.table)
        if self.config is None:
            self.console.print("there is no configuration file; this belongs into it:\n", highlight=False)
            self.console.print(text, markup=False, highlight=False)
            return
        try:
            config_edit.add_meter(self.config.source, name, chosen.table)
        except EditError as error:
            seen.refused.append(str(error))
            self.console.print(f"[red]not written[/red]: {escape(str(error))}", highlight=False)
            return
        seen.written.append(name)
        self.console.print(f"written to {self.config.source}:\n", highlight=False)
        self.console.print(text, markup=False, highlight=False)
        self.console.print(
            f'Next: name it in its circuit (meter = "{name}"), restart the gateway, and see that directions and '
            f"phases are right: ocpp-gateway meter ct-test {name}",
            highlight=False,
            markup=False,
        )

    def _free_name(self, seen: Seen) -> str:
        if self.name not in seen.written:
            return self.name
        return next(name for name in (f"{self.name}-{n}" for n in range(2, 100)) if name not in seen.written)
