"""The writer's care: room, the watchdog's figure, old transactions, a damaged file, notes while the store is bad."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace as replaced

from gateway.errors import StoreError
from gateway.model.ids import MessageId, RowId, StationId, TransactionKey
from gateway.model.records import RELEASED, Counter, Delivered, Drop, OutboxRow, Put, Record
from gateway.model.transaction import Transaction, TransactionState
from gateway.store import database, tables
from gateway.store.writer import MARKS, MEASURE_S, NOTE_DELAY_S, PROBE_S, Writer, load
from tests.store.test_writer import _Bench, _run

ROW = OutboxRow(RowId(1), StationId("CP"), "1.6", MessageId("m"), "A", b"{}", "f", datetime(2026, 3, 1, tzinfo=UTC))


# -- room -----------------------------------------------------------------------------------------------------------


def test_room_is_known_after_a_commit(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        seen = [bench.writer.space]
        for name in ("a", "b" * 100_000):
            await bench.passes(MEASURE_S)
            await bench.put(name)
            seen.append(bench.writer.space)
        nothing, before, after = seen
        assert nothing is None
        assert before
        assert after
        assert 90_000 < after.used - before.used < 130_000

    _run(tmp_path, script)


def test_the_disk_s_own_work_is_timed_for_the_watchdog(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        seen = [bench.writer.busy_since]
        turn = bench.put("a")
        await bench.passes(bench.disk.takes_s / 2)
        seen.append(bench.writer.busy_since)
        await turn
        assert [*seen, bench.writer.busy_since] == [None, 0.0, None]

    _run(tmp_path, script)


def test_old_transactions_leave_between_two_commits_and_their_failure_harms_no_turn(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        day = datetime(2026, 3, 1, tzinfo=UTC)
        for number in range(1, 6):
            one = Transaction(TransactionKey(number), StationId("CP"), 1, 1, "f", received=day)
            state = TransactionState.RUNNING if number == 1 else TransactionState.ENDED
            received = day + timedelta(days=10) if number == 2 else day
            await bench.writer.append([Put(replace(one, state=state, received=received))])
        await bench.writer.append([Put(replaced(ROW, transaction=TransactionKey(3)))])
        assert await bench.writer.forget_transactions(day + timedelta(days=5)) == 2
        kept = [one.key for one in await load(bench.disk) if isinstance(one, Transaction)]
        assert kept == [1, 2, 3]  # running, newer, with a message on its way
        bench.disk.is_bad = True
        with pytest.raises(StoreError):
            await bench.writer.forget_transactions(day)
        bench.disk.is_bad = False
        await bench.put("a")
        assert bench.disk.reopened == 0

    _run(tmp_path, script)


# -- deliveries -----------------------------------------------------------------------------------------------------


def _states(records: list[Record]) -> dict[int, tuple[str, bytes]]:
    return {row.id: (row.state.value, row.payload) for row in records if isinstance(row, OutboxRow)}


def test_deliveries_are_marked_together_a_second_after_the_first_at_the_latest(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        rows = [replaced(ROW, id=RowId(number), state=RELEASED) for number in (1, 2)]
        for row in rows:
            await bench.writer.append([Put(row)])
            bench.writer.mark(Delivered(row))
        assert _states(await load(bench.disk)) == {1: ("released", b"{}"), 2: ("released", b"{}")}
        await bench.passes(NOTE_DELAY_S)
        await bench.put("next")
        assert _states(await load(bench.disk)) == {1: ("delivered", b""), 2: ("delivered", b"")}

    _run(tmp_path, script)


def test_many_deliveries_do_not_wait(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        rows = [replaced(ROW, id=RowId(number), state=RELEASED) for number in range(1, MARKS + 1)]
        await bench.writer.append([Put(row) for row in rows])
        for row in rows:
            bench.writer.mark(Delivered(row))
        await bench.put("next")
        assert {state for state, _ in _states(await load(bench.disk)).values()} == {"delivered"}

    _run(tmp_path, script)


def test_a_delivery_survives_a_bad_store_and_the_end(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        row = replaced(ROW, state=RELEASED)
        bench.disk.is_bad = True
        turn = bench.writer.append([Put(row)])
        bench.writer.mark(Delivered(row))
        with pytest.raises(StoreError):
            await turn
        bench.writer.mark(Delivered(replaced(row, id=RowId(2))))
        bench.disk.is_bad = False
        await bench.writer.ready.wait()
        [(_, carried)] = bench.reloads
        assert _states([change.record for change in carried]) == dict.fromkeys((1, 2), ("delivered", b""))
        late = replaced(row, id=RowId(3))
        await bench.writer.append([Put(late)])
        bench.writer.mark(Delivered(late))

    bench = _run(tmp_path, script)
    with closing(database.open_connection(bench.disk.path)) as connection:
        assert _states(tables.read(connection)) == dict.fromkeys((1, 2, 3), ("delivered", b""))


# -- damage ---------------------------------------------------------------------------------------------------------


def _corrupt() -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError("database disk image is malformed (scripted)")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def test_a_damaged_file_is_salvaged_when_it_is_first_read(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        await bench.put("a", 1)
        bench.disk.broken = _corrupt()
        records = await Writer(bench.disk, bench.disk.reopen, lambda *_: None, bench.disk.salvage).load()
        assert records == [Counter("a", 1)]
        bench.disk.broken = _corrupt()
        with pytest.raises(StoreError, match="malformed"):
            await Writer(bench.disk, bench.disk.reopen, lambda *_: None).load()
        bench.disk.broken = None

    _run(tmp_path, script)


def test_a_file_that_is_damaged_while_it_is_used_is_salvaged_and_memory_rebuilt(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        await bench.put("good", 7)
        bench.disk.broken = _corrupt()
        bench.note("answer", 1)
        with pytest.raises(StoreError, match="malformed"):
            await bench.put("lost")
        await bench.writer.ready.wait()
        assert bench.disk.salvaged == 1
        assert bench.reloads == [([Counter("good", 7)], [Put(Counter("answer", 1))])]
        await bench.put("after", 1)
        assert bench.disk.counters() == {"good": 7, "answer": 1, "after": 1}

    _run(tmp_path, script)


def test_a_salvage_that_fails_is_tried_again(tmp_path: Path) -> None:
    async def script(bench: _Bench) -> None:
        bench.disk.broken = _corrupt()
        bench.disk.is_gone = True
        with pytest.raises(StoreError):
            await bench.put("a")
        await bench.passes(4 * PROBE_S)
        assert not bench.writer.is_ready
        bench.disk.is_gone = False
        await bench.writer.ready.wait()

    _run(tmp_path, script)


def test_notes_don_t_grow_while_the_store_is_bad(tmp_path: Path) -> None:
    """A station may boot a hundred times an hour: the last of each record is what counts."""

    async def script(bench: _Bench) -> None:
        bench.disk.is_bad = True
        bench.note("before", 1)
        with pytest.raises(StoreError):
            await bench.put("a")
        for number in range(1000):
            bench.note("same", number)
            bench.note(f"{number % 3}", number)
        bench.note("before", 2)
        bench.writer.note([Drop(Counter("2", 0))])
        bench.disk.is_bad = False
        await bench.writer.ready.wait()
        [(_, carried)] = bench.reloads
        assert carried == [
            Put(Counter("1", 997)),
            Put(Counter("same", 999)),
            Put(Counter("0", 999)),
            Put(Counter("before", 2)),
            Drop(Counter("2", 0)),
        ]
        await bench.put("b")
        assert bench.disk.counters() == {"same": 999, "0": 999, "1": 997, "before": 2, "b": 0}

    _run(tmp_path, script)
