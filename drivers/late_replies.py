"""Keeps late and foreign RTU replies from being taken for the answer to the question just asked.

An RTU frame carries no number that ties it to its question, so a reply that comes after its time-out looks like the
answer to the next one: volts would be read as amperes. A reply passes here only if its unit, function, length and
checksum are those of the question; no block of a meter has the length of another (`register_plan`), and after
every failed read the line has to be quiet for a while (`bus`), so that what is late comes to nobody.

Stray bytes before a reply do not lose it: it is looked for anywhere in what came.
"""

from dataclasses import dataclass
from typing import Final

from pymodbus.framer import FramerRTU

FUNCTIONS: Final = {"holding": 3, "input": 4}
_ERROR: Final = 0x80
_SHORTEST: Final = 5
"""Bytes of an exception reply: unit, function, code, checksum."""


@dataclass(frozen=True, slots=True)
class Question:
    """A read of `count` registers. `function` is the number on the wire."""

    unit: int
    function: int
    at: int
    count: int

    def starts(self) -> tuple[tuple[bytes, int], ...]:
        """How an answer begins, and how many bytes it has."""
        answer = bytes((self.unit, self.function, 2 * self.count))
        return (answer, _SHORTEST + 2 * self.count), (bytes((self.unit, self.function | _ERROR)), _SHORTEST)


@dataclass(frozen=True, slots=True)
class Heard:
    """What came while one question was open, in frames."""

    answers: int = 0
    foreign: int = 0
    """Whole replies to some other question."""
    is_cut: bool = False
    """The answer began, but not all of it came, or its checksum is wrong."""
    is_noise: bool = False


class ReplyGuard:
    """One for a connection. Between `ask` and `done` it passes the answer; all other bytes go nowhere."""

    quiet_s = 0.2
    """Silence after a failed read."""
    quiet_if_alike_s = 1.0
    """The same, where two blocks of a meter have to be of one length."""

    def __init__(self) -> None:
        self._question: Question | None = None
        self._bytes = b""

    def ask(self, question: Question) -> None:
        self._question = question
        self._bytes = b""

    def passed(self, content: bytes) -> bytes:
        """`content` is all that came since the question was sent; b"": no answer to it."""
        self._bytes = content
        return b"" if self._question is None else answer_in(content, self._question)

    def is_answer(self, unit: int, function: int, registers: int) -> bool:
        """The same judgement of a decoded reply, for connections with frames of another kind."""
        question = self._question
        return (
            question is not None
            and (unit, function & ~_ERROR) == (question.unit, question.function)
            and (function & _ERROR != 0 or registers == question.count)
        )

    def done(self) -> Heard:
        """Closes the question."""
        question, content = self._question, self._bytes
        self._question, self._bytes = None, b""
        return Heard() if question is None else heard(content, question)


def answer_in(content: bytes, question: Question) -> bytes:
    """The frame that answers the question, or b""."""
    for start, length in question.starts():
        place = content.find(start)
        while place >= 0:
            frame = content[place : place + length]
            if len(frame) == length and _is_sound(frame):
                return frame
            place = content.find(start, place + 1)
    return b""


def heard(content: bytes, question: Question) -> Heard:
    """Judges everything that came, for the counters."""
    if answer := answer_in(content, question):
        rest = content.replace(answer, b"", 1)
        return Heard(answers=1, foreign=frames_in(rest), is_noise=bool(rest) and not frames_in(rest))
    foreign = frames_in(content)
    is_cut = any(start in content for start, _ in question.starts())
    return Heard(foreign=foreign, is_cut=is_cut, is_noise=bool(content) and not foreign and not is_cut)


def frames_in(content: bytes) -> int:
    """How many whole replies to reads are in there, whoever asked."""
    count = place = 0
    while place + _SHORTEST <= len(content):
        function = content[place + 1]
        length = _SHORTEST if function & _ERROR else _SHORTEST + content[place + 2]
        frame = content[place : place + length]
        if function & ~_ERROR in FUNCTIONS.values() and len(frame) == length and _is_sound(frame):
            count += 1
            place += length
        else:
            place += 1
    return count


def _is_sound(frame: bytes) -> bool:
    return FramerRTU.compute_CRC(frame[:-2]) == int.from_bytes(frame[-2:], "big")
