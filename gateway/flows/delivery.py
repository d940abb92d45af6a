"""Walk 4, its second half: what the outcome of a sent row means."""

import logging
from collections.abc import Callable
from dataclasses import replace

from msgspec.structs import replace as replaced

from gateway.core import idmap, outbox
from gateway.core.late_verdict import is_deauthorized, judged
from gateway.dialects import registry
from gateway.errors import StoreError
from gateway.model.events import ENDED, SAYS_NOTHING, STARTED, EventKind, TransactionAnswer
from gateway.model.records import Change, Delivered, OutboxRow, Put
from gateway.model.settings import Key
from gateway.model.token import AuthorizationStatus, Reason
from gateway.model.transaction import Transaction
from gateway.rpc.codes import ErrorCode
from gateway.rpc.session import Answered, Outcome, Priority, Refused, Request, Silence, Unanswered
from gateway.site import Site
from gateway.station import Station

log = logging.getLogger(__name__)

_MOST_ATTEMPTS = 100
_LONGEST_INTERVAL_S = 3600.0
_SICK_FIRST_S = 5.0
_SICK_MOST_S = 300.0
_NOT_KNOWN = frozenset(code.casefold() for code in (ErrorCode.NOT_IMPLEMENTED, ErrorCode.NOT_SUPPORTED))


def send(site: Site, station: Station, row: OutboxRow, on_done: Callable[[Outcome], None]) -> None:
    """Send a row as it was frozen. One row a station is in flight; `on_done` hears its outcome."""

    def done(outcome: Outcome) -> None:
        station.in_flight = None
        on_done(outcome)

    transaction = site.ledger.transactions.get(row.transaction) if row.transaction is not None else None
    payload = bound_payload(row, transaction)
    station.in_flight = row.id
    timeout_s, on_sent = site.options.call_timeout_s, lambda: station.sent.add(row.id)
    request = Request(row.message_id, row.action, payload, done, Priority.TRANSACTION, timeout_s, on_sent=on_sent)
    site.uplink.post(station.id, request)


def bound_payload(row: OutboxRow, transaction: Transaction | None) -> bytes:
    """The row's payload as it goes up: with the CSMS's id, the offline flag, and our own reason of a stop."""
    is_ours = transaction is not None and row.kind is ENDED and is_deauthorized(transaction)
    is_same_id = row.bound_tx_id is None or (transaction and transaction.station_tx_id == str(row.bound_tx_id))
    if not (is_ours or row.offline) and is_same_id:
        return row.payload
    return registry.by_name(row.dialect).codec.bind(
        row.action,
        row.payload,
        upstream_tx_id=row.bound_tx_id,
        offline=row.offline,
        stopped_reason="DeAuthorized" if is_ours else None,
    )


async def settle(site: Site, station: Station, row: OutboxRow, outcome: Outcome, *, is_probe: bool = False) -> None:
    """Book the outcome of a sent row. A CSMS answer survives a bad store: it is applied again on a good one."""
    if isinstance(outcome, Answered):
        answer = registry.by_name(row.dialect).codec.transaction_answer(row.action, outcome.payload)
        needs_id = row.kind is EventKind.STARTED and registry.by_name(row.dialect).csms_gives_tx_ids
        if needs_id and not _is_usable(answer.upstream_tx_id):
            outcome = Refused("FormationViolation", "the CSMS's answer to a Start has no transaction id")
        else:
            await _delivered(site, station, row, outcome.payload, answer)
            return
    if isinstance(outcome, Refused):
        if not is_probe:
            _refused(site, station, row, outcome)
    else:
        _unanswered(site, station, row, outcome)
    _resolve(station, row, None)


def _is_usable(upstream_tx_id: int | None) -> bool:
    return upstream_tx_id is not None and -(2**63) <= upstream_tx_id < 2**63


async def _delivered(site: Site, station: Station, row: OutboxRow, payload: bytes, answer: TransactionAnswer) -> None:
    while True:
        before = site.ledger.transactions.get(row.transaction) if row.transaction is not None else None
        changes = _ledger_changes(site, station, row, before, answer)
        notes = _learned(site, station, row, answer)
        if _is_unwritten(station, row):
            site.drop_lazy(station, row.id)
        else:
            notes.append(Delivered(row))
        try:
            if _is_worth_a_commit(before, changes):
                await site.commit([*changes, *notes])
            else:
                site.note([*changes, *notes])
            break
        except StoreError:
            await site.writer.ready.wait()
    after = site.ledger.transactions.get(row.transaction) if row.transaction is not None else None
    if after is not None and after.deauthorized and not (before and before.deauthorized):
        site.verdict_wake.set()
    _finish(site, station, row, payload)


def deliver_now(site: Site, station: Station, row: OutboxRow, payload: bytes) -> bool:
    """Book a CSMS answer without a commit, if it changes nothing in the ledger. False: it must be settled in full."""
    answer = registry.by_name(row.dialect).codec.transaction_answer(row.action, payload)
    if answer is not SAYS_NOTHING:
        before = site.ledger.transactions.get(row.transaction) if row.transaction is not None else None
        changes = _ledger_changes(site, station, row, before, answer)
        if _is_worth_a_commit(before, changes):
            return False
        site.note([*changes, *_learned(site, station, row, answer)])
    if _is_unwritten(station, row):
        site.drop_lazy(station, row.id)
    else:
        site.mark_delivered(row)
    _finish(site, station, row, payload)
    return True


def _finish(site: Site, station: Station, row: OutboxRow, payload: bytes) -> None:
    """The row is delivered: what was live of it ends here."""
    if row.kind is not None:
        site.last_success_at = site.clock.monotonic()
    station.failures = 0
    station.sent.discard(row.id)
    station.unsure.discard(row.id)
    if row.id in station.second_chance and outbox.stands_alone(row):
        station.unwanted.discard(row.action)
        refused = outbox.refused_alone(station.parked.values(), row.dialect)
        site.unpark(station, [one for one in refused if one.action == row.action])
    if row.errors or row.kind is STARTED:
        station.forget_troubles(row.id)
    if row.id in station.answered_here:
        station.answered_here.remove(row.id)
    else:
        station.remember(row.fingerprint, payload)
    _resolve(station, row, payload)
    if station.queue:
        station.wake.set()
    elif station.port is None or station.port.dialect.name != row.dialect:
        site.uplink.wake(station.id)


def _ledger_changes(
    site: Site, station: Station, row: OutboxRow, before: Transaction | None, answer: TransactionAnswer
) -> list[Change]:
    """What the answer changes in the ledger; a station can't be given every id a CSMS makes up."""
    changed = _verdict(site, before, row, answer, is_in_time=_is_in_time(station, row, answer))
    if changed is None or changed is before or changed == before:
        return []
    if changed.station_tx_id is not None:
        return [Put(changed)]
    local_id, counter = idmap.next_local_id(site.ledger, changed, site.counter)
    return [Put(counter), Put(replace(changed, station_tx_id=local_id))]


def _is_worth_a_commit(before: Transaction | None, changes: list[Change]) -> bool:
    """An Accepted the station hears changes nothing; it is kept for a station that has not heard it, and asks again."""
    after = changes[0].record if len(changes) == 1 else None
    if before is None or not isinstance(after, Transaction) or after.status is not AuthorizationStatus.ACCEPTED:
        return bool(changes)
    told = replace(before, status=after.status, status_reason=after.status_reason, status_expiry=after.status_expiry,
                   group=after.group)  # fmt: skip
    return after != told


def _is_in_time(station: Station, row: OutboxRow, answer: TransactionAnswer) -> bool:
    """Whether the station will hear it. One that had an Accepted before a restart does not ask for the refusal."""
    if row.id in station.answered_here:
        return False
    is_heard = row.id not in station.unsure or row.id in station.waiting
    return is_heard or answer.verdict is None or answer.verdict.status is AuthorizationStatus.ACCEPTED


def _learned(site: Site, station: Station, row: OutboxRow, answer: TransactionAnswer) -> list[Change]:
    """What the answer says of the row's token, which need not be the one that began the transaction."""
    if answer.verdict and row.kind is not None:
        message = registry.by_name(row.dialect).codec.transaction(row.action, row.payload)
        if message and message.token:
            return site.learn(station, message.token, answer.verdict)
    return []


def _is_unwritten(station: Station, row: OutboxRow) -> bool:
    """A row that was never written is forgotten; a written one keeps its fingerprint, not its payload."""
    return row.id in station.lazy and row.id not in station.uncommitted


def _verdict(
    site: Site, transaction: Transaction | None, row: OutboxRow, answer: TransactionAnswer, *, is_in_time: bool
) -> Transaction | None:
    """What the answer does to the ledger: an id, a verdict the station hears, or one that comes after ours."""
    if transaction is None:
        return None
    changed = transaction
    if row.kind is EventKind.STARTED and answer.upstream_tx_id is not None:
        changed = idmap.bind(site.ledger, changed, answer.upstream_tx_id)
    verdict = answer.verdict
    if verdict is None or row.kind is EventKind.ENDED:
        return changed
    if row.kind is not EventKind.STARTED and not _is_about_its_token(row, transaction):
        return changed
    is_accepted = verdict.status is AuthorizationStatus.ACCEPTED
    if is_in_time and (changed.status is None or (changed.status_reason == Reason.CSMS and not is_accepted)):
        return replace(
            changed,
            status=verdict.status,
            status_reason=Reason.CSMS,
            status_expiry=verdict.expiry,
            group=verdict.group,
        )
    if is_in_time or is_accepted:
        return changed
    return _late_verdict(site, changed, verdict.status, verdict.expiry)


def _is_about_its_token(row: OutboxRow, transaction: Transaction) -> bool:
    """Whether a verdict means the transaction's token, and not one that was only shown to it. An event without any
    means it too: a CSMS may have second thoughts, and one of 1.6 hears of the session late."""
    if row.fingerprint == transaction.token_fingerprint:
        return True
    message = registry.by_name(row.dialect).codec.transaction(row.action, row.payload)
    return transaction.token is not None and message is not None and message.token is None


def _late_verdict(site: Site, transaction: Transaction, status: AuthorizationStatus, expiry: str | None) -> Transaction:
    """D4: a refusal that comes after our own Accepted stops the session if that same transaction still runs."""
    after = judged(transaction, status, expiry, site.options.authorization.late_refusal)
    log.warning("%s: the CSMS says %s to transaction %s after we accepted it%s", transaction.station, status,
                transaction.station_tx_id, ": stopping it" if after.deauthorized else "")  # fmt: skip
    return after


def _refused(site: Site, station: Station, row: OutboxRow, outcome: Refused) -> None:
    now = site.clock.monotonic()
    errors = row.errors + 1
    station.first_error_at.setdefault(row.id, now)
    rule = _retry_rule(site, row)
    station.retry_at[row.id] = now + rule.delay_s(errors)
    is_like_others = outbox.stands_alone(row) and row.action in station.unwanted
    if is_like_others or _is_not_known(row, outcome):
        station.second_chance.add(row.id)
    if errors >= rule.attempts or row.id in station.second_chance:
        station.accused.add(row.id)
    station.sent.discard(row.id)
    refused = replaced(row, errors=errors, last_error=f"{outcome.code}: {outcome.description}"[:300])
    if row.id in station.orphans:
        site.drop_lazy(station, row.id)
    elif row.id in station.lazy:
        station.queue[row.id] = refused
    else:
        site.note([Put(refused)])
    how = logging.DEBUG if is_like_others else logging.WARNING
    log.log(how, "%s: the CSMS refused %s (%d): %s", station.id, row.action, errors, refused.last_error)


def _is_not_known(row: OutboxRow, outcome: Refused) -> bool:
    """The CSMS has no such message, and won't in a minute. One of a transaction it has to have."""
    return row.kind is None and outcome.code.casefold() in _NOT_KNOWN


def _retry_rule(site: Site, row: OutboxRow) -> outbox.RetryRule:
    """As the CSMS has set it at the station, else as configured for the version."""
    rule = site.options.retry.get(row.dialect, outbox.RetryRule())
    attempts = site.columns.believed_number(row.station, Key.MESSAGE_ATTEMPTS)
    interval_s = site.columns.believed_number(row.station, Key.MESSAGE_RETRY_INTERVAL)
    return outbox.RetryRule(
        rule.attempts if attempts is None else min(max(attempts, 1), _MOST_ATTEMPTS),
        rule.interval_s if interval_s is None else min(interval_s, _LONGEST_INTERVAL_S),
    )


def _unanswered(site: Site, station: Station, row: OutboxRow, outcome: Unanswered) -> None:
    """The link fell or the CSMS was silent. What was sent has an unknown outcome; it is listed before it goes again."""
    if row.id in station.orphans:
        site.drop_lazy(station, row.id)
    elif outcome.was_sent and row.id not in station.lazy:
        site.note([outbox.unknown(row, site.clock.now())])
    if outcome.why is Silence.TIMEOUT or station.failures:
        hold(site, station, f"no answer to {row.action}: {outcome.why}")
    elif outcome.was_sent:
        station.failures = 1


def hold(site: Site, station: Station, why: str) -> None:
    """The CSMS is sick: back off, 5 s doubling to 5 minutes, with randomness; nothing is counted against a row."""
    pause = min(_SICK_MOST_S, _SICK_FIRST_S * 2**station.failures) * site.random.uniform(0.8, 1.2)
    station.failures = min(station.failures + 1, 10)
    station.hold_until = site.clock.monotonic() + pause
    log.warning("%s: %s; its queue waits %.0f s", station.id, why, pause)


def _resolve(station: Station, row: OutboxRow, payload: bytes | None) -> None:
    waiter = station.waiting.pop(row.id, None)
    if waiter is not None and not waiter.done():
        waiter.set_result(payload)
