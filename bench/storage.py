"""How much room billing records take: sessions written by the real store, then the file is measured.

Each session is a Start and a Stop (1.6) or Started and Ended (2.0.1) and its row in the ledger. Written twice: as an
outage of the whole time leaves them (nothing delivered), and as calm leaves them (delivered, old rows gone).
"""

import asyncio
import json
import random
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from msgspec.structs import replace as replaced

from gateway.core.ledger import Ledger
from gateway.dialects import registry
from gateway.model.ids import MessageId, RowId, StationId
from gateway.model.records import Change, Drop, OutboxRow, Put, RowState
from gateway.model.token import AuthorizationStatus, Reason
from gateway.store import database
from gateway.store.writer import Writer

SESSIONS = 24_000
STATIONS = 50
DAYS = 30
GOAL_MB = 25.0
VERSIONS = ("1.6", "2.0.1")
_BEGIN = datetime(2026, 3, 1, 6, tzinfo=UTC)
_ROWS_KEPT = timedelta(days=2)
_TURNS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Figure:
    """`megabytes` of the database in use for all sessions, and bytes for one."""

    version: str
    delivered: bool
    sessions: int
    megabytes: float
    bytes_each: float

    @property
    def is_met(self) -> bool:
        """Scaled to the sessions of the goal."""
        return self.bytes_each * SESSIONS / 1e6 <= GOAL_MB


@dataclass(frozen=True, slots=True)
class _Session:
    station: StationId
    token: str
    begin: datetime
    end: datetime
    meter_wh: int
    energy_wh: int
    tx_id: str
    number: int


async def measure(sessions: int = SESSIONS, seed: int = 1) -> list[Figure]:
    """Every version, delivered and not."""
    figures = []
    for version in VERSIONS:
        for delivered in (False, True):
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                figures.append(await _written(Path(folder) / "gateway.db", version, delivered, sessions, seed))
    return figures


async def _written(path: Path, version: str, delivered: bool, sessions: int, seed: int) -> Figure:
    runner = await database.start(path)
    await runner.run(lambda connection: connection.execute("PRAGMA synchronous = OFF"))  # the size is the matter here
    empty = (await runner.run(database.measure)).used
    writer = Writer(runner, partial(database.reopen, path), lambda records, changes: None)
    running = asyncio.create_task(writer.run())
    turns = []
    for changes in _turns(version, delivered, sessions, seed):
        turns.append(writer.append(changes))
        if len(turns) == _TURNS_AT_ONCE:
            await asyncio.gather(*turns)
            turns.clear()
    await asyncio.gather(*turns)
    used = (await runner.run(database.measure)).used - empty
    writer.close()
    await running
    return Figure(version, delivered, sessions, used / 1e6, used / sessions)


def _turns(version: str, delivered: bool, sessions: int, seed: int) -> Iterator[Sequence[Change]]:
    """What the gateway commits, turn by turn; delivered rows lose their payload, and go after two days."""
    source, ledger, codec = random.Random(seed), Ledger(), registry.by_name(version).codec
    row_id, kept = 0, deque[OutboxRow]()
    for session in _sessions(source, version, sessions):
        for action, payload in _messages(version, session):
            message = codec.transaction(action, payload)
            assert message is not None
            own, changes = ledger.book(session.station, 1, message, session.begin)
            assert own is not None
            told = replace(
                own,
                station_tx_id=session.tx_id,
                upstream_tx_id=session.number if delivered and version == "1.6" else None,
                status=AuthorizationStatus.ACCEPTED.value,
                status_reason=Reason.KNOWN.value,
            )
            ledger.put_transaction(told)
            row_id += 1
            row = OutboxRow(
                RowId(row_id), session.station, version, MessageId(_uuid(source)), action, payload,
                message.fingerprint, session.begin + timedelta(microseconds=row_id), message.kind, own.key,
                own.token, RowState.QUEUED, offline=not delivered,
            )  # fmt: skip
            yield [*changes, Put(told), Put(row)]
            if delivered:
                done = replaced(row, state=RowState.DELIVERED, payload=b"")
                kept.append(done)
                over = []
                while session.begin - kept[0].received > _ROWS_KEPT:
                    over.append(kept.popleft())
                yield [Put(done), *map(Drop, over)]


def _sessions(source: random.Random, version: str, count: int) -> Iterator[_Session]:
    step = timedelta(days=DAYS) / SESSIONS
    for number in range(count):
        begin = _BEGIN + step * number
        yield _Session(
            station=StationId(f"DE-PARK-{source.randrange(STATIONS):03d}"),
            token=f"{source.getrandbits(56):014X}",
            begin=begin,
            end=begin + timedelta(seconds=source.randrange(600, 30_000)),
            meter_wh=source.randrange(1_000_000, 90_000_000),
            energy_wh=source.randrange(1_000, 60_000),
            tx_id=str(1_000_000_000 + number) if version == "1.6" else _uuid(source),
            number=number + 1,
        )


def _messages(version: str, session: _Session) -> list[tuple[str, bytes]]:
    begin, end = (f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (session.begin, session.end))
    stop_wh = session.meter_wh + session.energy_wh
    if version == "1.6":
        start = {"connectorId": 1, "idTag": session.token, "meterStart": session.meter_wh, "timestamp": begin}
        stop = {"idTag": session.token, "meterStop": stop_wh, "timestamp": end, "reason": "EVDisconnected"}
        return [
            ("StartTransaction", _bytes(start)),
            ("StopTransaction", _bytes({**stop, "transactionId": int(session.tx_id)})),
        ]
    said = {"evse": {"id": 1, "connectorId": 1}, "idToken": {"idToken": session.token, "type": "ISO14443"}}
    started = {
        "eventType": "Started", "timestamp": begin, "triggerReason": "Authorized", "seqNo": 0,
        "transactionInfo": {"transactionId": session.tx_id, "chargingState": "Charging"},
        **said, "meterValue": [_value(begin, session.meter_wh, "Transaction.Begin")],
    }  # fmt: skip
    info = {"transactionId": session.tx_id, "chargingState": "Idle", "stoppedReason": "EVDisconnected"}
    ended = {
        "eventType": "Ended", "timestamp": end, "triggerReason": "EVDeparted", "seqNo": 99, "transactionInfo": info,
        **said, "meterValue": [_value(end, stop_wh, "Transaction.End")],
    }  # fmt: skip
    return [("TransactionEvent", _bytes(started)), ("TransactionEvent", _bytes(ended))]


def _value(moment: str, wh: int, context: str) -> dict[str, Any]:
    sampled = {
        "value": wh,
        "context": context,
        "measurand": "Energy.Active.Import.Register",
        "location": "Outlet",
        "unitOfMeasure": {"unit": "Wh"},
    }
    return {"timestamp": moment, "sampledValue": [sampled]}


def _bytes(payload: dict[str, Any]) -> bytes:
    return json.dumps(payload, separators=(",", ":")).encode()


def _uuid(source: random.Random) -> str:
    return str(UUID(int=source.getrandbits(128), version=4))
