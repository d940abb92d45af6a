"""The outbox: what is sent next. Rows are named by number; `1s` is a Start of transaction 1 that is queued."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace as replaced

from gateway.core.outbox import (
    WINDOW,
    Judge,
    Release,
    RetryRule,
    Send,
    Wait,
    is_poison,
    next_step,
    parked_behind,
    parked_with,
    to_try_again,
    unpark,
)
from gateway.model.events import EventKind
from gateway.model.ids import MessageId, RowId, StationId, TransactionKey
from gateway.model.reasons import ParkReason
from gateway.model.records import OutboxRow, Put, RowState
from gateway.model.transaction import Transaction

NOW = 1000.0
Q, R = RowState.QUEUED, RowState.RELEASED


def row(number: int, state: RowState = Q, transaction: int | None = 1, errors: int = 0) -> OutboxRow:
    return OutboxRow(
        RowId(number), StationId("CP"), "1.6", MessageId(f"m{number}"), "MeterValues", b"{}", f"f{number}",
        datetime(2026, 3, 1, tzinfo=UTC), EventKind.UPDATED,
        None if transaction is None else TransactionKey(transaction), state=state, errors=errors,
    )  # fmt: skip


def step(
    *queue: OutboxRow,
    uncommitted: set[int] | None = None,
    lazy: set[int] | None = None,
    unbindable: set[int] | None = None,
    token: dict[int, float] | None = None,
    retry_at: dict[int, float] | None = None,
    accused: set[int] | None = None,
    now: float = NOW,
) -> Send | Release | Wait | Judge:
    return next_step(
        queue,
        now=now,
        uncommitted={RowId(n) for n in uncommitted or ()},
        lazy={RowId(n) for n in lazy or ()},
        is_bindable=lambda r: r.id not in (unbindable or ()),
        waits_for_token=lambda r: (token or {}).get(r.id),
        retry_at={RowId(n): at for n, at in (retry_at or {}).items()},
        accused={RowId(n) for n in accused or ()},
    )


# -- send -----------------------------------------------------------------------------------------------------------


def test_an_empty_queue_waits_for_something_to_happen() -> None:
    assert step() == Wait(None)


def test_a_released_head_is_sent() -> None:
    assert step(row(1, R), row(2, R)) == Send(row(1, R))


def test_a_lazy_head_is_sent_without_a_commit() -> None:
    assert step(row(1), lazy={1}) == Send(row(1))


def test_nothing_overtakes_the_head() -> None:
    assert step(row(1, R), row(2, R), uncommitted={1}) == Wait(None)
    assert step(row(1, R), row(2, R), retry_at={1: NOW + 5}) == Wait(NOW + 5)
    assert step(row(1), row(2, R), unbindable={1}) == Wait(None)


def test_an_uncommitted_head_is_never_sent_not_even_a_lazy_one() -> None:
    assert step(row(1, R), uncommitted={1}, lazy={1}) == Wait(None)
    assert step(row(1), uncommitted={1}) == Wait(None)


def test_a_released_head_goes_whatever_is_known_of_its_ids_now() -> None:
    """Its ids were frozen; asking again would stop a repeat after a crash."""
    assert step(row(1, R), unbindable={1}) == Send(row(1, R))


# -- release --------------------------------------------------------------------------------------------------------


def test_queued_rows_are_released_in_one_window() -> None:
    rows = [row(number) for number in range(1, WINDOW + 5)]
    assert step(*rows) == Release(tuple(rows[:WINDOW]))


@pytest.mark.parametrize(
    ("second", "more"),
    [
        (row(2), {"uncommitted": {2}}),
        (row(2), {"unbindable": {2}}),
        (row(2, R), {}),
    ],
)
def test_a_window_ends_before_what_can_t_be_released(second: OutboxRow, more: dict[str, set[int]]) -> None:
    assert step(row(1), second, row(3), **more) == Release((row(1),))  # type: ignore[arg-type]


def test_a_window_spans_transactions_and_messages_of_none() -> None:
    rows = [row(1), row(2, transaction=None), row(3, transaction=2)]
    assert step(*rows) == Release(tuple(rows))


# -- wait -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [Q, R])
def test_a_refused_row_waits_its_time(state: RowState) -> None:
    refused = row(1, state, errors=1)
    assert step(refused, retry_at={1: NOW + 0.1}) == Wait(NOW + 0.1)
    expected = Release((refused,)) if state is Q else Send(refused)
    assert step(refused, retry_at={1: NOW}) == expected


def test_a_start_waits_for_its_token_elsewhere() -> None:
    assert step(row(1), token={1: NOW + 3}) == Wait(NOW + 3)
    assert step(row(1), token={1: NOW}) == Release((row(1),))


def test_the_longer_wait_counts() -> None:
    assert step(row(1), token={1: NOW + 3}, retry_at={1: NOW + 2}) == Wait(NOW + 3)
    assert step(row(1), token={1: NOW + 2}, retry_at={1: NOW + 3}) == Wait(NOW + 3)


def test_waits_of_other_rows_do_not_hold_the_head() -> None:
    assert step(row(1, R), row(2, R), token={2: NOW + 9}, retry_at={2: NOW + 9}) == Send(row(1, R))


def test_a_window_ends_before_a_start_that_waits_for_its_token() -> None:
    """Released, it would be sent as soon as it is the head: nothing asks for its token any more."""
    released = step(row(1), row(2), row(3), token={2: NOW + 9})
    assert released == Release((row(1),))


# -- judge ----------------------------------------------------------------------------------------------------------


def test_an_accused_row_is_judged_at_once() -> None:
    head = row(1, R, errors=RetryRule().attempts)
    assert step(head, accused={1}) == Judge(head, None)
    assert step(head, accused={1}, retry_at={1: NOW + 180}, token={1: NOW + 9}) == Judge(head, None)
    assert step(head, accused={1}, uncommitted={1}) == Wait(None)


@pytest.mark.parametrize("errors", [1, RetryRule().attempts - 1, RetryRule().attempts, 50])
def test_a_row_that_is_not_accused_is_sent_however_often_it_was_refused(errors: int) -> None:
    """The CSMS may be well again, or the operator may have mended it: without a send nobody finds out."""
    assert step(row(1, R, errors=errors)) == Send(row(1, R, errors=errors))


def test_only_the_head_is_judged() -> None:
    assert step(row(1, R), row(2, R, errors=3), accused={2}) == Send(row(1, R))


def test_the_probe_is_the_next_transaction_s_first_message() -> None:
    head = row(1, R, errors=3)
    rows = [row(2), row(3), row(4, transaction=2), row(5, transaction=2), row(6, transaction=3)]
    assert step(head, *rows, accused={1}) == Judge(head, rows[2])
    later = [replaced(one, dialect="2.0.1") for one in rows[:4]]
    assert step(head, *later, rows[4], accused={1}) == Judge(head, rows[4])


def test_a_probe_that_is_not_on_disk_is_none() -> None:
    head = row(1, R, errors=3)
    rows = [row(2, transaction=2), row(3, transaction=3)]
    assert step(head, *rows, accused={1}, uncommitted={2}) == Judge(head, None)


def test_messages_of_no_transaction_are_probed_and_do_not_probe() -> None:
    """Only transaction messages tell a CSMS that is sick from one that is not."""
    alone = row(1, R, transaction=None, errors=3)
    rows = [row(2, transaction=None), row(3, transaction=4)]
    assert step(alone, *rows, accused={1}) == Judge(alone, row(3, transaction=4))
    head = row(1, R, errors=3)
    assert step(head, row(2, transaction=None), accused={1}) == Judge(head, None)


# -- poison ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("errors", "seconds"), [(1, 60), (2, 120), (3, 180), (4, 180), (50, 180)])
def test_the_pause_grows_with_the_sends_until_the_attempts_are_used_up(errors: int, seconds: float) -> None:
    assert RetryRule().delay_s(errors) == seconds


def test_a_version_may_have_attempts_and_an_interval_of_its_own() -> None:
    assert [RetryRule(attempts=2, interval_s=5).delay_s(errors) for errors in (1, 2, 3)] == [5, 10, 10]


@pytest.mark.parametrize(
    ("first_error_at", "last_success_at", "expected"),
    [(10.0, None, False), (10.0, 9.9, False), (10.0, 10.0, False), (10.0, 10.1, True)],
)
def test_only_success_of_others_since_the_first_error_makes_poison(
    first_error_at: float, last_success_at: float | None, expected: bool
) -> None:
    assert is_poison(first_error_at, last_success_at) is expected


def test_a_start_takes_its_transaction_along_and_anything_else_goes_alone() -> None:
    rows = [row(1), row(2, transaction=2), row(3), row(4, transaction=None)]
    assert parked_with(rows[0], rows, is_start=True) == [rows[0], rows[2]]
    assert parked_with(rows[0], rows, is_start=False) == [rows[0]]
    alone = replaced(rows[3], kind=None)
    assert parked_with(alone, rows, is_start=True) == [alone]


# -- set aside and tried again --------------------------------------------------------------------------------------


def parked(
    number: int, transaction: int | None = 1, errors: int = 0, why: ParkReason = ParkReason.REFUSED
) -> OutboxRow:
    return replaced(row(number, RowState.PARKED, transaction, errors), parked=why)


def test_a_row_goes_again_with_all_of_its_transaction_and_with_nothing_else() -> None:
    rows = [parked(1, errors=3), parked(2), parked(3, transaction=2), parked(4, transaction=None)]
    begun = {TransactionKey(1): Transaction(TransactionKey(1), StationId("CP"), 1, 1, "s", parked=True)}
    changes = unpark([rows[1]], rows, begun, unknown=set())
    assert changes == [
        Put(row(1, R, errors=3)),
        Put(row(2, Q)),
        Put(replace(begun[TransactionKey(1)], parked=False)),
    ]
    assert unpark([rows[3]], rows, begun, unknown=set()) == [Put(row(4, Q, transaction=None))]


def test_what_may_have_been_sent_stays_frozen() -> None:
    rows = [parked(1), parked(2)]
    assert unpark(rows, rows, {}, unknown={RowId(2)}) == [Put(row(1, Q)), Put(row(2, R))]


def test_what_follows_a_dropped_start_waits_for_the_operator() -> None:
    start = replaced(parked(1), kind=EventKind.STARTED)
    assert parked_behind(TransactionKey(1), [start]) is ParkReason.START_REFUSED
    assert parked_behind(TransactionKey(2), [start]) is ParkReason.START_DROPPED
    rows = [start, parked(2, why=ParkReason.START_DROPPED), replaced(parked(3), dialect="2.0.1")]
    assert to_try_again(rows, "1.6") == [start]
