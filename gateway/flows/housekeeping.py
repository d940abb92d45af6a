"""Keeps memory and file from growing: what no station will say again is forgotten. The ledger itself stays whole."""

import asyncio
from datetime import datetime, timedelta

from gateway.model.records import Change, Drop
from gateway.model.transaction import Transaction, TransactionState
from gateway.site import Site

INTERVAL_S = 3600.0
ROWS_KEPT = timedelta(days=2)
TRANSACTIONS_KEPT = timedelta(days=30)


async def run(site: Site) -> None:
    """Tidy now and every hour."""
    while True:
        tidy(site, site.clock.now())
        await asyncio.sleep(INTERVAL_S)


def tidy(site: Site, now: datetime) -> None:
    """Drop delivered rows of finished transactions after two days, what is over its time, old transactions."""
    dropped: list[Change] = site.tokens.expired(now)
    kept = []
    while site.delivered:
        row = site.delivered.popleft()
        own = site.ledger.transactions.get(row.transaction) if row.transaction is not None else None
        if now - row.received > ROWS_KEPT and (own is None or own.state is not TransactionState.RUNNING):
            dropped.append(Drop(row))
        else:
            kept.append(row)
    site.delivered.extend(kept)
    site.note(dropped)
    queued = {row.transaction for s in site.stations.values() for row in (*s.queue.values(), *s.parked.values())}
    for transaction in list(site.ledger.transactions.values()):
        if _is_over(transaction, now) and transaction.key not in queued:
            site.ledger.forget(transaction)


def _is_over(transaction: Transaction, now: datetime) -> bool:
    is_running = transaction.state is TransactionState.RUNNING
    return not is_running and transaction.received is not None and now - transaction.received > TRANSACTIONS_KEPT
