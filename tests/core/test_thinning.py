"""The every-second rule. A queue is a word: S begin, e end, m samples, u an Updated that says more; capitals apart."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as replaced

from gateway.core.thinning import thin
from gateway.model.events import EventKind
from gateway.model.ids import MessageId, RowId, StationId, TransactionKey
from gateway.model.records import OutboxRow, RowState

ROW = OutboxRow(
    RowId(0), StationId("CP"), "1.6", MessageId("m"), "A", b"{}", "f", datetime(2026, 3, 1, tzinfo=UTC),
    EventKind.UPDATED, TransactionKey(1),
)  # fmt: skip
KINDS = {"S": EventKind.STARTED, "e": EventKind.ENDED}


def queue(word: str, transaction: int = 1) -> list[OutboxRow]:
    return [
        replaced(
            ROW, id=RowId(number), kind=KINDS.get(letter, EventKind.UPDATED), samples=letter == "m",
            transaction=TransactionKey(transaction),
        )
        for number, letter in enumerate(word, 1)
    ]  # fmt: skip


def after(rows: list[OutboxRow]) -> list[OutboxRow]:
    dropped = {row.id for row in thin(rows)}
    return [row for row in rows if row.id not in dropped]


def kept(word: str) -> str:
    letters = {row.id: letter for row, letter in zip(queue(word), word, strict=True)}
    return "".join(letters[row.id] for row in after(queue(word)))


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("", ""),
        ("Se", "Se"),
        ("Sme", "Sme"),
        ("Smme", "Smme"),
        ("Smmme", "Smme"),
        ("Smmmmmmme", "Smmmme"),  # first, 3rd, 5th and last of seven
        ("SmumumuE", "SmuumuE"),
        ("uuuu", "uuuu"),
    ],
)
def test_every_second_intermediate_goes(word: str, expected: str) -> None:
    assert kept(word) == expected


def test_the_second_of_a_queue_is_the_first_to_go() -> None:
    assert [row.id for row in thin(queue("mmmmmm"))] == [2, 4]


def test_each_transaction_is_thinned_by_itself() -> None:
    one, other = queue("mmm"), [replaced(row, id=RowId(row.id + 10)) for row in queue("mmm", transaction=2)]
    mixed = [row for pair in zip(one, other, strict=True) for row in pair]
    assert [row.id for row in thin(mixed)] == [2, 12]


def test_what_was_released_or_set_aside_or_belongs_to_no_transaction_stays() -> None:
    for change in ({"state": RowState.RELEASED}, {"state": RowState.PARKED}, {"transaction": None}):
        rows = [replaced(row, **change) for row in queue("mmmmm")]
        assert thin(rows) == []


@given(st.text("SeumM", max_size=60), st.integers(1, 12))
def test_again_and_again_leaves_first_and_last_and_all_that_is_no_sample(word: str, rounds: int) -> None:
    rows = queue(word)
    left = rows
    for _ in range(rounds):
        before, left = left, after(left)
        samples = sum(row.samples for row in before)
        assert sum(row.samples for row in left) == (samples if samples < 3 else samples - (samples - 1) // 2)
    assert [row for row in left if not row.samples] == [row for row in rows if not row.samples]
    samples_before, samples_left = ([row for row in one if row.samples] for one in (rows, left))
    assert samples_left[:1] == samples_before[:1]
    assert samples_left[-1:] == samples_before[-1:]
