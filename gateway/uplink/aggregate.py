"""The whole site as one station on one WebSocket: one boot of its own, numbers for identities, one CALL in flight.

Boots and heartbeats of stations are answered here; what goes up is mapped, and waits in a schedule for its turn.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from msgspec.structs import replace as replaced

from gateway.core.one_station import OneStation
from gateway.core.schedule import Urgency
from gateway.dialects import registry, site_map
from gateway.dialects.base import Dialect, Role
from gateway.dialects.site_reports import GIVE_UP_S, Reports
from gateway.dialects.site_rules import SiteUp, Way
from gateway.errors import StoreError
from gateway.flows import storage
from gateway.model.events import BootAnswer, RegistrationStatus
from gateway.model.ids import StationId
from gateway.model.records import Change
from gateway.ports import LinkState, OneLink
from gateway.rpc.codes import CallError, ErrorCode
from gateway.rpc.session import Answered, Outcome, Refused, RefusedResult, Request, Silence, Unanswered
from gateway.rpc.splice import SpliceError
from gateway.site import Site
from gateway.uplink import versions
from gateway.uplink.link import Answer, Connector, Link
from gateway.uplink.site_commands import SiteCommands
from gateway.uplink.site_ids import LiveIds
from gateway.uplink.site_link import SiteLink, SiteLinkOptions
from gateway.uplink.site_own import SiteOwn
from gateway.uplink.site_queue import SiteQueue, urgency
from gateway.uplink.site_stations import SiteStations
from gateway.uplink.site_status import SiteStatus

log = logging.getLogger(__name__)

PRESSED_S = 1.0
"""From this wait on a station's samples are kept and answered here: it may have a driver waiting behind them."""
SILENT_S = 3.0
"""A CALL that the CSMS leaves unanswered for so long makes the link suspect, whoever's budget was over."""
RELIEF_S, RELIEF_EVERY_S = 900.0, 60.0
"""From this drain time on meter values are thinned, and how often that is looked at."""
NOT_CONNECTED = Unanswered(Silence.NOT_CONNECTED, was_sent=False)


class _Post:
    """A station's link as its short lane sees it (`ports.LinkPort`)."""

    def __init__(self, uplink: "Aggregate", station: StationId, link: Link) -> None:
        self._uplink = uplink
        self._station = station
        self._link = link

    @property
    def is_suspect(self) -> bool:
        """Or so busy that a message is better off on the walk, which keeps and answers it here."""
        return self._link.is_suspect or self._uplink.is_pressed()

    @is_suspect.setter
    def is_suspect(self, value: bool) -> None:
        self._link.is_suspect = value

    def post(self, request: Request) -> None:
        self._uplink.stations.post(self._station, request)


class Aggregate:
    """The uplink as the flows see it (`ports.UplinkPort`)."""

    def __init__(self, site: Site, options: SiteLinkOptions, connector: Connector) -> None:
        self._site = site
        self._options = options
        self._keeper = SiteLink(site, options, connector)
        self._keeper.on_up = self._up
        self._keeper.on_down = self._down
        self._keeper.answer_of = self._answer_of
        self._queue = SiteQueue(site, lambda: self._keeper.link, self._keeper.fell)
        self._keeper.on_idle = self._queue.send_next
        self._reports = Reports()
        gives_ids = any(dialect.csms_gives_tx_ids for dialect in options.dialects())
        self.stations = SiteStations(site, self.take, partial(_Post, self), gives_ids=gives_ids)
        self._status = SiteStatus(site, self.stations, self._say_status, options.lost_s)
        self.stations.on_again = self._status.tell_of
        self._own = SiteOwn(site, options, self._keeper, self._status, self.say)
        self._commands: SiteCommands | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._unwritten: dict[StationId, list[tuple[SiteUp, Request]]] = {}
        """Messages of stations whose new numbers are being written."""
        site.columns.whole = self._keeper.station
        site.one_link = self._one_link
        site.is_pressed = self.is_pressed
        site.columns.configured_password = lambda station: options.password if station == self._keeper.station else None

    async def run(self) -> None:
        """Keep the link; ends by cancellation, and then closes it."""
        self._tasks.add(asyncio.create_task(self._relieve(), name="relief of the site's link"))
        try:
            await self._keeper.run()
        finally:
            if self._commands is not None:
                self._commands.end()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, self.stations.end(), return_exceptions=True)

    async def _relieve(self) -> None:
        """More comes than one CALL in flight can carry: queued meter values give way, every second one at a time."""
        while True:
            await asyncio.sleep(RELIEF_EVERY_S)
            if self._keeper.link is not None and self.drain_s > RELIEF_S:
                try:
                    await storage.thin_all(self._site, "because the CSMS takes them too slowly")
                except StoreError as error:
                    log.warning("the queue could not be made smaller: %s", error)

    def _one_link(self) -> OneLink:
        dialect = self._keeper.link.dialect.name if self._keeper.link else None
        return OneLink(self._own.id, self._keeper.state, dialect, len(self._queue), self.drain_s, self._status.tell_of,
                       self.stations.csms_id)  # fmt: skip

    def is_pressed(self) -> bool:
        """Whether what waits takes longer than a station should wait for the answer to a sample."""
        return self._queue.drain_s(0) > PRESSED_S

    @property
    def drain_s(self) -> float:
        """How long what waits for the CSMS will take, as fast as it answers now."""
        return self._queue.drain_s(sum(len(station.queue) for station in self._site.stations.values()))

    # -- the link ---------------------------------------------------------------------------------------------------

    def _up(self, link: Link) -> None:
        self.stations.up(link)
        self._status.up(link.dialect)

    def _down(self) -> None:
        self._status.down()
        self.stations.down()
        self._queue.clear()

    def _answer_of(self, dialect: Dialect) -> Answer:
        """What answers the CSMS's commands on a link of that version."""
        if self._commands is not None:
            self._commands.end()
        self._commands = SiteCommands(self._site, dialect, self._reports, self._own, self.stations)
        return self._commands.answer

    # -- the port ---------------------------------------------------------------------------------------------------

    def state(self, station: StationId) -> LinkState:
        if self._keeper.link is not None and self._site.station(station).link is None:
            return LinkState.DOWN
        return self._keeper.state

    def dialect(self, station: StationId) -> Dialect | None:
        return self.stations.dialect(station)

    def post(self, station: StationId, request: Request) -> None:
        self.stations.post(station, request)

    def send(self, station: StationId, message_id: str, action: str, payload: bytes) -> None:
        """Nothing without an answer has a place in the site as one station (2.1 event streams)."""
        log.debug("%s: %s stays here", station, action)

    def refuse_result(self, station: StationId, refused: RefusedResult) -> None:
        if self._keeper.link:
            self._keeper.link.pump.refuse_result(refused)

    def suspect(self, station: StationId) -> None:
        """A budget was over; but the CSMS is to blame only if it has the message, and not our schedule."""
        if self._keeper.link and self._queue.silent_s() >= SILENT_S:
            self._keeper.link.is_suspect = True

    async def negotiate(self, station: StationId, offers: Sequence[str]) -> str | None:
        """What is spoken upstream, if the station offers it; else what can be translated for it."""
        allowed = self._options.dialects()
        known = {offer: dialect for offer in offers if (dialect := registry.by_subprotocol(offer))}
        spoken = versions.usable(known, tuple(dialect.name for dialect in allowed))
        link = self._keeper.link
        if spoken:
            return versions.pick(spoken, link.dialect.name if link else None)
        names = " or ".join(dialect.name for dialect in allowed)
        log.error("%s: offers %s, and the site as one station speaks %s: refused", station, ", ".join(offers), names)
        return None

    def wake(self, station: StationId) -> None:
        """The station came or went: the CSMS sees that in the status of its connectors."""
        own = self._site.station(station)
        self.stations.look(own)
        self._own.give_list(own)
        if own.port is None:
            for (action, _), payload in self._reports.gone(station):
                self.say(action, payload)
        self._status.wake(station)

    # -- up ---------------------------------------------------------------------------------------------------------

    def take(self, station: StationId, request: Request) -> None:
        """A CALL of a station in the CSMS's version: answered here, or mapped and put into the schedule."""
        link = self._keeper.link
        if link is None:
            request.on_done(NOT_CONNECTED)
            return
        row = registry.site_table(link.dialect.name).up.get(request.action)
        if station == self._own.id and row is not None:
            self._take_own(row, request)
        elif row is None or row.way is Way.REFUSE:
            request.on_done(Refused(ErrorCode.NOT_IMPLEMENTED, "not passed on by the site as one station"))
        elif row.way is Way.ANSWER:
            request.on_done(Answered(self._own_answer(link.dialect, request.action)))
        else:
            self._number(station, row, request)

    def _take_own(self, row: SiteUp, request: Request) -> None:
        """A message in the site's own name, by a walk."""
        if row.is_report:
            self._add_part(row, self._own.id, request.payload)
            request.on_done(Answered(b"{}"))
        else:
            self._queue.put(self._own.id, Urgency.STATUS, request)

    def _add_part(self, row: SiteUp, station: StationId, payload: bytes) -> None:
        for part in self._reports.part(row.action, station, payload, self._site.clock.monotonic()):
            self.say(row.action, part)
        asyncio.get_running_loop().call_later(GIVE_UP_S, self._end_reports)

    def _own_answer(self, dialect: Dialect, action: str) -> bytes:
        rule, codec, now = dialect.up[action], dialect.codec, self._site.clock.now()
        if rule.role is Role.BOOT:
            return codec.answer_boot(BootAnswer(RegistrationStatus.ACCEPTED, self._keeper.interval_s), now)
        if rule.role is Role.HEARTBEAT:
            return codec.answer_heartbeat(now)
        return rule.offline if isinstance(rule.offline, bytes) else b"{}"

    def _number(self, station: StationId, row: SiteUp, request: Request) -> None:
        """A number is on disk before anything that carries it leaves; what comes meanwhile waits behind."""
        waiting = self._unwritten.get(station)
        if waiting is not None:
            waiting.append((row, request))
            return
        changes = self._site.numbering.seen(station, [1, *site_map.evses_named(row, request.payload)])
        if not changes:
            self._enqueue(station, row, request)
            return
        self._unwritten[station] = [(row, request)]
        task = asyncio.get_running_loop().create_task(self._write(station, changes), name=f"numbers of {station}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write(self, station: StationId, changes: list[Change]) -> None:
        is_written = False
        try:
            await self._site.commit(changes)
            is_written = True
            self._own.give_list(self._site.station(station))
        except StoreError as error:
            log.error("%s: its numbers can't be written: %s", station, error)
            await self._site.writer.ready.wait()  # who asks again at once would ask for ever
        finally:
            for row, request in self._unwritten.pop(station):
                if is_written:
                    self._number(station, row, request)
                else:
                    request.on_done(NOT_CONNECTED)

    def _enqueue(self, station: StationId, row: SiteUp, request: Request) -> None:
        link = self._keeper.link
        if link is None:
            request.on_done(NOT_CONNECTED)
            return
        own = LiveIds(self._site, link.dialect, self.stations).of(station)
        try:
            payload = site_map.map_up(row, request.payload, own)
        except (CallError, SpliceError, site_map.UnknownIdError) as error:
            request.on_done(Refused(ErrorCode.FORMAT_VIOLATION, str(error)))
            return
        if payload is None:
            for part in self._reports.kept_back(row.action, station, request.payload) if row.is_report else ():
                self.say(row.action, part)
            request.on_done(Answered(self._own_answer(link.dialect, request.action)))
            return
        if row.is_report:
            self._add_part(row, station, payload)
            request.on_done(Answered(b"{}"))
            return
        mapped = replaced(request, payload=payload, on_done=partial(_mapped_down, row, own, request.on_done))
        role = link.dialect.up[row.action].role
        self._queue.put(station, urgency(link.dialect, request), mapped, is_ordered=role is Role.TRANSACTION)

    def _end_reports(self) -> None:
        for (action, _), payload in self._reports.expire(self._site.clock.monotonic()):
            self.say(action, payload)

    def say(self, action: str, payload: bytes) -> None:
        """The site itself tells the CSMS something; whatever the answer."""
        self._say_status(None, action, payload)

    def _say_status(self, station: StationId | None, action: str, payload: bytes) -> None:
        """In the order of the station's own statuses: an older word of ours must not come after a newer of its."""
        self._queue.put(station or self._own.id, Urgency.STATUS, self._site.request(action, payload))


def _mapped_down(row: SiteUp, own: OneStation, on_done: Callable[[Outcome], None], outcome: Outcome) -> None:
    if isinstance(outcome, Answered) and row.answer_ids:
        outcome = Answered(site_map.map_answer_down(row, outcome.payload, own))
    on_done(outcome)
