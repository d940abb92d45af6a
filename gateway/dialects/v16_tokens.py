"""Lists, reservations and invalid tokens in OCPP 1.6: payloads to the model and back."""

from collections.abc import Sequence

from gateway.dialects import payloads
from gateway.dialects.base import Json
from gateway.dialects.payloads import encode, integer, objects, read, read_answer, text
from gateway.dialects.v16_codec import MAX_ID_TAG, id_tag_info, read_verdict
from gateway.model.ids import StationId
from gateway.model.local_list import InvalidIdSettings, ListEntry, ListLimits, ListUpdate, UpdateStatus
from gateway.model.records import Reservation
from gateway.model.token import Decision, IdToken, Reason

_LIMITS = ("LocalAuthListEnabled", "SendLocalListMaxLength", "LocalAuthListMaxLength")
_INVALID_ID = ("StopTransactionOnInvalidId", "MaxEnergyOnInvalidId", "ChargeProfileMaxStackLevel")


class Tokens16:
    """Stateless (`base.TokenCodec`)."""

    def list_update(self, payload: bytes) -> ListUpdate | None:
        found = read(payload)
        version, kind = integer(found.get("listVersion")), text(found.get("updateType"))
        if version is None or kind not in ("Full", "Differential"):
            return None
        entries = []
        for said in objects(found, "localAuthorizationList"):
            tag, verdict = text(said.get("idTag")), read_verdict(said)
            if tag is None or (verdict is None and said.get("idTagInfo") is not None):
                return None
            entries.append(ListEntry(IdToken(tag), verdict))
        return ListUpdate(version, kind == "Full", tuple(entries))

    def answer_list(self, status: UpdateStatus) -> bytes:
        return encode({"status": status.value})

    def answer_list_version(self, version: int, *, is_empty: bool) -> bytes:
        """An empty list has the number 0 in this version."""
        return encode({"listVersion": 0 if is_empty else version})

    def list_entry(self, entry: ListEntry) -> bytes | None:
        """None for a token too long for this version: cut, it would be another one."""
        if len(entry.token.value) > MAX_ID_TAG:
            return None
        said: Json = {"idTag": entry.token.value}
        if entry.verdict:
            verdict = entry.verdict
            said["idTagInfo"] = id_tag_info(Decision(verdict.status, Reason.CSMS, verdict.group, verdict.expiry))
        return encode(said)

    def send_list(self, version: int, is_full: bool, entries: Sequence[bytes]) -> tuple[str, bytes]:
        kind = b"Full" if is_full else b"Differential"
        shape = b'{"listVersion":%d,"localAuthorizationList":[%b],"updateType":"%b"}'
        return "SendLocalList", shape % (version, b",".join(entries), kind)

    def list_taken(self, payload: bytes) -> UpdateStatus | None:
        """What the station says to its list; None for NotSupported, and for what can't be read."""
        said = text(read_answer(payload).get("status"))
        return next((status for status in UpdateStatus if status.value == said), None)

    def ask_list_version(self) -> tuple[str, bytes]:
        return "GetLocalListVersion", b"{}"

    def list_version(self, payload: bytes) -> int | None:
        """None where lists are not supported, which 1.6 says by -1."""
        version = integer(read_answer(payload).get("listVersion"))
        return None if version is None or version < 0 else version

    def ask_list_limits(self) -> tuple[str, bytes]:
        return "GetConfiguration", encode({"key": _LIMITS})

    def list_limits(self, payload: bytes) -> ListLimits:
        said = _configuration(payload)
        enabled, each, most = (said.get(name.casefold()) for name in _LIMITS)
        return ListLimits(payloads.truth(enabled) is not False, integer(each), None, integer(most))

    def list_conflict(self, status: str) -> tuple[str, bytes] | None:
        conflict = {"connectorId": 0, "errorCode": "LocalListConflict", "status": status}
        return "StatusNotification", encode(conflict)

    def cleared_customer(self, payload: bytes) -> IdToken | None:
        """1.6 has no word for it."""
        return None

    def accepts(self, payload: bytes) -> bool:
        return payloads.is_accepted(payload)

    def reservation(self, station: StationId, payload: bytes) -> Reservation | None:
        found = read(payload)
        number, until = payloads.key(found.get("reservationId")), payloads.moment(found.get("expiryDate"))
        tag, parent = text(found.get("idTag")), text(found.get("parentIdTag"))
        if number is None or until is None or tag is None:
            return None
        evse = integer(found.get("connectorId")) or None
        group = payloads.join_group(parent, payloads.CENTRAL) if parent else None
        return Reservation(station, number, evse, IdToken(tag).key, group, until)

    def reservation_id(self, payload: bytes) -> int | None:
        return payloads.key(read(payload).get("reservationId"))

    def ask_invalid_id(self) -> tuple[str, bytes]:
        return "GetConfiguration", encode({"key": _INVALID_ID})

    def invalid_id(self, payload: bytes) -> InvalidIdSettings:
        said = _configuration(payload)
        stops, energy, level = (said.get(name.casefold()) for name in _INVALID_ID)
        return InvalidIdSettings(payloads.truth(stops), integer(energy), integer(level))

    def limit_to_zero(self, station_tx_id: str, evse: int, profile_id: int, level: int) -> tuple[str, bytes]:
        schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 0}]}
        profile = {
            "chargingProfileId": profile_id,
            "transactionId": int(station_tx_id),
            "stackLevel": level,
            "chargingProfilePurpose": "TxProfile",
            "chargingProfileKind": "Relative",
            "chargingSchedule": schedule,
        }
        return "SetChargingProfile", encode({"connectorId": evse, "csChargingProfiles": profile})

    def energy_wh(self, action: str, payload: bytes) -> int | None:
        """The register in MeterValues, which the hot path does not read."""
        if action != "MeterValues":
            return None
        values = objects(read_answer(payload), "meterValue")
        samples = [sample for value in values for sample in objects(value, "sampledValue")]
        return payloads.energy_wh(((sample, text(sample.get("unit")), 0) for sample in samples), None)


def _configuration(payload: bytes) -> dict[str, str | None]:
    """The values of a GetConfiguration answer by name; names compare without regard to case."""
    found = objects(read_answer(payload), "configurationKey")
    return {(text(one.get("key")) or "").casefold(): text(one.get("value")) for one in found}
