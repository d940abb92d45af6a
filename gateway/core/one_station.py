"""The ids of one station as the CSMS of the whole site sees them (`dialects.site_map.StationIds`)."""

import json
import uuid
from itertools import chain

from gateway.core.ledger import Ledger
from gateway.core.numbering import Numbering
from gateway.model.ids import StationId
from gateway.model.transaction import Transaction, TransactionState

_NAMESPACE = uuid.UUID("6f0f1c62-9f3c-5d0e-8a57-3a1d9c0f5b21")


def transaction_uuid(station: StationId, own: str) -> str:
    """What the CSMS is told for a transaction id that a station made: unique in the site, and always the same."""
    return str(uuid.uuid5(_NAMESPACE, json.dumps([station, own])))


class OneStation:
    """`gives_tx_ids`: the CSMS gives the ids of transactions (`Dialect.csms_gives_tx_ids`); the ledger maps those."""

    def __init__(self, station: StationId, numbering: Numbering, ledger: Ledger, *, gives_tx_ids: bool) -> None:
        self._station = station
        self._numbering = numbering
        self._ledger = ledger
        self._gives_tx_ids = gives_tx_ids

    @property
    def head(self) -> int | None:
        return self._numbering.head(self._station)

    def number(self, evse: int) -> int | None:
        return self._numbering.number(self._station, evse)

    def evse(self, number: int) -> int | None:
        return self._numbering.evse(self._station, number)

    def upstream_tx(self, own: str) -> bytes | None:
        return None if self._gives_tx_ids else json.dumps(transaction_uuid(self._station, own)).encode()

    def is_foreign_tx(self, own: str) -> bool:
        number = int(own) if self._gives_tx_ids and own.lstrip("-").isdecimal() else None
        return number is not None and self._ledger.is_elsewhere(self._station, number)

    def own_tx(self, upstream: str) -> bytes | None:
        if self._gives_tx_ids:
            return None
        found = find_transaction(self._ledger, upstream, gives_tx_ids=False)
        if found is None or found.station != self._station:
            return None
        return json.dumps(found.station_tx_id).encode()

    def upstream_id(self, own: int) -> int | None:
        return self._numbering.upstream_id(self._station, own)

    def own_id(self, upstream: int) -> int | None:
        found = self._numbering.own_id(upstream)
        return found[1] if found and found[0] == self._station else None


def find_transaction(ledger: Ledger, upstream: str, *, gives_tx_ids: bool) -> Transaction | None:
    """Which transaction the CSMS means: a running one before all others, the newest before older ones."""
    newest_first = sorted(ledger.transactions.values(), key=lambda own: own.key, reverse=True)
    running = (own for own in newest_first if own.state is TransactionState.RUNNING)
    over = (own for own in newest_first if own.state is not TransactionState.RUNNING)
    meant = _has_upstream_id if gives_tx_ids else _is_of_uuid
    return next((own for own in chain(running, over) if meant(own, upstream)), None)


def _has_upstream_id(own: Transaction, upstream: str) -> bool:
    return own.upstream_tx_id is not None and str(own.upstream_tx_id) == upstream


def _is_of_uuid(own: Transaction, upstream: str) -> bool:
    return own.station_tx_id is not None and transaction_uuid(own.station, own.station_tx_id) == upstream
