"""A listener for stations: the handshake's decisions carried out, and each admitted socket served."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, cast

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.typing import Subprotocol

from gateway.dialects import registry
from gateway.dialects.base import Dialect
from gateway.downlink import credentials, handshake, station, tls
from gateway.downlink.handshake import Named, Refusal, Standing
from gateway.errors import GatewayError, StoreError
from gateway.model.ids import StationId
from gateway.model.records import Approval, StationRecord
from gateway.ports import StationPort
from gateway.site import Pending, Site
from gateway.transport import WebSocket

log = logging.getLogger(__name__)

MAX_PENDING = 20
PENDING_S = 600.0
MAX_STATIONS = 2000
"""Names `accept` takes in: each leaves a record for good, and on profile 0 anybody can make them up."""
ALIVE_S = 5.0
CLOSE_S = 3.0
"""For a closing handshake. With pings every 20 s, answered within 20 s, a dead station is noticed in 43 s."""
BACKLOG = 1024
MAX_QUEUED_FRAMES = 4


class UnknownStations(StrEnum):
    """What becomes of a station nobody knows: it waits for the operator, is served, or is turned away."""

    APPROVE = "approve"
    ACCEPT = "accept"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """One listener. `security_profile`: 0 no password, 1 password, 2 password and TLS (then with `certificate`).

    `password`: of stations without their own. `default_version`: for stations that offer no subprotocol. Times in
    seconds; `ping_interval_s` 0 = no pings. `handshake_timeout_s` should leave room for the 5 s in which the CSMS's
    versions are found out.
    """

    host: str
    port: int
    prefix: str = "/ocpp"
    security_profile: int = 2
    unknown_stations: UnknownStations = UnknownStations.APPROVE
    password: bytes | None = field(default=None, repr=False)
    certificate_file: Path | None = None
    key_file: Path | None = None
    legacy_certificate_file: Path | None = None
    legacy_key_file: Path | None = None
    default_version: str = registry.ALL[-1].name
    ping_interval_s: float = 20.0
    max_message_bytes: int = 1024 * 1024
    max_connections: int = 1000
    handshake_timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class StationAccess:
    """What the configuration says of one station's connection. `version`: a dialect's name."""

    password: bytes | None = field(default=None, repr=False)
    ignore_basic_user: bool = False
    version: str | None = None
    ping: bool = True


class ListenError(GatewayError):
    """A listener could not be opened."""


@dataclass(frozen=True, slots=True)
class Proof:
    """`is_proven`: by a credential on record. Otherwise `offered` is what the station may be pinned to, if anything."""

    is_proven: bool
    offered: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Admission:
    """A handshake that goes through. No `dialect`: it is closed right after, for no version is common.

    `spelling`: the subprotocol header to send. `judged`: the older socket that was found dead. `credential`: what an
    unknown station is pinned to at its approval.
    """

    station: StationId
    dialect: Dialect | None
    spelling: str | None
    is_proven: bool
    is_pending: bool
    judged: StationPort | None
    credential: str | None


class _Connection(ServerConnection):
    """One TCP connection, and what its handshake came to."""

    def __init__(self, everyone: "set[_Connection]", *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._everyone = everyone
        self.address = "?"
        self.admission: Admission | None = None
        self.reason: str | None = None
        self.has_seat = False
        """Counts as one of `max_connections`, until it is lost."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._everyone.add(self)
        peer = transport.get_extra_info("peername")
        self.address = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else str(peer or "?")

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._everyone.discard(self)
        if self.response is None:
            self._log_unanswered()

    def _log_unanswered(self) -> None:
        """The handshakes nobody else gets to see."""
        if self.request is not None:
            _log_refused(self, self.request.path, "it was not over in time, or the station hung up")
            return
        error = self.protocol.handshake_exc
        cause = (error.__cause__ or error) if error else None
        if cause is None:
            log.info("handshake from %s: no whole HTTP request came", self.address)
        elif isinstance(cause, EOFError):
            log.debug("handshake from %s: closed by the other side", self.address)
        else:
            log.warning("handshake from %s refused, no valid HTTP request: %s", self.address, _shown(str(cause)))


class DownlinkServer:
    """A listener and the stations on it. `access` and `aliases` (name in a path -> station): the configured ones."""

    def __init__(
        self,
        site: Site,
        options: ListenerOptions,
        access: Mapping[StationId, StationAccess],
        aliases: Mapping[str, StationId],
    ) -> None:
        self._site = site
        self._options = options
        self._access = access
        self._aliases = aliases
        self._pins = credentials.Pins()
        self._everyone: set[_Connection] = set()
        self._expiries: dict[StationId, asyncio.TimerHandle] = {}
        self._server: Server | None = None

    # -- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the listener. Raises CertificateError or ListenError."""
        options = self._options
        context = _tls_context(options)
        interval = options.ping_interval_s or None
        try:
            self._server = await serve(
                self._handle,
                options.host,
                options.port,
                select_subprotocol=_select_subprotocol,
                process_request=self._process_request,
                process_response=_process_response,
                server_header=None,
                compression=None,
                open_timeout=options.handshake_timeout_s,
                ping_interval=interval,
                ping_timeout=interval,
                close_timeout=CLOSE_S,
                max_size=options.max_message_bytes,
                max_queue=MAX_QUEUED_FRAMES,
                logger=_library_log(),
                create_connection=cast(type[ServerConnection], partial(_Connection, self._everyone)),
                ssl=context,
                backlog=BACKLOG,
            )
        except OSError as error:
            raise ListenError(f"can't listen on {options.host}:{options.port}: {error.strerror or error}") from error
        log.info("listening for stations on %s:%d%s", options.host, self.port, options.prefix)
        if options.security_profile == 0:
            log.warning(
                "%s:%d has security profile 0: whoever reaches it can pose as any station", options.host, self.port
            )

    @property
    def port(self) -> int:
        """The bound port, also where the options say 0. 0 while not listening."""
        sockets = self._server.sockets if self._server else ()
        return int(sockets[0].getsockname()[1]) if sockets else 0

    async def run(self) -> None:
        """Returns when closed; being cancelled closes."""
        assert self._server is not None, "start comes first"
        try:
            await self._server.wait_closed()
        finally:
            await self.close()

    async def close(self, code: int = 1012) -> None:
        """Stop listening, close every station's socket and wait for them. Closing twice does no harm."""
        if self._server is None:
            return
        self._server.close(close_connections=False)
        for timer in self._expiries.values():
            timer.cancel()
        closing = []
        for connection in list(self._everyone):
            if connection.state is State.CONNECTING:
                connection.transport.abort()
            else:
                closing.append(connection.close(code, "the gateway restarts"))
        await asyncio.gather(*closing, return_exceptions=True)
        await self._server.wait_closed()

    # -- the handshake ----------------------------------------------------------------------------------------------

    async def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        assert isinstance(connection, _Connection)
        try:
            outcome = await self._judge(connection, request)
        except StoreError as error:
            outcome = Refusal(503, f"the station can't be taken in: {error}")
        if isinstance(outcome, Refusal):
            connection.reason = outcome.reason
            response = connection.respond(outcome.status, "")
            if outcome.status == 401:
                response.headers["WWW-Authenticate"] = 'Basic realm="ocpp", charset="UTF-8"'
            return response
        connection.admission = outcome
        if not self._access.get(outcome.station, StationAccess()).ping:
            connection.ping_interval = None
        _leave_valid_offers(request.headers)
        return None

    async def _judge(self, connection: _Connection, request: Request) -> Admission | Refusal:
        """Who is it, may it be served, is it the one it says; then: is there room, is it there already."""
        options, site = self._options, self._site
        named = handshake.identify(request.path, options.prefix, self._aliases)
        if isinstance(named, Refusal):
            return named
        known = site.stations.get(named.station)
        record = known.record if known else None
        standing = handshake.standing(named.station in self._access, record)
        if standing is Standing.REJECTED:
            return Refusal(404, "the operator rejected this station")
        if standing is Standing.UNKNOWN and options.unknown_stations is UnknownStations.REFUSE:
            return Refusal(404, "the station is not known: add a [[station]] section with its id")
        proof = await self._prove(named, record if standing is Standing.KNOWN else None, request.headers)
        if isinstance(proof, Refusal):
            return proof
        if not self._take_seat(connection, named.station):
            return Refusal(503, f"{options.max_connections} stations are connected: raise max_connections")
        is_served = standing is Standing.KNOWN and proof.offered is None
        is_pending = not is_served and options.unknown_stations is UnknownStations.APPROVE
        credential = None
        if not is_served:
            taken = await self._take_in(named.station, standing, proof, is_pending)
            if isinstance(taken, Refusal):
                return taken
            credential = taken
        return await self._settle(named.station, proof.is_proven, is_pending, credential, request.headers)

    async def _prove(self, named: Named, record: StationRecord | None, headers: Headers) -> Proof | Refusal:
        """Compare the credential with what is on record: the station's password, the listener's, or a pinned one."""
        access = self._access.get(named.station, StationAccess())
        if self._options.security_profile == 0:
            if access.password is not None:
                return Refusal(401, "the station has a password, this listener asks for none: connect it to another")
            return Proof(is_proven=False)
        login = handshake.read_login(headers.get_all("Authorization"))
        if isinstance(login, Refusal):
            return login
        if not access.ignore_basic_user and login.user.decode(errors="replace") not in self._names(named):
            return Refusal(401, "the user is not the identity: correct it in the station, or set ignore_basic_user")
        expected = access.password or self._options.password
        if expected is not None:
            is_right = credentials.matches(login.password, expected)
        elif record is not None and record.credential is not None:
            is_right = await self._pins.fits(named.station, login.password, record.credential)
        elif self._options.unknown_stations is UnknownStations.REFUSE:
            return Refusal(401, "no password is on record for the station: give it a password_file")
        else:
            return Proof(is_proven=False, offered=login.password)
        return Proof(is_proven=True) if is_right else Refusal(401, "the password is wrong")

    def _names(self, named: Named) -> set[str]:
        return {named.station, named.name, *(alias for alias, one in self._aliases.items() if one == named.station)}

    def _take_seat(self, connection: _Connection, station_id: StationId) -> bool:
        """A station that is there already may always try: it may be locked out by its own dead socket."""
        known = self._site.stations.get(station_id)
        seats = sum(one.has_seat for one in self._everyone)
        connection.has_seat = seats < self._options.max_connections or (known is not None and known.port is not None)
        return connection.has_seat

    async def _take_in(
        self, station_id: StationId, standing: Standing, proof: Proof, is_pending: bool
    ) -> str | None | Refusal:
        """What to pin a station to that nothing proves yet; under `accept` it is in service from here on."""
        site = self._site
        if is_pending and self._is_pending_full(station_id):
            return Refusal(503, f"{MAX_PENDING} stations wait for approval: approve or reject some")
        if not is_pending and standing is Standing.UNKNOWN and len(site.stations) >= MAX_STATIONS:
            return Refusal(503, f"{MAX_STATIONS} stations are known: no more are accepted unseen")
        credential = await self._pins.pin(station_id, proof.offered) if proof.offered is not None else None
        if is_pending:
            return credential
        known = site.stations.get(station_id)
        now = handshake.standing(station_id in self._access, known.record if known else None)
        if now is Standing.REJECTED or (now is Standing.KNOWN and known and known.record.credential):
            return Refusal(503, "another handshake of this station came first")
        approval = known.record.approval if known and now is Standing.KNOWN else Approval.ACCEPTED
        await site.admit(station_id, approval, credential)
        log.info("%s: taken into service (unknown_stations = accept)", station_id)
        return credential

    def _is_pending_full(self, station_id: StationId) -> bool:
        return station_id not in self._site.pending and len(self._site.pending) >= MAX_PENDING

    async def _settle(
        self, station_id: StationId, is_proven: bool, is_pending: bool, credential: str | None, headers: Headers
    ) -> Admission | Refusal:
        """Which version it speaks, and, if nothing proves it, whether the socket that is there still lives."""
        old = None if is_proven else self._port_of(station_id, is_pending)
        is_alive, (dialect, spelling) = await asyncio.gather(
            _is_alive(old), self._choose_version(station_id, is_pending, headers)
        )
        if is_alive:
            return Refusal(503, "the station is connected already, and nothing proves that this is the same one")
        return Admission(station_id, dialect, spelling, is_proven, is_pending, old, credential)

    def _port_of(self, station_id: StationId, is_pending: bool) -> StationPort | None:
        holder = self._site.pending.get(station_id) if is_pending else self._site.stations.get(station_id)
        return holder.port if holder else None

    async def _choose_version(
        self, station_id: StationId, is_pending: bool, headers: Headers
    ) -> tuple[Dialect | None, str | None]:
        """The version to speak, and its name as the station spells it. Nothing upstream for one that is pending."""
        offers = handshake.read_offers(headers.get_all("Sec-WebSocket-Protocol"))
        if not offers:
            access = self._access.get(station_id, StationAccess())
            return registry.by_name(access.version or self._options.default_version), None
        spoken = handshake.speakable(offers)
        names = list(spoken)
        picked = names[0] if names else None
        if names and not is_pending:
            picked = await self._site.uplink.negotiate(station_id, names)
        if picked not in spoken:
            return None, None
        return registry.by_subprotocol(picked), spoken[picked]

    # -- the socket -------------------------------------------------------------------------------------------------

    async def _handle(self, connection: ServerConnection) -> None:
        assert isinstance(connection, _Connection)
        assert connection.admission is not None
        admission, socket = connection.admission, WebSocket(connection)
        if admission.dialect is None:
            offers = connection.request.headers.get_all("Sec-WebSocket-Protocol") if connection.request else []
            log.warning(
                "%s: %s closed, no OCPP version in common (it offers %s)",
                admission.station,
                connection.address,
                _shown(", ".join(offers) or "none that is one"),
            )
            await socket.close(1002, "no common subprotocol")
            return
        # From here to the attaching inside of serve and serve_pending nothing waits, so that no two can win.
        current = self._port_of(admission.station, admission.is_pending)
        if not admission.is_proven and current is not None and current is not admission.judged:
            log.warning("%s: %s closed, another connection came first", admission.station, connection.address)
            await socket.close(1008, "another connection of this station came first")
            return
        known = self._site.stations.get(admission.station)
        if admission.is_pending:
            await self._keep_pending(connection, admission, socket, admission.dialect)
        elif known is None or known.record.approval is Approval.REJECTED:
            await socket.close(1008, "rejected by the operator")
        else:
            log.info("%s: connected from %s (%s)", admission.station, connection.address, admission.dialect.name)
            await station.serve(self._site, known, socket, admission.dialect)

    async def _keep_pending(
        self, connection: _Connection, admission: Admission, socket: WebSocket, dialect: Dialect
    ) -> None:
        site, station_id = self._site, admission.station
        if self._is_pending_full(station_id):
            await socket.close(1008, "too many stations wait for approval")
            return
        pending = site.pending.get(station_id)
        if pending is None:
            now = site.clock.monotonic()
            pending = Pending(station_id, now, dialect.subprotocol, connection.address, admission.credential)
            site.pending[station_id] = pending
            expiry = asyncio.get_running_loop().call_later(PENDING_S, self._expire, pending)
            self._expiries[station_id] = expiry
        elif pending.port is not None:
            pending.port.close(1000, "replaced by a newer connection")
        pending.subprotocol, pending.address = dialect.subprotocol, connection.address
        pending.credential = admission.credential
        log.warning("%s: unknown, from %s: waits for approval", station_id, connection.address)
        await station.serve_pending(site, pending, socket, dialect)

    def _expire(self, pending: Pending) -> None:
        self._expiries.pop(pending.id, None)
        if self._site.pending.get(pending.id) is pending:
            del self._site.pending[pending.id]
            if pending.port is not None:
                pending.port.close(1008, "not approved in time")
