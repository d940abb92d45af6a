"""The state of the site, in one object owned by the event loop.

The durable half is a fold of changes: `apply` is the only way it changes, the same changes go to SQLite, and `load`
rebuilds it. A turn is decide, `commit` (which applies at once and returns when the turn is on disk), then send.
"""

import asyncio
import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from msgspec.structs import replace as replaced

from gateway.clock import Clock
from gateway.core import idmap, outbox
from gateway.core.authorize import Facts, authorize
from gateway.core.ledger import Ledger
from gateway.core.tokens import Shown, Tokens
from gateway.dialects.base import Budget
from gateway.errors import StoreError
from gateway.meters import Meters
from gateway.model.events import EventKind
from gateway.model.ids import MessageId, RowId, StationId
from gateway.model.records import (
    Approval,
    Change,
    Counter,
    Delivered,
    LatestMessage,
    LocalList,
    OutboxRow,
    Put,
    Record,
    RemoteStart,
    Reservation,
    RowState,
    StationAuthorization,
    StationRecord,
    TokenRecord,
    UnknownOutcome,
)
from gateway.model.token import Decision, IdToken, Verdict
from gateway.model.transaction import Transaction
from gateway.ports import LinkState, StationPort, UplinkPort
from gateway.site_options import SiteOptions
from gateway.station import Pending, Station, StationOptions
from gateway.store.writer import Settle, Writer

K = TypeVar("K")
V = TypeVar("V")
REMOTE_START_S = 600.0
SETTLE_S = 5.0
"""Some stations take a CALL right after they connect, or boot, for an error."""


class Site:
    """Everything the flows work on."""

    def __init__(self, options: SiteOptions, clock: Clock, source: random.Random) -> None:
        self.options = options
        self.clock = clock
        self.random = source
        self.writer: Writer
        self.uplink: UplinkPort
        self.meters = Meters(options.meters, options.circuits)
        self.stations: dict[StationId, Station] = {}
        self.pending: dict[StationId, Pending] = {}
        self.ledger = Ledger()
        self.tokens = Tokens()
        self.unknown_outcomes: dict[RowId, UnknownOutcome] = {}
        self.rows_of_token: dict[str, dict[RowId, StationId]] = {}
        self.delivered: deque[OutboxRow] = deque()
        """Delivered rows, for as long as a station may say them again."""
        self.counter = idmap.first_counter(source)
        self._next_row = 1
        digits = f"{source.getrandbits(80):020x}"
        self._id_head = f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-a{digits[15:18]}-"
        self._ids = 0
        self.last_success_at: float | None = None
        self.verdict_wake = asyncio.Event()
        self.new_station = asyncio.Event()
        self.came: deque[StationId] = deque()
        self.came_wake = asyncio.Event()

    # -- the durable half -------------------------------------------------------------------------------------------

    def load(self, records: Iterable[Record], carried: Sequence[Change] = ()) -> None:
        """Build the durable half anew. `carried`: changes not yet on disk that are still true."""
        lazy = {s.id: [s.queue[row_id] for row_id in s.lazy if row_id in s.queue] for s in self.stations.values()}
        self.ledger = Ledger()
        self.tokens = Tokens()
        self.unknown_outcomes.clear()
        self.rows_of_token.clear()
        self.delivered.clear()
        for station in self.stations.values():
            for durable in (station.queue, station.parked, station.latest, station.lazy, station.uncommitted):
                durable.clear()
        for record in records:
            self.apply(Put(record))
        for change in carried:
            self.apply(change)
        for station_id, rows in lazy.items():
            for row in rows:
                self.add_lazy(self.stations[station_id], row)

    def after_restart(self) -> None:
        """Released and not delivered means maybe sent: such rows are listed before they go again."""
        for station in self.stations.values():
            station.sent.update(row.id for row in station.queue.values() if row.state is RowState.RELEASED)
            station.answered_here.update(row.id for row in station.queue.values() if self._was_answered(row))

    def _was_answered(self, row: OutboxRow) -> bool:
        """Whether the station may have had our answer before the restart; of a Start the ledger knows."""
        own = self.ledger.transactions.get(row.transaction) if row.transaction is not None else None
        return row.kind is not EventKind.STARTED or own is None or own.status is not None

    def apply(self, change: Change) -> None:
        """Apply one change to memory."""
        if isinstance(change, Delivered):
            self._deliver(change)
            return
        record, is_put = change.record, isinstance(change, Put)
        match record:
            case OutboxRow():
                self._apply_row(record, is_put)
            case Transaction():
                self.ledger.put_transaction(record)
            case StationRecord():
                self.station(record.id).record = record
            case TokenRecord() | LocalList() | StationAuthorization() | Reservation() | RemoteStart():
                self.tokens.apply(record, is_put)
            case LatestMessage():
                _set(self.station(record.station).latest, record.slot, record, is_put)
            case UnknownOutcome():
                _set(self.unknown_outcomes, record.row, record, is_put)
                self._next_row = max(self._next_row, record.row + 1)
            case Counter():
                self.counter = record

    def _apply_row(self, row: OutboxRow, is_put: bool) -> None:
        station = self.station(row.station)
        self._next_row = max(self._next_row, row.id + 1)
        is_open = is_put and row.state in (RowState.QUEUED, RowState.RELEASED)
        _set(station.parked, row.id, row, is_put and row.state is RowState.PARKED)
        if is_open and row.id not in station.queue and any(other > row.id for other in reversed(station.queue)):
            station.queue[row.id] = row
            station.queue = dict(sorted(station.queue.items()))
        else:
            _set(station.queue, row.id, row, is_open)
        if row.token:
            rows = self.rows_of_token.setdefault(row.token.casefold(), {})
            _set(rows, row.id, row.station, is_open)
            if not rows:
                del self.rows_of_token[row.token.casefold()]
        if is_put:
            self.ledger.put_row(row)
        else:
            self.ledger.forget_row(row)
        if is_put and row.state is RowState.DELIVERED:
            self.delivered.append(row)

    def _deliver(self, change: Delivered) -> None:
        """As putting its outcome: what the ledger knows of the row stays true."""
        row = change.record
        station = self.stations[row.station]
        if station.queue.pop(row.id, None) is None:
            self._apply_row(change.outcome, True)
            return
        rows = self.rows_of_token.get(row.token.casefold()) if row.token else None
        if rows is not None and row.token:
            rows.pop(row.id, None)
            if not rows:
                del self.rows_of_token[row.token.casefold()]
        self.delivered.append(change.outcome)

    async def commit(self, changes: Sequence[Change]) -> None:
        """One turn: applied now, returns when on disk. Raises StoreError, and then nothing may be acknowledged."""
        future = self.writer.append(changes)
        rows = [change.record for change in changes if isinstance(change.record, OutboxRow)]
        for change in changes:
            self.apply(change)
        for row in rows:
            self.stations[row.station].uncommitted.add(row.id)
        if rows:
            future.add_done_callback(lambda done: self._written(rows, done))
        await asyncio.shield(future)

    def commit_row(self, station: Station, row: OutboxRow, settle: Settle) -> None:
        """A new row as a turn of its own, for who can't wait. `settle` hears how it went. Raises StoreError."""

        def done(error: StoreError | None) -> None:
            if error is None:
                station.uncommitted.discard(row.id)
            settle(error)

        self.writer.append_then([Put(row)], done)
        station.queue[row.id] = row
        station.uncommitted.add(row.id)
        self.ledger.put_row(row)
        if row.token:
            self.rows_of_token.setdefault(row.token.casefold(), {})[row.id] = row.station

    def _written(self, rows: Sequence[OutboxRow], done: asyncio.Future[None]) -> None:
        """Rows on disk may go. Rows of a failed turn may not: they stay as they are until memory is rebuilt."""
        if done.cancelled() or done.exception():
            return
        for row in rows:
            station = self.stations[row.station]
            station.uncommitted.discard(row.id)
            station.lazy.discard(row.id)
            station.orphans.discard(row.id)
            station.wake.set()

    def note(self, changes: Sequence[Change]) -> None:
        """Apply now, and write with the next turn, at most a second later."""
        if changes:
            for change in changes:
                self.apply(change)
            self.writer.note(changes)

    # -- stations ---------------------------------------------------------------------------------------------------

    def station(self, station_id: StationId) -> Station:
        """The station of that name; a new one is made for a record that is being put."""
        found = self.stations.get(station_id)
        if found is None:
            options = self.options.stations.get(station_id, StationOptions())
            found = self.stations[station_id] = Station(StationRecord(station_id), options)
            self.new_station.set()
        return found

    async def admit(self, station_id: StationId, approval: Approval, credential: str | None = None) -> None:
        """Take a station into service, or out of it. Raises StoreError."""
        record = self.station(station_id).record
        kept = None if approval is Approval.REJECTED else record.credential
        await self.commit([Put(replace(record, approval=approval, credential=credential or kept))])

    def attach(self, station: Station, port: StationPort) -> None:
        """A station's socket is there; an older one is closed. The newest proven socket wins."""
        old, station.port = station.port, port
        station.has_booted = False
        if old is not None:
            old.close(1000, "replaced by a newer connection")
        station.attached.set()
        self.settle(station)
        self.came.append(station.id)
        self.came_wake.set()
        self.uplink.wake(station.id)

    def settle(self, station: Station) -> None:
        """The station has come, or its boot is answered: it is left in peace for a moment."""
        station.settled_at = self.clock.monotonic() + SETTLE_S
        station.conflicts.clear()
        station.list_wake.set()
        self.verdict_wake.set()

    def detach(self, station: Station, port: StationPort) -> None:
        """A station's socket is gone. The end of an old socket must not harm a newer one."""
        if station.port is port:
            station.port = None
            station.attached.clear()
            self.uplink.wake(station.id)

    # -- uplink -----------------------------------------------------------------------------------------------------

    def can_ask(self, station: Station) -> bool:
        """Whether a message may go straight to the CSMS: its link is up, and no boot has to go first."""
        return not station.record.boot_due and self.is_linked(station)

    def is_linked(self, station: Station) -> bool:
        """Whether the station's link to the CSMS is up."""
        return self.uplink.state(station.id) in (LinkState.UP, LinkState.SUSPECT)

    def can_deliver(self, station: Station) -> bool:
        """Whether transaction messages may go up now."""
        return self.can_ask(station) and not station.is_held and self.clock.monotonic() >= station.hold_until

    def deadline(self, station: Station, budget: Budget, received: float) -> float:
        """Until when (monotonic) the CSMS's answer is waited for; never above 60 % of the station's own patience."""
        seconds = self.options.patience_s(station.options, budget)
        if self.uplink.state(station.id) is LinkState.SUSPECT:
            seconds = min(seconds, self.options.suspect_s)
        return received + seconds

    def link_up(self, station: Station, dialect: str) -> None:
        """The station's link to the CSMS is there: what was queued before is offline, what was parked may go again."""
        station.first_row_of_link = RowId(self._next_row)
        station.boot_retry_at = 0.0
        parked = [row for row in station.parked.values() if row.dialect == dialect]
        unparked = [replaced(row, state=outbox.before_parking(row)) for row in parked]
        self.note([Put(row) for row in unparked])
        station.second_chance.update(row.id for row in unparked)
        station.wake.set()

    # -- messages ---------------------------------------------------------------------------------------------------

    def message_id(self) -> MessageId:
        """A new id for a CALL of ours: a UUID, random in all but its end, which counts."""
        self._ids += 1
        return MessageId(f"{self._id_head}{self._ids:012x}")

    def next_row_id(self) -> RowId:
        row_id = RowId(self._next_row)
        self._next_row += 1
        return row_id

    def add_lazy(self, station: Station, row: OutboxRow) -> None:
        """Queue a row in memory only: until it is answered, the station still holds the message."""
        station.queue[row.id] = row
        station.lazy.add(row.id)
        self.ledger.put_row(row)

    def drop_lazy(self, station: Station, row_id: RowId) -> None:
        """Forget a row that was never written."""
        for ids in (station.lazy, station.orphans, station.sent):
            ids.discard(row_id)
        row = station.queue.pop(row_id, None)
        if row is not None:
            self.ledger.forget_row(row)

    # -- authorization ----------------------------------------------------------------------------------------------

    def authorize(self, shown: Shown) -> Decision:
        """The gateway's own verdict on a token shown at a station."""
        decision, _ = self.judge(shown)
        if decision.is_accepted:
            self.note(self.tokens.cache.use(shown.token, self.clock.now()))
        return decision

    def judge(self, shown: Shown) -> tuple[Decision, Facts]:
        """The same without a trace, and with what it rests on."""
        now, options = self.clock.now(), self.options.authorization
        facts = self.tokens.facts(shown, self.ledger, options.tags, now)
        return authorize(shown.token, facts, mode=self.options.offline, options=options, now=now), facts

    def learn(self, station: Station, token: IdToken, verdict: Verdict) -> list[Change]:
        """What the CSMS said of a token in an answer, in time or late."""
        size = self.options.authorization.cache_entries
        return self.tokens.learn(station.id, token, verdict, size=size, now=self.clock.now())


def _set(mapping: dict[K, V], key: K, value: V, is_put: bool) -> None:
    if is_put:
        mapping[key] = value
    else:
        mapping.pop(key, None)
