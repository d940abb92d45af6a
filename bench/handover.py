"""`python -m bench.handover`: from the last byte of a message to its Reading, for meters that send by themselves.

P1 over a pseudo terminal and a Shelly behind a real mosquitto, each beside a floor: the same bytes on the same way,
looked into by nobody. Goal: 99 of 100 readings within 5 ms, by the median of some repeats. Where the floor alone needs
more than 1 ms, the machine has something else to do: then the goal is judged by CPU, and that is said. CPU is that of
this process, which has the sender in it, too. Exit status 1 if the goal is missed, 2 without mosquitto.
"""

import asyncio
import json
import os
import random
import shutil
import sys
import tempfile
import time
import tty
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from subprocess import DEVNULL
from typing import Any

import aiomqtt
import click
from rich.console import Console
from rich.table import Table

from drivers import registry
from drivers.api import Driver, Seams
from drivers.options import Places
from gateway.clock import Clock
from gateway.demo.gateway_process import free_port

GOAL_MS = 5.0
QUIET_MS = 1.0
_TELEGRAM = Path(__file__).parent.parent / "tests" / "telegrams" / "p1-v5.txt"
_LAST = 16
"""So many bytes of a telegram are sent last: what a serial adapter hands over at once."""
_TOPIC = "shelly/status/em:0"
_STATUS = json.dumps(
    {f"{phase}_{name}": 1.0 for phase in "abc" for name in ("current", "voltage", "act_power")}
    | {"total_act_power": 3.0}
)
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"

Send = Callable[[bool], Coroutine[None, None, None]]
"""Sends a message: all but its last part (False), then that (True)."""


@dataclass(frozen=True, slots=True)
class Options:
    repeats: int
    count: int
    pause_s: float


@dataclass(frozen=True, slots=True)
class Verdict:
    is_met: bool
    is_by_clock: bool

    def __str__(self) -> str:
        return f"{'met' if self.is_met else 'MISSED'}{'' if self.is_by_clock else ' by CPU: busy machine'}"


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    repeats: list[list[tuple[float, float]]]
    """Of each repeat, for each message: ms that passed, ms of CPU."""

    def passed_ms(self, share: float) -> float:
        return median(_quantile([passed for passed, _ in repeat], share) for repeat in self.repeats)

    def cpu_ms(self, share: float) -> float:
        return median(_quantile([cpu for _, cpu in repeat], share) for repeat in self.repeats)

    def verdict(self, floor: "Row") -> Verdict:
        is_quiet = floor.passed_ms(0.99) <= QUIET_MS
        judged = self.passed_ms(0.99) if is_quiet else self.cpu_ms(0.99)
        return Verdict(judged <= GOAL_MS, is_quiet)

    def as_json(self) -> dict[str, Any]:
        times = {"p50_ms": self.passed_ms(0.5), "p99_ms": self.passed_ms(0.99), "cpu_p99_ms": self.cpu_ms(0.99)}
        found = {name: round(value, 3) for name, value in times.items()}
        return {**found, "count": sum(map(len, self.repeats))}


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


class BrokerMissing(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Way:
    name: str
    send: Send
    arrivals: AsyncGenerator[object, None]


async def run(options: Options) -> list[Row]:
    """A floor, then what stands on it, and again. Raises BrokerMissing."""
    rows = []
    with _pty() as (floor_master, floor_port), _pty() as (master, port):
        p1 = _driver({"driver": "p1", "port": port})
        floor = Way("pty, floor", _telegram_sender(floor_master), _bytes_on(floor_port))
        rows += await _measured([floor, Way("p1 over a pty", _telegram_sender(master), _readings_of(p1))], options)
    async with _mosquitto() as number, aiomqtt.Client("127.0.0.1", number) as client:
        table = {"driver": "mqtt", "model": "shelly-em", "prefix": "shelly", "host": "127.0.0.1", "tcp_port": number}
        shelly = _readings_of(_driver(table))
        floor = Way("mosquitto, floor", _publisher(client, "floor"), _messages_of(number, "floor"))
        rows += await _measured([floor, Way("shelly through mosquitto", _publisher(client, _TOPIC), shelly)], options)
    return rows


def _publisher(client: aiomqtt.Client, topic: str) -> Send:
    async def send(is_last: bool) -> None:
        if is_last:
            await client.publish(topic, _STATUS)

    return send


async def _measured(ways: list[Way], options: Options) -> list[Row]:
    """In turn, message by message, so that what else the machine does is in all of them."""
    rows = [Row(way.name, []) for way in ways]
    try:
        for way in ways:
            await _until_first(way.arrivals, way.send)
        for _ in range(options.repeats):
            for row in rows:
                row.repeats.append([])
            for _ in range(options.count):
                for row, way in zip(rows, ways, strict=True):
                    row.repeats[-1].append(await _one(way.arrivals, way.send, options.pause_s))
    finally:
        for way in ways:
            await way.arrivals.aclose()
    return rows


async def _one(arrivals: AsyncGenerator[object, None], send: Send, pause_s: float) -> tuple[float, float]:
    await send(False)
    await asyncio.sleep(pause_s)
    began, cpu = time.perf_counter(), time.process_time()
    await send(True)
    await anext(arrivals)
    return (time.perf_counter() - began) * 1000, (time.process_time() - cpu) * 1000


async def _until_first(arrivals: AsyncGenerator[object, None], send: Send) -> None:
    """Sends until somebody listens, then waits until nothing is on its way."""
    arrival: asyncio.Future[object] = asyncio.ensure_future(_next(arrivals))
    while not arrival.done():
        await send(False)
        await send(True)
        await asyncio.wait({arrival}, timeout=0.2)
    while arrival.done():
        arrival = asyncio.ensure_future(_next(arrivals))
        await asyncio.wait({arrival}, timeout=0.3)
    await send(False)
    await send(True)
    await arrival


async def _next(arrivals: AsyncGenerator[object, None]) -> object:
    return await anext(arrivals)


def _driver(table: dict[str, Any]) -> Driver[Any]:
    clock = Clock()
    seams = Seams(clock.monotonic, clock.now, asyncio.sleep, random.Random(1))
    return registry.build("bench", registry.checked(table, Places()), seams)


async def _readings_of(driver: Driver[Any]) -> AsyncGenerator[object, None]:
    async with driver:
        async for reading in driver:
            yield reading


async def _bytes_on(port: str) -> AsyncGenerator[object, None]:
    """The last part of each telegram, without a look at it."""
    arrived: asyncio.Queue[bytes] = asyncio.Queue()
    number = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def read() -> None:
        if (data := os.read(number, 65536)).endswith(b"\r\n"):
            arrived.put_nowait(data)

    loop = asyncio.get_running_loop()
    loop.add_reader(number, read)
    try:
        while True:
            yield await arrived.get()
    finally:
        loop.remove_reader(number)
        os.close(number)


async def _messages_of(port: int, topic: str) -> AsyncGenerator[object, None]:
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe(topic)
        async for message in client.messages:
            yield message


@contextmanager
def _pty() -> Iterator[tuple[int, str]]:
    master, slave = os.openpty()
    tty.setraw(slave)
    try:
        yield master, os.ttyname(slave)
    finally:
        os.close(slave)
        os.close(master)


def _telegram_sender(master: int) -> Send:
    content = _TELEGRAM.read_bytes()

    async def send(is_last: bool) -> None:
        os.write(master, content[-_LAST:] if is_last else content[:-_LAST])

    return send


@asynccontextmanager
async def _mosquitto() -> AsyncIterator[int]:
    binary, port = shutil.which("mosquitto", path=_PATH), free_port()
    if binary is None:
        raise BrokerMissing("mosquitto is not installed: apt-get install mosquitto")
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_type none\n")
        process = await asyncio.create_subprocess_exec(binary, "-c", str(config), stdout=DEVNULL, stderr=DEVNULL)
        try:
            await _until_listening(port)
            yield port
        finally:
            process.terminate()
            await process.wait()


async def _until_listening(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            await writer.wait_closed()
            return


def judged(rows: list[Row]) -> dict[str, Verdict]:
    """Each row that is no floor, by the floor before it."""
    return {row.name: row.verdict(floor) for floor, row in zip(rows[::2], rows[1::2], strict=True)}


def show(rows: list[Row], console: Console) -> None:
    table = Table(title="from the last byte to the reading, ms", title_justify="left")
    for column in ("way", "p50", "p99", "CPU p50", "CPU p99", f"goal: p99 <= {GOAL_MS:g}"):
        table.add_column(column, justify="left" if column == "way" else "right")
    verdicts = judged(rows)
    for row in rows:
        times = [f"{of(share):.2f}" for of in (row.passed_ms, row.cpu_ms) for share in (0.5, 0.99)]
        table.add_row(row.name, *times, str(verdicts.get(row.name, "")))
    console.print(table)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1))
@click.option("--count", default=300, show_default=True, type=click.IntRange(1), help="Messages of each repeat.")
@click.option("--pause", default=0.01, show_default=True, type=click.FloatRange(0), help="Seconds between two.")
def main(*, as_json: bool, repeats: int, count: int, pause: float) -> None:
    """From the last byte of a message to its Reading, for P1 over a pty and MQTT through mosquitto."""
    try:
        rows = asyncio.run(run(Options(repeats, count, pause)))
    except BrokerMissing as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    verdicts = judged(rows)
    if as_json:
        goals = {name: {"met": verdict.is_met, "by_clock": verdict.is_by_clock} for name, verdict in verdicts.items()}
        click.echo(json.dumps({"rows": {row.name: row.as_json() for row in rows}, "goals": goals}))
    else:
        console = Console()
        show(rows, console if console.is_terminal else Console(width=120))
    sys.exit(0 if all(verdict.is_met for verdict in verdicts.values()) else 1)


if __name__ == "__main__":
    main(prog_name="python -m bench.handover")
