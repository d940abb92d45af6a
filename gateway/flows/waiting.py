"""What a row waits for: asked by the replay, and told to the operator in the same words."""

from gateway.core import outbox
from gateway.core.ledger import Ledger
from gateway.dialects import registry
from gateway.model.events import EventKind
from gateway.model.reasons import WaitReason
from gateway.model.records import OutboxRow, RowState
from gateway.site import Site
from gateway.station import Station

_TOKEN_POLL_S = 0.5


def is_bindable(ledger: Ledger, station: Station, row: OutboxRow) -> bool:
    """A message of a 1.6 transaction waits for the answer to its Start; without one on its way, it goes as it is."""
    transaction = ledger.transactions.get(row.transaction) if row.transaction is not None else None
    if row.kind is EventKind.STARTED or transaction is None or transaction.upstream_tx_id is not None:
        return True
    if not registry.by_name(row.dialect).csms_gives_tx_ids:
        return True
    waiting = (*station.queue.values(), *station.parked.values())
    return not any(other.kind is EventKind.STARTED and other.transaction == row.transaction for other in waiting)


def for_token(site: Site, row: OutboxRow, now: float) -> float | None:
    """During replay a Start lets earlier messages of its token at other, reachable stations go first, for a while."""
    if row.kind is not EventKind.STARTED or row.state is not RowState.QUEUED or not row.token:
        return None
    station = site.stations[row.station]
    limit = station.token_wait.setdefault(row.id, now + outbox.TOKEN_WAIT_S)
    for other_id, other_station in site.rows_of_token.get(row.token.casefold(), {}).items():
        is_earlier = other_id < row.id and other_station != row.station
        if is_earlier and now < limit and site.can_deliver(site.stations[other_station]):
            return min(limit, now + _TOKEN_POLL_S)
    return None


def head_waits_for(site: Site, station: Station, now: float) -> tuple[WaitReason, float | None]:
    """Why the first row of a station's queue is not at the CSMS yet, and until when (monotonic), if that is known."""
    head = next(iter(station.queue.values()))
    if station.in_flight == head.id:
        return WaitReason.IN_FLIGHT, None
    if not site.is_linked(station):
        return WaitReason.LINK_DOWN, None
    if station.record.boot_due:
        return WaitReason.BOOT_FIRST, station.boot_retry_at if now < station.boot_retry_at else None
    if station.is_held:
        return WaitReason.HELD, None
    if now < station.hold_until:
        return WaitReason.CSMS_SICK, station.hold_until
    if head.id in station.uncommitted:
        return WaitReason.BEING_WRITTEN, None
    if now < station.retry_at.get(head.id, 0.0):
        return WaitReason.REFUSED, station.retry_at[head.id]
    if head.id in station.token_wait and for_token(site, head, now) is not None:
        return WaitReason.EARLIER_USE, station.token_wait[head.id]
    if head.state is RowState.QUEUED and not is_bindable(site.ledger, station, head):
        return WaitReason.START_UNANSWERED, None
    if station.turn_at is not None and now < station.turn_at:
        return WaitReason.PACED, station.turn_at
    return WaitReason.NEXT, None
