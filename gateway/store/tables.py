"""Records to rows and back. Column names are the records' field names, so one mapping serves all tables."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from operator import attrgetter
from typing import Any

import msgspec

from gateway.model.records import (
    Change,
    Counter,
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

_Getter = Callable[[Any], Iterable[Any]]


class _Table:
    """SQL of one record type."""

    def __init__(self, record: type[Any], name: str, *key: str) -> None:
        self.record = record
        self.columns: Sequence[str] = [field.name for field in fields(record)]
        self.arrays: Sequence[str] = [field.name for field in fields(record) if isinstance(field.default, tuple)]
        self.key: Sequence[str] = key
        self.values: _Getter = attrgetter(*self.columns)
        self.key_values: _Getter = attrgetter(*key) if len(key) > 1 else lambda record: (getattr(record, key[0]),)
        names = ", ".join(f'"{column}"' for column in self.columns)
        marks = ", ".join("?" * len(self.columns))
        where = " AND ".join(f'"{column}" = ?' for column in key)
        self.put = f'INSERT OR REPLACE INTO "{name}" ({names}) VALUES ({marks})'
        self.drop = f'DELETE FROM "{name}" WHERE {where}'
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


Statement = tuple[str, list[Any]]
"""SQL and its parameters."""


def statements(changes: Iterable[Change]) -> list[Statement]:
    """The changes as SQL, in order; made in the turn itself, so that what can't be written fails there."""
    made: list[Statement] = []
    for change in changes:
        table = _TABLES[type(change.record)]
        sql, values = (table.put, table.values) if isinstance(change, Put) else (table.drop, table.key_values)
        made.append((sql, [_plain(value) for value in values(change.record)]))
    return made


def _plain(value: Any) -> Any:
    """A value SQLite takes. A figure of more than 64 bits, or half a character, is a station's nonsense."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return json.dumps(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return None
    if isinstance(value, str) and not value.isascii():
        return value.encode(errors="replace").decode()
    return value


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
