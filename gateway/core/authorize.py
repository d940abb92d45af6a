"""May this token charge here now, and why. Used while the CSMS can't be asked, or does not answer in time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gateway.model.ids import StationId
from gateway.model.local_list import ListEntry
from gateway.model.records import RemoteStart, Reservation, TokenRecord
from gateway.model.token import (
    AuthorizationStatus,
    Decision,
    IdToken,
    LateRefusal,
    OfflineMode,
    Proof,
    Reason,
    Tag,
    Verdict,
)
from gateway.model.transaction import Transaction

_SHORT = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class AuthorizationOptions:
    """What the configuration says beside the mode.

    `master_group`: its tokens may stop every transaction and start none. `cache_lifetime`: how long a remembered token
    counts after its last use, None = for ever. `tags`: the installer's own, by key. `is_off`, `uses_cache`,
    `uses_lists`: what the CSMS has switched off at a station.
    """

    pre_authorize: bool = False
    late_refusal: LateRefusal = LateRefusal.STATION
    refuses_concurrent: bool = True
    accepts_contracts: bool = False
    master_group: str | None = None
    cache_entries: int = 10_000
    cache_lifetime: timedelta | None = timedelta(days=30)
    tags: Mapping[str, Tag] = field(default_factory=dict)
    is_off: bool = False
    uses_cache: bool = True
    uses_lists: bool = True


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known at the moment a token is shown.

    `running`: transactions at that station, which the token may be about to stop. `is_charging`: it already has a
    transaction somewhere at the site (other than the one that is being decided). `reservation`: one for somebody else
    that stands in the way.
    """

    station: StationId
    evse: int | None = None
    is_start: bool = False
    running: Sequence[Transaction] = ()
    is_charging: bool = False
    remote_start: RemoteStart | None = None
    reservation: Reservation | None = None
    tag: Tag | None = None
    listed: ListEntry | None = None
    cached: TokenRecord | None = None

    @property
    def group(self) -> str | None:
        """The token's group, from the best source that names one."""
        listed = self.listed.verdict.group if self.listed and self.listed.verdict else None
        return listed or (self.cached.group if self.cached else None) or (self.tag.group if self.tag else None)


def authorize(
    token: IdToken, facts: Facts, *, mode: OfflineMode, options: AuthorizationOptions, now: datetime
) -> Decision:
    """Decide without the CSMS.

    Who may stop a running transaction always may: its own token, one of its group, the master pass. For a start that
    does not count: what may stop one session may not begin another.

    A token accepted without being known gets a short expiry, so that the station's own cache does not keep it.
    """
    group = facts.group
    stopping = None if facts.is_start else _may_stop(token, facts, options)
    if stopping is not None:
        return stopping
    if _is_master(group, options):
        return Decision(AuthorizationStatus.INVALID, Reason.MASTER_PASS_STARTS_NOTHING, group)
    if facts.remote_start is not None and now < facts.remote_start.until:
        return Decision(AuthorizationStatus.ACCEPTED, Reason.REMOTE_START, group)
    if facts.tag is not None and (facts.tag.until is None or now < facts.tag.until):
        return Decision(AuthorizationStatus.ACCEPTED, Reason.TAGS_FILE, group)
    if mode is OfflineMode.DENY:
        return Decision(AuthorizationStatus.INVALID, Reason.OFFLINE_DENIED, group)
    if options.is_off:
        return Decision(AuthorizationStatus.INVALID, Reason.OFFLINE_OFF, group)
    decision = _by_knowledge(token, facts, mode, options, now)
    return _by_circumstances(token, facts, options, decision) if decision.is_accepted else decision


def _may_stop(token: IdToken, facts: Facts, options: AuthorizationOptions) -> Decision | None:
    accepted, group = AuthorizationStatus.ACCEPTED, facts.group
    for transaction in facts.running:
        if transaction.token is not None and transaction.token.casefold() == token.folded:
            return Decision(accepted, Reason.RUNNING_TRANSACTION, transaction.group or group)
        if _is_same(group, transaction.group):
            return Decision(accepted, Reason.SAME_GROUP, group)
    if facts.running and _is_master(group, options):
        return Decision(accepted, Reason.MASTER_PASS, group)
    return None


def _is_same(group: str | None, other: str | None) -> bool:
    """No group is not the same group."""
    return group is not None and other is not None and group.casefold() == other.casefold()


def _is_master(group: str | None, options: AuthorizationOptions) -> bool:
    """The master pass is named by its value; a group may have its type behind that."""
    return _is_same(group, options.master_group) or _is_same((group or "").rpartition("|")[0], options.master_group)


def _by_knowledge(
    token: IdToken, facts: Facts, mode: OfflineMode, options: AuthorizationOptions, now: datetime
) -> Decision:
    """The local list before the cache, the cache before the mode. ConcurrentTx in a list is no refusal."""
    if facts.listed is not None and facts.listed.verdict is not None:
        verdict = facts.listed.verdict
        if verdict.status is AuthorizationStatus.CONCURRENT_TX:
            verdict = Verdict(AuthorizationStatus.ACCEPTED, verdict.group, verdict.expiry, verdict.evses)
        return _judged(verdict, facts, now, Reason.LOCAL_LIST, Reason.REFUSED_BY_LIST)
    known = _verdict_of(facts.cached)
    if known is not None and not _is_stale(facts, options, now):
        return _judged(known, facts, now, Reason.KNOWN, Reason.REFUSED_BEFORE)
    if mode is OfflineMode.ALLOW_UNKNOWN and not token.is_contract:
        expiry = (now + _SHORT).strftime("%Y-%m-%dT%H:%M:%SZ")
        return Decision(AuthorizationStatus.ACCEPTED, Reason.UNKNOWN_ALLOWED, expiry=expiry)
    return Decision(AuthorizationStatus.INVALID, Reason.UNKNOWN_REFUSED)


def _verdict_of(cached: TokenRecord | None) -> Verdict | None:
    if cached is None:
        return None
    try:
        status = AuthorizationStatus(cached.status)
    except ValueError:
        status = AuthorizationStatus.INVALID
    return Verdict(status, cached.group, cached.expiry, cached.evses)


def _is_stale(facts: Facts, options: AuthorizationOptions, now: datetime) -> bool:
    """Not used for too long, or good for certain EVSEs of another station. A refusal does not get old."""
    cached = facts.cached
    if cached is None or cached.status != AuthorizationStatus.ACCEPTED:
        return False
    if cached.evses and cached.station != facts.station:
        return True
    return options.cache_lifetime is not None and now - cached.used > options.cache_lifetime


def _judged(verdict: Verdict, facts: Facts, now: datetime, good: Reason, bad: Reason) -> Decision:
    if verdict.status is not AuthorizationStatus.ACCEPTED:
        return Decision(verdict.status, bad, verdict.group, verdict.expiry)
    if is_over(verdict.expiry, now):
        return Decision(AuthorizationStatus.EXPIRED, Reason.EXPIRED, verdict.group, verdict.expiry)
    if verdict.evses and facts.evse is not None and facts.evse not in verdict.evses:
        return Decision(AuthorizationStatus.NOT_ALLOWED_TYPE_EVSE, Reason.OTHER_EVSE, verdict.group)
    return Decision(verdict.status, good, verdict.group, verdict.expiry)


def _by_circumstances(token: IdToken, facts: Facts, options: AuthorizationOptions, decision: Decision) -> Decision:
    """A good token may be in the wrong place, or charge already. A contract counts only if it could be checked.

    With hashes the station has checked the chain itself, and asks for the revocation that only the CSMS can know; with
    the whole certificate it has checked nothing.
    """
    if token.proof is Proof.CERTIFICATE or (token.proof is Proof.HASHES and not options.accepts_contracts):
        return Decision(AuthorizationStatus.INVALID, Reason.CONTRACT_NOT_CHECKED, decision.group)
    if facts.reservation is not None:
        return Decision(AuthorizationStatus.NOT_AT_THIS_TIME, Reason.RESERVED, decision.group)
    if facts.is_start and facts.is_charging and options.refuses_concurrent:
        return Decision(AuthorizationStatus.CONCURRENT_TX, Reason.CONCURRENT, decision.group)
    if token.proof is Proof.HASHES:
        return Decision(decision.status, decision.reason, decision.group, decision.expiry, vouches=True)
    return decision


def is_over(expiry: str | None, now: datetime) -> bool:
    """An expiry that can't be read, or has no zone, can't end a token's validity."""
    if not expiry:
        return False
    try:
        moment = datetime.fromisoformat(expiry)
    except ValueError:
        return False
    return moment.tzinfo is not None and moment <= now
