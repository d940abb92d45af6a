"""Ids of OCPP 1.6: what a station may be given, and what is only taken."""

import random
from dataclasses import replace

import pytest

from gateway.core import idmap
from gateway.core.ledger import Ledger
from gateway.model.ids import StationId, TransactionKey
from gateway.model.records import Counter
from gateway.model.transaction import Transaction

CP = StationId("CP-1")
OTHER = StationId("CP-2")
FIRST, LAST = 1_000_000_000, 2**31 - 1
NEW = Transaction(TransactionKey(9), CP, 1, 1, "s")


def ledger(*used: str, station: StationId = CP) -> Ledger:
    made = Ledger()
    for number, own_id in enumerate(used):
        made.put_transaction(Transaction(TransactionKey(100 + number), station, 1, 1, "x", station_tx_id=own_id))
    return made


def test_a_new_site_begins_at_random_with_room_above() -> None:
    values = [idmap.first_counter(random.Random(seed)).value for seed in range(200)]
    assert all(FIRST <= value < LAST - 100_000_000 for value in values)
    assert len(set(values)) > 190


def test_local_ids_rise() -> None:
    made, counter = idmap.next_local_id(ledger(), NEW, Counter(idmap.COUNTER, FIRST + 41))
    assert (made, counter) == (str(FIRST + 42), Counter(idmap.COUNTER, FIRST + 42))


def test_an_id_the_station_ever_had_is_skipped() -> None:
    used = ledger(str(FIRST + 1), str(FIRST + 2), str(FIRST + 4))
    made, counter = idmap.next_local_id(used, NEW, Counter(idmap.COUNTER, FIRST))
    assert (made, counter.value) == (str(FIRST + 3), FIRST + 3)


def test_an_id_another_station_had_is_free() -> None:
    used = ledger(str(FIRST + 1), station=OTHER)
    assert idmap.next_local_id(used, NEW, Counter(idmap.COUNTER, FIRST))[0] == str(FIRST + 1)


def test_the_counter_wraps_and_skips_what_it_gave_before() -> None:
    assert idmap.next_local_id(ledger(), NEW, Counter(idmap.COUNTER, LAST - 1))[0] == str(LAST)
    assert idmap.next_local_id(ledger(), NEW, Counter(idmap.COUNTER, LAST))[0] == str(FIRST)
    used = ledger(str(LAST), str(FIRST), str(FIRST + 1))
    made, counter = idmap.next_local_id(used, NEW, Counter(idmap.COUNTER, LAST - 1))
    assert (made, counter.value) == (str(FIRST + 2), FIRST + 2)


def test_a_counter_from_an_odd_file_gives_good_ids_again() -> None:
    assert idmap.next_local_id(ledger(), NEW, Counter(idmap.COUNTER, 2**40))[0] == str(FIRST)


@pytest.mark.parametrize("upstream", [1, 42, LAST])
def test_the_csms_s_id_is_handed_on_while_the_station_has_none(upstream: int) -> None:
    bound = idmap.bind(ledger(), NEW, upstream)
    assert (bound.upstream_tx_id, bound.station_tx_id) == (upstream, str(upstream))


@pytest.mark.parametrize("upstream", [0, -1, -(2**31), 2**31, 2**63 - 1, -(2**63)])
def test_an_id_a_station_can_t_bear_is_kept_upstream_only(upstream: int) -> None:
    bound = idmap.bind(ledger(), NEW, upstream)
    assert (bound.upstream_tx_id, bound.station_tx_id) == (upstream, None)


def test_an_id_the_station_has_or_had_is_kept_upstream_only() -> None:
    bound = idmap.bind(ledger("42"), NEW, 42)
    assert (bound.upstream_tx_id, bound.station_tx_id) == (42, None)


def test_an_id_another_station_has_is_handed_on() -> None:
    assert idmap.bind(ledger("42", station=OTHER), NEW, 42).station_tx_id == "42"


def test_a_station_that_was_given_ours_keeps_it() -> None:
    bound = idmap.bind(ledger(), replace(NEW, station_tx_id="1000000001"), 42)
    assert (bound.upstream_tx_id, bound.station_tx_id) == (42, "1000000001")


def test_a_second_answer_is_listed_and_changes_nothing_else() -> None:
    first = idmap.bind(ledger(), NEW, 42)
    second = idmap.bind(ledger("42"), first, 43)
    assert second == replace(first, other_upstream_ids=(43,))
    third = idmap.bind(ledger("42"), second, 44)
    assert third.other_upstream_ids == (43, 44)


@pytest.mark.parametrize("again", [42, 43])
def test_an_answer_said_twice_is_listed_once(again: int) -> None:
    known = replace(NEW, upstream_tx_id=42, station_tx_id="42", other_upstream_ids=(43,))
    assert idmap.bind(ledger("42"), known, again) == known


def test_a_first_answer_of_zero_counts_as_an_answer() -> None:
    first = idmap.bind(ledger(), NEW, 0)
    assert idmap.bind(ledger(), first, 5) == replace(first, other_upstream_ids=(5,))
