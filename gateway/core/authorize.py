"""May this token charge here now, and why. Used while the CSMS can't be asked, or does not answer in time."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from gateway.model.records import RemoteStart, TokenRecord
from gateway.model.token import AuthorizationStatus, Decision, IdToken, OfflineMode, Reason
from gateway.model.transaction import Transaction

_SHORT = timedelta(hours=1)


def authorize(
    token: IdToken,
    *,
    mode: OfflineMode,
    known: TokenRecord | None,
    running: Iterable[Transaction],
    remote_start: RemoteStart | None,
    now: datetime,
) -> Decision:
    """Decide without the CSMS.

    `running`: transactions on that station that the token may be about to stop: theirs, or one of their group, always
    may. For a start there are none: what may stop one session may not begin another.

    A token accepted without being known gets a short expiry, so that the station's own cache does not keep it.
    """
    accepted = AuthorizationStatus.ACCEPTED
    group = known.group if known else None
    for transaction in running:
        if transaction.token is not None and transaction.token.casefold() == token.folded:
            return Decision(accepted, Reason.RUNNING_TRANSACTION, transaction.group or group)
        if group is not None and transaction.group is not None and transaction.group.casefold() == group.casefold():
            return Decision(accepted, Reason.SAME_GROUP, group)
    if remote_start is not None and now < remote_start.until:
        return Decision(accepted, Reason.REMOTE_START, group)
    if mode is OfflineMode.DENY:
        return Decision(AuthorizationStatus.INVALID, Reason.OFFLINE_DENIED, group)
    if known is not None:
        return _from_record(known, now)
    if mode is OfflineMode.ALLOW_UNKNOWN:
        return Decision(accepted, Reason.UNKNOWN_ALLOWED, expiry=(now + _SHORT).strftime("%Y-%m-%dT%H:%M:%SZ"))
    return Decision(AuthorizationStatus.INVALID, Reason.UNKNOWN_REFUSED)


def _from_record(known: TokenRecord, now: datetime) -> Decision:
    try:
        status = AuthorizationStatus(known.status)
    except ValueError:
        status = AuthorizationStatus.INVALID
    if status is AuthorizationStatus.ACCEPTED and _is_over(known.expiry, now):
        status = AuthorizationStatus.EXPIRED
    reason = Reason.KNOWN if status is AuthorizationStatus.ACCEPTED else Reason.REFUSED_BEFORE
    return Decision(status, reason, known.group, known.expiry)


def _is_over(expiry: str | None, now: datetime) -> bool:
    """An expiry that can't be read, or has no zone, can't end a token's validity."""
    if not expiry:
        return False
    try:
        moment = datetime.fromisoformat(expiry)
    except ValueError:
        return False
    return moment.tzinfo is not None and moment <= now


REFUSING = frozenset({AuthorizationStatus.BLOCKED, AuthorizationStatus.INVALID, AuthorizationStatus.EXPIRED})
"""Late verdicts that end a session. ConcurrentTx never does: in a late answer it is an artefact of the delay."""


def ends_session(status: AuthorizationStatus, expiry: str | None, started: datetime | None) -> bool:
    """Whether a verdict that came after ours stops its session; `Expired` only if it was so at the start."""
    if status is AuthorizationStatus.EXPIRED and started is not None and expiry:
        return _is_over(expiry, started)
    return status in REFUSING
