"""The Authorization Cache of the site: what the CSMS last said of each token, at any station."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from gateway.core.authorize import is_over
from gateway.model.ids import StationId
from gateway.model.records import Change, Drop, Put, TokenRecord
from gateway.model.token import AuthorizationStatus, IdToken, Verdict

_FRESH = timedelta(days=1)
"""Times of use are kept to the day, so that a driver of every day costs one write a day."""

_CIRCUMSTANCES = frozenset(
    {
        AuthorizationStatus.CONCURRENT_TX,
        AuthorizationStatus.NOT_AT_THIS_TIME,
        AuthorizationStatus.NOT_ALLOWED_TYPE_EVSE,
    }
)
"""Refusals of a moment or a place. They say nothing of the token, and are not remembered."""

_ROOM = 0.95
"""A full cache is trimmed to this part of its size, so that not every new token has to make room."""


class TokenCache:
    """A fold of changes. Deciding methods return changes and alter nothing but the order of use."""

    def __init__(self) -> None:
        self._records: dict[str, TokenRecord] = {}
        """Least recently used first."""

    def __len__(self) -> int:
        return len(self._records)

    def put(self, record: TokenRecord) -> None:
        self._records.pop(record.token, None)
        self._records[record.token] = record

    def drop(self, record: TokenRecord) -> None:
        self._records.pop(record.token, None)

    def find(self, token: IdToken, cleared: datetime | None = None) -> TokenRecord | None:
        """What is known of a token where the cache was last cleared at `cleared`."""
        found = self._records.get(token.key)
        return found if found and not _is_cleared(found, cleared) else None

    def of_key(self, key: str) -> TokenRecord | None:
        return self._records.get(key)

    def learn(
        self, station: StationId, token: IdToken, verdict: Verdict, now: datetime, cleared: datetime | None = None
    ) -> list[Change]:
        """What the CSMS said of a token. What is not new is not written."""
        if verdict.status in _CIRCUMSTANCES:
            return []
        place = station if verdict.evses else None
        said = TokenRecord(
            token.key, verdict.status, verdict.group, verdict.expiry, now, now, station=place, evses=verdict.evses
        )
        known = self._records.get(token.key)
        if (
            known
            and replace(known, seen=now, used=now) == said
            and now - known.seen < _FRESH
            and not _is_cleared(known, cleared)
        ):
            return self.use(token, now)
        return [Put(said)]

    def taken_off(self, keys: Iterable[str]) -> list[Change]:
        """Tokens have left a local list. What they were accepted by goes, or it would still let them in; a refusal
        stays."""
        found = (known for key in keys if (known := self._records.get(key)))
        return [Drop(known) for known in found if known.status == AuthorizationStatus.ACCEPTED]

    def use(self, token: IdToken, now: datetime) -> list[Change]:
        """The token was of use just now: it is the last to be forgotten."""
        known = self._records.pop(token.key, None)
        if known is None:
            return []
        self._records[token.key] = known
        return [Put(replace(known, used=now))] if now - known.used >= _FRESH else []

    def overflow(self, size: int, now: datetime) -> list[Change]:
        """What is forgotten if the cache is over its size: refused and expired ones first, then the longest unused."""
        surplus = len(self._records) - int(size * _ROOM)
        if len(self._records) <= size:
            return []
        oldest_first = sorted(self._records.values(), key=lambda record: record.used)
        valid_last = sorted(oldest_first, key=lambda record: _is_valid(record, now))
        return [Drop(record) for record in valid_last[:surplus]]


def _is_cleared(record: TokenRecord, cleared: datetime | None) -> bool:
    return cleared is not None and record.seen <= cleared


def _is_valid(record: TokenRecord, now: datetime) -> bool:
    return record.status == AuthorizationStatus.ACCEPTED and not is_over(record.expiry, now)
