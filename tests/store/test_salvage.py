"""A damaged database: the gateway starts all the same, keeps the file, saves what can be read, and says so."""

import contextlib
import json
import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as replaced

from gateway.errors import DamagedError, StoreError
from gateway.model.events import EventKind
from gateway.model.ids import MessageId, RowId, StationId, TransactionKey
from gateway.model.reasons import AuditKind
from gateway.model.records import AuditEntry, Counter, LatestMessage, OutboxRow, Put, Record, StationRecord, TokenRecord
from gateway.model.transaction import Transaction
from gateway.store import database, salvage, tables

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
PAGE = 4096
ROWS = 500


def records() -> list[Record]:
    """Enough for every table to have pages of every kind."""
    made: list[Record] = []
    for number in range(1, 41):
        station = StationId(f"CP-{number}")
        made += [
            StationRecord(station, boot=b"{}" * 90, was_accepted=True),
            LatestMessage(station, "status:1/1", "1.6", "StatusNotification", b"{}" * 90),
            TokenRecord(f"tag-{number}", "Accepted", None, None, NOW, NOW),
        ]
    for number in range(1, ROWS // 5):
        key, station = TransactionKey(number), StationId(f"CP-{number % 40 + 1}")
        made.append(Transaction(key, station, 1, 1, f"print {number}", str(number), received=NOW))
    for number in range(1, ROWS + 1):
        payload = json.dumps({"number": number, "noise": f"{random.Random(number).getrandbits(1200):x}"}).encode()
        key, station = TransactionKey(number // 5 + 1), StationId(f"CP-{number // 5 % 40 + 1}")
        made.append(
            OutboxRow(RowId(number), station, "1.6", MessageId(f"m-{number}"), "A", payload, f"f-{number}",
                      NOW + timedelta(seconds=number), EventKind.UPDATED, key)
        )  # fmt: skip
    return [*made, Counter("local_tx_id", 1_000_000_007)]


ALL = records()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good database."""
    path = tmp_path_factory.mktemp("whole") / "gateway.db"
    with closing(database.open_connection(path)) as connection:
        database.prepare(connection)
        connection.execute("BEGIN")
        for sql, parameters in tables.batches(tables.statements(map(Put, ALL))):
            connection.execute(sql, parameters)
        connection.execute("COMMIT")
    database.save_head(path)
    return path


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    """A copy of it that may be spoilt."""
    for file in whole.parent.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path / whole.name


async def _started(path: Path) -> list[Any]:
    """What a start finds, without the entry about the damage."""
    runner = await salvage.start(path)
    try:
        found = await runner.run(tables.read)
        check = await runner.run(lambda connection: connection.execute("PRAGMA integrity_check").fetchone())
    finally:
        await runner.close()
    assert check == ("ok",)
    return [record for record in found if not isinstance(record, AuditEntry)]


def _same(found: list[Any]) -> bool:
    return sorted(map(repr, found)) == sorted(map(repr, ALL))


def _content(path: Path) -> bytes:
    return path.read_bytes()


def _audit(path: Path) -> AuditEntry:
    with closing(database.open_connection(path)) as connection:
        [entry] = [record for record in tables.read(connection) if isinstance(record, AuditEntry)]
    return entry


def _put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _replace_all(path: Path, content: bytes) -> None:
    (path.parent / "gateway.db.head").unlink()
    path.write_bytes(content)


def _overwrite(path: Path, page: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(content[:PAGE].ljust(PAGE, b"\0"))


def _pages_of(path: Path, table: str, *, leaf: bool) -> list[int]:
    """Found by their first byte, and a text that only rows of this table hold."""
    content = path.read_bytes()
    kinds = {"outbox": (13, 5), "transaction": (13, 5), "station": (10, 2)}[table]
    mark = {"outbox": b"f-", "transaction": b"print ", "station": b"unknown"}[table]
    pages = [content[at : at + PAGE] for at in range(0, len(content), PAGE)]
    return [n for n, page in enumerate(pages, 1) if page[0] == kinds[0 if leaf else 1] and (mark in page or not leaf)]


# -- what is lost, and what is not ----------------------------------------------------------------------------------


async def test_a_good_file_is_left_alone(path: Path) -> None:
    assert _same(await _started(path))
    assert salvage.damaged_files(path) == []


@pytest.mark.parametrize("junk", [b"", random.Random(5).randbytes(PAGE)])
async def test_without_its_first_page_nothing_is_lost(path: Path, junk: bytes) -> None:
    _overwrite(path, 1, junk)
    spoilt = _content(path)
    assert _same(await _started(path))
    [kept] = salvage.damaged_files(path)
    assert _content(kept) == spoilt
    assert kept.name.startswith("gateway.db.damaged-20")
    entry = _audit(path)
    assert entry.kind is AuditKind.SALVAGED
    assert f"{len(ALL)} records were saved" in entry.text
    assert kept.name in entry.text
    assert {file.name for file in path.parent.iterdir()} == {"gateway.db", "gateway.db.head", kept.name}


async def test_a_spoilt_page_costs_the_rows_on_it_and_no_other(path: Path) -> None:
    leaf = _pages_of(path, "outbox", leaf=True)
    for page in (leaf[3], leaf[len(leaf) // 2]):
        _overwrite(path, page, b"\xff" * PAGE)
    found = await _started(path)
    lost = [record for record in ALL if record not in found]
    assert 0 < len(lost) < 40
    assert all(isinstance(record, OutboxRow) for record in lost)
    assert [record for record in found if record not in ALL] == []
    assert "some rows of outbox are lost" in _audit(path).text


async def test_a_file_that_is_no_database_at_all_is_kept_and_a_new_one_begun(path: Path) -> None:
    _replace_all(path, b"not a database at all" * 500)
    assert await _started(path) == []
    [kept] = salvage.damaged_files(path)
    assert _content(kept).startswith(b"not a database")
    assert "0 records were saved" in _audit(path).text


def _flip_a_payload(connection: sqlite3.Connection) -> None:
    [payload] = connection.execute("SELECT payload FROM outbox WHERE id = 300").fetchone()
    spoilt = payload[:40] + bytes([payload[40] ^ 4]) + payload[41:]
    connection.execute("UPDATE outbox SET payload = ? WHERE id = 300", (spoilt,))


SPOILS: dict[int, Callable[[sqlite3.Connection], Any]] = {
    300: _flip_a_payload,
    310: lambda connection: connection.execute("UPDATE outbox SET state = 'queuec' WHERE id = 310"),
    320: lambda connection: connection.execute("UPDATE outbox SET errors = 'x' WHERE id = 320"),
    330: lambda connection: connection.execute("UPDATE outbox SET received = '2026-13-01' WHERE id = 330"),
    350: lambda connection: connection.execute("UPDATE outbox SET action = CAST(x'41ff' AS TEXT) WHERE id = 350"),
}
"""Flipped bits that leave rows without sense, by the row's number; the last one is no UTF-8."""


@pytest.mark.parametrize("number", sorted(SPOILS))
def test_a_row_that_makes_no_sense_is_noticed_when_it_is_read(number: int) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        database.migrate(connection)
        for sql, parameters in tables.batches(tables.statements(map(Put, ALL))):
            connection.execute(sql, parameters)
        SPOILS[number](connection)
        with pytest.raises(DamagedError):
            tables.read(connection)


async def test_rows_that_make_no_sense_are_lost_and_no_others(path: Path) -> None:
    with closing(database.open_connection(path)) as connection:
        for spoil in SPOILS.values():
            spoil(connection)
    await salvage.save(path)
    found = {record.id: record for record in await _started(path) if isinstance(record, OutboxRow)}
    assert {row.id for row in ALL if isinstance(row, OutboxRow)} - set(found) == {300, 310, 320, 330}
    assert found[RowId(350)].action == "A\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("number", range(4))
async def test_whatever_pages_are_spoilt_it_starts_and_invents_nothing(path: Path, seed: int, number: int) -> None:
    source = random.Random(seed * 10 + number)
    before = _content(path)
    for page in source.sample(range(1, len(before) // PAGE + 1), source.choice([1, 3, 20, 200])):
        _overwrite(path, page, source.choice([b"", source.randbytes(PAGE), before[: PAGE // 2]]))
    found = await _started(path)
    assert [record for record in found if record not in ALL] == [], f"seed {seed}, {number}"
    assert len(found) == len(ALL) or salvage.damaged_files(path)
    assert await _started(path) == found


# -- interruptions --------------------------------------------------------------------------------------------------


class _Cuts:
    """The power fails before so many renamings of a file."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.steps = 0

    def replace(self, path: Path, target: Path) -> Path:
        self.steps += 1
        if self.steps >= self.at:
            raise OSError("power cut (scripted)")
        os.replace(path, target)
        return target


async def test_a_salvage_that_is_interrupted_anywhere_is_finished_or_begun_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, has_cut = 0, True
    while has_cut:
        at += 1
        _overwrite(path, 1, b"")
        for cuts in (_Cuts(at), _Cuts(1)):  # and once more, while that is made good
            with monkeypatch.context() as patched:
                patched.setattr(Path, "replace", lambda self, target, cuts=cuts: cuts.replace(self, target))
                with contextlib.suppress(StoreError):
                    await (await salvage.start(path)).close()
            has_cut = cuts.at == 1 and (cuts.steps > 0 or has_cut)
        assert _same(await _started(path)), f"cut at {at}"
        has_cut = at < 5
    assert len(salvage.damaged_files(path)) >= at


async def test_the_log_of_changes_goes_along_and_is_read(path: Path) -> None:
    """After kill -9 the newest rows are in the log only."""
    row = replaced(next(record for record in ALL if isinstance(record, OutboxRow)), id=RowId(9999))
    with closing(database.open_connection(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for sql, parameters in tables.batches(tables.statements([Put(row)])):
            connection.execute(sql, parameters)
        files = {file: _content(file) for file in (path, Path(f"{path}-wal"))}
    for file, content in files.items():
        _put(file, content)
    leaf = _pages_of(path, "outbox", leaf=True)
    _overwrite(path, leaf[5], b"\xff" * PAGE)
    assert row in await _started(path)
    [kept] = salvage.damaged_files(path)
    assert {file.name for file in path.parent.iterdir()} >= {kept.name, "gateway.db"}


async def test_two_damages_in_one_second_are_two_files(path: Path) -> None:
    for _ in range(2):
        _overwrite(path, 1, b"")
        salvage.salvage(path, lambda: NOW)
    assert [file.name for file in salvage.damaged_files(path)] == [
        "gateway.db.damaged-20260301T080000Z",
        "gateway.db.damaged-20260301T080000Z-2",
    ]
    assert _same(await _started(path))
