"""Changes as SQL: made in the turn that writes them, put together in SQLite's thread for the whole commit."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

from msgspec import Struct

from gateway.model.records import RELEASED, Change, Delivered, OutboxRow, Put
from gateway.store.packing import pack
from gateway.store.tables import MOST, TABLES, Op, fits

DELIVERED = Op(
    lambda count: f"UPDATE outbox SET state = 'delivered', payload = x'' WHERE id IN ({', '.join('?' * count)})",
    MOST,
    is_usual=True,
)
_op_of, _values_of = attrgetter("op"), attrgetter("values")
_FRESH = Op(
    lambda count: (
        'INSERT OR REPLACE INTO outbox (id, station, dialect, message_id, "action", payload, fingerprint, received, '
        'kind, "transaction", token, bound_tx_id, samples, state, offline, errors) VALUES '
        + ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'released', 0, 0)"] * count)
    ),
    MOST,
    packed=5,
    is_usual=True,
)
"""A row released as it came: most of its fields say nothing yet, and what is no parameter takes half the time."""


class Statement(Struct, gc=False):
    """What one change does to the file; `key` names the record it is about."""

    op: Op
    key: tuple[Any, ...]
    values: list[Any]

    def parameters(self) -> list[Any]:
        """The values as they are written. What is sent at once is not worth much time, what may wait for weeks is."""
        packed = self.op.packed
        if packed is None:
            return self.values
        values = self.values.copy()
        values[packed] = pack(values[packed], is_brief=self.op is _FRESH)
        return values


def statements(changes: Iterable[Change]) -> list[Statement]:
    """The changes as SQL, in order; made in the turn itself, so that what can't be written fails there."""
    made: list[Statement] = []
    for change in changes:
        record = change.record
        table = TABLES[type(record)]
        if type(change) is Put:
            fresh = _fresh(record) if isinstance(record, OutboxRow) else None
            op, values = (table.put, table.parameters(record)) if fresh is None else (_FRESH, fresh)
        elif type(change) is Delivered:
            op, values = DELIVERED, [change.record.id]
        else:
            op, values = table.drop, table.key_parameters(record)
        made.append(Statement(op, (table, table.key_of(record)), values))
    return made


def _fresh(row: OutboxRow) -> list[Any] | None:
    """The values of a row released as it came; None if there is more to say of it, or it holds a station's nonsense."""
    if row.state is not RELEASED or row.errors or row.offline or row.stamp:
        return None
    if row.last_error is not None or row.parked is not None:
        return None
    if not row.action.isascii() or not (row.token is None or row.token.isascii()):
        return None
    if row.bound_tx_id is not None and not fits(row.bound_tx_id):
        return None
    return [
        row.id,
        row.station,
        row.dialect,
        row.message_id,
        row.action,
        row.payload,
        row.fingerprint,
        row.received.isoformat(),
        row.kind and row.kind.value,
        row.transaction,
        row.token,
        row.bound_tx_id,
        row.samples,
    ]


def key_of(change: Change) -> tuple[Any, ...]:
    """Which record a change is about: of two changes of one record only the later counts."""
    table = TABLES[type(change.record)]
    return table, table.key_of(change.record)


def batches(made: Sequence[Statement]) -> Iterator[tuple[str, list[Any]]]:
    """SQL and parameters, as few as possible: one statement for many records costs little more than for one.

    Two statements about the same record stay in their order. Payloads are packed here, in the thread of SQLite.
    """
    if len(set(map(_op_of, made))) == 1:
        yield from _flushed({made[0].op: made})
        return
    groups: dict[Op, list[Statement]] = {}
    op_of: dict[tuple[Any, ...], Op] = {}
    for statement in made:
        if op_of.setdefault(statement.key, statement.op) is not statement.op:
            yield from _flushed(groups)
            groups, op_of = {}, {statement.key: statement.op}
        group = groups.get(statement.op)
        if group is None:
            groups[statement.op] = [statement]
        else:
            group.append(statement)
    yield from _flushed(groups)


def _flushed(groups: Mapping[Op, Sequence[Statement]]) -> Iterator[tuple[str, list[Any]]]:
    for op, group in groups.items():
        done = 0
        while done < len(group):
            count = op.count(len(group) - done)
            some = group[done : done + count]
            values = map(_values_of, some) if op.packed is None else map(Statement.parameters, some)
            yield op.sql(count), list(chain.from_iterable(values))
            done += count


def commit(connection: sqlite3.Connection, made: Sequence[Statement]) -> None:
    """All of it in one transaction, or nothing. Raises sqlite3.Error."""
    together = list(batches(made))
    if len(together) == 1:  # is a transaction of its own
        connection.execute(*together[0])
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for sql, parameters in together:
            connection.execute(sql, parameters)
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
