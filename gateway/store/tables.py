"""Records to rows and back. Column names are the records' field names, so one mapping serves all tables."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct

from gateway.model.records import (
    Change,
    Counter,
    Drop,
    LatestMessage,
    LocalList,
    OutboxRow,
    Put,
    Record,
    RemoteStart,
    Reservation,
    StationAuthorization,
    StationRecord,
    TokenRecord,
    UnknownOutcome,
)
from gateway.model.transaction import Transaction

_Getter = Callable[[Any], Sequence[Any]]
_AS_IT_IS = frozenset((bytes, bool, float, type(None)))
MOST = 32
"""Records in one statement."""


class Op:
    """One kind of SQL statement, for as many records at a time as it takes. `sql` makes the text for so many."""

    def __init__(self, sql: Callable[[int], str], values: Callable[[Any], Sequence[Any]], most: int) -> None:
        self.sql = cache(sql)
        self.values = values
        self.most = most


class _Table:
    """SQL of one record type."""

    def __init__(self, record: type[Any], name: str, *key: str) -> None:
        self.record = record
        self.columns: Sequence[str] = getattr(record, "__struct_fields__", None) or [f.name for f in fields(record)]
        self.arrays: Sequence[str] = (
            [f.name for f in fields(record) if isinstance(f.default, tuple)] if is_dataclass(record) else []
        )
        self.key: _Getter = attrgetter(*key) if len(key) > 1 else lambda record: (getattr(record, key[0]),)
        names = ", ".join(f'"{column}"' for column in self.columns)
        marks = f"({', '.join('?' * len(self.columns))})"
        where = " AND ".join(f'"{column}" = ?' for column in key)
        insert = f'INSERT OR REPLACE INTO "{name}" ({names}) VALUES '
        self.put = Op(lambda count: insert + ", ".join([marks] * count), attrgetter(*self.columns), MOST)
        self.drop = Op(lambda count: f'DELETE FROM "{name}" WHERE {where}', self.key, 1)
        self.select = f'SELECT {names} FROM "{name}" ORDER BY {", ".join(key)}'


_TABLES: dict[type[Any], _Table] = {
    table.record: table
    for table in (
        _Table(StationRecord, "station", "id"),
        _Table(Transaction, "transaction", "key"),
        _Table(OutboxRow, "outbox", "id"),
        _Table(UnknownOutcome, "unknown_outcome", "row"),
        _Table(LatestMessage, "latest", "station", "slot"),
        _Table(TokenRecord, "token", "token"),
        _Table(RemoteStart, "remote_start", "station", "token"),
        _Table(Counter, "counter", "name"),
        _Table(LocalList, "local_list", "digest"),
        _Table(StationAuthorization, "station_authorization", "station"),
        _Table(Reservation, "reservation", "station", "id"),
    )
}
_DELIVERED = Op(
    lambda count: f"UPDATE outbox SET state = 'delivered', payload = x'' WHERE id IN ({', '.join('?' * count)})",
    lambda row: (row.id,),
    MOST,
)


class Statement(Struct, gc=False):
    """What one change does to the file; `key` names the record it is about."""

    op: Op
    key: tuple[Any, ...]
    values: list[Any]


def statements(changes: Iterable[Change]) -> list[Statement]:
    """The changes as SQL, in order; made in the turn itself, so that what can't be written fails there."""
    made: list[Statement] = []
    for change in changes:
        record = change.record
        table = _TABLES[type(record)]
        op = table.put if isinstance(change, Put) else table.drop if isinstance(change, Drop) else _DELIVERED
        values = [value if type(value) in _AS_IT_IS else _plain(value) for value in op.values(record)]
        made.append(Statement(op, (table.record, *table.key(record)), values))
    return made


def batches(made: Iterable[Statement]) -> Iterator[tuple[str, list[Any]]]:
    """SQL and parameters, as few as possible: one statement for many records costs little more than for one.

    Two statements about the same record stay in their order.
    """
    groups: dict[Op, list[Statement]] = {}
    op_of: dict[tuple[Any, ...], Op] = {}
    for statement in made:
        if op_of.setdefault(statement.key, statement.op) is not statement.op:
            yield from _flushed(groups)
            op_of = {statement.key: statement.op}
        groups.setdefault(statement.op, []).append(statement)
    yield from _flushed(groups)


def _flushed(groups: dict[Op, list[Statement]]) -> Iterator[tuple[str, list[Any]]]:
    for op, group in groups.items():
        done = 0
        while done < len(group):
            # Powers of two, so that SQLite finds each text prepared.
            count = min(op.most, 1 << (len(group) - done).bit_length() - 1)
            yield op.sql(count), [value for one in group[done : done + count] for value in one.values]
            done += count
    groups.clear()


def _plain(value: Any) -> Any:
    """A value SQLite takes. A figure of more than 64 bits, or half a character, is a station's nonsense."""
    kind = type(value)
    if kind is str:
        return value if value.isascii() else value.encode(errors="replace").decode()
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else None
    if isinstance(value, datetime):
        return value.isoformat()
    return json.dumps(value) if isinstance(value, tuple) else value


def read(connection: sqlite3.Connection) -> list[Record]:
    """Every record, transactions before the rows that belong to them."""
    return [record for record_type in _TABLES for record in _read(connection, record_type)]


def _read(connection: sqlite3.Connection, record_type: type[Any]) -> Iterator[Record]:
    table = _TABLES[record_type]
    for row in connection.execute(table.select):
        values = dict(zip(table.columns, row, strict=True))
        for column in table.arrays:
            values[column] = json.loads(values[column])
        yield msgspec.convert(values, record_type, strict=False, builtin_types=(bytes,))
