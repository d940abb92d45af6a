"""Frames and splices under hypothesis, against Python's own JSON as the judge, and the kit itself."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.dialects import registry
from gateway.rpc import frame
from gateway.rpc.frame import Call, CallResult, Malformed
from gateway.rpc.session import Session
from gateway.rpc.splice import REMOVE, SpliceError, splice
from tests.bad_input.handshakes import REQUESTS, RESPONSES
from tests.bad_input.kit import JSON_CLASSES, MASKING, SOCKET_CLASSES
from tests.bad_input.mutator import VALID, Mutator

FRAMINGS = [dialect.framing for dialect in registry.ALL]


def test_classes_have_names_of_their_own() -> None:
    for classes in ((*JSON_CLASSES, *SOCKET_CLASSES, *MASKING.values()), REQUESTS, RESPONSES):
        names = [bad.name for bad in classes]
        assert len(names) == len(set(names))


def read_strictly(data: bytes) -> Any:
    """What Python's JSON makes of it. Raises ValueError for all that is no JSON."""

    def no(word: str) -> Any:
        raise ValueError(word)

    found = json.loads(data.decode(), parse_constant=no, parse_int=str, parse_float=str)
    json.dumps(found, ensure_ascii=False).encode()  # a lone surrogate can't be encoded
    return found


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A valid frame after some changes: bytes replaced, taken out, put in, said twice."""
    data = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        until = draw(st.integers(at, len(data)))
        data[at:until] = draw(
            st.sampled_from([b"", b'"', b"\\", b",", b"[", b"]", b"{", b"}", b":", b"\\ud83d", b"\\udd0c", b"\xff"])
            | st.binary(max_size=4)
            | st.just(bytes(data[at:until]) * 2)
        )
    return bytes(data)


@given(damaged())
@example(b'[2,"a","B",{"x":"\\ud800","y":"1234","z":2}]')
@example(b'[2,"a","B",{"x":"\\ud83d\\udd0c"}]')
def test_a_frame_is_read_as_json_reads_it_or_not_at_all(data: bytes) -> None:
    """Where two readers could see different borders, one message could hide inside of another."""
    came = frame.decode(data)
    if isinstance(came, Malformed):
        return
    parts = read_strictly(data)
    assert isinstance(parts, list)
    assert parts[1] == came.message_id
    if isinstance(came, Call):
        assert (str(parts[0]), parts[2]) in (("2", came.action), ("2.0", came.action))
        assert read_strictly(came.payload) == parts[3]
        assert came.payload in data
    elif isinstance(came, CallResult):
        assert read_strictly(came.payload) == parts[2]


@given(damaged())
def test_a_call_that_json_can_read_is_taken(data: bytes) -> None:
    try:
        parts = read_strictly(data)
    except (ValueError, RecursionError):
        assert isinstance(frame.decode(data), Malformed)
        return
    is_call = isinstance(parts, list) and len(parts) == 4 and parts[0] == "2"
    if is_call and isinstance(parts[1], str) and isinstance(parts[2], str) and isinstance(parts[3], dict):
        assert frame.decode(data) == Call(parts[1], parts[2], frame.decode(data).payload)  # type: ignore[union-attr]


@given(st.lists(damaged(), max_size=8), st.sampled_from(FRAMINGS))
def test_a_session_answers_a_frame_at_most_once_and_in_json(frames: list[bytes], framing: Any) -> None:
    session = Session(framing)
    for number, data in enumerate(frames):
        before = len(session.outgoing)
        came = session.receive(data, float(number))
        answers = list(session.outgoing)[before:]
        assert len(answers) <= 1
        for answer in answers:
            assert isinstance(came, Malformed)
            kind, message_id, code, description, details = read_strictly(answer)
            assert (kind, details) == ("4", {})
            assert isinstance(message_id, str)
            assert code in {framing.spell("FormatViolation"), framing.spell("MessageTypeNotSupported")}
            assert len(description) <= 255
    assert session.is_idle


@given(
    damaged(), st.lists(st.sampled_from(["x", "connectorId", "meterValue", 0, "transactionId"]), min_size=1, max_size=3)
)
def test_a_splice_changes_the_one_member_or_says_that_it_can_not(data: bytes, path: list[str | int]) -> None:
    came = frame.decode(data)
    if not isinstance(came, Call | CallResult):
        return
    for value in (b"7", REMOVE):
        try:
            changed = splice(came.payload, path, value)
        except SpliceError:
            continue
        found, expected = read_strictly(changed), read_strictly(came.payload)
        _apply(expected, path, None if value is REMOVE else "7")
        assert found == expected


def _apply(found: Any, path: list[str | int], value: str | None) -> None:
    *parents, last = path
    for step in parents:
        if (isinstance(found, dict) and step not in found) or (
            isinstance(found, list) and step not in range(len(found))
        ):
            return
        found = found[step]
    if value is not None:
        found[last] = value
    elif isinstance(found, dict):
        found.pop(last, None)
    elif isinstance(last, int) and last < len(found):
        del found[last]


def test_mutated_frames_never_make_a_session_raise(seed: int) -> None:
    mutator = Mutator(seed)
    for framing in FRAMINGS:
        session = Session(framing)
        for number in range(2000):
            for one in mutator.batch(1).frames:
                came = session.receive(one.payload, float(number))
                if isinstance(came, Call):
                    session.answer(came, b"{}")
        session.close()
