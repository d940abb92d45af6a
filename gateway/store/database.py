"""The database file: opened so that a commit survives a power cut, and brought to the newest schema."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Protocol, TypeVar

import aiosqlite

from gateway.errors import StoreError

T = TypeVar("T")
_WAL_BYTES = 4 * 1024 * 1024


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
    """Open the database, creating or migrating it. Raises StoreError if it can't be used."""
    try:
        _keep_private(path)
        open_connection(path).close()  # a path that can't be opened fails here, before there is a thread
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
    runner = AiosqliteRunner(path)
    try:
        await runner
        await runner.run(prepare)
    except (sqlite3.Error, OSError) as error:
        await runner.close()
        raise StoreError(f"{path}: {error}") from error
    except StoreError:
        await runner.close()
        raise
    return runner


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
    """Set and assert durability, migrate, and grow the WAL once. Raises StoreError."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_size_limit = -1")
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    level = connection.execute("PRAGMA synchronous").fetchone()[0]
    if (mode, level) != ("wal", 2):
        raise StoreError(f"the database must run with WAL and synchronous=FULL, not {mode} and {level}")
    migrate(connection)
    _grow_wal(connection)


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
        raise StoreError(
            f"the database has schema {version}, this version knows {newest}: install the newer gateway again, "
            "or restore the backup made before the upgrade"
        )
    for number, text in known:
        if number > version:
            connection.executescript(f"BEGIN IMMEDIATE;\n{text}\nPRAGMA user_version = {number};\nCOMMIT;")


def _grow_wal(connection: sqlite3.Connection) -> None:
    """A WAL that is only overwritten spares the card: growing a file makes the file system commit its journal too."""
    pages = _WAL_BYTES // connection.execute("PRAGMA page_size").fetchone()[0]
    connection.executescript(
        f"""
        PRAGMA wal_autocheckpoint = 0;
        DROP TABLE IF EXISTS grow;
        BEGIN IMMEDIATE; CREATE TABLE grow (filler BLOB); INSERT INTO grow VALUES (zeroblob({_WAL_BYTES})); COMMIT;
        BEGIN IMMEDIATE; DROP TABLE grow; COMMIT;
        PRAGMA wal_checkpoint(RESTART);
        PRAGMA wal_autocheckpoint = {pages};
        """
    )


async def reopen(path: Path) -> AiosqliteRunner:
    """Open again after a failed commit: the old handle is dead, for a failed sync may have lost pages unnoticed."""
    return await asyncio.wait_for(start(path), 30)
