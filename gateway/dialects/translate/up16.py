"""Messages of a 1.6 station for a CSMS of 2.x."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from gateway.dialects.payloads import member, text, wire_time
from gateway.dialects.translate import session16, tokens
from gateway.dialects.translate.base import Alias, Edit, Facts, Json, Loss, Memory, Refused, encode, read
from gateway.dialects.translate.inventory import boot_notes
from gateway.dialects.translate.parts import kept, whole
from gateway.dialects.translate.places import place_at, put_place, status_20
from gateway.dialects.translate.ups import Finished, FrozenPart, Part, Said, Translator, Up, both
from gateway.dialects.v16_codec import read_verdict
from gateway.model.token import Verdict
from gateway.rpc.codes import ErrorCode

LOSSES = (
    Loss("boot-reason", "1.6 -> 2.0.1", "a boot has no reason", "RemoteReset after a Reset of the CSMS, else Unknown"),
    Loss(
        "boot-meter",
        "1.6 -> 2.0.1",
        "meterType, meterSerialNumber, a second serial number of the box",
        "left out of the boot; variables of a report",
    ),
    Loss("boot-texts", "both", "vendor, model and firmware longer than the other version's field", "cut"),
    Loss(
        "connector-0", "1.6 -> 2.0.1", "the status of connector 0", "NotifyEvent AvailabilityState of ChargingStation"
    ),
    Loss("error", "1.6 -> 2.0.1", "errorCode, vendorErrorCode, info", "NotifyEvent Problem of the connector"),
    Loss("data-object", "2.0.1 -> 1.6", "data of a DataTransfer that is no text", "its JSON text"),
    Loss("signed-action", "both", "a signed message (an action ending in -Signed)", "refused: NotSupported"),
    Loss(
        "request-id", "1.6 -> 2.0.1", "a state of a log or firmware that nobody asked for", "requestId left out, or 0"
    ),
)

_LOG = {"Uploaded": "Uploaded", "UploadFailed": "UploadFailure", "Uploading": "Uploading", "Idle": "Idle"}
_FIRMWARE = frozenset(
    [
        *("Downloaded", "DownloadFailed", "Downloading", "DownloadScheduled", "DownloadPaused", "Idle"),
        *("InstallationFailed", "Installing", "Installed", "InstallRebooting", "InstallScheduled"),
        *("InstallVerificationFailed", "InvalidSignature", "SignatureVerified"),
    ]
)


def _boot(found: Json, facts: Facts) -> Up:
    serial = text(found.get("chargePointSerialNumber")) or text(found.get("chargeBoxSerialNumber"))
    station: Json = {
        "vendorName": (text(found.get("chargePointVendor")) or "")[:50],
        "model": (text(found.get("chargePointModel")) or "")[:20],
    }
    if serial and len(serial) <= 25:
        station["serialNumber"] = serial
    if firmware := text(found.get("firmwareVersion")):
        station["firmwareVersion"] = firmware[:50]
    modem = {name: said for name in ("iccid", "imsi") if (said := text(found.get(name))) and len(said) <= 20}
    if modem:
        station["modem"] = modem
    is_asked = any(_is_of_a_reset(name, note) for name, note in facts.memory.notes.items())
    payload = {"reason": "RemoteReset" if is_asked else "Unknown", "chargingStation": station}
    return Up((Part("BootNotification", payload),), _booted(boot_notes(found)))


def _is_of_a_reset(name: str, note: str) -> bool:
    """A Reset that went down; of one that waited for the station to be idle, its attempts are counted."""
    return name == "reset" or (name == "reset-when-idle" and "|" in note)


def _booted(notes: Mapping[str, str]) -> Edit:
    """What it says of itself takes the place of what it said before, and it is the boot of a Reset that went down."""

    def edit(memory: Memory) -> Memory:
        known = memory.notes.items()
        others = {name: said for name, said in known if not (_is_of_a_reset(name, said) or name.startswith("boot."))}
        return replace(memory, notes={**others, **notes})

    return edit


def _authorize(found: Json, facts: Facts) -> Up:
    token, alias = tokens.token_of(text(found.get("idTag")) or "", facts.aliases, facts.csms)
    return Up((Part("Authorize", {"idToken": token}),), aliases=(alias,) if alias else ())


def _status(found: Json, facts: Facts) -> Up:
    """The connector's status; of a fault also an event, of a new charging state also the transaction's."""
    status, error = text(found.get("status")) or "", text(found.get("errorCode")) or "NoError"
    connector = max(whole(found.get("connectorId")) or 0, 0)
    timestamp = text(found.get("timestamp")) or wire_time(facts.now)
    cable = 1 if connector else 0
    before = place_at(facts.memory, connector, cable)
    remember = put_place(connector, cable, replace(before, status=status, error=error))
    parts: list[Part] = []
    if connector:
        changed = session16.state_changed(connector, status, timestamp, facts)
        payload = {"timestamp": timestamp, "connectorStatus": status_20(status), "evseId": connector, "connectorId": 1}
        parts.append(Part("StatusNotification", payload, is_optional=changed is not None))
        if changed is not None and changed.remember is not None:
            parts = [*changed.parts, *parts]
            remember = both(remember, changed.remember)
    else:
        changed = None
        parts.append(_event(facts, timestamp, {"name": "ChargingStation"}, "AvailabilityState", status_20(status)))
    if error not in ("NoError", before.error):
        parts.append(_problem(found, facts, connector, timestamp))
    return Up(tuple(parts), remember, is_booked=changed is not None, tx=changed.tx if changed else "")


def _problem(found: Json, facts: Facts, connector: int, timestamp: str) -> Part:
    component: Json = {"name": "ChargingStation"}
    if connector:
        component = {"name": "Connector", "evse": {"id": connector, "connectorId": 1}}
    code = text(found.get("vendorErrorCode")) or text(found.get("errorCode")) or ""
    said = [one for name in ("errorCode", "info", "vendorId") if (one := text(found.get(name)))]
    part = _event(facts, timestamp, component, "Problem", "true")
    part.payload["eventData"][0] |= {"techCode": code[:50], "techInfo": " ".join(said)[:500]}
    return part


def _event(facts: Facts, timestamp: str, component: Json, variable: str, value: str) -> Part:
    """One event; its number is of the second, for a station of 1.6 numbers none."""
    event = {
        "eventId": int(facts.now.timestamp()) & 0x7FFFFFFF,
        "timestamp": timestamp,
        "trigger": "Delta",
        "actualValue": value,
        "eventNotificationType": "HardWiredNotification",
        "component": component,
        "variable": {"name": variable},
    }
    payload = {"generatedAt": wire_time(facts.now), "seqNo": 0, "tbc": False, "eventData": [event]}
    return Part("NotifyEvent", payload, is_optional=True)


def _data(found: Json, facts: Facts) -> Up:
    return Up((Part("DataTransfer", kept(found, "vendorId", "messageId", "data")),))


def _diagnostics(found: Json, facts: Facts) -> Up:
    status = text(found.get("status")) or ""
    return _log_status(_LOG.get(status, "UploadFailure"), facts.memory.requests.get("log"))


def _log(found: Json, facts: Facts) -> Up:
    asked = whole(found.get("requestId"))
    return _log_status(text(found.get("status")) or "", facts.memory.requests.get("log") if asked is None else asked)


def _log_status(status: str, request: int | None) -> Up:
    """Without a request only Idle may be said."""
    payload: Json = {"status": status}
    if status != "Idle":
        payload["requestId"] = request or 0
    return Up((Part("LogStatusNotification", payload),))


def _firmware(found: Json, facts: Facts) -> Up | Refused:
    status, asked = text(found.get("status")) or "", whole(found.get("requestId"))
    if status not in _FIRMWARE:
        return Refused(ErrorCode.PROPERTY_CONSTRAINT_VIOLATION, f"status {status[:40]!r}")
    payload: Json = {"status": status}
    request = facts.memory.requests.get("firmware") if asked is None else asked
    if status != "Idle":
        payload["requestId"] = request or 0
    return Up((Part("FirmwareStatusNotification", payload),))


def _security(found: Json, facts: Facts) -> Up:
    payload = {"type": (text(found.get("type")) or "")[:50], "timestamp": text(found.get("timestamp")) or ""}
    if info := text(found.get("techInfo")):
        payload["techInfo"] = info[:255]
    return Up((Part("SecurityEventNotification", payload),))


class Up16:
    """1.6 -> 2.x."""

    up: Mapping[str, Translator] = {
        "Authorize": _authorize,
        "BootNotification": _boot,
        "DataTransfer": _data,
        "DiagnosticsStatusNotification": _diagnostics,
        "FirmwareStatusNotification": _firmware,
        "Heartbeat": lambda found, facts: Up((Part("Heartbeat", {}),)),
        "LogStatusNotification": _log,
        "MeterValues": session16.meter_values,
        "SecurityEventNotification": _security,
        "SignedFirmwareStatusNotification": _firmware,
        "StartTransaction": session16.start,
        "StatusNotification": _status,
        "StopTransaction": session16.stop,
    }

    def heard(self, action: str, answer: Json, tx: str, memory: Memory) -> Edit | Refused | None:
        """Nothing: in 2.x no answer names a transaction."""
        return None

    def verdict(self, part: FrozenPart, answer: Json) -> Verdict | None:
        """With the answer to an Updated, for which 1.6 has no room; in the words of 1.6, as that of a Start."""
        info = member(answer, "idTokenInfo")
        if not info or part.action != "TransactionEvent" or read(part.payload.encode()).get("eventType") != "Updated":
            return None
        return read_verdict({"idTagInfo": tokens.tag_info(info)[0]})

    def finish(self, action: str, answer: Json, said: Sequence[Said], tx: str, facts: Facts) -> Finished:
        first = said[-1][1] if said else answer
        info = member(first, "idTokenInfo")
        made, aliases = tokens.tag_info(info) if info else ({"status": "Accepted"}, list[Alias]())
        if action == "StartTransaction":
            return Finished({"transactionId": int(tx), "idTagInfo": made}, tuple(aliases))
        if action == "Authorize":
            return Finished({"idTagInfo": made if info else {"status": "Invalid"}}, tuple(aliases))
        if action == "StopTransaction" and info:
            return Finished({"idTagInfo": made}, tuple(aliases))
        if action in ("BootNotification", "Heartbeat"):
            return Finished(kept(first, "currentTime", "interval", "status"))
        if action == "DataTransfer":
            return Finished(data_16(first))
        return Finished({})


def data_16(answer: Json) -> Json:
    """What a DataTransfer carries, for 1.6: text only; numbers in it keep their digits."""
    made = kept(answer, "status")
    data: Any = answer.get("data")
    if data is not None:
        made["data"] = data if isinstance(data, str) else encode(data).decode()
    return made


UP = Up16()
