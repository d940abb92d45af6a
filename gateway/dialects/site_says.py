"""What the whole site says for itself as one station: its boot, and the status of its connectors."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from gateway.dialects.base import Dialect
from gateway.dialects.payloads import encode, integer, read_answer, text
from gateway.model.events import StatusReport
from gateway.rpc.codes import CallError, ErrorCode

UNAVAILABLE = "Unavailable"
VENDOR = "ocpp-gateway"
"""The vendor of a DataTransfer that is the way through to one station."""


@dataclass(frozen=True, slots=True)
class SiteIdentity:
    """What the site is called as a charging station."""

    vendor: str
    model: str
    serial: str
    firmware: str


def boot(dialect: Dialect, site: SiteIdentity) -> bytes:
    """The site's own BootNotification."""
    if dialect.csms_gives_tx_ids:
        said: dict[str, Any] = {
            "chargePointVendor": site.vendor[:20],
            "chargePointModel": site.model[:20],
            "chargePointSerialNumber": site.serial[:25],
            "firmwareVersion": site.firmware[:50],
        }
    else:
        station = {
            "vendorName": site.vendor[:50],
            "model": site.model[:20],
            "serialNumber": site.serial[:25],
            "firmwareVersion": site.firmware[:50],
        }
        said = {"reason": "PowerUp", "chargingStation": station}
    return encode(said)


def moment(now: datetime) -> str:
    """A time as messages have it."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def status(dialect: Dialect, number: int, report: StatusReport, now: datetime) -> bytes:
    """The StatusNotification of one connector of the site. In 1.6, number 0 is the site itself."""
    told = moment(now)
    if dialect.csms_gives_tx_ids:
        error = report.error or "NoError"
        return encode({"connectorId": number, "errorCode": error, "status": report.status, "timestamp": told})
    place = {"evseId": number, "connectorId": report.connector}
    return encode({"timestamp": told, "connectorStatus": report.status, **place})


def tells_of_itself(dialect: Dialect) -> bool:
    """Whether the site itself has a status (connector 0)."""
    return dialect.csms_gives_tx_ids


def availability(payload: bytes) -> str:
    """What a ChangeAvailability wants."""
    found = read_answer(payload)
    return text(found.get("type")) or text(found.get("operationalStatus")) or ""


def status_of(answer: bytes) -> str | None:
    return text(read_answer(answer).get("status"))


@dataclass(frozen=True, slots=True)
class Transfer:
    """A DataTransfer that is the way through to one station."""

    action: str
    evse: int
    payload: bytes


def transfer(payload: bytes) -> Transfer | None:
    """Read it; None for another vendor's."""
    found = read_answer(payload)
    if found.get("vendorId") != VENDOR:
        return None
    data = found.get("data")
    asked = read_answer(data.encode()) if isinstance(data, str) else data if isinstance(data, dict) else {}
    return Transfer(
        text(found.get("messageId")) or "", integer(asked.get("evse")) or 0, encode(asked.get("payload", {}))
    )


def transferred(dialect: Dialect, status: str, answer: bytes) -> bytes:
    """The station's answer in that of the DataTransfer: as text in 1.6, else as it is."""
    data: Any = answer.decode(errors="replace") if dialect.csms_gives_tx_ids else msgspec.Raw(answer)
    return encode({"status": status, "data": data})


def call_error(error: CallError) -> bytes:
    """A station's CALLERROR, as data."""
    return encode({"error": str(error.code), "description": error.description})


def asked_message(payload: bytes) -> str:
    """The message that a trigger asks for."""
    return text(read_answer(payload).get("requestedMessage")) or ""


def refused(action: str, why: str) -> CallError:
    return CallError(ErrorCode.NOT_IMPLEMENTED, f"{action}: {why}")


def request_id(payload: bytes) -> int:
    """The request that the parts of a report belong to."""
    return integer(read_answer(payload).get("requestId")) or 0
