"""Recorded days as files: a line is appended and synced, the days before are packed, the oldest give way.

One write a minute at most, so that a memory card bears it for decades. Nothing else waits for these files, and nothing
but the last line is lost with the power.
"""

import asyncio
import gzip
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

from gateway.errors import StoreError

log = logging.getLogger(__name__)

FOLDER = "days"
_PLAIN, _PACKED = ".jsonl", ".jsonl.gz"
_NAME = re.compile(r"(\d{4}-\d\d-\d\d)(\.jsonl|\.jsonl\.gz)")


class DayFiles:
    """The files of a folder: at most `kept` days, and `most_bytes` of them. One caller at a time."""

    def __init__(self, folder: Path, kept: int, most_bytes: int) -> None:
        self._folder = folder
        self._kept = kept
        self._most_bytes = most_bytes
        self._day = ""

    async def append(self, day: str, lines: bytes) -> None:
        """Add lines to a day's file; they are on the disk when this returns. Raises StoreError."""
        try:
            await asyncio.to_thread(self._append, day, lines)
        except OSError as error:
            raise StoreError(f"{self._folder}: {error.strerror}") from error

    async def read(self, day: str) -> list[bytes]:
        """A day's lines, none if there is no such day. Raises StoreError."""
        try:
            return await asyncio.to_thread(lambda: list(read(self._folder, day)))
        except OSError as error:
            raise StoreError(f"{self._folder}: {error.strerror}") from error

    def _append(self, day: str, lines: bytes) -> None:
        path = self._folder / f"{day}{_PLAIN}"
        if day != self._day:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._tidy(day)
            if _is_torn(path):
                lines = b"\n" + lines
        if path.exists() and path.stat().st_size + len(lines) > self._most_bytes:
            raise OSError(27, "the day's record has reached its size limit")
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, lines)
            os.fdatasync(file)
        finally:
            os.close(file)
        self._day = day

    def _tidy(self, today: str) -> None:
        """Pack the days that are over; delete the oldest of those that are too many or too large."""
        for part in self._folder.glob("*.part"):
            part.unlink()
        for path in self._folder.glob(f"*{_PLAIN}"):
            if path.name < f"{today}{_PLAIN}":
                _pack(path)
        found = sorted(path for path in self._folder.iterdir() if _NAME.fullmatch(path.name))
        before = [path for path in found if not path.name.startswith(today)]
        room = self._most_bytes - sum(path.stat().st_size for path in found)
        for number, path in enumerate(before):
            if len(before) - number < self._kept and room >= 0:
                break
            room += path.stat().st_size
            path.unlink()


def _is_torn(path: Path) -> bool:
    if not path.exists() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


def _pack(path: Path) -> None:
    packed, part = path.with_suffix(_PACKED), path.with_suffix(".part")
    with part.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(gzip.compress(_content(packed, path), 6))
        file.flush()
        os.fsync(file.fileno())
    part.rename(packed)
    path.unlink()


def days(folder: Path) -> list[str]:
    """Days there are records of, oldest first."""
    if not folder.is_dir():
        return []
    return sorted({found[1] for path in folder.iterdir() if (found := _NAME.fullmatch(path.name))})


def read(folder: Path, day: str) -> Iterator[bytes]:
    """A day's lines; none if there is no such day. Raises OSError."""
    yield from _content(folder / f"{day}{_PACKED}", folder / f"{day}{_PLAIN}").splitlines()


def _content(packed: Path, plain: Path) -> bytes:
    """Both may be there: a packing was cut short, or the clock went back to a day that was over."""
    before = gzip.decompress(packed.read_bytes()) if packed.exists() else b""
    later = plain.read_bytes() if plain.exists() else b""
    return later if later.startswith(before) else before + later
