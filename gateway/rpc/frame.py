"""OCPP-J frames: bytes to CALL, CALLRESULT, CALLERROR, CALLRESULTERROR, SEND and back. Payloads stay as they came."""

import re
from dataclasses import dataclass

import msgspec

from gateway.rpc.codes import ErrorCode

UNKNOWN_ID = "-1"
"""Id of an answer to a frame whose own id could not be read (OCPP 2.0.1 Part 4, 4.2.3)."""

MAX_DEPTH = 64
_MAX_DESCRIPTION = 255
_MAX_ECHOED_ID = 64
_BEGINNING = re.compile(rb'^\s*\[\s*"?([2-6])(?:\.0)?"?\s*,\s*("(?:[^"\\]|\\.){0,64}")')
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_NO_BRACKETS = bytes(code for code in range(256) if code not in b"{}[]")
_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)
_usual_call = msgspec.json.Decoder(tuple[int, str, str, msgspec.Raw]).decode
_usual_result = msgspec.json.Decoder(tuple[int, str, msgspec.Raw]).decode
"""Frames as nearly all are, read in one go; what these refuse is read again, more leniently."""
_encode = msgspec.json.Encoder().encode


class Call(msgspec.Struct, frozen=True, gc=False):
    message_id: str
    action: str
    payload: bytes


class CallResult(msgspec.Struct, frozen=True, gc=False):
    message_id: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class CallRefused:
    """A CALLERROR."""

    message_id: str
    code: str
    description: str
    details: bytes = b"{}"


@dataclass(frozen=True, slots=True)
class ResultRefused:
    """A CALLRESULTERROR: the peer can't use the CALLRESULT it got under this id."""

    message_id: str
    code: str
    description: str
    details: bytes = b"{}"


@dataclass(frozen=True, slots=True)
class Send:
    """A message that is never answered."""

    message_id: str
    action: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Malformed:
    """A frame that can't be used.

    `reply_to`: it may have been a CALL, and its sender waits for an answer under this id. `answer_to`: it was meant as
    the answer to this id of ours; `is_result`: as a CALLRESULT.
    """

    code: ErrorCode
    problem: str
    reply_to: str | None = None
    answer_to: str | None = None
    is_unknown_type: bool = False
    is_result: bool = False


Frame = Call | CallResult | CallRefused | ResultRefused | Send | Malformed


def decode(data: bytes, *, has_send: bool = False) -> Frame:
    """Read one frame. Never raises: what can't be read is a `Malformed`. `has_send`: types 5 and 6 are known."""
    if data.isascii():
        try:
            if data.startswith(b"[2,"):
                _, message_id, action, raw = _usual_call(data)
                payload = bytes(raw)
                if payload.startswith(b"{") and payload.count(b"{") + payload.count(b"[") <= MAX_DEPTH:
                    return Call(message_id, action, payload)
            elif data.startswith(b"[3,"):
                _, message_id, raw = _usual_result(data)
                payload = bytes(raw)
                if payload.startswith(b"{"):
                    return CallResult(message_id, payload)
        except (msgspec.DecodeError, RecursionError):
            pass
    return _decode(data, has_send=has_send)


def _decode(data: bytes, *, has_send: bool) -> Frame:
    try:
        if not data.isascii():
            data.decode()
        parts = _decoder.decode(data)
        kind = bytes(parts[0]).strip(b'"') if parts else b""
        if kind in (b"2", b"2.0"):
            return _call(parts)
        if kind in (b"3", b"3.0"):
            return _result(parts)
        if kind in (b"4", b"4.0"):
            return _refused(parts)
        if has_send and kind in (b"6", b"6.0"):
            return _sent(parts)
        if has_send and kind in (b"5", b"5.0"):
            return _result_refused(parts)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _malformed(data, f"not a JSON array in UTF-8: {error}", has_send=has_send)
    return _unknown_type(parts, kind)


def _call(parts: list[msgspec.Raw]) -> Call | Malformed:
    message_id = _string(parts, 1)
    if message_id is None:
        return Malformed(ErrorCode.FORMAT_VIOLATION, "the message id is not a text", UNKNOWN_ID)
    action = _string(parts, 2)
    if action is None or len(parts) != 4:
        return Malformed(ErrorCode.FORMAT_VIOLATION, "a CALL is [2, id, action, payload]", message_id)
    payload = bytes(parts[3])
    if payload[:1] != b"{":
        return Malformed(ErrorCode.FORMAT_VIOLATION, "the payload is not an object", message_id)
    if _is_too_deep(payload):
        return Malformed(ErrorCode.FORMAT_VIOLATION, f"the payload is nested deeper than {MAX_DEPTH}", message_id)
    return Call(message_id, action, payload)


def _is_too_deep(payload: bytes) -> bool:
    """Whatever is booked must be readable later on by every reader, the least patient one included."""
    if payload.count(b"{") + payload.count(b"[") <= MAX_DEPTH:
        return False
    depth = 0
    for character in _STRING.sub(b"", payload).translate(None, _NO_BRACKETS):
        depth += 1 if character in b"{[" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def _result(parts: list[msgspec.Raw]) -> Frame:
    message_id = _string(parts, 1)
    if message_id is None or len(parts) != 3 or bytes(parts[2])[:1] != b"{":
        problem = "a CALLRESULT is [3, id, payload]"
        return Malformed(ErrorCode.FORMAT_VIOLATION, problem, answer_to=message_id, is_result=True)
    return CallResult(message_id, bytes(parts[2]))


def _refused(parts: list[msgspec.Raw]) -> CallRefused | Malformed:
    """Short CALLERRORs are taken: an error that says little is still an answer."""
    message_id = _string(parts, 1)
    if message_id is None:
        return Malformed(ErrorCode.FORMAT_VIOLATION, "a CALLERROR is [4, id, code, description, details]")
    return CallRefused(
        message_id,
        _string(parts, 2) or ErrorCode.GENERIC_ERROR,
        _string(parts, 3) or "",
        bytes(parts[4]) if len(parts) > 4 and bytes(parts[4])[:1] == b"{" else b"{}",
    )


def _sent(parts: list[msgspec.Raw]) -> Frame:
    """A SEND is read as strictly as a CALL, but nobody waits to hear what is wrong with it."""
    came = _call(parts)
    if isinstance(came, Call):
        return Send(came.message_id, came.action, came.payload)
    return Malformed(ErrorCode.FORMAT_VIOLATION, came.problem.replace("CALL is [2,", "SEND is [6,"))


def _result_refused(parts: list[msgspec.Raw]) -> Frame:
    came = _refused(parts)
    if isinstance(came, CallRefused):
        return ResultRefused(came.message_id, came.code, came.description, came.details)
    return Malformed(ErrorCode.FORMAT_VIOLATION, "a CALLRESULTERROR is [5, id, code, description, details]")


def _string(parts: list[msgspec.Raw], index: int) -> str | None:
    try:
        return _text.decode(parts[index])
    except (IndexError, ValueError):
        return None


def _malformed(data: bytes, problem: str, *, has_send: bool) -> Malformed:
    """If the broken text begins like a frame with a readable id, that id is kept."""
    found = _BEGINNING.match(data[:200])
    message_id = UNKNOWN_ID
    if found:
        try:
            message_id = _text.decode(found.group(2))[:_MAX_ECHOED_ID]
        except ValueError:
            message_id = UNKNOWN_ID
    problem = problem[:_MAX_DESCRIPTION]
    kind = found.group(1) if found else b""
    if kind in (b"3", b"4"):
        return Malformed(ErrorCode.FORMAT_VIOLATION, problem, answer_to=message_id, is_result=kind == b"3")
    if kind not in (b"5", b"6"):
        return Malformed(ErrorCode.FORMAT_VIOLATION, problem, reply_to=message_id)
    return Malformed(ErrorCode.FORMAT_VIOLATION, problem, reply_to=None if has_send else UNKNOWN_ID)


def _unknown_type(parts: list[msgspec.Raw], kind: bytes) -> Malformed:
    return Malformed(
        ErrorCode.MESSAGE_TYPE_NOT_SUPPORTED,
        f"unknown message type {kind[:20].decode(errors='replace')}",
        _string(parts, 1) or UNKNOWN_ID,
        is_unknown_type=True,
    )


def call(message_id: str, action: str, payload: bytes) -> bytes:
    """Encode a CALL; `payload` goes out byte for byte."""
    return b"[2,%b,%b,%b]" % (_encode(message_id), _encode(action), payload)


def send(message_id: str, action: str, payload: bytes) -> bytes:
    """Encode a SEND; `payload` goes out byte for byte."""
    return b"[6,%b,%b,%b]" % (_encode(message_id), _encode(action), payload)


def result(message_id: str, payload: bytes) -> bytes:
    """Encode a CALLRESULT; `payload` goes out byte for byte."""
    return b"[3,%b,%b]" % (_encode(message_id), payload)


def error(message_id: str, code: str, description: str, details: bytes = b"{}") -> bytes:
    """Encode a CALLERROR; the description is cut at 255 characters (OCPP 2.0.1 Part 4, 4.2.3)."""
    return _error(b"4", message_id, code, description, details)


def result_error(message_id: str, code: str, description: str, details: bytes = b"{}") -> bytes:
    """Encode a CALLRESULTERROR, cut likewise."""
    return _error(b"5", message_id, code, description, details)


def _error(kind: bytes, message_id: str, code: str, description: str, details: bytes) -> bytes:
    said = _encode(message_id), _encode(code), _encode(description[:_MAX_DESCRIPTION])
    return b"[%b,%b,%b,%b,%b]" % (kind, *said, details)
