"""The Authorization Cache: what is learned, what is written, what is forgotten first."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.core.token_cache import TokenCache
from gateway.model.ids import StationId
from gateway.model.records import Change, Put, TokenRecord
from gateway.model.token import AuthorizationStatus, IdToken, Verdict

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
DAY = timedelta(days=1)
CP = StationId("CP")
A = AuthorizationStatus
GOOD = Verdict(A.ACCEPTED)


class _Book:
    """A cache with its changes applied, as the site does it."""

    def __init__(self) -> None:
        self.cache = TokenCache()

    def learn(self, token: str, verdict: Verdict = GOOD, at: datetime = NOW, cleared: datetime | None = None) -> bool:
        """Whether that was written."""
        return self.apply(self.cache.learn(CP, IdToken(token), verdict, at, cleared))

    def use(self, token: str, at: datetime) -> bool:
        return self.apply(self.cache.use(IdToken(token), at))

    def apply(self, changes: list[Change]) -> bool:
        for change in changes:
            assert isinstance(change.record, TokenRecord)
            (self.cache.put if isinstance(change, Put) else self.cache.drop)(change.record)
        return bool(changes)

    def tokens(self, among: str) -> str:
        return "".join(token for token in among if self.cache.find(IdToken(token)))


def test_what_the_csms_says_is_found_in_any_case() -> None:
    book = _Book()
    assert book.learn("Tag-1", Verdict(A.ACCEPTED, "FLEET", "2030-01-01T00:00:00Z"))
    assert book.cache.find(IdToken("TAG-1")) == TokenRecord(
        "tag-1", "Accepted", "FLEET", "2030-01-01T00:00:00Z", NOW, NOW
    )
    assert book.cache.find(IdToken("TAG-1", "KeyCode")) is None
    assert book.learn("TAG-1", Verdict(A.BLOCKED))
    assert len(book.cache) == 1


@pytest.mark.parametrize("status", [A.CONCURRENT_TX, A.NOT_AT_THIS_TIME, A.NOT_ALLOWED_TYPE_EVSE])
def test_refusals_of_a_moment_or_a_place_are_not_remembered(status: AuthorizationStatus) -> None:
    book = _Book()
    assert not book.learn("x", Verdict(status))
    book.learn("x")
    assert not book.learn("x", Verdict(status))
    found = book.cache.find(IdToken("x"))
    assert found is not None
    assert found.status == "Accepted"


def test_what_is_not_new_is_not_written() -> None:
    """A driver of every day costs one write a day."""
    book = _Book()
    assert book.learn("x")
    for hours, is_written in ((1, False), (23, False), (24, True), (25, False)):
        assert book.learn("x", at=NOW + timedelta(hours=hours)) is is_written, hours
    assert book.learn("x", Verdict(A.ACCEPTED, "G"), NOW + DAY), "a group is news"
    assert not book.use("x", NOW + 1.9 * DAY)
    assert book.use("x", NOW + 2 * DAY)
    assert not book.use("nobody", NOW)


def test_a_cleared_cache_knows_only_what_was_said_since() -> None:
    book = _Book()
    book.learn("x")
    cleared = NOW + timedelta(hours=1)
    assert book.cache.find(IdToken("x"), cleared) is None
    assert book.cache.find(IdToken("x")) is not None, "at a station that was not cleared"
    assert book.learn("x", at=cleared + timedelta(seconds=1), cleared=cleared), "no news elsewhere, but here"
    assert book.cache.find(IdToken("x"), cleared) is not None


def test_evses_belong_to_the_station_that_asked() -> None:
    book = _Book()
    book.learn("x", Verdict(A.ACCEPTED, evses=(1, 2)))
    found = book.cache.find(IdToken("x"))
    assert found is not None
    assert (found.station, found.evses) == (CP, (1, 2))
    assert not book.learn("x", Verdict(A.ACCEPTED, evses=(1, 2)))


def test_a_full_cache_forgets_the_refused_and_expired_then_the_longest_unused() -> None:
    book = _Book()
    for age, token in enumerate("abcdefghij"):
        book.learn(token, at=NOW - (20 - age) * DAY)
    book.learn("r", Verdict(A.BLOCKED), NOW)
    book.learn("x", Verdict(A.ACCEPTED, None, "2026-02-01T00:00:00Z"), NOW)
    assert book.cache.overflow(12, NOW) == []
    book.use("a", NOW)
    for size, left in ((11, "abcdefghij"), (9, "adefghij"), (4, "aij")):
        book.apply(book.cache.overflow(size, NOW))
        assert book.tokens("abcdefghijrx") == left


def test_within_a_day_the_order_of_use_decides() -> None:
    book = _Book()
    for token in "abcd":
        book.learn(token)
    assert not book.use("a", NOW)
    book.apply(book.cache.overflow(3, NOW))
    assert book.tokens("abcd") == "ad"


def test_a_cache_of_ten_thousand_is_trimmed_in_batches() -> None:
    cache = TokenCache()
    for number in range(10_000):
        cache.put(TokenRecord(str(number), "Accepted", None, None, NOW, NOW))
    assert cache.overflow(10_000, NOW) == []
    cache.put(replace(TokenRecord("one more", "Accepted", None, None, NOW, NOW)))
    assert len(cache.overflow(10_000, NOW)) == 501
