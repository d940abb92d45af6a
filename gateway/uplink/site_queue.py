"""What waits for the site's one CALL in flight."""

import asyncio
from collections.abc import Callable

from msgspec.structs import replace as replaced

from gateway.core.schedule import Schedule, Urgency, Waiting
from gateway.dialects.base import Dialect, Role
from gateway.model.ids import StationId
from gateway.rpc.codes import CallError
from gateway.rpc.session import Outcome, Priority, Request, Silence, Unanswered
from gateway.site import Site
from gateway.uplink.link import Link


class SiteQueue:
    """`link`: the one that is up now, None while there is none. `on_closed`: it turned out to be closed."""

    def __init__(self, site: Site, link: Callable[[], Link | None], on_closed: Callable[[], None]) -> None:
        self._site = site
        self._link = link
        self._on_closed = on_closed
        self._schedule: Schedule[Request] = Schedule()
        self._sent_at: float | None = None

    def __len__(self) -> int:
        return len(self._schedule)

    def drain_s(self, more: int) -> float:
        """How long what waits, and so many more messages, will take as fast as the CSMS answers now."""
        return self._schedule.drain_s(more)

    def silent_s(self) -> float:
        """How long the CALL in flight has waited for its answer."""
        return 0.0 if self._sent_at is None else self._site.clock.monotonic() - self._sent_at

    def put(self, station: StationId, how: Urgency, request: Request, *, is_ordered: bool = False) -> None:
        """A CALL waits for its turn; its `on_done` hears the outcome, once, always."""
        now = self._site.clock.monotonic()
        self._schedule.put(Waiting(station, how, request, now, is_ordered, send_by=request.send_by))
        if request.send_by < float("inf"):
            asyncio.get_running_loop().call_later(max(0.0, request.send_by - now), self._expire)
        self.send_next()

    def clear(self) -> None:
        """The link is gone."""
        for waiting in self._schedule.clear():
            waiting.item.on_done(Unanswered(Silence.CLOSED, was_sent=False))

    def send_next(self) -> None:
        """Send the message whose turn it is, if none is under way."""
        link, now = self._link(), self._site.clock.monotonic()
        if link is None or not link.pump.session.is_idle:
            return
        waiting = self._schedule.next(now)
        if waiting is None:
            return
        request = waiting.item
        self._sent_at = now

        def done(outcome: Outcome) -> None:
            self._sent_at = None
            if not isinstance(outcome, Unanswered):
                self._schedule.answered(self._site.clock.monotonic() - now)
            if isinstance(outcome, Unanswered) and outcome.why in (Silence.CLOSED, Silence.NOT_CONNECTED):
                self._on_closed()
            asyncio.get_running_loop().call_soon(self.send_next)
            request.on_done(outcome)

        timeout_s = self._site.options.call_timeout_s
        link.post(replaced(request, on_done=done, priority=Priority.COMMAND, timeout_s=timeout_s))

    def _expire(self) -> None:
        for waiting in self._schedule.expire(self._site.clock.monotonic()):
            waiting.item.on_done(Unanswered(Silence.TOO_LATE, was_sent=False))


def urgency(dialect: Dialect, request: Request) -> Urgency:
    """How urgent a station's message is, before its ids are mapped."""
    role = dialect.up[request.action].role
    if role is Role.AUTHORIZE:
        return Urgency.AUTHORIZE
    if role is not Role.TRANSACTION:
        return Urgency.STATUS
    try:
        message = dialect.codec.transaction(request.action, request.payload)
    except CallError:
        return Urgency.TRANSACTION
    return Urgency.SAMPLES if message is None or message.samples_only else Urgency.TRANSACTION
