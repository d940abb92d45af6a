"""A damaged database: what can be read of it goes row by row into a new one, and the old file is kept.

It is done beside the damaged file and put in its place at the end, so that it may be interrupted anywhere.
"""

import asyncio
import contextlib
import json
import logging
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.clock import Clock
from gateway.errors import DamagedError, StoreError
from gateway.model.reasons import AuditKind
from gateway.model.records import AuditEntry, Put
from gateway.store import database, tables
from gateway.store.database import sibling
from gateway.store.tables import Table

log = logging.getLogger(__name__)

_now = Clock().now
_STEP = 8
"""Fewer rows than a page holds: while the numbers have no gaps, no good page is stepped over."""
_LOOK_UPS = 50_000
_PROBLEMS_SAID = 3


@dataclass(slots=True)
class Salvage:
    """What was found: rows by table, and the tables of which rows were lost, as far as that can be known."""

    saved: dict[str, int] = field(default_factory=dict)
    incomplete: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lost = f"some rows of {', '.join(self.incomplete)} are lost" if self.incomplete else "no loss was noticed"
        return f"{sum(self.saved.values())} records were saved, {lost}"


async def start(path: Path) -> database.AiosqliteRunner:
    """Open the database; what can be read of a damaged one is saved first. Raises StoreError."""
    try:
        finish(path)
        return await database.start(path)
    except OSError as error:
        raise StoreError(f"{path}: {error}") from error
    except DamagedError as problem:
        log.error("%s", problem)
        await save(path)
        return await database.start(path)


async def save(path: Path) -> None:
    """`salvage` in a thread of its own. Raises StoreError."""
    try:
        await asyncio.to_thread(salvage, path)
    except (sqlite3.Error, OSError, StoreError) as error:
        raise StoreError(f"{path} is damaged, and what is left of it can't be saved yet: {error}") from error


def salvage(path: Path, now: Callable[[], datetime] = _now) -> Path:
    """Set a damaged database aside and put what could be saved in its place; returns where the old one is kept.

    Raises sqlite3.Error or OSError, and then nothing was changed.
    """
    log.error("%s is damaged; saving what can be read of it", path)
    new = sibling(path, "salvaging")
    _remove(new)
    new.touch(mode=0o600)
    with contextlib.closing(database.open_connection(new)) as target:
        database.prepare(target)
        with _readable(path) as source:
            found = _copy(source, target)
        kept = _free_name(sibling(path, f"damaged-{now():%Y%m%dT%H%M%SZ}"))
        entry = AuditEntry(
            _next_audit_id(target), now(), AuditKind.SALVAGED, None,
            f"the database was damaged: {found}; the damaged file is {kept.name}",
            json.dumps({"saved": found.saved, "incomplete": found.incomplete}).encode(),
        )  # fmt: skip
        _write(target, [entry])
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    log.error("%s: %s", path, entry.text)
    done = sibling(path, "salvaged")
    new.replace(done)
    _set_aside(path, kept)
    done.replace(path)
    return kept


def finish(path: Path, now: Callable[[], datetime] = _now) -> None:
    """Finish a salvage that was interrupted after the new file was whole. Raises OSError."""
    done = sibling(path, "salvaged")
    if done.exists():
        if path.exists():
            _set_aside(path, _free_name(sibling(path, f"damaged-{now():%Y%m%dT%H%M%SZ}")))
        done.replace(path)


def damaged_files(path: Path) -> list[Path]:
    """Damaged databases kept beside this one, oldest first."""
    return sorted(found for found in path.parent.glob(f"{path.name}.damaged-*") if not found.name.endswith("-wal"))


# -- reading --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[sqlite3.Connection]:
    """The damaged file; if its first page is gone, a copy of the file with the page that was kept for this."""
    source = _opened(path)
    if source is not None:
        with contextlib.closing(source):
            yield source
        return
    copy, head = sibling(path, "headed"), sibling(path, "head")
    try:
        _remove(copy)
        if head.exists():
            shutil.copyfile(path, copy)
            _put_head(copy, head.read_bytes())
            wal = Path(f"{path}-wal")
            if wal.exists():
                shutil.copyfile(wal, f"{copy}-wal")
        source = _opened(copy) or sqlite3.connect(":memory:", isolation_level=None)
        with contextlib.closing(source):
            yield source
    finally:
        _remove(copy)


def _opened(path: Path) -> sqlite3.Connection | None:
    """A connection that finds at least one of our tables."""
    connection = database.open_connection(path)
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    with contextlib.suppress(sqlite3.Error):
        for table in tables.TABLES.values():
            if _columns(connection, table):
                return connection
    connection.close()
    return None


def _put_head(copy: Path, head: bytes) -> None:
    """Page count as it is now, no free pages: what the list of them says is of another day."""
    with copy.open("r+b") as file:
        pages = copy.stat().st_size // max(len(head), 1)
        bare = bytearray(head)
        bare[28:40] = pages.to_bytes(4, "big") + bytes(8)
        bare[92:96] = bare[24:28]
        file.write(bare)


def _copy(source: sqlite3.Connection, target: sqlite3.Connection) -> Salvage:
    found = Salvage()
    for table in tables.TABLES.values():
        reader = _Reader(source, table)
        records = reader.read()
        _write(target, records)
        found.saved[table.name] = len(records)
        if not reader.is_whole:
            found.incomplete.append(table.name)
    return found


def _write(target: sqlite3.Connection, records: list[Any]) -> None:
    target.execute("BEGIN IMMEDIATE")
    for sql, parameters in tables.batches(tables.statements(Put(record) for record in records)):
        target.execute(sql, parameters)
    target.execute("COMMIT")


class _Reader:
    """Reads what can be read of one table, by key. `is_whole`: nothing was noticed to be lost."""

    def __init__(self, source: sqlite3.Connection, table: Table) -> None:
        self._source = source
        self._table = table
        self._columns = _columns(source, table)
        self._found: dict[tuple[Any, ...], Any] = {}
        self._problems: list[Exception] = []
        self._key = _names(table.key)
        self._select = f'SELECT {_names(self._columns)} FROM "{table.name}"'
        self.is_whole = True

    def read(self) -> list[Any]:
        """From the begin; where that stops, from the end; then from wherever a row can be reached between the two."""
        if any(key not in self._columns for key in self._table.key):
            self.is_whole = False
            return []
        if not self._take(f"ORDER BY {self._key}"):
            self.is_whole = False
            self._take(f"ORDER BY {', '.join(f'{_names([key])} DESC' for key in self._table.key)}")
            if self._table.has_number:
                self._search()
        for problem in self._problems[:_PROBLEMS_SAID]:
            log.error("%s: %s", self._table.name, problem)
        return [record for record in self._found.values() if record is not None]

    def _take(self, where: str, *parameters: int) -> bool:
        """Take rows until one was there before, or can't be fetched; True if they came to their end."""
        try:
            for row in self._source.execute(f"{self._select} {where}", parameters):
                key = tuple(row[self._columns.index(name)] for name in self._table.key)
                if key in self._found:
                    return False
                try:
                    self._found[key] = self._table.record_of(row, self._columns)
                except DamagedError as problem:
                    self._problems.append(problem)
                    self._found[key], self.is_whole = None, False
        except sqlite3.Error as problem:
            self._problems.append(problem)
            return False
        return True

    def _search(self) -> None:
        """Ask for rows at steps smaller than what fits on a page; from each that answers, read both ways."""
        numbers = {key[0] for key in self._found}
        number = 0
        for _ in range(_LOOK_UPS):
            number += _STEP
            while number in numbers:
                number += 1
            reached = self._reach(number)
            if reached is None:
                return
            if reached >= number and reached not in numbers:
                self._take(f"WHERE {self._key} <= ? ORDER BY {self._key} DESC", reached)
                if self._take(f"WHERE {self._key} > ? ORDER BY {self._key}", reached):
                    return
                numbers = {key[0] for key in self._found}
            number = max(number, reached)

    def _reach(self, number: int) -> int | None:
        """The first row at or behind a number; 0: it can't be fetched. None: there is no further one."""
        ask = f'SELECT {self._key} FROM "{self._table.name}" WHERE {self._key} >= ? ORDER BY {self._key} LIMIT 1'
        try:
            row = self._source.execute(ask, (number,)).fetchone()
        except sqlite3.Error:
            return 0
        return None if row is None else row[0]


def _columns(source: sqlite3.Connection, table: Table) -> list[str]:
    present = {row[1] for row in source.execute(f'PRAGMA table_info("{table.name}")')}
    return [column for column in table.columns if column in present]


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def _next_audit_id(target: sqlite3.Connection) -> int:
    found: int = target.execute("SELECT coalesce(max(id), 0) + 1 FROM audit").fetchone()[0]
    return found


# -- files ----------------------------------------------------------------------------------------------------------


def _set_aside(path: Path, kept: Path) -> None:
    """The log of changes belongs to the file: it goes along, under the name SQLite looks for."""
    wal = Path(f"{path}-wal")
    if wal.exists():
        wal.replace(f"{kept}-wal")
    Path(f"{path}-shm").unlink(missing_ok=True)
    path.replace(kept)


def _free_name(path: Path) -> Path:
    name, number = path, 1
    while name.exists():
        number += 1
        name = path.with_name(f"{path.name}-{number}")
    return name


def _remove(path: Path) -> None:
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        name.unlink(missing_ok=True)
