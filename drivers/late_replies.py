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


_LATEST_S: Final = 2.0
"""A reply that comes later than this is taken to come never."""
_ANSWERS: Final = 3
"""So many answers in a row have to come before a question is trusted again."""


class Doubts:
    """Which answers may be those to an earlier asking of the same question, and so be older than they seem.

    Each late reply that is taken leaves the reply to the question that was just asked on its way: so doubt outlasts
    the first answer.
    """

    def __init__(self) -> None:
        self._asked: dict[Question, list[float]] = {}
        self._left: dict[Question, int] = {}

    def __contains__(self, question: Question) -> bool:
        return question in self._asked

    def unanswered(self, question: Question, sent_at: float) -> None:
        self._asked[question] = [*self._recent(question, sent_at), sent_at]
        self._left[question] = _ANSWERS

    def answered(self, question: Question, sent_at: float) -> float:
        """When the question was asked that this answers, at the earliest."""
        earlier = self._recent(question, sent_at)
        self._left[question] = self._left.get(question, 0) - 1
        if earlier and self._left[question] > 0:
            self._asked[question] = [sent_at]
        else:
            self._asked.pop(question, None)
            del self._left[question]
        return min(earlier, default=sent_at)

    def _recent(self, question: Question, sent_at: float) -> list[float]:
        return [at for at in self._asked.get(question, ()) if sent_at - at < _LATEST_S]


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
