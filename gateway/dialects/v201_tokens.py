"""Lists, reservations and invalid tokens in OCPP 2.0.1: payloads to the model and back."""

from collections.abc import Sequence

import msgspec

from gateway.dialects import payloads
from gateway.dialects.base import Json
from gateway.dialects.payloads import encode, integer, member, objects, read, read_answer, text
from gateway.dialects.v201_codec import id_token_info, read_token, read_verdict
from gateway.model.ids import StationId
from gateway.model.local_list import InvalidIdSettings, ListEntry, ListLimits, ListUpdate, UpdateStatus
from gateway.model.records import Reservation
from gateway.model.token import Decision, IdToken, Reason

_LIST = "LocalAuthListCtrlr"
_LIMITS = ((_LIST, "Enabled"), (_LIST, "ItemsPerMessage"), (_LIST, "BytesPerMessage"))
_INVALID_ID = (
    ("TxCtrlr", "StopTxOnInvalidId"),
    ("TxCtrlr", "MaxEnergyOnInvalidId"),
    ("SmartChargingCtrlr", "ProfileStackLevel"),
)


class Tokens201:
    """`base.TokenCodec`. `longest_token`: characters an idToken may have; `dialect`: what its entries are kept as."""

    def __init__(self, dialect: str, longest_token: int = 36) -> None:
        self._dialect = dialect
        self._longest_token = longest_token

    def list_update(self, payload: bytes) -> ListUpdate | None:
        found = read(payload)
        version, kind = integer(found.get("versionNumber")), text(found.get("updateType"))
        if version is None or kind not in ("Full", "Differential"):
            return None
        said, written = objects(found, "localAuthorizationList"), _elements(payload)
        if len(said) != len(written):
            return None
        entries = []
        for one, words in zip(said, written, strict=True):
            token, verdict = read_token(one), read_verdict(one)
            if token is None or (verdict is None and one.get("idTokenInfo") is not None):
                return None
            entries.append(ListEntry(token, verdict, self._dialect, words if verdict else ""))
        return ListUpdate(version, kind == "Full", tuple(entries))

    def answer_list(self, status: UpdateStatus) -> bytes:
        return encode({"status": status.value})

    def answer_list_version(self, version: int, *, is_empty: bool) -> bytes:
        return encode({"versionNumber": version})

    def list_entry(self, entry: ListEntry) -> bytes | None:
        """As the CSMS wrote it, if it wrote it in this version; None for a token that is too long for it."""
        token = entry.token
        if entry.text and entry.dialect == self._dialect:
            return entry.text.encode()
        if len(token.value) > self._longest_token:
            return None
        said: Json = {"idToken": {"idToken": token.value, "type": token.type or payloads.CENTRAL}}
        if entry.verdict:
            verdict = entry.verdict
            told = Decision(verdict.status, Reason.CSMS, verdict.group, verdict.expiry)
            said["idTokenInfo"] = id_token_info(told, self._longest_token)
            if verdict.evses:
                said["idTokenInfo"]["evseId"] = verdict.evses
        return encode(said)

    def send_list(self, version: int, is_full: bool, entries: Sequence[bytes]) -> tuple[str, bytes]:
        kind = b"Full" if is_full else b"Differential"
        listed = b',"localAuthorizationList":[%b]' % b",".join(entries) if entries else b""
        return "SendLocalList", b'{"versionNumber":%d,"updateType":"%b"%b}' % (version, kind, listed)

    def list_taken(self, payload: bytes) -> UpdateStatus | None:
        """What the station says to its list; None for what can't be read."""
        said = text(read_answer(payload).get("status"))
        return next((status for status in UpdateStatus if status.value == said), None)

    def ask_list_version(self) -> tuple[str, bytes]:
        return "GetLocalListVersion", b"{}"

    def list_version(self, payload: bytes) -> int | None:
        version = integer(read_answer(payload).get("versionNumber"))
        return None if version is None or version < 0 else version

    def ask_list_limits(self) -> tuple[str, bytes]:
        return _ask(_LIMITS)

    def list_limits(self, payload: bytes) -> ListLimits:
        said = _variables(payload)
        enabled, entries, size = (said.get(_folded(*name)) for name in _LIMITS)
        return ListLimits(payloads.truth(enabled) is not False, integer(entries), integer(size))

    def list_conflict(self, status: str) -> tuple[str, bytes] | None:
        """This version has no word for it."""
        return None

    def cleared_customer(self, payload: bytes) -> IdToken | None:
        found = read(payload)
        return read_token(found) if found.get("clear") is True else None

    def accepts(self, payload: bytes) -> bool:
        return payloads.is_accepted(payload)

    def reservation(self, station: StationId, payload: bytes) -> Reservation | None:
        found = read(payload)
        number, until = payloads.key(found.get("id")), payloads.moment(found.get("expiryDateTime"))
        token, group = read_token(found), member(found, "groupIdToken")
        if number is None or until is None or token is None:
            return None
        value, type_ = text(group.get("idToken")), text(group.get("type")) or payloads.CENTRAL
        joined = payloads.join_group(value, type_) if value else None
        return Reservation(station, number, integer(found.get("evseId")) or None, token.key, joined, until)

    def reservation_id(self, payload: bytes) -> int | None:
        return payloads.key(read(payload).get("reservationId"))

    def ask_invalid_id(self) -> tuple[str, bytes]:
        return _ask(_INVALID_ID)

    def invalid_id(self, payload: bytes) -> InvalidIdSettings:
        said = _variables(payload)
        stops, energy, level = (said.get(_folded(*name)) for name in _INVALID_ID)
        return InvalidIdSettings(payloads.truth(stops), integer(energy), integer(level))

    def limit_to_zero(self, station_tx_id: str, evse: int, profile_id: int, level: int) -> tuple[str, bytes]:
        period = {"startPeriod": 0, "limit": 0}
        profile = {
            "id": profile_id,
            "stackLevel": level,
            "chargingProfilePurpose": "TxProfile",
            "chargingProfileKind": "Relative",
            "transactionId": station_tx_id,
            "chargingSchedule": [{"id": 1, "chargingRateUnit": "A", "chargingSchedulePeriod": [period]}],
        }
        return "SetChargingProfile", encode({"evseId": evse, "chargingProfile": profile})

    def energy_wh(self, action: str, payload: bytes) -> int | None:
        """A TransactionEvent's is read with the rest of it."""
        return None


def _elements(payload: bytes) -> list[str]:
    """The entries of a list as they stand in the text."""
    try:
        array = msgspec.json.decode(payload, type=dict[str, msgspec.Raw]).get("localAuthorizationList")
        return [bytes(one).decode() for one in msgspec.json.decode(array, type=list[msgspec.Raw])] if array else []
    except (ValueError, RecursionError):
        return []


def _ask(names: Sequence[tuple[str, str]]) -> tuple[str, bytes]:
    asked = [{"component": {"name": component}, "variable": {"name": variable}} for component, variable in names]
    return "GetVariables", encode({"getVariableData": asked})


def _variables(payload: bytes) -> dict[str, str | None]:
    """The values of a GetVariables answer; an entry that was refused has none."""
    return {
        _folded(text(member(one, "component").get("name")), text(member(one, "variable").get("name"))): text(
            one.get("attributeValue")
        )
        for one in objects(read_answer(payload), "getVariableResult")
    }


def _folded(component: str | None, variable: str | None) -> str:
    return f"{component}/{variable}".casefold()
