"""A session of a 1.6 station as transaction events of 2.x.

The station's id of a transaction is a whole number that we make of the event's own id, a UUID: the walks take it for
the CSMS's. What says when a message is one of the transaction is that number alone.
"""

import hashlib
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from gateway.dialects.payloads import moment, objects, text, tx_id, wire_time
from gateway.dialects.translate import meter, passed, tokens
from gateway.dialects.translate.base import Alias, AskedStart, Edit, Facts, Json, Loss, Memory, Refused, Tx
from gateway.dialects.translate.parts import whole
from gateway.dialects.translate.places import CONNECTED, STATES, place_at, put_tx, without_old
from gateway.dialects.translate.ups import Part, Up, both
from gateway.rpc.codes import ErrorCode

LOSSES = (
    Loss("older", "1.6 -> 2.0.1", "a session that began before this translation",
         "a transaction without a Started, under an id of its own"),
    Loss("no-id", "1.6 -> 2.0.1", "a StopTransaction of id 0 or -1", "an Ended under an id of its own: nobody guesses"),
    Loss("reset", "1.6 -> 2.0.1", "HardReset and SoftReset", "ImmediateReset"),
    Loss("unlock", "1.6 -> 2.0.1", "UnlockCommand", "Other, with the trigger UnlockCommand"),
    Loss("stop-data", "1.6 -> 2.0.1", "a long transactionData", "further Updated events before the Ended"),
    Loss("reservation-number", "1.6 -> 2.0.1", "a reservationId below 0, at a CSMS of 2.1", "left out"),
    Loss("no-start-verdict", "1.6 -> 2.0.1", "a CSMS that says nothing of the token", "Accepted"),
    Loss("later-verdict", "1.6 -> 2.0.1", "a verdict in the answer to an Updated",
         "left out of MeterValues.conf; a refusal ends the session as a late one does"),
)  # fmt: skip

_MAX_ID = 2**31 - 1
_MOST_VALUES = 100
"""Meter values in one Ended."""

_NO_NEGATIVE_RESERVATION = ("2.1",)
"""Versions whose CSMS can't have made a reservation of that number, nor be told of one."""

_TRIGGERS = {"Sample.Clock": "MeterValueClock", "Trigger": "Trigger"}
_PERIODIC = "MeterValuePeriodic"

REASONS: dict[str, tuple[str, str]] = {
    "DeAuthorized": ("DeAuthorized", "Deauthorized"),
    "EmergencyStop": ("EmergencyStop", "AbnormalCondition"),
    "EVDisconnected": ("EVDisconnected", "EVCommunicationLost"),
    "HardReset": ("ImmediateReset", "ResetCommand"),
    "SoftReset": ("ImmediateReset", "ResetCommand"),
    "Local": ("Local", "StopAuthorized"),
    "Other": ("Other", "ChargingStateChanged"),
    "PowerLoss": ("PowerLoss", "AbnormalCondition"),
    "Reboot": ("Reboot", "ResetCommand"),
    "Remote": ("Remote", "RemoteStop"),
    "UnlockCommand": ("Other", "UnlockCommand"),
}
"""1.6 reason to stoppedReason and triggerReason."""


def start(found: Json, facts: Facts) -> Up:
    """StartTransaction as Started."""
    memory, now = facts.memory, wire_time(facts.now)
    tag, timestamp = text(found.get("idTag")) or "", text(found.get("timestamp")) or now
    evse = max(whole(found.get("connectorId")) or 1, 1)
    asked = _asked_start(memory, tag, evse, min(moment(timestamp) or facts.now, facts.now))
    token, alias = tokens.token_of(tag, facts.aliases, facts.csms)
    if asked is not None:
        token = {"idToken": asked.token, "type": asked.type}
    place = place_at(memory, evse, 1)
    state = CONNECTED if facts.is_offline else STATES.get(place.status, CONNECTED)
    reservation = whole(found.get("reservationId"))
    tx = Tx(
        station_id=_number_for(facts.message_id, memory),
        csms_id=facts.message_id,
        evse=evse,
        reservation=reservation,
        said_state=state,
        said_evse=True,
        is_begun=True,
        started=timestamp,
        remote_start=asked.remote_start if asked else None,
    )
    event: Json = {"triggerReason": "RemoteStart" if asked else "Authorized", "evse": _evse(evse), "idToken": token}
    if reservation is not None and (reservation >= 0 or facts.csms not in _NO_NEGATIVE_RESERVATION):
        event["reservationId"] = reservation
    if values := meter.register(found.get("meterStart"), "Transaction.Begin", timestamp):
        event["meterValue"] = values
    info = {"chargingState": state, **({"remoteStartId": asked.remote_start} if asked else {})}
    tx, part = _event(tx, "Started", timestamp, (event, info), facts)
    also = both(passed.began(tx, asked, facts.now), _without_start(asked))
    return _up(tx, (part,), also=also, aliases=[alias] if alias else [])


def meter_values(found: Json, facts: Facts) -> Up | Refused:
    """MeterValues as Updated, or as MeterValues where it belongs to no transaction."""
    own_id, now = tx_id(found.get("transactionId")), wire_time(facts.now)
    values = meter.to_20(objects(found, "meterValue"), facts.csms, now)
    if own_id is None or own_id in ("0", "-1", ""):
        return _outside(found, values)
    tx = _transaction(own_id, whole(found.get("connectorId")), facts)
    if not values.values and not values.beside:
        return Up(losses=tuple(values.losses))
    event: Json = {"triggerReason": _trigger(values.values), **values.custom()}
    if values.values:
        event["meterValue"] = values.values
    timestamp = text((values.values or values.beside)[0].get("timestamp")) or now
    tx, part = _event(tx, "Updated", timestamp, (event, _changed_state(tx, facts)), facts)
    return _up(tx, (part,), losses=values.losses)


def _outside(found: Json, values: meter.Found) -> Up | Refused:
    if values.beside:
        return Refused(
            ErrorCode.NOT_SUPPORTED, "signed values without their reading have no place in the CSMS's version"
        )
    if not values.values:
        return Up(losses=tuple(values.losses))
    evse = max(whole(found.get("connectorId")) or 0, 0)
    return Up((Part("MeterValues", {"evseId": evse, "meterValue": values.values}),), losses=tuple(values.losses))


def stop(found: Json, facts: Facts) -> Up:
    """StopTransaction as Ended; a long transactionData as Updated events before it."""
    now = wire_time(facts.now)
    own_id = tx_id(found.get("transactionId"))
    tx = _transaction(own_id if own_id not in (None, "", "0", "-1") else None, None, facts)
    timestamp = text(found.get("timestamp")) or now
    values = meter.to_20(objects(found, "transactionData"), facts.csms, now)
    parts: list[Part] = []
    while len(values.values) > _MOST_VALUES:
        chunk, values.values = values.values[:_MOST_VALUES], values.values[_MOST_VALUES:]
        event: Json = {"triggerReason": _trigger(chunk), "meterValue": chunk}
        tx, part = _event(tx, "Updated", text(chunk[-1].get("timestamp")) or timestamp, (event, {}), facts)
        parts.append(part)
    reason = text(found.get("reason"))
    stopped, trigger = REASONS.get(reason or "Local", REASONS["Other"])
    event = {"triggerReason": trigger, **values.custom()}
    registers = meter.register(found.get("meterStop"), "Transaction.End", timestamp)
    if registers or values.values:
        event["meterValue"] = [*registers, *values.values]
    tag, aliases = text(found.get("idTag")), list[Alias]()
    if tag:
        event["idToken"], alias = tokens.token_of(tag, facts.aliases, facts.csms)
        aliases = [alias] if alias else []
    info: Json = {"chargingState": "Idle" if stopped == "EVDisconnected" else CONNECTED}
    if reason is not None:
        info["stoppedReason"] = stopped
    tx, part = _event(replace(tx, is_ended=True), "Ended", timestamp, (event, info), facts)
    return _up(tx, (*parts, part), also=passed.ended(tx), aliases=aliases, losses=values.losses)


def state_changed(evse: int, status: str, timestamp: str, facts: Facts) -> Up | None:
    """The Updated that a new 1.6 status is for the transaction at its connector; None if it is none."""
    tx, state = facts.memory.tx_at(evse), STATES.get(status)
    if tx is None or state is None or state == tx.said_state or facts.is_offline:
        return None
    event = {"triggerReason": "ChargingStateChanged"}
    tx, part = _event(tx, "Updated", timestamp, (event, {"chargingState": state}), facts)
    return _up(tx, (part,))


# -- pieces ------------------------------------------------------------------------------------------------------------


def _event(tx: Tx, kind: str, timestamp: str, said: tuple[Json, Json], facts: Facts) -> tuple[Tx, Part]:
    """The next event of a transaction, of its members and those of its transactionInfo; and what that leaves to say."""
    event, info = said
    made: Json = {"eventType": kind, "timestamp": timestamp, "seqNo": tx.seq}
    if facts.is_offline:
        made["offline"] = True
    if not tx.said_evse and tx.evse:
        made["evse"] = _evse(tx.evse)
    payload = {**made, **event, "transactionInfo": {"transactionId": tx.csms_id, **info}}
    told = replace(tx, seq=tx.seq + 1, said_evse=True, said_state=info.get("chargingState") or tx.said_state)
    return told, Part("TransactionEvent", payload)


def _up(
    tx: Tx,
    parts: tuple[Part, ...],
    *,
    also: Edit | None = None,
    aliases: list[Alias] | None = None,
    losses: list[str] | None = None,
) -> Up:
    remember = both(put_tx(tx), without_old)
    return Up(
        parts,
        both(remember, also) if also else remember,
        is_booked=True,
        tx=tx.station_id,
        aliases=tuple(aliases or ()),
        losses=tuple(losses or ()),
    )


def _evse(evse: int) -> Json:
    return {"id": evse, "connectorId": 1}


def _transaction(own_id: str | None, connector: int | None, facts: Facts) -> Tx:
    """The transaction of that id. One nobody has heard the Start of gets an id of its own, and begins where it is."""
    known = facts.memory.transactions.get(own_id) if own_id is not None else None
    if known is not None:
        return known
    station_id = own_id or _number_for(facts.message_id, facts.memory)
    return Tx(station_id=station_id, csms_id=facts.message_id, evse=max(connector or 0, 0), is_begun=True)


def _number_for(message_id: str, memory: Memory) -> str:
    """A transaction id of 1.6 for that UUID: always the same, and free on this station."""
    digest = hashlib.sha256(message_id.encode()).digest()
    number = int.from_bytes(digest[:4], "big") & _MAX_ID
    while number == 0 or str(number) in memory.transactions:
        number = (number + 1) & _MAX_ID
    return str(number)


def _changed_state(tx: Tx, facts: Facts) -> Json:
    """What is known now is no news of then: a queued message says nothing of the state."""
    state = STATES.get(place_at(facts.memory, tx.evse, 1).status)
    is_news = state is not None and state != tx.said_state and not facts.is_offline
    return {"chargingState": state} if is_news else {}


def _trigger(values: list[Json]) -> str:
    contexts: list[Any] = [sample.get("context") for value in values for sample in objects(value, "sampledValue")]
    return _TRIGGERS.get(contexts[0], _PERIODIC) if contexts else _PERIODIC


def _asked_start(memory: Memory, tag: str, evse: int, at: datetime) -> AskedStart | None:
    """The remote start that this one answers; it may be told long after it was."""
    for asked in memory.starts:
        until = moment(asked.until)
        is_open = until is None or until >= at
        if asked.tag == tag.casefold() and asked.evse in (None, evse) and is_open:
            return asked
    return None


def _without_start(asked: AskedStart | None) -> Edit:
    return lambda memory: replace(memory, starts=tuple(one for one in memory.starts if one != asked))
