"""A session of a 2.x station as Start, MeterValues and Stop of 1.6.

1.6 begins a transaction when all is there: a token, a cable, a register. What comes before is held, and is told with
the Start. A transaction that ends without ever having had a token or taken energy never was one in 1.6.
"""

from decimal import Decimal

from msgspec.structs import replace

from gateway.dialects.payloads import integer, member, objects, text, wire_time
from gateway.dialects.translate import meter, tokens
from gateway.dialects.translate.base import Alias, Edit, Facts, Json, Loss, Memory, Place, Tx
from gateway.dialects.translate.parts import whole
from gateway.dialects.translate.places import (
    CONNECTED,
    STATES,
    number_of,
    place_at,
    put_place,
    put_tx,
    status_16,
    without_old,
)
from gateway.dialects.translate.ups import Part, Up, both, no_edit

LOSSES = (
    Loss("held", "2.0.1 -> 1.6", "events before a token, a cable and a register are there",
         "the StartTransaction that follows; its meterStart is the register at the begin"),
    Loss("nothing", "2.0.1 -> 1.6", "a transaction that ends without a token and without energy", "nothing but status"),
    Loss("no-token", "2.0.1 -> 1.6", "a transaction that took energy without a token", "idTag NoAuthorization"),
    Loss("no-register", "2.0.1 -> 1.6", "a transaction without a register at its begin", "the first register it told"),
    Loss("event", "2.0.1 -> 1.6", "seqNo, offline, triggerReason, remoteStartId, phases used, timeSpentCharging",
         "left out; a chargingState is the connector's status"),
    Loss("reasons", "2.0.1 -> 1.6", "a stoppedReason that 1.6 lacks",
         "Other; MasterPass is Local, ImmediateReset is HardReset"),
    Loss("begin-time", "2.0.1 -> 1.6", "the time of the Started",
         "the time at which token, cable and register were there"),
    Loss("stop-repeat", "2.0.1 -> 1.6", "a register at the end that says what meterStop says", "meterStop alone"),
)  # fmt: skip

REASONS: dict[str, str] = {
    "DeAuthorized": "DeAuthorized",
    "EmergencyStop": "EmergencyStop",
    "EVDisconnected": "EVDisconnected",
    "ImmediateReset": "HardReset",
    "Local": "Local",
    "MasterPass": "Local",
    "Other": "Other",
    "PowerLoss": "PowerLoss",
    "Reboot": "Reboot",
    "Remote": "Remote",
}
"""stoppedReason of 2.x to 1.6; all others are Other."""

_PLUGGED = frozenset((CONNECTED, *STATES))


def event(found: Json, facts: Facts) -> Up:
    """One TransactionEvent."""
    kind, now = text(found.get("eventType")) or "", wire_time(facts.now)
    timestamp = text(found.get("timestamp")) or now
    before = _known(found, facts.memory)
    tx, alias = _told(before, found)
    values = objects(found, "meterValue")
    ends, parts, losses = kind == "Ended", list[Part](), list[str]()
    tx, edit = _placed(tx, facts.memory)
    register = meter.register_wh(values, "Transaction.Begin")
    if tx.meter_wh is None and register is not None:
        tx = replace(tx, meter_wh=meter.plain(register))
    stop_wh = meter.register_wh(values, "Transaction.End") if ends else None
    is_first = not tx.is_begun and (_is_ready(tx) or (ends and _is_owed(tx, stop_wh)))
    if is_first:
        tx, begun, alias = _begun(tx, timestamp if not ends else tx.started, alias, facts.memory)
        parts.append(begun)
    if tx.is_begun:
        made = _meter_parts(found, values, tx, facts, is_first=is_first, ends=ends)
        losses += made.losses
        parts += _ending(found, tx, stop_wh, made, timestamp) if ends else _values(made, tx, facts.memory)
    token = tokens.read_token(found)
    if token is not None and not (is_first or ends or facts.is_offline):
        parts.insert(0, Part("Authorize", {"idTag": tokens.tag_of(*token)[0]}, is_optional=True))
    tx = replace(tx, is_ended=tx.is_ended or ends)
    status, remember = _status(tx, timestamp, facts)
    parts += status
    edits = both(both(edit, both(put_tx(tx), without_old)), remember)
    aliases = (alias,) if alias else ()
    return Up(tuple(parts), edits, is_booked=True, tx=tx.station_id, aliases=aliases, losses=tuple(losses))


# -- what is known of it -----------------------------------------------------------------------------------------------


def _known(found: Json, memory: Memory) -> Tx:
    own_id = text(member(found, "transactionInfo").get("transactionId")) or ""
    return memory.transactions.get(own_id) or Tx(station_id=own_id, csms_id="")


def _told(tx: Tx, found: Json) -> tuple[Tx, Alias | None]:
    """The transaction with what this event says of it."""
    info, evse = member(found, "transactionInfo"), member(found, "evse")
    number = integer(evse.get("id"))
    if number is not None:
        tx = replace(tx, evse=number, connector=integer(evse.get("connectorId")) or 1)
    state = text(info.get("chargingState")) or tx.state
    tx = replace(tx, state=state, power_path=tx.power_path or state in STATES)
    if not tx.started:
        tx = replace(tx, started=text(found.get("timestamp")) or "")
    reservation = whole(found.get("reservationId"))
    if reservation is not None:
        tx = replace(tx, reservation=reservation)
    token = tokens.read_token(found)
    alias = None
    if token is not None and tx.token is None and text(found.get("eventType")) != "Ended":
        tx = replace(tx, token=token[0], token_type=token[1])
        alias = tokens.tag_of(*token)[1]
    return tx, alias


def _placed(tx: Tx, memory: Memory) -> tuple[Tx, Edit]:
    """Its connector gets a number, if it has none."""
    _, edit = number_of(memory, tx.evse, tx.connector)
    return tx, edit or no_edit


def _is_ready(tx: Tx) -> bool:
    return tx.token is not None and tx.evse > 0 and tx.state in _PLUGGED and tx.meter_wh is not None


def _is_owed(tx: Tx, stop_wh: Decimal | None) -> bool:
    """Whether an ended transaction, never told yet, is one in 1.6: somebody showed a token, or energy has flowed."""
    begin = meter.number(tx.meter_wh)
    return tx.token is not None or (begin is not None and stop_wh is not None and stop_wh > begin)


def _tag(tx: Tx) -> tuple[str, Alias | None]:
    return tokens.tag_of(tx.token or "", tx.token_type)


def _number(tx: Tx, memory: Memory) -> int:
    return max(number_of(memory, tx.evse, tx.connector)[0], 1)


# -- what 1.6 hears ----------------------------------------------------------------------------------------------------


def _begun(tx: Tx, timestamp: str, alias: Alias | None, memory: Memory) -> tuple[Tx, Part, Alias | None]:
    tag, of_tag = _tag(tx)
    payload: Json = {
        "connectorId": _number(tx, memory),
        "idTag": tag,
        "meterStart": meter.whole_wh(meter.number(tx.meter_wh) or Decimal(0)),
        "timestamp": timestamp,
    }
    if tx.reservation is not None:
        payload["reservationId"] = tx.reservation
    return replace(tx, is_begun=True, started=timestamp), Part("StartTransaction", payload), alias or of_tag


def _meter_parts(found: Json, values: list[Json], tx: Tx, facts: Facts, *, is_first: bool, ends: bool) -> meter.Found:
    """The event's meter values, but for those that meterStart or meterStop have said already."""
    context = "Transaction.End" if ends else "Transaction.Begin"
    says_again = ends or is_first
    told = [value for value in values if not (says_again and meter.is_only_register(value, context))]
    return meter.to_16({**found, "meterValue": told}, wire_time(facts.now))


def _values(made: meter.Found, tx: Tx, memory: Memory) -> list[Part]:
    if not made.values:
        return []
    payload = {"connectorId": _number(tx, memory), "transactionId": _id(tx), "meterValue": made.values}
    return [Part("MeterValues", payload, needs=tx.station_id)]


def _ending(found: Json, tx: Tx, stop_wh: Decimal | None, made: meter.Found, timestamp: str) -> list[Part]:
    if tx.is_ended:
        return []
    begin = meter.number(tx.meter_wh) or Decimal(0)
    payload: Json = {
        "transactionId": _id(tx),
        "timestamp": timestamp,
        "meterStop": meter.whole_wh(begin if stop_wh is None else stop_wh),
    }
    reason = text(member(found, "transactionInfo").get("stoppedReason"))
    if reason is not None:
        unlocked = reason == "Other" and text(found.get("triggerReason")) == "UnlockCommand"
        payload["reason"] = "UnlockCommand" if unlocked else REASONS.get(reason, "Other")
    token = tokens.read_token(found)
    if token is not None:
        payload["idTag"] = tokens.tag_of(*token)[0]
    if made.values:
        payload["transactionData"] = made.values
    return [Part("StopTransaction", payload, needs=tx.station_id)]


def _id(tx: Tx) -> int:
    """The CSMS's id; 0 holds its place until it is known."""
    return int(tx.csms_id) if tx.csms_id else 0


def _status(tx: Tx, timestamp: str, facts: Facts) -> tuple[list[Part], Edit]:
    """A new charging state is a new status of the connector; what was queued tells no status, for it is not now."""
    if tx.evse <= 0:
        return [], no_edit
    before = place_at(facts.memory, tx.evse, tx.connector)
    place = replace(before, was_charging=before.was_charging or (tx.is_ended and tx.is_begun))
    said = before.said
    is_there = before.status in ("", "Occupied") or not (tx.is_ended or before.status in ("Unavailable", "Faulted"))
    if not facts.is_offline and is_there and tx.state in _PLUGGED:
        said = status_16("Occupied", None if tx.is_ended else tx, place)
    parts = []
    if said != before.said:
        parts = [status_part(_number(tx, facts.memory), said, timestamp)]
    return parts, put_place(tx.evse, tx.connector, replace(place, said=said))


def status_part(connector: int, status: str, timestamp: str, *, is_optional: bool = True) -> Part:
    error = "OtherError" if status == "Faulted" else "NoError"
    payload = {"connectorId": connector, "errorCode": error, "status": status, "timestamp": timestamp}
    return Part("StatusNotification", payload, is_optional=is_optional)


def after_status(place: Place, connector_status: str) -> Place:
    """The connector after its station's own word: what is free, or newly occupied, has no past."""
    is_new_cable = connector_status == "Occupied" and place.status not in ("", "Occupied")
    forgets = connector_status in ("Available", "Unavailable", "Reserved") or is_new_cable
    return replace(place, status=connector_status, was_charging=place.was_charging and not forgets)
