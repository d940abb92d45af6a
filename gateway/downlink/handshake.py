"""What a handshake means, decided without I/O: who comes, what is shown as proof, which OCPP is spoken."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import unquote_to_bytes

from gateway.dialects import registry
from gateway.model.ids import StationId
from gateway.model.records import Approval, StationRecord

MAX_IDENTITY = 48
"""Characters; OCPP 2.x identifierString. 1.6 names no limit, but the CSMS's column does."""

_ABSOLUTE = re.compile(r"(?:https?|wss?)://[^/?#]*", re.IGNORECASE)
_TOKEN = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A handshake that ends with an HTTP status. `reason`: for the log, with the remedy; never holds a secret."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Named:
    """Who a path names. `name`: as it stands there, decoded; another one than `station` if that is an alias."""

    station: StationId
    name: str


def identify(path: str, prefix: str, aliases: Mapping[str, StationId]) -> Named | Refusal:
    """The station a request path names: its last segment, percent-decoded once. `prefix`: "/ocpp", or "/" for none."""
    plain = re.split(r"[?#]", _ABSOLUTE.sub("", path, count=1), maxsplit=1)[0]
    segments = [segment for segment in plain.split("/") if segment]
    wanted = [segment for segment in prefix.split("/") if segment]
    if [segment.casefold() for segment in segments[: len(wanted)]] != [segment.casefold() for segment in wanted]:
        return Refusal(
            404,
            f'the path does not begin with "{prefix}": set the station\'s URL to ws(s)://HOST:PORT{prefix}/IDENTITY',
        )
    if len(segments) == len(wanted):
        return Refusal(404, "the path names no station: append its identity to the URL set in the station")
    try:
        name = unquote_to_bytes(segments[-1]).decode()
    except UnicodeDecodeError:
        return Refusal(404, "the identity is not UTF-8: set another identity in the station")
    if name in aliases:
        return Named(aliases[name], name)
    problem = identity_problem(name)
    if problem:
        return Refusal(404, f"the identity {problem}: set another one in the station, or give it an alias")
    return Named(StationId(name), name)


def identity_problem(name: str) -> str | None:
    """What keeps a name from being an identity; None if it may be one."""
    if not 1 <= len(name) <= MAX_IDENTITY:
        return f"has {len(name)} characters, 1 to {MAX_IDENTITY} are possible"
    if "/" in name or ":" in name:
        return 'holds a "/" or ":"'
    if not name.isprintable() or name != name.strip():
        return "holds a control character, or a space at an end"
    return "is only dots" if name in {".", ".."} else None


SERVED = (Approval.CONFIGURED, Approval.ACCEPTED, Approval.APPROVED)


class Standing(Enum):
    """What the site thinks of an identity before it has proven anything."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    REJECTED = "rejected"


def standing(is_configured: bool, record: StationRecord | None) -> Standing:
    """A word of the operator against a station stands above everything else."""
    if record is not None and record.approval is Approval.REJECTED:
        return Standing.REJECTED
    is_known = is_configured or (record is not None and record.approval in SERVED)
    return Standing.KNOWN if is_known else Standing.UNKNOWN


@dataclass(frozen=True, slots=True)
class Login:
    """What a Basic header holds, bytes as they came. Neither is ever shown: some stations swap the two."""

    user: bytes = field(repr=False)
    password: bytes = field(repr=False)


def read_login(headers: Sequence[str]) -> Login | Refusal:
    """Read the Authorization header: Basic, split at the first ":", for a password may hold any byte."""
    if not headers:
        return Refusal(401, "no password was sent: set one in the station")
    scheme, _, text = headers[0].strip().partition(" ")
    if len(headers) > 1 or scheme.casefold() != "basic":
        return Refusal(
            401, "the Authorization header is not one of type Basic: set the station to basic authentication"
        )
    text = "".join(text.split())
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return Refusal(401, "the Authorization header is not base64")
    user, colon, password = raw.partition(b":")
    if not colon:
        return Refusal(401, 'the Authorization header holds no ":" between user and password')
    if not password:
        return Refusal(401, "the password that was sent is empty: set one in the station")
    return Login(user, password)


def is_upgrade(method: str, header: Callable[[str], Sequence[str]]) -> bool:
    """Whether a request is a WebSocket handshake at all; what else is wrong with it is for the library to say."""
    options = {option.strip().casefold() for value in header("Connection") for option in value.split(",")}
    protocols = [name.strip().casefold() for value in header("Upgrade") for name in value.split(",") if name.strip()]
    return method == "GET" and "upgrade" in options and protocols == ["websocket"] and bool(header("Sec-WebSocket-Key"))


def is_whole(header: Callable[[str], Sequence[str]]) -> bool:
    """Whether the library will take key and version. For a handshake it refuses, no station is taken in."""
    keys, versions = header("Sec-WebSocket-Key"), header("Sec-WebSocket-Version")
    return len(keys) == 1 and len(keys[0].strip()) == 24 and [version.strip() for version in versions] == ["13"]


def read_offers(headers: Sequence[str]) -> list[str]:
    """The subprotocols a station offers, its own spelling and order; empty if it says nothing."""
    offers = (offer.strip(" \t\"'") for header in headers for offer in header.split(","))
    return [offer for offer in offers if offer]


def is_token(offer: str) -> bool:
    """Whether an offer can stand in a Sec-WebSocket-Protocol header (RFC 6455)."""
    return _TOKEN.fullmatch(offer) is not None


def speakable(offers: Sequence[str]) -> dict[str, str]:
    """The offers the gateway speaks, in the station's order: the right spelling -> the station's."""
    spoken: dict[str, str] = {}
    for offer in offers:
        dialect = registry.by_subprotocol(offer.casefold()) if is_token(offer) else None
        if dialect is not None:
            spoken.setdefault(dialect.subprotocol, offer)
    return spoken
