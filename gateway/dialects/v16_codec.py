"""Payloads of OCPP 1.6 to the model and back."""

import hashlib
from datetime import datetime
from typing import Any

import msgspec

from gateway.dialects import payloads
from gateway.dialects.base import Json
from gateway.dialects.payloads import encode, integer, member, read, read_answer, text
from gateway.model.events import (
    SAYS_NOTHING,
    UPDATED,
    BootAnswer,
    EventKind,
    StatusReport,
    TransactionAnswer,
    TransactionMessage,
)
from gateway.model.token import AuthorizationStatus, Decision, IdToken, Verdict
from gateway.rpc.codes import CallError, ErrorCode
from gateway.rpc.splice import SpliceError, splice

_OUTGOING = {
    AuthorizationStatus.NO_CREDIT: AuthorizationStatus.BLOCKED,
    AuthorizationStatus.NOT_ALLOWED_TYPE_EVSE: AuthorizationStatus.BLOCKED,
    AuthorizationStatus.NOT_AT_THIS_LOCATION: AuthorizationStatus.BLOCKED,
    AuthorizationStatus.NOT_AT_THIS_TIME: AuthorizationStatus.BLOCKED,
    AuthorizationStatus.UNKNOWN: AuthorizationStatus.INVALID,
}
"""Verdicts that 1.6 lacks: the token is known and refused (Blocked), or not known (Invalid)."""

MAX_ID_TAG = 20
_STATUSES = {
    status.casefold(): status
    for status in (
        "Available",
        "Preparing",
        "Charging",
        "SuspendedEVSE",
        "SuspendedEV",
        "Finishing",
        "Reserved",
        "Unavailable",
        "Faulted",
    )
}


class Codec16:
    """Stateless. Connector n is EVSE n with connector 1; connector 0 is the station."""

    def transaction(self, action: str, payload: bytes) -> TransactionMessage | None:
        """Read Start-, StopTransaction or MeterValues; None for MeterValues without a transaction.

        Raises CallError if the payload is no JSON object.
        """
        if action == "MeterValues":
            return _meter_values(payload)
        found = read(payload)
        if action == "StartTransaction":
            return _start(found)
        if action == "StopTransaction":
            return _stop(found, payload)
        raise CallError(ErrorCode.NOT_SUPPORTED, f"{action} is no transaction message")

    def token(self, payload: bytes) -> IdToken | None:
        return _token(read(payload))

    def status(self, payload: bytes) -> StatusReport | None:
        """Read a StatusNotification; None without a connector."""
        found = read(payload)
        evse = integer(found.get("connectorId"))
        if evse is None:
            return None
        status, error = text(found.get("status")) or "", text(found.get("errorCode")) or ""
        return StatusReport(evse, 1 if evse > 0 else 0, _STATUSES.get(status.casefold(), status), error)

    def remote_token(self, payload: bytes) -> IdToken | None:
        return _token(read(payload))

    def boot_answer(self, payload: bytes) -> BootAnswer | None:
        return payloads.boot_answer(payload)

    def authorize_answer(self, payload: bytes) -> Verdict | None:
        return read_verdict(read_answer(payload))

    def transaction_answer(self, action: str, payload: bytes) -> TransactionAnswer:
        if payload == b"{}":
            return SAYS_NOTHING
        found = read_answer(payload)
        upstream_tx_id = integer(found.get("transactionId")) if action == "StartTransaction" else None
        return TransactionAnswer(upstream_tx_id, read_verdict(found))

    def current_time(self, payload: bytes) -> str | None:
        return payloads.current_time(payload)

    def with_time(self, payload: bytes, moment: datetime) -> bytes:
        return payloads.with_time(payload, moment)

    def answer_boot(self, answer: BootAnswer, now: datetime) -> bytes:
        return payloads.answer_boot(answer, now)

    def answer_heartbeat(self, now: datetime) -> bytes:
        return payloads.answer_heartbeat(now)

    def answer_authorize(self, decision: Decision) -> bytes:
        return encode({"idTagInfo": id_tag_info(decision)})

    def answer_transaction(
        self, action: str, message: TransactionMessage, decision: Decision | None, station_tx_id: str | None
    ) -> bytes:
        """The gateway's own answer. A Start's needs `station_tx_id` (ValueError); without a decision it is refused."""
        if action == "StartTransaction":
            info = id_tag_info(decision) if decision else {"status": AuthorizationStatus.INVALID.value}
            return encode({"idTagInfo": info, "transactionId": _number(station_tx_id)})
        if action == "StopTransaction" and decision:
            return encode({"idTagInfo": id_tag_info(decision)})
        return b"{}"

    def rebind_answer(self, action: str, payload: bytes, station_tx_id: str | None) -> bytes:
        """The CSMS's answer with the station's id; only a Start's has one. What can't be read stays as it is."""
        if action != "StartTransaction" or station_tx_id is None:
            return payload
        try:
            return splice(payload, ("transactionId",), self.map_tx_id(station_tx_id))
        except SpliceError:
            return payload

    def bind(
        self, action: str, payload: bytes, *, upstream_tx_id: int | None, offline: bool, stopped_reason: str | None
    ) -> bytes:
        """Replace the transaction id (never insert one) and, in a Stop, the reason. 1.6 has no offline flag."""
        if action not in ("StopTransaction", "MeterValues"):
            return payload
        if upstream_tx_id is not None and "transactionId" in read(payload):
            payload = splice(payload, ("transactionId",), b"%d" % upstream_tx_id)
        if action == "StopTransaction" and stopped_reason is not None:
            payload = splice(payload, ("reason",), encode(stopped_reason))
        return payload

    def map_tx_id(self, station_tx_id: str) -> bytes:
        """A transaction id as JSON number. Raises ValueError if it is none."""
        return b"%d" % _number(station_tx_id)

    def remote_stop(self, station_tx_id: str) -> tuple[str, bytes]:
        return "RemoteStopTransaction", encode({"transactionId": _number(station_tx_id)})

    def trigger_status(self) -> tuple[str, bytes]:
        return "TriggerMessage", b'{"requestedMessage":"StatusNotification"}'

    def trigger_readings(self, evse: int) -> tuple[str, bytes]:
        return "TriggerMessage", encode({"requestedMessage": "MeterValues", "connectorId": evse})

    def trigger_boot(self) -> tuple[str, bytes]:
        return payloads.TRIGGER_BOOT

    def transaction_asked(self, payload: bytes) -> str | None:
        """1.6 can't ask."""
        return None

    def queue_status(self, payload: bytes, in_queue: bool) -> bytes:
        """1.6 can't ask for it."""
        return payload

    def answer_queue_status(self, is_running: bool | None, in_queue: bool) -> bytes:
        """1.6 can't ask for it."""
        return b"{}"


def meter_slot(found: Json) -> str:
    """What newer MeterValues outside of a transaction replace."""
    return f"meter:{_known(integer(found.get('connectorId')))}"


def status_slot(found: Json) -> str:
    """What a newer StatusNotification replaces."""
    evse = integer(found.get("connectorId"))
    return f"status:{_known(evse)}/{1 if evse is None or evse > 0 else 0}"


def _known(number: int | None) -> int | str:
    return "?" if number is None else number


def _start(found: Json) -> TransactionMessage:
    token = _token(found) or IdToken("")
    connector, meter, timestamp = (text(found.get(name)) or "" for name in ("connectorId", "meterStart", "timestamp"))
    return TransactionMessage(
        EventKind.STARTED,
        f"{connector}|{token.folded}|{meter}|{timestamp}",
        evse=integer(found.get("connectorId")),
        token=token,
        timestamp=timestamp,
        meter_wh=payloads.meter_wh(found.get("meterStart")),
        reservation=payloads.key(found.get("reservationId")),
    )


def _stop(found: Json, payload: bytes) -> TransactionMessage:
    token = _token(found)
    return TransactionMessage(
        EventKind.ENDED,
        _hash(payload),
        station_tx_id=payloads.tx_id(found.get("transactionId")),
        token=token if token and token.value else None,
        timestamp=text(found.get("timestamp")) or "",
        meter_wh=payloads.meter_wh(found.get("meterStop")),
        stopped_reason=text(found.get("reason")) or "Local",
    )


class _MeterHead(msgspec.Struct, gc=False):
    """What is read of MeterValues: most messages are these, and nobody here needs their samples."""

    transactionId: int | None = None  # noqa: N815  # OCPP's own name
    connectorId: int | None = None  # noqa: N815


_decode_head = msgspec.json.Decoder(_MeterHead).decode


def _meter_values(payload: bytes) -> TransactionMessage | None:
    try:
        head = _decode_head(payload)
        own_id, evse = head.transactionId, head.connectorId
        station_tx_id = None if own_id is None else str(own_id)
    except ValueError:
        found = read(payload)
        station_tx_id, evse = payloads.tx_id(found.get("transactionId")), integer(found.get("connectorId"))
    if station_tx_id is None:
        return None
    return TransactionMessage(
        UPDATED,
        _hash(payload),
        station_tx_id=station_tx_id,
        evse=evse,
        samples_only=True,
    )


def _hash(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()[:32]


def _token(found: Json) -> IdToken | None:
    value = text(found.get("idTag"))
    return None if value is None else IdToken(value)


def read_verdict(found: Json) -> Verdict | None:
    """What an idTagInfo says."""
    info = member(found, "idTagInfo")
    status = payloads.token_status(info.get("status"))
    if status is None:
        return None
    parent = text(info.get("parentIdTag"))
    group = payloads.join_group(parent, payloads.CENTRAL) if parent else None
    return Verdict(status, group, text(info.get("expiryDate")) or None)


def id_tag_info(decision: Decision) -> dict[str, Any]:
    """An idTagInfo. Leaves out a parent too long for 1.6: cut, it would be another one."""
    info = {"status": _OUTGOING.get(decision.status, decision.status).value}
    parent = payloads.split_group(decision.group)[0] if decision.group else ""
    if parent and len(parent) <= MAX_ID_TAG:
        info["parentIdTag"] = parent
    if expiry := payloads.wire_expiry(decision.expiry):
        info["expiryDate"] = expiry
    return info


def _number(station_tx_id: str | None) -> int:
    if station_tx_id is None:
        raise ValueError("no transaction id")
    return int(station_tx_id)
