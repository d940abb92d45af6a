"""The session of one OCPP-J socket, without I/O.

Who may speak: one CALL of ours is in flight at a time (OCPP-J 1.6, 4.1.1; OCPP 2.0.1 Part 4, 4.1.1); further ones wait
in a bounded queue by priority. CALLs of the peer are independent of that: reading never waits for our own CALL.

After any input, ask two things: what came of it (the return value), and what must be sent (`outgoing`). Time is
handed in as monotonic seconds; `deadline` says when `expire` has something to do.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from msgspec import Struct

from gateway.rpc import frame
from gateway.rpc.codes import Framing

MAX_SENDS = 100
"""SENDs waiting for a slow socket; more push out the oldest ones."""

_RECENT_RESULTS = 8
_SEND = b"[6,"


class Priority(IntEnum):
    """Lower goes first; within one priority the order of asking holds."""

    BOOT = 0
    COMMAND = 1
    STATUS = 2
    TRANSACTION = 3


class Silence(StrEnum):
    """Why a CALL got no answer."""

    TIMEOUT = "timeout"
    CLOSED = "closed"
    TOO_LATE = "too late to send"
    QUEUE_FULL = "queue full"
    NOT_CONNECTED = "not connected"


class Answered(Struct, frozen=True, gc=False):
    payload: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """The peer's CALLERROR. `is_garbled`: an answer that can't be read; it may have done what it was asked."""

    code: str
    description: str
    details: bytes = b"{}"
    is_garbled: bool = False


@dataclass(frozen=True, slots=True)
class Unanswered:
    """`was_sent`: the peer may have acted on it all the same."""

    why: Silence
    was_sent: bool


Outcome = Answered | Refused | Unanswered


class Request(Struct):
    """One CALL of ours.

    `timeout_s` runs from the moment it is sent; after `send_by` (monotonic) it is not sent any more. `on_done` is
    called exactly once; `on_sent` when the frame is handed to the transport.
    """

    message_id: str
    action: str
    payload: bytes
    on_done: Callable[[Outcome], None]
    priority: Priority = Priority.COMMAND
    timeout_s: float = 30.0
    send_by: float = float("inf")
    on_sent: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class RefusedResult:
    """The peer could not use a CALLRESULT of ours; `payload` is what it was given."""

    payload: bytes
    refused: frame.ResultRefused


Received = frame.Call | frame.Send | frame.Malformed | RefusedResult


class Session:
    """One socket's CALLs in both directions. Dies with the socket."""

    def __init__(self, framing: Framing, *, max_queue: int = 200) -> None:
        self._framing = framing
        self._max_queue = max_queue
        self._queue: list[tuple[int, int, Request]] = []
        self._asked = 0
        self._in_flight: Request | None = None
        self._give_up_at = float("inf")
        self._handling: dict[str, frame.Call] = {}
        self._same_ids: list[frame.Call] = []
        """CALLs under way whose id another one had first."""
        self.outgoing: list[bytes] = []
        """Frames to send, oldest first; the shell takes them out. Few: an empty deque takes 0.8 kB."""
        self._closed = False
        self.strays = 0
        """Answers that no question of ours is waiting for: late, repeated or unknown."""
        self.timeouts_in_a_row = 0
        self.refused_results = 0
        """CALLRESULTs of ours that the peer could not use."""
        self._given: list[tuple[str, bytes]] = []
        self._got: list[tuple[str, bytes]] = []
        """Id and payload of the latest CALLRESULTs, ours and the peer's, where a version lets one be refused."""

    @property
    def is_idle(self) -> bool:
        return self._in_flight is None and not self._queue

    @property
    def in_flight(self) -> Request | None:
        return self._in_flight

    @property
    def deadline(self) -> float | None:
        """When `expire` must be called next, monotonic; None while nothing waits."""
        if not self._queue:
            return self._give_up_at if self._in_flight else None
        return min(self._give_up_at, *(request.send_by for _, _, request in self._queue))

    def call(self, request: Request, now: float) -> None:
        """Ask the peer, now or when the slot is free."""
        if self._closed:
            request.on_done(Unanswered(Silence.NOT_CONNECTED, was_sent=False))
        elif now >= request.send_by:
            request.on_done(Unanswered(Silence.TOO_LATE, was_sent=False))
        elif self._in_flight is None and not self._queue:
            self._send(request, now)
        elif len(self._queue) >= self._max_queue:
            request.on_done(Unanswered(Silence.QUEUE_FULL, was_sent=False))
        else:
            self._asked += 1
            heapq.heappush(self._queue, (request.priority, self._asked, request))

    def receive(self, data: bytes, now: float) -> Received | None:
        """Take one frame. Returns a CALL or SEND to handle, the refusal of an answer of ours, or what was wrong with
        the frame (already answered, where there is an answer)."""
        came = frame.decode(data, has_send=self._framing.has_send)
        if isinstance(came, frame.Call):
            return self._receive_call(came)
        if isinstance(came, frame.CallResult):
            if self._framing.has_send:
                _remember(self._got, came.message_id, came.payload)
            self._settle(came.message_id, Answered(came.payload), now)
        elif isinstance(came, frame.CallRefused):
            self._settle(came.message_id, Refused(came.code, came.description, came.details), now)
        elif isinstance(came, frame.Malformed):
            return self._receive_malformed(came, now)
        elif isinstance(came, frame.ResultRefused):
            return self._receive_result_refused(came)
        else:
            return came
        return None

    def send(self, message_id: str, action: str, payload: bytes) -> None:
        """Tell the peer something it does not answer: past the queue, and past a CALL in flight."""
        if self._closed or not self._framing.has_send:
            return
        if len(self.outgoing) >= MAX_SENDS:
            self._forget_oldest_send()
        self.outgoing.append(frame.send(message_id, action, payload))

    def refuse_result(self, refused: RefusedResult) -> bool:
        """Tell the peer that its CALLRESULT was refused by the one it was passed on to; True if it is told.

        It is known by its payload, the very object that came with it: what was changed on the way, or made by the
        gateway, is not the peer's.
        """
        message_id = next((message_id for message_id, got in reversed(self._got) if got is refused.payload), None)
        if self._closed or message_id is None:
            return False
        said = refused.refused
        self.outgoing.append(
            frame.result_error(message_id, self._framing.spell(said.code), said.description, said.details)
        )
        return True

    def answer(self, call: frame.Call, payload: bytes) -> None:
        """Answer a CALL of the peer with a CALLRESULT."""
        if self._framing.has_send:
            _remember(self._given, call.message_id, payload)
        self._answer(call, frame.result(call.message_id, payload))

    def refuse(self, call: frame.Call, code: str, description: str, details: bytes = b"{}") -> None:
        """Answer a CALL of the peer with a CALLERROR, spelled for this version."""
        self._answer(call, frame.error(call.message_id, self._framing.spell(code), description, details))

    def forget(self, call: frame.Call) -> None:
        """Leave a CALL of the peer unanswered; the same CALL may come again."""
        first = self._handling.get(call.message_id)
        if first is call or first == call:
            del self._handling[call.message_id]
        elif call in self._same_ids:
            self._same_ids.remove(call)

    def expire(self, now: float) -> None:
        """Give up what is over its time."""
        if self._in_flight and now >= self._give_up_at:
            self.timeouts_in_a_row += 1
            self._finish(Unanswered(Silence.TIMEOUT, was_sent=True))
        late = [entry for entry in self._queue if now >= entry[2].send_by]
        if late:
            self._queue = [entry for entry in self._queue if now < entry[2].send_by]
            heapq.heapify(self._queue)
            for _, _, request in late:
                request.on_done(Unanswered(Silence.TOO_LATE, was_sent=False))
        self._send_next(now)

    def close(self) -> None:
        """The socket is gone: everything still open gets its outcome."""
        self._closed = True
        self.outgoing.clear()
        if self._in_flight:
            self._finish(Unanswered(Silence.CLOSED, was_sent=True))
        queued, self._queue = self._queue, []
        for _, _, request in sorted(queued, key=lambda entry: entry[:2]):
            request.on_done(Unanswered(Silence.CLOSED, was_sent=False))

    def _receive_call(self, call: frame.Call) -> frame.Call | None:
        """An exact repeat of a CALL still being handled is answered by that one's answer."""
        first = self._handling.setdefault(call.message_id, call)
        if first is not call:
            if first == call or call in self._same_ids:
                return None
            self._same_ids.append(call)
        return call

    def _receive_malformed(self, came: frame.Malformed, now: float) -> frame.Malformed:
        if came.is_unknown_type and not self._framing.answers_unknown_types:
            return came
        if came.answer_to is not None:
            if came.is_result and self._framing.has_send and self._is_awaited(came.answer_to):
                self.outgoing.append(frame.result_error(came.answer_to, self._framing.spell(came.code), came.problem))
            self._settle(came.answer_to, Refused(came.code, came.problem, is_garbled=came.is_result), now)
        elif came.reply_to is not None and not self._closed:
            self.outgoing.append(frame.error(came.reply_to, self._framing.spell(came.code), came.problem))
        return came

    def _receive_result_refused(self, came: frame.ResultRefused) -> RefusedResult | None:
        """Never answered: what it is about was an answer already."""
        given = next((payload for message_id, payload in reversed(self._given) if message_id == came.message_id), None)
        if given is None:
            self.strays += 1
            return None
        self.refused_results += 1
        return RefusedResult(given, came)

    def _forget_oldest_send(self) -> None:
        """SENDs may be lost, the CALLs and answers between them not."""
        sends = [place for place, data in enumerate(self.outgoing) if data.startswith(_SEND)]
        if len(sends) >= MAX_SENDS:
            del self.outgoing[sends[0]]

    def _is_awaited(self, message_id: str) -> bool:
        return not self._closed and self._in_flight is not None and self._in_flight.message_id == message_id

    def _answer(self, call: frame.Call, data: bytes) -> None:
        self.forget(call)
        if not self._closed:
            self.outgoing.append(data)

    def _settle(self, message_id: str, outcome: Outcome, now: float) -> None:
        """An error under "-1" can only be about the one CALL in flight."""
        request = self._in_flight
        is_unattributed = message_id == frame.UNKNOWN_ID and isinstance(outcome, Refused)
        if request is None or (request.message_id != message_id and not is_unattributed):
            self.strays += 1
            return
        self.timeouts_in_a_row = 0
        self._finish(outcome)
        self._send_next(now)

    def _finish(self, outcome: Outcome) -> None:
        request, self._in_flight = self._in_flight, None
        self._give_up_at = float("inf")
        if request:
            request.on_done(outcome)

    def _send_next(self, now: float) -> None:
        while self._queue and self._in_flight is None and not self._closed:
            _, _, request = heapq.heappop(self._queue)
            if now >= request.send_by:
                request.on_done(Unanswered(Silence.TOO_LATE, was_sent=False))
            else:
                self._send(request, now)

    def _send(self, request: Request, now: float) -> None:
        self._in_flight = request
        self._give_up_at = now + request.timeout_s
        self.outgoing.append(frame.call(request.message_id, request.action, request.payload))
        if request.on_sent:
            request.on_sent()


def _remember(latest: list[tuple[str, bytes]], message_id: str, payload: bytes) -> None:
    latest.append((message_id, payload))
    del latest[:-_RECENT_RESULTS]
