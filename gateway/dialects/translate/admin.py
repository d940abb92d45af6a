"""Commands about the station itself, both ways: availability, reset, unlocking, triggers, caches, vendors' data."""

from typing import Any

from gateway.dialects.payloads import member, text
from gateway.dialects.translate.base import Command, Facts, Json, Memory, Outcome, Reply, Steps, Tx, answered, encode
from gateway.dialects.translate.parts import (
    as_status,
    ask,
    failed,
    is_unknown_there,
    kept,
    needed,
    noted,
    present,
    said,
    whole,
    words,
    wrong,
)
from gateway.dialects.translate.places import place_at, place_of
from gateway.rpc.codes import ErrorCode

RESET_SENT, RESET_WHEN_IDLE = "reset", "reset-when-idle"
"""Notes: a Reset went down, so the next boot is its; and one waits for the last transaction to end ("kind", and
"kind|attempts" once it went down)."""

RESET_ATTEMPTS = 3

_AVAILABLE = ("Accepted", "Rejected", "Scheduled")
_DONE = ("Accepted", "Rejected")
_TRIGGERED = ("Accepted", "Rejected", "NotImplemented")
_DATA = ("Accepted", "Rejected", "UnknownMessageId", "UnknownVendorId")


def running_at(memory: Memory, evse: int) -> Tx | None:
    """The transaction that runs at an EVSE of a 1.6 station. At a free connector none does, whatever never ended."""
    return None if place_at(memory, evse, 1).status == "Available" else memory.tx_at(evse)


def is_busy(memory: Memory) -> bool:
    """Whether a transaction runs at a station of 1.6."""
    return any(not tx.is_ended and running_at(memory, tx.evse) is not None for tx in memory.transactions.values())


# -- availability ------------------------------------------------------------------------------------------------------


def availability_on_16(payload: Json, facts: Facts) -> Steps:
    """ChangeAvailability of 2.x. An EVSE is its connector."""
    evse = member(payload, "evse")
    asked = {"connectorId": needed(evse, "id") if evse else 0, "type": _operation(payload, "operationalStatus")}
    return ask(Command("ChangeAvailability", asked), lambda outcome: as_status(outcome, _AVAILABLE, "Rejected"))


def availability_on_20(payload: Json, facts: Facts) -> Steps:
    """ChangeAvailability of 1.6. A connector that is the only one of its EVSE is the EVSE."""
    evse, cable = place_of(facts.memory, needed(payload, "connectorId"))
    asked: Json = {"operationalStatus": _operation(payload, "type")}
    if evse < 0:
        return answered(Reply({"status": "Rejected"}))
    if evse > 0:
        has_more = any(name.startswith(f"{evse}/") and name != f"{evse}/1" for name in facts.memory.numbers)
        asked["evse"] = {"id": evse, "connectorId": cable} if has_more else {"id": evse}
    return ask(Command("ChangeAvailability", asked), lambda outcome: as_status(outcome, _AVAILABLE, "Rejected"))


def _operation(payload: Json, name: str) -> str:
    wanted = words(payload, name)
    if wanted not in ("Operative", "Inoperative"):
        raise wrong(name, wanted)
    return wanted


def clear_cache(payload: Json, facts: Facts) -> Steps:
    """The same in all versions."""
    return ask(Command("ClearCache", {}), lambda outcome: as_status(outcome, _DONE, "Rejected"))


# -- reset -------------------------------------------------------------------------------------------------------------


def reset_on_16(payload: Json, facts: Facts) -> Steps:
    """Immediate is Soft, which ends what runs in good order. OnIdle waits here: see `due_reset`. In the queue there may
    be a start."""
    kind = words(payload, "type")
    if kind not in ("Immediate", "OnIdle"):
        return answered(Reply(said("Rejected", "UnsupportedParam", f"OCPP 1.6 has no reset {kind[:50]}")))
    if payload.get("evseId") is not None:
        return answered(Reply(said("Rejected", "UnsupportedParam", "OCPP 1.6 resets the whole station only")))
    if kind == "OnIdle" and (is_busy(facts.memory) or facts.is_offline):
        return answered(Reply({"status": "Scheduled"}, noted({RESET_WHEN_IDLE: "Soft"}), losses=("reset-idle",)))
    return _reset_16("Soft", ("reset-soft",))


def _reset_16(kind: str, losses: tuple[str, ...] = ()) -> Steps:
    outcome = yield Command("Reset", {"type": kind})
    if outcome.payload is None:
        return failed(outcome)
    is_taken = outcome.status == "Accepted"
    remember = noted({RESET_SENT: kind, RESET_WHEN_IDLE: ""}) if is_taken else None
    return Reply({"status": "Accepted" if is_taken else "Rejected"}, remember=remember, losses=losses)


def due_reset(facts: Facts) -> Steps | None:
    """The Reset that waited for the station to be idle, once it is: to be run without anyone to answer to. None before.

    The note counts the attempts, on disk before each. It is gone with the station's word, or with its boot after one
    (`up16`): so a power cut in between may repeat the Reset at an idle station that has not booted, and loses none.
    """
    kind, _, tries = facts.memory.notes.get(RESET_WHEN_IDLE, "").partition("|")
    return _reset_when_idle(kind, (whole(tries) or 0) + 1) if kind and not is_busy(facts.memory) else None


def _reset_when_idle(kind: str, attempt: int) -> Steps:
    """A GenericError may be silence: then it is tried again."""
    outcome = yield Command("Reset", {"type": kind}, remember=noted({RESET_WHEN_IDLE: f"{kind}|{attempt}"}))
    if outcome.code == ErrorCode.GENERIC_ERROR and attempt < RESET_ATTEMPTS:
        return Reply({"status": "Scheduled"})
    is_taken = outcome.status == "Accepted"
    remember = noted({RESET_WHEN_IDLE: "", **({RESET_SENT: kind} if is_taken else {})})
    return Reply({"status": "Accepted" if is_taken else "Rejected"}, remember=remember)


def reset_on_20(payload: Json, facts: Facts) -> Steps:
    """Hard and Soft are both Immediate."""
    if words(payload, "type") not in ("Hard", "Soft"):
        raise wrong("type", payload["type"])
    taken = {"Accepted": "Accepted", "Scheduled": "Accepted"}
    return ask(Command("Reset", {"type": "Immediate"}), lambda outcome: as_status(outcome, taken, "Rejected"))


# -- unlocking ---------------------------------------------------------------------------------------------------------


def unlock_on_16(payload: Json, facts: Facts) -> Steps:
    """A station of 1.6 would end the transaction, which a CSMS of 2.x did not ask for."""
    evse, cable = needed(payload, "evseId"), needed(payload, "connectorId")
    if evse < 1 or cable != 1:
        return answered(Reply(said("UnknownConnector")))
    if running_at(facts.memory, evse) is not None:
        return answered(Reply(said("OngoingAuthorizedTransaction")))

    def answer(outcome: Outcome) -> Json:
        if outcome.status == "Unlocked":
            return said("Unlocked")
        if outcome.status == "NotSupported":
            return said("UnlockFailed", "UnsupportedRequest", "no lock, or no such connector")
        return said("UnlockFailed")

    return ask(Command("UnlockConnector", {"connectorId": evse}), answer)


def unlock_on_20(payload: Json, facts: Facts) -> Steps:
    """A station of 2.x refuses while a transaction runs, which 1.6 ends: so it is stopped first."""
    connector = needed(payload, "connectorId")
    evse, cable = place_of(facts.memory, connector)
    if evse < 1:
        return answered(Reply({"status": "NotSupported"}))
    tx = facts.memory.tx_at(evse)
    return _unlock_20(evse, cable, None if tx is None else tx.station_id)


def _unlock_20(evse: int, cable: int, running: str | None) -> Steps:
    if running is not None:
        stopped = yield Command("RequestStopTransaction", {"transactionId": running})
        if stopped.payload is None:
            return failed(stopped)
        if stopped.status != "Accepted":
            return Reply({"status": "UnlockFailed"})
    outcome = yield Command("UnlockConnector", {"evseId": evse, "connectorId": cable})
    if outcome.payload is None:
        return failed(outcome)
    known = {"Unlocked": "Unlocked", "UnknownConnector": "NotSupported"}
    return Reply(as_status(outcome, known, "UnlockFailed"), losses=("unlock-stop",) if running else ())


# -- triggers ----------------------------------------------------------------------------------------------------------

_TRIGGERS_16 = {
    "BootNotification": ("TriggerMessage", "BootNotification"),
    "FirmwareStatusNotification": ("TriggerMessage", "FirmwareStatusNotification"),
    "Heartbeat": ("TriggerMessage", "Heartbeat"),
    "MeterValues": ("TriggerMessage", "MeterValues"),
    "StatusNotification": ("TriggerMessage", "StatusNotification"),
    "TransactionEvent": ("TriggerMessage", "MeterValues"),
    "LogStatusNotification": ("ExtendedTriggerMessage", "LogStatusNotification"),
    "SignChargingStationCertificate": ("ExtendedTriggerMessage", "SignChargePointCertificate"),
}
"""What a station of 1.6 is asked for. What is not here, it can't send."""

_TRIGGERS_20 = {
    "BootNotification": "BootNotification",
    "DiagnosticsStatusNotification": "LogStatusNotification",
    "FirmwareStatusNotification": "FirmwareStatusNotification",
    "Heartbeat": "Heartbeat",
    "LogStatusNotification": "LogStatusNotification",
    "MeterValues": "MeterValues",
    "SignChargePointCertificate": "SignChargingStationCertificate",
    "StatusNotification": "StatusNotification",
}


def trigger_on_16(payload: Json, facts: Facts) -> Steps:
    """TriggerMessage of 2.x."""
    wanted = words(payload, "requestedMessage")
    if wanted not in _TRIGGERS_16:
        return answered(Reply(said("NotImplemented", "UnsupportedRequest", f"OCPP 1.6 has no {wanted}")))
    action, message = _TRIGGERS_16[wanted]
    if wanted == "FirmwareStatusNotification" and facts.memory.notes.get("firmware") == "SignedUpdateFirmware":
        action = "ExtendedTriggerMessage"  # there it means SignedFirmwareStatusNotification
    evse = whole(member(payload, "evse").get("id"))
    asked: Json = {"requestedMessage": message}
    if evse is not None and (evse > 0 or message == "StatusNotification"):
        asked["connectorId"] = evse
    return _trigger_16(action, asked)


def _trigger_16(action: str, asked: Json) -> Steps:
    outcome = yield Command(action, asked)
    is_log = asked["requestedMessage"] == "LogStatusNotification"
    is_lacking = is_unknown_there(outcome) or outcome.status == "NotImplemented"
    if is_log and is_lacking:  # a station without the security extension
        outcome = yield Command("TriggerMessage", {**asked, "requestedMessage": "DiagnosticsStatusNotification"})
    if outcome.payload is None:
        return Reply(said("NotImplemented")) if is_unknown_there(outcome) else failed(outcome)
    return Reply(as_status(outcome, _TRIGGERED, "Rejected"))


def trigger_on_20(payload: Json, facts: Facts) -> Steps:
    """TriggerMessage and ExtendedTriggerMessage of 1.6."""
    wanted = words(payload, "requestedMessage")
    if wanted not in _TRIGGERS_20:
        return answered(Reply({"status": "NotImplemented"}))
    connector, message = whole(payload.get("connectorId")), _TRIGGERS_20[wanted]
    place = None if connector is None else place_of(facts.memory, connector)
    if message == "StatusNotification":
        return _trigger_20([{"requestedMessage": message, **one} for one in _statuses(place, facts.memory)])
    if message == "MeterValues":
        return _trigger_20(_meters(place, facts.memory))
    evse = {"evse": {"id": place[0]}} if place is not None and place[0] > 0 else {}
    return _trigger_20([{"requestedMessage": message, **evse}])


def _statuses(place: tuple[int, int] | None, memory: Memory) -> list[Json]:
    """2.x tells the status of one connector at a time; what has no EVSE has no status there."""
    places = [place] if place is not None else [_split(name) for name in memory.numbers]
    named = [{"evse": {"id": evse, "connectorId": cable}} for evse, cable in places if evse > 0]
    return named if named or place is not None else [{}]


def _meters(place: tuple[int, int] | None, memory: Memory) -> list[Json]:
    """Of a transaction the meter values are in its events, and 1.6 wants them with its id."""
    evses = [place[0]] if place is not None else sorted({_split(name)[0] for name in memory.numbers})
    asked = []
    for evse in evses:
        message = "MeterValues" if evse < 1 or memory.tx_at(evse) is None else "TransactionEvent"
        asked.append({"requestedMessage": message, "evse": {"id": evse}})
    return asked or [{"requestedMessage": "MeterValues"}]


def _split(name: str) -> tuple[int, int]:
    evse, _, cable = name.partition("/")
    return int(evse), int(cable)


def _trigger_20(asked: list[Json]) -> Steps:
    """One call a place; Accepted if any of them is."""
    statuses = []
    for one in asked:
        outcome = yield Command("TriggerMessage", one)
        if outcome.payload is None:
            return Reply({"status": "NotImplemented"}) if is_unknown_there(outcome) else failed(outcome)
        statuses.append(outcome.status)
    worst_first = [status for status in _TRIGGERED if status in statuses]
    return Reply({"status": worst_first[0] if worst_first else "Rejected"})


# -- vendors' data -----------------------------------------------------------------------------------------------------


def data_on_16(payload: Json, facts: Facts) -> Steps:
    """DataTransfer of 2.x: what is no text goes as its JSON text."""
    data = payload.get("data")
    asked = {
        "vendorId": words(payload, "vendorId"),
        "messageId": text(payload.get("messageId")),
        "data": None if data is None else _as_text(data),
    }
    losses = () if data is None or isinstance(data, str) else ("data-object",)
    return ask(Command("DataTransfer", present(asked)), _data_answer, losses)


def data_on_20(payload: Json, facts: Facts) -> Steps:
    """DataTransfer of 1.6."""
    asked = {"vendorId": words(payload, "vendorId"), **kept(payload, "messageId", "data")}

    def answer(outcome: Outcome) -> Json:
        made = _data_answer(outcome)
        return made if "data" not in made else {**made, "data": _as_text(made["data"])}

    return ask(Command("DataTransfer", asked), answer)


def _data_answer(outcome: Outcome) -> Json:
    return {**as_status(outcome, _DATA, "Rejected"), **kept(outcome.payload or {}, "data")}


def _as_text(data: Any) -> str:
    return data if isinstance(data, str) else encode(data).decode()
