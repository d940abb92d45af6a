"""A scripted CSMS for the simulation: books everything twice if told twice, loses answers, falls silent, refuses."""

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.demo.history import Answered, Arrival, Closed, CsmsRecord, HistoryLog
from tests.sim.network import SimSocket
from tests.sim.peer import NoAnswer, Refusal, Wire

TRANSACTION_ACTIONS = {"StartTransaction", "StopTransaction", "MeterValues", "TransactionEvent"}
Script = Callable[[str, str, Any], str]
"""Station, action, payload -> "answer", "refuse", "silent", "twice" (the answer comes again, behind later ones) or
"lose" (booked, then the socket is cut)."""


def identity_of(message_id: str, action: str, payload: Any) -> str:
    """How a CSMS knows that a message came again: by seqNo in 2.x, by its message id in 1.6."""
    if action == "TransactionEvent":
        return f"{payload['transactionInfo']['transactionId']} {payload['seqNo']}"
    return message_id


@dataclass
class _Connection:
    number: int
    station: str
    wire: Wire


class SimCsms:
    """Answers like a CSMS. `verdicts` by token; `script` decides what happens to each message."""

    def __init__(self, source: random.Random) -> None:
        self.history: HistoryLog[CsmsRecord] = HistoryLog()
        self.calls: list[tuple[str, str, Any]] = []
        self.times: list[tuple[str, str, Any, float]] = []
        """The calls, each with its moment."""
        self.verdicts: dict[str, str] = {}
        self.second_thoughts: dict[str, str] | None = None
        """The idTokenInfo of its answers to Updated events of 2.x."""
        self.delay_s: Callable[[str], float] = lambda action: source.uniform(0.01, 0.2)
        self.script: Script = lambda station, action, payload: "answer"
        self.boot_status = "Accepted"
        self.connections: dict[str, _Connection] = {}
        self.is_reachable = True
        self.versions: tuple[str, ...] = ()
        """What it speaks; nothing: all that it is offered."""
        self.violations: list[str] = []
        self.is_sick = False
        self.deduplicates = False
        """Whether it knows a message that comes again, and gives it the answer it gave before."""
        self.booked: dict[tuple[str, str], Any] = {}
        """What a CSMS that de-duplicates holds: the answer it gave, by station and `identity_of` the message."""
        self._source = source
        self._numbers = 0
        self._order = 0
        self._next_tx = 100
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, station: str, socket: SimSocket) -> None:
        """Serve a new socket."""
        self._numbers += 1
        number = self._numbers

        async def handle(message_id: str, action: str, payload: Any) -> Any:
            return await self._handle(connection, message_id, action, payload)

        connection = _Connection(number, station, Wire(socket, handle))
        if station in self.connections:
            self.violations.append(f"two upstream sockets for {station}")
        self.connections[station] = connection

        async def serve() -> None:
            await connection.wire.run()
            if self.connections.get(station) is connection:
                del self.connections[station]
            code = connection.wire.socket.closed.code if connection.wire.socket.closed else 1006
            self.history.append(Closed(number, code == 1006, self._time()))

        task = asyncio.create_task(serve(), name=f"csms {station}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def pick(self, subprotocols: Sequence[str]) -> str | None:
        """What it speaks of what it is offered."""
        return next((name for name in subprotocols if not self.versions or name[4:] in self.versions), None)

    def cut(self) -> None:
        """Drop every socket and take no new one."""
        self.is_reachable = False
        for connection in list(self.connections.values()):
            connection.wire.socket.cut()
        self.connections.clear()

    def mend(self) -> None:
        self.is_reachable = True

    async def call(self, station: str, action: str, payload: Any) -> Any:
        """A command down. Raises NoAnswer."""
        if station not in self.connections:
            raise NoAnswer("not connected")
        return await self.connections[station].wire.call(f"csms-{self._source.random()}", action, payload)

    async def _handle(self, connection: _Connection, message_id: str, action: str, payload: Any) -> Any:
        self.calls.append((connection.station, action, payload))
        self.times.append((connection.station, action, payload, self._time()))
        is_kept = action in TRANSACTION_ACTIONS
        order = self._order = self._order + 1
        version = "2.0.1" if connection.wire.socket.subprotocol == "ocpp2.0.1" else "1.6"
        if is_kept:
            self.history.append(
                Arrival(order, connection.station, connection.number, version, message_id, action,
                        json.dumps(payload), self._time())
            )  # fmt: skip
        fate = self.script(connection.station, action, payload)
        answer = self._booking(connection.station, message_id, action, payload, fate)
        await asyncio.sleep(self.delay_s(action))
        if is_kept:
            if fate in {"answer", "twice"} and (connection.wire.socket.closed or connection.wire.socket.is_black_hole):
                fate = "lose"
            outcome = {"answer": "sent", "twice": "sent", "refuse": "refused"}.get(fate, fate)
            self.history.append(Answered(order, outcome, json.dumps(answer), self._time()))
        if fate == "refuse":
            raise Refusal("scripted")
        if fate == "lose":
            connection.wire.socket.cut()
        if fate == "twice":
            frame = json.dumps([3, message_id, answer]).encode()
            again_s = self._source.uniform(0.01, 10.0)
            asyncio.get_running_loop().call_later(again_s, connection.wire.socket.send, frame)
        return answer if fate in {"answer", "twice"} else None

    def _booking(self, station: str, message_id: str, action: str, payload: Any, fate: str) -> Any:
        if not self.deduplicates or action not in TRANSACTION_ACTIONS or fate == "refuse":
            return self._answer(action, payload)
        key = (station, identity_of(message_id, action, payload))
        if key not in self.booked:
            self.booked[key] = self._answer(action, payload)
        return self.booked[key]

    def _answer(self, action: str, payload: Any) -> Any:
        if action == "BootNotification":
            return {"status": self.boot_status, "currentTime": "2026-03-01T08:00:00Z", "interval": 300}
        if action == "Authorize":
            token = payload.get("idTag") or payload["idToken"]["idToken"]
            return self._verdict(token, "idTag" in payload)
        if action == "StartTransaction":
            self._next_tx += 1
            return {"transactionId": self._next_tx, **self._verdict(payload["idTag"], True)}
        if action == "TransactionEvent" and payload["eventType"] == "Updated" and self.second_thoughts:
            return {"idTokenInfo": self.second_thoughts}
        if action == "TransactionEvent" and "idToken" in payload:
            return self._verdict(payload["idToken"]["idToken"], False)
        return {}

    def _verdict(self, token: str, is_16: bool) -> dict[str, Any]:
        return {"idTagInfo" if is_16 else "idTokenInfo": {"status": self.verdicts.get(token, "Accepted")}}

    def _time(self) -> float:
        return asyncio.get_running_loop().time()
