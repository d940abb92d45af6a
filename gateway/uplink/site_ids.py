"""Where things are in the site, for `dialects.site_plan`."""

from collections.abc import Sequence
from typing import Any

from gateway.core.one_station import OneStation, find_transaction
from gateway.dialects.base import Dialect
from gateway.model.ids import StationId
from gateway.model.place import Place
from gateway.site import Site

_FREE = ("Preparing", "Available")
"""Statuses of a connector where a session can begin, best first: a car that is plugged in waits for it."""


class LiveIds:
    """`SiteIds` of the site as it is now, for a CSMS that speaks this version."""

    def __init__(self, site: Site, dialect: Dialect) -> None:
        self._site = site
        self._dialect = dialect

    def stations(self) -> Sequence[StationId]:
        return tuple(dict.fromkeys(place.station for place in self._site.numbering.places() if not place.is_removed))

    def of(self, station: StationId) -> OneStation:
        gives = self._dialect.csms_gives_tx_ids
        return OneStation(station, self._site.numbering, self._site.ledger, gives_tx_ids=gives)

    def at_number(self, number: int) -> StationId | None:
        found = self._site.numbering.place(number)
        return found.station if found else None

    def at_head(self, head: int) -> StationId | None:
        return self._site.numbering.station_at(head)

    def of_made(self, upstream: int) -> StationId | None:
        found = self._site.numbering.own_id(upstream)
        return found[0] if found else None

    def of_transaction(self, upstream: str) -> StationId | None:
        found = find_transaction(self._site.ledger, upstream, gives_tx_ids=self._dialect.csms_gives_tx_ids)
        return found.station if found else None

    def of_reservation(self, reservation: int) -> StationId | None:
        stations = (station for station in self.stations() for own in self._site.tokens.reservations.at(station)
                    if own.id == reservation)  # fmt: skip
        return next(stations, None)

    def free(self, found: dict[str, Any]) -> int | None:
        """One with a car before one without, else the lowest number."""
        free = [
            (rank, place.number) for place in self._site.numbering.places() if (rank := self._rank(place)) is not None
        ]
        return min(free)[1] if free else None

    def _rank(self, place: Place) -> int | None:
        station = self._site.stations.get(place.station)
        if place.is_removed or station is None or station.port is None:
            return None
        if any(own.evse == place.evse for own in self._site.ledger.running(place.station)):
            return None
        if any(own.evse == place.evse for own in self._site.tokens.reservations.at(place.station)):
            return None
        ranks = [
            _FREE.index(report.status)
            for (evse, _), report in station.connectors.items()
            if evse == place.evse and report.status in _FREE
        ]
        return min(ranks, default=None)
