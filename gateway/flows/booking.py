"""Walk 1, the part that must not lose anything: book a message, let the CSMS answer it in time, else answer for it."""

import asyncio
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

from msgspec.structs import replace as replaced

from gateway.core import idmap, outbox
from gateway.core.ledger import Seen
from gateway.core.space import Level
from gateway.core.tokens import Shown
from gateway.dialects.base import Budget, Commit
from gateway.errors import StoreError
from gateway.flows import delivery, timing
from gateway.flows.incoming import Incoming, wait
from gateway.model.events import EventKind, TransactionMessage
from gateway.model.ids import RowId, StationId
from gateway.model.records import RELEASED, Change, OutboxRow, Put, RowState
from gateway.model.token import AuthorizationStatus, Decision, Reason
from gateway.model.transaction import Transaction
from gateway.rpc.codes import CallError, ErrorCode
from gateway.rpc.frame import Call
from gateway.rpc.session import Answered, Outcome
from gateway.site import Site
from gateway.station import Station

MAX_AHEAD = 16
"""With more rows than this ahead of it, the CSMS's answer to a message is not worth waiting for."""

_NO_ROOM = "there is no room to keep this message: send it again later"


async def transaction(incoming: Incoming, message: TransactionMessage) -> bytes:
    """Book a transaction message and answer it. Raises StoreError: what memory holds may be of a turn that failed."""
    site, station = incoming.site, incoming.station
    site.writer.check()
    seen = site.ledger.find_retry(station.id, station.record.boots, message)
    if seen:
        payload = await _answer_of_first(incoming, message.fingerprint, seen.row, message.kind)
    elif message.samples_only and message.fingerprint in station.answers:
        return station.answers[message.fingerprint]
    else:
        timing.hear_message(site, station, message.timestamp)
        booked, changes = _book(site, station, message)
        row = _row(incoming, message.fingerprint, booked, message.kind, is_samples=message.samples_only)
        if row.samples and not changes and row.state is not RowState.RELEASED and is_full(site):
            site.upkeep.not_kept += 1
            return incoming.dialect.codec.answer_transaction(incoming.call.action, message, None, None)
        payload = await _forward(incoming, row, changes, is_lazy=message.samples_only and not changes)
        seen = Seen(row.id, booked.key if booked else None)
    if payload is None:
        return await answer_locally(incoming, message, seen)
    own = site.ledger.transactions.get(seen.transaction) if seen.transaction is not None else None
    _use_up(site, station, message)
    return incoming.dialect.codec.rebind_answer(incoming.call.action, payload, own.station_tx_id if own else None)


def _book(site: Site, station: Station, message: TransactionMessage) -> tuple[Transaction | None, list[Change]]:
    """Into the ledger; a transaction first heard of on estimated time is dated later."""
    booked, changes = site.ledger.book(station.id, station.record.boots, message, site.clock.now())
    stamp = site.time.stamp()
    if booked is None or stamp is None or booked.key in site.ledger.transactions:
        return booked, changes
    dated = replace(booked, stamp=stamp)
    return dated, [Put(dated) if change.record is booked else change for change in changes]


async def message(incoming: Incoming) -> bytes:
    """Book a message that belongs to no transaction, and answer it. Raises StoreError, CallError."""
    site, station, call = incoming.site, incoming.station, incoming.call
    site.writer.check()
    fingerprint = sha256(call.action.encode() + call.payload).hexdigest()[:32]
    seen = site.ledger.find_seen(station.id, fingerprint)
    if seen:
        row_id, payload = seen.row, await _answer_of_first(incoming, fingerprint, seen.row, None)
    elif fingerprint in station.answers:
        return station.answers[fingerprint]
    else:
        row = _row(incoming, fingerprint, None, None)
        is_lazy = incoming.rule.commit is Commit.LAZY
        if is_lazy and row.state is not RowState.RELEASED and is_full(site):
            raise CallError(ErrorCode.GENERIC_ERROR, _NO_ROOM)
        row_id, payload = row.id, await _forward(incoming, row, [], is_lazy=is_lazy)
    if payload is not None:
        return payload
    changes = _write_lazy(station, row_id)
    if changes and is_full(site):
        orphan(site, station, row_id)
        raise CallError(ErrorCode.GENERIC_ERROR, _NO_ROOM)
    await site.commit(changes)
    return incoming.offline_answer()


async def _answer_of_first(incoming: Incoming, fingerprint: str, row_id: RowId, kind: EventKind | None) -> bytes | None:
    """A message said again joins the wait of the first, or gets the answer that one got."""
    station = incoming.station
    if row_id in station.answered_here:
        return None
    if row_id in station.queue and incoming.site.can_deliver(station):
        return await _wait(incoming, _waiter(station, row_id), kind)
    return station.answers.get(fingerprint)


def is_full(site: Site) -> bool:
    """No room but for begins and ends of transactions."""
    return site.level() is Level.FULL


def _row(
    incoming: Incoming,
    fingerprint: str,
    booked: Transaction | None,
    kind: EventKind | None,
    *,
    is_samples: bool = False,
) -> OutboxRow:
    """The message's row as things are: queued, unless its link is up and nothing is ahead of it."""
    site, station = incoming.site, incoming.station
    dialect, call = incoming.dialect.name, incoming.call
    row = new_row(
        site,
        dialect,
        station.id,
        call,
        fingerprint=fingerprint,
        kind=kind,
        booked=booked,
        now=site.clock.now(),
        is_samples=is_samples,
    )
    is_parked = booked is not None and booked.parked
    is_next = site.can_deliver(station) and not station.queue
    if is_next and not is_parked:
        return row
    state = RowState.PARKED if is_parked else RowState.QUEUED
    parked = outbox.parked_behind(booked.key, station.parked.values()) if booked and booked.parked else None
    return replaced(row, state=state, offline=not site.is_linked(station), parked=parked)


def new_row(
    site: Site,
    dialect: str,
    station: StationId,
    call: Call,
    *,
    fingerprint: str,
    kind: EventKind | None,
    booked: Transaction | None,
    now: datetime,
    is_samples: bool = False,
) -> OutboxRow:
    """A row under a new id, released from the moment it is committed."""
    return OutboxRow(
        site.next_row_id(),
        station,
        dialect,
        site.message_id(),
        call.action,
        call.payload,
        fingerprint,
        now,
        kind,
        booked.key if booked else None,
        booked.token if booked else None,
        RELEASED,
        bound_tx_id=booked.upstream_tx_id if booked else None,
        stamp=site.time.stamp(),
        samples=is_samples,
    )


async def _forward(incoming: Incoming, row: OutboxRow, changes: list[Change], *, is_lazy: bool) -> bytes | None:
    """Put the row on its way; returns the CSMS's answer if it comes in time."""
    site, station = incoming.site, incoming.station
    is_worth_waiting = (
        row.state is not RowState.PARKED and site.can_deliver(station) and len(station.queue) <= MAX_AHEAD
    )
    if row.samples and site.is_pressed():
        is_worth_waiting = is_lazy = False
    waiter = _waiter(station, row.id) if is_worth_waiting else None
    if is_lazy and row.state is RowState.RELEASED:
        site.add_lazy(station, row)
    else:
        ahead = [change for row_id in sorted(station.lazy) for change in _write_lazy(station, row_id)]
        await site.commit([*changes, *ahead, Put(row)])
        if not site.is_linked(station):
            site.uplink.wake(station.id)
        station.wake.set()
    if waiter is None:
        return None
    try:
        if row.id in station.lazy:
            _send_at_once(site, station, row)
        return await _wait(incoming, waiter, row.kind)
    except asyncio.CancelledError:
        if row.id in station.lazy:
            orphan(site, station, row.id)
        raise


def _send_at_once(site: Site, station: Station, row: OutboxRow) -> None:
    """What has nothing ahead of it and no commit to wait for needs no turn of the replay."""

    def heard(outcome: Outcome) -> None:
        if not (isinstance(outcome, Answered) and delivery.deliver_now(site, station, row, outcome.payload)):
            station.outcomes.append((row, outcome))
            station.wake.set()

    if station.in_flight is None:
        delivery.send(site, station, row, heard)
    else:
        station.wake.set()


def orphan(site: Site, station: Station, row_id: RowId) -> None:
    """The station is gone before its answer, and will say it again: what was not sent yet needs not go at all."""
    if station.in_flight == row_id:
        station.orphans.add(row_id)
    else:
        site.drop_lazy(station, row_id)


def _waiter(station: Station, row_id: RowId) -> asyncio.Future[bytes | None]:
    """What the replay resolves when the row has its outcome: the CSMS's answer, or None if it was refused or cut."""
    station.orphans.discard(row_id)
    waiter = station.waiting.get(row_id)
    if not isinstance(waiter, asyncio.Future) or waiter.done():
        waiter = station.waiting[row_id] = asyncio.get_running_loop().create_future()
    return waiter


async def _wait(incoming: Incoming, waiter: asyncio.Future[bytes | None], kind: EventKind | None) -> bytes | None:
    """The CSMS's answer, if it comes in time; the begin of a transaction is worth the longest wait."""
    deadline = incoming.deadline(Budget.START if kind is EventKind.STARTED else Budget.OTHER)
    answer = await wait(waiter, deadline)
    if answer is None and incoming.site.clock.monotonic() >= deadline:
        incoming.site.uplink.suspect(incoming.station.id)
    return answer


async def answer_locally(incoming: Incoming, message: TransactionMessage, seen: Seen) -> bytes:
    """Answer for the CSMS: what the answer rests on is committed first. The same message gets the same answer."""
    site, station, codec = incoming.site, incoming.station, incoming.dialect.codec
    own = site.ledger.transactions.get(seen.transaction) if seen.transaction is not None else None
    decision = _decide(site, station, message, own)
    changes = _write_lazy(station, seen.row)
    if changes and message.samples_only and is_full(site):
        site.upkeep.not_kept += 1
        orphan(site, station, seen.row)
        return codec.answer_transaction(incoming.call.action, message, decision, own.station_tx_id if own else None)
    is_first = seen.row not in station.answered_here
    station.answered_here.add(seen.row)
    if own and _asks(own, message):
        own, given = _give_answer(site, own, decision)
        changes += given
    try:
        await site.commit(changes)
    except StoreError:
        if is_first:  # the station got no answer: it asks again, and then the CSMS's own may be there
            station.answered_here.discard(seen.row)
        raise
    _use_up(site, station, message)
    return codec.answer_transaction(incoming.call.action, message, decision, own.station_tx_id if own else None)


def _give_answer(site: Site, own: Transaction, decision: Decision | None) -> tuple[Transaction, list[Change]]:
    """Note what the station is told of its Start: the verdict, and an id of ours if the CSMS gave none in time."""
    answered, changes = own, list[Change]()
    if decision and own.status is None:
        answered = replace(
            own,
            status=decision.status,
            status_reason=decision.reason,
            status_expiry=decision.expiry,
            group=decision.group,
        )
    if own.station_tx_id is None:
        local_id, counter = idmap.next_local_id(site.ledger, own, site.counter)
        answered = replace(answered, station_tx_id=local_id)
        changes.append(Put(counter))
    return answered, [*changes, Put(answered)] if answered != own else changes


def _decide(site: Site, station: Station, message: TransactionMessage, own: Transaction | None) -> Decision | None:
    """The verdict on the message's token: the one given before, its own transaction's, or a new one."""
    if message.token is None:
        return None
    begins = message.kind is EventKind.STARTED if own is None else _asks(own, message)
    if own and begins and own.status is not None:
        reason = Reason(own.status_reason or Reason.CSMS)
        return Decision(AuthorizationStatus(own.status), reason, own.group, own.status_expiry)
    evse = own.evse if own else message.evse
    return site.authorize(Shown(station.id, message.token, begins, evse, own, station.evses))


def _asks(own: Transaction, message: TransactionMessage) -> bool:
    """Whether the message asks for the verdict its transaction lives by: a Start, or the one that brings the token."""
    return message.kind is EventKind.STARTED or message.fingerprint == own.token_fingerprint


def _use_up(site: Site, station: Station, message: TransactionMessage) -> None:
    """A remote start and a reservation count for one start, and until that is answered."""
    if message.token:
        site.note(site.tokens.used_up(station.id, message))


def _write_lazy(station: Station, row_id: RowId) -> list[Change]:
    """What writes a row that was kept in memory so far."""
    row = station.queue.get(row_id)
    if row is None or row_id not in station.lazy:
        return []
    may_be_sent = row_id in station.sent or row_id == station.in_flight or row.errors > 0
    return [Put(row if may_be_sent else replaced(row, state=RowState.QUEUED))]
