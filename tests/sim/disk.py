"""The store of the simulation: a disk that takes its time, fails, and loses on a power cut what was not synced.

Modelled after SQLite's WAL with synchronous=FULL: a commit is written to the WAL and then synced; a checkpoint syncs
the WAL before it writes the database file. So a power cut in a commit tears the WAL only, one in a checkpoint the
database file only, and what an earlier operation wrote is safe. That SQLite really syncs like this is not shown here
but on the real disk (`tests/storm/power.py`).
"""

import asyncio
import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TypeVar

from gateway.store import database

T = TypeVar("T")
_SECTOR = 512


class Moment(Enum):
    """When the process dies: before the operation, after it but before anybody hears of it, or in its sync."""

    BEFORE = "before"
    AFTER = "after"
    POWER = "power"


@dataclass
class Strike:
    """The process dies at a store operation, `countdown` operations from now; `came` is set there."""

    moment: Moment
    countdown: int
    came: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class Files:
    """The bytes of the database file and of its WAL."""

    main: bytes
    wal: bytes

    @classmethod
    def read(cls, path: Path) -> "Files":
        wal = wal_of(path)
        return cls(path.read_bytes(), wal.read_bytes() if wal.exists() else b"")

    def write(self, path: Path) -> None:
        """Put them in the place of what is there; the shared-memory index never survives a power cut."""
        path.write_bytes(self.main)
        wal_of(path).write_bytes(self.wal)
        path.with_name(path.name + "-shm").unlink(missing_ok=True)


def wal_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def torn(source: random.Random, synced: Files, written: Files) -> Files:
    """What a power cut may leave of a write that was not synced."""
    if written.main != synced.main:
        return Files(tear(source, synced.main, written.main), written.wal)
    return Files(synced.main, tear(source, synced.wal, written.wal))


def tear(source: random.Random, old: bytes, new: bytes) -> bytes:
    """All lost, cut short, zeroed from some byte on, or some sectors of each."""
    kind = source.choice(["lost", "short", "zeroed", "sectors"])
    if kind == "lost":
        return old
    if kind == "short" and len(new) > len(old):
        return new[: source.randint(len(old), len(new))]
    if kind == "zeroed" and len(new) > len(old):
        return new[: (edge := source.randint(len(old), len(new)))] + bytes(len(new) - edge)
    padded = old.ljust(len(new), b"\0")[: len(new)]
    parts = (source.choice([padded, new])[at : at + _SECTOR] for at in range(0, len(new), _SECTOR))
    return b"".join(parts)


class SimRunner:
    """The store's seam (`gateway.store.database.Runner`), inline, with a modelled delay."""

    def __init__(self, path: Path, delay_s: Callable[[], float]) -> None:
        self._connection = database.open_connection(path)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = OFF")
        database.migrate(self._connection)
        self._path = path
        self._delay_s = delay_s
        self.fails = False
        self.strike: Strike | None = None
        self.synced: Files | None = None
        """Set by a power cut: what was safe, and what was only written."""
        self.written: Files | None = None

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        await asyncio.sleep(self._delay_s())
        if self.fails:
            raise sqlite3.OperationalError("disk I/O error (scripted)")
        strike = self.strike
        if strike is None or strike.countdown > 0:
            if strike:
                strike.countdown -= 1
            return work(self._connection)
        if strike.moment is Moment.POWER:
            self.synced = Files.read(self._path)
        if strike.moment is not Moment.BEFORE:
            work(self._connection)
        if strike.moment is Moment.POWER:
            self.written = Files.read(self._path)
        strike.came.set()
        await asyncio.Event().wait()
        raise AssertionError("the process is dead")

    async def close(self) -> None:
        self._connection.close()


def is_sound(path: Path) -> bool:
    """SQLite's own check of the whole file."""
    connection = database.open_connection(path)
    try:
        return bool(connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok")
    finally:
        connection.close()
