"""What the codecs share: lenient readers of parsed JSON, and builders of what the gateway says itself."""

import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.dialects.base import Json
from gateway.model.events import BootAnswer, RegistrationStatus
from gateway.model.token import AuthorizationStatus
from gateway.rpc.codes import CallError, ErrorCode
from gateway.rpc.splice import SpliceError, splice

_DIGITS = re.compile(r"\s*[+-]?[0-9]{1,40}\s*", re.ASCII)
CENTRAL = "Central"
_LONGEST_INTERVAL_S = 86_400 * 365
_TOKEN_TYPES = frozenset(
    (CENTRAL, "eMAID", "ISO14443", "ISO15693", "KeyCode", "Local", "MacAddress", "NoAuthorization")
)
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode
_STATUSES = {status.casefold(): status for status in AuthorizationStatus}
_REGISTRATIONS = {status.casefold(): status for status in RegistrationStatus}


def read(payload: bytes) -> Json:
    """Parse a payload. Raises CallError(FORMAT_VIOLATION) if it is no JSON object."""
    try:
        try:
            return _decode(payload)
        except ValueError:
            found = json.loads(payload.decode())  # takes NaN and lone surrogates, at twice the cost
    except (ValueError, RecursionError) as error:
        raise CallError(ErrorCode.FORMAT_VIOLATION, f"no JSON: {str(error)[:100]}") from error
    if not isinstance(found, dict):
        raise CallError(ErrorCode.FORMAT_VIOLATION, "no JSON object")
    return found


def read_once(payload: bytes) -> Json:
    """As `read`, but a name that stands twice is refused: a guard must see the member that the station will use."""

    def unique(pairs: list[tuple[str, Any]]) -> Json:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise CallError(ErrorCode.FORMAT_VIOLATION, "a member stands twice")
        return found

    read(payload)
    return json.loads(payload.decode(), object_pairs_hook=unique)  # type: ignore[no-any-return]  # an object, see above


def read_answer(payload: bytes | None) -> Json:
    """Parse a peer's answer; what can't be read says nothing."""
    try:
        return read(payload) if payload is not None else {}
    except CallError:
        return {}


def encode(value: Any) -> bytes:
    """JSON text of what the gateway is the author of."""
    return _encode(value)


def text(value: Any) -> str | None:
    """Text, or a number in its canonical spelling; None for everything else."""
    if isinstance(value, str):
        return value
    number = integer(value)
    if number is not None:
        return str(number)
    return str(value) if isinstance(value, float) else None


def integer(value: Any) -> int | None:
    """A whole number, also as text ("12") or float (12.0)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    return None


def key(value: Any) -> int | None:
    """A number that can be kept: the store has 64 bits."""
    number = integer(value)
    return number if number is not None and -(2**63) <= number < 2**63 else None


def truth(value: Any) -> bool | None:
    """A setting's true or false, in whatever case; None for everything else."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.strip().casefold()) if isinstance(value, str) else None


def moment(value: Any) -> datetime | None:
    """A time; one without a zone is UTC. None if it can't be read."""
    try:
        read_time = datetime.fromisoformat(value)
        return read_time.astimezone(UTC) if read_time.tzinfo else read_time.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def is_accepted(payload: bytes) -> bool:
    """Whether an answer has the status Accepted."""
    status = read_answer(payload).get("status")
    return isinstance(status, str) and status.casefold() == "accepted"


def tx_id(value: Any) -> str | None:
    """A transaction id: a number in its canonical decimal text, any other text as it is."""
    number = integer(value)
    return (text(value) or None) if number is None else str(number)


def member(found: Json, name: str) -> Json:
    """An object inside of another; empty if it is missing or something else."""
    value = found.get(name)
    return value if isinstance(value, dict) else {}


def objects(found: Json, name: str) -> list[Json]:
    """The objects of an array; anything else in it is skipped."""
    value = found.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def wire_time(moment: datetime) -> str:
    """UTC with seconds and "Z": some stations choke on fractions and offsets."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def wire_expiry(expiry: str | None) -> str | None:
    """An expiry as the gateway writes it; None if it can't be read or has no zone (authorize then ignores it too)."""
    try:
        moment = datetime.fromisoformat(expiry) if expiry else None
        return wire_time(moment) if moment is not None and moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def token_status(value: Any) -> AuthorizationStatus | None:
    return _STATUSES.get(value.casefold()) if isinstance(value, str) else None


def join_group(value: str, type_: str) -> str:
    """A group of 2.x as the text that `Verdict.group` holds: "value", or "value|type" where the type isn't Central.

    So a group from 1.6, which has no type, equals the same one as Central, and `split_group` gives back what came. The
    type is also written where the value alone would read as having one. An unknown type counts as Central.
    """
    if type_ not in _TOKEN_TYPES:
        type_ = CENTRAL
    return value if type_ == CENTRAL and split_group(value) == (value, CENTRAL) else f"{value}|{type_}"


def split_group(group: str) -> tuple[str, str]:
    """Value and token type of a group's text."""
    value, bar, type_ = group.rpartition("|")
    return (value, type_) if bar and type_ in _TOKEN_TYPES else (group, CENTRAL)


def by_request(name: str) -> Callable[[Json], str]:
    """A slot per requestId: the last state of one log or update says nothing of another."""
    return lambda found: f"{name}:{text(found.get('requestId')) or ''}"


TRIGGER_BOOT = ("TriggerMessage", b'{"requestedMessage":"BootNotification"}')


def boot_answer(payload: bytes) -> BootAnswer | None:
    """Read the answer to a boot, which is spelled alike in all versions; 0 s means "as you like"."""
    found = read_answer(payload)
    status = found.get("status")
    known = _REGISTRATIONS.get(status.casefold()) if isinstance(status, str) else None
    interval = min(max(integer(found.get("interval")) or 0, 0), _LONGEST_INTERVAL_S)
    return BootAnswer(known, interval) if known else None


def current_time(payload: bytes) -> str | None:
    return text(read_answer(payload).get("currentTime"))


def with_time(payload: bytes, moment: datetime) -> bytes:
    """The answer with this time instead of its own; what can't be read stays as it is."""
    try:
        return splice(payload, ("currentTime",), encode(wire_time(moment)))
    except SpliceError:
        return payload


def answer_boot(answer: BootAnswer, now: datetime) -> bytes:
    return encode({"currentTime": wire_time(now), "interval": answer.interval_s, "status": answer.status.value})


def answer_heartbeat(now: datetime) -> bytes:
    return encode({"currentTime": wire_time(now)})


def energy_wh(samples: Iterable[tuple[Json, str | None, int]], preferred_context: str | None) -> int | None:
    """The imported energy among sampled values, each with its unit and power of ten; None if there is none.

    The last one counts, but one of the preferred context before all others. Values of a single phase or of another
    place than the outlet are no total.
    """
    best: tuple[bool, int] | None = None
    for sample, unit, multiplier in samples:
        if sample.get("measurand") not in (None, "Energy.Active.Import.Register"):
            continue
        if sample.get("phase") is not None or sample.get("location") not in (None, "Outlet"):
            continue
        value = _wh(sample.get("value"), unit, multiplier)
        is_preferred = preferred_context is not None and sample.get("context") == preferred_context
        if value is not None and (best is None or is_preferred >= best[0]):
            best = is_preferred, value
    return best[1] if best else None


def meter_wh(value: Any) -> int | None:
    """A register in Wh; fractions are rounded."""
    number = integer(value)
    return _wh(value, "Wh", 0) if number is None else number


def _wh(value: Any, unit: str | None, multiplier: int) -> int | None:
    factor = {"wh": 1, "kwh": 1000, "mwh": 1_000_000}.get((unit or "Wh").casefold())
    if factor is None or isinstance(value, bool) or not isinstance(value, str | int | float) or abs(multiplier) > 12:
        return None
    try:
        return round(float(value) * factor * 10.0**multiplier)
    except (ValueError, OverflowError):
        return None
