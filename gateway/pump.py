"""One socket and its session: moves frames, arms one timer. Both legs use it."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from gateway.clock import Clock
from gateway.errors import SocketClosed
from gateway.log import Throttle
from gateway.rpc import frame
from gateway.rpc.session import Outcome, Priority, RefusedResult, Request, Session
from gateway.transport import Socket

log = logging.getLogger(__name__)


class Pump:
    """Listens until the socket closes. `on_call` must not wait: it hands the CALL to somebody else.

    `on_activity` hears of every frame that arrives; `on_timeout` of every CALL of ours that got no answer in time;
    `on_send` and `on_refused_result` of what has no answer. `complaints` may outlive the socket.
    """

    def __init__(
        self,
        name: str,
        socket: Socket,
        session: Session,
        clock: Clock,
        on_call: Callable[[frame.Call], None],
        *,
        on_activity: Callable[[], None] | None = None,
        on_timeout: Callable[[], None] | None = None,
        on_send: Callable[[frame.Send], None] | None = None,
        on_refused_result: Callable[[RefusedResult], None] | None = None,
        complaints: Throttle | None = None,
    ) -> None:
        self.name = name
        self.socket = socket
        self.session = session
        self._clock = clock
        self._on_call = on_call
        self._on_activity = on_activity
        self._on_timeout = on_timeout
        self._on_send = on_send
        self._on_refused_result = on_refused_result
        self._timer: asyncio.TimerHandle | None = None
        self._closed: asyncio.Future[SocketClosed] = asyncio.get_running_loop().create_future()
        self._is_paused = False
        self._complaints = complaints or Throttle()

    async def run(self) -> SocketClosed:
        """Pump until the socket is closed; returns why. Everything open then gets its outcome."""
        try:
            self.socket.listen(self)
            return await self._closed
        finally:
            self._closed.cancel()
            if self._timer:
                self._timer.cancel()
                self._timer = None
            self.session.close()

    def on_message(self, data: bytes) -> None:
        """Handle one frame, in the turn of the event loop that read it."""
        if self._closed.done():
            return
        try:
            if self._on_activity:
                self._on_activity()
            came = self.session.receive(data, self._clock.monotonic())
            if isinstance(came, frame.Call):
                self._on_call(came)
            elif came is not None:
                self._hear(len(data), came)
            if self.session.outgoing:
                self.flush()
        except Exception:
            log.exception("%s: a frame of %d bytes could not be handled", self.name, len(data))
            self.socket.abort()

    def on_writable(self) -> None:
        self.flush()
        if self._is_paused and not self.session.outgoing:
            self._is_paused = False
            self.socket.resume()

    def on_closed(self, why: SocketClosed) -> None:
        if not self._closed.done():
            self._closed.set_result(why)

    async def call(
        self,
        message_id: str,
        action: str,
        payload: bytes,
        *,
        priority: Priority,
        timeout_s: float,
        send_by: float = float("inf"),
    ) -> Outcome:
        """Ask the peer and wait for the outcome."""
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        settle = partial(_settle, done)
        self.post(Request(message_id, action, payload, settle, priority, timeout_s, send_by))
        return await done

    def post(self, request: Request) -> None:
        """Ask the peer. The request's `on_done` hears of the outcome."""
        self.session.call(request, self._clock.monotonic())
        self.flush()

    def answer(self, call: frame.Call, payload: bytes) -> None:
        self.session.answer(call, payload)
        self.flush()

    def refuse(self, call: frame.Call, code: str, description: str, details: bytes = b"{}") -> None:
        self.session.refuse(call, code, description, details)
        self.flush()

    def forget(self, call: frame.Call) -> None:
        """Leave a CALL of the peer unanswered."""
        self.session.forget(call)

    def send(self, message_id: str, action: str, payload: bytes) -> None:
        """Tell the peer something it does not answer. Does not wait for a slow socket: the oldest give way."""
        self.session.send(message_id, action, payload)
        self.flush()

    def refuse_result(self, refused: RefusedResult) -> None:
        """Tell the peer that its CALLRESULT, which went on as it came, was refused further on."""
        if self.session.refuse_result(refused):
            self.flush()

    def _complain(self, size: int, problem: str) -> None:
        """One line for an unusable frame."""
        more = self._complaints.passes(self._clock.monotonic())
        if more is not None:
            log.warning("%s: unusable frame of %d bytes: %s%s", self.name, size, problem, more)

    def _hear(self, size: int, came: frame.Malformed | frame.Send | RefusedResult) -> None:
        if isinstance(came, frame.Malformed):
            self._complain(size, came.problem)
            return
        if isinstance(came, frame.Send):
            if self._on_send:
                self._on_send(came)
            return
        refused = came.refused
        log.warning("%s: the answer to %.66r is refused: %.66r %.257r", self.name, refused.message_id, refused.code,
                    refused.description)  # fmt: skip
        if self._on_refused_result:
            self._on_refused_result(came)

    def flush(self) -> None:
        """Send what the session wants sent. A peer that does not read is not read from, until it does."""
        self._arm()
        outgoing, socket = self.session.outgoing, self.socket
        while outgoing:
            if socket.is_full:
                if not self._is_paused:
                    self._is_paused = True
                    socket.pause()
                return
            socket.send(outgoing.pop(0))

    def _arm(self) -> None:
        """Keep one timer, not later than the deadline; an early one looks again."""
        deadline = self.session.deadline
        if deadline is None or (self._timer and self._timer.when() <= deadline):
            return
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        timeouts = self.session.timeouts_in_a_row
        self.session.expire(self._clock.monotonic())
        if self.session.timeouts_in_a_row > timeouts and self._on_timeout:
            self._on_timeout()
        self.flush()


def _settle(done: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not done.done():
        done.set_result(outcome)
