"""Which bytes are the answer to a question."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.late_replies import Doubts, Heard, Question, ReplyGuard, answer_in, frames_in, heard
from tests.drivers.modbus_rig import with_crc

ASKED = Question(unit=1, function=4, at=0, count=3)


def reply(unit: int = 1, function: int = 4, count: int = 3, filling: int = 7) -> bytes:
    return with_crc(bytes((unit, function, 2 * count)) + bytes([filling]) * (2 * count))


RIGHT = reply()
REFUSAL = with_crc(b"\x01\x84\x02")
OTHERS = [reply(unit=2), reply(function=3), reply(count=4), reply(count=2), with_crc(b"\x02\x84\x02")]


@pytest.mark.parametrize("answer", [RIGHT, REFUSAL])
@pytest.mark.parametrize("before", [b"", b"\x00", b"\x01\x04", *OTHERS])
def test_the_answer_is_found_behind_what_does_not_belong_to_it(answer: bytes, before: bytes) -> None:
    assert answer_in(before + answer, ASKED) == answer
    assert heard(before + answer, ASKED).answers == 1


@pytest.mark.parametrize("other", OTHERS)
def test_a_sound_reply_to_another_question_is_no_answer(other: bytes) -> None:
    assert answer_in(other, ASKED) == b""
    assert heard(other, ASKED) == Heard(foreign=1)


@pytest.mark.parametrize(
    ("content", "judged"),
    [
        (b"", Heard()),
        (b"\x55\xaa\x55", Heard(is_noise=True)),
        (RIGHT[:-1], Heard(is_cut=True)),
        (RIGHT[:-1] + b"\x00", Heard(is_cut=True)),
        (RIGHT + b"\x55", Heard(answers=1, is_noise=True)),
        (reply(count=4) + RIGHT, Heard(answers=1, foreign=1)),
        (reply(count=4) + reply(count=5), Heard(foreign=2)),
    ],
)
def test_everything_that_came_is_judged(content: bytes, judged: Heard) -> None:
    assert heard(content, ASKED) == judged


@given(st.binary(max_size=40), st.integers(0, 10), st.integers(0, 255))
def test_a_changed_bit_is_never_an_answer(before: bytes, place: int, bits: int) -> None:
    broken = bytearray(RIGHT)
    broken[place] ^= bits
    found = answer_in(bytes(broken), ASKED)
    assert found == (RIGHT if bits == 0 else b"")
    assert frames_in(before + RIGHT) >= 1 or answer_in(before + RIGHT, ASKED) == RIGHT


def test_between_questions_nothing_passes() -> None:
    guard = ReplyGuard()
    assert guard.passed(RIGHT) == b""
    guard.ask(ASKED)
    assert guard.passed(RIGHT[:5]) == b""
    assert guard.passed(RIGHT) == RIGHT
    assert guard.is_answer(1, 4, 3)
    assert guard.is_answer(1, 0x84, 0)
    assert not guard.is_answer(1, 4, 4)
    assert not guard.is_answer(2, 4, 3)
    assert guard.done() == Heard(answers=1)
    assert guard.passed(RIGHT) == b""
    assert not guard.is_answer(1, 4, 3)
    assert guard.done() == Heard()


def test_a_repeated_question_may_have_got_the_answer_to_an_earlier_asking() -> None:
    doubts = Doubts()
    assert doubts.answered(ASKED, 10.0) == 10.0
    doubts.unanswered(ASKED, 11.0)
    doubts.unanswered(ASKED, 11.5)
    assert ASKED in doubts
    assert Question(1, 4, 0, 4) not in doubts
    assert doubts.answered(ASKED, 12.0) == 11.0
    assert doubts.answered(ASKED, 12.5) == 12.0, "its own answer may have been on its way still"
    assert doubts.answered(ASKED, 13.0) == 12.5
    assert ASKED not in doubts
    assert doubts.answered(ASKED, 13.5) == 13.5


def test_what_did_not_come_for_long_never_comes() -> None:
    doubts = Doubts()
    doubts.unanswered(ASKED, 10.0)
    doubts.unanswered(ASKED, 11.5)
    assert doubts.answered(ASKED, 13.0) == 11.5
    doubts.unanswered(ASKED, 20.0)
    assert doubts.answered(ASKED, 22.0) == 22.0
    assert ASKED not in doubts
