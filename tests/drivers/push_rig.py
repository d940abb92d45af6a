"""Meters that send by themselves: telegrams as data, a pseudo terminal that is pulled and plugged, a clock to push."""

import asyncio
import os
import random
import re
import tty
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

from drivers.api import Driver, Kind, Reading, Seams

TELEGRAMS = Path(__file__).parent.parent / "telegrams"
LUXEMBOURGS_KEY = bytes.fromhex("00112233445566778899AABBCCDDEEFF")
"""The authentication key of every meter there, by its P1 specification."""
PATIENCE_S = 15.0
"""How long a test waits for what has to come. It fails by this, it is no measure of speed."""
_START = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class World:
    """The loop's clock, which a test may put forward: time that passed without anything coming."""

    skipped_s: float = 0.0
    wall_step: timedelta = timedelta(0)
    seed: int = 1
    is_hurried: bool = False
    """Whoever sleeps is woken at once."""

    def now(self) -> float:
        return asyncio.get_running_loop().time() + self.skipped_s

    def wall(self) -> datetime:
        return _START + timedelta(seconds=self.now()) + self.wall_step

    def seams(self) -> Seams:
        sleep = _soon if self.is_hurried else asyncio.sleep
        return Seams(self.now, self.wall, sleep, random.Random(self.seed))


def telegram(name: str) -> bytes:
    return (TELEGRAMS / f"p1-{name}.txt").read_bytes()


def with_checksum(text: bytes) -> bytes:
    """The telegram with the checksum it ought to have: CRC-16 of all up to the exclamation mark."""
    body = text[: text.rindex(b"!") + 1]
    crc = 0
    for byte in body:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return body + f"{crc:04X}\r\n".encode()


def encrypted(text: bytes, key: bytes, second_key: bytes, counter: int = 1) -> bytes:
    """The telegram as a DLMS general-global-ciphering APDU, security suite 0, authenticated and encrypted."""
    title, control, count = b"TST12345", b"\x30", counter.to_bytes(4, "big")
    cipher = Cipher(AES(key), GCM(title + count)).encryptor()
    cipher.authenticate_additional_data(control + second_key)
    secret = cipher.update(text) + cipher.finalize() + cipher.tag[:12]
    length = len(control) + len(count) + len(secret)
    return b"\xdb\x08" + title + b"\x82" + length.to_bytes(2, "big") + control + count + secret


def changed(text: bytes, **lines: str | None) -> bytes:
    """`i1="5.00*A"` writes current L1, None takes the line out; the checksum is made anew."""
    for short, value in lines.items():
        line = re.compile(rb"^1-0:" + re.escape(CODES[short]) + rb"\(.*\)\r\n", re.MULTILINE)
        text, count = line.subn(b"" if value is None else b"1-0:%b(%b)\r\n" % (CODES[short], value.encode()), text)
        assert count == 1, short
    return with_checksum(text)


CODES = {
    **{f"i{phase}": b"%d1.7.0" % (2 * phase + 1) for phase in (1, 2, 3)},
    **{f"u{phase}": b"%d2.7.0" % (2 * phase + 1) for phase in (1, 2, 3)},
    **{f"p{phase}": b"%d1.7.0" % (2 * phase) for phase in (1, 2, 3)},
    **{f"out{phase}": b"%d2.7.0" % (2 * phase) for phase in (1, 2, 3)},
    "p": b"1.7.0",
    "out": b"2.7.0",
    "in_t1": b"1.8.1",
    "in_t2": b"1.8.2",
}


@dataclass
class Cable:
    """A serial adapter, as one end of a pseudo terminal with a link as its lasting name."""

    link: Path
    _master: int | None = None
    _slaves: list[str] = field(default_factory=list)

    def plug(self) -> None:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self._slaves.append(os.ttyname(slave))
        self.link.symlink_to(os.ttyname(slave))
        os.close(slave)

    def unplug(self) -> None:
        if self._master is not None:
            self.link.unlink()
            os.close(self._master)
            self._master = None

    def send(self, data: bytes) -> None:
        assert self._master is not None
        assert os.write(self._master, data) == len(data)

    @property
    def device(self) -> str:
        return self._slaves[-1]

    def descriptors(self) -> int:
        """How many this process has open on any of the adapters there were."""
        found = (_target(path) for path in Path("/proc/self/fd").iterdir())
        return sum(path is not None and path.removesuffix(" (deleted)") in self._slaves for path in found)


def _target(path: Path) -> str | None:
    try:
        return str(path.readlink())
    except OSError:
        return None


async def until(is_so: Callable[[], Any]) -> None:
    """Looks again after every turn of the loop."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():
            await _soon(0)


async def _soon(_seconds: float) -> None:
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()
    loop.call_later(0.005, woken.set)
    await woken.wait()


async def until_trouble(driver: Driver[Any], kind: Kind | None) -> str:
    """Waits until this is what is wrong; how it is said."""

    def is_so() -> bool:
        trouble = driver.health().trouble
        return (None if trouble is None else trouble.kind) is kind

    await until(is_so)
    return str(driver.health().trouble)


async def next_of(driver: Driver[Any]) -> Reading:
    async with asyncio.timeout(PATIENCE_S):
        return await anext(driver)
