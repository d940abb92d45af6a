"""May this station in: the handshake's decisions put in order, with what the site knows of it now."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from websockets.datastructures import Headers

from gateway.dialects import registry
from gateway.dialects.base import Dialect
from gateway.downlink import credentials, handshake
from gateway.downlink.handshake import Named, Refusal, Standing
from gateway.model.ids import StationId
from gateway.model.records import Approval, StationRecord
from gateway.plan import Lodging
from gateway.ports import StationPort
from gateway.site import Site
from gateway.station import fitting

log = logging.getLogger(__name__)

MAX_PENDING = 20
MAX_STATIONS = 2000
"""Names `accept` takes in: each leaves a record for good, and on profile 0 anybody can make them up."""
ALIVE_S = 5.0


class UnknownStations(StrEnum):
    """What becomes of a station nobody knows: it waits for the operator, is served, or is turned away."""

    APPROVE = "approve"
    ACCEPT = "accept"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """One listener. `security_profile`: 0 no password, 1 password, 2 password and TLS (then with a certificate).

    `password`: of stations without their own. `default_version`: for stations that offer no subprotocol. Times in
    seconds; `ping_interval_s` 0 = no pings. `handshake_timeout_s` should leave room for the 5 s in which it may be
    found out what the CSMS speaks.
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
    lodging: Lodging = field(default_factory=Lodging)


@dataclass(frozen=True, slots=True)
class StationAccess:
    """What the configuration says of one station's connection. `version`: a dialect's name."""

    password: bytes | None = field(default=None, repr=False)
    ignore_basic_user: bool = False
    version: str | None = None
    ping: bool = True


@dataclass(frozen=True, slots=True)
class Proof:
    """`is_proven`: by a credential on record. `offered`: what the station showed; None on profile 0."""

    is_proven: bool
    offered: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Version:
    """What will be spoken. No `dialect`: nothing in common, the socket is closed at once. `spelling`: the station's,
    for the header of the answer; None if it offered nothing."""

    dialect: Dialect | None
    spelling: str | None
    offers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Admission:
    """A handshake that goes through.

    `judged`: the older socket that was found dead. `credential`: what a pending station is pinned to at its approval.
    `problem`: why one that is known is pending all the same.
    """

    station: StationId
    version: Version
    is_proven: bool
    is_pending: bool
    judged: StationPort | None
    credential: str | None = field(repr=False)
    ping: bool
    problem: str = ""


class Doorkeeper:
    """Judges the handshakes of one listener. `access` and `aliases` (name in a path -> station): the configured."""

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

    def identify(self, path: str) -> Named | Refusal:
        return handshake.identify(path, self._options.prefix, self._aliases)

    async def judge(self, named: Named, headers: Headers, *, take_seat: Callable[[], bool]) -> Admission | Refusal:
        """Is it known, is it the one it says; then: is there room, which version, is it there already.

        `take_seat`: whether the listener has room for one more. Raises StoreError if the station can't be taken in.
        """
        options, station_id = self._options, named.station
        record = self._record(station_id)
        standing = self._standing(station_id)
        if standing is Standing.REJECTED:
            return Refusal(404, "the operator rejected this station")
        if standing is Standing.UNKNOWN and options.unknown_stations == UnknownStations.REFUSE:
            return Refusal(404, "the station is not known: add a [[station]] section with its id")
        proof = await self._prove(named, record if standing is Standing.KNOWN else None, headers)
        if isinstance(proof, Refusal):
            return proof
        # A station that is there already may always try: else its own dead socket could lock it out.
        if not take_seat() and self.port_of(station_id, is_pending=False) is None:
            return Refusal(503, f"{options.max_connections} stations are connected: raise max_connections")
        is_served = standing is Standing.KNOWN and (proof.is_proven or options.security_profile == 0)
        is_pending = not is_served and options.unknown_stations == UnknownStations.APPROVE
        homeless = None if is_pending else self._homeless(station_id)
        is_pending = is_pending or homeless is not None
        if is_pending:
            credential = await self._pend(station_id, proof)
        else:
            credential = await self._take_in(station_id, standing, proof)
        if isinstance(credential, Refusal):
            return credential
        old = None if proof.is_proven else self.port_of(station_id, is_pending)
        is_alive, version = await asyncio.gather(
            self._is_alive(old), self._choose_version(station_id, is_pending, headers)
        )
        if is_alive:
            return Refusal(503, "the station is connected already, and nothing proves that this is the same one")
        models = fitting(self._site.options.models, record.boot if record else None)
        ping = self._access_of(station_id).ping and all(model.ping for model in models)
        return Admission(station_id, version, proof.is_proven, is_pending, old, credential, ping, homeless or "")

    def port_of(self, station_id: StationId, is_pending: bool) -> StationPort | None:
        """The socket that is there now."""
        holder = self._site.pending.get(station_id) if is_pending else self._site.stations.get(station_id)
        return holder.port if holder else None

    def is_pending_full(self, station_id: StationId) -> bool:
        return station_id not in self._site.pending and len(self._site.pending) >= MAX_PENDING

    def is_still_pending(self, station_id: StationId) -> bool:
        """Whether the operator has not decided meanwhile."""
        standing, record = self._standing(station_id), self._record(station_id)
        if standing is Standing.KNOWN and self._homeless(station_id):
            return True
        return standing is Standing.UNKNOWN or (
            standing is Standing.KNOWN
            and self._options.security_profile > 0
            and (record is None or record.credential is None)
        )

    def _homeless(self, station_id: StationId) -> str | None:
        """Why a station that is in no circuit can't be served; None if it is in one, or counts in this listener's."""
        return self._site.balancer.lodge(station_id, self._options.lodging)

    def _record(self, station_id: StationId) -> StationRecord | None:
        known = self._site.stations.get(station_id)
        return known.record if known else None

    def _standing(self, station_id: StationId) -> Standing:
        return handshake.standing(station_id in self._access, self._record(station_id))

    def _access_of(self, station_id: StationId) -> StationAccess:
        return self._access.get(station_id, StationAccess())

    async def _prove(self, named: Named, record: StationRecord | None, headers: Headers) -> Proof | Refusal:
        """Compare what is shown with what is on record: the station's password, the listener's, or a pinned one."""
        access, options = self._access_of(named.station), self._options
        if options.security_profile == 0:
            if access.password is not None:
                return Refusal(401, "the station has a password, this listener asks for none: use another listener")
            return Proof(is_proven=False)
        login = handshake.read_login(headers.get_all("Authorization"))
        if isinstance(login, Refusal):
            return login
        if not access.ignore_basic_user and login.user not in self._names(named):
            return Refusal(401, "the user is not the identity: correct it in the station, or set ignore_basic_user")
        expected = access.password or options.password
        if expected is not None:
            is_right = credentials.matches(login.password, expected)
        elif record is not None and record.credential is not None:
            is_right = await self._pins.fits(named.station, login.password, record.credential)
        elif options.unknown_stations == UnknownStations.REFUSE:
            return Refusal(401, "no password is on record for the station: give it a password_file")
        else:
            return Proof(is_proven=False, offered=login.password)
        return Proof(is_proven=True, offered=login.password) if is_right else Refusal(401, "the password is wrong")

    def _names(self, named: Named) -> set[bytes]:
        aliases = (alias for alias, station_id in self._aliases.items() if station_id == named.station)
        return {name.encode() for name in (named.station, named.name, *aliases)}

    async def _pend(self, station_id: StationId, proof: Proof) -> str | Refusal | None:
        """What a station is pinned to if the operator approves it."""
        if self.is_pending_full(station_id):
            return Refusal(503, f"{MAX_PENDING} stations wait for approval: approve or reject some")
        return None if proof.offered is None else await self._pins.pin(station_id, proof.offered)

    async def _take_in(self, station_id: StationId, standing: Standing, proof: Proof) -> Refusal | None:
        """Put into service what is not yet: trust on first use pins what was shown, if nothing on record proves it."""
        site, record = self._site, self._record(station_id)
        must_pin = proof.offered is not None and not proof.is_proven
        is_written_down = record is not None and record.approval in handshake.SERVED
        if is_written_down and not must_pin:
            return None
        if standing is Standing.UNKNOWN and len(site.stations) >= MAX_STATIONS:
            return Refusal(503, f"{MAX_STATIONS} stations are known: no more are accepted unseen")
        credential = None
        if proof.offered is not None and must_pin:
            credential = await self._pins.pin(station_id, proof.offered)
            if self._record(station_id) is not record:
                return Refusal(503, "another handshake of this station came first")
        approval = Approval.ACCEPTED if standing is Standing.UNKNOWN else Approval.CONFIGURED
        if record is not None and is_written_down:
            approval = record.approval
        await site.admit(station_id, approval, credential)
        log.info("%s: taken into service%s", station_id, ", its password is pinned" if credential else "")
        return None

    async def _is_alive(self, port: StationPort | None) -> bool:
        limit = min(ALIVE_S, self._options.handshake_timeout_s / 2)
        return port is not None and await port.is_alive(limit)

    async def _choose_version(self, station_id: StationId, is_pending: bool, headers: Headers) -> Version:
        """For a pending station nothing is asked upstream."""
        offers = tuple(handshake.read_offers(headers.get_all("Sec-WebSocket-Protocol")))
        if not offers:
            name = self._access_of(station_id).version or self._options.default_version
            return Version(registry.by_name(name), None, offers)
        spoken = handshake.speakable(offers)
        picked = next(iter(spoken), None)
        if spoken and not is_pending:
            picked = await self._site.uplink.negotiate(station_id, list(spoken))
        if picked is None or picked not in spoken:
            return Version(None, None, offers)
        return Version(registry.by_subprotocol(picked), spoken[picked], offers)
