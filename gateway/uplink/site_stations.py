"""The stations behind the site's one link: each speaks for itself there, or is translated."""

import asyncio
import logging
from collections.abc import Callable

from gateway.core.one_station import transaction_uuid
from gateway.dialects import registry, site_says, translate
from gateway.dialects.base import Dialect, Role
from gateway.dialects.translate import places
from gateway.dialects.translate.base import Memory
from gateway.model.events import StatusReport
from gateway.model.ids import StationId
from gateway.model.transaction import Transaction
from gateway.ports import LinkPort
from gateway.rpc.session import Request
from gateway.site import Site
from gateway.station import Station
from gateway.uplink.interpreter import Interpreter
from gateway.uplink.link import Link

log = logging.getLogger(__name__)


class SiteStations:
    """`take` puts a message of a station, in the CSMS's version, on its way. `post_of` makes a station's `link`.
    `gives_ids`: the CSMS gives the ids of transactions (`Dialect.csms_gives_tx_ids`)."""

    def __init__(
        self,
        site: Site,
        take: Callable[[StationId, Request], None],
        post_of: Callable[[StationId, Link], LinkPort],
        *,
        gives_ids: bool,
    ) -> None:
        self._site = site
        self._take = take
        self._post_of = post_of
        self._gives_ids = gives_ids
        self.on_again: Callable[[StationId], None] = lambda _: None
        """A station is translated again after a while in which its statuses could not be told."""
        self._link: Link | None = None
        self._interpreters: dict[StationId, Interpreter] = {}
        """Also those that are ending: what they still send is a translated station's."""
        self._ending: dict[StationId, asyncio.Task[None]] = {}

    # -- the link ---------------------------------------------------------------------------------------------------

    def up(self, link: Link) -> None:
        """The CSMS has accepted the site."""
        self._link = link
        for station in self._site.stations.values():
            self.look(station)

    def down(self) -> None:
        """The link is gone."""
        self._link = None
        for station in self._site.stations.values():
            self._leave(station)

    async def end(self) -> None:
        """The gateway stops: nothing is waited for."""
        tasks = [task for one in self._interpreters.values() for task in one.under_way()]
        tasks += self._ending.values()
        for interpreter in self._interpreters.values():
            interpreter.shut()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def look(self, station: Station) -> None:
        """What the station queued goes up from now on, in the version that it needs now."""
        link = self._link
        if link is None:
            return
        needed = self._needed(station, link.dialect)
        if station.link is not None and needed is not None and needed is self.dialect(station.id):
            return
        self._leave(station)
        if needed is not None and station.id not in self._ending:
            self._join(station, link, needed)

    def _needed(self, station: Station, spoken: Dialect) -> Dialect | None:
        """Queued messages go first; else it is what the station speaks, or spoke last. None: it can't be served."""
        port = station.port
        if port is not None and not _is_served(port.dialect, spoken):
            log.error(
                "%s: speaks %s, and the site as one station %s: closed", station.id, port.dialect.name, spoken.name
            )
            port.close(1012, "the CSMS of this site speaks another version")
            return None
        head = next(iter(station.queue.values()), None)
        names = (head.dialect if head else "", port.dialect.name if port else "", station.record.dialect)
        known = (registry.by_name(name) for name in names if name)
        return next((dialect for dialect in known if _is_served(dialect, spoken)), spoken)

    def _join(self, station: Station, link: Link, needed: Dialect) -> None:
        pair = translate.between(needed, link.dialect)
        if pair is not None:
            own = Interpreter(self._site, station, pair, lambda request: self._take(station.id, request))
            self._interpreters[station.id] = own
            own.begin()
            log.info("%s: is translated from %s to %s", station.id, needed.name, link.dialect.name)
        station.link = self._post_of(station.id, link)
        self._site.link_up(station, needed.name)

    def _leave(self, station: Station) -> None:
        if station.link is not None:
            station.link = None
            station.wake.set()
        interpreter = self._interpreters.get(station.id)
        if interpreter is not None and station.id not in self._ending:
            interpreter.shut()
            self._ending[station.id] = asyncio.create_task(
                self._end_of(station, interpreter), name=f"end of translation {station.id}"
            )

    async def _end_of(self, station: Station, interpreter: Interpreter) -> None:
        """One station is never translated twice at a time: what the first one heard has to be known to the next."""
        await asyncio.gather(*interpreter.under_way(), return_exceptions=True)
        del self._ending[station.id], self._interpreters[station.id]
        self.look(station)
        again = self._interpreters.get(station.id)
        if again is not None and again.dialect is interpreter.dialect:
            self.on_again(station.id)

    # -- one station ------------------------------------------------------------------------------------------------

    def interpreter(self, station: StationId) -> Interpreter | None:
        """None: it speaks the CSMS's version, or there is no link."""
        return self._interpreters.get(station)

    def dialect(self, station: StationId) -> Dialect | None:
        """What the walks speak upstream for it; None while it can't be heard there."""
        if self._link is None or self._site.station(station).link is None:
            return None
        interpreter = self._interpreters.get(station)
        return interpreter.dialect if interpreter else self._link.dialect

    def post(self, station: StationId, request: Request) -> None:
        """A message of the station, in its own version."""
        interpreter = self._interpreters.get(station)
        if interpreter is not None:
            interpreter.translation.post(request)
        else:
            self._take(station, request)

    def memory(self, station: StationId) -> Memory | None:
        """What its translation remembers; None: it is not translated."""
        return self._site.translations.memory(station) if station in self._interpreters else None

    def is_at(self, station: StationId, evse: int, own: tuple[int, int | None]) -> bool:
        """Whether what the CSMS's version calls this EVSE is the station's own one, of this connector (None: any)."""
        interpreter, memory = self._interpreters.get(station), self.memory(station)
        if interpreter is None or memory is None or interpreter.dialect.csms_gives_tx_ids:
            return own[0] == evse
        place = places.place_of(memory, evse)
        return own[0] == place[0] and own[1] in (None, place[1])

    def tell_status(self, station: StationId, report: StatusReport) -> bool:
        """Say again what a translated station said of a connector; False: it is not translated."""
        interpreter = self._interpreters.get(station)
        if interpreter is None:
            return False
        dialect, site = interpreter.dialect, self._site
        action = next(rule.action for rule in dialect.up.values() if rule.role is Role.STATUS)
        payload = site_says.status(dialect, report.evse, report, site.clock.now())
        interpreter.translation.post(site.request(action, payload))
        return True

    def of_transaction(self, upstream: str) -> StationId | None:
        """The translated station whose transaction the CSMS calls so; one that is open before one that is over."""
        found = [
            (own.is_ended, station)
            for station in self._interpreters
            if (own := self._site.translations.memory(station).tx_of_csms(upstream)) is not None
        ]
        return min(found)[1] if found else None

    def csms_id(self, own: Transaction) -> str | None:
        """What the CSMS calls a session, where neither the station nor the gateway does."""
        translated = self._site.translations.csms_id(own)
        if translated is not None or own.station_tx_id is None:
            return translated
        record = self._site.station(own.station).record
        is_told_so = record.dialect and not registry.by_name(record.dialect).csms_gives_tx_ids
        return transaction_uuid(own.station, own.station_tx_id) if is_told_so and not self._gives_ids else None


def _is_served(station: Dialect, csms: Dialect) -> bool:
    return station.name == csms.name or translate.between(station, csms) is not None
