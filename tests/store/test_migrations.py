"""Databases of earlier versions, brought to the newest schema: nothing of them is lost."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from gateway.model.ids import StationId, TransactionKey
from gateway.model.records import TokenRecord
from gateway.model.transaction import Transaction
from gateway.store import database, tables

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
_TRANSACTION = """INSERT INTO "transaction" (key, station, boot, evse, start_fingerprint, other_upstream_ids, token,
                  state, deauthorized, started, parked) VALUES (?, 'CP', 1, 1, ?, '[7]', ?, 'running', 0, '', 0)"""


def test_tokens_and_transactions_of_the_first_schema(tmp_path: Path) -> None:
    first = dict(database.migrations())[1]
    with closing(sqlite3.connect(tmp_path / "old.db", isolation_level=None)) as connection:
        connection.executescript(f"{first}\nPRAGMA user_version = 1;")
        connection.execute("INSERT INTO token VALUES ('tag', 'Accepted', 'FLEET', NULL, ?)", (NOW.isoformat(),))
        connection.execute(_TRANSACTION, (1, "s1", "TAG"))
        connection.execute(_TRANSACTION, (2, "s2", None))
        database.migrate(connection)
        records = tables.read(connection)
    common = (StationId("CP"), 1, 1)
    assert records == [
        Transaction(
            TransactionKey(1), *common, "s1", token="TAG", token_fingerprint="s1", other_upstream_ids=(7,), started=""
        ),
        Transaction(TransactionKey(2), *common, "s2", other_upstream_ids=(7,), started=""),
        TokenRecord("tag", "Accepted", "FLEET", None, NOW, NOW),
    ]
