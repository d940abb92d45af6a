"""Keeps memory and file from growing: what no station will say again is forgotten, and in time what is over."""

import asyncio
import contextlib
import logging
from datetime import datetime, timedelta

from gateway.core import outbox
from gateway.errors import StoreError
from gateway.model.records import Change, Drop
from gateway.model.transaction import Transaction, TransactionState
from gateway.site import Site

log = logging.getLogger(__name__)

INTERVAL_S = 3600.0
TRY_AGAIN_S = 86_400.0
"""Rows set aside go again so often, on a link that does not fall."""
ROWS_KEPT = timedelta(days=2)
TRANSACTIONS_KEPT = timedelta(days=30)


async def run(site: Site) -> None:
    """Tidy now and every hour."""
    tried_at = site.clock.monotonic()
    while True:
        tidy(site, site.clock.now())
        with contextlib.suppress(StoreError):
            await _forget_what_is_over(site, site.clock.now())
        if site.clock.monotonic() >= tried_at + TRY_AGAIN_S:
            tried_at = site.clock.monotonic()
            try_again(site)
        await asyncio.sleep(INTERVAL_S)


def try_again(site: Site) -> None:
    """Rows that were set aside, on links that are up: the CSMS may take them by now."""
    for station in site.stations.values():
        dialect = site.uplink.dialect(station.id)
        rows = outbox.to_try_again(station.parked.values(), dialect.name) if dialect else []
        if rows:
            site.unpark(station, rows)
            station.wake.set()


async def _forget_what_is_over(site: Site, now: datetime) -> None:
    """Old transactions leave the file, with what is listed of them. Raises StoreError."""
    before = now - timedelta(days=site.options.kept_days)
    old = [unknown for unknown in site.unknown_outcomes.values() if unknown.noticed < before]
    site.note([Drop(unknown) for unknown in old])
    count = await site.writer.forget_transactions(before)
    if count:
        log.info("%d transactions of before %s have left the ledger", count, before.date())


def tidy(site: Site, now: datetime) -> None:
    """Drop delivered rows of finished transactions after two days, what is over its time, old transactions."""
    dropped: list[Change] = site.tokens.expired(now)
    kept = []
    while site.delivered:
        row = site.delivered.popleft()
        own = site.ledger.transactions.get(row.transaction) if row.transaction is not None else None
        received = site.time.corrected(row.stamp) or row.received
        if now - received > ROWS_KEPT and (own is None or own.state is not TransactionState.RUNNING):
            dropped.append(Drop(row))
        else:
            kept.append(row)
    site.delivered.extend(kept)
    site.note(dropped)
    queued = {row.transaction for s in site.stations.values() for row in (*s.queue.values(), *s.parked.values())}
    for transaction in list(site.ledger.transactions.values()):
        if _is_over(site, transaction, now) and transaction.key not in queued:
            site.ledger.forget(transaction)


def _is_over(site: Site, transaction: Transaction, now: datetime) -> bool:
    is_running = transaction.state is TransactionState.RUNNING
    received = site.time.corrected(transaction.stamp) or transaction.received
    return not is_running and received is not None and now - received > TRANSACTIONS_KEPT
