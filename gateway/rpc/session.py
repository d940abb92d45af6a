"""The session of one OCPP-J socket, without I/O.

Who may speak: one CALL of ours is in flight at a time (OCPP-J 1.6, 4.1.1; OCPP 2.0.1 Part 4, 4.1.1); further ones wait
in a bounded queue by priority. CALLs of the peer are independent of that: reading never waits for our own CALL.

After any input, ask two things: what came of it (the return value), and what must be sent (`outgoing`). Time is
handed in as monotonic seconds; `deadline` says when `expire` has something to do.
"""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from gateway.rpc import frame
from gateway.rpc.codes import Framing


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


@dataclass(frozen=True, slots=True)
class Answered:
    payload: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """The peer's CALLERROR."""

    code: str
    description: str
    details: bytes = b"{}"


@dataclass(frozen=True, slots=True)
class Unanswered:
    """`was_sent`: the peer may have acted on it all the same."""

    why: Silence
    was_sent: bool


Outcome = Answered | Refused | Unanswered


@dataclass(slots=True)
class Request:
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


class Session:
    """One socket's CALLs in both directions. Dies with the socket."""

    def __init__(self, framing: Framing, *, max_queue: int = 200) -> None:
        self._framing = framing
        self._max_queue = max_queue
        self._queue: list[tuple[int, int, Request]] = []
        self._asked = 0
        self._in_flight: Request | None = None
        self._give_up_at = float("inf")
        self._handling: dict[str, list[frame.Call]] = {}
        self.outgoing: deque[bytes] = deque()
        """Frames to send, oldest first; the shell takes them out."""
        self._closed = False
        self.strays = 0
        """Answers that no question of ours is waiting for: late, repeated or unknown."""
        self.timeouts_in_a_row = 0

    @property
    def is_idle(self) -> bool:
        return self._in_flight is None and not self._queue

    @property
    def in_flight(self) -> Request | None:
        return self._in_flight

    @property
    def deadline(self) -> float | None:
        """When `expire` must be called next, monotonic; None while nothing waits."""
        waiting = min((request.send_by for _, _, request in self._queue), default=float("inf"))
        due = min(waiting, self._give_up_at if self._in_flight else float("inf"))
        return None if due == float("inf") else due

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

    def receive(self, data: bytes, now: float) -> frame.Call | frame.Malformed | None:
        """Take one frame. Returns a CALL to handle, or what was wrong with the frame (already answered)."""
        came = frame.decode(data)
        if isinstance(came, frame.Call):
            return self._receive_call(came)
        if isinstance(came, frame.CallResult):
            self._settle(came.message_id, Answered(came.payload), now)
        elif isinstance(came, frame.CallRefused):
            self._settle(came.message_id, Refused(came.code, came.description, came.details), now)
        else:
            return self._receive_malformed(came, now)
        return None

    def answer(self, call: frame.Call, payload: bytes) -> None:
        """Answer a CALL of the peer with a CALLRESULT."""
        self._answer(call, frame.result(call.message_id, payload))

    def refuse(self, call: frame.Call, code: str, description: str, details: bytes = b"{}") -> None:
        """Answer a CALL of the peer with a CALLERROR, spelled for this version."""
        self._answer(call, frame.error(call.message_id, self._framing.spell(code), description, details))

    def forget(self, call: frame.Call) -> None:
        """Leave a CALL of the peer unanswered; the same CALL may come again."""
        same_id = self._handling.get(call.message_id, [])
        if call in same_id:
            same_id.remove(call)
        if not same_id:
            self._handling.pop(call.message_id, None)

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
        same_id = self._handling.setdefault(call.message_id, [])
        if call in same_id:
            return None
        same_id.append(call)
        return call

    def _receive_malformed(self, came: frame.Malformed, now: float) -> frame.Malformed:
        if came.is_unknown_type and not self._framing.answers_unknown_types:
            return came
        if came.answer_to is not None:
            self._settle(came.answer_to, Refused(came.code, came.problem), now)
        elif came.reply_to is not None and not self._closed:
            self.outgoing.append(frame.error(came.reply_to, self._framing.spell(came.code), came.problem))
        return came

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
