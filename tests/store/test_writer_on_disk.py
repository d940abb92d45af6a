"""The writer on real disks: full, locked, failing, and killed."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Coroutine
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gateway.errors import StoreError
from gateway.model.records import Counter, Put
from gateway.store import database, tables
from gateway.store.database import Runner
from gateway.store.writer import Writer, load

T = TypeVar("T")


# -- real disks -----------------------------------------------------------------------------------------------------


async def _on_disk(path: Path, script: Callable[[Writer, list[Any]], Coroutine[Any, Any, None]]) -> None:
    """A script against a writer on aiosqlite."""
    reloads: list[Any] = []
    runner = await database.start(path)
    writer = Writer(runner, partial(database.reopen, path), lambda records, notes: reloads.append((records, notes)))
    running = asyncio.create_task(writer.run())
    async with asyncio.timeout(30):
        await script(writer, reloads)
        writer.close()
        await running


async def test_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"

    async def script(writer: Writer, reloads: list[Any]) -> None:
        runner: Any = writer._runner
        pages = await runner.run(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0])
        await runner.run(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchone())
        written: list[int] = []

        async def fill() -> None:
            for number in range(3000):
                await writer.append([Put(Counter(f"{number} {'x' * 20_000}", number))])
                written.append(number)

        with pytest.raises(StoreError, match="full"):
            await fill()
        assert written
        await writer.ready.wait()
        [(records, _)] = reloads
        assert sorted(record.value for record in records) == written
        await writer.append([Put(Counter("after", 1))])

    await _on_disk(path, script)
    with closing(sqlite3.connect(path)) as after:
        assert after.execute("SELECT value FROM counter WHERE name = 'after'").fetchall() == [(1,)]
        assert after.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_lock_held_by_another_program_fails_the_turn_and_passes(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"

    async def script(writer: Writer, reloads: list[Any]) -> None:
        runner: Any = writer._runner
        await runner.run(lambda connection: connection.execute("PRAGMA busy_timeout = 50"))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="locked"):
                await writer.append([Put(Counter("a", 1))])
            other.execute("ROLLBACK")
        await writer.ready.wait()
        await writer.append([Put(Counter("b", 1))])
        assert len(reloads) == 1

    await _on_disk(path, script)


async def test_closing_with_a_note_left_and_no_store_is_an_orderly_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.writer.PROBE_S", 0.05)
    runner = await database.start(tmp_path / "gateway.db")
    probed = asyncio.Event()

    async def reopen() -> Runner:
        probed.set()
        raise StoreError("gone (scripted)")

    writer = Writer(runner, reopen, lambda records, notes: None)
    running = asyncio.create_task(writer.run())
    await runner.run(lambda connection: connection.execute("DROP TABLE counter"))
    with pytest.raises(StoreError):
        await writer.append([Put(Counter("a", 1))])
    async with asyncio.timeout(20):
        await probed.wait()
        writer.note([Put(Counter("n", 1))])
        writer.close()
        await running


async def test_a_statement_that_fails_in_the_middle_leaves_nothing_of_its_group(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"

    async def script(writer: Writer, reloads: list[Any]) -> None:
        runner: Any = writer._runner
        await runner.run(
            lambda connection: connection.execute(
                "CREATE TRIGGER t BEFORE INSERT ON counter WHEN new.name = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        )
        turns = [writer.append([Put(Counter(name, 1))]) for name in ("a", "bad", "b")]
        assert all(isinstance(e, StoreError) for e in await asyncio.gather(*turns, return_exceptions=True))
        await writer.ready.wait()
        assert reloads == [([], [])]
        await writer.append([Put(Counter("c", 1))])
        assert await load(writer._runner) == [Counter("c", 1)]

    await _on_disk(path, script)


_APPENDER = """
import asyncio, sys
from functools import partial
from pathlib import Path
from gateway.model.records import Counter, Put
from gateway.store import database
from gateway.store.writer import Writer

async def main():
    path = Path(sys.argv[1])
    writer = Writer(await database.start(path), partial(database.reopen, path), lambda *_: None)
    running = asyncio.create_task(writer.run())
    async def station(number):
        for count in range(10**6):
            await writer.append([Put(Counter(f"{number}-{count}", count))])
            print(f"{number}-{count}", flush=True)
    await asyncio.gather(*(station(number) for number in range(8)))

asyncio.run(main())
"""


@pytest.mark.parametrize("lines", [1, 100, 701])
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "gateway.db"
    with subprocess.Popen(
        [sys.executable, "-c", _APPENDER, str(path)], stdout=subprocess.PIPE, text=True, env={**os.environ}
    ) as process:
        assert process.stdout
        acknowledged = [process.stdout.readline().strip() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]
    assert process.returncode == -signal.SIGKILL
    assert len(acknowledged) >= lines
    with closing(database.open_connection(path)) as after:
        database.prepare(after)
        on_disk = {record.name for record in tables.read(after) if isinstance(record, Counter)}
    assert set(acknowledged) <= on_disk
    assert len(on_disk) <= len(acknowledged) + 8  # at most one turn in flight for each
