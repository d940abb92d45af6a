"""A peer in a process of its own: commands go in as JSON lines, answers come out as JSON lines.

Every peer counts what it saw, so a test judges by the peers' own figures.
"""

import asyncio
import dataclasses
import itertools
import json
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

LINE_LIMIT = 256 * 2**20
"""Longest answer in bytes: the log of a long run is one line."""


class RigUnavailableError(Exception):
    """No node, no npm, or the packages can't be installed."""


class PeerError(Exception):
    """A command to a peer failed; `code` is the OCPP error code or the name of the JavaScript error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


@dataclasses.dataclass(frozen=True)
class Counters:
    """What one peer counted for one identity, or the sum over all (`max_*`: the highest)."""

    calls_received: int
    results_sent: int
    calls_made: int
    results_got: int
    errors: int
    schema_errors: int
    protocol_errors: int
    lost_calls: int
    lost_answers: int
    retries: int
    connections: int
    max_in_flight: int
    max_sockets: int
    actions: dict[str, int]
    examples: list[str]


@dataclasses.dataclass(frozen=True)
class Stats:
    """The counters of all identities and their sum."""

    total: Counters
    peers: dict[str, Counters]

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Self:
        """Read the `stats` of an answer."""
        stats = answer["stats"]
        return cls(Counters(**stats["total"]), {name: Counters(**one) for name, one in stats["peers"].items()})


class PeerProcess:
    """A process that answers commands. Use as an async context manager; leaving it ends the process."""

    def __init__(self, name: str, *argv: str) -> None:
        """`name` stands in messages; `argv` starts the process, which says {"ready": true, ...} in its first line."""
        self.name = name
        self._argv = argv
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._stderr: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._process: asyncio.subprocess.Process | None = None
        self._ready: asyncio.Future[dict[str, Any]] | None = None

    async def __aenter__(self) -> Self:
        self._ready = asyncio.get_running_loop().create_future()
        self._process = await asyncio.create_subprocess_exec(
            *self._argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LINE_LIMIT,
        )
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._read_errors())]
        try:
            self.on_ready(await asyncio.wait_for(asyncio.shield(self._ready), 30))
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    def on_ready(self, line: dict[str, Any]) -> None:
        """Take the first line of the process."""

    async def ask(self, cmd: str, *, timeout_s: float = 60.0, **fields: Any) -> dict[str, Any]:
        """Send a command and wait for its answer. Raises PeerError, TimeoutError."""
        assert self._process is not None
        assert self._process.stdin is not None
        if self._process.returncode is not None:
            raise PeerError("Ended", f"{self.name} is not running\n{self.errors()}")
        number = next(self._ids)
        future = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._process.stdin.write(json.dumps({"id": number, "cmd": cmd, **fields}).encode() + b"\n")
            await self._process.stdin.drain()
            answer: dict[str, Any] = await asyncio.wait_for(future, timeout_s)
        except TimeoutError as error:
            raise TimeoutError(f"{self.name}: no answer to {cmd} within {timeout_s} s\n{self.errors()}") from error
        finally:
            self._waiting.pop(number, None)
        if not answer["ok"]:
            raise PeerError(answer["error"], answer["message"])
        return answer

    async def stats(self) -> Stats:
        """Ask for the counters so far."""
        return Stats.of(await self.ask("stats"))

    async def until(self, condition: Callable[[], Awaitable[bool]], timeout_s: float, what: str) -> None:
        """Wait until `condition` holds. Raises TimeoutError, and PeerError if the process ends."""
        assert self._process is not None
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not await condition():
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"not within {timeout_s} s: {what}")
            try:
                await asyncio.wait_for(self._process.wait(), 0.1)
            except TimeoutError:
                continue
            raise PeerError("Ended", f"{self.name} ended\n{self.errors()}")

    async def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()
        await asyncio.gather(*self._tasks)

    def errors(self) -> str:
        """What the process wrote to stderr."""
        return "".join(self._stderr)

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        assert self._ready is not None
        async for text in self._process.stdout:
            line = json.loads(text)
            if line.get("ready"):
                self._ready.set_result(line)
            elif (future := self._waiting.get(line.get("id"))) is not None and not future.done():
                future.set_result(line)
        await self._process.wait()
        ended = PeerError("Ended", f"{self.name} ended with {self._process.returncode}\n{self.errors()}")
        for future in [self._ready, *self._waiting.values()]:
            if not future.done():
                future.set_exception(ended)

    async def _read_errors(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        async for text in self._process.stderr:
            self._stderr.append(text.decode(errors="replace"))

    async def _end(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()  # the end of its stdin ends the process
        try:
            await asyncio.wait_for(self._process.wait(), 5)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await asyncio.gather(*self._tasks)
        if self._ready is not None and self._ready.done() and not self._ready.cancelled():
            self._ready.exception()  # seen, so that the loop does not complain
