"""What is known of tokens at the site: cache, local lists, reservations, remote starts; together a fold of changes."""

from dataclasses import dataclass, replace
from datetime import datetime

from gateway.core.authorize import AuthorizationOptions, Facts
from gateway.core.late_verdict import REFUSING
from gateway.core.ledger import Ledger
from gateway.core.local_list import Lists
from gateway.core.reservations import Reservations
from gateway.core.token_cache import TokenCache
from gateway.model.events import EventKind, TransactionMessage
from gateway.model.ids import StationId
from gateway.model.records import (
    Change,
    Drop,
    LocalList,
    RemoteStart,
    Reservation,
    StationAuthorization,
    TokenRecord,
)
from gateway.model.token import AuthorizationStatus, IdToken, Reason, Verdict
from gateway.model.transaction import Transaction

PRE_AUTHORIZING = frozenset({Reason.LOCAL_LIST, Reason.KNOWN})
"""What is known well enough to let a driver begin before the CSMS has spoken, where that is wanted."""

TokenKnowledge = TokenRecord | LocalList | StationAuthorization | Reservation | RemoteStart
"""The records kept here."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A token shown at a station, for a start or for anything. `evses`: all of the station that are known.

    `own`: the transaction it is shown for. At a start it is booked already, and is none of those that run beside it.
    """

    station: StationId
    token: IdToken
    is_start: bool = False
    evse: int | None = None
    own: Transaction | None = None
    evses: frozenset[int] = frozenset()


class Tokens:
    """Deciding methods return changes; `apply` applies them."""

    def __init__(self) -> None:
        self.cache = TokenCache()
        self.lists = Lists()
        self.reservations = Reservations()
        self.remote_starts: dict[tuple[StationId, str], RemoteStart] = {}

    def apply(self, record: TokenKnowledge, is_put: bool) -> None:
        match record:
            case TokenRecord():
                self.cache.put(record) if is_put else self.cache.drop(record)
            case LocalList():
                self.lists.put_list(record) if is_put else self.lists.drop_list(record)
            case StationAuthorization():
                self.lists.put_state(record)
            case Reservation():
                self.reservations.put(record) if is_put else self.reservations.drop(record)
            case RemoteStart():
                if is_put:
                    self.remote_starts[record.station, record.token] = record
                else:
                    self.remote_starts.pop((record.station, record.token), None)

    def facts(self, shown: Shown, ledger: Ledger, options: AuthorizationOptions, now: datetime) -> Facts:
        """What a verdict on the token rests on."""
        token, station, own_key = shown.token, shown.station, shown.own.key if shown.own else None
        running = [one for one in ledger.running(station) if one.key != own_key]
        beside = {one.evse for one in running}
        if shown.own and not shown.is_start:
            running.append(shown.own)
        facts = Facts(
            station,
            evse=shown.evse,
            is_start=shown.is_start,
            running=[self._with_group(one) for one in running],
            is_charging=any(_charges(one, token) and one.key != own_key for one in ledger.all_running()),
            remote_start=self.remote_starts.get((station, token.folded)),
            tag=options.tags.get(token.key),
            listed=self.lists.find(station, token) if options.uses_lists else None,
            cached=self.cache.find(token, self.lists.of(station).cache_cleared) if options.uses_cache else None,
        )
        free = shown.evses - beside
        reservation = self.reservations.in_the_way(station, shown.evse, token, facts.group, free=free, now=now)
        return replace(facts, reservation=reservation)

    def _with_group(self, transaction: Transaction) -> Transaction:
        """A transaction that the CSMS accepted itself has no group in the ledger; the token's is as good."""
        if transaction.token is None or transaction.group is not None:
            return transaction
        return replace(transaction, group=self._group(transaction.station, IdToken(transaction.token)))

    def _group(self, station: StationId, token: IdToken) -> str | None:
        listed, cached = self.lists.find(station, token), self.cache.find(token)
        return (listed.verdict.group if listed and listed.verdict else None) or (cached.group if cached else None)

    def learn(self, station: StationId, token: IdToken, verdict: Verdict, *, size: int, now: datetime) -> list[Change]:
        """What the CSMS said of a token in an answer, in time or late; the cache keeps its size. A refusal is newer
        than the remote start it may have asked for before."""
        learned = self.cache.learn(station, token, verdict, now, self.lists.of(station).cache_cleared)
        asked = self.remote_starts.get((station, token.folded))
        broken = [Drop(asked)] if asked and verdict.status in REFUSING else []
        return [*learned, *self.cache.overflow(size, now), *broken]

    def used_up(self, station: StationId, message: TransactionMessage) -> list[Change]:
        """A remote start and a reservation count for one start."""
        if message.token is None or message.kind is EventKind.ENDED:
            return []
        used = self.reservations.over(station, message.reservation)
        if message.kind is EventKind.STARTED:
            group = self._group(station, message.token)
            used = used or self.reservations.used_up(station, message.evse, message.token, group)
            asked = self.remote_starts.get((station, message.token.folded))
            return [*used, Drop(asked)] if asked else used
        return used

    def expired(self, now: datetime) -> list[Change]:
        """Remote starts and reservations whose time is over."""
        starts = [Drop(asked) for asked in self.remote_starts.values() if asked.until < now]
        return [*starts, *self.reservations.expired(now)]


def _charges(transaction: Transaction, token: IdToken) -> bool:
    """Whether the token has this transaction, and was not refused in it."""
    is_own = transaction.token is not None and transaction.token.casefold() == token.folded
    return is_own and transaction.status in (None, AuthorizationStatus.ACCEPTED)
