"""Payloads of OCPP 2.0.1 to the model and back."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from gateway.dialects import payloads
from gateway.dialects.base import Json
from gateway.dialects.payloads import encode, integer, member, objects, read, read_answer, text
from gateway.model.events import (
    SAYS_NOTHING,
    BootAnswer,
    EventKind,
    StatusReport,
    TransactionAnswer,
    TransactionMessage,
)
from gateway.model.token import Decision, IdToken, Proof, Verdict
from gateway.rpc.codes import CallError, ErrorCode
from gateway.rpc.splice import SpliceError, splice

_KINDS = {kind.casefold(): kind for kind in EventKind}
_STATUSES = {status.casefold(): status for status in ("Available", "Occupied", "Reserved", "Unavailable", "Faulted")}
_CONTEXTS = {EventKind.STARTED: "Transaction.Begin", EventKind.ENDED: "Transaction.End"}
_METER_TRIGGERS = frozenset({"MeterValuePeriodic", "MeterValueClock"})
_REPEATED = frozenset(
    {"eventType", "timestamp", "triggerReason", "seqNo", "offline", "numberOfPhasesUsed", "meterValue", "evse"}
)
_REPEATED_INFO = frozenset({"transactionId", "chargingState", "timeSpentCharging"})
"""What an Updated that only carries samples may hold. Whatever else stands there may be said only once."""


class Codec201:
    """The station's own transaction ids are the CSMS's too. `longest_token`: characters an idToken may have."""

    def __init__(self, longest_token: int = 36) -> None:
        self._longest_token = longest_token

    def transaction(self, action: str, payload: bytes) -> TransactionMessage | None:
        """Read a TransactionEvent.

        Raises CallError if it is no JSON object, or has no event type or transaction id.
        """
        found = read(payload)
        if action != "TransactionEvent":
            raise CallError(ErrorCode.NOT_SUPPORTED, f"{action} is no transaction message")
        info = member(found, "transactionInfo")
        station_tx_id = text(info.get("transactionId"))
        if not station_tx_id:
            raise CallError(ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION, "no transactionInfo.transactionId")
        event_type = text(found.get("eventType")) or ""
        kind = _KINDS.get(event_type.casefold())
        if kind is None:
            raise CallError(ErrorCode.PROPERTY_CONSTRAINT_VIOLATION, f"eventType {event_type[:20]!r}")
        timestamp = text(found.get("timestamp")) or ""
        return TransactionMessage(
            kind,
            _fingerprint(found, station_tx_id, kind, timestamp),
            station_tx_id=station_tx_id,
            evse=integer(member(found, "evse").get("id")),
            token=_driver(found),
            timestamp=timestamp,
            meter_wh=payloads.energy_wh(_samples(found), _CONTEXTS.get(kind)),
            samples_only=kind is EventKind.UPDATED and _has_samples_only(found, info),
            stopped_reason=(text(info.get("stoppedReason")) or "Local") if kind is EventKind.ENDED else None,
            reservation=payloads.key(found.get("reservationId")),
        )

    def token(self, payload: bytes) -> IdToken | None:
        """Of an Authorize, with what came to prove a contract."""
        found = read(payload)
        token = read_token(found)
        if token is None or not (found.get("certificate") or found.get("iso15118CertificateHashData")):
            return token
        return replace(token, proof=Proof.CERTIFICATE if found.get("certificate") else Proof.HASHES)

    def status(self, payload: bytes) -> StatusReport | None:
        """Read a StatusNotification; None without an EVSE."""
        found = read(payload)
        evse, connector = _place(found)
        if evse is None:
            return None
        status = text(found.get("connectorStatus")) or ""
        return StatusReport(evse, connector, _STATUSES.get(status.casefold(), status))

    def remote_token(self, payload: bytes) -> IdToken | None:
        return read_token(read(payload))

    def boot_answer(self, payload: bytes) -> BootAnswer | None:
        return payloads.boot_answer(payload)

    def authorize_answer(self, payload: bytes) -> Verdict | None:
        return read_verdict(read_answer(payload))

    def transaction_answer(self, action: str, payload: bytes) -> TransactionAnswer:
        if payload == b"{}":
            return SAYS_NOTHING
        return TransactionAnswer(verdict=read_verdict(read_answer(payload)))

    def current_time(self, payload: bytes) -> str | None:
        return payloads.current_time(payload)

    def with_time(self, payload: bytes, moment: datetime) -> bytes:
        return payloads.with_time(payload, moment)

    def answer_boot(self, answer: BootAnswer, now: datetime) -> bytes:
        return payloads.answer_boot(answer, now)

    def answer_heartbeat(self, now: datetime) -> bytes:
        return payloads.answer_heartbeat(now)

    def answer_authorize(self, decision: Decision) -> bytes:
        answer: dict[str, Any] = {"idTokenInfo": self._id_token_info(decision)}
        if decision.vouches:
            answer["certificateStatus"] = "Accepted"
        return encode(answer)

    def answer_transaction(
        self, action: str, message: TransactionMessage, decision: Decision | None, station_tx_id: str | None
    ) -> bytes:
        return encode({"idTokenInfo": self._id_token_info(decision)}) if decision else b"{}"

    def rebind_answer(self, action: str, payload: bytes, station_tx_id: str | None) -> bytes:
        """No answer of 2.0.1 holds a transaction id of the CSMS's."""
        return payload

    def bind(
        self, action: str, payload: bytes, *, upstream_tx_id: int | None, offline: bool, stopped_reason: str | None
    ) -> bytes:
        """Set `offline` and the corrected reason of a TransactionEvent; all else goes up as received.

        A signed action ("...-Signed") is never touched: it would no longer be what was signed.
        """
        if action != "TransactionEvent":
            return payload
        if offline:
            payload = splice(payload, ("offline",), b"true")
        if stopped_reason is not None:
            payload = splice(payload, ("transactionInfo", "stoppedReason"), encode(stopped_reason))
            if read(payload).get("triggerReason") == "RemoteStop":  # which was ours, not the CSMS's
                payload = splice(payload, ("triggerReason",), b'"Deauthorized"')
        return payload

    def map_tx_id(self, station_tx_id: str) -> bytes:
        """A transaction id as JSON text."""
        return encode(station_tx_id)

    def remote_stop(self, station_tx_id: str) -> tuple[str, bytes]:
        return "RequestStopTransaction", encode({"transactionId": station_tx_id})

    def trigger_status(self) -> tuple[str, bytes]:
        """Asks for the first connector only: 2.0.1 reports one connector a trigger, and refuses one that names none."""
        return "TriggerMessage", b'{"requestedMessage":"StatusNotification","evse":{"id":1,"connectorId":1}}'

    def trigger_readings(self, evse: int) -> tuple[str, bytes]:
        """Asks for the transaction's event: it carries the readings of a transaction that runs."""
        return "TriggerMessage", encode({"requestedMessage": "TransactionEvent", "evse": {"id": evse}})

    def trigger_boot(self) -> tuple[str, bytes]:
        return payloads.TRIGGER_BOOT

    def transaction_asked(self, payload: bytes) -> str | None:
        """Of a GetTransactionStatus; without an id it asks about the whole queue."""
        asked = read(payload).get("transactionId")
        return asked if isinstance(asked, str) else None

    def queue_status(self, payload: bytes, in_queue: bool) -> bytes:
        """Says `messagesInQueue` where the gateway holds some; what can't be read stays as it is."""
        if not in_queue:
            return payload
        try:
            return splice(payload, ("messagesInQueue",), b"true")
        except SpliceError:
            return payload

    def answer_queue_status(self, is_running: bool | None, in_queue: bool) -> bytes:
        status = {} if is_running is None else {"ongoingIndicator": is_running}
        return encode({**status, "messagesInQueue": in_queue})

    def _id_token_info(self, decision: Decision) -> dict[str, Any]:
        return id_token_info(decision, self._longest_token)


def id_token_info(decision: Decision, longest_token: int) -> dict[str, Any]:
    """An idTokenInfo. Leaves out a group too long for this version: cut, it would be another one."""
    info: dict[str, Any] = {"status": decision.status.value}
    if expiry := payloads.wire_expiry(decision.expiry):
        info["cacheExpiryDateTime"] = expiry
    value, type_ = payloads.split_group(decision.group) if decision.group else ("", "")
    if value and len(value) <= longest_token:
        info["groupIdToken"] = {"idToken": value, "type": type_}
    return info


def _fingerprint(found: Json, station_tx_id: str, kind: EventKind, timestamp: str) -> str:
    """A hash: half the size of what it stands for, and the outbox keeps one for each message. The trigger tells apart
    what stations that don't count their events say within a second."""
    trigger = f"|{text(found.get('triggerReason')) or ''}" if kind is EventKind.UPDATED else ""
    said = f"{station_tx_id}|{text(found.get('seqNo')) or ''}|{kind.value}|{timestamp}{trigger}"
    return hashlib.sha256(said.encode(errors="replace")).hexdigest()[:32]


def status_slot(found: Json) -> str:
    """What a newer StatusNotification replaces."""
    evse, connector = _place(found)
    return f"status:{_known(evse)}/{connector}"


def meter_slot(found: Json) -> str:
    """What newer MeterValues replace."""
    return f"meter:{_known(integer(found.get('evseId')))}"


def _known(number: int | None) -> int | str:
    return "?" if number is None else number


def _place(found: Json) -> tuple[int | None, int]:
    """EVSE and connector; stations with one connector sometimes don't name it."""
    evse, connector = integer(found.get("evseId")), integer(found.get("connectorId"))
    if connector is None:
        connector = 0 if evse == 0 else 1
    return evse, connector


def _has_samples_only(found: Json, info: Json) -> bool:
    said = {name for name, value in found.items() if value is not None} - {"transactionInfo"}
    said_of_transaction = {name for name, value in info.items() if value is not None}
    return (
        text(found.get("triggerReason")) in _METER_TRIGGERS
        and said <= _REPEATED
        and said_of_transaction <= _REPEATED_INFO
    )


def _samples(found: Json) -> Iterator[tuple[Json, str | None, int]]:
    for value in objects(found, "meterValue"):
        for sample in objects(value, "sampledValue"):
            unit = member(sample, "unitOfMeasure")
            yield sample, text(unit.get("unit")), integer(unit.get("multiplier")) or 0


def read_token(found: Json) -> IdToken | None:
    """The idToken of a message; some send the bare text."""
    value = text(found.get("idToken"))
    if value is not None:
        return IdToken(value)
    token = member(found, "idToken")
    value, type_ = text(token.get("idToken")), text(token.get("type")) or ""
    return None if value is None and not type_ else IdToken(value or "", type_)


def _driver(found: Json) -> IdToken | None:
    """The token of a transaction; NoAuthorization (a start button) names nobody, so there is nobody to refuse."""
    token = read_token(found)
    return token if token and token.value else None


def read_verdict(found: Json) -> Verdict | None:
    """What an idTokenInfo says."""
    info = member(found, "idTokenInfo")
    status = payloads.token_status(info.get("status"))
    if status is None:
        return None
    group = member(info, "groupIdToken")
    value = text(group.get("idToken"))
    joined = payloads.join_group(value, text(group.get("type")) or payloads.CENTRAL) if value else None
    named = info.get("evseId")
    evses = (
        tuple(number for one in named if (number := payloads.key(one)) is not None) if isinstance(named, list) else ()
    )
    return Verdict(status, joined, text(info.get("cacheExpiryDateTime")) or None, evses)
