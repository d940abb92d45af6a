"""The ledger: which transactions exist, and what each message of a station does to them.

The ledger in memory is a fold of the same changes that the store holds: methods that decide return changes and alter
nothing; `put_transaction`, `put_row` and `forget_row` apply them. A message is booked once: a station that got no
answer sends it again, after its own reboot, ours, or neither, and must get the answer of the first.
"""

import bisect
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from msgspec import Struct

from gateway.model.events import ENDED, STARTED, EventKind, TransactionMessage
from gateway.model.ids import RowId, StationId, TransactionKey
from gateway.model.records import Change, OutboxRow, Put
from gateway.model.transaction import Transaction, TransactionState


class Seen(Struct, frozen=True, gc=False):
    """A message booked before: its row, and the transaction it belongs to."""

    row: RowId
    transaction: TransactionKey | None


class Ledger:
    """All transactions, with the look-ups the flows need."""

    def __init__(self) -> None:
        self.transactions: dict[TransactionKey, Transaction] = {}
        self._by_station_id: dict[tuple[StationId, str], TransactionKey] = {}
        self._by_upstream_id: dict[tuple[StationId, int], list[TransactionKey]] = {}
        self._running: dict[StationId, dict[TransactionKey, None]] = {}
        self._seen: dict[tuple[StationId, str], Seen] = {}
        self._used: set[tuple[StationId, str]] = set()
        self._next_key = 1

    # -- applying changes -------------------------------------------------------------------------------------------

    def put_transaction(self, transaction: Transaction) -> None:
        key, station = transaction.key, transaction.station
        self.transactions[key] = transaction
        self._next_key = max(self._next_key, key + 1)
        if transaction.station_tx_id is not None:
            newest = self._by_station_id.get((station, transaction.station_tx_id), key)
            self._by_station_id[station, transaction.station_tx_id] = max(newest, key)
            self._used.add((station, transaction.station_tx_id))
        if transaction.upstream_tx_id is not None:
            keys = self._by_upstream_id.setdefault((station, transaction.upstream_tx_id), [])
            if key not in keys:
                bisect.insort(keys, key)
        running = self._running.setdefault(station, {})
        if transaction.state is TransactionState.RUNNING:
            running[key] = None
        else:
            running.pop(key, None)

    def forget(self, transaction: Transaction) -> None:
        """Drop a finished transaction from memory. Its id stays used, and the store keeps it."""
        key, station = transaction.key, transaction.station
        self.transactions.pop(key, None)
        if self._by_station_id.get((station, transaction.station_tx_id or "")) == key:
            del self._by_station_id[station, transaction.station_tx_id or ""]
        if transaction.upstream_tx_id is not None:
            keys = self._by_upstream_id.get((station, transaction.upstream_tx_id), [])
            if key in keys:
                keys.remove(key)
            if not keys:
                self._by_upstream_id.pop((station, transaction.upstream_tx_id), None)

    def put_row(self, row: OutboxRow) -> None:
        newest = self._seen.get((row.station, row.fingerprint))
        if newest is None or newest.row <= row.id:
            self._seen[row.station, row.fingerprint] = Seen(row.id, row.transaction)

    def forget_row(self, row: OutboxRow) -> None:
        seen = self._seen.get((row.station, row.fingerprint))
        if seen and seen.row == row.id:
            del self._seen[row.station, row.fingerprint]

    # -- looking up -------------------------------------------------------------------------------------------------

    def running(self, station: StationId) -> list[Transaction]:
        """Transactions of a station that have not ended, oldest first."""
        return [self.transactions[key] for key in self._running.get(station, ())]

    def all_running(self) -> Iterator[Transaction]:
        for keys in self._running.values():
            for key in keys:
                yield self.transactions[key]

    def by_station_id(self, station: StationId, station_tx_id: str) -> Transaction | None:
        """The newest transaction this station calls so."""
        key = self._by_station_id.get((station, station_tx_id))
        return None if key is None else self.transactions[key]

    def by_upstream_id(self, station: StationId, upstream_tx_id: int) -> Transaction | None:
        """The newest running transaction the CSMS calls so, else the newest at all: upstream ids may repeat."""
        keys = self._by_upstream_id.get((station, upstream_tx_id), [])
        running = self._running.get(station, {})
        for key in reversed(keys):
            if key in running:
                return self.transactions[key]
        return self.transactions[keys[-1]] if keys else None

    def is_elsewhere(self, station: StationId, upstream_tx_id: int) -> bool:
        """Whether the CSMS gave this id to a transaction of another station, and to none of this one."""
        if (station, upstream_tx_id) in self._by_upstream_id:
            return False
        return any((other, upstream_tx_id) in self._by_upstream_id for other in self._running)

    def is_used(self, station: StationId, station_tx_id: str) -> bool:
        """Whether this station was ever given the id, or could still use it."""
        return (station, station_tx_id) in self._used

    def find_seen(self, station: StationId, fingerprint: str) -> Seen | None:
        """The first booking under this fingerprint."""
        return self._seen.get((station, fingerprint))

    def find_retry(self, station: StationId, boot: int, message: TransactionMessage) -> Seen | None:
        """The first booking of this very message.

        A Start without an id of its own (1.6) repeats an earlier one only within the same boot of the station or while
        that transaction has no end: a station whose clock restarts may say the same of another session. Unclosed is no
        end: after a boot the connector is Available first, and then comes the Start that got no answer.
        """
        seen = self.find_seen(station, message.fingerprint)
        if seen is None or message.kind is not EventKind.STARTED or message.station_tx_id is not None:
            return seen
        first = self.transactions.get(seen.transaction) if seen.transaction is not None else None
        if first and (first.boot == boot or first.state is not TransactionState.ENDED):
            return seen
        return None

    # -- deciding ---------------------------------------------------------------------------------------------------

    def book(
        self, station: StationId, boot: int, message: TransactionMessage, received: datetime
    ) -> tuple[Transaction | None, list[Change]]:
        """What a new message does to the ledger: the transaction it belongs to, and the changes."""
        if message.kind is STARTED:
            return self._begin(station, boot, message, received)
        known = self.by_station_id(station, message.station_tx_id) if message.station_tx_id else None
        if known is None:
            known = self._unheard_of(station, boot, message, received)
            if known is None:
                return None, []
        changed = self._ended(known, message) if message.kind is ENDED else known
        if message.token and changed.token is None:
            changed = replace(changed, token=message.token.value, token_fingerprint=_asking(message))
        older: list[Transaction] = []
        is_new = known.key not in self.transactions
        if is_new and known.evse is not None:
            older = [one for one in self.running(station) if one.evse == known.evse and not one.start_fingerprint]
        elif changed.evse is None and message.evse:  # in 2.x it may begin before anybody knows where
            changed = replace(changed, evse=message.evse)
            older = [one for one in self.running(station) if one.evse == message.evse and one.key < known.key]
        return changed, [*self._unclosed(older), Put(changed)] if is_new or changed is not known else []

    def _begin(
        self, station: StationId, boot: int, message: TransactionMessage, received: datetime
    ) -> tuple[Transaction, list[Change]]:
        begun = Transaction(
            key=self._take_key(),
            station=station,
            boot=boot,
            evse=message.evse,
            start_fingerprint=message.fingerprint,
            station_tx_id=message.station_tx_id,
            token=message.token.value if message.token else None,
            token_fingerprint=_asking(message),
            started=message.timestamp,
            meter_start_wh=message.meter_wh,
            received=received,
        )
        older = [other for other in self.running(station) if other.evse == begun.evse and begun.evse is not None]
        return begun, [*self._unclosed(older), Put(begun)]

    def _unheard_of(
        self, station: StationId, boot: int, message: TransactionMessage, received: datetime
    ) -> Transaction | None:
        """A transaction begun before this gateway knew the station: booked from here on, under the station's own id.
        It is the one of its EVSE that runs.

        An id that says nothing (1.6's 0 and -1) is booked nowhere: guessing has ended the wrong session elsewhere.
        """
        own_id = message.station_tx_id
        if own_id is None or own_id in ("0", "-1", ""):
            return None
        return Transaction(
            key=self._take_key(),
            station=station,
            boot=boot,
            evse=message.evse,
            start_fingerprint="",
            station_tx_id=own_id,
            token=message.token.value if message.token else None,
            token_fingerprint=_asking(message),
            received=received,
        )

    def _ended(self, transaction: Transaction, message: TransactionMessage) -> Transaction:
        return replace(
            transaction,
            state=TransactionState.ENDED,
            ended=message.timestamp,
            meter_stop_wh=message.meter_wh,
            stopped_reason=message.stopped_reason,
        )

    def connector_is_free(self, station: StationId, evse: int, before_boot: int | None = None) -> list[Change]:
        """Its connector is Available: what runs there, from before that boot, ended without a Stop reaching us."""
        there = [other for other in self.running(station) if other.evse == evse]
        return self._unclosed([other for other in there if before_boot is None or other.boot < before_boot])

    def _unclosed(self, transactions: Iterable[Transaction]) -> list[Change]:
        return [Put(replace(transaction, state=TransactionState.UNCLOSED)) for transaction in transactions]

    def _take_key(self) -> TransactionKey:
        key = TransactionKey(self._next_key)
        self._next_key += 1
        return key


def _asking(message: TransactionMessage) -> str | None:
    """The message that brings a transaction its token asks for a verdict on it; an end asks for nothing any more."""
    return message.fingerprint if message.token and message.kind is not EventKind.ENDED else None
