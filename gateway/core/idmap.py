"""Transaction ids of OCPP 1.6: the station's against the CSMS's.

The station is given the CSMS's own id when that came in time and is free on this station, else one of ours. Upstream
ids may repeat, may be 0 or negative, and are never a key; an id a station was given is never given to it again.
"""

import random
from dataclasses import replace

from gateway.core.ledger import Ledger
from gateway.model.records import Counter
from gateway.model.transaction import Transaction

COUNTER = "local_tx_id"
_FIRST = 1_000_000_000
_LAST = 2**31 - 1


def first_counter(source: random.Random) -> Counter:
    """Where a new site begins to count: at random, so that two sites or a wiped one don't give the same ids again."""
    return Counter(COUNTER, source.randrange(_FIRST, _FIRST + 900_000_000))


def next_local_id(ledger: Ledger, transaction: Transaction, counter: Counter) -> tuple[str, Counter]:
    """An id this station never had, and the counter behind it."""
    value = counter.value
    while True:
        value = value + 1 if value < _LAST else _FIRST
        if not ledger.is_used(transaction.station, str(value)):
            return str(value), Counter(COUNTER, value)


def bind(ledger: Ledger, transaction: Transaction, upstream_tx_id: int) -> Transaction:
    """Take the CSMS's id from an answer to the transaction's Start. The first one counts, others are listed."""
    if transaction.upstream_tx_id is not None:
        if upstream_tx_id in (transaction.upstream_tx_id, *transaction.other_upstream_ids):
            return transaction
        return replace(transaction, other_upstream_ids=(*transaction.other_upstream_ids, upstream_tx_id))
    bound = replace(transaction, upstream_tx_id=upstream_tx_id)
    may_hand_out = 1 <= upstream_tx_id <= _LAST and not ledger.is_used(transaction.station, str(upstream_tx_id))
    if transaction.station_tx_id is None and may_hand_out:
        bound = replace(bound, station_tx_id=str(upstream_tx_id))
    return bound
