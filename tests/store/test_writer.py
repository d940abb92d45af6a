"""The writer: one commit for all that wait, nothing acknowledged that is not on disk, and a way back."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gateway.errors import StoreError, StoreNotReady
from gateway.model.ids import StationId
from gateway.model.records import Change, Counter, Drop, Put, Record, StationRecord
from gateway.store import database, tables
from gateway.store.database import Runner
from gateway.store.writer import NOTE_DELAY_S, PROBE_S, Writer, load
from tests.sim import loop

T = TypeVar("T")


class _Disk(Runner):
    """SQLite on a file, on virtual time: a commit takes a while, and fails when told to."""

    def __init__(self, path: Path, takes_s: float = 0.25) -> None:
        self.path = path
        self.takes_s = takes_s
        self.is_bad = False
        self.is_gone = False
        self.commits: list[list[str]] = []
        self.reopened = 0
        self.closed = 0
        self._connection = database.open_connection(path)
        database.migrate(self._connection)
        self._connection.execute("PRAGMA synchronous = OFF")

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        await asyncio.sleep(self.takes_s)
        if self.is_bad:
            raise sqlite3.OperationalError("disk I/O error (scripted)")
        seen: list[str] = []
        self._connection.set_trace_callback(seen.append)
        result = work(self._connection)
        self._connection.set_trace_callback(None)
        if "COMMIT" in seen:
            self.commits.append([sql for sql in seen if sql.startswith(("INSERT", "DELETE"))])
        return result

    async def close(self) -> None:
        self.closed += 1

    async def reopen(self) -> "_Disk":
        self.reopened += 1
        if self.is_gone:
            raise StoreError("no such file (scripted)")
        return self

    def end(self) -> None:
        self._connection.close()

    def counters(self) -> dict[str, int]:
        with closing(sqlite3.connect(self.path)) as other:
            return dict(other.execute("SELECT name, value FROM counter"))


class _Bench:
    """A writer at work, what it reloaded, and what is on disk."""

    def __init__(self, disk: _Disk) -> None:
        self.disk = disk
        self.reloads: list[tuple[list[Record], list[Change]]] = []
        self.writer = Writer(disk, disk.reopen, lambda records, notes: self.reloads.append((records, list(notes))))

    def put(self, name: str, value: int = 0) -> asyncio.Future[None]:
        return self.writer.append([Put(Counter(name, value))])

    def note(self, name: str, value: int = 0) -> None:
        self.writer.note([Put(Counter(name, value))])


def _run(tmp_path: Path, script: Callable[[_Bench], Awaitable[None]], *, is_closed: bool = True) -> _Bench:
    """Play a script against a running writer, then close it."""

    async def main() -> _Bench:
        disk = _Disk(tmp_path / "gateway.db")
        bench = _Bench(disk)
        running = asyncio.create_task(bench.writer.run())
        try:
            async with asyncio.timeout(3600):
                await script(bench)
                if is_closed:
                    bench.writer.close()
                    await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            disk.end()
        return bench

    return loop.run(main())


def _now() -> float:
    return asyncio.get_running_loop().time()


# -- group commit ---------------------------------------------------------------------------------------------------


def test_a_lone_turn_is_committed_at_once(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        await bench.put("a", 1)
        assert _now() == bench.disk.takes_s
        assert bench.disk.counters() == {"a": 1}

    assert _run(tmp_path, script).writer.commits == 1


def test_all_turns_that_wait_are_one_commit(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        first = bench.put("first")
        await asyncio.sleep(0.1)
        futures = [bench.put(f"{number}", number) for number in range(300)]
        await first
        assert not any(future.done() for future in futures)
        await asyncio.gather(*futures)
        assert bench.writer.commits == 2
        assert _now() == 2 * bench.disk.takes_s
        assert len(bench.disk.counters()) == 301

    _run(tmp_path, script)


def test_nothing_is_acknowledged_before_its_commit(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        future = bench.put("a")
        await asyncio.sleep(bench.disk.takes_s - 0.01)
        assert not future.done()
        assert bench.disk.counters() == {}
        await future

    _run(tmp_path, script)


def test_turns_are_written_in_the_order_they_were_appended(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        futures = [bench.put("same", number) for number in range(20)]
        futures.append(bench.writer.append([Drop(Counter("same", 0)), Put(Counter("same", 99))]))
        await asyncio.gather(*futures)

    bench = _run(tmp_path, script)
    assert bench.disk.counters() == {"same": 99}
    assert len(bench.disk.commits[-1]) == 22


def test_an_empty_turn_resolves(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        async with asyncio.timeout(5):
            await bench.writer.append([])

    _run(tmp_path, script)


def test_a_caller_that_gave_up_does_not_hurt_the_others(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        gone, stays = bench.put("gone"), bench.put("stays")
        gone.cancel()
        await stays
        assert bench.disk.counters() == {"gone": 0, "stays": 0}

    _run(tmp_path, script)


# -- notes ----------------------------------------------------------------------------------------------------------


def test_a_note_alone_is_written_within_a_second(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        bench.note("n", 1)
        await asyncio.sleep(0.5)
        bench.note("m", 2)
        assert bench.writer.commits == 0
        await asyncio.sleep(NOTE_DELAY_S - 0.5 + bench.disk.takes_s + 0.01)
        assert bench.disk.counters() == {"n": 1, "m": 2}
        bench.note("later")
        await asyncio.sleep(NOTE_DELAY_S + bench.disk.takes_s + 0.01)
        assert "later" in bench.disk.counters()

    assert _run(tmp_path, script).writer.commits == 2


def test_notes_ride_along_with_the_next_turn(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        bench.note("n", 1)
        await bench.put("a", 1)
        assert bench.disk.counters() == {"n": 1, "a": 1}
        await asyncio.sleep(10)

    assert _run(tmp_path, script).writer.commits == 1


def test_a_note_taken_while_a_commit_runs_is_not_lost(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        bench.note("first")
        running = bench.put("a")
        await asyncio.sleep(bench.disk.takes_s / 2)
        bench.note("second")
        await running
        await asyncio.sleep(NOTE_DELAY_S + bench.disk.takes_s)
        assert set(bench.disk.counters()) == {"first", "a", "second"}

    _run(tmp_path, script)


def test_no_notes_no_commit(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        bench.writer.note([])
        await asyncio.sleep(10)

    assert _run(tmp_path, script).writer.commits == 0


def test_closing_writes_what_is_there(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        bench.note("n")
        bench.put("a")

    bench = _run(tmp_path, script)
    assert set(bench.disk.counters()) == {"n", "a"}
    assert bench.disk.closed == 1


def test_a_turn_is_newer_than_the_notes_before_it(tmp_path: Path) -> None:
    """Memory was changed by note, then turn: the file must end the same, or a restart loads the older one."""

    async def script(bench: _Bench) -> None:
        record = StationRecord(StationId("CP-1"))
        bench.writer.note([Put(record)])
        await bench.writer.append([Put(replace(record, boot=b"{}", boot_due=True, boots=1))])
        [read] = await load(bench.disk)
        assert read == replace(record, boot=b"{}", boot_due=True, boots=1)

    _run(tmp_path, script)


# -- a bad disk -----------------------------------------------------------------------------------------------------


def test_a_failed_commit_fails_its_group_and_every_later_turn(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        await bench.put("good")
        bench.disk.is_bad = True
        group = [bench.put("a"), bench.put("b")]
        await asyncio.sleep(0.1)
        later = [bench.put("c"), bench.put("d")]
        assert all(isinstance(e, StoreError) for e in await asyncio.gather(*group, *later, return_exceptions=True))
        assert not bench.writer.is_ready
        bench.disk.is_bad = False
        await bench.writer.ready.wait()
        assert bench.disk.counters() == {"good": 0}

    _run(tmp_path, script)


def test_nothing_is_taken_while_the_store_is_bad(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        bench.disk.is_bad = True
        with pytest.raises(StoreError):
            await bench.put("a")
        with pytest.raises(StoreNotReady):
            bench.put("b")
        with pytest.raises(StoreNotReady):
            bench.writer.check()
        bench.disk.is_bad = False
        await bench.writer.ready.wait()
        bench.writer.check()
        await bench.put("c")
        assert bench.disk.counters() == {"c": 0}

    _run(tmp_path, script)


def test_memory_is_rebuilt_from_what_is_on_disk(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        await bench.put("good", 7)
        bench.disk.is_bad = True
        bench.note("answer", 1)
        with pytest.raises(StoreError):
            await bench.put("lost")
        bench.note("while bad", 2)
        bench.disk.is_bad = False
        await bench.writer.ready.wait()
        carried: list[Change] = [Put(Counter("answer", 1)), Put(Counter("while bad", 2))]
        assert bench.reloads == [([Counter("good", 7)], carried)]
        await asyncio.sleep(NOTE_DELAY_S + 1)
        assert bench.disk.counters() == {"good": 7, "answer": 1, "while bad": 2}

    _run(tmp_path, script)


def test_notes_survive_any_number_of_failures(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        bench.disk.is_bad = True
        bench.note("one", 1)
        await asyncio.sleep(3)
        bench.note("two", 2)
        await asyncio.sleep(20)
        assert not bench.writer.is_ready
        bench.disk.is_bad = False
        await asyncio.sleep(PROBE_S + NOTE_DELAY_S + 2)
        assert bench.disk.counters() == {"one": 1, "two": 2}
        assert bench.writer.is_ready

    _run(tmp_path, script)


def test_the_first_reopening_is_at_once_and_further_ones_are_paced(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        bench.disk.is_bad = bench.disk.is_gone = True
        with pytest.raises(StoreError):
            await bench.put("a")
        await asyncio.sleep(0.1)
        assert bench.disk.reopened == 1
        await asyncio.sleep(10 * PROBE_S)
        assert 8 <= bench.disk.reopened <= 11
        bench.disk.is_bad = bench.disk.is_gone = False
        await bench.writer.ready.wait()

    _run(tmp_path, script)


def test_a_disk_that_reads_and_can_t_write_is_not_hammered(tmp_path: Path) -> None:
    """Reading works, so each recovery succeeds; the turns that then fail must not spin."""

    async def script(bench: _Bench) -> None:
        real = bench.disk.run

        async def reads_only(work: Callable[[sqlite3.Connection], T]) -> T:
            if work is tables.read:
                return await real(work)
            await asyncio.sleep(0.01)
            raise sqlite3.OperationalError("database or disk is full (scripted)")

        bench.disk.run = reads_only  # type: ignore[method-assign]
        began = _now()
        failures = 0
        while _now() < began + 60:
            await bench.writer.ready.wait()
            with pytest.raises(StoreError):
                await bench.put("a")
            failures += 1
        assert 5 < failures < 20
        bench.disk.run = real  # type: ignore[method-assign]
        await bench.writer.ready.wait()
        await bench.put("a")

    _run(tmp_path, script)


@pytest.mark.parametrize("is_noted_late", [False, True])
def test_closing_ends_the_writer_also_while_the_disk_is_bad(tmp_path: Path, is_noted_late: bool) -> None:
    async def script(bench: _Bench) -> None:
        bench.disk.is_bad = bench.disk.is_gone = True
        with pytest.raises(StoreError):
            await bench.put("a")
        await asyncio.sleep(1)
        if is_noted_late:
            bench.note("n")
        began = _now()
        bench.writer.close()
        while bench.disk.closed < 3 and _now() < began + 60:
            await asyncio.sleep(0.5)
        assert _now() - began <= 2 * PROBE_S

    _run(tmp_path, script)


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
