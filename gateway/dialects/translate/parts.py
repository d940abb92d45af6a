"""What the translators of commands share: lenient reading, and answers that more than one of them gives."""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from gateway.dialects import payloads, schema
from gateway.dialects.translate.base import (
    Command,
    CommandTranslator,
    Edit,
    Facts,
    Json,
    Memory,
    Outcome,
    Refused,
    Reply,
    Steps,
    encode,
)
from gateway.rpc.codes import CallError, ErrorCode

ACCEPTED: Json = {"status": "Accepted"}
_CODES = {code.value: code for code in ErrorCode}
_CODES["OccurenceConstraintViolation"] = ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION


# -- reading -----------------------------------------------------------------------------------------------------------


def whole(value: Any) -> int | None:
    """A whole number, also as text or with zeros after the point."""
    if isinstance(value, Decimal):
        return int(value) if value.is_finite() and abs(value) < 10**40 and value == value.to_integral_value() else None
    return payloads.integer(value)


def needed(payload: Json, name: str) -> int:
    """A whole number that must be there. Raises CallError."""
    number = whole(payload.get(name))
    if number is None:
        raise missing(name) if payload.get(name) is None else wrong(name, payload[name])
    return number


def words(payload: Json, name: str) -> str:
    """A text that must be there. Raises CallError."""
    said = payloads.text(payload.get(name))
    if said is None:
        raise missing(name) if payload.get(name) is None else wrong(name, payload[name])
    return said


def inner(payload: Json, name: str) -> Json:
    """An object that must be there. Raises CallError."""
    found = payload.get(name)
    if not isinstance(found, dict):
        raise missing(name) if found is None else wrong(name, found)
    return found


def missing(name: str) -> CallError:
    return CallError(ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION, f"{name} is missing")


def wrong(name: str, value: Any) -> CallError:
    return CallError(ErrorCode.PROPERTY_CONSTRAINT_VIOLATION, f"{name} is {str(value)[:40]!r}")


def kept(payload: Json, *names: str) -> Json:
    """The members of these names that are there, as they are."""
    return {name: payload[name] for name in names if payload.get(name) is not None}


def renamed(payload: Json, names: Mapping[str, str]) -> Json:
    """The same under their names in the other version."""
    return {there: payload[here] for here, there in names.items() if payload.get(here) is not None}


def present(written: Json) -> Json:
    return {name: value for name, value in written.items() if value is not None}


def fitting(value: Any, longest: int) -> str | None:
    """A text that must not be cut: None if it is too long, or no text."""
    said = payloads.text(value)
    return said if said is not None and len(said) <= longest else None


# -- answers -----------------------------------------------------------------------------------------------------------


def failed(outcome: Outcome) -> Refused:
    """The station's CALLERROR, or its silence, goes on as it came."""
    return Refused(_CODES.get(outcome.code or "", ErrorCode.GENERIC_ERROR), outcome.description or "no answer")


def is_unknown_there(outcome: Outcome) -> bool:
    """Whether the station does not know the action."""
    return outcome.payload is None and outcome.code in (ErrorCode.NOT_IMPLEMENTED, ErrorCode.NOT_SUPPORTED)


def unsupported(what: str) -> Refused:
    return Refused(ErrorCode.NOT_SUPPORTED, what)


def said(status: str, reason: str = "", text: str = "") -> Json:
    """An answer of 2.x with its reason, which 1.6 has no room for."""
    return {"status": status, "statusInfo": info(reason, text)} if reason else {"status": status}


def info(reason: str, text: str = "") -> Json:
    return {"reasonCode": reason[:20], "additionalInfo": text[:512]} if text else {"reasonCode": reason[:20]}


def as_status(outcome: Outcome, known: Iterable[str] | Mapping[str, str], otherwise: str) -> Json:
    """The station's status, if the other version knows it (or has another word for it), else `otherwise`."""
    by_word = known if isinstance(known, Mapping) else {word: word for word in known}
    return {"status": by_word.get(outcome.status, otherwise)}


def ask(command: Command, answer: Callable[[Outcome], Json], losses: tuple[str, ...] = ()) -> Steps:
    """One call, and the answer made of its answer; a CALLERROR goes on."""
    outcome = yield command
    return failed(outcome) if outcome.payload is None else Reply(answer(outcome), losses=losses)


def checked(action: str, translator: CommandTranslator) -> CommandTranslator:
    """The same, but nothing leaves that is not valid: a command stays here as if the station had refused it, and for an
    answer that can't be said the CSMS gets a CALLERROR."""
    return lambda payload, facts: _checked(action, translator(payload, facts), facts)


def _checked(action: str, steps: Steps, facts: Facts) -> Steps:
    try:
        command = next(steps)
        while True:
            is_ours = command.password is not None or command.forgets is not None
            where = None if is_ours else _invalid(facts.station, command.action, "request", command.payload)
            if where is None:
                outcome = yield command
            else:
                why = f"{command.action} of OCPP {facts.station} can't hold this: {where}"
                outcome = Outcome(None, ErrorCode.PROPERTY_CONSTRAINT_VIOLATION, why)
            command = steps.send(outcome)
    except StopIteration as end:
        reply: Reply | Refused = end.value
    if isinstance(reply, Reply):
        where = _invalid(facts.csms, action, "response", reply.payload)
        if where is not None:
            return Refused(ErrorCode.GENERIC_ERROR, f"the answer can't be said in OCPP {facts.csms}: {where}")
    return reply


def _invalid(version: str, action: str, kind: schema.Kind, payload: Json) -> str | None:
    """Where it is not, and not what stands there: it may be a password."""
    problems = schema.validate(version, action, kind, encode(payload))
    return problems[0].partition(":")[0][:100] if problems else None


# -- what is remembered ------------------------------------------------------------------------------------------------

FIRST_INVENTED = 2**30
"""Invented request ids are above it, where they don't meet those that a CSMS gives by counting."""


def invented(facts: Facts, name: str) -> tuple[int, Edit]:
    """A request id for a version that needs one, and the edit that keeps it under this name."""
    number = facts.memory.next_request

    def edit(memory: Memory) -> Memory:
        following = max(memory.next_request, number + 1)
        requests = {**memory.requests, name: FIRST_INVENTED + number}
        return replace(memory, next_request=following, requests=requests)

    return FIRST_INVENTED + number, edit


def asked_with(name: str, request: int) -> Edit:
    """Keep a request id of the CSMS's."""
    return lambda memory: replace(memory, requests={**memory.requests, name: request})


def noted(notes: Mapping[str, str]) -> Edit:
    """Keep notes; an empty one is dropped."""

    def edit(memory: Memory) -> Memory:
        found = {**memory.notes, **notes}
        return replace(memory, notes={name: value for name, value in found.items() if value})

    return edit
