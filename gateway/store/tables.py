"""Records to rows and back. Column names are the records' field names, so one mapping serves all tables."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, NewType, Union, get_args, get_origin, get_type_hints

from gateway.errors import DamagedError
from gateway.model.records import (
    AuditEntry,
    Change,
    Counter,
    LatestMessage,
    OutboxRow,
    Put,
    Record,
    RemoteStart,
    StationRecord,
    TokenRecord,
    UnknownOutcome,
)
from gateway.model.transaction import Transaction
from gateway.store.packing import pack, unpack

_Getter = Callable[[Any], Iterable[Any]]


class Table:
    """SQL of one record type. `packed`: the column with a packed payload. `has_number`: its key is a rowid."""

    def __init__(
        self, record: type[Any], name: str, *key: str, packed: str | None = None, has_number: bool = False
    ) -> None:
        self.record = record
        self.name = name
        self.columns: Sequence[str] = [field.name for field in fields(record)]
        self.key: Sequence[str] = key
        self.packed = self.columns.index(packed) if packed else None
        self.has_number = has_number
        self.values: _Getter = attrgetter(*self.columns)
        self.key_values: _Getter = attrgetter(*key) if len(key) > 1 else lambda record: (getattr(record, key[0]),)
        names = ", ".join(f'"{column}"' for column in self.columns)
        marks = ", ".join("?" * len(self.columns))
        where = " AND ".join(f'"{column}" = ?' for column in key)
        self.put = f'INSERT OR REPLACE INTO "{name}" ({names}) VALUES ({marks})'
        self.drop = f'DELETE FROM "{name}" WHERE {where}'
        self._fields = {name: _field(kind) for name, kind in get_type_hints(record).items()}
        if packed:
            self._fields[packed] = (bytes,), unpack
        self.select = f'SELECT {names} FROM "{name}" ORDER BY {", ".join(key)}'

    def parameters(self, record: Any) -> list[Any]:
        """The record's values as SQLite takes them."""
        values = [_plain(value) for value in self.values(record)]
        if self.packed is not None:
            values[self.packed] = pack(values[self.packed])
        return values

    def record_of(self, row: Sequence[Any], columns: Sequence[str] | None = None) -> Any:
        """The record a row holds; what `columns` lacks has its default. Raises DamagedError."""
        names = self.columns if columns is None else columns
        try:
            values = []
            for name, value in zip(names, row, strict=True):
                kinds, convert = self._fields[name]
                if type(value) not in kinds:
                    raise TypeError(f"{name} is {value!r:.40}")
                values.append(value if convert is None or value is None else convert(value))
            return self.record(*values) if columns is None else self.record(**dict(zip(names, values, strict=True)))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise DamagedError(f"a row of {self.name} can't be read: {error}") from error


_Field = tuple[tuple[type[Any], ...], Callable[[Any], Any] | None]
"""Types SQLite may give for a field, and what makes the field's value of them."""

_PLAIN: dict[Any, _Field] = {
    str: ((str,), None),
    int: ((int,), None),
    bytes: ((bytes,), None),
    bool: ((int,), {0: False, 1: True}.__getitem__),
    datetime: ((str,), datetime.fromisoformat),
    tuple[int, ...]: ((str,), lambda text: tuple(json.loads(text))),
}


def _field(annotation: Any) -> _Field:
    if get_origin(annotation) in (UnionType, Union):
        [own] = [part for part in get_args(annotation) if part is not NoneType]
        kinds, convert = _field(own)
        return (*kinds, NoneType), convert
    if isinstance(annotation, NewType):
        return _field(annotation.__supertype__)
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return (str,), {member.value: member for member in annotation}.__getitem__
    return _PLAIN[annotation]


TABLES: dict[type[Any], Table] = {
    table.record: table
    for table in (
        Table(StationRecord, "station", "id"),
        Table(Transaction, "transaction", "key", has_number=True),
        Table(OutboxRow, "outbox", "id", packed="payload", has_number=True),
        Table(UnknownOutcome, "unknown_outcome", "row", has_number=True),
        Table(LatestMessage, "latest", "station", "slot"),
        Table(TokenRecord, "token", "token"),
        Table(RemoteStart, "remote_start", "station", "token"),
        Table(Counter, "counter", "name"),
        Table(AuditEntry, "audit", "id", has_number=True),
    )
}


Statement = tuple[str, list[Any]]
"""SQL and its parameters."""


def statements(changes: Iterable[Change]) -> list[Statement]:
    """The changes as SQL, in order; made in the turn itself, so that what can't be written fails there."""
    made: list[Statement] = []
    for change in changes:
        table = TABLES[type(change.record)]
        if isinstance(change, Put):
            made.append((table.put, table.parameters(change.record)))
        else:
            made.append((table.drop, [_plain(value) for value in table.key_values(change.record)]))
    return made


def key_of(change: Change) -> tuple[Any, ...]:
    """Which record a change is about: of two changes of one record only the later counts."""
    return type(change.record), *TABLES[type(change.record)].key_values(change.record)


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
    """Every record, transactions before the rows that belong to them. Raises DamagedError."""
    try:
        return [record for table in TABLES.values() for record in _read(connection, table)]
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            raise DamagedError(f"the database file is damaged: {error}") from error
        raise


def is_damage(error: BaseException) -> bool:
    """Whether an error means that the file itself is damaged, and not that the disk can't be used just now."""
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "Could not decode" in str(error)


def _read(connection: sqlite3.Connection, table: Table) -> Iterator[Record]:
    for row in connection.execute(table.select):
        yield table.record_of(row)


def forget_transactions(connection: sqlite3.Connection, before: datetime) -> int:
    """Delete from the ledger what is over, delivered and older; returns how many."""
    return connection.execute(
        """
        DELETE FROM "transaction" WHERE state != 'running' AND received < ?
        AND key NOT IN (SELECT "transaction" FROM outbox WHERE "transaction" IS NOT NULL)
        """,
        (before.isoformat(),),
    ).rowcount
