"""Walk 4: what is queued goes up: a missed boot first, then the newest statuses, then the outbox in order.

There is one replay task a station; it sleeps on the station's `wake` event. It sends all rows but those that have
nothing ahead of them and no commit to wait for (`booking`), which are the same rows in the same outbox. Upstream ids
are bound when a row is released; nothing rewrites the queue.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from msgspec.structs import replace as replaced

from gateway.core import outbox
from gateway.dialects.base import Dialect, Role
from gateway.errors import StoreError
from gateway.flows import delivery, timing, waiting
from gateway.model.events import BootAnswer, EventKind, RegistrationStatus
from gateway.model.reasons import AuditKind, ParkReason
from gateway.model.records import Change, Drop, LatestMessage, OutboxRow, Put, RowState
from gateway.rpc.session import Answered, Outcome, Priority, Refused, Unanswered
from gateway.site import Site
from gateway.station import Station

log = logging.getLogger(__name__)

BOOT_RETRY_S = 60.0
AFTER_FAILURE_S = 5.0


async def run(site: Site) -> None:
    """Keep one replay task for every station there is."""
    await site.for_each_station("replay", partial(_serve, site))


async def _serve(site: Site, station: Station) -> None:
    while True:
        station.wake.clear()
        try:
            pause_until = await _step(site, station)
        except StoreError:
            await site.writer.ready.wait()
            continue
        except Exception:  # one station's trouble is never another's
            log.exception("%s: replay failed, trying again in %.0f s", station.id, AFTER_FAILURE_S)
            await asyncio.sleep(AFTER_FAILURE_S)
            continue
        if pause_until is None:
            await asyncio.sleep(0)  # a link that refuses at once must not keep everybody else waiting
            continue
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(pause_until if pause_until < float("inf") else None):
                await station.wake.wait()


async def _step(site: Site, station: Station) -> float | None:
    """Do the next thing. Returns until when (monotonic) there is nothing to do; None: look again at once."""
    while station.outcomes:
        await delivery.settle(site, station, *station.outcomes.pop(0))
    now = site.clock.monotonic()
    dialect = site.uplink.dialect(station.id)
    if dialect is None:
        return float("inf")
    record = station.record
    head = next(iter(station.queue.values()), None)
    drains_old_version = head is not None and head.dialect == dialect.name != record.dialect
    if _is_boot_due(station) and record.boot is not None and not drains_old_version:
        if record.dialect != dialect.name:
            site.uplink.wake(station.id)
            return float("inf")
        if now < station.boot_retry_at:
            return station.boot_retry_at
        await _send_boot(site, station, dialect, record.boot)
        return None
    if station.beat_due and (not station.is_held or station.is_called_for(_action(dialect, Role.HEARTBEAT))):
        station.beat_due = False
        await _send_beat(site, station, dialect)
        return None
    if station.is_held:
        return max(station.boot_retry_at, now + BOOT_RETRY_S)
    for latest in station.latest.values():
        if latest.dialect == dialect.name:
            await _send_latest(site, station, latest)
            return None
    if station.in_flight is not None:
        return float("inf")
    if now < station.hold_until:
        return station.hold_until
    return await _step_outbox(site, station, dialect, now)


def _is_boot_due(station: Station) -> bool:
    """A station that was refused boots again by itself, unless it is gone: then its queue needs a boot."""
    return station.record.boot_due or (station.is_held and station.port is None and bool(station.queue))


def _action(dialect: Dialect, role: Role) -> str:
    return next(rule.action for rule in dialect.up.values() if rule.role is role)


async def _step_outbox(site: Site, station: Station, dialect: Dialect, now: float) -> float | None:
    step = outbox.next_step(
        station.queue.values(),
        now=now,
        uncommitted=station.uncommitted,
        lazy=station.lazy,
        is_bindable=lambda row: waiting.is_bindable(site.ledger, station, row),
        waits_for_token=lambda row: waiting.for_token(site, row, now),
        retry_at=station.retry_at,
        accused=station.accused,
    )
    match step:
        case outbox.Wait(until):
            if not station.queue and station.port is not None and station.port.dialect.name != dialect.name:
                site.uplink.wake(station.id)  # what the other version was needed for is gone
            return float("inf") if until is None else until
        case outbox.Release(rows):
            await site.commit([Put(_frozen(site, station, row)) for row in rows])
        case outbox.Send(row):
            if row.dialect != dialect.name:
                site.uplink.wake(station.id)
                return float("inf")
            moment = _turn(site, station, row, now)
            if now < moment:
                return moment
            outcome = await _send_row(site, station, row)
            await delivery.settle(site, station, row, outcome)
        case outbox.Judge(row, probe):
            await _judge(site, station, row, probe)
    return None


def _turn(site: Site, station: Station, row: OutboxRow, now: float) -> float:
    """When the row may go: what was queued before the link came up waits for the station's turn, the rest does not."""
    if row.id >= station.first_row_of_link:
        station.turn_at = None
        return now
    if station.turn_at is None:
        station.turn_at = site.upkeep.pace.take(now)
    moment = station.turn_at
    if moment <= now:
        station.turn_at = None
    return moment


# -- what has no place in the outbox --------------------------------------------------------------------------------


async def _send_boot(site: Site, station: Station, dialect: Dialect, payload: bytes) -> None:
    action = _action(dialect, Role.BOOT)
    outcome = await _asked(site, station, action, payload, Priority.BOOT)
    if station.record.boot != payload:
        return
    waiter, station.boot_waiter = station.boot_waiter, None
    answer = dialect.codec.boot_answer(outcome.payload) if isinstance(outcome, Answered) else None
    if isinstance(outcome, Answered):
        timing.hear_csms(site, dialect.codec.current_time(outcome.payload))
    is_told = waiter is not None and not waiter.done()
    if waiter is not None and not waiter.done():
        waiter.set_result(outcome.payload if isinstance(outcome, Answered) else None)
    if answer is None:
        station.boot_retry_at = site.clock.monotonic() + BOOT_RETRY_S
        if isinstance(outcome, Refused):
            log.warning("%s: the CSMS refused its boot: %s %s", station.id, outcome.code, outcome.description)
        return
    _register(site, station, answer, is_told)


def _register(site: Site, station: Station, answer: BootAnswer, is_told: bool) -> None:
    """A station that heard Pending or Rejected boots again by itself; one we accepted does not: we ask again for it."""
    station.called_for.clear()
    is_accepted = answer.status is RegistrationStatus.ACCEPTED
    if not is_accepted:
        station.boot_retry_at = site.clock.monotonic() + (answer.interval_s or BOOT_RETRY_S)
        log.warning("%s: the CSMS says %s to its boot; its queue is held", station.id, answer.status)
    record = replace(
        station.record,
        boot_due=not is_accepted and not is_told,
        registration=answer.status,
        told=answer.status if is_told else station.record.told,
        wait_s=0 if is_accepted else answer.interval_s,
        was_accepted=station.record.was_accepted or is_accepted,
        interval_s=answer.interval_s if is_accepted and answer.interval_s > 0 else station.record.interval_s,
    )
    site.note([Put(record)])
    station.list_wake.set()


async def _send_beat(site: Site, station: Station, dialect: Dialect) -> None:
    action = _action(dialect, Role.HEARTBEAT)
    outcome = await _asked(site, station, action, b"{}")
    if isinstance(outcome, Answered):
        timing.hear_csms(site, dialect.codec.current_time(outcome.payload))


async def _send_latest(site: Site, station: Station, latest: LatestMessage) -> None:
    outcome = await _asked(site, station, latest.action, latest.payload)
    if not isinstance(outcome, Unanswered) and station.latest.get(latest.slot) == latest:
        await site.commit([Drop(latest)])  # never to be told again after a newer one


# -- rows -----------------------------------------------------------------------------------------------------------


def _frozen(site: Site, station: Station, row: OutboxRow) -> OutboxRow:
    """The row at its release: what was queued before this link came up is offline (OCPP 2.0.1 Part 2, E04.FR.03)."""
    transaction = site.ledger.transactions.get(row.transaction) if row.transaction is not None else None
    return replaced(
        row,
        state=RowState.RELEASED,
        offline=row.offline or row.id < station.first_row_of_link,
        bound_tx_id=transaction.upstream_tx_id if transaction else None,
    )


async def _send_row(site: Site, station: Station, row: OutboxRow) -> Outcome:
    """Send a released row. One that may have been sent before is listed first: the CSMS may hold it already."""
    if changes := outbox.unlisted([row], station.sent, site.unknown_outcomes, site.clock.now()):
        await site.commit(changes)
    return await _outcome(partial(delivery.send, site, station, row))


async def _asked(
    site: Site, station: Station, action: str, payload: bytes, priority: Priority = Priority.STATUS
) -> Outcome:
    return await _outcome(
        lambda on_done: site.uplink.post(station.id, site.request(action, payload, on_done, priority))
    )


async def _outcome(send: Callable[[Callable[[Outcome], None]], None]) -> Outcome:
    """What is sent by this hears of its outcome once; who waits for it may have gone by then."""
    done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    send(lambda outcome: None if done.done() else done.set_result(outcome))
    return await done


# -- poison ---------------------------------------------------------------------------------------------------------


async def _judge(site: Site, station: Station, row: OutboxRow, probe: OutboxRow | None) -> None:
    """Refused too often. Is it the row, or the CSMS? If other messages pass, the row is set aside, not thrown away."""
    station.accused.discard(row.id)
    first_error_at = station.first_error_at.get(row.id, 0.0)
    if row.id in station.second_chance:
        await _park(site, station, row)
        return
    if not outbox.is_poison(first_error_at, site.last_success_at) and probe is not None:
        if probe.state is RowState.QUEUED and waiting.is_bindable(site.ledger, station, probe):
            probe = _frozen(site, station, probe)
            await site.commit([Put(probe)])
        if probe.state is RowState.RELEASED:
            outcome = await _send_row(site, station, probe)
            await delivery.settle(site, station, probe, outcome, is_probe=True)
        if outbox.is_poison(first_error_at, site.last_success_at):  # or the CSMS is well again just now: once more
            station.second_chance.add(row.id)
            station.retry_at[row.id] = site.clock.monotonic()
            return
    if outbox.is_poison(first_error_at, site.last_success_at):
        await _park(site, station, row)
    else:
        delivery.hold(site, station, "the CSMS refuses every message")


async def _park(site: Site, station: Station, row: OutboxRow) -> None:
    is_start = row.kind is EventKind.STARTED
    rows = outbox.parked_with(row, station.queue.values(), is_start)
    changes: list[Change] = [Put(replaced(parked, state=RowState.PARKED, parked=_why(parked, row))) for parked in rows]
    own = site.ledger.transactions.get(row.transaction) if row.transaction is not None else None
    if is_start and own is not None:
        changes.append(Put(replace(own, parked=True)))
    if surplus := outbox.too_many(station.parked.values(), row):
        count = outbox.MOST_REFUSED
        text = f"{row.action} is refused by the CSMS, and {count} are set aside: the oldest give way from now on"
        changes += map(Drop, surplus)
        if not any((one.station, one.text) == (station.id, text) for one in site.upkeep.audit):
            changes += site.upkeep.entries(site.clock.now(), AuditKind.DROPPED, [(station.id, text, None)])
    await site.commit(changes)
    how = logging.ERROR
    if outbox.stands_alone(row):
        how = logging.DEBUG if row.action in station.unwanted else logging.WARNING
        station.unwanted.add(row.action)
    for parked in rows:
        station.forget_troubles(parked.id)
    log.log(how, "%s: %s was refused %d times (%s): set aside with %d more", station.id, row.action, row.errors,
            row.last_error, len(rows) - 1)  # fmt: skip


def _why(parked: OutboxRow, poison: OutboxRow) -> ParkReason:
    return ParkReason.REFUSED if parked.id == poison.id else ParkReason.START_REFUSED
