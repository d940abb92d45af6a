"""Store-and-forward of one station: what is sent next, what waits, what is poison.

Rows go strictly in order. A row is released (its id, bytes and bound ids frozen, by a commit) before it is sent, so
that a repeat after a crash is identical. Being offline is no failed attempt; only a CALLERROR counts against a row.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice, takewhile

from gateway.model.ids import RowId
from gateway.model.records import OutboxRow, RowState

WINDOW = 16
"""Rows released by one commit during replay."""

ERRORS_TO_POISON = 3
ERROR_INTERVAL_S = 60.0
TOKEN_WAIT_S = 30.0


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
    """A row was just refused too often: `probe` is the next transaction's first message, None if there is none."""

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
        probe = next((row for row in rows if row.transaction != head.transaction), None)
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


def retry_delay_s(errors: int) -> float:
    """Wait before the next send: interval x number of earlier sends (OCPP 1.6 ed. 2, 3.7.1)."""
    return ERROR_INTERVAL_S * errors


def is_poison(first_error_at: float, last_success_at: float | None) -> bool:
    """Other transaction messages went through since the row was first refused: the row is the trouble, not the CSMS."""
    return last_success_at is not None and last_success_at > first_error_at


def before_parking(row: OutboxRow) -> RowState:
    """A row that was refused has been sent: it stays as it was frozen."""
    return RowState.RELEASED if row.errors else RowState.QUEUED


def parked_with(row: OutboxRow, queue: Iterable[OutboxRow], is_start: bool) -> list[OutboxRow]:
    """What is set aside with a poison row: a Start takes its transaction along, anything else goes alone."""
    if not is_start or row.transaction is None:
        return [row]
    return [other for other in queue if other.transaction == row.transaction]
