"""One socket and its session: moves frames, arms one timer. Both legs use it."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import partial

from gateway.clock import Clock
from gateway.errors import SocketClosed
from gateway.rpc import frame
from gateway.rpc.session import Outcome, Priority, RefusedResult, Request, Session
from gateway.transport import Socket

log = logging.getLogger(__name__)

MAX_LINES = 30
LINE_EVERY_S = 10.0
"""Unusable frames that are logged one by one, and how soon a further one is after so many."""


class Pump:
    """Reads until the socket closes. `on_call` must not wait: it hands the CALL to somebody else.

    `on_activity` hears of every frame that arrives; `on_timeout` of every CALL of ours that got no answer in time;
    `on_send` and `on_refused_result` of what has no answer.
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
        self._flushing: set[asyncio.Task[None]] = set()
        self._lines_left = float(MAX_LINES)
        self._complained_at = 0.0
        self._unsaid = 0
        self._telling: asyncio.Task[None] | None = None

    async def run(self) -> SocketClosed:
        """Pump until the socket is closed; returns why. Everything open then gets its outcome."""
        try:
            while True:
                data = await self.socket.receive()
                if self._on_activity:
                    self._on_activity()
                came = self.session.receive(data, self._clock.monotonic())
                if isinstance(came, frame.Call):
                    self._on_call(came)
                elif isinstance(came, frame.Malformed):
                    self._complain(len(data), came.problem)
                elif came is not None:
                    self._hear(came)
                if self.session.outgoing:
                    await self.flush()
        except SocketClosed as closed:
            return closed
        finally:
            if self._timer:
                self._timer.cancel()
                self._timer = None
            self.session.close()

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
        await self.post(Request(message_id, action, payload, settle, priority, timeout_s, send_by))
        return await done

    async def post(self, request: Request) -> None:
        """Ask the peer; returns when the question is handed over. The request's `on_done` hears of the outcome."""
        self.session.call(request, self._clock.monotonic())
        await self.flush()

    async def answer(self, call: frame.Call, payload: bytes) -> None:
        self.session.answer(call, payload)
        await self.flush()

    async def refuse(self, call: frame.Call, code: str, description: str, details: bytes = b"{}") -> None:
        self.session.refuse(call, code, description, details)
        await self.flush()

    def forget(self, call: frame.Call) -> None:
        """Leave a CALL of the peer unanswered."""
        self.session.forget(call)

    def send(self, message_id: str, action: str, payload: bytes) -> None:
        """Tell the peer something it does not answer. Does not wait for a slow socket: the oldest give way."""
        self.session.send(message_id, action, payload)
        self._flush_soon()

    def refuse_result(self, refused: RefusedResult) -> None:
        """Tell the peer that its CALLRESULT, which went on as it came, was refused further on."""
        if self.session.refuse_result(refused):
            self._flush_soon()

    def _complain(self, size: int, problem: str) -> None:
        """One line for an unusable frame; a peer that sends nothing else does not fill the disk."""
        now = self._clock.monotonic()
        self._lines_left = min(MAX_LINES, self._lines_left + (now - self._complained_at) / LINE_EVERY_S)
        self._complained_at = now
        if self._lines_left < 1:
            self._unsaid += 1
            return
        self._lines_left -= 1
        more = f"; {self._unsaid} more before it" if self._unsaid else ""
        self._unsaid = 0
        log.warning("%s: unusable frame of %d bytes: %s%s", self.name, size, problem, more)

    def _hear(self, came: frame.Send | RefusedResult) -> None:
        if isinstance(came, frame.Send):
            if self._on_send:
                self._on_send(came)
            return
        refused = came.refused
        log.warning("%s: the answer to %.66r is refused: %.66r %.257r", self.name, refused.message_id, refused.code,
                    refused.description)  # fmt: skip
        if self._on_refused_result:
            self._on_refused_result(came)

    def _flush_soon(self) -> None:
        """One task at a time: while the socket is slow, frames wait where they are counted."""
        if self._telling is None or self._telling.done():
            self._telling = asyncio.get_running_loop().create_task(self.flush())

    async def flush(self) -> None:
        """Send what the session wants sent, one by one, so that a caller cancelled while waiting loses no frame."""
        self._arm()
        outgoing = self.session.outgoing
        with contextlib.suppress(SocketClosed):
            while outgoing:
                await self.socket.send(outgoing.popleft())

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
        task = asyncio.get_running_loop().create_task(self.flush())
        self._flushing.add(task)
        task.add_done_callback(self._flushing.discard)


def _settle(done: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not done.done():
        done.set_result(outcome)
