"""What the whole site says for itself as one station: its boot, and the status of its connectors."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.dialects.base import Dialect
from gateway.dialects.payloads import encode, integer, read_answer, text
from gateway.model.events import StatusReport
from gateway.rpc.codes import CallError, ErrorCode

UNAVAILABLE = "Unavailable"


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


def status(dialect: Dialect, number: int, report: StatusReport, now: datetime) -> bytes:
    """The StatusNotification of one connector of the site. In 1.6, number 0 is the site itself."""
    moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    if dialect.csms_gives_tx_ids:
        error = report.error or "NoError"
        return encode({"connectorId": number, "errorCode": error, "status": report.status, "timestamp": moment})
    place = {"evseId": number, "connectorId": report.connector}
    return encode({"timestamp": moment, "connectorStatus": report.status, **place})


def tells_of_itself(dialect: Dialect) -> bool:
    """Whether the site itself has a status (connector 0)."""
    return dialect.csms_gives_tx_ids


def get_configuration(payload: bytes, known: dict[str, str]) -> bytes:
    """The answer to a GetConfiguration of settings the site has itself; all read-only."""
    asked = read_answer(payload).get("key")
    names = [text(name) or "" for name in asked] if isinstance(asked, list) and asked else list(known)
    folded = {name.casefold(): name for name in known}
    found = [folded[name.casefold()] for name in names if name.casefold() in folded]
    keys = [{"key": name, "readonly": True, "value": known[name]} for name in found]
    return encode({
        "configurationKey": keys, "unknownKey": [name for name in names if name.casefold() not in folded]
    })  # fmt: skip


def asked_message(payload: bytes) -> str:
    """The message that a trigger asks for."""
    return text(read_answer(payload).get("requestedMessage")) or ""


def refused(action: str, why: str) -> CallError:
    return CallError(ErrorCode.NOT_IMPLEMENTED, f"{action}: {why}")


def request_id(payload: bytes) -> int:
    """The request that the parts of a report belong to."""
    return integer(read_answer(payload).get("requestId")) or 0
