"""The commands `demo` and `simulate`. Peers are imported when used, so that the command line starts quickly."""

import asyncio
import contextlib
import json
import logging
import random
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from gateway.demo.csms import SimulatedCsms
    from gateway.demo.station import SimulatedStation

_TROUBLE = 1
_MIN_SECONDS = 15


@click.command()
@click.option(
    "--seconds",
    type=click.IntRange(min=_MIN_SECONDS),
    default=60,
    show_default=True,
    help="How long the sessions last. Below 45 the outage of 20 s is shortened in proportion.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end, and nothing else.")
def demo(seconds: int, as_json: bool) -> None:
    """Show the gateway at work on this machine: 6 simulated chargers, a CSMS, an outage and the recovery.

    Starts a gateway of its own with a temporary configuration, cuts its way to the CSMS while cars charge, starts and
    stops sessions meanwhile, and then compares what the chargers did, what the gateway's ledger says and what the
    CSMS holds. Needs no configuration and leaves nothing behind. Exit status 1 if anything was lost, doubled or out
    of order, or if the gateway failed.
    """
    from gateway.demo.run import run_demo

    sys.exit(_run(run_demo(seconds, as_json=as_json)))


@click.group()
def simulate() -> None:
    """Stand in for a charger or for a CSMS, to try a gateway or a network before the real ones are there."""


@simulate.command()
@click.option("--url", required=True, help="Where to connect, without the id: ws://gateway:8887/ocpp")
@click.option("--id", "identity", default="SIM-1", show_default=True, help="The charger's identity.")
@click.option("--version", type=click.Choice(["1.6", "2.0.1"]), default="1.6", show_default=True, help="OCPP version.")
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the password to show (HTTP Basic). Without it none is shown.",
)
@click.option(
    "--connectors", type=click.IntRange(1, 20), default=1, show_default=True, help="Connectors (2.0.1: EVSEs)."
)
@click.option("--token", default="DEMO-1", show_default=True, help="Token that --start and --auto present.")
@click.option("--start", "starts", is_flag=True, help="Start one transaction on connector 1 and let it run.")
@click.option("--auto", is_flag=True, help="Start and stop transactions at random until interrupted.")
@click.option(
    "--meter-interval",
    type=click.FloatRange(0.1, 86_400),
    default=10.0,
    show_default=True,
    help="Seconds between meter values.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of what --auto does.")
@click.option("--verbose", is_flag=True, help="Show every OCPP frame.")
def station(
    *,
    url: str,
    identity: str,
    version: str,
    password_file: Path | None,
    connectors: int,
    token: str,
    starts: bool,
    auto: bool,
    meter_interval: float,
    seed: int,
    verbose: bool,
) -> None:
    """A simulated charger: boots, reports status and meter values, obeys commands and charging profiles.

    Without --start or --auto it waits for what the CSMS asks (a remote start for example). Ctrl-C ends its
    transactions, waits up to 10 s until all is delivered, and goes.
    """
    from gateway.demo.station import SimulatedStation, StationOptions

    _log(verbose)
    _check_url(url)
    password = password_file.read_bytes().removesuffix(b"\n") if password_file else None
    options = StationOptions(meter_interval_s=meter_interval)
    one = SimulatedStation(identity, url, version, password=password, connectors=connectors, seed=seed, options=options)
    sys.exit(_run(_be_station(one, token, starts=starts, auto=auto, seed=seed)))


@simulate.command()
@click.option("--listen", default="127.0.0.1:9000", show_default=True, help="Address and port.")
@click.option(
    "--versions", default="2.0.1,1.6", show_default=True, help="OCPP versions spoken, the preferred one first."
)
@click.option("--latency-ms", type=click.IntRange(min=0), default=0, show_default=True, help="Wait before each answer.")
@click.option("--deny", multiple=True, metavar="TOKEN", help="Refuse this token (Blocked). May be given several times.")
@click.option("--heartbeat", type=click.IntRange(min=1), default=300, show_default=True, help="Seconds, told at boot.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each connection and message.")
@click.option("--verbose", is_flag=True, help="Show every OCPP frame.")
def csms(
    *,
    listen: str,
    versions: str,
    latency_ms: int,
    deny: tuple[str, ...],
    heartbeat: int,
    as_json: bool,
    verbose: bool,
) -> None:
    """A simulated CSMS: accepts every station that connects to ws://LISTEN/any/path/ITS-ID and answers everything.

    Prints who comes and goes and every transaction message. It keeps nothing and asks for no passwords.
    """
    from gateway.demo.csms import SimulatedCsms
    from gateway.demo.csms_answers import Books

    _log(verbose)
    host, _, port = listen.rpartition(":")
    spoken = [version.strip() for version in versions.split(",")]
    if not host or not port.isdigit():
        raise click.BadParameter("write it as ADDRESS:PORT", param_hint="--listen")
    if not set(spoken) <= {"1.6", "2.0.1"}:
        raise click.BadParameter("1.6 and 2.0.1 are spoken here", param_hint="--versions")
    books = Books(heartbeat_s=heartbeat, verdicts=dict.fromkeys(deny, "Blocked"))
    latency_s = latency_ms / 1000
    one = SimulatedCsms(host, int(port), spoken, latency_s=(latency_s, latency_s), books=books)
    sys.exit(_run(_be_csms(one, as_json=as_json)))


def _check_url(url: str) -> None:
    """Raises BadParameter."""
    from websockets.exceptions import InvalidURI
    from websockets.uri import parse_uri

    try:
        parse_uri(url)
    except (InvalidURI, ValueError) as error:
        raise click.BadParameter(f"{error}; write such as ws://gateway:8887/ocpp", param_hint="--url") from None


def _log(verbose: bool) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("ocpp").setLevel(logging.INFO if verbose else logging.ERROR)
    logging.getLogger("websockets").setLevel(logging.ERROR)


def _run(work: Coroutine[Any, Any, int]) -> int:
    """Run until done; Ctrl-C, SIGTERM and a closed terminal cancel it, so that it can clean up. Returns exit status."""

    async def guarded() -> int:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            return 130

    return asyncio.run(guarded())


async def _be_station(one: "SimulatedStation", token: str, *, starts: bool, auto: bool, seed: int) -> int:
    async with one:
        try:
            await _drive(one, token, starts=starts, auto=auto, seed=seed)
        except asyncio.CancelledError:
            for number in one.connectors:
                one.end(number, "Local")
            with contextlib.suppress(TimeoutError):
                await one.drain(10)
        if one.queue_length:
            click.echo(f"{one.queue_length} transaction messages were not acknowledged", err=True)
            return _TROUBLE
    return 0


async def _drive(one: "SimulatedStation", token: str, *, starts: bool, auto: bool, seed: int) -> None:
    """Do what was asked, and say what is seen, until cancelled."""
    chance = random.Random(seed)
    shown = ""
    started = False
    while True:
        if one.is_accepted and starts and not started:
            started = True
            click.echo("started" if await one.start(1, token) else f"token {token} was refused")
        if one.is_accepted and auto and chance.random() < 0.05:
            number = chance.choice(list(one.connectors))
            if not await one.stop(number):
                await one.start(number, token)
        state = "connected" if one.is_accepted and one.is_connected else "not accepted yet"
        connectors = ", ".join(f"{n}: {one.status(n)} {c.power_w / 1000:.1f} kW" for n, c in one.connectors.items())
        line = (
            f"{one.identity} {state if one.is_connected else 'not connected'}; {connectors}; queue {one.queue_length}"
        )
        if line != shown:
            shown = line
            click.echo(line)
        await asyncio.sleep(1)


async def _be_csms(one: "SimulatedCsms", *, as_json: bool) -> int:
    try:
        await one.start()
    except OSError as error:
        click.echo(f"cannot listen: {error}", err=True)
        return _TROUBLE
    try:
        await _tell(one, as_json=as_json)
    except asyncio.CancelledError:
        return 0
    finally:
        await one.close()


async def _tell(one: "SimulatedCsms", *, as_json: bool) -> NoReturn:
    """Print what happens, until cancelled."""
    from gateway.demo.history import Arrival, to_line

    if not as_json:
        click.echo(f"listening: {one.url}")
    seen, present = 0, set[str]()
    while True:
        for record in one.history.records[seen:]:
            if as_json:
                click.echo(to_line(record))
            elif isinstance(record, Arrival):
                click.echo(f"{record.station} {record.action} {record.payload}")
        seen = len(one.history.records)
        for identity in sorted(one.connected ^ present):
            event = "connected" if identity in one.connected else "gone"
            click.echo(json.dumps({"station": identity, "event": event}) if as_json else f"{identity} {event}")
        present = one.connected
        await _news(one, seen, present)


async def _news(one: "SimulatedCsms", seen: int, present: set[str]) -> None:
    """Wait until there are more records than `seen`, or others than `present` are connected."""
    with contextlib.suppress(TimeoutError):
        await one.changes.until(lambda: len(one.history.records) > seen or one.connected != present, 3600)
