"""Walk 6: the CSMS refused a token after the gateway had accepted it (DESIGN D4): stop that transaction, if it runs.

The decision is in the ledger (`deauthorized`) before the command leaves, so that the Stop is reported as DeAuthorized
and a station that was away is stopped when it comes back.
"""

import asyncio
import logging

from gateway.flows import grace
from gateway.model.transaction import Transaction, TransactionState
from gateway.rpc.session import Answered
from gateway.site import Site

log = logging.getLogger(__name__)

RETRY_S = 30.0


async def run(site: Site) -> None:
    """Stop what was marked; ask again where the station did not obey."""
    while True:
        site.verdict_wake.clear()
        due = [transaction for transaction in site.ledger.all_running() if transaction.deauthorized]
        for transaction in due:
            try:
                await _stop(site, transaction)
            except Exception:  # one station's trouble is never another's
                log.exception("%s: could not stop transaction %s", transaction.station, transaction.station_tx_id)
        try:
            async with asyncio.timeout(_pause_s(site, due)):
                await site.verdict_wake.wait()
        except TimeoutError:
            continue


def _pause_s(site: Site, due: list[Transaction]) -> float | None:
    """Until when to do nothing: the next attempt, or the end of the grace of a station that is just back."""
    now = site.clock.monotonic()
    opens = [site.stations[one.station].settled_at - now for one in due]
    return min([RETRY_S, *(pause_s for pause_s in opens if pause_s > 0)]) if due else None


async def _stop(site: Site, transaction: Transaction) -> None:
    port = site.stations[transaction.station].port
    if port is None or not grace.is_open(site, site.stations[transaction.station]):
        return
    if transaction.station_tx_id is None or transaction.state is not TransactionState.RUNNING:
        return
    action, payload = port.dialect.codec.remote_stop(transaction.station_tx_id)
    outcome = await port.call(action, payload, send_by=site.clock.monotonic() + RETRY_S)
    said = outcome.payload.decode(errors="replace") if isinstance(outcome, Answered) else outcome
    log.warning("%s: stopping transaction %s on the CSMS's late verdict %s: %s", transaction.station,
                transaction.station_tx_id, transaction.late_status, said)  # fmt: skip
