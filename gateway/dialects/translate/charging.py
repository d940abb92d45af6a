"""Commands about who charges, both ways: remote start and stop, reservations, local lists."""

from datetime import datetime, timedelta

from msgspec.structs import replace

from gateway.dialects.payloads import moment, objects, text, wire_time
from gateway.dialects.translate import tokens
from gateway.dialects.translate.base import (
    Alias,
    AskedStart,
    Command,
    Edit,
    Facts,
    Json,
    Memory,
    Message,
    Outcome,
    Reply,
    Steps,
    answered,
    encode,
)
from gateway.dialects.translate.parts import (
    as_status,
    ask,
    failed,
    inner,
    invented,
    needed,
    noted,
    said,
    whole,
    words,
    wrong,
)
from gateway.dialects.translate.places import place_at, place_of
from gateway.dialects.translate.profiles import NotExpressible, losses_to_16, to_16, to_201

START_ANSWERED_S = 600
"""How long a remote start may wait for its StartTransaction."""

_DONE = ("Accepted", "Rejected")
_RESERVED = ("Accepted", "Faulted", "Occupied", "Rejected", "Unavailable")
_UPDATED = ("Accepted", "Failed", "VersionMismatch")
_KINDS = ("Full", "Differential")


def _token(payload: Json, name: str = "idToken") -> tuple[str, Alias | None]:
    """The idTag of a token of 2.x. Raises CallError."""
    token = inner(payload, name)
    return tokens.tag_of(text(token.get("idToken")) or "", text(token.get("type")) or "")


# -- remote start and stop ---------------------------------------------------------------------------------------------


def start_on_16(payload: Json, facts: Facts) -> Steps:
    """RequestStartTransaction: its remoteStartId waits here for the StartTransaction."""
    tag, alias = _token(payload)
    token, evse = inner(payload, "idToken"), whole(payload.get("evseId"))
    asked: Json = {"idTag": tag, **({} if evse is None else {"connectorId": evse})}
    given = ""
    losses: tuple[str, ...] = ("group-remote",) if payload.get("groupIdToken") is not None else ()
    if payload.get("chargingProfile") is not None:
        profile = inner(payload, "chargingProfile")
        refused = _not_of_a_start(profile)
        if refused is not None:
            return answered(Reply(refused, losses=("profile-refused",)))
        asked["chargingProfile"], given = to_16(profile, None), encode(profile).decode()
        losses += losses_to_16(profile)
    waiting = AskedStart(
        remote_start=needed(payload, "remoteStartId"),
        tag=tag.casefold(),
        token=text(token.get("idToken")) or "",
        type=text(token.get("type")) or "",
        evse=evse,
        until=wire_time(facts.now + timedelta(seconds=START_ANSWERED_S)),
        profile=given,
    )
    command = Command(
        "RemoteStartTransaction", asked, remember=_awaited(waiting, facts.now), aliases=(alias,) if alias else ()
    )
    return _start_16(command, waiting, losses)


def _not_of_a_start(profile: Json) -> Json | None:
    """The refusal of a profile that can't begin with a transaction."""
    if profile.get("chargingProfilePurpose") != "TxProfile" or profile.get("transactionId") is not None:
        return said("Rejected", "InvalidProfile", "a TxProfile without a transactionId is needed")
    try:
        to_16(profile, None)
    except NotExpressible as reason:
        return said("Rejected", reason.reason, reason.what)
    return None


def _awaited(waiting: AskedStart, now: datetime) -> Edit:
    """Wait for it, and no longer for those whose time is over."""

    def edit(memory: Memory) -> Memory:
        others = [one for one in memory.starts if (moment(one.until) or now) > now]
        return replace(memory, starts=(*others, waiting))

    return edit


def _start_16(command: Command, waiting: AskedStart, losses: tuple[str, ...]) -> Steps:
    outcome = yield command
    if outcome.payload is None:
        return failed(outcome)
    if outcome.status == "Accepted":
        return Reply({"status": "Accepted"}, losses=losses)
    return Reply({"status": "Rejected"}, remember=_forgotten(waiting), losses=losses)


def _forgotten(waiting: AskedStart) -> Edit:
    return lambda memory: replace(memory, starts=tuple(one for one in memory.starts if one != waiting))


def stop_on_16(payload: Json, facts: Facts) -> Steps:
    """RequestStopTransaction."""
    asked = words(payload, "transactionId")
    tx = facts.memory.tx_of_csms(asked)
    own = None if tx is None or tx.is_ended else whole(tx.station_id)
    if own is None:
        return answered(Reply(said("Rejected", "UnknownTxId", f"no transaction {asked}")))
    command = Command("RemoteStopTransaction", {"transactionId": own})
    return ask(command, lambda outcome: as_status(outcome, _DONE, "Rejected"))


def start_on_20(payload: Json, facts: Facts) -> Steps:
    """RemoteStartTransaction, under an invented remoteStartId."""
    token, alias = tokens.token_of(words(payload, "idTag"), facts.aliases, facts.station, tokens.CENTRAL)
    number, edit = invented(facts, "remote_start")
    asked: Json = {"idToken": token, "remoteStartId": number}
    if payload.get("connectorId") is not None:
        evse = place_of(facts.memory, needed(payload, "connectorId"))[0]
        if evse < 1:
            return answered(Reply({"status": "Rejected"}))
        asked["evseId"] = evse
    if payload.get("chargingProfile") is not None:
        profile = inner(payload, "chargingProfile")
        periods = objects(inner(profile, "chargingSchedule"), "chargingSchedulePeriod")
        if profile.get("chargingProfilePurpose") != "TxProfile" or not periods:
            return answered(Reply({"status": "Rejected"}))
        asked["chargingProfile"] = to_201(profile, None)
    command = Command("RequestStartTransaction", asked, remember=edit, aliases=(alias,) if alias else ())
    return ask(command, lambda outcome: as_status(outcome, _DONE, "Rejected"))


def stop_on_20(payload: Json, facts: Facts) -> Steps:
    """RemoteStopTransaction."""
    tx = facts.memory.tx_of_csms(str(needed(payload, "transactionId")))
    if tx is None or tx.is_ended:
        return answered(Reply({"status": "Rejected"}))
    command = Command("RequestStopTransaction", {"transactionId": tx.station_id})
    return ask(command, lambda outcome: as_status(outcome, _DONE, "Rejected"))


def transaction_status(payload: Json, facts: Facts) -> Steps:
    """GetTransactionStatus, which 1.6 can't be asked. `facts.is_offline`: messages of the station wait in the queue."""
    asked = text(payload.get("transactionId"))
    if asked is None:
        return answered(Reply({"messagesInQueue": facts.is_offline}))
    tx = facts.memory.tx_of_csms(asked)
    is_known = tx is not None
    is_ongoing = tx is not None and not tx.is_ended
    return answered(Reply({"ongoingIndicator": is_ongoing, "messagesInQueue": is_known and facts.is_offline}))


# -- reservations ------------------------------------------------------------------------------------------------------

_RESERVATION = "reservation."
"""Prefix of the notes that keep what a ReservationStatusUpdate has to be invented from: "until|evse"."""


def reserve_on_16(payload: Json, facts: Facts) -> Steps:
    """ReserveNow of 2.x. Connector 0 is any; a kind of connector can't be asked for."""
    number, until = needed(payload, "id"), words(payload, "expiryDateTime")
    tag, alias = _token(payload)
    evse = whole(payload.get("evseId")) or 0
    if evse == 0 and payload.get("connectorType") is not None:
        return answered(Reply(said("Rejected", "UnsupportedParam", "OCPP 1.6 knows no kinds of connectors")))
    asked = {"connectorId": evse, "expiryDate": until, "idTag": tag, "reservationId": number}
    aliases = [alias] if alias else []
    if payload.get("groupIdToken") is not None:
        asked["parentIdTag"], of_group = _token(payload, "groupIdToken")
        aliases += [of_group] if of_group else []
    note = noted({f"{_RESERVATION}{number}": f"{until}|{evse}"})
    return _reserve_16(Command("ReserveNow", asked, aliases=tuple(aliases)), note)


def _reserve_16(command: Command, note: Edit) -> Steps:
    outcome = yield command
    if outcome.payload is None:
        return failed(outcome)
    is_taken = outcome.status == "Accepted"
    return Reply(as_status(outcome, _RESERVED, "Rejected"), remember=note if is_taken else None)


def reserve_on_20(payload: Json, facts: Facts) -> Steps:
    """ReserveNow of 1.6."""
    token, alias = tokens.token_of(words(payload, "idTag"), facts.aliases, facts.station)
    asked: Json = {"id": needed(payload, "reservationId"), "expiryDateTime": words(payload, "expiryDate")}
    asked["idToken"] = token
    aliases = [alias] if alias else []
    evse = place_of(facts.memory, needed(payload, "connectorId"))[0]
    if evse < 0:
        return answered(Reply({"status": "Rejected"}))
    if evse > 0:
        asked["evseId"] = evse
    parent = text(payload.get("parentIdTag"))
    if parent:
        asked["groupIdToken"], of_group = tokens.token_of(parent, facts.aliases, facts.station, tokens.CENTRAL)
        aliases += [of_group] if of_group else []
    command = Command("ReserveNow", asked, aliases=tuple(aliases))
    return ask(command, lambda outcome: as_status(outcome, _RESERVED, "Rejected"))


def cancel_reservation(payload: Json, facts: Facts) -> Steps:
    """The same in all versions."""
    number = needed(payload, "reservationId")
    return _cancel(Command("CancelReservation", {"reservationId": number}), noted({f"{_RESERVATION}{number}": ""}))


def _cancel(command: Command, forget: Edit) -> Steps:
    outcome = yield command
    if outcome.payload is None:
        return failed(outcome)
    is_gone = outcome.status == "Accepted"
    return Reply(as_status(outcome, _DONE, "Rejected"), remember=forget if is_gone else None)


def reservations_over(facts: Facts) -> tuple[tuple[Message, ...], Edit] | None:
    """What a CSMS of 2.x has to be told of the reservations at a 1.6 station; None if there is nothing to do.

    1.6 tells of no end: Expired is invented when the time is over, Removed when the connector fails. One that was used
    is forgotten without a word. Asked on a timer, and after each status and each start of a transaction.
    """
    gone: dict[str, str] = {}  # the notes, as they were when it was decided
    messages = []
    for name, note in facts.memory.notes.items():
        if not name.startswith(_RESERVATION):
            continue
        number = whole(name.removeprefix(_RESERVATION))
        until, _, evse = note.rpartition("|")
        status = _end_of(number, moment(until), whole(evse) or 0, facts)
        if status is None:
            continue
        gone[name] = note
        if status and number is not None:
            payload = {"reservationId": number, "reservationUpdateStatus": status}
            messages.append(Message("ReservationStatusUpdate", payload))
    return (tuple(messages), _without(gone)) if gone else None


def _without(gone: dict[str, str]) -> Edit:
    """Forget these, but for what was reserved anew since."""
    return lambda memory: noted({name: "" for name, note in gone.items() if memory.notes.get(name) == note})(memory)


def has_reservations(memory: Memory) -> bool:
    return any(name.startswith(_RESERVATION) for name in memory.notes)


def next_end(memory: Memory) -> datetime | None:
    """When the next reservation is over."""
    notes = [note for name, note in memory.notes.items() if name.startswith(_RESERVATION)]
    ends = [moment(note.rpartition("|")[0]) for note in notes]
    return min((end for end in ends if end is not None), default=None)


def _end_of(number: int | None, until: datetime | None, evse: int, facts: Facts) -> str | None:
    """How a reservation has ended: Expired, Removed, or "" for one that was used; None if it has not."""
    used = {tx.reservation for tx in facts.memory.transactions.values()}
    if number is None or number in used or (evse and facts.memory.tx_at(evse) is not None):
        return ""
    if until is None or until <= facts.now:
        return "Expired"
    return "Removed" if evse and place_at(facts.memory, evse, 1).status in ("Faulted", "Unavailable") else None


# -- local lists -------------------------------------------------------------------------------------------------------


def list_on_16(payload: Json, facts: Facts) -> Steps:
    """SendLocalList of 2.x, tokens too long for 1.6 under their aliases."""
    entries, aliases = [], list[Alias]()
    for one in objects(payload, "localAuthorizationList"):
        tag, alias = _token(one)
        entry: Json = {"idTag": tag}
        if one.get("idTokenInfo") is not None:
            entry["idTagInfo"], more = tokens.tag_info(inner(one, "idTokenInfo"))
            aliases += more
        entries.append(entry)
        aliases += [alias] if alias else []
    version, kind = needed(payload, "versionNumber"), _kind(payload)
    if version < 1:
        return answered(Reply(said("Failed", "InvalidValue", "a list's version is above 0")))
    asked = {"listVersion": version, "updateType": kind, **({"localAuthorizationList": entries} if entries else {})}
    return _list(Command("SendLocalList", asked, aliases=tuple(aliases)))


def list_on_20(payload: Json, facts: Facts) -> Steps:
    """SendLocalList of 1.6."""
    entries, aliases = [], list[Alias]()
    for one in objects(payload, "localAuthorizationList"):
        token, alias = tokens.token_of(words(one, "idTag"), facts.aliases, facts.station)
        entry: Json = {"idToken": token}
        if one.get("idTagInfo") is not None:
            entry["idTokenInfo"], more = tokens.token_info(inner(one, "idTagInfo"), facts.aliases, facts.station)
            aliases += more
        entries.append(entry)
        aliases += [alias] if alias else []
    version, kind = needed(payload, "listVersion"), _kind(payload)
    if version < 1:
        return answered(Reply({"status": "Failed"}))
    asked = {"versionNumber": version, "updateType": kind, **({"localAuthorizationList": entries} if entries else {})}
    return _list(Command("SendLocalList", asked, aliases=tuple(aliases)))


def _kind(payload: Json) -> str:
    kind = words(payload, "updateType")
    if kind not in _KINDS:
        raise wrong("updateType", kind)
    return kind


def _list(command: Command) -> Steps:
    return ask(command, lambda outcome: as_status(outcome, _UPDATED, "Failed"))


def version_on_16(payload: Json, facts: Facts) -> Steps:
    """GetLocalListVersion of 2.x, where no list is 0."""

    def answer(outcome: Outcome) -> Json:
        return {"versionNumber": max(whole((outcome.payload or {}).get("listVersion")) or 0, 0)}

    return ask(Command("GetLocalListVersion", {}), answer)


def version_on_20(payload: Json, facts: Facts) -> Steps:
    """GetLocalListVersion of 1.6."""

    def answer(outcome: Outcome) -> Json:
        return {"listVersion": max(whole((outcome.payload or {}).get("versionNumber")) or 0, 0)}

    return ask(Command("GetLocalListVersion", {}), answer)
