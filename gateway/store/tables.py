"""Records to rows and back. Column names are the records' field names, so one mapping serves all tables."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from enum import StrEnum
from functools import cache
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, NewType, Union, get_args, get_origin, get_type_hints

from gateway.errors import DamagedError
from gateway.model.place import Place
from gateway.model.records import (
    AuditEntry,
    BackgroundRow,
    CapRow,
    ClockBase,
    ConnectorRow,
    Counter,
    LatestMessage,
    LocalList,
    OutboxRow,
    PriorityRow,
    ProfileRow,
    Record,
    RemoteStart,
    Reservation,
    StationAuthorization,
    StationClock,
    StationRecord,
    TokenRecord,
    UnknownOutcome,
)
from gateway.model.settings import Setting, UplinkSecret
from gateway.model.transaction import Transaction
from gateway.model.translation import TokenAlias, TranslatedRow, TranslationRow
from gateway.store.packing import unpack

_Getter = Callable[[Any], Sequence[Any]]
MOST = 32
"""Records in one statement."""


class Op:
    """One kind of SQL statement, for as many records at a time as it takes. `sql` makes the text for so many.

    `packed`: which of a record's values is a payload to be packed. `is_usual`: it is in most commits, so that a text
    for every number of records is worth keeping prepared; of the others there is one for each power of two.
    """

    def __init__(
        self, sql: Callable[[int], str], most: int, packed: int | None = None, *, is_usual: bool = False
    ) -> None:
        self.sql = cache(sql)
        self.most = most
        self.packed = packed
        self.is_usual = is_usual

    def count(self, left: int) -> int:
        """How many of so many records the next statement takes, so that SQLite finds its text prepared."""
        return min(self.most, left if self.is_usual else 1 << left.bit_length() - 1)


class Table:
    """SQL of one record type. `packed`: the column with a packed payload. `has_number`: its key is a rowid."""

    def __init__(
        self, record: type[Any], name: str, *key: str, packed: str | None = None, has_number: bool = False
    ) -> None:
        self.record = record
        self.columns: Sequence[str] = getattr(record, "__struct_fields__", None) or [f.name for f in fields(record)]
        self.name = name
        self.key: Sequence[str] = key
        self.has_number = has_number
        self.key_of: Callable[[Any], Any] = attrgetter(*key)
        self._key_values = _getter(key)
        self._values = _getter(self.columns)
        names = ", ".join(f'"{column}"' for column in self.columns)
        marks = f"({', '.join('?' * len(self.columns))})"
        where = " AND ".join(f'"{column}" = ?' for column in key)
        insert = f'INSERT OR REPLACE INTO "{name}" ({names}) VALUES '
        self.put = Op(
            lambda count: insert + ", ".join([marks] * count), MOST, self.columns.index(packed) if packed else None
        )
        self.drop = Op(lambda count: f'DELETE FROM "{name}" WHERE {where}', 1)
        hints = get_type_hints(record)
        self._fields = {name: _field(hints[name]) for name in self.columns}
        self._texts = _getter(name for name in self.columns if self._fields[name] in _TEXTS)
        self._numbers = _getter(name for name in self.columns if self._fields[name] in _NUMBERS)
        self._plain = [
            (at, convert) for at, name in enumerate(self.columns) if (convert := _plain_of(hints[name])) is not None
        ]
        if packed:
            self._fields[packed] = (bytes,), unpack
        order = ", ".join(f'"{column}"' for column in key)
        self.select = f'SELECT {names} FROM "{name}" ORDER BY {order}'

    def parameters(self, record: Any) -> list[Any]:
        """The record's values as SQLite takes them, its payload not packed yet."""
        values = list(self._values(record))
        for at, convert in self._plain:
            value = values[at]
            if value is not None:
                values[at] = convert(value)
        # Without a step of Python's for each of them: this is done for every message that is written.
        is_ascii = all(map(str.isascii, filter(None, self._texts(record))))
        if not is_ascii or not all(map(fits, filter(None, self._numbers(record)))):
            values = [_sane(value) for value in values]
        return values

    def key_parameters(self, record: Any) -> list[Any]:
        """The values of its key likewise."""
        return [_sane(value) for value in self._key_values(record)]

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

_TEXTS = (((str,), None), ((str, NoneType), None))
_NUMBERS = (((int,), None), ((int, NoneType), None))
fits = range(-(2**63), 2**63).__contains__

_PLAIN: dict[Any, _Field] = {
    str: ((str,), None),
    int: ((int,), None),
    float: ((float, int), float),
    bytes: ((bytes,), None),
    bool: ((int,), {0: False, 1: True}.__getitem__),
    datetime: ((str,), datetime.fromisoformat),
}


def _field(annotation: Any) -> _Field:
    """How a field is read: a fifth of the time that a general converter takes, for a queue of a hundred thousand."""
    if get_origin(annotation) in (UnionType, Union):
        [own] = [part for part in get_args(annotation) if part is not NoneType]
        kinds, convert = _field(own)
        return (*kinds, NoneType), convert
    if get_origin(annotation) is tuple:
        return (str,), lambda text: tuple(json.loads(text))
    if isinstance(annotation, NewType):
        return _field(annotation.__supertype__)
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return (str,), {member.value: member for member in annotation}.__getitem__
    return _PLAIN[annotation]


def _plain_of(annotation: Any) -> Callable[[Any], Any] | None:
    """What makes a value SQLite takes of a field's; None if it is one."""
    if get_origin(annotation) in (UnionType, Union):
        [annotation] = [part for part in get_args(annotation) if part is not NoneType]
    if get_origin(annotation) is tuple:
        return json.dumps
    if annotation is datetime:
        return datetime.isoformat
    return str.__str__ if isinstance(annotation, type) and issubclass(annotation, StrEnum) else None


def _getter(names: Iterable[str]) -> _Getter:
    """Gets those fields of a record."""
    some = list(names)
    if len(some) == 1:
        return lambda record: (getattr(record, some[0]),)
    return attrgetter(*some) if some else lambda record: ()


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
        Table(LocalList, "local_list", "digest"),
        Table(StationAuthorization, "station_authorization", "station"),
        Table(Reservation, "reservation", "station", "id"),
        Table(ClockBase, "clock_base", "boot"),
        Table(StationClock, "station_clock", "station"),
        Table(Setting, "setting", "station", "name"),
        Table(UplinkSecret, "uplink_secret", "station"),
        Table(Place, "place", "number", has_number=True),
        Table(AuditEntry, "audit", "id", has_number=True),
        Table(ProfileRow, "profile", "station", "key"),
        Table(PriorityRow, "priority", "station", "transaction"),
        Table(ConnectorRow, "connector", "station", "evse"),
        Table(BackgroundRow, "background", "circuit"),
        Table(CapRow, "cap", "source"),
        Table(TranslationRow, "translation", "station", "name"),
        Table(TranslatedRow, "translated", "station", "message_id"),
        Table(TokenAlias, "token_alias", "alias"),
    )
}


def _sane(value: Any) -> Any:
    """A figure of more than 64 bits, or half a character, is a station's nonsense."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    return value if not isinstance(value, int) or fits(value) else None


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
    """Delete from the ledger what is over, delivered and older (an estimated time proves nothing). Returns how many."""
    return connection.execute(
        """
        DELETE FROM "transaction" WHERE state != 'running' AND received < ?
        AND stamp IS NULL AND key NOT IN (SELECT "transaction" FROM outbox WHERE "transaction" IS NOT NULL)
        """,
        (before.isoformat(),),
    ).rowcount
