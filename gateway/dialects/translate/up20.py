"""Messages of a 2.x station for a CSMS of 1.6."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from gateway.dialects.payloads import integer, member, read_answer, text, wire_time
from gateway.dialects.registry import by_name
from gateway.dialects.translate import meter, session20, tokens
from gateway.dialects.translate.base import Alias, Edit, Facts, Json, Loss, Memory, Refused
from gateway.dialects.translate.parts import kept, whole
from gateway.dialects.translate.places import known_20, number_of, place_at, put_place, status_16
from gateway.dialects.translate.up16 import data_16
from gateway.dialects.translate.ups import Finished, FrozenPart, Part, Said, Translator, Up, both, no_edit
from gateway.model.token import Verdict
from gateway.rpc.codes import ErrorCode

LOSSES = (
    Loss("boot-reason-20", "2.0.1 -> 1.6", "the reason of a boot", "left out"),
    Loss("serial-long", "2.0.1 -> 1.6", "a serial number too long for 1.6", "left out: cut, it would be another"),
    Loss("only-20", "2.0.1 -> 1.6", "messages that 1.6 has no word for (reports, events, limits, EV needs, messages)",
         "answered by the gateway; nothing is promised"),
    Loss("log", "2.0.1 -> 1.6", "LogStatusNotification", "DiagnosticsStatusNotification; refusals are UploadFailed"),
    Loss("firmware", "2.0.1 -> 1.6", "states between Downloaded and Installing", "answered by the gateway"),
    Loss("reservation-over", "2.0.1 -> 1.6", "ReservationStatusUpdate", "the connector's status alone"),
    Loss("security", "2.0.1 -> 1.6", "a security event, at a CSMS that has no such message", "answered by the gateway"),
)  # fmt: skip

_FIRMWARE = {
    "Downloaded": "Downloaded",
    "DownloadFailed": "DownloadFailed",
    "Downloading": "Downloading",
    "DownloadPaused": "Downloading",
    "Idle": "Idle",
    "InstallationFailed": "InstallationFailed",
    "InstallVerificationFailed": "InstallationFailed",
    "InvalidSignature": "DownloadFailed",
    "Installing": "Installing",
    "Installed": "Installed",
}
_LOG = {"Idle": "Idle", "Uploaded": "Uploaded", "Uploading": "Uploading"}
_LOG_16 = frozenset((*_LOG, "BadMessage", "NotSupportedOperation", "PermissionDenied", "UploadFailure"))
"""What the security extension knows: AcceptedCanceled it does not."""


def _boot(found: Json, facts: Facts) -> Up:
    station = member(found, "chargingStation")
    payload: Json = {
        "chargePointVendor": (text(station.get("vendorName")) or "")[:20],
        "chargePointModel": (text(station.get("model")) or "")[:20],
    }
    serial = text(station.get("serialNumber"))
    if serial and len(serial) <= 25:
        payload["chargePointSerialNumber"] = serial
    if firmware := text(station.get("firmwareVersion")):
        payload["firmwareVersion"] = firmware[:50]
    modem = member(station, "modem")
    payload |= {name: said for name in ("iccid", "imsi") if (said := text(modem.get(name))) and len(said) <= 20}
    return Up((Part("BootNotification", payload),))


def _authorize(found: Json, facts: Facts) -> Up | Refused:
    token = tokens.read_token(found)
    if token is None:
        return Refused(ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION, "idToken is missing")
    tag, alias = tokens.tag_of(*token)
    return Up((Part("Authorize", {"idTag": tag}),), aliases=(alias,) if alias else ())


def _status(found: Json, facts: Facts) -> Up:
    evse = max(integer(found.get("evseId")) or 0, 0)
    cable = integer(found.get("connectorId")) or (1 if evse else 0)
    status = known_20(text(found.get("connectorStatus")) or "")
    number, edit = number_of(facts.memory, evse, cable)
    place = session20.after_status(place_at(facts.memory, evse, cable), status)
    tx = facts.memory.tx_at(evse) if evse else None
    if tx is not None and tx.connector != cable:
        tx = None
    said = status_16(status, tx, place)
    if not evse and said not in ("Available", "Unavailable", "Faulted"):
        said = "Available"
    part = session20.status_part(number, said, text(found.get("timestamp")) or wire_time(facts.now), is_optional=False)
    return Up((part,), both(edit or no_edit, put_place(evse, cable, replace(place, said=said))))


def _meter_values(found: Json, facts: Facts) -> Up:
    made = meter.to_16(found, wire_time(facts.now))
    if not made.values:
        return Up(losses=tuple(made.losses))
    number, edit = number_of(facts.memory, integer(found.get("evseId")) or 0, 1)
    payload = {"connectorId": number, "meterValue": made.values}
    return Up((Part("MeterValues", payload),), edit, losses=tuple(made.losses))


def _data(found: Json, facts: Facts) -> Up:
    return Up((Part("DataTransfer", kept(found, "vendorId", "messageId") | data_16(kept(found, "data"))),))


def _log(found: Json, facts: Facts) -> Up:
    """Under the name the CSMS asked for it: GetLog of the security extension has one of its own."""
    status = text(found.get("status")) or ""
    if facts.memory.notes.get("log") == "GetLog":
        payload = {"status": status if status in _LOG_16 else "UploadFailure", **kept(found, "requestId")}
        return Up((Part("LogStatusNotification", payload),))
    return Up((Part("DiagnosticsStatusNotification", {"status": _LOG.get(status, "UploadFailed")}),))


def _firmware(found: Json, facts: Facts) -> Up:
    status = text(found.get("status")) or ""
    if facts.memory.notes.get("firmware") == "SignedUpdateFirmware":
        return Up((Part("SignedFirmwareStatusNotification", {"status": status, **kept(found, "requestId")}),))
    known = _FIRMWARE.get(status)
    return Up((Part("FirmwareStatusNotification", {"status": known}),)) if known else Up(losses=("firmware",))


def _security(found: Json, facts: Facts) -> Up:
    payload = {"type": (text(found.get("type")) or "")[:50], "timestamp": text(found.get("timestamp")) or ""}
    if info := text(found.get("techInfo")):
        payload["techInfo"] = info[:255]
    return Up((Part("SecurityEventNotification", payload, is_optional=True),))


def _answered(action: str, version: str) -> Up:
    """What 1.6 has no word for gets the answer of a CSMS that can't be asked."""
    rule = by_name(version).up[action]
    return Up(answer=read_answer(rule.offline) if isinstance(rule.offline, bytes) else {}, losses=("only-20",))


def _only_20(action: str) -> Translator:
    return lambda found, facts: _answered(action, facts.station)


_ONLY_20 = (
    "ClearedChargingLimit",
    "Get15118EVCertificate",
    "GetCertificateStatus",
    "NotifyChargingLimit",
    "NotifyCustomerInformation",
    "NotifyDisplayMessages",
    "NotifyEVChargingNeeds",
    "NotifyEVChargingSchedule",
    "NotifyEvent",
    "NotifyMonitoringReport",
    "NotifyReport",
    "PublishFirmwareStatusNotification",
    "ReportChargingProfiles",
    "ReservationStatusUpdate",
)


class Up20:
    """2.x -> 1.6."""

    up: Mapping[str, Translator] = {
        "Authorize": _authorize,
        "BootNotification": _boot,
        "DataTransfer": _data,
        "FirmwareStatusNotification": _firmware,
        "Heartbeat": lambda found, facts: Up((Part("Heartbeat", {}),)),
        "LogStatusNotification": _log,
        "MeterValues": _meter_values,
        "SecurityEventNotification": _security,
        "StatusNotification": _status,
        "TransactionEvent": session20.event,
        **{action: _only_20(action) for action in _ONLY_20},
    }

    def heard(self, action: str, answer: Json, tx: str, memory: Memory) -> Edit | Refused | None:
        """The CSMS's id of a transaction."""
        if action != "StartTransaction":
            return None
        given = whole(answer.get("transactionId"))
        if given is None or not -(2**63) <= given < 2**63:
            return Refused(ErrorCode.FORMATION_VIOLATION, "the CSMS's answer to a Start has no transaction id")

        def learn(memory: Memory) -> Memory:
            known = memory.transactions.get(tx)
            if known is None:
                return memory
            return replace(memory, transactions={**memory.transactions, tx: replace(known, csms_id=str(given))})

        return learn

    def verdict(self, part: FrozenPart, answer: Json) -> Verdict | None:
        """None: in 2.x every answer to an event has room for it."""
        return None

    def finish(self, action: str, answer: Json, said: Sequence[Said], tx: str, facts: Facts) -> Finished:
        infos = [info for _, one in said if (info := member(one, "idTagInfo"))]
        made: Json = {}
        aliases: list[Alias] = []
        if infos:
            made, aliases = tokens.token_info(infos[0], facts.aliases, facts.station)
        if action == "TransactionEvent":
            return Finished({"idTokenInfo": made} if made else {}, tuple(aliases))
        if action == "Authorize":
            return Finished({"idTokenInfo": made or {"status": "Invalid"}}, tuple(aliases))
        if action in ("BootNotification", "Heartbeat") and said:
            return Finished(kept(said[-1][1], "currentTime", "interval", "status"))
        if action == "DataTransfer" and said:
            return Finished(kept(said[-1][1], "status", "data"))
        return Finished(answer)


UP = Up20()
