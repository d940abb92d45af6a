"""Local Authorization Lists: the rules of versions, whose list counts, and how it gets into a station."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import local_list
from gateway.core.local_list import Lists, chunks, first_version, is_conflict, push, updated
from gateway.model.ids import StationId
from gateway.model.local_list import ListEntry, ListUpdate, UpdateStatus
from gateway.model.records import Change, LocalList, Put, StationAuthorization
from gateway.model.token import AuthorizationStatus, IdToken, Verdict

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
A, B, C = StationId("A"), StationId("B"), StationId("C")
GOOD = Verdict(AuthorizationStatus.ACCEPTED)
BAD = Verdict(AuthorizationStatus.BLOCKED)
ACCEPTED, FAILED, MISMATCH = UpdateStatus.ACCEPTED, UpdateStatus.FAILED, UpdateStatus.VERSION_MISMATCH


def entry(token: str, verdict: Verdict | None = GOOD) -> ListEntry:
    return ListEntry(IdToken(token), verdict)


def update(version: int, *entries: ListEntry, full: bool = True) -> ListUpdate:
    return ListUpdate(version, full, entries)


def difference(version: int, *entries: ListEntry) -> ListUpdate:
    return update(version, *entries, full=False)


@pytest.mark.parametrize(
    ("said", "status", "tokens"),
    [
        (update(1, entry("X"), entry("y")), ACCEPTED, "xy"),
        (update(5), ACCEPTED, ""),
        (update(5, entry("X"), entry("x")), ACCEPTED, "x"),
        (update(5, entry("X"), entry("x", BAD)), FAILED, None),
        (update(5, entry("X", None)), FAILED, None),
        (update(0, entry("X")), FAILED, None),
        (update(-1, entry("X")), FAILED, None),
        (update(2**63, entry("X")), FAILED, None),
        (difference(6, entry("X")), ACCEPTED, "abx"),
        (difference(6, entry("A", None), entry("nobody", None)), ACCEPTED, "b"),
        (difference(6), ACCEPTED, "ab"),
        (difference(6, entry("A", BAD)), ACCEPTED, "ab"),
        (difference(6, entry("X"), entry("x", None)), FAILED, None),
        (difference(5, entry("X")), MISMATCH, None),
        (difference(1, entry("X")), MISMATCH, None),
        (difference(0, entry("X")), FAILED, None),
        (difference(-1, entry("X")), FAILED, None),
    ],
)
def test_the_rules_of_versions(said: ListUpdate, status: UpdateStatus, tokens: str | None) -> None:
    found, after = updated({"a": entry("A"), "b": entry("b")}, 5, said)
    assert found is status
    assert (None if after is None else "".join(sorted(after))) == tokens


def test_a_list_has_an_end() -> None:
    many = [entry(f"{number:05}") for number in range(local_list.MAX_ENTRIES)]
    assert updated({}, 0, update(1, *many))[0] is ACCEPTED
    assert updated({}, 0, update(1, *many, entry("one more")))[0] is FAILED


# -- whose list ------------------------------------------------------------------------------------------------------


class _Book:
    """Lists with their changes applied, as the site does it, and what the file would hold."""

    def __init__(self) -> None:
        self.lists = Lists()
        self.contents: set[str] = set()
        self.moment = NOW

    def give(self, station: StationId, said: ListUpdate) -> tuple[UpdateStatus, list[str]]:
        self.moment += timedelta(seconds=1)
        status, changes, gone = self.lists.give(station, said, self.moment)
        self.apply(changes)
        return status, gone

    def apply(self, changes: list[Change]) -> None:
        for change in changes:
            match change.record:
                case LocalList() as content if isinstance(change, Put):
                    self.lists.put_list(content)
                    self.contents.add(content.digest)
                case LocalList() as content:
                    self.lists.drop_list(content)
                    self.contents.remove(content.digest)
                case StationAuthorization() as state:
                    self.lists.put_state(state)

    def says(self, station: StationId, token: str) -> AuthorizationStatus | None:
        found = self.lists.find(station, IdToken(token))
        return found.verdict.status if found and found.verdict else None


def test_the_same_list_is_one_list() -> None:
    book = _Book()
    book.give(A, update(7, entry("X"), entry("Y")))
    book.give(B, update(3, entry("Y"), entry("X")))
    assert len(book.contents) == 1
    assert (book.lists.of(A).version, book.lists.of(B).version) == (7, 3)
    book.give(A, difference(8, entry("Z")))
    assert len(book.contents) == 2
    book.give(B, difference(4, entry("Z")))
    assert len(book.contents) == 1


def test_a_station_goes_by_its_own_list_and_without_one_by_the_newest() -> None:
    book = _Book()
    assert book.says(C, "X") is None
    book.give(A, update(1, entry("X"), entry("both")))
    book.give(B, update(1, entry("Y"), entry("both", BAD)))
    assert [book.says(A, token) for token in ("x", "Y", "both")] == [GOOD.status, None, GOOD.status]
    assert [book.says(B, token) for token in ("X", "y", "BOTH")] == [None, GOOD.status, BAD.status]
    assert [book.says(C, token) for token in ("X", "Y", "both")] == [None, GOOD.status, BAD.status]
    book.give(A, difference(2))
    assert book.says(C, "X") is GOOD.status
    book.give(C, update(1))
    assert book.says(C, "X") is None, "an empty list is a list"


def test_evses_of_another_station_mean_nothing() -> None:
    book = _Book()
    book.give(A, update(1, entry("X", Verdict(AuthorizationStatus.ACCEPTED, evses=(1,)))))
    assert book.says(A, "X") is GOOD.status
    assert book.says(B, "X") is None


def test_who_is_taken_off_is_named() -> None:
    book = _Book()
    book.give(A, update(1, entry("X"), entry("Y"), entry("Z")))
    assert book.give(A, difference(2, entry("x", None), entry("y", BAD))) == (ACCEPTED, ["x"])
    assert book.give(A, update(3, entry("Z"))) == (ACCEPTED, ["y"])
    assert book.give(A, difference(3, entry("Z", None))) == (MISMATCH, [])


def test_an_empty_list_takes_any_difference() -> None:
    book = _Book()
    book.give(A, update(9))
    assert book.give(A, difference(1, entry("X")))[0] is ACCEPTED


def test_what_a_station_holds_is_kept_until_it_holds_something_else() -> None:
    book = _Book()
    book.give(A, update(1, entry("X")))
    first = book.lists.of(A).digest
    book.apply(book.lists.holds(A, 1, first))
    book.give(A, update(2, entry("Y")))
    assert {first, book.lists.of(A).digest} == book.contents, "the difference is made of both"
    book.apply(book.lists.holds(A, 2, book.lists.of(A).digest))
    assert book.contents == {book.lists.of(A).digest}
    assert book.lists.holds(A, 2, book.lists.of(A).digest) == []


_verdicts = st.builds(
    Verdict,
    st.sampled_from(AuthorizationStatus),
    st.none() | st.text(max_size=3),
    st.none() | st.text(max_size=3),
    st.lists(st.integers(0, 9), max_size=2).map(tuple),
)
_entries = st.builds(
    ListEntry,
    st.builds(IdToken, st.text("aAbBß1|", max_size=3), st.sampled_from(["", "Central", "KeyCode", "eMAID"])),
    _verdicts,
    st.sampled_from(["", "2.1"]),
    st.text(max_size=3),
)
_lists = st.lists(_entries, max_size=6).map(lambda entries: {one.token.key: one for one in entries})


@given(_lists)
def test_a_packed_list_is_the_same_again(entries: dict[str, ListEntry]) -> None:
    assert local_list.unpack(local_list.pack(entries)) == entries
    shuffled = dict(reversed(entries.items()))
    assert local_list.pack(shuffled) == local_list.pack(entries)


# -- into a station --------------------------------------------------------------------------------------------------


@given(_lists, st.none() | _lists)
def test_what_is_pushed_makes_a_station_hold_what_it_should(wanted: Any, held: Any) -> None:
    made = push(wanted, held)
    after = {} if made.is_full else dict(held)
    for one in made.entries:
        if one.verdict is None:
            del after[one.token.key]
        else:
            after[one.token.key] = one
    assert after == wanted
    assert len(made.entries) <= len(wanted)


@given(st.lists(st.integers(1, 30).map(lambda size: b"x" * size), max_size=12), st.integers(0, 5), st.integers(0, 40))
def test_messages_are_of_the_station_s_size(encoded: list[bytes], each: int, size: int) -> None:
    made = [list(chunk) for chunk in chunks(encoded, each, size or None)]
    assert [one for chunk in made for one in chunk] == encoded
    assert len(made) >= 1
    for chunk in made:
        assert len(chunk) <= max(1, each)
        assert not size or len(chunk) <= 1 or sum(len(one) + 1 for one in chunk) <= size


@pytest.mark.parametrize(
    ("version", "count", "held", "first"),
    [
        (7, 1, None, 7),
        (7, 3, None, 5),
        (1, 3, None, 1),
        (7, 1, 6, 7),
        (7, 1, 9, 10),
        (7, 3, 6, 7),
        (1_900_000_000_000, 2, None, 1),
        (1_900_000_000_000, 2, 41, 42),
        (2**31 - 1, 2, None, 2**31 - 2),
        (2**31, 1, None, 1),
    ],
)
def test_the_last_message_has_the_csms_s_number_if_that_can_be(
    version: int, count: int, held: int | None, first: int
) -> None:
    assert first_version(version, count, held) == first


@pytest.mark.parametrize(
    ("listed", "said", "conflicts"),
    [
        (GOOD, GOOD, False),
        (GOOD, BAD, True),
        (BAD, GOOD, True),
        (BAD, Verdict(AuthorizationStatus.INVALID), False),
        (GOOD, Verdict(AuthorizationStatus.CONCURRENT_TX), False),
    ],
)
def test_the_csms_may_contradict_its_list(listed: Verdict, said: Verdict, conflicts: bool) -> None:
    assert is_conflict(entry("X", listed), said) is conflicts
    assert not is_conflict(None, said)
