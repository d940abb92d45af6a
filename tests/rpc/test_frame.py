"""Frames: what can be read is read byte for byte, what can't be read says whom it was meant for."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.rpc import frame
from gateway.rpc.codes import FRAMING_J16, FRAMING_J201, ErrorCode
from gateway.rpc.frame import UNKNOWN_ID, Call, CallRefused, CallResult, Malformed

_TEXTS = st.text(st.characters(codec="utf-8"))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)
_OBJECTS = st.dictionaries(_TEXTS, _JSON, max_size=4)


@st.composite
def _payloads(draw: st.DrawFn) -> bytes:
    """An object in one of the spellings JSON allows."""
    return json.dumps(
        draw(_OBJECTS), ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1, "\t"]))
    ).encode()


# -- round trip -----------------------------------------------------------------------------------------------------


@given(_TEXTS, _TEXTS, _payloads())
@example("", "", b"{}")
def test_a_call_survives_and_its_payload_bytes_are_untouched(message_id: str, action: str, payload: bytes) -> None:
    assert frame.decode(frame.call(message_id, action, payload)) == Call(message_id, action, payload)


@given(_TEXTS, _payloads())
def test_a_result_survives_and_its_payload_bytes_are_untouched(message_id: str, payload: bytes) -> None:
    assert frame.decode(frame.result(message_id, payload)) == CallResult(message_id, payload)


@given(_TEXTS, st.text(st.characters(codec="utf-8"), min_size=1), _TEXTS, _payloads())
@example("1", "GenericError", "x" * 300, b"{}")
def test_an_error_survives_with_its_description_cut_at_255(
    message_id: str, code: str, description: str, details: bytes
) -> None:
    data = frame.error(message_id, code, description, details)
    assert frame.decode(data) == CallRefused(message_id, code, description[:255], details)


@given(_payloads(), st.sampled_from(["", " ", "\t", "\r\n"]))
def test_space_around_the_parts_is_not_part_of_the_payload(payload: bytes, space: str) -> None:
    s = space.encode()
    data = s + b"[" + s + b"2" + s + b"," + s + b'"a"' + s + b"," + s + b'"B"' + s + b"," + s + payload + s + b"]" + s
    assert frame.decode(data) == Call("a", "B", payload)


@given(st.binary(max_size=60) | _TEXTS.map(str.encode) | st.binary(max_size=20).map(lambda tail: b'[2,"a",' + tail))
def test_nothing_makes_the_decoder_raise(data: bytes) -> None:
    assert isinstance(frame.decode(data), Call | CallResult | CallRefused | Malformed)


@given(st.lists(_JSON, max_size=6), st.integers(-1, 7))
def test_any_array_has_exactly_one_addressee_at_most(parts: list[object], kind: int) -> None:
    came = frame.decode(json.dumps([kind, *parts]).encode())
    if isinstance(came, Malformed):
        assert came.reply_to is None or came.answer_to is None
        assert came.is_unknown_type == (kind not in (2, 3, 4))
    else:
        assert kind in (2, 3, 4)
        assert came.message_id == parts[0]


def test_five_mebibytes_pass_unchanged() -> None:
    payload = b'{"data":"' + b"x" * (5 * 1024 * 1024) + b'"}'
    assert frame.decode(frame.call("a", "DataTransfer", payload)) == Call("a", "DataTransfer", payload)


def test_numbers_keep_every_digit() -> None:
    payload = b'{"a":' + b"9" * 5000 + b',"b":1.000000000000000000001,"c":-0.0,"d":1E+400}'
    assert frame.decode(frame.call("a", "B", payload)) == Call("a", "B", payload)


def test_a_duplicate_member_is_relayed_as_it_came() -> None:
    payload = b'{"x":1,"x":2}'
    assert frame.decode(frame.call("a", "B", payload)) == Call("a", "B", payload)


# -- depth ----------------------------------------------------------------------------------------------------------


def _nested(depth: int, inner: bytes = b"") -> bytes:
    """A payload of so many levels, the object itself being one."""
    half = (depth - 1) // 2
    opened, closed = b'[{"b":' * half, b"}]" * half
    value = b"[" + inner + b"]" if (depth - 1) % 2 else inner or b"0"
    return b'{"a":' + opened + value + closed + b"}"


def test_a_payload_is_taken_as_deep_as_every_later_reader_reads_it() -> None:
    for depth in (1, 2, 63, frame.MAX_DEPTH):
        assert frame.decode(frame.call("a", "B", _nested(depth))) == Call("a", "B", _nested(depth))
    came = frame.decode(frame.call("a", "B", _nested(frame.MAX_DEPTH + 1)))
    assert isinstance(came, Malformed)
    assert (came.code, came.reply_to) == (ErrorCode.FORMAT_VIOLATION, "a")


def test_breadth_and_brackets_in_texts_are_no_depth() -> None:
    wide = b'{"a":[' + b",".join([b'{"b":[[]]}'] * 500) + b"]}"
    texts = b'{"a\\"{":["' + b"[{" * 500 + b'","\\\\","' + b"]}" * 70 + b'"],"b":"\\"[[["}'
    for payload in (wide, texts, _nested(64, b'"' + b"[" * 100 + b'"')):
        assert frame.decode(frame.call("a", "B", payload)) == Call("a", "B", payload)


# -- what other people's stations send -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [b"2", b"2.0", b'"2"', b'"2.0"'])
def test_a_type_written_as_text_or_float_is_taken(kind: bytes) -> None:
    assert frame.decode(b"[" + kind + b',"a","B",{}]') == Call("a", "B", b"{}")
    assert frame.decode(b"[" + kind.replace(b"2", b"3") + b',"a",{}]') == CallResult("a", b"{}")
    assert frame.decode(b"[" + kind.replace(b"2", b"4") + b',"a","X","",{}]') == CallRefused("a", "X", "")


@pytest.mark.parametrize(
    ("data", "code", "description", "details"),
    [
        (b'[4,"a"]', "GenericError", "", b"{}"),
        (b'[4,"a","InternalError"]', "InternalError", "", b"{}"),
        (b'[4,"a","InternalError","why"]', "InternalError", "why", b"{}"),
        (b'[4,"a",null,null,null]', "GenericError", "", b"{}"),
        (b'[4,"a","",5,[1]]', "GenericError", "", b"{}"),
        (b'[4,"a","NoSuchCode","why",{"x":1},"more"]', "NoSuchCode", "why", b'{"x":1}'),
    ],
)
def test_an_error_that_says_little_is_still_an_answer(data: bytes, code: str, description: str, details: bytes) -> None:
    assert frame.decode(data) == CallRefused("a", code, description, details)


# -- malformed: reply_to --------------------------------------------------------------------------------------------


def _is_refused(data: bytes, reply_to: str) -> None:
    came = frame.decode(data)
    assert isinstance(came, Malformed)
    assert (came.code, came.reply_to, came.answer_to) == (ErrorCode.FORMAT_VIOLATION, reply_to, None)
    assert not came.is_unknown_type
    assert frame.decode(frame.error(reply_to, came.code, came.problem)) != came  # it can be said on the wire


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"null",
        b"{}",
        b'"text"',
        b"12",
        b"\x00",
        b"\xff\xfe",
        b"hello",
        b"[",
        b"[2",
        b"[2]",
        b'\xef\xbb\xbf[2,"a","B",{}]',
        b'[2,1,"B",{}]',
        b'[2,null,"B",{}]',
        b'[2,["a"],"B",{}]',
        b'[2,true,"B",{}]',
        b'[2,"\\ud800","B",{}]',
        b'[2,"\xff","B",{}]',
        b'[2,"a\x01","B",{}]',
        b'[2,"unfinished',
        b"[" * 10_000,
        b"[" * 10_000 + b"]" * 10_000,
    ],
    ids=repr,
)
def test_a_call_without_a_readable_id_is_answered_under_the_unknown_id(data: bytes) -> None:
    _is_refused(data, UNKNOWN_ID)


@pytest.mark.parametrize(
    "data",
    [
        b'[2,"id-1"]',
        b'[2,"id-1","B"]',
        b'[2,"id-1",{}]',
        b'[2,"id-1","B",{},{}]',
        b'[2,"id-1",7,{}]',
        b'[2,"id-1",null,{}]',
        b'[2,"id-1","B",null]',
        b'[2,"id-1","B",[]]',
        b'[2,"id-1","B","{}"]',
        b'[2,"id-1","B",5]',
        b'[2,"id-1","B",{}',
        b'[2,"id-1","B",{"a":1}}',
        b'[2,"id-1","B",{}] trailing',
        b'[2,"id-1","B",{}]\x00',
        b'[2,"id-1","B",{"a":1,}]',
        b'[2,"id-1","B",{\'a\':1}]',
        b'[2,"id-1","B",{"a":NaN}]',
        b'[2,"id-1","B",{"a":Infinity}]',
        b'[2,"id-1","B",{"a":-Infinity}]',
        b'[2,"id-1","B",{"a":01}]',
        b'[2,"id-1","B",{"a":1.}]',
        b'[2,"id-1","B",{"a":.5}]',
        b'[2,"id-1","B",{"a":"\\ud800"}]',
        b'[2,"id-1","B",{"a":"\\udc00\\ud800"}]',
        b'[2,"id-1","B",{"a":"\\x41"}]',
        b'[2,"id-1","B",{"a":"\n"}]',
        b'[2,"id-1","B",{"a":"\xff"}]',
        b'[2,"id-1","B",{"a":"\xed\xa0\x80"}]',
        b'[2,"id-1","B",{"a":"\xc0\xaf"}]',
        b'[2,"id-1","\\ud800",{}]',
        b'[2 , "id-1" , "B" , {"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}]",
        b'["2","id-1","B",{"a":tru}]',
        b'[2.0,"id-1","B"',
    ],
    ids=lambda data: repr(data)[:60],
)
def test_a_broken_call_is_answered_under_its_own_id(data: bytes) -> None:
    _is_refused(data, "id-1")


def test_a_problem_fits_the_description_of_the_answer() -> None:
    came = frame.decode(b'[2,"a","B",' + b"\xff" * 5000)
    assert isinstance(came, Malformed)
    assert 0 < len(came.problem) <= 255


def test_a_broken_frame_does_not_make_us_echo_a_long_id() -> None:
    came = frame.decode(b'[2,"' + b"x" * 60_000 + b'","B",{"a":}]')
    assert isinstance(came, Malformed)
    assert came.reply_to is not None
    assert len(came.reply_to) <= 64


def test_an_escaped_id_of_a_broken_call_is_unescaped() -> None:
    _is_refused(b'[2,"a\\"b\\u20ac","B",{]', 'a"b€')


# -- malformed: answer_to -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b'[3,"id-1"]',
        b'[3,"id-1",null]',
        b'[3,"id-1",[]]',
        b'[3,"id-1",{},{}]',
        b'[3,"id-1","Action",{}]',
        b'[3,"id-1",{',
        b'[3,"id-1",{"a":NaN}]',
        b'[3,"id-1",{"a":"\xff"}]',
        b'["3","id-1",{"a":}]',
        b'[4,"id-1","GenericError","half',
        b'[4,"id-1","GenericError","\\ud800",{}]',
    ],
)
def test_a_broken_answer_ends_the_wait_of_its_question(data: bytes) -> None:
    came = frame.decode(data)
    assert isinstance(came, Malformed)
    assert (came.reply_to, came.answer_to) == (None, "id-1")


@pytest.mark.parametrize("data", [b"[3]", b"[3,5,{}]", b"[4]", b'[4,null,"GenericError","",{}]', b"[3,null,{}]"])
def test_a_broken_answer_to_nobody_is_never_answered(data: bytes) -> None:
    came = frame.decode(data)
    assert isinstance(came, Malformed)
    assert came.reply_to is None


# -- unknown types --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["0", "1", "5", "6", "22", "-2", "2.5", "true", "null", "{}", '"CALL"', '"€"'])
def test_an_unknown_type_is_told_apart(kind: str) -> None:
    came = frame.decode(f'[{kind},"id-1",{{}}]'.encode())
    assert isinstance(came, Malformed)
    assert came.is_unknown_type
    assert (came.code, came.reply_to, came.answer_to) == (ErrorCode.MESSAGE_TYPE_NOT_SUPPORTED, "id-1", None)


def test_an_empty_array_is_answered_under_the_unknown_id() -> None:
    came = frame.decode(b"[]")
    assert isinstance(came, Malformed)
    assert came.reply_to == UNKNOWN_ID


# -- spelling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "in_16", "in_201"),
    [
        (ErrorCode.FORMAT_VIOLATION, "FormationViolation", "FormatViolation"),
        (ErrorCode.FORMATION_VIOLATION, "FormationViolation", "FormatViolation"),
        (ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION, "OccurenceConstraintViolation", "OccurrenceConstraintViolation"),
        (ErrorCode.MESSAGE_TYPE_NOT_SUPPORTED, "GenericError", "MessageTypeNotSupported"),
        (ErrorCode.RPC_FRAMEWORK_ERROR, "GenericError", "RpcFrameworkError"),
        (ErrorCode.PROPERTY_CONSTRAINT_VIOLATION, "PropertyConstraintViolation", "PropertyConstraintViolation"),
        ("VendorsOwn", "VendorsOwn", "VendorsOwn"),
    ],
)
def test_every_code_is_written_as_its_version_writes_it(code: str, in_16: str, in_201: str) -> None:
    assert (FRAMING_J16.spell(code), FRAMING_J201.spell(code)) == (in_16, in_201)
    assert FRAMING_J201.spell(in_16) == in_201 or in_16 == "GenericError"
