"""What is known of a token when it is shown, put together from all that keeps it."""

from datetime import UTC, datetime, timedelta

from gateway.core.authorize import AuthorizationOptions
from gateway.core.ledger import Ledger
from gateway.core.tokens import Shown, Tokens
from gateway.model.events import EventKind, TransactionMessage
from gateway.model.ids import StationId, TransactionKey
from gateway.model.local_list import ListEntry, ListUpdate
from gateway.model.records import Drop, Put, RemoteStart, Reservation, TokenRecord
from gateway.model.token import AuthorizationStatus, IdToken, Tag, Verdict
from gateway.model.transaction import Transaction, TransactionState

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
CP, OTHER = StationId("CP"), StationId("CP-2")
TAG = IdToken("Tag")
OPTIONS = AuthorizationOptions()


def running(
    key: int, station: StationId = CP, evse: int = 1, token: str = "TAG", status: str | None = None
) -> Transaction:
    return Transaction(TransactionKey(key), station, 1, evse, f"s{key}", token=token, status=status)


class _Book:
    def __init__(self, *transactions: Transaction) -> None:
        self.tokens = Tokens()
        self.ledger = Ledger()
        for transaction in transactions:
            self.ledger.put_transaction(transaction)

    def is_charging(self, shown: Shown) -> bool:
        return self.tokens.facts(shown, self.ledger, OPTIONS, NOW).is_charging


def test_a_token_charges_wherever_at_the_site_it_does() -> None:
    mine = running(1)
    assert _Book(mine).is_charging(Shown(OTHER, TAG, is_start=True))
    assert not _Book(mine).is_charging(Shown(CP, TAG, is_start=True, own=mine)), "the start that is being decided"
    assert _Book(mine, running(2, OTHER)).is_charging(Shown(CP, TAG, is_start=True, own=mine))
    assert not _Book(running(1, token="else")).is_charging(Shown(OTHER, TAG))


def test_a_session_that_was_refused_or_is_over_is_none() -> None:
    assert not _Book(running(1, status="Blocked")).is_charging(Shown(OTHER, TAG))
    assert _Book(running(1, status="Accepted")).is_charging(Shown(OTHER, TAG))
    for state in (TransactionState.ENDED, TransactionState.UNCLOSED):
        over = Transaction(TransactionKey(1), CP, 1, 1, "s", token="TAG", state=state)
        assert not _Book(over).is_charging(Shown(OTHER, TAG))


def test_a_transaction_that_has_just_ended_is_one_the_token_may_have_stopped() -> None:
    ended = Transaction(TransactionKey(1), CP, 1, 1, "s", token="else", state=TransactionState.ENDED)
    book = _Book(ended)
    assert list(book.tokens.facts(Shown(CP, TAG, own=ended), book.ledger, OPTIONS, NOW).running) == [ended]
    assert list(book.tokens.facts(Shown(CP, TAG), book.ledger, OPTIONS, NOW).running) == []


def test_the_group_of_a_transaction_is_that_of_its_token() -> None:
    """The CSMS accepted it itself, so the ledger has no verdict of ours."""
    book = _Book(running(1, token="Card"))
    book.tokens.apply(TokenRecord("card", "Accepted", "FLEET", None, NOW, NOW), True)
    (found,) = book.tokens.facts(Shown(CP, TAG), book.ledger, OPTIONS, NOW).running
    assert found.group == "FLEET"
    entry = ListEntry(IdToken("CARD"), Verdict(AuthorizationStatus.ACCEPTED, "STAFF"))
    for change in book.tokens.lists.give(CP, ListUpdate(1, True, (entry,)), NOW)[1]:
        assert not isinstance(change.record, Transaction)
        book.tokens.apply(change.record, True)  # type: ignore[arg-type]  # a list and its station's state
    (found,) = book.tokens.facts(Shown(CP, TAG), book.ledger, OPTIONS, NOW).running
    assert found.group == "STAFF"


def test_all_that_is_known_comes_together() -> None:
    book = _Book()
    start, record = RemoteStart(CP, "tag", NOW), TokenRecord("tag", "Blocked", None, None, NOW, NOW)
    kept = Reservation(CP, 1, 2, "other", None, NOW + timedelta(hours=1))
    for known in (start, record, kept):
        book.tokens.apply(known, True)
    own = {"tag": Tag(TAG)}
    facts = book.tokens.facts(
        Shown(CP, TAG, evse=2, evses=frozenset({1, 2})), book.ledger, AuthorizationOptions(tags=own), NOW
    )
    assert (facts.tag, facts.cached, facts.remote_start, facts.reservation) == (Tag(TAG), record, start, kept)
    for known in (start, record, kept):
        book.tokens.apply(known, False)
    facts = book.tokens.facts(Shown(CP, TAG, evse=2), book.ledger, OPTIONS, NOW)
    assert (facts.tag, facts.cached, facts.remote_start, facts.reservation) == (None, None, None, None)


def test_a_start_uses_up_what_was_meant_for_it() -> None:
    book = _Book()
    start, kept = RemoteStart(CP, "tag", NOW), Reservation(CP, 5, 1, "tag", None, NOW + timedelta(hours=1))
    named = Reservation(CP, 6, None, "other", None, NOW + timedelta(hours=1))
    for known in (start, kept, named):
        book.tokens.apply(known, True)

    def used(kind: EventKind, reservation: int | None = None) -> list[object]:
        message = TransactionMessage(kind, "f", evse=1, token=TAG, reservation=reservation)
        return list(book.tokens.used_up(CP, message))

    assert used(EventKind.STARTED) == [Drop(kept), Drop(start)]
    assert used(EventKind.STARTED, reservation=6) == [Drop(named), Drop(start)]
    assert used(EventKind.UPDATED, reservation=6) == [Drop(named)]
    assert used(EventKind.UPDATED) == used(EventKind.ENDED) == []
    assert book.tokens.used_up(CP, TransactionMessage(EventKind.STARTED, "f", evse=1)) == []


def test_a_refusal_ends_what_a_remote_start_promised_there() -> None:
    tokens = Tokens()
    here, there = RemoteStart(CP, "tag", NOW), RemoteStart(OTHER, "tag", NOW)
    for known in (here, there):
        tokens.apply(known, True)

    def learned(status: AuthorizationStatus) -> list[object]:
        return list(tokens.learn(CP, TAG, Verdict(status), size=100, now=NOW))

    assert Drop(here) in learned(AuthorizationStatus.BLOCKED)
    assert Drop(there) not in learned(AuthorizationStatus.BLOCKED)
    assert learned(AuthorizationStatus.CONCURRENT_TX) == []
    assert Drop(here) not in learned(AuthorizationStatus.ACCEPTED)


def test_the_cache_keeps_its_size() -> None:
    tokens = Tokens()
    for number in range(100):
        tokens.apply(TokenRecord(str(number), "Accepted", None, None, NOW, NOW), True)
    verdict = Verdict(AuthorizationStatus.ACCEPTED)
    assert tokens.learn(CP, TAG, verdict, size=101, now=NOW) == [
        Put(TokenRecord("tag", "Accepted", None, None, NOW, NOW))
    ]
    tokens.apply(TokenRecord("tag", "Accepted", None, None, NOW, NOW), True)
    assert len(tokens.learn(CP, TAG, verdict, size=100, now=NOW)) == 6
