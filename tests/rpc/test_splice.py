"""Splices: the named member changes, and not one byte besides."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.rpc import frame
from gateway.rpc.splice import REMOVE, SpliceError, splice

_SPACES = st.text(" \t\r\n", max_size=3)
_NAMES = st.sampled_from(["a", "b", "transactionId", "ä€", 'q"\\/', "", "😀", "0"])


@dataclass(frozen=True)
class _Written:
    """A JSON text made by hand, and the same as Python sees it (the last of two equal names wins)."""

    text: str
    value: Any


@st.composite
def _string(draw: st.DrawFn, value: str | None = None) -> str:
    """A JSON string with some of its characters escaped."""
    chosen = draw(_NAMES | st.text(st.characters(codec="utf-8"), max_size=4)) if value is None else value
    spelled = []
    for character in chosen:
        if character in '"\\' or ord(character) < 32 or draw(st.booleans()):
            units = character.encode("utf-16-be")
            spelled.append("".join(f"\\u{units[i]:02x}{units[i + 1]:02X}" for i in range(0, len(units), 2)))
        else:
            spelled.append(character)
    return '"' + "".join(spelled) + '"'


@st.composite
def _value(draw: st.DrawFn, depth: int = 3) -> _Written:
    kinds = ["number", "string", "word"] + (["object", "array"] if depth else [])
    match draw(st.sampled_from(kinds)):
        case "number":
            text = draw(st.sampled_from(["0", "-0", "1.50", "1e5", "-12E+2", "9" * 40, "0.000100"]))
        case "string":
            text = draw(_string())
        case "word":
            text = draw(st.sampled_from(["true", "false", "null"]))
        case "object":
            return draw(_object(depth - 1))
        case _:
            items = draw(st.lists(_value(depth - 1), max_size=3))
            text = "[" + draw(_SPACES)
            text += (draw(_SPACES) + "," + draw(_SPACES)).join(item.text for item in items) + draw(_SPACES) + "]"
    return _Written(text, json.loads(text))


@st.composite
def _object(draw: st.DrawFn, depth: int = 3, has_twins: bool = False) -> _Written:
    names = draw(st.lists(_NAMES, max_size=4, unique=not has_twins))
    members = []
    for name in names:
        between = draw(_SPACES) + ":" + draw(_SPACES)
        members.append(draw(_SPACES) + draw(_string(name)) + between + draw(_value(depth)).text + draw(_SPACES))
    text = "{" + ",".join(members) + draw(_SPACES if not members else st.just("")) + "}"
    return _Written(text, json.loads(text))


def _paths(value: Any, prefix: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every path there is in a value."""
    found: list[tuple[str | int, ...]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in items:
        found += [(*prefix, step), *_paths(inner, (*prefix, step))]
    return found


def _expected(value: Any, path: Sequence[str | int], new: Any) -> Any:
    copy = json.loads(json.dumps(value))
    parent = copy
    for step in path[:-1]:
        parent = parent[step]
    if new is REMOVE:
        del parent[path[-1]]
    else:
        parent[path[-1]] = new
    return copy


def _common(before: bytes, after: bytes) -> tuple[int, int]:
    """How many bytes are the same at the beginning and at the end."""
    head = 0
    while head < min(len(before), len(after)) and before[head] == after[head]:
        head += 1
    tail = 0
    while tail < min(len(before), len(after)) - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    return head, tail


@given(st.data())
def test_replacing_changes_the_one_value_and_no_other_byte(data: st.DataObject) -> None:
    written = data.draw(_object())
    paths = _paths(written.value)
    assume(paths)
    path = data.draw(st.sampled_from(paths))
    marked = splice(written.text.encode(), path, b'"<<MARK>>"')
    before, mark, after = marked.partition(b'"<<MARK>>"')
    assert mark
    assert json.loads(marked) == _expected(written.value, path, "<<MARK>>")
    old = written.text.encode()
    assert old.startswith(before)
    assert old.endswith(after)
    replaced = old[len(before) : len(old) - len(after)]
    value = written.value
    for step in path:
        value = value[step]
    assert json.loads(replaced) == value
    assert replaced == replaced.strip()
    assert splice(marked, path, replaced) == old


@given(st.data())
def test_inserting_leaves_all_old_bytes_in_one_piece_on_each_side(data: st.DataObject) -> None:
    written = data.draw(_object())
    objects = [(), *(path for path in _paths(written.value) if isinstance(_at(written.value, path), dict))]
    parent = data.draw(st.sampled_from(objects))
    name = data.draw(st.sampled_from(["new", "ü", 'q"']))
    old = written.text.encode()
    new = splice(old, (*parent, name), b"[1.0]")
    assert json.loads(new) == _expected(written.value, (*parent, name), [1.0])
    assert sum(_common(old, new)) == len(old)
    assert b"[1.0]" in new
    again = splice(new, (*parent, name), REMOVE)
    assert json.loads(again) == written.value


@given(st.data())
def test_removing_takes_the_member_and_one_comma(data: st.DataObject) -> None:
    written = data.draw(_object())
    paths = _paths(written.value)
    assume(paths)
    path = data.draw(st.sampled_from(paths))
    old = written.text.encode()
    new = splice(old, path, REMOVE)
    assert json.loads(new) == _expected(written.value, path, REMOVE)
    head, tail = _common(old, new)
    assert head + tail == len(new)
    assert len(new) < len(old)


@given(st.data())
def test_members_that_stand_twice_are_all_changed(data: st.DataObject) -> None:
    written = data.draw(_object(has_twins=True))
    assume(written.value)
    name = data.draw(st.sampled_from(sorted(written.value)))
    old = written.text.encode()
    changed = splice(old, (name,), b"12345")
    pairs = json.loads(changed, object_pairs_hook=list)
    before = json.loads(old, object_pairs_hook=list)
    assert [key for key, _ in pairs] == [key for key, _ in before]
    assert all(value == 12345 for key, value in pairs if key == name)
    assert [value for key, value in pairs if key != name] == [value for key, value in before if key != name]
    removed = json.loads(splice(old, (name,), REMOVE), object_pairs_hook=list)
    assert removed == [pair for pair in before if pair[0] != name]


def _at(value: Any, path: Sequence[str | int]) -> Any:
    for step in path:
        value = value[step]
    return value


@pytest.mark.parametrize(
    ("payload", "path", "value", "expected"),
    [
        (b'{"a":1}', ("a",), b"2", b'{"a":2}'),
        (b'{ "a" : 1 , "b":2}', ("a",), b"2", b'{ "a" : 2 , "b":2}'),
        (b'{"\\u0061":1}', ("a",), b"2", b'{"\\u0061":2}'),
        (b'{"x":{"a":1},"a":3}', ("x", "a"), b"2", b'{"x":{"a":2},"a":3}'),
        (b'{"x":[{"a":1},{"a":1}]}', ("x", 1, "a"), b"2", b'{"x":[{"a":1},{"a":2}]}'),
        (b'{"a":"}\\"a\\":,{"}', ("a",), b"2", b'{"a":2}'),
        (b"{}", ("a",), b"2", b'{"a":2}'),
        (b"{ }", ("a",), b"2", b'{"a":2 }'),
        (b'{ "b":1}', ("a",), b"2", b'{"a":2, "b":1}'),
        (b'{"x":{}}', ("x", "a"), b"2", b'{"x":{"a":2}}'),
        (b'{"a":1}', ("a",), REMOVE, b"{}"),
        (b'{"a":1,"b":2}', ("a",), REMOVE, b'{"b":2}'),
        (b'{"a":1,"b":2}', ("b",), REMOVE, b'{"a":1}'),
        (b'{"a":1 , "b":2 }', ("b",), REMOVE, b'{"a":1  }'),
        (b'{"a":1,"b":2,"a":3}', ("a",), REMOVE, b'{"b":2}'),
        (b'{"a":1,"a":3}', ("a",), REMOVE, b"{}"),
        (b'{"b":1,"a":1,"a":3}', ("a",), REMOVE, b'{"b":1}'),
        (b'{"a":1}', ("b",), REMOVE, b'{"a":1}'),
        (b'{"a":1}', ("x", "y", "b"), REMOVE, b'{"a":1}'),
        (b'{"x":[1,2,3]}', ("x", 0), REMOVE, b'{"x":[2,3]}'),
        (b'{"x":[1,2,3]}', ("x", 2), REMOVE, b'{"x":[1,2]}'),
        (b'{"x":[1]}', ("x", 0), REMOVE, b'{"x":[]}'),
        (b'{"x":[1]}', ("x", 5), REMOVE, b'{"x":[1]}'),
        (b'{"x":1,"x":{"a":1}}', ("x", "a"), b"2", b'{"x":1,"x":{"a":2}}'),
    ],
)
def test_by_example(payload: bytes, path: tuple[str | int, ...], value: bytes | None, expected: bytes) -> None:
    assert splice(payload, path, value) == expected


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        (b"", ("a",)),
        (b"null", ("a",)),
        (b'"a"', ("a",)),
        (b"7", ("a",)),
        (b"\xff", ("a",)),
        (b"{", ("a",)),
        (b'{"a"', ("a",)),
        (b'{"a":', ("a",)),
        (b'{"a":1', ("b",)),
        (b'{"a":1,', ("b",)),
        (b'{"a" 1}', ("a",)),
        (b'{"b":1 "a":1}', ("a",)),
        (b"{a:1}", ("a",)),
        (b'{"a":1}', ()),
        (b'{"a":1}', ("a", "b")),
        (b'{"a":1}', ("x", "b")),
        (b'{"a":[1]}', ("a", 1)),
        (b'{"a":[1]}', ("a", "b")),
        (b'{"a":{}}', ("a", 0)),
        (b'{"a":[]}', ("a", 0, "b")),
        (b'{"0":1}', (0,)),
        (b'{"a":[1]}', ("a", "0")),
    ],
    ids=lambda part: repr(part)[:40],
)
def test_where_there_is_no_way_there_is_an_error(payload: bytes, path: tuple[str | int, ...]) -> None:
    with pytest.raises(SpliceError):
        splice(payload, path, b"1")


def test_depth_is_no_crash() -> None:
    payload = b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
    with contextlib.suppress(SpliceError):
        assert splice(payload, ("a",), b"1") == b'{"a":1}'


def test_signed_data_beside_the_member_is_untouched() -> None:
    signed = '"signedMeterData" :\t"OCMF|{\\"FV\\":\\"1.0\\"}|\\u00e4" , "n":1.0e-07'
    payload = f'{{"transactionId":17,{signed}}}'.encode()
    assert splice(payload, ("transactionId",), b"4711") == f'{{"transactionId":4711,{signed}}}'.encode()


def test_a_number_of_any_length_can_be_skipped() -> None:
    payload = b'{"vendor":' + b"9" * 5000 + b',"transactionId":1}'
    assert isinstance(frame.decode(frame.call("a", "StopTransaction", payload)), frame.Call)
    assert splice(payload, ("transactionId",), b"2") == payload[:-2] + b"2}"


def test_what_the_decoder_takes_the_splice_can_change() -> None:
    """A booked Stop that can't be bound blocks its station's queue for good."""
    low, high = 1, 50_000
    while high - low > 1:
        middle = (low + high) // 2
        data = frame.call("a", "StopTransaction", _nested(middle))
        low, high = (middle, high) if isinstance(frame.decode(data), frame.Call) else (low, middle)
    assert splice(_nested(low), ("transactionId",), b"2").endswith(b"2}")


def _nested(depth: int) -> bytes:
    return b'{"vendor":' + b"[" * depth + b"]" * depth + b',"transactionId":1}'
