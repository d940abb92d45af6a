"""One socket of the simulated CSMS, and what the script may do to its messages."""

import asyncio
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from gateway.demo.csms_answers import TRANSACTION_ACTIONS, Answers16, Answers201
from gateway.demo.history import Answered, Arrival, monotonic

if TYPE_CHECKING:
    from gateway.demo.csms import SimulatedCsms

ANSWERS: dict[str, type[Answers16] | type[Answers201]] = {"ocpp1.6": Answers16, "ocpp2.0.1": Answers201}


class Effect(StrEnum):
    """What may happen to a message instead of an answer.

    REFUSE: CALLERROR, nothing is kept. SILENT: kept, never answered. LOSE: kept, and the socket is cut instead of
    the answer.
    """

    REFUSE = "refuse"
    SILENT = "silent"
    LOSE = "lose"


@dataclass(slots=True)
class Rule:
    """Applies to messages of this action and station (None: any), after `skip` of them, `times` times (None: always),
    each with probability `chance`."""

    effect: Effect
    action: str | None = None
    station: str | None = None
    times: int | None = 1
    skip: int = 0
    chance: float = 1.0
    code: str = "InternalError"


class CsmsConnection:
    """One socket as the `ocpp` package sees it: frames are logged, delayed, refused, swallowed or lost on the way."""

    def __init__(self, csms: "SimulatedCsms", number: int, identity: str, socket: ServerConnection) -> None:
        self.number = number
        self.identity = identity
        self.is_aborted = False
        self._csms = csms
        self._socket = socket
        self._version = str(socket.subprotocol).removeprefix("ocpp")
        self._order: int | None = None
        self._loses = False
        answers = ANSWERS[str(socket.subprotocol)](identity, csms.books)
        self.peer = answers.charge_point(identity, self, csms.call_timeout_s)
        self.peer.route_map = {
            action: {"_on_action": handler, "_skip_schema_validation": not csms.validate}
            for action, handler in answers.handlers().items()
        }

    def abort(self) -> None:
        self.is_aborted = True
        self._socket.transport.abort()

    async def call(self, payload: Any) -> Any:
        """The answer to a command. Raises ConnectionError if the socket ends first: the `ocpp` package won't notice."""
        answer = asyncio.create_task(
            self.peer.call(payload, suppress=False, skip_schema_validation=not self._csms.validate)
        )
        closed = asyncio.create_task(self._socket.wait_closed())
        try:
            await asyncio.wait((answer, closed), return_when=asyncio.FIRST_COMPLETED)
            # An answer that came just before the end is still being validated.
            await asyncio.wait((answer,), timeout=5 if closed.done() else 0)
            if not answer.done():
                raise ConnectionError(f"{self.identity} went away")
            return answer.result()
        except ConnectionClosed as error:
            raise ConnectionError(f"{self.identity} went away") from error
        finally:
            for task in (answer, closed):
                task.cancel()
            await asyncio.gather(answer, closed, return_exceptions=True)

    async def recv(self) -> str:
        """The next frame the `ocpp` package shall handle."""
        while True:
            frame = await self._socket.recv()
            text = frame if isinstance(frame, str) else frame.decode()
            if not await self._is_taken(text):
                return text

    async def send(self, frame: str) -> None:
        """A frame of the `ocpp` package: a command, or the answer to the frame last given to it."""
        if frame.startswith("[2,"):
            await self._socket.send(frame)
            return
        if self._loses:
            self._loses = False
            self._note_answer(Effect.LOSE, frame)
            self.abort()
            return
        if not self.is_aborted:
            at = monotonic()
            await self._socket.send(frame)
            self._note_answer("sent" if frame.startswith("[3,") else "refused", frame, at)

    async def _is_taken(self, text: str) -> bool:
        """Log a frame and apply the script; True if the `ocpp` package shall not see it."""
        message = json.loads(text)
        if message[0] != 2:
            return False
        _, message_id, action, payload = message
        csms = self._csms
        csms.calls.append((self.identity, action))
        self._order = self._note_arrival(text, message_id, action, payload)
        csms.changes.notify()
        rule = csms.effect_for(self.identity, action)
        delay = csms.latency()
        if delay:
            await asyncio.sleep(delay)
        self._loses = rule is not None and rule.effect is Effect.LOSE
        if rule is None or self._loses:
            return False
        if rule.effect is Effect.SILENT:
            self._note_answer(Effect.SILENT, None)
        else:
            refusal = json.dumps([4, message_id, rule.code, "scripted", {}], separators=(",", ":"))
            await self._socket.send(refusal)
            self._note_answer("refused", refusal)
        return True

    def _note_arrival(self, text: str, message_id: str, action: str, payload: dict[str, Any]) -> int | None:
        """Log transaction messages; in 1.6 meter values without a transaction are none."""
        is_transaction = action in TRANSACTION_ACTIONS and (action != "MeterValues" or "transactionId" in payload)
        if not is_transaction:
            return None
        order = self._csms.next_order()
        raw = payload_text(text)
        self._csms.history.append(
            Arrival(order, self.identity, self.number, self._version, message_id, action, raw, monotonic())
        )
        return order

    def _note_answer(self, outcome: str, frame: str | None, at: float | None = None) -> None:
        order, self._order = self._order, None
        if order is not None:
            answer = json.dumps(json.loads(frame)[-1]) if frame else None
            self._csms.history.append(Answered(order, str(outcome), answer, monotonic() if at is None else at))
        self._csms.changes.notify()


def payload_text(frame: str) -> str:
    """The payload of a CALL exactly as it was written."""
    decoder = json.JSONDecoder()
    blank = " \t\r\n,"
    position = frame.index("[") + 1
    for _ in range(3):
        position += len(frame[position:]) - len(frame[position:].lstrip(blank))
        _, position = decoder.raw_decode(frame, position)
    position += len(frame[position:]) - len(frame[position:].lstrip(blank))
    _, end = decoder.raw_decode(frame, position)
    return frame[position:end]
