"""The writer: one commit for all that wait, nothing acknowledged that is not on disk, and a way back."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from gateway.errors import DamagedError, StoreError, StoreNotReady
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
        self.broken: sqlite3.DatabaseError | None = None
        self.salvaged = 0
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
        if self.broken:
            if work is tables.read:
                raise DamagedError(str(self.broken))
            raise self.broken
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

    async def salvage(self) -> None:
        if self.is_gone:
            raise StoreError("no room for what is saved (scripted)")
        self.salvaged += 1
        self.broken = None

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
        self.writer = Writer(
            disk, disk.reopen, lambda records, notes: self.reloads.append((records, list(notes))), disk.salvage
        )

    def put(self, name: str, value: int = 0) -> asyncio.Future[None]:
        return self.writer.append([Put(Counter(name, value))])

    def note(self, name: str, value: int = 0) -> None:
        self.writer.note([Put(Counter(name, value))])

    async def passes(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


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
    assert len(bench.disk.commits[-1]) == 4, "16 of them at once, 4 at once, the Drop, and the Put behind it"


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
