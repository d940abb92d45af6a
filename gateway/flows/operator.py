"""What an operator does to the queue: try again, drop. What is dropped stays readable in the audit trail."""

import json
import logging
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from gateway.core import outbox
from gateway.errors import RefusedError
from gateway.model.events import EventKind
from gateway.model.ids import RowId, StationId
from gateway.model.reasons import AuditKind
from gateway.model.records import Change, Drop, OutboxRow, Put
from gateway.site import Site
from gateway.station import Station

log = logging.getLogger(__name__)

MOST_AT_ONCE = 500
"""Of rows that are dropped: the audit trail has to hold them."""


def find(site: Site, row_id: int) -> tuple[Station, OutboxRow] | None:
    """A row on its way or set aside."""
    for station in site.stations.values():
        row = station.queue.get(RowId(row_id)) or station.parked.get(RowId(row_id))
        if row is not None:
            return station, row
    return None


def exported(row: OutboxRow) -> dict[str, Any]:
    """A row whole, as plain data. `payload` is its JSON text, exactly as the station sent it."""
    return {
        "row": row.id,
        "station": row.station,
        "version": row.dialect,
        "action": row.action,
        "payload": row.payload.decode(errors="replace"),
        "message_id": row.message_id,
        "received": row.received.isoformat(),
        "state": row.state.value,
        "reason": row.parked.value if row.parked else None,
        "kind": row.kind.value if row.kind else None,
        "transaction": row.transaction,
        "upstream_tx_id": row.bound_tx_id,
        "offline": row.offline,
        "refusals": row.errors,
        "last_error": row.last_error,
    }


async def retry(site: Site, rows: Collection[OutboxRow]) -> int:
    """Send rows again as soon as their link allows; returns how many were set aside. Raises StoreError."""
    count = 0
    for station in site.stations.values():
        own = [row for row in rows if row.station == station.id]
        if not own:
            continue
        before = len(station.parked)
        site.unpark(station, [row for row in own if row.id in station.parked])
        count += before - len(station.parked)
        for row in own:
            station.retry_at.pop(row.id, None)
        station.hold_until = 0.0
        station.wake.set()
        site.uplink.wake(station.id)
    text = f"an operator retries {len(rows)} messages: {', '.join(str(row.id) for row in rows)}"
    await site.commit(site.upkeep.entry(site.clock.now(), AuditKind.RETRIED, text[:300]))
    return count


async def drop(site: Site, row_ids: Collection[int]) -> list[OutboxRow]:
    """Take rows out of the queue for good; a Start takes its transaction's rows along. Returns what went.

    Raises RefusedError if one is not there, or is with the CSMS right now; StoreError. Then nothing was dropped.
    """
    chosen: dict[RowId, OutboxRow] = {}
    for row_id in row_ids:
        found = find(site, row_id)
        if found is None:
            raise RefusedError(f"there is no message {row_id} in the queue")
        station, row = found
        for one in _with_transaction(station, row):
            if one.id == station.in_flight or one.id in station.uncommitted or one.id in station.lazy:
                raise RefusedError(f"message {one.id} is under way right now: ask again in a moment")
            chosen[one.id] = one
    rows = list(chosen.values())
    if len(rows) > MOST_AT_ONCE:
        raise RefusedError(f"these are {len(rows)} messages; at most {MOST_AT_ONCE} can be dropped at once")
    await site.commit(_changes(site, rows))
    for row in rows:
        station = site.stations[row.station]
        station.forget_troubles(row.id)
        station.sent.discard(row.id)
        station.wake.set()
        site.uplink.wake(station.id)
        log.warning("%s: an operator dropped %s (message %d)", row.station, row.action, row.id)
    return rows


def _with_transaction(station: Station, row: OutboxRow) -> list[OutboxRow]:
    """Without its Start the CSMS could not tell whose the rest is."""
    if row.kind is not EventKind.STARTED or row.transaction is None:
        return [row]
    rows = (*station.queue.values(), *station.parked.values())
    return [other for other in rows if other.transaction == row.transaction]


def _changes(site: Site, rows: Collection[OutboxRow]) -> list[Change]:
    """What follows of a transaction whose Start is dropped is set aside too: it must not go up on its own."""
    changes: list[Change] = list(map(Drop, rows))
    for row in rows:
        sent = site.stations[row.station].sent
        changes += outbox.unlisted([row], sent, site.unknown_outcomes, site.clock.now())
        own = site.ledger.transactions.get(row.transaction) if row.transaction is not None else None
        if own is not None and row.kind is EventKind.STARTED:
            changes.append(Put(replace(own, parked=True)))
    said: list[tuple[StationId | None, str, bytes | None]] = [
        (row.station, f"an operator dropped {row.action} (message {row.id})", json.dumps(exported(row)).encode())
        for row in rows
    ]
    return [*changes, *site.upkeep.entries(site.clock.now(), AuditKind.DROPPED, said)]
