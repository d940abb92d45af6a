"""The history checker: was anything lost, doubled or delivered out of order between stations and CSMS?

A pure function over three independent accounts: what the stations did, what the gateway's ledger says, and what the
CSMS holds. To be called when everything is drained: an acknowledged message the CSMS does not hold counts as lost.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from gateway.demo.history import Acknowledged, Created, CsmsRecord, StationRecord
from gateway.demo.matching import Held, Key, Matcher, describe, held_messages


@dataclass(frozen=True, slots=True)
class LedgerTransaction:
    key: int
    station: str
    evse: int | None
    station_tx_id: str | None
    state: str
    started: str
    meter_start_wh: int | None
    deauthorized: int = 0


@dataclass(frozen=True, slots=True)
class Ledger:
    """`unknown` holds (station, message id) of every delivery listed as of unknown outcome."""

    transactions: tuple[LedgerTransaction, ...] = ()
    unknown: frozenset[tuple[str, str]] = frozenset()


@dataclass(slots=True)
class Report:
    """`lost`, `duplicated` and `out_of_order` must be 0; `repeated` is at most `lost_answers`. The rest explains.

    `unlisted_repeats` are contained in `duplicated`. `findings` names everything wrong in words.
    """

    lost: int = 0
    duplicated: int = 0
    out_of_order: int = 0
    repeated: int = 0
    lost_answers: int = 0
    unlisted_repeats: int = 0
    transactions: int = 0
    messages: int = 0
    acknowledged: int = 0
    arrivals: int = 0
    ledger_transactions: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.duplicated or self.out_of_order or self.findings)


def read_ledger(path: Path) -> Ledger:
    """From the gateway's database file. Raises sqlite3.Error."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        rows = connection.execute(
            "SELECT key, station, evse, station_tx_id, state, started, meter_start_wh, deauthorized"
            ' FROM "transaction" ORDER BY key'
        ).fetchall()
        unknown = connection.execute("SELECT station, message_id FROM unknown_outcome").fetchall()
    finally:
        connection.close()
    transactions = tuple(LedgerTransaction(*row) for row in rows)
    return Ledger(transactions, frozenset((station, message_id) for station, message_id in unknown))


def check(stations: Iterable[StationRecord], ledger: Ledger | None, csms: Iterable[CsmsRecord]) -> Report:
    """Compare the accounts. Without a ledger (no gateway in between) its questions are left out."""
    records = list(stations)
    created = {(r.station, r.number): r for r in records if isinstance(r, Created)}
    acknowledged = {(r.station, r.number): r for r in records if isinstance(r, Acknowledged)}
    held = held_messages(csms)
    report = Report(
        transactions=len({(c.station, c.transaction) for c in created.values()}),
        messages=len(created),
        acknowledged=len(acknowledged),
        arrivals=len(held),
        lost_answers=sum(h.is_lost for h in held),
        ledger_transactions=len(ledger.transactions) if ledger else 0,
    )
    rows = _ledger_rows(created, ledger) if ledger else {}
    deauthorized = {tx for tx, found in rows.items() if any(row.deauthorized for row in found)}
    matched = Matcher(created, deauthorized, report.findings).match(held)
    _judge_arrivals(report, created, acknowledged, matched)
    if ledger:
        _judge_repeats(report, created, matched, ledger)
        _judge_ledger(report, created, acknowledged, rows, ledger)
    return report


def _judge_arrivals(
    report: Report,
    created: dict[Key, Created],
    acknowledged: dict[Key, Acknowledged],
    matched: dict[Key, list[Held]],
) -> None:
    latest: dict[tuple[str, str], int] = defaultdict(int)
    for key, message in sorted(created.items()):
        held = matched.get(key, [])
        if not held:
            if key in acknowledged:
                report.lost += 1
                report.findings.append(f"{describe(message)} was acknowledged; the CSMS does not hold it")
            continue
        report.repeated += len(held) - 1
        needless = sum(not item.is_lost for item in held[:-1])
        if needless:
            report.duplicated += needless
            report.findings.append(f"{describe(message)} arrived {len(held)} times, {needless} without a lost answer")
        transaction = (message.station, message.transaction)
        first = held[0].arrival.order
        if first < latest[transaction]:
            report.out_of_order += 1
            report.findings.append(f"{describe(message)} arrived before one that precedes it")
        latest[transaction] = max(latest[transaction], first)


def _judge_repeats(report: Report, created: dict[Key, Created], matched: dict[Key, list[Held]], ledger: Ledger) -> None:
    for key, held in matched.items():
        message = created[key]
        ids = {(item.arrival.station, item.arrival.message_id) for item in held}
        if len(held) > 1 and message.kind != "Updated" and not ids & ledger.unknown:
            report.unlisted_repeats += 1
            report.duplicated += 1
            report.findings.append(f"{describe(message)} was repeated and is not among the unknown outcomes")


def _ledger_rows(created: dict[Key, Created], ledger: Ledger) -> dict[tuple[str, str], list[LedgerTransaction]]:
    """Each station transaction (station, name) with the ledger's rows about it."""
    by_id: dict[object, list[LedgerTransaction]] = defaultdict(list)
    by_start: dict[object, list[LedgerTransaction]] = defaultdict(list)
    for row in ledger.transactions:
        by_id[row.station, row.station_tx_id].append(row)
        by_start[row.station, row.started, row.evse, row.meter_start_wh].append(row)
    rows: dict[tuple[str, str], list[LedgerTransaction]] = {}
    for message in created.values():
        if message.kind == "Started":
            if message.action == "TransactionEvent":
                found = by_id[message.station, message.transaction]
            else:
                sent = json.loads(message.payload)
                found = by_start[message.station, sent["timestamp"], sent["connectorId"], sent["meterStart"]]
            rows[message.station, message.transaction] = found
    return rows


def _judge_ledger(
    report: Report,
    created: dict[Key, Created],
    acknowledged: dict[Key, Acknowledged],
    rows: dict[tuple[str, str], list[LedgerTransaction]],
    ledger: Ledger,
) -> None:
    for key, message in created.items():
        found = rows.get((message.station, message.transaction), [])
        if key not in acknowledged:
            continue
        if message.kind == "Started":
            if not found:
                report.lost += 1
                report.findings.append(f"{describe(message)} was acknowledged and has no row in the ledger")
            given = json.loads(acknowledged[key].answer).get("transactionId")
            if given is not None and any(row.station_tx_id != str(given) for row in found):
                report.findings.append(f"{describe(message)} was given id {given}; the ledger has another")
        elif message.kind == "Ended" and any(row.state == "running" for row in found):
            report.findings.append(f"{describe(message)} was acknowledged; the ledger says the transaction runs")
    for (station, transaction), found in rows.items():
        if len(found) > 1:
            report.duplicated += len(found) - 1
            report.findings.append(f"{station} transaction {transaction} has {len(found)} rows in the ledger")
    known = {row.key for found in rows.values() for row in found}
    for row in ledger.transactions:
        if row.key not in known:
            report.findings.append(f"ledger row {row.key} of {row.station}: no station had this transaction")
