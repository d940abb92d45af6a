"""Which transaction the CSMS of the whole site means, and how its ids look there."""

import uuid
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.ledger import Ledger
from gateway.core.numbering import Numbering
from gateway.core.one_station import OneStation, find_transaction, transaction_uuid
from gateway.model.ids import StationId, TransactionKey
from gateway.model.transaction import Transaction, TransactionState

A, B = StationId("A"), StationId("B")
ONE = Transaction(TransactionKey(1), A, 1, 1, "s", "tx", 7)


def ledger(*transactions: Transaction) -> Ledger:
    made = Ledger()
    for one in transactions:
        made.put_transaction(one)
    return made


def test_a_running_transaction_before_a_newer_one_that_is_over() -> None:
    ended = replace(ONE, key=TransactionKey(3), station=B, state=TransactionState.ENDED)
    older = replace(ONE, key=TransactionKey(2), state=TransactionState.ENDED)
    assert find_transaction(ledger(ONE, ended), "7", gives_tx_ids=True) == ONE
    assert find_transaction(ledger(older, ended), "7", gives_tx_ids=True) == ended
    assert find_transaction(ledger(older), "8", gives_tx_ids=True) is None
    assert find_transaction(ledger(replace(ONE, upstream_tx_id=None)), "None", gives_tx_ids=True) is None


def test_ids_the_stations_made_are_theirs() -> None:
    other = replace(ONE, key=TransactionKey(2), station=B)
    both = ledger(ONE, other, replace(ONE, key=TransactionKey(3), station_tx_id=None))
    assert find_transaction(both, transaction_uuid(B, "tx"), gives_tx_ids=False) == other
    assert find_transaction(both, "tx", gives_tx_ids=False) is None
    mine = OneStation(A, Numbering(), both, gives_tx_ids=False)
    assert mine.upstream_tx("tx") == f'"{transaction_uuid(A, "tx")}"'.encode()
    assert mine.own_tx(transaction_uuid(A, "tx")) == b'"tx"'
    assert mine.own_tx(transaction_uuid(B, "tx")) is None
    given_ids = OneStation(A, Numbering(), both, gives_tx_ids=True)
    assert (given_ids.upstream_tx("7"), given_ids.own_tx("7")) == (None, None)


_text = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(["a", "b", '","', "\\", "\x00"])


@given(_text, _text, _text, _text)
def test_no_two_transactions_of_the_site_have_one_id(one: str, tx: str, other: str, other_tx: str) -> None:
    made = transaction_uuid(StationId(one), tx)
    assert str(uuid.UUID(made)) == made
    assert (made == transaction_uuid(StationId(other), other_tx)) is ((one, tx) == (other, other_tx))
