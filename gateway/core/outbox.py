"""Store-and-forward of one station: what is sent next, what waits, what is poison.

Rows go strictly in order. A row is released (its id, bytes and bound ids frozen, by a commit) before it is sent, so
that a repeat after a crash is identical. Being offline is no failed attempt; only a CALLERROR counts against a row.
"""

from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice, takewhile

from msgspec.structs import replace as replaced

from gateway.model.events import EventKind
from gateway.model.ids import RowId, TransactionKey
from gateway.model.reasons import ParkReason
from gateway.model.records import Change, OutboxRow, Put, RowState, UnknownOutcome
from gateway.model.transaction import Transaction

WINDOW = 16
"""Rows released by one commit during replay."""
MOST_REFUSED = 500
"""So many messages of no transaction are kept of each action and station once the CSMS has refused them."""

TOKEN_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How often a message may be refused before it is judged, and the seconds between attempts.

    What a version calls it: 1.6 TransactionMessageAttempts and TransactionMessageRetryInterval, 2.x MessageAttempts and
    MessageAttemptInterval of a TransactionEvent. The wait is interval x number of earlier sends in both.
    """

    attempts: int = 3
    interval_s: float = 60.0

    def delay_s(self, errors: int) -> float:
        """Wait before the next send; it does not grow any more when the attempts are used up."""
        return self.interval_s * min(errors, self.attempts)


@dataclass(frozen=True, slots=True)
class Send:
    row: OutboxRow


@dataclass(frozen=True, slots=True)
class Release:
    rows: tuple[OutboxRow, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before `until` (monotonic), or before something changes."""

    until: float | None = None


@dataclass(frozen=True, slots=True)
class Judge:
    """A row was just refused too often: `probe` is the next transaction's first message in the same version, if any."""

    row: OutboxRow
    probe: OutboxRow | None


Step = Send | Release | Wait | Judge


def next_step(
    queue: Iterable[OutboxRow],
    *,
    now: float,
    uncommitted: Container[RowId],
    lazy: Container[RowId],
    is_bindable: Callable[[OutboxRow], bool],
    waits_for_token: Callable[[OutboxRow], float | None],
    retry_at: Mapping[RowId, float],
    accused: Container[RowId] = (),
) -> Step:
    """Decide from the head of the queue.

    `uncommitted`: rows whose commit has not come back. `lazy`: rows not to be committed before they are sent.
    `is_bindable`: the upstream id this row must carry is known. `waits_for_token`: until when (monotonic) a Start lets
    earlier messages of its token at other stations go first. `accused`: rows refused too often, not yet judged.
    """
    rows = iter(queue)
    head = next(rows, None)
    if head is None or head.id in uncommitted:
        return Wait()
    if head.id in accused:
        others = (row for row in rows if row.transaction not in (head.transaction, None))
        probe = next((row for row in others if row.dialect == head.dialect), None)
        return Judge(head, probe if probe and probe.id not in uncommitted else None)
    due = max(retry_at.get(head.id, 0.0), waits_for_token(head) or 0.0)
    if now < due:
        return Wait(due)
    if head.state is RowState.RELEASED or head.id in lazy:
        return Send(head)
    window = [head, *takewhile(lambda row: waits_for_token(row) is None, islice(rows, WINDOW - 1))]
    window = _releasable(window, uncommitted, is_bindable)
    return Release(tuple(window)) if window else Wait()


def _releasable(
    rows: Iterable[OutboxRow], uncommitted: Container[RowId], is_bindable: Callable[[OutboxRow], bool]
) -> list[OutboxRow]:
    return list(
        takewhile(
            lambda row: row.state is RowState.QUEUED and row.id not in uncommitted and is_bindable(row),
            rows,
        )
    )


def unknown(row: OutboxRow, now: datetime) -> Change:
    """The entry of the list of deliveries that the CSMS may hold twice."""
    return Put(UnknownOutcome(row.id, row.station, row.message_id, row.action, row.transaction, now))


def unlisted(rows: Iterable[OutboxRow], sent: Container[RowId], known: Container[RowId], now: datetime) -> list[Change]:
    """Lists the rows that may have been sent: before they go again, or are set aside."""
    return [unknown(row, now) for row in rows if row.id in sent and row.id not in known]


def is_poison(first_error_at: float, last_success_at: float | None) -> bool:
    """Other transaction messages went through since the row was first refused: the row is the trouble, not the CSMS."""
    return last_success_at is not None and last_success_at > first_error_at


def parked_with(row: OutboxRow, queue: Iterable[OutboxRow], is_start: bool) -> list[OutboxRow]:
    """What is set aside with a poison row: a Start takes its transaction along, anything else goes alone."""
    if not is_start or row.transaction is None:
        return [row]
    return [other for other in queue if other.transaction == row.transaction]


def parked_behind(transaction: TransactionKey, parked: Iterable[OutboxRow]) -> ParkReason:
    """Why a further message of a transaction whose Start is set aside, or was, is set aside too."""
    has_start = any(row.kind is EventKind.STARTED and row.transaction == transaction for row in parked)
    return ParkReason.START_REFUSED if has_start else ParkReason.START_DROPPED


def stands_alone(row: OutboxRow) -> bool:
    """Whether nothing else needs it to be understood: samples, and messages of no transaction."""
    return row.samples or row.kind is None


def refused_alone(parked: Iterable[OutboxRow], dialect: str) -> list[OutboxRow]:
    """Of the rows set aside, those that were refused and stand alone. There may be thousands of them."""
    return [row for row in parked if row.dialect == dialect and row.parked is ParkReason.REFUSED and stands_alone(row)]


def too_many(parked: Iterable[OutboxRow], row: OutboxRow) -> list[OutboxRow]:
    """The oldest refused messages of no transaction that give way to one more of their action: at a CSMS that never
    takes it they would fill the queue in the end."""
    refused = refused_alone(parked, row.dialect)
    like = [one for one in refused if one.kind is None and one.action == row.action and one.station == row.station]
    return like[: max(0, len(like) + 1 - MOST_REFUSED)] if row.kind is None else []


def to_try_again(parked: Collection[OutboxRow], dialect: str) -> list[OutboxRow]:
    """Of the rows set aside, those that may go again by themselves on a link of this version.

    They go before all that is new. So of those that stand alone only one of each action does, the least refused: if
    the CSMS takes it, the others follow.
    """
    alone = refused_alone(parked, dialect)
    others = {row.id for row in alone} - {row.id for row in _least_refused(alone)}
    may = (row for row in parked if row.dialect == dialect and row.parked is not ParkReason.START_DROPPED)
    return [row for row in may if row.id not in others]


def _least_refused(rows: Iterable[OutboxRow]) -> Collection[OutboxRow]:
    found: dict[str, OutboxRow] = {}
    for row in rows:
        if row.errors < found.setdefault(row.action, row).errors:
            found[row.action] = row
    return found.values()


def unpark(
    chosen: Collection[OutboxRow],
    parked: Iterable[OutboxRow],
    transactions: Mapping[TransactionKey, Transaction],
    unknown: Container[RowId],
) -> list[Change]:
    """Rows set aside go again, each with the rest of its transaction: a Stop without its Start would hold the queue.

    What was refused and stands alone goes alone. A row that has been sent, or may have been (`unknown`), stays as it
    was frozen.
    """
    alone = {row.id for row in chosen if row.parked is ParkReason.REFUSED and stands_alone(row)}
    keys = {row.transaction for row in chosen if row.transaction is not None and row.id not in alone}
    ids = {row.id for row in chosen}
    changes: list[Change] = []
    for row in parked:
        if row.id in ids or row.transaction in keys:
            state = RowState.RELEASED if row.errors or row.id in unknown else RowState.QUEUED
            changes.append(Put(replaced(row, state=state, parked=None)))
    begun = [transactions[key] for key in sorted(keys) if key in transactions]
    return [*changes, *(Put(replace(own, parked=False)) for own in begun if own.parked)]
