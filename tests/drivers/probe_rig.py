"""Meters on pseudo terminals, each with line settings of its own: at others it sends rubbish, and answers nothing.

A pseudo terminal keeps baud rate and stop bits, but neither parity nor size: what was asked for is noted on the way
to the kernel (`noted_parity`).
Waiting takes no time: it is over as soon as all that was written has been read, and all that was said has arrived.
"""

import asyncio
import os
import random
import termios
import tty
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from serialx.platforms import serial_posix

from drivers.api import Seams
from drivers.options import Places
from drivers.probe import Search
from drivers.probe_line import Patience, Port, open_port
from drivers.probe_sound import Settings
from gateway.clock import Clock
from tests.drivers.modbus_fixtures import load
from tests.drivers.modbus_rig import Unit, with_crc
from tests.drivers.push_rig import PATIENCE_S

_BAUDS = {getattr(termios, f"B{baud}"): baud for baud in (2400, 9600, 19_200, 38_400, 115_200)}
_FASTER = 20.0
_NOTED: dict[str, tuple[int, str]] = {}
_SIZES = {termios.CS7: 7, termios.CS8: 8}
_SAYS_EVERY_S = 0.03


@pytest.fixture
def noted_parity(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pseudo terminals refuse to have nothing but the parity changed."""
    real = termios.tcsetattr

    def noting(descriptor: int, when: int, attributes: list[Any]) -> None:
        flags = attributes[2]
        parity = ("O" if flags & termios.PARODD else "E") if flags & termios.PARENB else "N"
        _NOTED[os.ttyname(descriptor)] = _SIZES[flags & termios.CSIZE], parity
        with suppress(termios.error):
            real(descriptor, when, attributes)

    monkeypatch.setattr(termios, "tcsetattr", noting)
    monkeypatch.setattr(serial_posix, "tcsetattr", noting)
    yield
    _NOTED.clear()


@dataclass
class Line:
    """What hangs on one port. `telegram` is sent while somebody listens, `units` answer."""

    link: Path
    settings: Settings
    telegram: bytes = b""
    units: Mapping[int, Unit] = field(default_factory=dict)
    is_silent_to_unknown: bool = False
    glitch: bytes = b""
    """What the adapter adds to each question: `b"echo"` is the question itself."""
    talks_after: int | None = None
    """A second master begins after so many questions."""
    questions: list[bytes] = field(default_factory=list)
    written: bytes = b""
    """All that came from the probe itself."""
    written_at_talk: int | None = None
    _opened: Settings | None = None
    _master: int = -1
    _slave: int = -1
    _content: bytes = b""
    _sent: int = 0
    _read: int = 0
    _said: int = 0
    _received: int = 0
    _timer: asyncio.TimerHandle | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __enter__(self) -> "Line":
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.link.symlink_to(os.ttyname(self._slave))
        asyncio.get_running_loop().add_reader(self._master, self._hear)
        self._tick()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._timer:
            self._timer.cancel()
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._slave)
        os.close(self._master)

    # -- what the probe is given --------------------------------------------------------------------------------------

    def search(self, folder: Path) -> Search:
        clock = Clock()
        seams = Seams(lambda: clock.monotonic() * _FASTER, clock.now, self.rest, random.Random(1))
        patience = Patience(listen_s=12.0, silent_s=0.3, host_s=0.3)
        return Search(seams=seams, places=Places(folder), patience=patience, opener=self.open)

    async def open(self, name: str, settings: Settings, received: Callable[[bytes], None]) -> Port:
        def count(data: bytes) -> None:
            self._received += len(data)
            self._changed.set()
            received(data)

        port = await open_port(name, settings, count)
        self._opened = settings
        self._sent = self._read = self._said = self._received = 0
        return _Port(port, self)

    async def rest(self, seconds: float) -> None:
        if self._opened is None:
            woken = asyncio.Event()
            timer = asyncio.get_running_loop().call_later(seconds / _FASTER, woken.set)
            try:
                await woken.wait()
            finally:
                timer.cancel()
            return
        self._speak()
        async with asyncio.timeout(PATIENCE_S):
            while self._read < self._sent or self._received < self._said:
                self._changed.clear()
                await self._changed.wait()

    def wrote(self, content: bytes) -> None:
        self._sent += len(content)
        self.written += content

    def closed(self) -> None:
        self._opened = None

    # -- the meter ----------------------------------------------------------------------------------------------------

    @property
    def is_opened(self) -> bool:
        """Whether somebody ever did."""
        return bool(termios.tcgetattr(self._master)[4] != termios.B38400)

    def _fits(self) -> bool:
        attributes = termios.tcgetattr(self._master)
        baud, stop = _BAUDS.get(attributes[4]), 2 if attributes[2] & termios.CSTOPB else 1
        bits, parity = _NOTED.get(os.ttyname(self._slave), (8, "N"))
        return baud is not None and Settings(baud, bits, parity, stop) == self.settings

    def _tick(self) -> None:
        """By itself, when a driver has the port."""
        if self._opened is None:
            self._speak()
        self._timer = asyncio.get_running_loop().call_later(_SAYS_EVERY_S, self._tick)

    def _speak(self) -> None:
        if self.talks_after is not None and len(self.questions) >= self.talks_after:
            self.written_at_talk = len(self.written) if self.written_at_talk is None else self.written_at_talk
            self._say(with_crc(bytes((44, 3, 0, 0, 0, 2))))
        if self.telegram:
            self._say(self.telegram if self._fits() else bytes(byte * 7 % 251 | 0x80 for byte in self.telegram[:40]))

    def _say(self, content: bytes) -> None:
        if not content:
            return
        with suppress(BlockingIOError):
            self._said += os.write(self._master, content)

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            data = os.read(self._master, 4096)
            self._content += data
            while len(self._content) >= 8:
                frame, self._content = self._content[:8], self._content[8:]
                self.questions.append(frame)
                if self._fits():
                    self._answer(frame)
            self._read += len(data)
            self._changed.set()

    def _answer(self, frame: bytes) -> None:
        self._say(frame if self.glitch == b"echo" else self.glitch)
        unit, function = frame[:2]
        at, count = int.from_bytes(frame[2:4], "big"), int.from_bytes(frame[4:6], "big")
        assert with_crc(frame[:6]) == frame
        if unit not in self.units:
            return
        content = registers(self.units[unit], function, at, count)
        if content is not None:
            self._say(with_crc(bytes((unit, function, 2 * count)) + content))
        elif not self.is_silent_to_unknown:
            self._say(with_crc(bytes((unit, function | 0x80, 2))))


@dataclass
class _Port:
    """A real port that is watched."""

    port: Port
    owner: Line

    def __post_init__(self) -> None:
        self.line = self.port.line

    def write(self, content: bytes) -> None:
        self.owner.wrote(content)
        self.port.write(content)

    async def close(self) -> None:
        self.owner.closed()
        await self.port.close()


def registers(unit: Unit, function: int, at: int, count: int) -> bytes | None:
    registers = unit.holding if function == 3 else unit.input
    if function == 4 and count == 1 and at in unit.alone:
        registers = unit.alone
    wanted = range(at, at + count)
    if function not in (3, 4) or any(address not in registers for address in wanted):
        return None
    return b"".join(registers[address].to_bytes(2, "big") for address in wanted)


def fixtures(**units: str) -> dict[int, Unit]:
    """`u1="abb-b23"`: a meter at unit 1."""
    return {int(name[1:]): load(model).unit for name, model in units.items()}


@contextmanager
def line(link: Path, settings: Settings, **what: object) -> Iterator[Line]:
    made = Line(link, settings)
    for name, value in what.items():
        setattr(made, name, value)
    with made:
        yield made
