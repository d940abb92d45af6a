"""Topology per-station: a Local Controller as OCPP describes it, one upstream socket per station, never two.

A link is opened when its station is there or its outbox is not empty, survives a blip of the station (the grace), is
drained when the station is really gone, and then closed, so that the CSMS sees the station offline.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from msgspec.structs import replace as replaced

from gateway.core import outbox
from gateway.dialects import registry, translate
from gateway.dialects.base import Dialect
from gateway.errors import ConnectError
from gateway.flows import command, inbound
from gateway.model.ids import StationId
from gateway.model.reasons import ParkReason
from gateway.model.records import Change, Put, RowState
from gateway.ports import LinkState
from gateway.rpc.session import RefusedResult, Request, Silence, Unanswered
from gateway.site import Site
from gateway.station import Station
from gateway.transport import Socket
from gateway.uplink import versions
from gateway.uplink.backoff import Backoff
from gateway.uplink.link import Connector, Link
from gateway.uplink.passwords import Passwords
from gateway.uplink.translated_link import TranslatedLink
from gateway.uplink.versions import Versions
from gateway.wake import Wake

log = logging.getLogger(__name__)

NEGOTIATION_S = 5.0
CLOSE_S = 2.0


@dataclass(frozen=True, slots=True)
class PerStationOptions:
    """`versions`: dialect names the CSMS speaks, empty = learned. `passwords` by station, else `password`: the first
    ones, until the CSMS sets others; shown if `shows_password`. Seconds."""

    versions: tuple[str, ...] = ()
    password: bytes | None = None
    passwords: Mapping[str, bytes] = field(default_factory=dict)
    shows_password: bool = True
    backoff: Backoff = field(default_factory=Backoff)
    grace_s: float = 15.0

    def password_of(self, station: StationId) -> bytes | None:
        return self.passwords.get(station, self.password)


class PerStation:
    """The uplink as the flows see it (`ports.UplinkPort`)."""

    def __init__(self, site: Site, options: PerStationOptions, connector: Connector) -> None:
        self._site = site
        self._options = options
        self._connector = connector
        self._keepers: dict[StationId, _Keeper] = {}
        self._wake = asyncio.Event()
        site.columns.configured_password = options.password_of

    async def run(self) -> None:
        """Keep the link of every station; ends by cancellation, and then closes them all."""
        async with asyncio.TaskGroup() as group:
            served: set[StationId] = set()
            while True:
                for station_id, keeper in list(self._keepers.items()):
                    if station_id not in served:
                        served.add(station_id)
                        group.create_task(keeper.run(), name=f"uplink {station_id}")
                self._wake.clear()
                await self._wake.wait()

    def state(self, station: StationId) -> LinkState:
        keeper = self._keepers.get(station)
        return keeper.state if keeper else LinkState.IDLE

    def dialect(self, station: StationId) -> Dialect | None:
        keeper = self._keepers.get(station)
        return keeper.link.dialect if keeper and keeper.link else None

    def post(self, station: StationId, request: Request) -> None:
        keeper = self._keepers.get(station)
        if keeper is None or keeper.link is None:
            request.on_done(Unanswered(Silence.NOT_CONNECTED, was_sent=False))
        else:
            keeper.link.post(request)

    def send(self, station: StationId, message_id: str, action: str, payload: bytes) -> None:
        keeper = self._keepers.get(station)
        if keeper and keeper.link:
            keeper.link.send(message_id, action, payload)

    def refuse_result(self, station: StationId, refused: RefusedResult) -> None:
        keeper = self._keepers.get(station)
        if keeper and keeper.link:
            keeper.link.pump.refuse_result(refused)

    def suspect(self, station: StationId) -> None:
        keeper = self._keepers.get(station)
        if keeper and keeper.link:
            keeper.link.is_suspect = True

    async def negotiate(self, station: StationId, offers: Sequence[str]) -> str | None:
        """The subprotocol to speak with a station, in the spelling it offered; None if there is none."""
        known = {offer: dialect for offer in offers if (dialect := registry.by_subprotocol(offer))}
        spoken = versions.usable(known, self._options.versions)
        if not spoken:
            return None
        keeper = self._keeper(station)
        keeper.versions.offers = list(spoken.values())
        learned = self._site.station(station).record.upstream_dialect
        if learned is None and not self._options.versions and len(spoken) > 1:
            learned = await keeper.try_out(NEGOTIATION_S)
        return versions.pick(spoken, learned)

    def wake(self, station: StationId) -> None:
        self._keeper(station).wake.set()

    def _keeper(self, station: StationId) -> "_Keeper":
        keeper = self._keepers.get(station)
        if keeper is None:
            keeper = _Keeper(self._site, self._site.station(station), self._options, self._connector)
            self._keepers[station] = keeper
            self._wake.set()
        return keeper


class _Keeper:
    """Opens, holds and closes the link of one station."""

    def __init__(self, site: Site, station: Station, options: PerStationOptions, connector: Connector) -> None:
        self.link: Link | None = None
        self.versions = Versions(station, options.versions)
        self.wake = Wake()
        self._site = site
        self._station = station
        self._options = options
        self._connector = connector
        self._passwords = Passwords(site, station.id, is_shown=options.shows_password)
        self._state = LinkState.IDLE
        self._tried = Wake()
        self._negotiating = 0
        self._was_ours = False
        """The link was closed by us: no reason to wait before the next one."""

    @property
    def state(self) -> LinkState:
        if self.link is None:
            return self._state
        return LinkState.SUSPECT if self.link.is_suspect else LinkState.UP

    def _is_wanted(self) -> bool:
        return self._station.port is not None or bool(self._station.queue) or self._negotiating > 0

    async def try_out(self, seconds: float) -> str | None:
        """Have the link opened with what the station offers; the version the CSMS picked, if it did so in time."""
        self._negotiating += 1
        self._tried.clear()
        self.wake.set()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._tried.wait()
            return self.link.dialect.name if self.link else None
        finally:
            self._negotiating -= 1

    async def run(self) -> None:
        """Open the link whenever it is wanted; after a fall or a failure wait as the specification says."""
        failures = 0
        while True:
            while not self._is_wanted():
                self._state = LinkState.IDLE
                self.wake.clear()
                await self.wake.wait()
            self._state = LinkState.CONNECTING
            self._was_ours = False
            try:
                opened = await self._open()
                failures = 0 if opened else failures + 1
                if opened:
                    await self._hold(*opened)
                else:
                    self._station.link_failed()
            except Exception:  # one station's trouble is never another's
                log.exception("%s: its link to the CSMS failed", self._station.id)
                failures += 1
            if self._is_wanted() and not self._was_ours:
                self._state = LinkState.DOWN
                backoff = self._options.backoff.as_set(self._site.columns, self._station.id)
                await asyncio.sleep(backoff.delay_s(failures, self._site.random))

    async def _open(self) -> tuple[Socket, Dialect] | None:
        try:
            while True:
                offers = self.versions.choose()
                opened, is_refused = await self._connect(offers)
                if not is_refused or not self._version_refused(offers):
                    return opened
        finally:
            self._tried.set()

    async def _connect(self, offers: list[Dialect]) -> tuple[tuple[Socket, Dialect] | None, bool]:
        """The socket and its version, or whether it is the versions that the CSMS refuses."""
        station = self._station
        names = [dialect.subprotocol for dialect in offers]
        try:
            socket = await self._connector.connect(station.id, names, self._passwords.choose())
        except ConnectError as error:
            log.warning("%s: no link to the CSMS: %s", station.id, error)
            self._passwords.refused(error.status)
            return None, error.status == 400
        dialect = registry.by_subprotocol(socket.subprotocol) if socket.subprotocol else None
        if dialect is None:
            log.warning("%s: the CSMS accepts none of the versions %s", station.id, ", ".join(names))
            await socket.close(1002, "no common subprotocol")
            return None, True
        self._passwords.proven()
        return (socket, dialect), False

    def _version_refused(self, offers: list[Dialect]) -> bool:
        """Whether another version is worth a try. Messages of a version the CSMS no longer takes, that can't be
        translated either, are set aside if the station itself speaks another one."""
        site, station = self._site, self._station
        if self.versions.refuse(offers):
            return True
        head = next(iter(station.queue.values()), None)
        if head is None or station.port is None or station.port.dialect.name == head.dialect:
            return False
        rows = [row for row in station.queue.values() if row.dialect == head.dialect]
        reason = ParkReason.VERSION_REFUSED
        parked: list[Change] = [Put(replaced(row, state=RowState.PARKED, parked=reason)) for row in rows]
        site.note([*outbox.unlisted(rows, station.sent, site.unknown_outcomes, site.clock.now()), *parked])
        log.error("%s: %d messages of a version the CSMS refuses are set aside", station.id, len(rows))
        return False

    async def _hold(self, socket: Socket, dialect: Dialect) -> None:
        """Serve the open link until it falls or is not wanted any more."""
        site, station = self._site, self._station

        link = self.link = station.link = self._made(socket, dialect)
        self._tried.set()
        log.info("%s: link to the CSMS is up (%s)", station.id, link.versions)
        if station.record.upstream_dialect != dialect.name:
            site.note([Put(replace(station.record, upstream_dialect=dialect.name))])
        site.link_up(station, link.dialect.name)
        inbound.pass_kept_sends(site, station)
        closer = asyncio.create_task(self._close_in_time(link), name=f"closer {station.id}")
        try:
            reason = await link.run()
            log.info("%s: link to the CSMS is down (%s)", station.id, reason)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CLOSE_S):
                    await link.close(1001, "the gateway stops")
            raise
        finally:
            self.link = station.link = None
            self.versions.forget_refusals()
            closer.cancel()
            await asyncio.gather(closer, *link.unfinished(), return_exceptions=True)
            station.wake.set()

    def _made(self, socket: Socket, dialect: Dialect) -> Link:
        """The link over an open socket: in the version of what it carries, by translation if need be."""
        site, station = self._site, self._station
        pair = translate.between(self.versions.presented(dialect), dialect)
        if pair is not None:
            return TranslatedLink(site, station, socket, pair, clock=site.clock)

        return Link(
            station.id,
            socket,
            dialect,
            clock=site.clock,
            answer=partial(command.handle, site, station, dialect),
            call_timeout_s=site.options.call_timeout_s,
            on_send=partial(command.pass_send, station, dialect),
            on_refused_result=partial(command.pass_refused_result, station),
        )

    async def _close_in_time(self, link: Link) -> None:
        """Close the link when nobody needs it any more, or when another version is needed."""
        while True:
            self.wake.clear()
            if self._needs_other_version(link):
                self._was_ours = True
                await link.close(1000, "another version is needed")
                return
            if self._passwords.is_outdated:
                await link.quiet(self._site.options.call_timeout_s)
                self._was_ours = True
                await link.close(1000, "a new password")
                return
            if self._is_wanted():
                await self.wake.wait()
            elif not await self._woken_within(self._options.grace_s):
                self._was_ours = True
                await link.close(1000, "the station is gone")
                return

    async def _woken_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.wake.wait()
        except TimeoutError:
            return False
        return True

    def _needs_other_version(self, link: Link) -> bool:
        """After its queue is drained, a station and its link speak the same version: the link's, if it can."""
        station = self._station
        head = next(iter(station.queue.values()), None)
        if head is not None:
            return head.dialect != link.dialect.name
        if station.port is None or station.port.dialect.name == link.dialect.name:
            return False
        if link.dialect not in self.versions.offers:
            return True
        station.port.close(1012, "the CSMS speaks another version: negotiate again")
        return False
