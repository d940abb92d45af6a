"""Where things are in the site, for `dialects.site_plan`."""

from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Any

from gateway.core.one_station import OneStation, find_transaction
from gateway.dialects.base import Dialect
from gateway.model.ids import StationId
from gateway.model.place import Place
from gateway.site import Site
from gateway.uplink.site_stations import SiteStations

_FREE = ("Preparing", "Available")
"""Statuses of a connector where a session can begin, best first: a car that is plugged in waits for it."""


class _TranslatedIds(OneStation):
    """Of a translated station: its transactions already have ids of the CSMS's kind, of their own."""

    def upstream_tx(self, own: str) -> bytes | None:
        return None

    def is_foreign_tx(self, own: str) -> bool:
        return False

    def own_tx(self, upstream: str) -> bytes | None:
        return None


class LiveIds:
    """`SiteIds` of the site as it is now, for a CSMS that speaks this version."""

    def __init__(self, site: Site, dialect: Dialect, translated: SiteStations) -> None:
        self._site = site
        self._dialect = dialect
        self._translated = translated

    def stations(self) -> Sequence[StationId]:
        return tuple(dict.fromkeys(place.station for place in self._site.numbering.places() if not place.is_removed))

    def of(self, station: StationId) -> OneStation:
        made = OneStation if self._translated.interpreter(station) is None else _TranslatedIds
        gives = self._dialect.csms_gives_tx_ids
        return made(station, self._site.numbering, self._site.ledger, gives_tx_ids=gives)

    def at_number(self, number: int) -> StationId | None:
        found = self._site.numbering.place(number)
        return found.station if found else None

    def at_head(self, head: int) -> StationId | None:
        return self._site.numbering.station_at(head)

    def of_made(self, upstream: int) -> StationId | None:
        found = self._site.numbering.own_id(upstream)
        return found[0] if found else None

    def of_transaction(self, upstream: str) -> StationId | None:
        station = self._translated.of_transaction(upstream)
        if station is not None:
            return station
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
        is_at = partial(self._translated.is_at, place.station, place.evse)
        running, reserved = self._site.ledger.running(place.station), self._site.tokens.reservations.at(place.station)
        taken = chain((own.evse for own in running), (own.evse for own in reserved))
        if any(evse is not None and is_at((evse, None)) for evse in taken):
            return None
        ranks = [
            _FREE.index(report.status)
            for at, report in station.connectors.items()
            if is_at(at) and report.status in _FREE
        ]
        return min(ranks, default=None)
