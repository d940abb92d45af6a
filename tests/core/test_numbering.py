"""Numbers of the site as one station: never given to another EVSE but by replacement, and the same after a restart."""

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.numbering import MOST_EVSES, MOST_PLACES, Numbering, Refusal
from gateway.model.ids import StationId
from gateway.model.place import Place
from gateway.model.records import Change, Put
from gateway.store import database, tables
from gateway.store.statements import commit, statements

A, B, C = (StationId(name) for name in ("A", "B", "C"))
_stations = st.sampled_from([A, B, C, StationId("D")])
_evses = st.lists(st.integers(-1, 4), max_size=4)
_steps = st.one_of(
    st.tuples(st.just("seen"), _stations, _evses),
    st.tuples(st.just("removed"), _stations),
    st.tuples(st.just("replaced"), _stations, _stations, st.frozensets(_stations, max_size=1)),
    st.tuples(st.just("restart")),
)


def apply(table: Numbering, changes: list[Change]) -> None:
    for change in changes:
        assert isinstance(change, Put)  # a number is never dropped
        assert isinstance(change.record, Place)
        table.put(change.record)


def with_places(*evses: tuple[StationId, int]) -> Numbering:
    made = Numbering()
    for station, count in evses:
        apply(made, made.seen(station, range(1, count + 1)))
    return made


def restarted(history: list[Change]) -> Numbering:
    """What a restart makes of all that was written."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        database.migrate(connection)
        commit(connection, statements(history))
        return loaded(tables.read(connection))


def loaded(records: Iterable[object]) -> Numbering:
    made = Numbering()
    for record in records:
        assert isinstance(record, Place)
        made.put(record)
    return made


@settings(deadline=None, max_examples=60)
@given(st.lists(_steps, max_size=14))
def test_whatever_happens_a_number_keeps_its_meaning(steps: list[tuple[object, ...]]) -> None:
    table = Numbering()
    for kind, *arguments in steps:
        before = {place.number: place for place in table.places()}
        if kind == "restart":
            table = loaded(table.places())
            continue
        made = getattr(table, str(kind))(*arguments)
        if isinstance(made, Refusal):
            continue
        apply(table, made)
        after = {place.number: place for place in table.places()}
        assert list(after) == list(range(1, len(after) + 1))  # no gaps, and none is gone
        assert len({(place.station, place.evse) for place in after.values()}) == len(after)
        for number, place in after.items():
            if kind != "replaced" and number in before:
                assert (place.station, place.evse) == (before[number].station, before[number].evse)
            assert table.number(place.station, place.evse) == number
            assert table.place(number) == (None if place.is_removed else place)
        for station in {place.station for place in after.values()}:
            head = table.head(station)
            assert head is not None
            assert table.station_at(head) in (station, None)


def test_a_restart_through_the_database_changes_nothing() -> None:
    table, history = Numbering(), list[Change]()
    steps: list[Callable[[], list[Change] | Refusal]] = [
        lambda: table.seen(A, [1, 2]),
        lambda: table.seen(B, [1]),
        lambda: table.replaced(A, B, busy=()),
        lambda: table.removed(B),
        lambda: table.seen(C, [2, 1]),
    ]
    for step in steps:
        changes = step()
        assert not isinstance(changes, Refusal)
        assert changes
        apply(table, changes)
        history += changes
    assert restarted(history).places() == table.places()


def test_a_replacement_takes_the_numbers_over_and_gives_its_own_away() -> None:
    table = with_places((A, 2), (B, 1), (C, 3))
    assert [place.number for place in table.of(C)] == [4, 5, 6]
    made = table.replaced(A, C, busy=())
    assert not isinstance(made, Refusal)
    apply(table, made)
    assert [(place.number, place.evse) for place in table.of(C)] == [(1, 1), (2, 2), (6, 3)]
    assert [(place.number, place.evse, place.is_removed) for place in table.of(A)] == [(4, 1, True), (5, 2, True)]
    assert table.place(4) is None
    assert table.place(1) == Place(1, C, 1)
    assert (table.head(C), table.station_at(1), table.station_at(6)) == (1, C, None)


def test_why_a_replacement_is_refused() -> None:
    table = with_places((A, 1), (B, 1))
    assert table.replaced(A, A, busy=()) is Refusal.SAME
    assert table.replaced(C, A, busy=()) is Refusal.UNKNOWN
    assert table.replaced(A, C, busy={A}) is Refusal.BUSY
    assert table.replaced(A, C, busy={C}) is Refusal.BUSY
    assert not isinstance(table.replaced(A, C, busy={B}), Refusal)


def test_what_left_comes_back_under_its_numbers() -> None:
    table = with_places((A, 2), (B, 1))
    apply(table, table.removed(A))
    assert (table.place(1), table.place(2), table.station_at(1)) == (None, None, None)
    assert table.number(A, 2) == 2  # what it still has to say is said under its number
    assert table.removed(A) == []
    apply(table, table.seen(A, [2, 3]))
    assert table.place(1) is None
    assert [table.place(number) for number in (2, 4)] == [Place(2, A, 2), Place(4, A, 3)]


def test_nonsense_does_not_use_the_numbers_up() -> None:
    table = Numbering()
    apply(table, table.seen(A, range(-5, 10_000)))
    assert len(table.of(A)) == MOST_EVSES
    for n in range(20):
        apply(table, table.seen(StationId(f"S{n}"), range(1, MOST_EVSES + 1)))
    assert len(table.places()) == MOST_PLACES
    assert table.seen(B, [1]) == []


@given(st.integers(-(2**40), 2**40), st.integers(-(2**40), 2**40))
def test_ids_of_different_stations_never_meet(own: int, other: int) -> None:
    table = with_places((A, 2), (B, 1))
    of_a, of_b = table.upstream_id(A, own), table.upstream_id(B, other)
    assert of_a is not None
    assert of_b is not None
    assert of_a != of_b
    assert (table.own_id(of_a), table.own_id(of_b)) == ((A, own), (B, other))
    assert table.own_id(of_a + 1) is None  # the second EVSE is no head
    assert table.upstream_id(C, own) is None


def test_an_evse_is_its_own_station_s() -> None:
    table = with_places((A, 2), (B, 1))
    assert [table.evse(A, 2), table.evse(B, 2), table.evse(B, 3), table.evse(B, 4)] == [2, None, 1, None]
