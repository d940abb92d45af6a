"""The site's connectors as the CSMS sees them: a station that is lost shows as Unavailable."""

import asyncio
from collections.abc import Callable

from gateway.dialects import site_says
from gateway.dialects.base import Dialect, Role
from gateway.model.events import StatusReport
from gateway.model.ids import StationId
from gateway.model.place import Place
from gateway.site import Site
from gateway.uplink.site_stations import SiteStations


class SiteStatus:
    """`say`: sends a message about a station (None: the site itself), behind those of its own that wait.

    `lost_s`: a blip of a station is nothing to tell of.
    """

    def __init__(
        self,
        site: Site,
        stations: SiteStations,
        say: Callable[[StationId | None, str, bytes], None],
        lost_s: float,
    ) -> None:
        self._site = site
        self._stations = stations
        self._lost_s = lost_s
        self._say = say
        self.is_inoperative: Callable[[], bool] = lambda: False
        """Whether the CSMS took the site as a whole out of service."""
        self._dialect: Dialect | None = None
        self._timers: dict[StationId, asyncio.TimerHandle] = {}

    def up(self, dialect: Dialect) -> None:
        """The CSMS has accepted the site: it is told of every connector."""
        self._dialect = dialect
        self.tell_itself()
        for place in self._site.numbering.places():
            self._tell_of(place)

    def tell_itself(self) -> None:
        """The status of the site as a whole, in versions that know one."""
        if self._dialect is not None and site_says.tells_of_itself(self._dialect):
            self._tell(None, 0, StatusReport(0, 0, site_says.UNAVAILABLE if self.is_inoperative() else "Available"))

    def tell_of(self, station: StationId) -> None:
        """Its numbers have changed hands, or the CSMS asks."""
        for place in self._site.numbering.of(station):
            self._tell_of(place)

    def down(self) -> None:
        self._dialect = None
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def wake(self, station: StationId) -> None:
        """The station came or went."""
        is_there = self._site.station(station).port is not None
        timer = self._timers.get(station)
        if is_there and timer is not None:
            del self._timers[station]
            timer.cancel()
        elif not is_there and timer is None and self._dialect is not None:
            self._timers[station] = asyncio.get_running_loop().call_later(self._lost_s, self._lost, station)

    def _lost(self, station: StationId) -> None:
        del self._timers[station]
        if self._site.station(station).port is None:
            for place in self._site.numbering.of(station):
                self._tell_of(place)

    def _tell_of(self, place: Place) -> None:
        own = self._site.stations.get(place.station)
        connectors = own.connectors if own else {}
        reports = [one for at, one in connectors.items() if self._stations.is_at(place.station, place.evse, at)]
        if place.is_removed or own is None or own.port is None or not reports:
            reports = [StatusReport(place.evse, one.connector, site_says.UNAVAILABLE) for one in reports] or [
                StatusReport(place.evse, 1, site_says.UNAVAILABLE)
            ]
            for report in reports:
                self._tell(place.station, place.number, report)
            return
        for report in reports:
            if not self._stations.tell_status(place.station, report):
                self._tell(place.station, place.number, report)

    def _tell(self, station: StationId | None, number: int, report: StatusReport) -> None:
        if self._dialect is not None:
            action = next(rule.action for rule in self._dialect.up.values() if rule.role is Role.STATUS)
            self._say(station, action, site_says.status(self._dialect, number, report, self._site.clock.now()))
