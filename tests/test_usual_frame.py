"""The usual frame reads and writes as the library's own does."""

import random

import pytest
from websockets.frames import BINARY, CLOSE, CONT, PING, TEXT, Frame, Opcode

from gateway.usual_frame import masked, message_in, plain

LENGTHS = (0, 1, 125, 126, 127, 1250, 65535, 65536, 70_000)
MOST = 1 << 20


def _written(data: bytes, *, is_masked: bool, opcode: Opcode = TEXT, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=is_masked)


@pytest.mark.parametrize("length", LENGTHS)
def test_what_is_written_is_what_the_library_writes(length: int) -> None:
    message = random.Random(length).randbytes(length)
    assert plain(message) == _written(message, is_masked=False)
    first, second = masked(message), masked(message)
    assert len(first) == len(_written(message, is_masked=True))
    if length >= 8:
        assert first != second, "a mask is used once"
    for frame in (first, second):
        assert message_in(frame, MOST, is_masked=True) == (message if length < 65536 else None)


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("length", LENGTHS)
def test_one_whole_text_is_read(length: int, is_masked: bool) -> None:
    message = random.Random(length).randbytes(length)
    frame = _written(message, is_masked=is_masked)
    is_usual = length < 65536
    assert message_in(frame, MOST, is_masked=is_masked) == (message if is_usual else None)
    assert message_in(frame, length, is_masked=is_masked) == (message if is_usual else None)
    assert message_in(frame, length - 1, is_masked=is_masked) is None, "longer than may be"
    assert message_in(frame, MOST, is_masked=not is_masked) is None, "masked by the wrong side"
    assert message_in(frame + b"\x81", MOST, is_masked=is_masked) is None, "the next frame has begun"
    cuts = {0, 1, 2, 3, 4, 5, 6, len(frame) // 2, len(frame) - 1}
    assert not any(message_in(frame[:cut], MOST, is_masked=is_masked) for cut in cuts if cut < len(frame))


@pytest.mark.parametrize("is_masked", [False, True])
def test_all_else_is_left_to_the_library(is_masked: bool) -> None:
    message = b'[3,"1",{}]'
    for opcode in (BINARY, CONT, PING, CLOSE):
        assert message_in(_written(message, is_masked=is_masked, opcode=opcode), MOST, is_masked=is_masked) is None
    part = _written(message, is_masked=is_masked, fin=False)
    assert message_in(part, MOST, is_masked=is_masked) is None
    reserved = bytes((part[0] | 0xC0,)) + part[1:]
    assert message_in(reserved, MOST, is_masked=is_masked) is None
