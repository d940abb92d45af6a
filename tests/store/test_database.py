"""The database file: durable from the first statement, migrated whole or not at all."""

import ast
import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.errors import SchemaTooNewError, StoreError
from gateway.store import database

TWO = [
    *database.migrations(),
    (database.migrations()[-1][0] + 1, "CREATE TABLE extra (x); INSERT INTO extra VALUES (1);"),
]
NEWEST = database.migrations()[-1][0]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(database.open_connection(tmp_path / "gateway.db")) as opened:
        yield opened


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


# -- durability -----------------------------------------------------------------------------------------------------


def test_it_runs_with_wal_and_full_sync(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA synchronous = OFF")
    database.prepare(connection)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_database_that_can_t_do_wal_is_refused() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as memory, pytest.raises(StoreError, match="WAL"):
        database.prepare(memory)


def test_a_connection_begins_no_transaction_by_itself(connection: sqlite3.Connection) -> None:
    database.prepare(connection)
    connection.execute("INSERT INTO counter VALUES ('x', 1)")
    assert not connection.in_transaction


def test_the_wal_is_grown_once_and_then_only_overwritten(tmp_path: Path, connection: sqlite3.Connection) -> None:
    database.prepare(connection)
    wal = tmp_path / "gateway.db-wal"
    grown = wal.stat().st_size
    assert grown >= 4 * 1024 * 1024
    connection.execute("PRAGMA synchronous = OFF")  # the sizes are the matter here, not the disk's speed
    sizes = set()
    for number in range(4000):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT OR REPLACE INTO latest VALUES ('CP', ?, '1.6', 'A', zeroblob(300))", (number % 50,))
        connection.execute("COMMIT")
        sizes.add(wal.stat().st_size)
    assert sizes == {grown}


def test_starting_again_does_not_grow_the_file(tmp_path: Path) -> None:
    sizes = []
    for _ in range(3):
        with closing(database.open_connection(tmp_path / "gateway.db")) as opened:
            database.prepare(opened)
        sizes.append((tmp_path / "gateway.db").stat().st_size)
    assert sizes[1] == sizes[2]


def test_what_a_crash_left_of_the_growing_is_removed(connection: sqlite3.Connection) -> None:
    database.prepare(connection)
    connection.execute("CREATE TABLE grow (filler BLOB)")
    database.prepare(connection)
    assert "grow" not in _tables(connection)


# -- migrations -----------------------------------------------------------------------------------------------------


def test_numbers_rise_by_one_and_every_file_is_one_transaction() -> None:
    numbers = [number for number, _ in database.migrations()]
    assert numbers == list(range(1, len(numbers) + 1))
    for _, text in database.migrations():
        assert not any(word in text.upper() for word in ("COMMIT", "BEGIN", "PRAGMA", "VACUUM"))


def test_migrating_twice_is_migrating_once(connection: sqlite3.Connection) -> None:
    database.migrate(connection)
    connection.execute("INSERT INTO counter VALUES ('x', 1)")
    before = list(connection.iterdump())
    database.migrate(connection)
    assert list(connection.iterdump()) == before
    assert _version(connection) == NEWEST


def test_only_what_is_missing_is_applied(connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    database.migrate(connection)
    connection.execute("INSERT INTO counter VALUES ('x', 1)")
    monkeypatch.setattr(database, "migrations", lambda: TWO)
    database.migrate(connection)
    assert _version(connection) == NEWEST + 1
    assert connection.execute("SELECT * FROM counter").fetchall() == [("x", 1)]
    assert connection.execute("SELECT * FROM extra").fetchall() == [(1,)]


def test_a_newer_schema_is_refused_and_not_touched(connection: sqlite3.Connection) -> None:
    database.migrate(connection)
    connection.execute(f"PRAGMA user_version = {NEWEST + 1}")
    before = list(connection.iterdump())
    with pytest.raises(StoreError, match="newer gateway"):
        database.prepare(connection)
    assert list(connection.iterdump()) == before
    assert _version(connection) == NEWEST + 1


def test_a_migration_that_fails_leaves_the_old_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "gateway.db"
    monkeypatch.setattr(
        database, "migrations", lambda: [*TWO[:-1], (NEWEST + 1, "CREATE TABLE extra (x); CREATE TABLE station (x);")]
    )
    with closing(database.open_connection(path)) as first, pytest.raises(sqlite3.Error, match="already exists"):
        database.migrate(first)
    with closing(database.open_connection(path)) as second:
        assert _version(second) == NEWEST
        assert "extra" not in _tables(second)


_CRASH = """
import os, signal, sys
from pathlib import Path
from gateway.store import database

connection = database.open_connection(Path(sys.argv[1]))
connection.create_function("crash", 0, lambda: os.kill(os.getpid(), signal.SIGKILL))
database.migrate(connection)
two = database.migrations()
two.append((two[-1][0] + 1, sys.argv[2]))
database.migrations = lambda: two
database.prepare(connection)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("migration", "is_new"),
    [
        ("SELECT crash(); CREATE TABLE extra (x);", False),
        ("CREATE TABLE extra (x); SELECT crash();", False),
        ("CREATE TABLE extra (x); DROP TABLE counter; INSERT INTO extra SELECT crash();", False),
        ("CREATE TABLE extra (x);", True),
    ],
)
def test_a_crash_leaves_the_old_schema_or_the_new(tmp_path: Path, migration: str, is_new: bool) -> None:
    path = tmp_path / "gateway.db"
    done = subprocess.run([sys.executable, "-c", _CRASH, str(path), migration], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()
    with closing(database.open_connection(path)) as after:
        assert (_version(after), "extra" in _tables(after)) == ((NEWEST + 1, True) if is_new else (NEWEST, False))
        assert "counter" in _tables(after)
        assert after.execute("PRAGMA integrity_check").fetchone() == ("ok",)


_CRASH_EVERYWHERE = """
import os, shutil, signal, sqlite3, sys
from pathlib import Path
from gateway.store import database, tables

old, path = Path(sys.argv[1]), Path(sys.argv[2])

def crash_at(number):
    for file in path.parent.glob(path.name + "*"):
        file.unlink()
    if old.exists():
        shutil.copyfile(old, path)
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    connection = database.open_connection(path)
    connection.execute("PRAGMA journal_mode = WAL")
    left = number

    def statement(text):
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    connection.set_trace_callback(statement)
    database.migrate(connection)
    os._exit(0)

def contents():
    connection = database.open_connection(path)
    versions = [connection.execute("PRAGMA user_version").fetchone()[0]]
    database.migrate(connection)
    versions.append(connection.execute("PRAGMA user_version").fetchone()[0])
    check = connection.execute("PRAGMA integrity_check").fetchone()[0]
    found = [repr(record) for record in tables.read(connection)]
    connection.close()
    return versions, check, found

number, results, is_done = 0, [], False
while not is_done:
    number += 1
    is_done = crash_at(number)
    results.append(contents())
print(repr(results))
"""


@pytest.mark.parametrize("is_new", [True, False])
def test_a_migration_killed_at_any_statement_is_done_again(tmp_path: Path, is_new: bool) -> None:
    """A new file, and one of the first version with a backlog in it."""
    old = tmp_path / "old.db"
    if not is_new:
        with closing(database.open_connection(old)) as connection:
            connection.executescript(database.migrations()[0][1])
            connection.executescript(_BACKLOG_OF_VERSION_1)
    command = [sys.executable, "-c", _CRASH_EVERYWHERE, str(old), str(tmp_path / "gateway.db")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = ast.literal_eval(done.stdout)
    assert len(results) > (15 if is_new else 5)
    for versions, check, found in results:
        assert versions[0] in {number for number, _ in database.migrations()} | {0 if is_new else 1}
        assert (versions[1], check) == (NEWEST, "ok")
        assert found == results[-1][2]
    assert len(results[-1][2]) == (0 if is_new else 4)
    assert {versions[0] for versions, _, _ in results} >= {0 if is_new else 1, NEWEST}


_BACKLOG_OF_VERSION_1 = """
INSERT INTO station VALUES ('CP-1', 'accepted', NULL, '1.6', '1.6', x'7b7d', 0, 1, 1, 300);
INSERT INTO "transaction" VALUES (1, 'CP-1', 1, 1, 'f', '7', 7, '[]', 'TAG', NULL, 'running', 'Accepted', 'csms', NULL,
    NULL, 0, '2026-03-01T08:00:00Z', 100, NULL, NULL, NULL, '2026-03-01T08:00:00+00:00', 0);
INSERT INTO outbox VALUES (1, 'CP-1', '1.6', 'm-1', 'MeterValues', x'7b227472616e73616374696f6e4964223a377d', 'f-1',
    '2026-03-01T08:01:00+00:00', 'Updated', 1, 'TAG', 'queued', 1, 7, 0, NULL);
INSERT INTO outbox VALUES (2, 'CP-1', '1.6', 'm-2', 'StopTransaction', x'7b7d', 'f-2', '2026-03-01T08:02:00+00:00',
    'Ended', 1, 'TAG', 'parked', 1, 7, 3, 'InternalError: no');
PRAGMA user_version = 1;
"""


def test_a_copy_of_before_is_kept_for_the_way_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "gateway.db"
    with closing(database.open_connection(path)) as connection:
        database.prepare(connection)
        connection.execute("INSERT INTO counter VALUES ('x', 1)")
    assert list(tmp_path.glob("*.before-schema-*")) == []
    (tmp_path / "gateway.db.before-schema-2").write_bytes(b"of an older upgrade")
    monkeypatch.setattr(database, "migrations", lambda: TWO)
    with closing(database.open_connection(path)) as connection:
        database.prepare(connection)
    monkeypatch.undo()
    [copy] = tmp_path.glob("*.before-schema-*")
    assert copy.name == f"gateway.db.before-schema-{NEWEST + 1}"
    with closing(database.open_connection(path)) as newer, pytest.raises(SchemaTooNewError, match="copy made before"):
        database.prepare(newer)
    copy.replace(path)
    with closing(database.open_connection(path)) as again:
        database.prepare(again)
        assert again.execute("SELECT * FROM counter").fetchall() == [("x", 1)]


# -- room -----------------------------------------------------------------------------------------------------------


def test_room_is_measured(connection: sqlite3.Connection) -> None:
    database.prepare(connection)
    empty = database.measure(connection)
    assert empty.free >= database.RESERVE_BYTES
    assert empty.used < 200_000
    assert empty.disk_free > 0
    connection.execute("INSERT INTO latest VALUES ('CP', 's', '1.6', 'A', zeroblob(1000000))")
    filled = database.measure(connection)
    assert 1_000_000 <= filled.used - empty.used <= 1_010_000
    assert filled.used + filled.free == empty.used + empty.free
    connection.execute("DELETE FROM latest")
    assert database.measure(connection).used == empty.used


def test_a_disk_without_room_to_grow_is_no_reason_not_to_start(connection: sqlite3.Connection) -> None:
    """What is free in the file already is used; reopening after "disk full" would fail for ever otherwise."""
    database.prepare(connection)
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute("INSERT INTO latest VALUES ('CP', 's', '1.6', 'A', zeroblob(3000000))")
    connection.execute(f"PRAGMA max_page_count = {pages}")
    database.prepare(connection)
    assert not connection.in_transaction
    assert connection.execute("PRAGMA wal_autocheckpoint").fetchone()[0] == database.RESERVE_BYTES // 4096
    connection.execute("INSERT INTO latest VALUES ('CP', 't', '1.6', 'A', zeroblob(500000))")
    assert database.measure(connection).free < 1_000_000


# -- start ----------------------------------------------------------------------------------------------------------


async def test_start_gives_a_prepared_connection_and_may_be_repeated(tmp_path: Path) -> None:
    for _ in range(2):
        runner = await database.start(tmp_path / "gateway.db")
        assert await runner.run(_version) == NEWEST
        assert await runner.run(lambda connection: connection.execute("PRAGMA synchronous").fetchone()[0]) == 2
        await runner.close()


async def test_work_that_fails_says_so_and_the_runner_goes_on(tmp_path: Path) -> None:
    runner = await database.start(tmp_path / "gateway.db")
    with pytest.raises(sqlite3.OperationalError):
        await runner.run(lambda connection: connection.execute("SELECT nonsense"))
    assert await runner.run(_version) == NEWEST
    await runner.close()


async def _is_refused(path: Path) -> None:
    async with asyncio.timeout(10):
        await asyncio.to_thread(int)  # the loop's own thread for this is there from now on
        before = set(threading.enumerate())
        with pytest.raises(StoreError):
            await database.start(path)
        for thread in set(threading.enumerate()) - before:
            await asyncio.to_thread(thread.join)  # a failed start does not wait for its own thread


async def test_a_path_that_can_t_be_opened_is_a_store_error(tmp_path: Path) -> None:
    await _is_refused(tmp_path / "missing" / "gateway.db")
    await _is_refused(tmp_path)


async def test_a_file_that_is_no_database_is_a_store_error(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    path.write_bytes(b"not a database at all" * 500)
    await _is_refused(path)
    assert path.read_bytes().startswith(b"not a database")


async def test_a_newer_schema_is_a_store_error(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    with closing(database.open_connection(path)) as opened:
        opened.execute(f"PRAGMA user_version = {NEWEST + 1}")
    await _is_refused(path)


async def test_reopening_gives_a_new_connection_to_the_same_data(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    first = await database.start(path)
    await first.run(lambda connection: connection.execute("INSERT INTO counter VALUES ('x', 5)"))
    await first.close()
    second = await database.reopen(path)
    assert await second.run(lambda connection: connection.execute("SELECT value FROM counter").fetchall()) == [(5,)]
    await second.close()


def _wal_of(path: Path) -> int:
    return Path(f"{path}-wal").stat().st_ino


async def test_another_program_may_look_at_the_database_of_a_running_gateway(tmp_path: Path) -> None:
    """It must not take the WAL away when it closes: what is committed after that would be gone at the next start."""
    path = tmp_path / "gateway.db"
    look = f"import sqlite3; c = sqlite3.connect({str(path)!r}); print(c.execute('SELECT * FROM counter').fetchall())"
    for _ in range(2):  # the second time the file is there already
        runner = await database.start(path)
        try:
            wal = _wal_of(path)
            seen = await asyncio.to_thread(subprocess.check_output, [sys.executable, "-c", f"{look}; c.close()"])
            assert _wal_of(path) == wal, seen
            await runner.run(lambda connection: connection.execute("INSERT OR REPLACE INTO counter VALUES ('x', 7)"))
            seen = await asyncio.to_thread(subprocess.check_output, [sys.executable, "-c", look])
            assert b"('x', 7)" in seen
        finally:
            await runner.close()
