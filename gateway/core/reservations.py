"""Reservations the CSMS made through the gateway: who may start where while the CSMS can't be asked."""

from collections.abc import Collection
from datetime import datetime

from gateway.model.ids import StationId
from gateway.model.records import Change, Drop, Reservation
from gateway.model.token import IdToken


class Reservations:
    """A fold of changes. The same id again replaces a reservation; ids are a station's own."""

    def __init__(self) -> None:
        self._records: dict[tuple[StationId, int], Reservation] = {}

    def put(self, record: Reservation) -> None:
        self._records[record.station, record.id] = record

    def drop(self, record: Reservation) -> None:
        self._records.pop((record.station, record.id), None)

    def at(self, station: StationId) -> list[Reservation]:
        return [record for record in self._records.values() if record.station == station]

    def over(self, station: StationId, reservation_id: int | None) -> list[Change]:
        """Cancelled, expired or used: it is gone."""
        found = None if reservation_id is None else self._records.get((station, reservation_id))
        return [Drop(found)] if found else []

    def used_up(self, station: StationId, evse: int | None, token: IdToken, group: str | None) -> list[Change]:
        """A start that names no reservation uses up the one for its token at its EVSE."""
        return [
            Drop(record)
            for record in self.at(station)
            if record.evse is not None and record.evse == evse and _is_for(record, token, group)
        ]

    def expired(self, now: datetime) -> list[Change]:
        return [Drop(record) for record in self._records.values() if record.until <= now]

    def in_the_way(
        self,
        station: StationId,
        evse: int | None,
        token: IdToken,
        group: str | None,
        *,
        free: Collection[int],
        now: datetime,
    ) -> Reservation | None:
        """A reservation for somebody else that a start would break.

        `evse`: where it would start, None if that is not known yet. `free`: the EVSEs of the station where nothing
        else runs; as many of them are kept free as there are reservations that name none.
        """
        foreign = [r for r in self.at(station) if r.until > now and not _is_for(r, token, group)]
        here = next((r for r in foreign if evse is not None and r.evse == evse), None)
        if here or not foreign:
            return here
        kept = {r.evse for r in foreign if r.evse is not None}
        anywhere = [r for r in foreign if r.evse is None]
        left = [number for number in free if number not in kept]
        if not free or len(left) > len(anywhere):
            return None
        if evse is None:
            return foreign[0]
        return anywhere[0] if anywhere and evse in left else None


def _is_for(reservation: Reservation, token: IdToken, group: str | None) -> bool:
    is_same_group = (
        reservation.group is not None and group is not None and (reservation.group.casefold() == group.casefold())
    )
    return reservation.token == token.key or is_same_group
