"""The PyPI package `ocpp-csms` as the CSMS: 1.6J on aiohttp, in a process that can be stopped, killed and restarted.

The package counts nothing itself, so its frames are read back: a CALLERROR in either direction, a command that failed
and anything the package or aiohttp warned about are errors.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gateway.demo.gateway_process import free_port
from tests.peers import python_env
from tests.peers.peer_process import Counters, PeerProcess, Stats

HOST = Path(__file__).parent / "ocpp_csms_host.py"
CALL, CALLRESULT, CALLERROR = 2, 3, 4
TRANSACTIONS = ("StartTransaction", "StopTransaction", "MeterValues")
Line = dict[str, Any]


class OcppCsms:
    """Use as an async context manager. Any identity may connect, every token is accepted."""

    def __init__(self, directory: Path) -> None:
        """`directory` gets the file of frames."""
        self._file = directory / "ocpp_csms.jsonl"
        self._port = free_port()
        self._process: PeerProcess | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            await self._process.__aexit__(kind, error, trace)

    @property
    def url(self) -> str:
        """The endpoint, without an identity."""
        return f"ws://127.0.0.1:{self._port}/steve/websocket"

    async def start(self) -> None:
        """Start a fresh process on the same port: it knows nothing of what its predecessor did."""
        arguments = (str(python_env.BIN / "python"), str(HOST), str(self._port), str(self._file))
        self._process = await PeerProcess("ocpp-csms", *arguments).__aenter__()

    async def kill(self) -> None:
        """`kill -9`."""
        await self._running.kill()

    async def cut(self) -> None:
        """Close all sockets in good order and stop listening; `mend` ends it."""
        await self._running.ask("cut")

    async def mend(self) -> None:
        """Listen again."""
        await self._running.ask("mend")

    async def call(self, identity: str, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Send a command to a station and return its answer. Raises PeerError with the OCPP error code."""
        answer = await self._running.ask("call", identity=identity, action=action, payload=payload)
        result: dict[str, Any] = answer["result"]
        return result

    async def state(self) -> dict[str, dict[str, Any]]:
        """What the library itself believes of each station."""
        stations: dict[str, dict[str, Any]] = (await self._running.ask("state"))["stations"]
        return stations

    async def until(self, condition: Callable[[], Awaitable[bool]], timeout_s: float, what: str) -> None:
        """Wait until `condition` holds. Raises TimeoutError, and PeerError if the process ends."""
        await self._running.until(condition, timeout_s, what)

    def errors(self) -> str:
        """What the process wrote to stderr."""
        return self._running.errors()

    async def history(self) -> tuple[list[Line], list[list[Any]]]:
        """Transaction messages with their answers, over all lives, and the outages."""
        lines = await self._lines()
        return transactions_of(lines), outages_of(lines)

    async def log(self) -> list[Line]:
        """Transaction messages in order of arrival."""
        return (await self.history())[0]

    async def stats(self) -> Stats:
        """The counters over all lives."""
        return stats_of(await self._lines())

    async def events(self, identity: str) -> Counter[str]:
        """What the library made of a station's messages: its event classes, counted."""
        lines = await self._lines()
        return Counter(line["kind"] for line in lines if line.get("identity") == identity and "Event" in line["kind"])

    @property
    def _running(self) -> PeerProcess:
        assert self._process is not None
        return self._process

    async def _lines(self) -> list[Line]:
        text = await asyncio.to_thread(self._file.read_text, "utf-8")
        complete = text[: text.rfind("\n") + 1]  # it may have been killed while it wrote
        return [json.loads(line) for line in complete.splitlines()]


def transactions_of(lines: list[Line]) -> list[Line]:
    """In the form that `ocpp_rpc_diff.compare` reads."""
    log: list[Line] = []
    unanswered: dict[tuple[str, str], Line] = {}
    is_stopping = False
    for line in lines:
        is_stopping = line["kind"] == "down" or (is_stopping and line["kind"] != "up")
        if line["kind"] not in ("in", "out"):
            continue
        message, identity, at_ms = json.loads(line["text"]), line["identity"], line["at_ms"]
        if line["kind"] == "in" and message[0] == CALL and message[2] in TRANSACTIONS:
            entry = {"identity": identity, "message_id": message[1], "action": message[2], "params": message[3]}
            log.append(entry | {"at_ms": at_ms, "answer": None, "answered_at_ms": None})
            unanswered[identity, message[1]] = log[-1]
        elif line["kind"] == "out" and message[0] == CALLRESULT:
            answered = unanswered.pop((identity, message[1]), None)
            if answered is not None:
                # While it stops, the package writes answers that no socket takes any more.
                answered.update(answer=message[2], answered_at_ms=None if is_stopping else at_ms)
    return log


def outages_of(lines: list[Line]) -> list[list[Any]]:
    """[began, ended] in ms. A killed process can't say when: its last line will do."""
    outages: list[list[Any]] = []
    before: Line | None = None
    for line in lines:
        if line["kind"] == "down":
            outages.append([line["at_ms"], None])
        elif line["kind"] == "up" and before is not None:
            if not outages or outages[-1][1] is not None:
                outages.append([before["at_ms"], None])
            outages[-1][1] = line["at_ms"]
        before = line
    return outages


def stats_of(lines: list[Line]) -> Stats:
    """Counters per identity; what can't be told to belong to one is in the total only."""
    counts: dict[str, Counter[str]] = {}
    actions: dict[str, Counter[str]] = {}
    examples: list[str] = []
    loose = 0
    for line in lines:
        identity = line.get("identity")
        if line["kind"] == "trouble":
            loose += 1
            examples.append(line["text"][:400])
        if identity is None:
            continue
        count = counts.setdefault(identity, Counter())
        if line["kind"] in ("in", "out"):
            message = json.loads(line["text"])
            count[f"{line['kind']} {message[0]}"] += 1
            if line["kind"] == "in" and message[0] == CALL:
                actions.setdefault(identity, Counter())[message[2]] += 1
            if message[0] == CALLERROR:
                examples.append(line["text"][:400])
        else:
            count[line["kind"]] += 1
    peers = {name: _counters(count, actions.get(name, Counter()), 0, []) for name, count in counts.items()}
    total = _counters(sum(counts.values(), Counter()), sum(actions.values(), Counter()), loose, examples[:20])
    return Stats(total, peers)


def _counters(count: Counter[str], actions: Counter[str], trouble: int, examples: list[str]) -> Counters:
    return Counters(
        calls_received=count[f"in {CALL}"],
        results_sent=count[f"out {CALLRESULT}"],
        calls_made=count[f"out {CALL}"],
        results_got=count[f"in {CALLRESULT}"],
        errors=count[f"in {CALLERROR}"] + count[f"out {CALLERROR}"] + count["failed"],
        schema_errors=0,  # the package answers those with a CALLERROR
        protocol_errors=trouble,
        lost_calls=count["lost"],
        lost_answers=0,
        retries=0,
        connections=count["ConnectedEvent"],
        max_in_flight=0,  # it reads no frame before it has answered the last
        max_sockets=2 if count["replaced"] else 1,
        actions=dict(actions),
        examples=examples,
    )
