"""What a heard stream of bytes is, and how long to listen with which line settings. Pure.

The probe writes on a line only if nothing at all was heard on it: a line with another master must not be disturbed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pymodbus.framer import FramerRTU


@dataclass(frozen=True, slots=True, order=True)
class Settings:
    """Line settings."""

    baud: int
    bits: int = 8
    parity: str = "N"
    stop: int = 1

    def __str__(self) -> str:
        return f"{self.baud} {self.bits}{self.parity}{self.stop}"

    def seconds(self, size: int) -> float:
        """How long so many bytes are on the line."""
        return size * (1 + self.bits + self.stop + (self.parity != "N")) / self.baud


class Sound(StrEnum):
    """What speaks on a line."""

    P1 = "p1"
    P1_ENCRYPTED = "p1-encrypted"
    SML = "sml"
    HDLC = "hdlc"
    MODBUS = "modbus"
    """Another master, or what it asks."""


LISTENED: Final = (
    Settings(115_200),
    Settings(9600, 7, "E"),
    Settings(9600),
    Settings(2400, 8, "E"),
    Settings(2400),
)
"""P1 since DSMR 4; P1 before that; SML; HDLC of Nordic meters, both ways. What is sent at any speed is heard as some
bytes at the highest one, so the first is listened to longest."""
_IF_THERE_IS_TALK: Final = (Settings(9600, 8, "E"), Settings(19_200, 8, "E"), Settings(19_200), Settings(38_400))
"""Where a Modbus master may be recognised, to name it."""
_SHORT: Final = 0.25
GLITCH: Final = 2
"""So many bytes may come by themselves when a port is opened, or an adapter turns from sending to listening. The
shortest question of a master has eight, and at a wrong speed no fewer bytes are heard."""

_OBIS_LINE = re.compile(rb"\d-\d{1,3}:\d{1,3}\.\d{1,3}\.\d{1,3}[^\r\n(]{0,8}\([^\r\n]*\)\r?\n")
_P1_START = re.compile(rb"/[A-Za-z]{3}[^\r\n]{1,40}\r?\n")
_P1_END = re.compile(rb"\n!(?:[0-9A-F]{4})?\0?\r?\n")
_P1_ENCRYPTED = re.compile(rb"\xdb\x08[A-Za-z]{3}.{5}\x82..\x30", re.DOTALL)
_SML = b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01"
_FLAG: Final = 0x7E
_REQUEST: Final = 8
_READS: Final = (1, 2, 3, 4)
_WRITES: Final = (5, 6)


@dataclass(frozen=True, slots=True)
class Window:
    """What was heard while the port had these settings."""

    settings: Settings
    content: bytes

    @property
    def has_talk(self) -> bool:
        return len(self.content) > GLITCH


@dataclass(frozen=True, slots=True)
class Verdict:
    """`sound`: None if nothing was heard, or nothing that makes sense (`is_silent` tells which)."""

    is_silent: bool
    sound: Sound | None = None
    settings: Settings | None = None
    content: bytes = b""
    units: tuple[int, ...] = ()
    """Whom the other master asks."""


def next_window(done: Sequence[Window], listen_s: float) -> tuple[Settings, float] | None:
    """How to listen next, and for how many seconds at most; None: enough was heard to judge."""
    if verdict(done).sound is not None:
        return None
    has_talk = any(window.has_talk for window in done)
    order = (*LISTENED, *_IF_THERE_IS_TALK) if has_talk else LISTENED
    if len(done) >= len(order):
        return None
    return order[len(done)], listen_s if has_talk or not done else listen_s * _SHORT


def verdict(done: Sequence[Window]) -> Verdict:
    """Of all that was heard."""
    for window in done:
        if sound := recognised(window.content):
            units = tuple(sorted({unit for unit, _ in frames(window.content)})) if sound is Sound.MODBUS else ()
            return Verdict(False, sound, window.settings, window.content, units)
    return Verdict(not any(window.has_talk for window in done))


def recognised(content: bytes) -> Sound | None:
    if _SML in content:
        return Sound.SML
    if _P1_ENCRYPTED.search(content):
        return Sound.P1_ENCRYPTED
    if len(_OBIS_LINE.findall(content)) >= 2:
        return Sound.P1
    if _has_hdlc(content):
        return Sound.HDLC
    return Sound.MODBUS if frames(content) else None


def is_enough(content: bytes) -> bool:
    """Whether listening longer would tell no more."""
    sound = recognised(content)
    return sound is not None and (sound is not Sound.P1 or p1_telegram(content) is not None)


def p1_telegram(content: bytes) -> bytes | None:
    """The first whole one."""
    for start in _P1_START.finditer(content):
        if end := _P1_END.search(content, start.end() - 1):
            return content[start.start() : end.end()]
    return None


def _has_hdlc(content: bytes) -> bool:
    """A frame of type 3 between two flags, as long as it says."""
    place = content.find(_FLAG)
    while 0 <= place < len(content) - 3:
        length = int.from_bytes(content[place + 1 : place + 3], "big")
        end = place + 1 + (length & 0x7FF)
        if length >> 12 == 0xA and length & 0x7FF > 8 and end < len(content) and content[end] == _FLAG:
            return True
        place = content.find(_FLAG, place + 1)
    return False


def request(unit: int, function: int, at: int, count: int) -> bytes:
    """A read on the wire."""
    frame = bytes((unit, function)) + at.to_bytes(2, "big") + count.to_bytes(2, "big")
    return frame + FramerRTU.compute_CRC(frame).to_bytes(2, "big")


def frames(content: bytes) -> list[tuple[int, bytes]]:
    """Modbus RTU frames with a sound checksum, questions and answers, and the unit in each."""
    found = []
    place = 0
    while place + 5 <= len(content):
        length = next((length for length in _lengths(content, place) if _is_frame(content, place, length)), 0)
        if length:
            found.append((content[place], content[place : place + length]))
        place += length or 1
    return found


def is_question(frame: bytes) -> bool:
    """Whether a master sent it. An answer to a read of registers has an odd number of bytes."""
    return len(frame) == _REQUEST


def _lengths(content: bytes, place: int) -> list[int]:
    """How long a frame that begins here may be."""
    function = content[place + 1]
    if function in _READS:
        return [_REQUEST, 5 + content[place + 2]]
    if function & 0x7F in (*_READS, *_WRITES, 15, 16) and function & 0x80:
        return [5]
    return [_REQUEST] if function in (*_WRITES, 15, 16) else []


def _is_frame(content: bytes, place: int, length: int) -> bool:
    frame = content[place : place + length]
    is_whole = len(frame) == length and frame[0] <= 247
    return is_whole and FramerRTU.compute_CRC(frame[:-2]) == int.from_bytes(frame[-2:], "big")
