"""The ledger: what each message does to the transactions, and that memory is nothing but a fold of the changes."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as replaced

from gateway.core.ledger import Ledger, Seen
from gateway.model.events import EventKind, TransactionMessage
from gateway.model.ids import MessageId, RowId, StationId, TransactionKey
from gateway.model.records import Change, OutboxRow, Put
from gateway.model.token import IdToken
from gateway.model.transaction import Transaction, TransactionState

CP = StationId("CP-1")
OTHER = StationId("CP-2")
NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
RUNNING, ENDED, UNCLOSED = TransactionState.RUNNING, TransactionState.ENDED, TransactionState.UNCLOSED


def start(fingerprint: str = "s1", tx: str | None = None, evse: int | None = 1, token: str = "T") -> TransactionMessage:
    return TransactionMessage(EventKind.STARTED, fingerprint, tx, evse, IdToken(token), "2026-03-01T08:00:00Z", 100)


def update(fingerprint: str, tx: str | None, token: str | None = None) -> TransactionMessage:
    return TransactionMessage(EventKind.UPDATED, fingerprint, tx, 1, IdToken(token) if token else None)


def stop(fingerprint: str, tx: str | None, meter: int = 500) -> TransactionMessage:
    return TransactionMessage(
        EventKind.ENDED, fingerprint, tx, timestamp="2026-03-01T09:00:00Z", meter_wh=meter, stopped_reason="Local"
    )


class _Book:
    """A ledger with its rows: books as the flow does, and keeps every change for the fold."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.changes: list[Change] = []
        self.rows = 0

    def apply(self, changes: list[Change]) -> None:
        for change in changes:
            assert isinstance(change, Put)
            if isinstance(change.record, Transaction):
                self.ledger.put_transaction(change.record)
            elif isinstance(change.record, OutboxRow):
                self.ledger.put_row(change.record)
            self.changes.append(change)

    def book(
        self, message: TransactionMessage, station: StationId = CP, boot: int = 1
    ) -> tuple[Transaction | None, OutboxRow]:
        booked, changes = self.ledger.book(station, boot, message, NOW)
        self.rows += 1
        row = OutboxRow(RowId(self.rows), station, "1.6", MessageId("m"), "A", b"{}", message.fingerprint, NOW)
        row = replaced(row, kind=message.kind, transaction=booked.key if booked else None)
        self.apply([*changes, Put(row)])
        return (self.ledger.transactions[booked.key] if booked else None), row

    def begin(self, *, station: StationId = CP, boot: int = 1, **named: Any) -> Transaction:
        booked, _ = self.book(start(**named), station, boot)
        assert booked
        return booked

    def put(self, transaction: Transaction) -> Transaction:
        self.apply([Put(transaction)])
        return transaction

    def state(self, transaction: Transaction) -> TransactionState:
        return self.ledger.transactions[transaction.key].state


@pytest.fixture
def book() -> _Book:
    return _Book()


# -- begin, go on, end ----------------------------------------------------------------------------------------------


def test_a_start_is_booked_whole(book: _Book) -> None:
    begun = book.begin(fingerprint="s1", evse=2, token="Tag")
    assert begun == Transaction(
        TransactionKey(1),
        CP,
        1,
        2,
        "s1",
        token="Tag",
        token_fingerprint="s1",
        started="2026-03-01T08:00:00Z",
        meter_start_wh=100,
        received=NOW,
    )
    assert book.ledger.running(CP) == [begun]
    assert list(book.ledger.all_running()) == [begun]
    assert book.ledger.running(OTHER) == []


def test_deciding_alters_nothing(book: _Book) -> None:
    booked, changes = book.ledger.book(CP, 1, start(tx="A"), NOW)
    assert booked
    assert changes == [Put(booked)]
    assert (book.ledger.transactions, book.ledger.running(CP)) == ({}, [])
    assert book.ledger.by_station_id(CP, "A") is None
    assert not book.ledger.is_used(CP, "A")


def test_two_turns_decided_before_either_is_applied_take_two_keys(book: _Book) -> None:
    first, _ = book.ledger.book(CP, 1, start("s1"), NOW)
    second, _ = book.ledger.book(OTHER, 1, start("s1"), NOW)
    assert first
    assert second
    assert first.key != second.key


def test_an_update_belongs_to_its_transaction_and_changes_nothing(book: _Book) -> None:
    begun = book.begin(tx="A")
    booked, changes = book.ledger.book(CP, 1, update("u1", "A"), NOW)
    assert (booked, changes) == (begun, [])


def test_an_update_may_bring_the_token_that_was_missing(book: _Book) -> None:
    booked, _ = book.book(replaced(start(tx="A"), token=None))
    assert booked is not None
    assert booked.token is None
    book.book(update("u1", "A", token="T"))
    book.book(update("u2", "A", token="SECOND"))
    assert book.ledger.transactions[booked.key].token == "T"


def test_a_stop_ends_its_transaction(book: _Book) -> None:
    begun = book.begin(tx="A")
    ended, _ = book.book(stop("e1", "A"))
    assert ended == replace(begun, state=ENDED, ended="2026-03-01T09:00:00Z", meter_stop_wh=500, stopped_reason="Local")
    assert book.ledger.running(CP) == []


def test_transactions_of_two_stations_with_one_id_are_two(book: _Book) -> None:
    here, there = book.begin(tx="7"), book.begin(tx="7", station=OTHER)
    book.book(stop("e1", "7"))
    assert (book.state(here), book.state(there)) == (ENDED, RUNNING)


# -- unclosed -------------------------------------------------------------------------------------------------------


def test_a_new_start_on_the_connector_leaves_the_old_one_unclosed(book: _Book) -> None:
    first, elsewhere = book.begin(fingerprint="1", tx="A", evse=1), book.begin(fingerprint="2", tx="B", evse=2)
    newer = book.begin(fingerprint="3", tx="C", evse=1)
    assert [book.state(t) for t in (first, elsewhere, newer)] == [UNCLOSED, RUNNING, RUNNING]


def test_a_start_without_evse_closes_nobody(book: _Book) -> None:
    first = book.begin(fingerprint="1", tx="A", evse=None)
    book.begin(fingerprint="2", tx="B", evse=None)
    assert book.state(first) is RUNNING


def test_a_connector_that_is_free_leaves_its_transaction_unclosed(book: _Book) -> None:
    first, second = book.begin(fingerprint="1", tx="A", evse=1), book.begin(fingerprint="2", tx="B", evse=2)
    book.apply(book.ledger.connector_is_free(CP, 1))
    assert [book.state(t) for t in (first, second)] == [UNCLOSED, RUNNING]
    assert book.ledger.connector_is_free(CP, 1) == []


def test_a_connector_that_is_free_after_a_boot_has_nothing_from_before(book: _Book) -> None:
    """The gateway was away too, and has not seen it become free."""
    old, new = book.begin(fingerprint="1", tx="A", evse=1, boot=1), book.begin(fingerprint="2", tx="B", evse=2, boot=2)
    for evse in (1, 2):
        book.apply(book.ledger.connector_is_free(CP, evse, before_boot=2))
    assert [book.state(t) for t in (old, new)] == [UNCLOSED, RUNNING]


def test_a_late_stop_still_lands_on_an_unclosed_transaction(book: _Book) -> None:
    first = book.begin(fingerprint="1", tx="A")
    newer = book.begin(fingerprint="2", tx="B")
    booked, _ = book.book(stop("e", "A"))
    assert booked is not None
    assert booked.key == first.key
    assert [book.state(t) for t in (first, newer)] == [ENDED, RUNNING]


# -- ids that say little --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own_id", ["0", "-1", "", None])
@pytest.mark.parametrize("make", [update, stop])
def test_an_id_that_says_nothing_ends_nobody(
    book: _Book, make: Callable[[str, str | None], TransactionMessage], own_id: str | None
) -> None:
    begun = book.begin(tx="A")
    booked, row = book.book(make("x", own_id))
    assert booked is None
    assert row.transaction is None
    assert book.state(begun) is RUNNING


@pytest.mark.parametrize("own_id", ["0", "-1"])
def test_an_id_that_says_nothing_is_good_once_the_station_was_given_it(book: _Book, own_id: str) -> None:
    begun = book.begin(tx=own_id)
    booked, _ = book.book(stop("e", own_id))
    assert booked is not None
    assert booked.key == begun.key
    assert booked.state is ENDED


def test_a_transaction_older_than_the_gateway_is_booked_from_here_on(book: _Book) -> None:
    heard, _ = book.book(update("u1", "999", token="T"))
    again, _ = book.book(update("u2", "999"))
    assert heard is not None
    assert again is not None
    assert (heard.key, heard.state, heard.token) == (again.key, RUNNING, "T")
    ended, _ = book.book(stop("e", "999"))
    assert ended is not None
    assert (ended.key, ended.state) == (heard.key, ENDED)
    assert len(book.ledger.transactions) == 1


def test_of_transactions_without_a_begin_one_runs_at_an_evse(book: _Book) -> None:
    """A station that makes up an id for each of its samples would have sessions without end, kept for ever."""
    begun = book.begin(tx="A", evse=1)
    for number in range(3):
        book.book(update(f"u{number}", f"99{number}"))
    assert [one.station_tx_id for one in book.ledger.running(CP)] == ["A", "992"]
    assert book.state(begun) is RUNNING
    late, _ = book.book(stop("e", "990"))
    assert late is not None
    assert late.state is ENDED


def test_a_lone_stop_is_booked_as_ended(book: _Book) -> None:
    booked, _ = book.book(stop("e", "999"))
    assert booked is not None
    assert (book.state(booked), book.ledger.running(CP)) == (ENDED, [])


# -- retries --------------------------------------------------------------------------------------------------------


def test_a_start_said_twice_in_one_boot_is_one_also_after_its_end(book: _Book) -> None:
    begun, row = book.book(start("s1"))
    assert begun is not None
    seen = Seen(row.id, begun.key)
    assert book.ledger.find_retry(CP, 1, start("s1")) == seen
    book.put(replace(begun, state=ENDED))
    assert book.ledger.find_retry(CP, 1, start("s1")) == seen


def test_a_start_said_again_after_a_boot_is_one_only_until_its_end(book: _Book) -> None:
    begun, row = book.book(start("s1"))
    assert begun is not None
    for state in (RUNNING, UNCLOSED):
        book.put(replace(begun, state=state))
        assert book.ledger.find_retry(CP, 2, start("s1")) == Seen(row.id, begun.key)
    book.put(replace(begun, state=ENDED))
    assert book.ledger.find_retry(CP, 2, start("s1")) is None


def test_what_another_station_says_is_no_retry(book: _Book) -> None:
    book.begin(fingerprint="s1")
    assert book.ledger.find_retry(OTHER, 1, start("s1")) is None


@pytest.mark.parametrize("message", [start("x", tx="A"), update("x", "A"), stop("x", "A")])
def test_a_message_with_its_own_id_is_a_retry_in_any_boot(book: _Book, message: TransactionMessage) -> None:
    booked, row = book.book(message)
    assert booked is not None
    book.put(replace(booked, state=ENDED))
    assert book.ledger.find_retry(CP, 5, message) == Seen(row.id, booked.key)


def test_a_started_that_differs_opens_a_transaction_of_its_own(book: _Book) -> None:
    first, second = book.begin(fingerprint="1", tx="A"), book.begin(fingerprint="2", tx="A")
    assert first.key != second.key
    assert book.ledger.by_station_id(CP, "A") == second
    assert book.state(first) is UNCLOSED


def test_a_forgotten_row_is_no_longer_the_first(book: _Book) -> None:
    _, row = book.book(update("u", "A"))
    book.ledger.forget_row(replaced(row, id=RowId(99)))
    assert book.ledger.find_seen(CP, "u") is not None
    book.ledger.forget_row(row)
    assert book.ledger.find_seen(CP, "u") is None


def test_a_change_of_an_older_row_does_not_hide_the_newer_booking(book: _Book) -> None:
    """The station's clock restarted: two sessions began with the same words; the first one's row is late."""
    first, old_row = book.book(start("same"), boot=1)
    assert first is not None
    book.put(replace(first, state=ENDED))
    second, _ = book.book(start("same"), boot=2)
    assert second is not None
    book.apply([Put(old_row)])
    seen = book.ledger.find_retry(CP, 2, start("same"))
    assert seen is not None
    assert seen.transaction == second.key


# -- the CSMS's ids -------------------------------------------------------------------------------------------------


def test_a_reused_upstream_id_means_the_newest_running(book: _Book) -> None:
    made = [replace(book.begin(fingerprint=f"{n}", tx=f"L{n}", evse=n), upstream_tx_id=7) for n in range(3)]
    for transaction in made:
        book.put(transaction)
    assert book.ledger.by_upstream_id(CP, 7) == made[2]
    book.put(replace(made[2], state=ENDED))
    assert book.ledger.by_upstream_id(CP, 7) == made[1]
    book.put(replace(made[0], state=ENDED))
    book.put(replace(made[1], state=ENDED))
    newest = book.ledger.by_upstream_id(CP, 7)
    assert newest is not None
    assert newest.key == made[2].key
    assert book.ledger.by_upstream_id(OTHER, 7) is None
    assert book.ledger.by_upstream_id(CP, 8) is None


@pytest.mark.parametrize("upstream", [0, -1, 2**63 - 1, -(2**63)])
def test_any_upstream_id_is_found_again(book: _Book, upstream: int) -> None:
    begun = book.put(replace(book.begin(tx="A"), upstream_tx_id=upstream))
    assert book.ledger.by_upstream_id(CP, upstream) == begun


def test_the_newest_counts_also_if_its_id_came_first(book: _Book) -> None:
    """The older Start was set aside and answered later: the order of the answers is not the order of the sessions."""
    old, new = book.begin(fingerprint="1", tx="A", evse=1), book.begin(fingerprint="2", tx="B", evse=2)
    book.put(replace(new, upstream_tx_id=7))
    book.put(replace(old, upstream_tx_id=7))
    found = book.ledger.by_upstream_id(CP, 7)
    assert found is not None
    assert found.key == new.key


def test_a_change_of_the_older_does_not_take_the_id_from_the_newer(book: _Book) -> None:
    """2.x: a used id began again; then a late verdict or a parking alters the older transaction."""
    old, new = book.begin(fingerprint="1", tx="A", evse=1), book.begin(fingerprint="2", tx="A", evse=2)
    book.put(replace(old, late_status="Blocked"))
    assert book.ledger.by_station_id(CP, "A") == new


def test_a_forgotten_transaction_keeps_its_id_used(book: _Book) -> None:
    old = book.put(replace(book.begin(tx="A"), state=ENDED, upstream_tx_id=7))
    book.ledger.forget(old)
    assert book.ledger.transactions == {}
    assert book.ledger.by_station_id(CP, "A") is None
    assert book.ledger.by_upstream_id(CP, 7) is None
    assert book.ledger.is_used(CP, "A")
    assert book.begin(tx="B").key == 2


def test_forgetting_the_older_leaves_the_newer_of_the_same_ids(book: _Book) -> None:
    old = book.put(replace(book.begin(fingerprint="1", tx="A"), state=ENDED, upstream_tx_id=7))
    new = book.put(replace(book.begin(fingerprint="2", tx="A"), upstream_tx_id=7))
    book.ledger.forget(old)
    assert book.ledger.by_station_id(CP, "A") == new
    assert book.ledger.by_upstream_id(CP, 7) == new


# -- memory is a fold -----------------------------------------------------------------------------------------------

_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["start", "update", "stop", "bind", "free", "late", "deliver", "reboot", "later"]),
        st.sampled_from([CP, OTHER]),
        st.integers(0, 3),
        st.integers(1, 2),
    ),
    max_size=40,
)


def _play(book: _Book, steps: list[tuple[str, StationId, int, int]]) -> None:
    boots = {CP: 1, OTHER: 1}
    clock = 0
    rows: list[OutboxRow] = []

    def say(message: TransactionMessage, station: StationId) -> None:
        if book.ledger.find_retry(station, boots[station], message) is None:
            rows.append(book.book(message, station, boots[station])[1])

    for what, station, number, evse in steps:
        of_station = [t for t in book.ledger.transactions.values() if t.station == station]
        some = of_station[number % len(of_station)] if of_station else None
        match what:
            case "start":
                own_id = None if station == CP else f"{number}"
                say(start(f"start {number} {evse} {clock}", own_id, evse), station)
            case "update":
                say(update(f"update {number} {clock}", f"{number}"), station)
            case "stop":
                say(stop(f"stop {number}", f"{number}", meter=number), station)
            case "bind" | "late" if some:
                _hear(book, what, some, number)
            case "free":
                book.apply(book.ledger.connector_is_free(station, evse))
            case "deliver" if rows:
                book.apply([Put(rows[number % len(rows)])])
            case "reboot":
                boots[station] += 1
                clock = 0
            case "later":
                clock += 1


def _hear(book: _Book, what: str, transaction: Transaction, number: int) -> None:
    """What the CSMS says of a transaction, in any order."""
    if what == "late":
        book.put(replace(transaction, late_status="Blocked", deauthorized=True))
    elif transaction.upstream_tx_id is None:
        own_id = transaction.station_tx_id or f"{transaction.key}"
        book.put(replace(transaction, upstream_tx_id=number, station_tx_id=own_id))


def _all(ledger: Ledger) -> dict[str, Any]:
    """Everything a flow could ask."""
    stations, ids = (CP, OTHER), [f"{n}" for n in range(50)]
    return {
        "transactions": ledger.transactions,
        "running": {s: ledger.running(s) for s in stations},
        "by_station_id": {(s, i): ledger.by_station_id(s, i) for s in stations for i in ids},
        "by_upstream_id": {(s, n): ledger.by_upstream_id(s, n) for s in stations for n in range(5)},
        "used": {(s, i): ledger.is_used(s, i) for s in stations for i in ids},
        "seen": {
            (s, f): ledger.find_seen(s, f)
            for s in stations
            for f in [f"start {n} {e} {c}" for n in range(4) for e in (1, 2) for c in range(4)]
            + [f"{w} {n} {c}" for w in ("update",) for n in range(4) for c in range(4)]
            + [f"stop {n}" for n in range(4)]
        },
    }


@settings(deadline=None, max_examples=60)
@given(_STEPS)
def test_folding_the_changes_gives_the_same_ledger(steps: list[tuple[str, StationId, int, int]]) -> None:
    book, again = _Book(), _Book()
    _play(book, steps)
    again.apply(book.changes)
    assert _all(again.ledger) == _all(book.ledger)
    assert again.ledger.book(CP, 1, start(), NOW)[0] == book.ledger.book(CP, 1, start(), NOW)[0]


@settings(deadline=None)
@example([("start", OTHER, 1, 1), ("start", OTHER, 1, 2), ("start", OTHER, 0, 1)])
@given(_STEPS)
def test_a_restart_finds_what_memory_held(steps: list[tuple[str, StationId, int, int]]) -> None:
    """The store holds the newest of each record, and loads transactions by key and rows by id."""
    book, again = _Book(), Ledger()
    _play(book, steps)
    records = [change.record for change in book.changes]
    for transaction in sorted({r.key: r for r in records if isinstance(r, Transaction)}.values(), key=lambda r: r.key):
        again.put_transaction(transaction)
    for row in sorted({r.id: r for r in records if isinstance(r, OutboxRow)}.values(), key=lambda r: r.id):
        again.put_row(row)
    assert _all(again) == _all(book.ledger)


@settings(deadline=None, max_examples=60)
@given(_STEPS)
def test_the_books_add_up(steps: list[tuple[str, StationId, int, int]]) -> None:
    book = _Book()
    _play(book, steps)
    ledger = book.ledger
    running = [t for t in ledger.transactions.values() if t.state is RUNNING]
    assert sorted(t.key for t in ledger.all_running()) == sorted(t.key for t in running)
    for station in (CP, OTHER):
        own = ledger.running(station)
        assert [t.key for t in own] == sorted(t.key for t in own)
        begun = [t.evse for t in own if t.start_fingerprint]
        assert len(begun) == len(set(begun))
    assert all(key == t.key for key, t in ledger.transactions.items())


def test_times_of_old_records_do_not_matter(book: _Book) -> None:
    """Order is that of keys, never of clocks: a station's or our own may be years off."""
    future = replace(book.begin(fingerprint="1", tx="A", evse=1), received=NOW + timedelta(days=9999), upstream_tx_id=7)
    book.put(future)
    newer = book.put(replace(book.begin(fingerprint="2", tx="B", evse=2), upstream_tx_id=7))
    assert book.ledger.by_upstream_id(CP, 7) == newer


def test_where_a_transaction_charges_is_learned_from_a_later_message(book: _Book) -> None:
    """In 2.x it may begin with a card, before anybody knows at which EVSE."""
    old, first = book.begin(fingerprint="1", tx="A", evse=1), book.begin(fingerprint="2", tx="B", evse=None)
    booked, _ = book.book(update("u", "B"))
    assert booked
    assert (booked.key, booked.evse) == (first.key, 1)
    assert book.state(old) is UNCLOSED
    again, changes = book.ledger.book(CP, 1, update("v", "B"), NOW)
    assert (again, changes) == (booked, []), "once"
