"""`python -m tests.bad_input.flood --frames 100000`: mutated frames without end over many connections.

One real gateway. Frames are valid ones with something done to them, below or above WebSocket. A healthy station asks
all the while. The last line is one JSON object; exit 1 if the gateway died, leaked or showed a traceback, or if the
healthy station noticed more than it may.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.bad_input.rig import BINARY, CLOSE, PING, PONG, TEXT, VERSIONS, Gone, Kit, RawCsms, RawStation, WsFrame

WORKERS = 4
STATIONS = 24
"""Names of the offenders; each comes back again and again, never twice at once."""
BATCH = 25
QUIET_ROUNDS = 100
MAX_RATIO, MAX_LATENCY_MS = 20.0, 250.0
"""Median latency of the healthy station during the flood: one of the two must hold, for the machine may be busy."""
MAX_GROWTH_KIB = 16 * 1024

VALID = (
    b'[2,"m1","Heartbeat",{}]',
    b'[2,"m2","DataTransfer",{"vendorId":"kit","messageId":"x","data":"\xc3\xa4 \\u00e4 \xf0\x9f\x94\x8c"}]',
    b'[2,"m3","StatusNotification",{"connectorId":1,"errorCode":"NoError","status":"Available"}]',
    b'[2,"m4","MeterValues",{"connectorId":1,"meterValue":[{"timestamp":"2030-01-01T00:00:00Z",'
    b'"sampledValue":[{"value":"12.5","measurand":"Power.Active.Import","unit":"kW"}]}]}]',
    b'[2,"m5","Authorize",{"idTag":"TAG","idToken":{"idToken":"TAG","type":"Central"}}]',
    b'[2,"m6","TransactionEvent",{"eventType":"Updated","timestamp":"2030-01-01T00:00:00Z","triggerReason":"Trigger",'
    b'"seqNo":1,"transactionInfo":{"transactionId":"T"}}]',
    b'[3,"m7",{"status":"Accepted","list":[1,2.5,-0,1e3,true,null]}]',
    b'[4,"m8","GenericError","it failed",{"why":"because"}]',
)


class Mutator:
    """Frames made of valid ones; the same seed makes the same frames."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.made: Counter[str] = Counter()
        self._texts: dict[str, Callable[[bytes], bytes]] = {
            "bits flipped": self._flipped,
            "cut": lambda text: text[: self._random.randrange(len(text))],
            "doubled": lambda text: text + text,
            "a piece twice": self._piece_twice,
            "pieces swapped": self._swapped,
            "giant number": lambda text: self._put_in(text, b"9" * self._random.choice((20, 400, 5000))),
            "invalid UTF-8": lambda text: self._put_in(text, self._random.randbytes(3) + b"\xff"),
            "lone surrogate": lambda text: text.replace(b'":"', b'":"\\ud8%02x' % self._random.randrange(256), 1),
            "NaN": lambda text: text.replace(b"1", b"NaN"),
            "deep": lambda text: self._put_in(text, b"[" * self._random.choice((70, 1000, 20_000))),
            "deep and closed": lambda text: text.replace(b"{", b'{"d":' + b"[" * 500 + b"]" * 500 + b",", 1),
            "other type": lambda text: b"[" + str(self._random.randrange(-3, 12)).encode() + text[2:],
            "noise": lambda text: self._random.randbytes(len(text)),
            "brackets": lambda text: bytes(self._random.choices(b'[]{},:"2a', k=len(text))),
        }
        self._frames: dict[str, Callable[[bytes], list[WsFrame]]] = {
            "binary": lambda text: [WsFrame(BINARY, self._flipped(text))],
            "fragments": self._fragments,
            "ping": lambda _: [WsFrame(PING, self._random.randbytes(self._random.randrange(126)))],
            "pong": lambda _: [WsFrame(PONG, self._random.randbytes(self._random.randrange(126)))],
        }
        self._deadly: dict[str, Callable[[bytes], list[WsFrame]]] = {
            "compressed": lambda text: [WsFrame(TEXT, text, rsv=4)],
            "reserved bits": lambda text: [WsFrame(TEXT, text, rsv=self._random.randrange(1, 8))],
            "reserved opcode": lambda text: [WsFrame(self._random.choice((3, 7, 11, 15)), text[:100])],
            "long ping": lambda text: [WsFrame(PING, (text * 10)[:200])],
            "fragmented ping": lambda _: [WsFrame(PING, b"x", fin=False)],
            "continuation of nothing": lambda text: [WsFrame(0, text)],
            "text inside of a text": lambda text: [WsFrame(TEXT, text, fin=False), WsFrame(TEXT, text)],
            "not masked": lambda text: [WsFrame(TEXT, text, masked=False)],
            "too long": lambda text: [WsFrame(TEXT, text, length=self._random.randrange(2**21, 2**63))],
            "bad close": lambda _: [WsFrame(CLOSE, self._random.randbytes(self._random.randrange(1, 9)))],
        }

    def batch(self, size: int) -> list[WsFrame]:
        """About so many frames; one batch in five ends with one that ends the connection."""
        frames: list[WsFrame] = []
        for _ in range(size):
            text = self._random.choice(VALID)
            if self._random.random() < 0.2:
                name = self._random.choice(list(self._frames))
                frames += self._frames[name](text)
            else:
                name = self._random.choice(list(self._texts))
                for _ in range(self._random.choice((1, 1, 1, 2))):
                    text = self._texts[name](text) or b"["
                frames.append(WsFrame(TEXT, text))
            self.made[name] += 1
        if self._random.random() < 0.2:
            name = self._random.choice(list(self._deadly))
            frames += self._deadly[name](self._random.choice(VALID))
            self.made[name] += 1
        return frames

    def name(self, worker: int) -> tuple[str, str]:
        """One of a worker's offenders, and its version."""
        number = self._random.randrange(worker, STATIONS, WORKERS)
        return f"OFFENDER-{number:02}", VERSIONS[number % len(VERSIONS)]

    def hangs_up(self) -> bool:
        return self._random.random() < 0.1

    def _flipped(self, text: bytes) -> bytes:
        changed = bytearray(text)
        for _ in range(self._random.randrange(1, 5)):
            changed[self._random.randrange(len(changed))] ^= 1 << self._random.randrange(8)
        return bytes(changed)

    def _cuts(self, text: bytes) -> tuple[bytes, bytes, bytes]:
        first, second = sorted(self._random.randrange(len(text) + 1) for _ in range(2))
        return text[:first], text[first:second], text[second:]

    def _piece_twice(self, text: bytes) -> bytes:
        head, piece, tail = self._cuts(text)
        return head + piece * 2 + tail

    def _swapped(self, text: bytes) -> bytes:
        head, piece, tail = self._cuts(text)
        return tail + piece + head

    def _put_in(self, text: bytes, what: bytes) -> bytes:
        at = self._random.randrange(len(text) + 1)
        return text[:at] + what + text[at:]

    def _fragments(self, text: bytes) -> list[WsFrame]:
        head, piece, tail = self._cuts(self._flipped(text))
        return [WsFrame(TEXT, head, fin=False), WsFrame(0, piece, fin=False), WsFrame(PING), WsFrame(0, tail)]


@dataclass
class Report:
    """What a flood did to the gateway. Latencies are the healthy station's, in ms; RSS in KiB."""

    seed: int
    frames: int = 0
    connections: int = 0
    closed: dict[str, int] = field(default_factory=dict)
    """Connections the gateway closed, by code."""
    kinds: int = 0
    seconds: float = 0.0
    healthy_answers: int = 0
    latency_before: float = 0.0
    latency_during: float = 0.0
    latency_worst: float = 0.0
    latency_ratio: float = 0.0
    rss_before: int = 0
    rss_after: int = 0
    fds_before: int = 0
    fds_after: int = 0
    log_lines: int = 0
    log_kib: int = 0
    problems: list[str] = field(default_factory=list)


class Flood:
    """One gateway under it. `play` returns the report."""

    def __init__(self, seed: int, frames: int) -> None:
        self.report = Report(seed)
        self._mutator = Mutator(seed)
        self._goal = frames
        self._closed: Counter[str] = Counter()
        self._left = 0
        self._batch_sent = asyncio.Event()
        self._latencies: list[float] = []

    async def play(self, directory: Path) -> Report:
        report = self.report
        async with RawCsms() as csms, Kit.gateway_at(directory, csms.url, grace_s=0) as gateway:
            async with await RawStation.connect(gateway.port, "HEALTHY", "1.6") as healthy:
                kit = Kit(gateway, csms, healthy)
                await kit.linked("HEALTHY")
                fds = descriptors(kit)
                await self._send(kit, max(1, self._goal // 5))
                await self._calm(kit, fds)
                report.rss_before, report.fds_before = rss(kit), descriptors(kit)
                report.latency_before = statistics.median([await latency(healthy) for _ in range(QUIET_ROUNDS)])
                began = time.monotonic()
                self._latencies = await self._send(kit, self._goal)
                report.seconds = round(time.monotonic() - began, 1)
                async with await RawStation.connect(gateway.port, "LATER", "1.6") as later:
                    await kit.linked("LATER")
                    await later.is_served()
                await self._calm(kit, fds)
                report.rss_after, report.fds_after = rss(kit), descriptors(kit)
                self._judge(kit)
            report.problems += [] if await gateway.stop() == 0 else ["it did not end well"]
        return report

    async def _send(self, kit: Kit, frames: int) -> list[float]:
        """Send about so many, and ask for the healthy station once a batch; its latencies. Raises Gone."""
        self._left = frames
        asking = asyncio.create_task(self._ask(kit.healthy))
        try:
            async with asyncio.TaskGroup() as workers:
                for worker in range(WORKERS):
                    workers.create_task(self._offend(kit, worker))
        finally:
            self._left = 0
            self._batch_sent.set()
            latencies = await asking
        return latencies

    async def _ask(self, healthy: RawStation) -> list[float]:
        """One question for every batch, while the gateway has that before it."""
        latencies = []
        while self._left > 0:
            await self._batch_sent.wait()
            self._batch_sent.clear()
            latencies.append(await latency(healthy))
        return latencies

    async def _offend(self, kit: Kit, worker: int) -> None:
        while self._left > 0:
            name, version = self._mutator.name(worker)
            self.report.connections += 1
            async with await RawStation.connect(kit.gateway.port, name, version) as station:
                try:
                    await self._talk(station)
                except Gone as gone:
                    self._closed[str(gone.code)] += 1

    async def _talk(self, station: RawStation) -> None:
        """Batches, each followed by a good question, until the gateway hangs up, or we do."""
        while self._left > 0:
            batch = self._mutator.batch(BATCH)
            self._left -= len(batch)
            self.report.frames += len(batch)
            station.send(*batch)
            self._batch_sent.set()
            if self._mutator.hangs_up():
                station.reset()
                return
            await station.drain()
            station.send(WsFrame(TEXT, b'[2,"good","Heartbeat",{}]'))
            while (await station.message())[:2] != [3, "good"]:
                pass

    async def _calm(self, kit: Kit, fds: int) -> None:
        """All that the offenders had open is closed, and the store has nothing to do."""
        await kit.until(lambda: descriptors(kit) <= fds)

    def _judge(self, kit: Kit) -> None:
        report, log = self.report, kit.gateway.log()
        report.closed, report.kinds = dict(sorted(self._closed.items())), len(self._mutator.made)
        report.healthy_answers = len(self._latencies)
        report.latency_during = statistics.median(self._latencies)
        report.latency_worst = max(self._latencies)
        report.latency_ratio = round(report.latency_during / report.latency_before, 2)
        report.log_lines, report.log_kib = len(log.splitlines()), len(log) // 1024
        found = {
            "the gateway died": kit.gateway.pid is None,
            "a traceback in the log": "Traceback" in log,
            "the healthy station was disconnected": bool(kit.lines("HEALTHY", "disconnected")),
            "the healthy station waited too long": min(
                report.latency_ratio / MAX_RATIO, report.latency_during / MAX_LATENCY_MS
            )
            > 1,
            "memory grew": report.rss_after - report.rss_before > MAX_GROWTH_KIB,
            "descriptors were left open": report.fds_after > report.fds_before,
            "the store failed": "commit failed" in log,
        }
        report.problems += [problem for problem, is_so in found.items() if is_so]


async def latency(station: RawStation) -> float:
    """Milliseconds for an answer of the gateway and one of the CSMS."""
    began = time.perf_counter()
    await station.is_served()
    return round((time.perf_counter() - began) * 1000, 2)


def rss(kit: Kit) -> int:
    """Resident memory of the gateway, KiB."""
    status = Path(f"/proc/{kit.gateway.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def descriptors(kit: Kit) -> int:
    return len(os.listdir(f"/proc/{kit.gateway.pid}/fd"))


async def flood(seed: int, frames: int, directory: Path) -> Report:
    """Play one flood. Prints the seed first and the report last."""
    print(f"flood with seed {seed}: {frames} frames", flush=True)
    report = await Flood(seed, frames).play(directory)
    print(json.dumps(asdict(report)), flush=True)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bad_input.flood")
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flood-") as folder:
        report = asyncio.run(flood(options.seed, options.frames, Path(folder)))
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
