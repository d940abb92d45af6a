"""The durable half of the site: what is on disk, and as much of it in memory as is worked with.

It is a fold of changes: `apply` is the only way it changes, the same changes go to SQLite, and `load` rebuilds it.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from gateway.charging import Charging
from gateway.columns import SiteColumns
from gateway.core.ledger import Ledger
from gateway.core.numbering import Numbering
from gateway.core.tokens import Tokens
from gateway.errors import StoreError
from gateway.model.events import EventKind
from gateway.model.ids import RowId, StationId
from gateway.model.place import Place
from gateway.model.records import (
    AuditEntry,
    BackgroundRow,
    CapRow,
    Change,
    ClockBase,
    ConnectorRow,
    Counter,
    Delivered,
    LatestMessage,
    LocalList,
    OutboxRow,
    PriorityRow,
    ProfileRow,
    Put,
    Record,
    RemoteStart,
    Reservation,
    RowState,
    StationAuthorization,
    StationClock,
    StationRecord,
    TokenRecord,
    UnknownOutcome,
)
from gateway.model.settings import Setting, UplinkSecret
from gateway.model.transaction import Transaction
from gateway.model.translation import TokenAlias, TranslatedRow, TranslationRow
from gateway.station import Station, StationOptions
from gateway.store.writer import Settle, Writer
from gateway.timekeeper import Timekeeper
from gateway.translations import Translations
from gateway.upkeep import Upkeep

K = TypeVar("K")
V = TypeVar("V")


class Durable:
    """What survives a power cut. `writer` is given before the first turn."""

    def __init__(
        self, time: Timekeeper, upkeep: Upkeep, station_options: Mapping[str, StationOptions], counter: Counter
    ) -> None:
        self._station_options = station_options
        self.writer: Writer
        self.columns = SiteColumns()
        self.charging = Charging()
        self.translations = Translations()
        self.stations: dict[StationId, Station] = {}
        self.time = time
        self.upkeep = upkeep
        self.ledger = Ledger()
        self.tokens = Tokens()
        self.numbering = Numbering()
        self.unknown_outcomes: dict[RowId, UnknownOutcome] = {}
        self.rows_of_token: dict[str, dict[RowId, StationId]] = {}
        self.delivered: deque[OutboxRow] = deque()
        """Delivered rows, for as long as a station may say them again."""
        self.counter = counter
        self.new_station = asyncio.Event()
        self._next_row = 1

    def load(self, records: Iterable[Record], carried: Sequence[Change] = ()) -> None:
        """Build the durable half anew. `carried`: changes not yet on disk that are still true."""
        lazy = {s.id: [s.queue[row_id] for row_id in s.lazy if row_id in s.queue] for s in self.stations.values()}
        self.time.clear()
        self.ledger = Ledger()
        self.tokens = Tokens()
        self.unknown_outcomes.clear()
        self.columns.clear()
        self.numbering.clear()
        self.charging.clear()
        self.translations.clear()
        self.rows_of_token.clear()
        self.delivered.clear()
        self.upkeep.audit.clear()
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
            station.unsure = station.sent - station.answered_here

    def _was_answered(self, row: OutboxRow) -> bool:
        """Whether the station may have had our answer before the restart; of a message that asks for the verdict on its
        transaction the ledger knows."""
        own = self.ledger.transactions.get(row.transaction) if row.transaction is not None else None
        if own is None or own.status is not None:
            return True
        return row.kind is not EventKind.STARTED and row.fingerprint != own.token_fingerprint

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
            case Counter() | Place():
                self._apply_number(record)
            case ProfileRow() | PriorityRow() | ConnectorRow() | BackgroundRow() | CapRow():
                self.charging.apply(record, is_put)
            case _:
                self._apply_to_parts(record, is_put)

    def _apply_to_parts(self, record: Record, is_put: bool) -> None:
        match record:
            case ClockBase() | StationClock():
                self.time.apply(record)
            case Setting() | UplinkSecret():
                self.columns.apply(record, is_put)
            case AuditEntry():
                self.upkeep.apply(record, is_put)
            case TranslationRow() | TranslatedRow() | TokenAlias():
                self.translations.apply(record, is_put)

    def _apply_number(self, record: Counter | Place) -> None:
        if isinstance(record, Counter):
            self.counter = record
        else:
            self.numbering.put(record)

    def _apply_row(self, row: OutboxRow, is_put: bool) -> None:
        station = self.station(row.station)
        self._next_row = max(self._next_row, row.id + 1)
        is_open = is_put and row.state in (RowState.QUEUED, RowState.RELEASED)
        _set(station.parked, row.id, row, is_put and row.state is RowState.PARKED)
        if is_open and row.id not in station.queue and next(reversed(station.queue), 0) > row.id:
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

    def mark_delivered(self, row: OutboxRow) -> None:
        """As `note`, of what is said of every message."""
        change = Delivered(row)
        self._deliver(change)
        self.writer.mark(change)

    def station(self, station_id: StationId) -> Station:
        """The station of that name; a new one is made for a record that is being put."""
        found = self.stations.get(station_id)
        if found is None:
            options = self._station_options.get(station_id, StationOptions())
            found = self.stations[station_id] = Station(StationRecord(station_id), options)
            self.new_station.set()
        return found

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
        station.lazy.discard(row_id)
        station.orphans.discard(row_id)
        station.sent.discard(row_id)
        row = station.queue.pop(row_id, None)
        if row is not None:
            self.ledger.forget_row(row)


def _set(mapping: dict[K, V], key: K, value: V, is_put: bool) -> None:
    if is_put:
        mapping[key] = value
    else:
        mapping.pop(key, None)
