"""A listener for stations: a thin shell that answers handshakes as they were judged, and serves each socket."""

import asyncio
import logging
import os
import ssl
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.typing import Subprotocol

from gateway.dialects.base import Dialect
from gateway.downlink import handshake, refusals, station, tls
from gateway.downlink.admission import Admission, Doorkeeper, ListenerOptions, StationAccess, UnknownStations
from gateway.downlink.handshake import Named, Refusal
from gateway.errors import GatewayError, StoreError
from gateway.log import Throttle
from gateway.model.ids import StationId
from gateway.model.records import Approval
from gateway.site import Site
from gateway.station import Pending
from gateway.transport import PushingServer, WebSocket

__all__ = ["DownlinkServer", "ListenError", "ListenerOptions", "StationAccess", "UnknownStations"]

log = logging.getLogger(__name__)

PENDING_S = 600.0
CLOSE_S = 3.0
"""For a closing handshake. With pings every 20 s, answered within 20 s, a dead station is noticed in 43 s."""
BACKLOG = 1024
_OPEN = State.OPEN


class ListenError(GatewayError):
    """A listener could not be opened."""


class _Connection(PushingServer):
    """One TCP connection, and what its handshake came to."""

    __slots__ = (
        "_began",
        "_everyone",
        "_hanging_up",
        "address",
        "admission",
        "has_seat",
        "named",
        "refusal",
        "refusals",
    )

    def __init__(self, everyone: "set[_Connection]", refusals: Throttle, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._everyone = everyone
        self.refusals = refusals
        self.address = "?"
        self.named: Named | None = None
        self.admission: Admission | None = None
        self.refusal: Refusal | None = None
        self._began = b""
        self._hanging_up: asyncio.TimerHandle | None = None
        self.has_seat = False
        """Counts as one of `max_connections`, until it is lost."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._everyone.add(self)
        peer = transport.get_extra_info("peername")
        self.address = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "?"

    @property
    def speaks_tls(self) -> bool:
        """On a listener without TLS: the other side believes in wss://."""
        return self._began.startswith(b"\x16\x03")

    def data_received(self, data: bytes) -> None:
        protocol = self.protocol
        if self.admission is not None and protocol.state is _OPEN:
            super().data_received(data)
            if protocol.state is _OPEN:
                return
        else:
            if len(self._began) < 2:
                self._began += data[:2]
            super().data_received(data)
        if self.request is None and self.speaks_tls:
            self.transport.close()
        elif protocol.state is State.CLOSING and self._hanging_up is None:
            # The library waits for the other side without a limit here, unless something is to be sent.
            self._hanging_up = asyncio.get_running_loop().call_later(CLOSE_S, self.transport.abort)
        if self.request is None and protocol.handshake_exc is not None:
            self.transport.close()  # The library would wait for the other side, or for the time to be over.

    def connection_lost(self, exc: Exception | None) -> None:
        problem = self.protocol.handshake_exc or exc
        super().connection_lost(exc)
        if self._hanging_up is not None:
            self._hanging_up.cancel()
        self._everyone.discard(self)
        if self.response is None:
            refusals.unanswered(self, problem)


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
        self._door = Doorkeeper(site, options, access, aliases)
        self._everyone: set[_Connection] = set()
        self._expiries: dict[StationId, asyncio.TimerHandle] = {}
        self._server: Server | None = None

    async def start(self) -> None:
        """Open the listener. Raises CertificateError or ListenError."""
        options = self._options
        interval = options.ping_interval_s or None
        context = _tls_context(options)
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
                logger=_library_log(),
                create_connection=cast(
                    type[ServerConnection], partial(_Connection, self._everyone, Throttle(burst=100))
                ),
                ssl=context,
                backlog=BACKLOG,
            )
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or error
            remedy = "Remedy: stop what uses this port, or write another listen into its [[downlink]]"
            raise ListenError(f"can't listen on {options.host}:{options.port}: {reason}. {remedy}") from error
        log.info("listening for stations on %s port %d, path %s", options.host, self.port, options.prefix)
        if options.security_profile == 0:
            log.warning(
                "%s port %d has security profile 0: whoever reaches it can pose as any station",
                options.host,
                self.port,
            )

    @property
    def port(self) -> int:
        """The bound port, also where the options say 0; 0 while not listening."""
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
        """Stop listening, close every station's socket, wait until all are gone. Closing twice does no harm."""
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
        is_http_11 = getattr(request, "protocol", "HTTP/1.1") == "HTTP/1.1"  # older releases refuse others earlier
        header = request.headers.get_all
        if not (is_http_11 and handshake.is_upgrade(request.method, header) and handshake.is_whole(header)):
            return None  # The library knows how to say so, and nothing is judged.
        try:
            outcome = await self._judge(connection, request)
        except StoreError as error:
            outcome = Refusal(503, f"the station can't be taken in now: {error}")
        if isinstance(outcome, Refusal):
            connection.refusal = outcome
            response = connection.respond(outcome.status, "")
            if outcome.status == 401:
                response.headers["WWW-Authenticate"] = 'Basic realm="ocpp", charset="UTF-8"'
            return response
        connection.admission = outcome
        connection.has_seat = True
        if not outcome.ping:
            connection.ping_interval = None  # Read when the handshake is over; see the library's start_keepalive.
        _leave_valid_offers(request.headers)
        return None

    async def _judge(self, connection: _Connection, request: Request) -> Admission | Refusal:
        named = self._door.identify(request.path)
        if isinstance(named, Refusal):
            return named
        connection.named = named
        return await self._door.judge(named, request.headers, take_seat=partial(self._take_seat, connection))

    def _take_seat(self, connection: _Connection) -> bool:
        connection.has_seat = sum(one.has_seat for one in self._everyone) < self._options.max_connections
        return connection.has_seat

    # -- the socket -------------------------------------------------------------------------------------------------

    async def _handle(self, connection: ServerConnection) -> None:
        assert isinstance(connection, _Connection)
        assert connection.admission is not None
        admission, socket = connection.admission, WebSocket(connection)
        dialect = admission.version.dialect
        if dialect is None:
            offers = refusals.shown(", ".join(admission.version.offers))
            problem = f"no OCPP version in common, it offers {offers}"
            await _turn_away(connection, socket, 1002, "no common subprotocol", problem)
            return
        # From here to the attaching inside of serve and serve_pending nothing waits, so that no two can win.
        current = self._door.port_of(admission.station, admission.is_pending)
        if not admission.is_proven and current is not None and current is not admission.judged:
            await _turn_away(connection, socket, 1008, "another connection of this station came first")
        elif admission.is_pending:
            await self._keep_pending(connection, admission, socket, dialect)
        else:
            await self._serve(connection, admission, socket, dialect)

    async def _serve(self, connection: _Connection, admission: Admission, socket: WebSocket, dialect: Dialect) -> None:
        known = self._site.stations.get(admission.station)
        if known is None or known.record.approval is Approval.REJECTED:
            await _turn_away(connection, socket, 1008, "rejected by the operator")
            return
        log.info("%s: connected from %s, OCPP %s", admission.station, connection.address, dialect.name)
        await station.serve(self._site, known, socket, dialect)

    async def _keep_pending(
        self, connection: _Connection, admission: Admission, socket: WebSocket, dialect: Dialect
    ) -> None:
        site, station_id = self._site, admission.station
        if not self._door.is_still_pending(station_id):
            await _turn_away(connection, socket, 1012, "the operator has decided: connect again")
            return
        if self._door.is_pending_full(station_id):
            await _turn_away(connection, socket, 1008, "too many stations wait for approval")
            return
        pending = site.pending.get(station_id)
        if pending is None:
            since = site.clock.monotonic()
            pending = Pending(station_id, since, dialect.subprotocol, connection.address, admission.credential)
            site.pending[station_id] = pending
            self._expiries[station_id] = asyncio.get_running_loop().call_later(PENDING_S, self._expire, pending)
        elif pending.port is not None:
            pending.port.close(1000, "replaced by a newer connection")
        pending.subprotocol, pending.address = dialect.subprotocol, connection.address
        pending.credential, pending.problem = admission.credential, admission.problem
        problem = admission.problem or "not known"
        log.warning("%s: from %s, waits: %s", station_id, connection.address, problem)
        await station.serve_pending(site, pending, socket, dialect)

    def _expire(self, pending: Pending) -> None:
        self._expiries.pop(pending.id, None)
        if self._site.pending.get(pending.id) is pending:
            del self._site.pending[pending.id]
            if pending.port is not None:
                pending.port.close(1008, "not approved in time")


def _tls_context(options: ListenerOptions) -> ssl.SSLContext | None:
    if options.security_profile < 2:
        return None
    if options.certificate_file is None or options.key_file is None:
        raise tls.CertificateError("security profile 2 needs certificate_file and key_file")
    legacy = None
    if options.legacy_certificate_file is not None and options.legacy_key_file is not None:
        legacy = tls.Pair(options.legacy_certificate_file, options.legacy_key_file)
    return tls.server_context(tls.Pair(options.certificate_file, options.key_file), legacy)


def _select_subprotocol(connection: ServerConnection, offers: object) -> Subprotocol | None:
    assert isinstance(connection, _Connection)
    spelling = connection.admission.version.spelling if connection.admission else None
    return Subprotocol(spelling) if spelling else None


def _leave_valid_offers(headers: Headers) -> None:
    """An offer that is no token (or an empty header) would make the library refuse them all."""
    offers = handshake.read_offers(headers.get_all("Sec-WebSocket-Protocol"))
    if "Sec-WebSocket-Protocol" in headers:
        del headers["Sec-WebSocket-Protocol"]
    valid = [offer for offer in offers if handshake.is_token(offer)]
    if valid:
        headers["Sec-WebSocket-Protocol"] = ", ".join(valid)


async def _turn_away(
    connection: _Connection, socket: WebSocket, code: int, reason: str, problem: str | None = None
) -> None:
    name = connection.named.station if connection.named else "?"
    log.warning("%s: connection from %s closed: %s", name, connection.address, problem or reason)
    await socket.close(code, reason)


def _process_response(connection: ServerConnection, request: Request, response: Response) -> None:
    """One line for every handshake refused, also by the library."""
    assert isinstance(connection, _Connection)
    if response.status_code != 101 and connection.state is State.CONNECTING:
        reason = connection.refusal.reason if connection.refusal else response.body.decode(errors="replace")
        refusals.refused(connection, request.path, f"HTTP {response.status_code}, {' '.join(reason.split())}")


def _library_log() -> logging.Logger:
    """The library tells of broken handshakes at error level in some versions; we have told already."""
    library = logging.getLogger(f"{__name__}.websockets")
    library.setLevel(logging.ERROR)
    if not library.filters:
        library.addFilter(lambda record: "opening handshake failed" not in record.getMessage())
    return library
