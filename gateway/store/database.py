"""The database file: opened so that a commit survives a power cut, and brought to the newest schema."""

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Protocol, TypeVar

import aiosqlite

from gateway.errors import DamagedError, SchemaTooNewError, StoreError
from gateway.model.space import Space
from gateway.store.tables import is_damage

log = logging.getLogger(__name__)

T = TypeVar("T")
RESERVE_BYTES = 4 * 1024 * 1024
"""Size the WAL is grown to, and room kept free inside the file: with both, commits go on when the disk is full."""
_REOPEN_S = 120.0
"""A large file on a slow card takes its time to be checked."""


class Runner(Protocol):
    """Runs a function on the one connection: the store's seam. Raises sqlite3.Error as it comes."""

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T: ...

    async def close(self) -> None: ...


class AiosqliteRunner(aiosqlite.Connection):
    """The connection lives in aiosqlite's thread; one call of `run` is one hop there and back."""

    def __init__(self, path: Path) -> None:
        super().__init__(lambda: open_connection(path), iter_chunk_size=64)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        result: T = await self._execute(work, self._conn)  # type: ignore[no-untyped-call]  # the one hop there is
        return result


async def start(path: Path) -> AiosqliteRunner:
    """Open the database, creating or migrating it.

    Raises StoreError if it can't be used: DamagedError if the file is damaged, SchemaTooNewError if a newer version
    wrote it.
    """
    runner: AiosqliteRunner | None = None
    try:
        await asyncio.to_thread(_check, path)
        runner = AiosqliteRunner(path)
        await runner
        await runner.run(_work_durably)
    except (sqlite3.Error, OSError, StoreError) as error:
        if runner is not None:
            await runner.close()
        if isinstance(error, StoreError):
            raise type(error)(f"{path}: {error}") from error
        raise (DamagedError if is_damage(error) else StoreError)(f"{path}: {error}") from error
    return runner


def _check(path: Path) -> None:
    """Bring the file to its newest schema and keep a copy of its head, by a connection of its own."""
    _keep_private(path)
    with contextlib.closing(open_connection(path)) as connection:
        _bring_up(connection)
    save_head(path)


def _keep_private(path: Path) -> None:
    """It holds passwords: the file is its owner's alone, and SQLite gives its WAL the same mode.

    Where that can't be had, SQLite says itself whether the file is of use.
    """
    with contextlib.suppress(OSError):
        path.touch(mode=0o600)
        for file in (path, *path.parent.glob(f"{path.name}-*")):
            file.chmod(0o600)


def open_connection(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode: transactions are begun and ended in one place, the writer."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


def prepare(connection: sqlite3.Connection) -> None:
    """Set and assert durability, check the file, migrate, and grow the WAL once. Raises StoreError."""
    _bring_up(connection)
    grow(connection)


def _bring_up(connection: sqlite3.Connection) -> None:
    _make_durable(connection)
    problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        raise DamagedError(f"the database file is damaged: {problem}")
    migrate(connection)


def _work_durably(connection: sqlite3.Connection) -> None:
    """The checkpoint at its end also puts into the file, synced, what an earlier failed sync may have left unsaid."""
    _make_durable(connection)
    grow(connection)


def _make_durable(connection: sqlite3.Connection) -> None:
    """Set and assert durability. Raises StoreError."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_size_limit = -1")
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    level = connection.execute("PRAGMA synchronous").fetchone()[0]
    if (mode, level) != ("wal", 2):
        raise StoreError(f"the database must run with WAL and synchronous=FULL, not {mode} and {level}")


# -- schema ---------------------------------------------------------------------------------------------------------


def migrations() -> list[tuple[int, str]]:
    """Number and SQL of every migration, in order."""
    folder = files("gateway.store") / "migrations"
    named = sorted((entry.name, entry.read_text()) for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(int(name.split("_")[0]), text) for name, text in named]


def migrate(connection: sqlite3.Connection) -> None:
    """Apply what is missing, each migration in one transaction with its number. Raises StoreError on a newer schema."""
    known = migrations()
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    newest = known[-1][0]
    if version > newest:
        raise SchemaTooNewError(
            f"the database has schema {version}, this version knows {newest}: install the newer gateway again, "
            "or put back the copy made before the upgrade (gateway.db.before-schema-...)"
        )
    if 0 < version < newest:
        _keep_copy(connection, newest)
    for number, text in known:
        if number > version:
            _apply(connection, number, text, is_new=version == 0)


def _apply(connection: sqlite3.Connection, number: int, text: str, *, is_new: bool) -> None:
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{text}\nPRAGMA user_version = {number};\nCOMMIT;")
    except sqlite3.OperationalError as error:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        if error.sqlite_errorcode == sqlite3.SQLITE_ERROR and not is_new:
            raise DamagedError(f"its schema is not what its number says: {error}") from error
        raise


def _keep_copy(connection: sqlite3.Connection, newest: int) -> None:
    """A copy for the way back to the older version. Without room for one the upgrade goes on."""
    path = path_of(connection)
    if path is None:
        return
    part, copy = sibling(path, "part"), sibling(path, f"before-schema-{newest}")
    try:
        part.unlink(missing_ok=True)
        part.touch(mode=0o600)  # it holds passwords
        with contextlib.closing(sqlite3.connect(part)) as target:
            connection.backup(target)
        for older in path.parent.glob(f"{path.name}.before-schema-*"):
            older.unlink()
        part.replace(copy)
        log.info("the database is brought to schema %d; a copy of before is %s", newest, copy)
    except (sqlite3.Error, OSError) as error:
        part.unlink(missing_ok=True)
        log.warning("the database is brought to schema %d without a copy of before: %s", newest, error)


def path_of(connection: sqlite3.Connection) -> Path | None:
    """The file behind a connection, None if there is none."""
    name = connection.execute("PRAGMA database_list").fetchone()[2]
    return Path(name) if name else None


def sibling(path: Path, ending: str) -> Path:
    """A file beside the database, named after it."""
    return path.with_name(f"{path.name}.{ending}")


# -- room -----------------------------------------------------------------------------------------------------------


_MEASURE = """
    SELECT page_size, page_count, freelist_count, file
    FROM pragma_page_size, pragma_page_count, pragma_freelist_count, pragma_database_list WHERE name = 'main'
"""


def measure(connection: sqlite3.Connection) -> Space:
    """How much room there is. Cheap: three figures of the first page, and one question to the file system."""
    page_size, pages, free, path = connection.execute(_MEASURE).fetchone()
    return Space((pages - free) * page_size, free * page_size, _disk_free(os.path.dirname(path)) if path else 0)


def _disk_free(folder: str) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def grow(connection: sqlite3.Connection) -> None:
    """Grow the WAL, and leave as much free inside the file. Without room for that it goes on with what is there.

    A WAL that is only overwritten spares the card: growing a file makes the file system commit its journal too. The
    checkpoints between the steps let each begin at the WAL's start, so that giving room back needs none.
    """
    pages = RESERVE_BYTES // connection.execute("PRAGMA page_size").fetchone()[0]
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    _checkpoint(connection)
    connection.execute("DROP TABLE IF EXISTS grow")
    if _has_room_to_grow(connection) and _fill(connection):
        _checkpoint(connection)
        connection.execute("DROP TABLE grow")
        _checkpoint(connection)
    else:
        log.warning("the disk has no room to keep %d bytes free in the database", RESERVE_BYTES)
    connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")


def _has_room_to_grow(connection: sqlite3.Connection) -> bool:
    """Asked before: what is in the WAL and finds no place in the file would stay in the WAL."""
    path, space = path_of(connection), measure(connection)
    if path is None:
        return False
    wal = Path(f"{path}-wal")
    missing = max(0, RESERVE_BYTES - space.free)
    missing += max(0, RESERVE_BYTES - (wal.stat().st_size if wal.exists() else 0))
    return missing == 0 or space.disk_free > missing + RESERVE_BYTES // 4


def _fill(connection: sqlite3.Connection) -> bool:
    """Write the filler; False: there was no room after all."""
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE; CREATE TABLE grow (filler BLOB); INSERT INTO grow VALUES (zeroblob({RESERVE_BYTES}));"
            "COMMIT;"
        )
    except sqlite3.OperationalError as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise
        return False
    return True


def _checkpoint(connection: sqlite3.Connection) -> None:
    """What finds no place in the file stays in the WAL."""
    try:
        connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise


# -- against damage -------------------------------------------------------------------------------------------------

_PAGE_SIZE = slice(16, 18)
"""Of the file's first bytes; 1 stands for 65536."""
_VOLATILE = (slice(24, 44), slice(92, 100))
"""Of the file's first 100 bytes: counters of changes, page count, list of free pages."""


def save_head(path: Path) -> None:
    """Keep a copy of the file's first page, which names all tables: without it nothing of the file can be read.

    Never while this process has a connection to the file. Closing a file ends every lock the process has on it, also
    SQLite's (sqlite.org/howtocorrupt.html, 2.2), and whoever opens and closes the database next deletes the WAL.
    """
    kept, part = sibling(path, "head"), sibling(path, "part")
    try:
        with path.open("rb") as file:
            start = file.read(_PAGE_SIZE.stop)
            size = int.from_bytes(start[_PAGE_SIZE], "big")
            head = start + file.read((1 << 16 if size == 1 else size) - len(start))
        if not kept.exists() or _stable(kept.read_bytes()) != _stable(head):
            part.unlink(missing_ok=True)
            part.touch(mode=0o600)
            part.write_bytes(head)
            part.replace(kept)
    except OSError as error:
        log.warning("no copy of the database's first page could be kept: %s", error)


def _stable(head: bytes) -> bytes:
    bare = bytearray(head)
    for part in _VOLATILE:
        bare[part] = bytes(part.stop - part.start)
    return bytes(bare)


async def reopen(path: Path) -> AiosqliteRunner:
    """Open again after a failed commit: the old handle is dead, for a failed sync may have lost pages unnoticed."""
    return await asyncio.wait_for(start(path), _REOPEN_S)
