"""The whole site as one station on one WebSocket: one boot of its own, numbers for identities, one CALL in flight.

Boots and heartbeats of stations are answered here; what goes up is mapped, and waits in a schedule for its turn.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from gateway.core.one_station import OneStation
from gateway.core.schedule import Schedule, Urgency, Waiting
from gateway.dialects import registry, site_map
from gateway.dialects.base import Dialect, Role
from gateway.dialects.site_reports import Reports
from gateway.dialects.site_rules import SiteUp, Way
from gateway.errors import StoreError
from gateway.model.events import BootAnswer, RegistrationStatus
from gateway.model.ids import StationId
from gateway.model.records import Change
from gateway.ports import LinkState
from gateway.rpc.codes import CallError, ErrorCode
from gateway.rpc.session import Answered, Outcome, Priority, Refused, RefusedResult, Request, Silence, Unanswered
from gateway.site import Site
from gateway.station import Station
from gateway.uplink.link import Answer, Connector, Link
from gateway.uplink.site_commands import SiteCommands
from gateway.uplink.site_link import SiteLink, SiteLinkOptions
from gateway.uplink.site_status import SiteStatus

log = logging.getLogger(__name__)

NOT_CONNECTED = Unanswered(Silence.NOT_CONNECTED, was_sent=False)


@dataclass(slots=True)
class _Message:
    """One CALL of a station, mapped."""

    action: str
    payload: bytes
    message_id: str
    on_done: Callable[[Outcome], None]
    on_sent: Callable[[], None] | None = None


class _Post:
    """A station's link as its short lane sees it (`ports.LinkPort`)."""

    def __init__(self, uplink: "Aggregate", station: StationId, link: Link) -> None:
        self._uplink = uplink
        self._station = station
        self._link = link

    @property
    def is_suspect(self) -> bool:
        return self._link.is_suspect

    @is_suspect.setter
    def is_suspect(self, value: bool) -> None:
        self._link.is_suspect = value

    def post(self, request: Request) -> None:
        self._uplink.take(self._station, request)


class Aggregate:
    """The uplink as the flows see it (`ports.UplinkPort`)."""

    def __init__(self, site: Site, options: SiteLinkOptions, connector: Connector) -> None:
        self._site = site
        self._options = options
        self._keeper = SiteLink(site, options, connector)
        self._keeper.on_up = self._up
        self._keeper.on_down = self._down
        self._keeper.answer_of = self._answer_of
        self._schedule: Schedule[_Message] = Schedule()
        self._reports = Reports()
        self._status = SiteStatus(site, self._say)
        self._tasks: set[asyncio.Task[None]] = set()
        site.columns.configured_password = lambda _: None

    async def run(self) -> None:
        """Keep the link; ends by cancellation, and then closes it."""
        try:
            await self._keeper.run()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def drain_s(self) -> float:
        """How long what waits for the CSMS will take, as fast as it answers now."""
        return self._schedule.drain_s(sum(len(station.queue) for station in self._site.stations.values()))

    # -- the link ---------------------------------------------------------------------------------------------------

    def _up(self, link: Link) -> None:
        self._status.up(link.dialect)
        for station in self._site.stations.values():
            self._join(station, link)

    def _join(self, station: Station, link: Link) -> None:
        """What this station queued goes up from now on."""
        if station.port is None or station.port.dialect is link.dialect:
            station.link = _Post(self, station.id, link)
            self._site.link_up(station, link.dialect.name)

    def _down(self) -> None:
        self._status.down()
        for waiting in self._schedule.clear():
            waiting.item.on_done(Unanswered(Silence.CLOSED, was_sent=False))
        for station in self._site.stations.values():
            station.link = None
            station.wake.set()

    def _answer_of(self, dialect: Dialect) -> Answer:
        """What answers the CSMS's commands on a link of that version."""
        return SiteCommands(self._site, dialect, self._reports, self._triggered, self._configuration).answer

    def _triggered(self, asked: str) -> bool:
        if asked == "BootNotification":
            self._keeper.boot_again()
        elif asked == "Heartbeat":
            self._keeper.beat()
        else:
            return False
        return True

    def _configuration(self) -> dict[str, str]:
        return {
            "HeartbeatInterval": str(self._keeper.interval_s),
            "NumberOfConnectors": str(len(self._site.numbering.places())),
        }

    # -- the port ---------------------------------------------------------------------------------------------------

    def state(self, station: StationId) -> LinkState:
        if self._keeper.link is not None and self._site.station(station).link is None:
            return LinkState.DOWN
        return self._keeper.state

    def dialect(self, station: StationId) -> Dialect | None:
        link = self._keeper.link
        return link.dialect if link and self._site.station(station).link is not None else None

    def post(
        self,
        station: StationId,
        message_id: str,
        action: str,
        payload: bytes,
        *,
        priority: Priority,
        on_done: Callable[[Outcome], None],
        send_by: float = float("inf"),
        on_sent: Callable[[], None] | None = None,
    ) -> None:
        timeout_s = self._site.options.call_timeout_s
        self.take(station, Request(message_id, action, payload, on_done, priority, timeout_s, send_by, on_sent))

    async def call(
        self, station: StationId, message_id: str, action: str, payload: bytes, *, priority: Priority
    ) -> Outcome:
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def settle(outcome: Outcome) -> None:
            if not done.done():
                done.set_result(outcome)

        self.post(station, message_id, action, payload, priority=priority, on_done=settle)
        return await done

    def send(self, station: StationId, message_id: str, action: str, payload: bytes) -> None:
        """Nothing without an answer has a place in the site as one station (2.1 event streams)."""
        log.debug("%s: %s stays here", station, action)

    def refuse_result(self, station: StationId, refused: RefusedResult) -> None:
        if self._keeper.link:
            self._keeper.link.pump.refuse_result(refused)

    def suspect(self, station: StationId) -> None:
        if self._keeper.link:
            self._keeper.link.is_suspect = True

    async def negotiate(self, station: StationId, offers: Sequence[str]) -> str | None:
        """What is spoken upstream, if the station offers it; else its first that may be spoken there."""
        allowed = self._options.dialects()
        spoken = {offer: known for offer in offers if (known := registry.by_subprotocol(offer)) in allowed}
        link = self._keeper.link
        matching = (offer for offer, dialect in spoken.items() if link and dialect is link.dialect)
        return next(matching, next(iter(spoken), None))

    def wake(self, station: StationId) -> None:
        """The station came or went: the CSMS sees that in the status of its connectors."""
        own, link = self._site.station(station), self._keeper.link
        if link is not None and own.link is None:
            self._join(own, link)
        if own.port is None:
            for (action, _), payload in self._reports.gone(station):
                self._say(action, payload)
        self._status.wake(station)

    # -- up ---------------------------------------------------------------------------------------------------------

    def take(self, station: StationId, request: Request) -> None:
        """A CALL of a station: answered here, or mapped and put into the schedule."""
        link = self._keeper.link
        if link is None:
            request.on_done(NOT_CONNECTED)
            return
        row = registry.site_table(link.dialect.name).up.get(request.action)
        if row is None or row.way is Way.REFUSE:
            request.on_done(Refused(ErrorCode.NOT_IMPLEMENTED, "not passed on by the site as one station"))
        elif row.way is Way.ANSWER:
            request.on_done(Answered(self._own_answer(link.dialect, request.action)))
        else:
            evses = [1, *site_map.evses_named(row, request.payload)]
            numbered = self._site.numbering.seen(station, evses)
            if numbered:
                self._later(self._numbered(station, row, request, numbered))
            else:
                self._enqueue(station, row, request)

    def _own_answer(self, dialect: Dialect, action: str) -> bytes:
        rule, codec, now = dialect.up[action], dialect.codec, self._site.clock.now()
        if rule.role is Role.BOOT:
            return codec.answer_boot(BootAnswer(RegistrationStatus.ACCEPTED, self._keeper.interval_s), now)
        if rule.role is Role.HEARTBEAT:
            return codec.answer_heartbeat(now)
        return rule.offline if isinstance(rule.offline, bytes) else b"{}"

    async def _numbered(self, station: StationId, row: SiteUp, request: Request, changes: list[Change]) -> None:
        """A number is on disk before anything that carries it leaves."""
        try:
            await self._site.commit(changes)
        except StoreError:
            request.on_done(NOT_CONNECTED)
        else:
            self._enqueue(station, row, request)

    def _enqueue(self, station: StationId, row: SiteUp, request: Request) -> None:
        link = self._keeper.link
        if link is None:
            request.on_done(NOT_CONNECTED)
            return
        own = self._own(station, link.dialect)
        try:
            payload = site_map.map_up(row, request.payload, own)
        except (CallError, site_map.UnknownIdError) as error:
            request.on_done(Refused(ErrorCode.FORMAT_VIOLATION, str(error)))
            return
        if payload is None:
            request.on_done(Answered(self._own_answer(link.dialect, request.action)))
            return
        if row.is_report:
            ready = self._reports.part(row.action, station, payload, self._site.clock.monotonic())
            for part in ready:
                self._say(row.action, part)
            request.on_done(Answered(b"{}"))
            return
        message = _Message(
            request.action,
            payload,
            request.message_id,
            partial(_mapped_down, row, own, request.on_done),
            request.on_sent,
        )
        urgency = _urgency(link.dialect, request)
        is_ordered = link.dialect.up[row.action].role is Role.TRANSACTION
        self._put(Waiting(station, urgency, message, self._site.clock.monotonic(), is_ordered, send_by=request.send_by))

    def _say(self, action: str, payload: bytes) -> None:
        """The site itself tells the CSMS something; whatever the answer."""
        message = _Message(action, payload, self._site.message_id(), lambda _: None)
        own = StationId(self._options.identity)
        self._put(Waiting(own, Urgency.COMMAND, message, self._site.clock.monotonic()))

    def _put(self, waiting: Waiting[_Message]) -> None:
        self._schedule.put(waiting)
        if waiting.send_by < float("inf"):
            delay = max(0.0, waiting.send_by - self._site.clock.monotonic())
            asyncio.get_running_loop().call_later(delay, self._expire)
        self._send_next()

    def _expire(self) -> None:
        for waiting in self._schedule.expire(self._site.clock.monotonic()):
            waiting.item.on_done(Unanswered(Silence.TOO_LATE, was_sent=False))

    def _send_next(self) -> None:
        link = self._keeper.link
        if link is None or not link.pump.session.is_idle:
            return
        now = self._site.clock.monotonic()
        waiting = self._schedule.next(now)
        if waiting is None:
            return
        message = waiting.item
        timeout_s = self._site.options.call_timeout_s

        def done(outcome: Outcome) -> None:
            if not isinstance(outcome, Unanswered):
                self._schedule.answered(self._site.clock.monotonic() - now)
            asyncio.get_running_loop().call_soon(self._send_next)
            message.on_done(outcome)

        link.post(Request(message.message_id, message.action, message.payload, done, Priority.COMMAND, timeout_s,
                          on_sent=message.on_sent))  # fmt: skip

    def _own(self, station: StationId, dialect: Dialect) -> OneStation:
        gives = dialect.csms_gives_tx_ids
        return OneStation(station, self._site.numbering, self._site.ledger, gives_tx_ids=gives)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _mapped_down(row: SiteUp, own: OneStation, on_done: Callable[[Outcome], None], outcome: Outcome) -> None:
    if isinstance(outcome, Answered) and row.answer_ids:
        outcome = Answered(site_map.map_answer_down(row, outcome.payload, own))
    on_done(outcome)


def _urgency(dialect: Dialect, request: Request) -> Urgency:
    role = dialect.up[request.action].role
    if role is Role.AUTHORIZE:
        return Urgency.AUTHORIZE
    if role is not Role.TRANSACTION:
        return Urgency.STATUS
    try:
        message = dialect.codec.transaction(request.action, request.payload)
    except CallError:
        return Urgency.TRANSACTION
    return Urgency.SAMPLES if message is None or message.samples_only else Urgency.TRANSACTION
