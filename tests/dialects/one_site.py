"""A site of three stations, with the real numbering and ledger: A has connectors 1 and 2, B 3, C 4 and 5."""

from collections.abc import Sequence
from typing import Any

from gateway.core.ledger import Ledger
from gateway.core.numbering import Numbering
from gateway.core.one_station import OneStation, find_transaction
from gateway.model.ids import StationId, TransactionKey
from gateway.model.place import Place
from gateway.model.records import Put
from gateway.model.transaction import Transaction

A, B, C = (StationId(name) for name in ("CP-A", "CP-B", "CP-C"))


class OneSite:
    """As `site_plan.SiteIds` asks. Reservation 7 is at C; the free EVSE is number 5."""

    def __init__(self, *, gives_tx_ids: bool) -> None:
        self.numbering, self.ledger, self.gives_tx_ids = Numbering(), Ledger(), gives_tx_ids
        self.free_number: int | None = 5
        for station, count in ((A, 2), (B, 1), (C, 2)):
            for change in self.numbering.seen(station, range(1, count + 1)):
                assert isinstance(change, Put)
                assert isinstance(change.record, Place)
                self.numbering.put(change.record)
        for key, station in ((1, A), (2, B)):
            own = Transaction(TransactionKey(key), station, 1, 1, f"s{key}", "tx-1", 40 + key)
            self.ledger.put_transaction(own)

    def stations(self) -> Sequence[StationId]:
        return (A, B, C)

    def of(self, station: StationId) -> OneStation:
        return OneStation(station, self.numbering, self.ledger, gives_tx_ids=self.gives_tx_ids)

    def at_number(self, number: int) -> StationId | None:
        found = self.numbering.place(number)
        return found.station if found else None

    def at_head(self, head: int) -> StationId | None:
        return self.numbering.station_at(head)

    def of_made(self, upstream: int) -> StationId | None:
        found = self.numbering.own_id(upstream)
        return found[0] if found else None

    def of_transaction(self, upstream: str) -> StationId | None:
        found = find_transaction(self.ledger, upstream, gives_tx_ids=self.gives_tx_ids)
        return found.station if found else None

    def of_reservation(self, reservation: int) -> StationId | None:
        return C if reservation == 7 else None

    def free(self, found: dict[str, Any]) -> int | None:
        return self.free_number
