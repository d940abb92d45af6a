"""Records to rows and back: what a station may say survives, and never makes a commit fail."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as replaced

from gateway.dialects import payloads
from gateway.model.events import EventKind, RegistrationStatus
from gateway.model.ids import MessageId, RowId, StationId, TransactionKey
from gateway.model.reasons import AuditKind, ParkReason
from gateway.model.records import (
    Approval,
    AuditEntry,
    BackgroundRow,
    CapRow,
    Change,
    ClockBase,
    ConnectorRow,
    Counter,
    Delivered,
    Drop,
    LatestMessage,
    LocalList,
    OutboxRow,
    PriorityRow,
    ProfileRow,
    Put,
    Record,
    RemoteStart,
    Reservation,
    RowState,
    StationAuthorization,
    StationClock,
    StationRecord,
    TokenRecord,
    UnknownOutcome,
)
from gateway.model.settings import Setting, UplinkSecret
from gateway.model.transaction import Transaction, TransactionState
from gateway.model.translation import TokenAlias, TranslatedRow, TranslationRow
from gateway.store import database, packing, tables

NOW = datetime(2026, 3, 1, 8, 0, 0, 123456, tzinfo=UTC)
_ODD = ["", "null", "NULL", "true", "1", "1.0", "0x10", "nan", "'; DROP TABLE station; --", "ä€😀", "\x00", "a\x00b",
        "2026-03-01T08:00:00Z", "[1]", " ", "\u2028", "x" * 5000]  # fmt: skip
_text = st.sampled_from(_ODD) | st.text(st.characters(codec="utf-8"), max_size=12)
_maybe = st.none() | _text
_int64 = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, -1, 2**31, 2**63 - 1, -(2**63)])
_maybe_int = st.none() | _int64
_key = st.integers(0, 2**63 - 1)
_moment = st.integers(0, 10**16).map(lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us))
_seconds = st.floats(-1e10, 1e10).map(lambda value: value + 0.0)  # SQLite knows no -0.0
_station = _text.map(StationId)
_transaction_key = _key.map(TransactionKey)
_PAYLOADS = st.sampled_from(
    [b"", b"\x01", b"\x01" * 60, b'{"eventType":"Updated","seqNo":1}' * 3, packing.DICTIONARY, b" {}" * 40_000]
)
"""What packing might stumble over: its own mark, its own dictionary, what it can't make smaller."""

RECORDS: dict[type[Any], st.SearchStrategy[Any]] = {
    Transaction: st.builds(
        Transaction,
        key=_transaction_key, station=_station, boot=_int64, evse=_maybe_int, start_fingerprint=_text,
        station_tx_id=_maybe, upstream_tx_id=_maybe_int, token_fingerprint=_maybe,
        other_upstream_ids=st.lists(st.integers(), max_size=3).map(tuple), token=_maybe, group=_maybe,
        state=st.sampled_from(TransactionState), status=_maybe, status_reason=_maybe, late_status=_maybe,
        deauthorized=st.booleans(), started=_text, meter_start_wh=_maybe_int, ended=_maybe, meter_stop_wh=_maybe_int,
        stopped_reason=_maybe, received=st.none() | _moment, parked=st.booleans(), stamp=_maybe,
        thinned=_int64,
    ),
    OutboxRow: st.builds(
        OutboxRow,
        id=_key.map(RowId), station=_station, dialect=_text, message_id=_text.map(MessageId), action=_text,
        payload=st.binary(max_size=90) | _PAYLOADS, fingerprint=_text, received=_moment,
        kind=st.none() | st.sampled_from(EventKind), transaction=st.none() | _transaction_key, token=_maybe,
        state=st.sampled_from(RowState), offline=st.booleans(),
        bound_tx_id=_maybe_int, errors=_int64, last_error=_maybe, stamp=_maybe, samples=st.booleans(),
        parked=st.none() | st.sampled_from(ParkReason),
    ),
    UnknownOutcome: st.builds(
        UnknownOutcome,
        row=_key.map(RowId), station=_station, message_id=_text.map(MessageId), action=_text,
        transaction=st.none() | _transaction_key, noticed=_moment,
    ),
    StationRecord: st.builds(
        StationRecord,
        id=_station, approval=st.sampled_from(Approval), credential=_maybe, dialect=_maybe, upstream_dialect=_maybe,
        boot=st.none() | st.binary(max_size=30), boot_due=st.booleans(), boots=_int64, was_accepted=st.booleans(),
        interval_s=_int64, registration=st.none() | st.sampled_from(RegistrationStatus),
        told=st.none() | st.sampled_from(RegistrationStatus), wait_s=_int64,
    ),
    LatestMessage: st.builds(
        LatestMessage, station=_station, slot=_text, dialect=_text, action=_text, payload=st.binary(max_size=30)
    ),
    TokenRecord: st.builds(
        TokenRecord, token=_text, status=_text, group=_maybe, expiry=_maybe, seen=_moment, used=_moment,
        station=st.none() | _station, evses=st.lists(_int64, max_size=3).map(tuple),
    ),
    LocalList: st.builds(LocalList, digest=_text, entries=st.binary(max_size=30)),
    StationAuthorization: st.builds(
        StationAuthorization, station=_station, version=_maybe_int, digest=_maybe, given=st.none() | _moment,
        held_version=_maybe_int, held_digest=_maybe, cache_cleared=st.none() | _moment, clear_due=st.booleans(),
    ),
    Reservation: st.builds(
        Reservation, station=_station, id=_int64, evse=_maybe_int, token=_text, group=_maybe, until=_moment
    ),
    RemoteStart: st.builds(RemoteStart, station=_station, token=_text, until=_moment),
    Counter: st.builds(Counter, name=_text, value=_int64),
    ClockBase: st.builds(ClockBase, boot=_text, anchor_s=_seconds, trust=_text, last_s=_seconds),
    StationClock: st.builds(
        StationClock, station=_station, boot=_text, anchor_s=st.none() | _seconds, skew_s=st.none() | _seconds
    ),
    Setting: st.builds(Setting, station=_station, name=_text, believed=_maybe, held=_maybe),
    UplinkSecret: st.builds(
        UplinkSecret, station=_station, secret=st.binary(max_size=30), previous=st.none() | st.binary(max_size=30),
        origin=_maybe,
    ),
    AuditEntry: st.builds(
        AuditEntry,
        id=_key, at=_moment, kind=st.sampled_from(AuditKind), station=st.none() | _station, text=_text,
        detail=st.none() | st.binary(max_size=30),
    ),
    ProfileRow: st.builds(ProfileRow, station=_station, key=_text, content=st.binary(max_size=90)),
    PriorityRow: st.builds(PriorityRow, station=_station, transaction=_transaction_key),
    ConnectorRow: st.builds(
        ConnectorRow, station=_station, evse=_int64, ceiling_a=st.none() | _seconds, fallback_a=st.none() | _seconds,
        checked=_maybe,
    ),
    BackgroundRow: st.builds(
        BackgroundRow, circuit=_text, rises=st.binary(max_size=90), steps=st.binary(max_size=90)
    ),
    CapRow: st.builds(
        CapRow, source=_text, circuit=_text, limit_w=st.none() | _seconds,
        limit_a=st.none() | st.tuples(_seconds, _seconds, _seconds), received=_moment, until=_moment,
    ),
    TranslationRow: st.builds(TranslationRow, station=_text, name=_text, content=st.binary(max_size=90)),
    TranslatedRow: st.builds(
        TranslatedRow, station=_text, message_id=_text, number=_key, content=st.binary(max_size=90)
    ),
    TokenAlias: st.builds(TokenAlias, alias=_text, value=_text, type=_text),
}  # fmt: skip
_any_record = st.one_of(*RECORDS.values())

ROW = OutboxRow(RowId(1), StationId("CP"), "1.6", MessageId("m"), "A", b"{}", "f", NOW)
TRANSACTION = Transaction(TransactionKey(1), StationId("CP"), 1, 1, "s")


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with _fresh() as opened:
        yield opened


def _fresh() -> closing[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    database.migrate(opened)
    return closing(opened)


def _write(connection: sqlite3.Connection, *changes: Change) -> None:
    for sql, parameters in tables.batches(tables.statements(changes)):
        connection.execute(sql, parameters)


def test_every_record_type_has_its_strategy_and_every_field_is_drawn() -> None:
    assert set(RECORDS) == set(Record.__args__)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_what_is_put_is_read(kind: type[Any]) -> None:
    with _fresh() as connection:

        @settings(deadline=None, max_examples=60)
        @given(RECORDS[kind])
        def survives(record: Any) -> None:
            _write(connection, Put(record))
            read = tables.read(connection)
            assert read == [record]
            names = getattr(kind, "__struct_fields__", None) or [field.name for field in fields(kind)]
            assert [type(getattr(read[0], name)) for name in names] == [type(getattr(record, name)) for name in names]
            _write(connection, Drop(record))
            assert tables.read(connection) == []

        survives()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from([Put, Drop]), _any_record), max_size=12))
def test_the_file_is_a_fold_of_the_changes(changes: list[tuple[Any, Any]]) -> None:
    """The newest of each key, whatever was put and dropped before."""
    expected: dict[Any, Any] = {}
    with _fresh() as connection:
        for make, record in changes:
            _write(connection, make(record))
            expected.pop(_identity(record), None)
            if make is Put:
                expected[_identity(record)] = record
        assert sorted(map(repr, tables.read(connection))) == sorted(map(repr, expected.values()))


def _identity(record: Any) -> tuple[Any, ...]:
    names = {
        Transaction: ("key",), OutboxRow: ("id",), UnknownOutcome: ("row",), StationRecord: ("id",),
        LatestMessage: ("station", "slot"), TokenRecord: ("token",), RemoteStart: ("station", "token"),
        Counter: ("name",), LocalList: ("digest",), StationAuthorization: ("station",), Reservation: ("station", "id"),
        ClockBase: ("boot",), StationClock: ("station",),
        Setting: ("station", "name"), UplinkSecret: ("station",), ProfileRow: ("station", "key"),
        PriorityRow: ("station", "transaction"), ConnectorRow: ("station", "evse"), BackgroundRow: ("circuit",),
        CapRow: ("source",), TranslationRow: ("station", "name"), TranslatedRow: ("station", "message_id"),
        TokenAlias: ("alias",),
        AuditEntry: ("id",),
    }[type(record)]  # fmt: skip
    return (type(record), *(getattr(record, name) for name in names))


def test_a_record_is_found_under_its_exact_key(connection: sqlite3.Connection) -> None:
    """Identities differ in case and in spaces; SQLite must not fold them."""
    ids = [StationId(name) for name in ("CP", "cp", "CP ", "ＣＰ", "1", "01", "1.0")]
    _write(connection, *(Put(StationRecord(name)) for name in ids))
    assert {record.id for record in tables.read(connection) if isinstance(record, StationRecord)} == set(ids)


def test_transactions_come_before_rows_and_both_in_order(connection: sqlite3.Connection) -> None:
    rows = [replaced(ROW, id=RowId(number)) for number in (10, 9, 2, 100)]
    transactions = [replace(TRANSACTION, key=TransactionKey(number)) for number in (10, 9, 2, 100)]
    _write(connection, *map(Put, rows), *map(Put, transactions))
    read = tables.read(connection)
    assert [record.key for record in read if isinstance(record, Transaction)] == [2, 9, 10, 100]
    assert [record.id for record in read if isinstance(record, OutboxRow)] == [2, 9, 10, 100]
    kinds = [type(record) for record in read]
    assert kinds.index(OutboxRow) > max(index for index, kind in enumerate(kinds) if kind is Transaction)


def test_a_moment_of_another_zone_is_the_same_moment(connection: sqlite3.Connection) -> None:
    east = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    _write(connection, Put(replaced(ROW, received=east)))
    [read] = tables.read(connection)
    assert isinstance(read, OutboxRow)
    assert read.received == NOW


# -- nonsense -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("huge", [2**63, -(2**63) - 1, 10**40])
def test_a_figure_of_more_than_64_bits_costs_nothing_else(connection: sqlite3.Connection, huge: int) -> None:
    _write(connection, Put(replace(TRANSACTION, meter_start_wh=huge, evse=huge, meter_stop_wh=huge)))
    [read] = tables.read(connection)
    assert isinstance(read, Transaction)
    assert replace(read, evse=1, meter_start_wh=None, meter_stop_wh=None) == TRANSACTION


def test_an_upstream_id_that_is_only_listed_may_be_huge(connection: sqlite3.Connection) -> None:
    listed = replace(TRANSACTION, other_upstream_ids=(2**63, -(10**40), 0))
    _write(connection, Put(listed))
    assert tables.read(connection) == [listed]


def test_half_a_character_is_replaced(connection: sqlite3.Connection) -> None:
    _write(connection, Put(replace(TRANSACTION, token="ä\ud800b", started="\udcff")))
    assert tables.read(connection) == [replace(TRANSACTION, token="ä?b", started="?")]


def test_what_was_put_under_half_a_character_is_dropped_under_it(connection: sqlite3.Connection) -> None:
    odd = RemoteStart(StationId("CP"), "\ud800", NOW)
    _write(connection, Put(odd))
    _write(connection, Drop(odd))
    assert tables.read(connection) == []


@pytest.mark.parametrize("interval", ["9223372036854775808", "1" + "0" * 30])
def test_the_csms_s_interval_never_makes_a_commit_fail(connection: sqlite3.Connection, interval: str) -> None:
    """It is a note: written again after every recovery, it would keep the store bad for ever."""
    answer = payloads.boot_answer(b'{"status":"Accepted","interval":%b}' % interval.encode())
    assert answer is not None
    _write(connection, Put(StationRecord(StationId("CP"), was_accepted=True, interval_s=answer.interval_s)))
    assert tables.read(connection) != []


def test_a_delivered_row_loses_its_payload_and_nothing_else() -> None:
    with _fresh() as connection:
        _write(connection, Put(ROW), Delivered(ROW), Put(replaced(ROW, id=RowId(77))))
        assert tables.read(connection) == [Delivered(ROW).outcome, replaced(ROW, id=RowId(77))]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 100))
def test_many_records_take_few_statements(count: int) -> None:
    changes = [change for n in range(count) for change in (Put(replaced(ROW, id=RowId(n))), Drop(Counter(f"{n}", 0)))]
    with _fresh() as connection:
        _write(connection, *changes)
        assert len(tables.read(connection)) == count
    inserts = [sql for sql, _ in tables.batches(tables.statements(changes)) if sql.startswith("INSERT")]
    assert len(inserts) <= count // tables.MOST + 5
