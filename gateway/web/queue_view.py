"""The queue, the transactions and what was done to them as plain data. Reads, never changes."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from gateway.flows import operator, waiting
from gateway.model.ids import TransactionKey
from gateway.model.reasons import WaitReason
from gateway.model.records import OutboxRow, RowState
from gateway.model.transaction import Transaction, TransactionState
from gateway.site import Site
from gateway.station import Station


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which rows: of one station, set aside only, no more than so many."""

    station: str | None = None
    parked: bool = False
    limit: int | None = None


def queue(site: Site, chosen: Chosen) -> dict[str, Any]:
    """What is on its way, station by station and row by row, oldest first."""
    stations = [station for station in _stations(site, chosen) if station.queue or station.parked]
    rows = _rows(site, chosen)
    return {
        "rows": sum(len(station.queue) for station in stations),
        "parked": sum(len(station.parked) for station in stations),
        "unknown_outcomes": len(site.unknown_outcomes),
        "stations": [_summary(site, station) for station in stations],
        "messages": [_row(site, station, row) for station, row in islice(rows, chosen.limit)],
    }


def message(site: Site, row_id: int) -> dict[str, Any] | None:
    """One row whole; None if it is not there."""
    found = operator.find(site, row_id)
    if found is None:
        return None
    station, row = found
    own = _own(site, row.transaction)
    unknown = site.unknown_outcomes.get(row.id)
    return {
        **operator.exported(row),
        "csms_id": _csms_id(site, row.transaction),
        **_row(site, station, row),
        "may_be_at_csms_since": _moment(unknown.noticed) if unknown else None,
        "transaction": _transaction(site, own) if own else None,
    }


def export(site: Site, chosen: Chosen) -> Iterator[dict[str, Any]]:
    """Rows whole, one by one; what is gone by the time it is asked for is left out."""
    for _, row in list(_rows(site, chosen)):
        found = operator.find(site, row.id)
        if found:
            yield {**operator.exported(found[1]), "csms_id": _csms_id(site, row.transaction)}


def transactions(site: Site, chosen: Chosen, *, running: bool) -> list[dict[str, Any]]:
    """The ledger as it is in memory, newest first."""
    found = (
        one
        for one in sorted(site.ledger.transactions.values(), key=lambda one: one.key, reverse=True)
        if (chosen.station is None or one.station == chosen.station)
        and (not running or one.state is TransactionState.RUNNING)
    )
    waits = _waiting(site)
    return [{**_transaction(site, one), "queued": waits.get(one.key, 0)} for one in islice(found, chosen.limit)]


def unknown_outcomes(site: Site, chosen: Chosen) -> list[dict[str, Any]]:
    """Deliveries that the CSMS may hold twice, newest first."""
    found = (
        one
        for one in sorted(site.unknown_outcomes.values(), key=lambda one: -one.row)
        if chosen.station is None or one.station == chosen.station
    )
    return [
        {
            "row": one.row,
            "station": one.station,
            "message_id": one.message_id,
            "action": one.action,
            "transaction": _transaction(site, own) if (own := _own(site, one.transaction)) else None,
            "noticed": _moment(one.noticed),
            "is_queued": operator.find(site, one.row) is not None,
        }
        for one in islice(found, chosen.limit)
    ]


def audit(site: Site, limit: int) -> list[dict[str, Any]]:
    """What was done to the queue and the database, newest first."""
    return [
        {
            "id": one.id,
            "at": _moment(one.at),
            "kind": one.kind.value,
            "station": one.station,
            "text": one.text,
            "detail": one.detail.decode() if one.detail else None,
        }
        for one in islice(reversed(site.upkeep.audit), limit)
    ]


def alarms(site: Site) -> list[dict[str, Any]]:
    """What an operator must know."""
    return [
        {"kind": one.kind.value, "text": one.text, "since": _moment(one.since)} for one in site.upkeep.alarms.values()
    ]


# -- parts ----------------------------------------------------------------------------------------------------------


def _stations(site: Site, chosen: Chosen) -> list[Station]:
    found = sorted(site.stations.values(), key=lambda station: station.id)
    return [station for station in found if chosen.station is None or station.id == chosen.station]


def _rows(site: Site, chosen: Chosen) -> Iterator[tuple[Station, OutboxRow]]:
    for station in _stations(site, chosen):
        rows = list(station.parked.values()) if chosen.parked else [*station.parked.values(), *station.queue.values()]
        for row in sorted(rows, key=lambda row: row.id):
            yield station, row


def _summary(site: Site, station: Station) -> dict[str, Any]:
    head = next(iter(station.queue.values()), None)
    why, until = _head_waits(site, station)
    return {
        "station": station.id,
        "rows": len(station.queue),
        "parked": len(station.parked),
        "oldest": _moment(head.received) if head else None,
        "waits_for": why.value if why else None,
        "waits_s": _left(site, until),
        "last_error": head.last_error if head else None,
    }


def _row(site: Site, station: Station, row: OutboxRow) -> dict[str, Any]:
    head = next(iter(station.queue), None)
    why, until = _head_waits(site, station) if row.id == head else (WaitReason.BEHIND, None)
    is_parked = row.state is RowState.PARKED
    return {
        "row": row.id,
        "station": station.id,
        "action": row.action,
        "kind": row.kind.value if row.kind else None,
        "transaction": row.transaction,
        "received": _moment(row.received),
        "state": row.state.value,
        "reason": (row.parked.value if row.parked else None) if is_parked else (why.value if why else None),
        "waits_s": None if is_parked else _left(site, until),
        "refusals": row.errors,
        "last_error": row.last_error,
        "bytes": len(row.payload),
        "may_be_at_csms": row.id in site.unknown_outcomes,
    }


def _head_waits(site: Site, station: Station) -> tuple[WaitReason | None, float | None]:
    if not station.queue:
        return None, None
    return waiting.head_waits_for(site, station, site.clock.monotonic())


def _left(site: Site, until: float | None) -> int | None:
    return None if until is None else max(0, round(until - site.clock.monotonic()))


def _csms_id(site: Site, key: TransactionKey | None) -> str | None:
    own = _own(site, key)
    return None if own is None else site.csms_id(own)


def _transaction(site: Site, one: Transaction) -> dict[str, Any]:
    return {
        "key": one.key,
        "station": one.station,
        "evse": one.evse,
        "id": one.station_tx_id,
        "upstream_id": one.upstream_tx_id,
        "csms_id": site.csms_id(one),
        "other_upstream_ids": list(one.other_upstream_ids),
        "state": one.state.value,
        "token": one.token,
        "status": one.status,
        "reason": one.status_reason,
        "late_status": one.late_status,
        "deauthorized": one.deauthorized,
        "started": one.started,
        "meter_start_wh": one.meter_start_wh,
        "ended": one.ended,
        "meter_stop_wh": one.meter_stop_wh,
        "stopped_reason": one.stopped_reason,
        "received": _moment(one.received) if one.received else None,
        "set_aside": one.parked,
        "meter_values_thinned": one.thinned,
    }


def _own(site: Site, key: TransactionKey | None) -> Transaction | None:
    return None if key is None else site.ledger.transactions.get(key)


def _waiting(site: Site) -> dict[int, int]:
    counts: dict[int, int] = {}
    for station in site.stations.values():
        for row in (*station.queue.values(), *station.parked.values()):
            if row.transaction is not None:
                counts[row.transaction] = counts.get(row.transaction, 0) + 1
    return counts


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
