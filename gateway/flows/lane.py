"""The short lane: most of what a station says changes nothing here, needs no commit and has nothing ahead of it.

Such a message goes up in the event loop's turn that read it, and its answer goes down in the turn that brought it. It
is the same row in the same outbox as on the walk (`booking`); whatever is unusual about it, now or later on, is left
to the walk. This is the hot path: it looks up little, and makes no task, no future and no timer of its own.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from gateway.core.ledger import Seen
from gateway.dialects.base import Budget, Dialect, Role, UpRule
from gateway.errors import StoreError
from gateway.flows import booking, delivery, hearing, timing
from gateway.flows.incoming import Incoming
from gateway.model.events import TransactionMessage
from gateway.model.records import OutboxRow
from gateway.model.transaction import Transaction
from gateway.ports import LinkPort
from gateway.rpc.codes import CallError
from gateway.rpc.frame import Call
from gateway.rpc.session import Answered, Outcome, Priority, Request, Unanswered
from gateway.site import Site
from gateway.station import Station

_TRANSACTION = Priority.TRANSACTION
Rest = Callable[[], Awaitable[bytes]]
"""What is left to do for an answer, by somebody who can wait."""


class Lane:
    """One connection's; holds one message at a time. It is what the message's row resolves (`Station.waiting`).

    `on_answer` gets the CSMS's answer; `on_rest` the rest of the walk, if there is to be another one.
    """

    def __init__(
        self,
        site: Site,
        station: Station,
        dialect: Dialect,
        on_answer: Callable[[Call, bytes], None],
        on_rest: Callable[[Call, Rest], None],
    ) -> None:
        self._site = site
        self._station = station
        self._dialect = dialect
        self._on_answer = on_answer
        self._on_rest = on_rest
        self._rules = {action: rule for action, rule in dialect.up.items() if rule.role is Role.TRANSACTION}
        self._read = dialect.codec.transaction
        self._patience_s = site.options.patience_s(station.options, Budget.OTHER)
        self._call: Call | None = None
        self._rule: UpRule
        self._row: OutboxRow
        self._message: TransactionMessage
        self._received = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_taken(self) -> bool:
        return self._call is not None

    def take(self, call: Call, received: float) -> bool:
        """Send a message up if nothing speaks against it. False: it needs the walk. `received` is monotonic."""
        site, station = self._site, self._station
        record, rule, link = station.record, self._rules.get(call.action), station.link
        if rule is None or link is None or link.is_suspect or station.queue or station.in_flight is not None:
            return False
        # `metered`: `inbound` looks at every sample of a session that may take little more energy.
        if station.metered or record.boot_due or station.is_held or received < station.hold_until:
            return False
        if not (record.was_accepted and site.writer.is_ready):
            return False
        try:
            message = self._read(call.action, call.payload)
        except CallError:
            return False
        if message is None or message.token is not None or message.fingerprint in station.answers:
            return False
        if site.ledger.find_seen(record.id, message.fingerprint) is not None:
            return False
        now = site.clock.now()
        booked, changes = site.ledger.book(record.id, record.boots, message, now)
        if changes or (booked is not None and booked.parked):
            return False
        if site.balancer.tree is not None:
            hearing.hear(site, station, self._dialect, call)
        if message.timestamp:
            timing.hear_message(site, station, message.timestamp)
        row = booking.new_row(
            site,
            self._dialect.name,
            record.id,
            call,
            fingerprint=message.fingerprint,
            kind=message.kind,
            booked=booked,
            now=now,
            is_samples=message.samples_only,
        )
        self._call, self._rule, self._message, self._row, self._received = call, rule, message, row, received
        if self._timer is None:
            self._arm()
        station.waiting[row.id] = self
        if message.samples_only:
            site.add_lazy(station, row)
            self._send(link, row, booked)
        else:
            site.commit_row(station, row, partial(self._written, row))
        return True

    def close(self) -> None:
        """The station is gone before its answer, and will say it again."""
        if self._timer is not None:
            self._timer.cancel()
        is_waiting = self._call is not None and self._station.waiting.get(self._row.id) is self
        if self._leave() is not None and is_waiting and self._row.id in self._station.lazy:
            booking.orphan(self._site, self._station, self._row.id)

    def done(self) -> bool:
        """Nothing waits here for the row any more (as of a future)."""
        return self._call is None

    def set_result(self, payload: bytes | None) -> None:
        """The row has its outcome (as of a future): the CSMS's answer, or None if it was refused or cut."""
        call = self._leave()
        if call is None:
            return
        if payload is None:
            self._hand_over(call)
            return
        own = self._site.ledger.transactions.get(self._row.transaction) if self._row.transaction is not None else None
        tx_id = own.station_tx_id if own else None
        self._on_answer(call, self._dialect.codec.rebind_answer(call.action, payload, tx_id))

    def _send(self, link: LinkPort, row: OutboxRow, booked: Transaction | None) -> None:
        site, station = self._site, self._station

        def heard(outcome: Outcome) -> None:
            station.in_flight = None
            if isinstance(outcome, Answered) and delivery.deliver_now(site, station, row, outcome.payload):
                return
            if isinstance(outcome, Unanswered) and outcome.was_sent:
                station.sent.add(row.id)
            station.outcomes.append((row, outcome))
            station.wake.set()

        station.in_flight = row.id
        payload, timeout_s = delivery.bound_payload(row, booked), site.options.call_timeout_s
        link.post(Request(row.message_id, row.action, payload, heard, _TRANSACTION, timeout_s))

    def _written(self, row: OutboxRow, error: StoreError | None) -> None:
        """The row is on disk: it goes up, by us if it still is the only one."""
        station, link = self._station, self._station.link
        if error is not None:
            call = self._leave() if self._row is row else None
            if call is not None:
                self._on_rest(call, partial(_fail, error))
        elif link is None or self._call is None or self._row is not row or not self._is_next(row):
            station.wake.set()
        else:
            self._send(link, row, self._site.ledger.transactions.get(row.transaction) if row.transaction else None)

    def _is_next(self, row: OutboxRow) -> bool:
        """Whether nothing is ahead of it, and transaction messages may go up. Its link is there."""
        station = self._station
        if station.in_flight is not None or next(iter(station.queue), None) != row.id:
            return False
        may_go = not (station.record.boot_due or station.is_held)
        return may_go and self._site.clock.monotonic() >= station.hold_until

    def _leave(self) -> Call | None:
        call, self._call = self._call, None
        if call is not None and self._station.waiting.get(self._row.id) is self:
            del self._station.waiting[self._row.id]
        return call

    def _hand_over(self, call: Call) -> None:
        incoming = Incoming(self._site, self._station, self._dialect, self._rule, call, self._received)
        message, seen = self._message, Seen(self._row.id, self._row.transaction)
        self._on_rest(call, lambda: booking.answer_locally(incoming, message, seen))

    def _arm(self) -> None:
        """One timer, never later than the message's deadline; an early one looks again."""
        self._timer = asyncio.get_running_loop().call_at(self._received + self._patience_s, self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self._call is None:
            return
        if self._site.clock.monotonic() < self._received + self._patience_s:
            self._arm()
            return
        self._site.uplink.suspect(self._station.id)
        call = self._leave()
        assert call is not None
        self._hand_over(call)


async def _fail(error: StoreError) -> bytes:
    raise error
