"""Chargers that are connected already while others make trouble: `python -m bench.watch PORT CHARGERS RATE ACTION...`.

A process of its own, so that its latencies are the proxy's and not the load's. Says "ready" once all are booted; ends
when its standard input does, and then prints one JSON list of [due, latency, action], seconds, `due` on the system's
monotonic clock. Each charger has one CALL outstanding; one that has to wait for that counts from when it was due.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections import deque
from collections.abc import Sequence
from functools import partial
from time import perf_counter
from typing import NamedTuple

from bench import traffic, wire
from bench.proc import REPOSITORY

HOST = "127.0.0.1"
_READY_S = 30.0


class WatchError(Exception):
    """A watcher could not be brought into service, or was disconnected."""


class Seen(NamedTuple):
    """One CALL: when it was due, how long its answer took from there (infinite: thrown out), and what it was."""

    due: float
    took: float
    action: str


HEARTBEAT, DATA_TRANSFER = "Heartbeat", "DataTransfer"
_PAYLOADS = {HEARTBEAT: b"{}", DATA_TRANSFER: b'{"vendorId":"bench"}'}


class Watcher(wire.Peer):
    """One charger that boots and then sends one CALL after another when told to."""

    masks = True

    def __init__(self, name: str, action: str, seen: list[Seen]) -> None:
        super().__init__()
        self.name = name
        self._action = action
        self.booted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._seen = seen
        self._due: deque[float] = deque()
        self.is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(wire.request(f"/ocpp/{self.name}", HOST))

    def ask(self, due: float) -> None:
        self._due.append(due)
        if len(self._due) == 1:
            self._send()

    def on_head(self, head: bytes) -> None:
        boot = traffic.encode({**traffic.BOOT, "chargePointSerialNumber": self.name})
        self.send(b'[2,"boot","BootNotification",%b]' % boot)

    def on_text(self, text: bytes) -> None:
        if text.startswith(b'[3,"boot",') and b'"Accepted"' in text:
            self.booted.set_result(None)
        elif text.startswith(b'[3,"ask",'):
            due = self._due.popleft()
            self._note(due, perf_counter() - due)
            if self._due:
                self._send()
        elif text.startswith(b'[2,"'):
            self.send(b'[3,%b,{"status":"NotImplemented"}]' % text[3 : text.find(b'"', 4) + 1])

    def on_lost(self) -> None:
        if self.is_over:
            return
        if not self.booted.done():
            self.booted.set_exception(WatchError(f"{self.name}: connection lost"))
        for due in self._due or [perf_counter()]:
            self._note(due, float("inf"))

    def give_up(self) -> None:
        """Hang up; what is not answered yet took at least until now."""
        self.is_over = True
        for due in self._due:
            self._note(due, perf_counter() - due)
        self._due.clear()
        self.transport.abort()

    def _note(self, due: float, took: float) -> None:
        self._seen.append(Seen(due, took, self._action))

    def _send(self) -> None:
        self.send(b'[2,"ask","%b",%b]' % (self._action.encode(), _PAYLOADS[self._action]))


def _same(watcher: Watcher) -> Watcher:
    return watcher


async def watch(port: int, chargers: int, rate: float, actions: Sequence[str]) -> list[Seen]:
    """CALLs, `rate` a second over all chargers, each with an action of its own, until the standard input ends."""
    loop = asyncio.get_running_loop()
    seen: list[Seen] = []
    watchers = [Watcher(f"WATCH-{index:02}", actions[index % len(actions)], seen) for index in range(chargers)]
    async with asyncio.timeout(_READY_S):
        for watcher in watchers:
            await loop.create_connection(partial(_same, watcher), HOST, port)
            await watcher.booted
    ended = asyncio.Event()
    loop.add_reader(sys.stdin, ended.set)
    print("ready", flush=True)
    begin, number = perf_counter(), 0
    while not ended.is_set():
        due = begin + number / rate
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(due - perf_counter(), 0)):
                await ended.wait()
        watchers[number % chargers].ask(due)
        number += 1
    loop.remove_reader(sys.stdin)
    for watcher in watchers:
        watcher.give_up()
    return list(seen)


class Watch:
    """The process, as its measurer sees it. An async context manager; `end` gives what was seen."""

    def __init__(self, port: int, chargers: int, rate: float, core: int | None, *actions: str) -> None:
        self._arguments = [str(port), str(chargers), str(rate), *(actions or [HEARTBEAT])]
        self._core = core
        self._process: asyncio.subprocess.Process

    async def __aenter__(self) -> "Watch":
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.watch", *self._arguments),
            cwd=REPOSITORY,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        if self._core is not None:
            os.sched_setaffinity(self._process.pid, {self._core})
        assert self._process.stdout
        try:
            async with asyncio.timeout(_READY_S):
                said = await self._process.stdout.readline()
        except BaseException:
            await self._kill()
            raise
        if said != b"ready\n":
            await self._kill()
            raise WatchError(f"the watchers did not come into service: {said[:200]!r}")
        return self

    async def end(self) -> list[Seen]:
        """Stop watching; what was seen, in seconds. Raises WatchError."""
        async with asyncio.timeout(_READY_S):
            told, _ = await self._process.communicate(b"")
        if self._process.returncode != 0:
            raise WatchError(f"the watchers ended with status {self._process.returncode}")
        return [Seen(*one) for one in json.loads(told)]

    async def __aexit__(self, *_: object) -> None:
        await self._kill()

    async def _kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate(b"")


def main() -> None:
    found = asyncio.run(watch(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
