"""What the simulated CSMS answers, per OCPP version: tables of action and handler."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ocpp.v16 import ChargePoint as ChargePoint16
from ocpp.v16 import call_result as v16
from ocpp.v201 import ChargePoint as ChargePoint201
from ocpp.v201 import call_result as v201

from gateway.demo.history import iso, utc_now

TRANSACTION_ACTIONS = {"StartTransaction", "StopTransaction", "MeterValues", "TransactionEvent"}


@dataclass(slots=True)
class Books:
    """What the answers depend on. `verdicts`: token to status, Accepted where not listed.

    `boots`: identity to the statuses of its next boots, Accepted when used up. `transaction_ids` never de-duplicates.
    """

    heartbeat_s: int = 300
    boot_retry_s: int = 5
    verdicts: dict[str, str] = field(default_factory=dict)
    boots: dict[str, list[str]] = field(default_factory=dict)
    statuses: dict[tuple[str, int], str] = field(default_factory=dict)
    transaction_ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def boot_status(self, identity: str) -> str:
        waiting = self.boots.get(identity)
        return waiting.pop(0) if waiting else "Accepted"

    def verdict(self, token: str) -> dict[str, str]:
        return {"status": self.verdicts.get(token, "Accepted")}


class Answers16:
    """Handlers of one OCPP 1.6 connection."""

    charge_point = ChargePoint16

    def __init__(self, identity: str, books: Books) -> None:
        self._identity = identity
        self._books = books

    def handlers(self) -> dict[str, Callable[..., Any]]:
        return {
            "BootNotification": self.boot,
            "Heartbeat": lambda **_: v16.Heartbeat(iso(utc_now())),
            "Authorize": self.authorize,
            "StatusNotification": self.status,
            "StartTransaction": self.start,
            "StopTransaction": self.stop,
            "MeterValues": lambda **_: v16.MeterValues(),
            "DataTransfer": lambda **_: v16.DataTransfer("UnknownVendorId"),
            "FirmwareStatusNotification": lambda **_: v16.FirmwareStatusNotification(),
            "DiagnosticsStatusNotification": lambda **_: v16.DiagnosticsStatusNotification(),
            "LogStatusNotification": lambda **_: v16.LogStatusNotification(),
            "SecurityEventNotification": lambda **_: v16.SecurityEventNotification(),
            "SignedFirmwareStatusNotification": lambda **_: v16.SignedFirmwareStatusNotification(),
            "SignCertificate": lambda **_: v16.SignCertificate("Rejected"),
        }

    def boot(self, **_: Any) -> Any:
        status = self._books.boot_status(self._identity)
        interval_s = self._books.heartbeat_s if status == "Accepted" else self._books.boot_retry_s
        return v16.BootNotification(iso(utc_now()), interval_s, status)

    def authorize(self, id_tag: str, **_: Any) -> Any:
        return v16.Authorize(self._books.verdict(id_tag))

    def status(self, connector_id: int, status: str, **_: Any) -> Any:
        self._books.statuses[self._identity, connector_id] = status
        return v16.StatusNotification()

    def start(self, id_tag: str, **_: Any) -> Any:
        return v16.StartTransaction(next(self._books.transaction_ids), self._books.verdict(id_tag))

    def stop(self, id_tag: str | None = None, **_: Any) -> Any:
        return v16.StopTransaction(self._books.verdict(id_tag) if id_tag else None)


class Answers201:
    """Handlers of one OCPP 2.0.1 connection."""

    charge_point = ChargePoint201

    def __init__(self, identity: str, books: Books) -> None:
        self._identity = identity
        self._books = books

    def handlers(self) -> dict[str, Callable[..., Any]]:
        return {
            "BootNotification": self.boot,
            "Heartbeat": lambda **_: v201.Heartbeat(iso(utc_now())),
            "Authorize": self.authorize,
            "StatusNotification": self.status,
            "TransactionEvent": self.transaction_event,
            "MeterValues": lambda **_: v201.MeterValues(),
            "DataTransfer": lambda **_: v201.DataTransfer("UnknownVendorId"),
            "FirmwareStatusNotification": lambda **_: v201.FirmwareStatusNotification(),
            "LogStatusNotification": lambda **_: v201.LogStatusNotification(),
            "SecurityEventNotification": lambda **_: v201.SecurityEventNotification(),
            "NotifyEvent": lambda **_: v201.NotifyEvent(),
            "NotifyReport": lambda **_: v201.NotifyReport(),
            "NotifyMonitoringReport": lambda **_: v201.NotifyMonitoringReport(),
            "NotifyChargingLimit": lambda **_: v201.NotifyChargingLimit(),
            "ClearedChargingLimit": lambda **_: v201.ClearedChargingLimit(),
            "ReportChargingProfiles": lambda **_: v201.ReportChargingProfiles(),
            "ReservationStatusUpdate": lambda **_: v201.ReservationStatusUpdate(),
            "SignCertificate": lambda **_: v201.SignCertificate("Rejected"),
        }

    def boot(self, **_: Any) -> Any:
        status = self._books.boot_status(self._identity)
        interval_s = self._books.heartbeat_s if status == "Accepted" else self._books.boot_retry_s
        return v201.BootNotification(iso(utc_now()), interval_s, status)

    def authorize(self, id_token: dict[str, Any], **_: Any) -> Any:
        return v201.Authorize(self._books.verdict(id_token["id_token"]))

    def status(self, evse_id: int, connector_status: str, **_: Any) -> Any:
        self._books.statuses[self._identity, evse_id] = connector_status
        return v201.StatusNotification()

    def transaction_event(self, id_token: dict[str, Any] | None = None, **_: Any) -> Any:
        return v201.TransactionEvent(id_token_info=self._books.verdict(id_token["id_token"]) if id_token else None)
