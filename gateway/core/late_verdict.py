"""What a verdict that comes after ours means for the session it is about (DESIGN D4)."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from gateway.core.authorize import is_over
from gateway.model.local_list import InvalidIdSettings
from gateway.model.token import AuthorizationStatus, LateRefusal
from gateway.model.transaction import Transaction, TransactionState

REFUSING = frozenset(
    {
        AuthorizationStatus.BLOCKED,
        AuthorizationStatus.INVALID,
        AuthorizationStatus.UNKNOWN,
        AuthorizationStatus.EXPIRED,
    }
)
"""Late verdicts that end a session; Unknown is how 2.x says Invalid. ConcurrentTx never does: in a late answer it is an
artefact of the delay. The others are about a time or a place that the driver has long been let in to."""

ENERGY_WAIT_S = 900.0
"""How long a station may be silent about its meter before its allowance counts as used up."""


def ends_session(status: AuthorizationStatus, expiry: str | None, started: datetime | None) -> bool:
    """Whether a verdict that came after ours stops its session; `Expired` only if it was so at the start."""
    if status is AuthorizationStatus.EXPIRED and started is not None and expiry:
        return is_over(expiry, started)
    return status in REFUSING


def judged(
    transaction: Transaction, status: AuthorizationStatus, expiry: str | None, policy: LateRefusal
) -> Transaction:
    """The transaction after a refusal that came after our own Accepted: it is stopped if that same one still runs."""
    stops = (
        policy is not LateRefusal.REPORT
        and transaction.state is TransactionState.RUNNING
        and transaction.status in (None, AuthorizationStatus.ACCEPTED)
        and ends_session(status, expiry, transaction.received)
    )
    return replace(transaction, late_status=status, deauthorized=transaction.deauthorized or stops)


class Action(StrEnum):
    """What is done now with a session that was refused. `wait`: it may still take some energy."""

    STOP = "stop"
    LIMIT = "limit"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Delivered:
    """What the session has taken: `wh` since its start, None if that is not known; for `silent_s` nothing was heard."""

    wh: int | None
    silent_s: float


def act(policy: LateRefusal, says: InvalidIdSettings, delivered: Delivered) -> Action:
    """Stop, or limit to zero. By the station's own settings the allowance of MaxEnergyOnInvalidId is left first: it
    counts from the start of the transaction, for that is when the token was invalid."""
    if policy is LateRefusal.LIMIT_TO_ZERO:
        return Action.LIMIT
    if policy is LateRefusal.STATION:
        allowance = says.energy_wh or 0
        is_within = allowance > 0 and (delivered.wh is None or delivered.wh < allowance)
        if is_within and delivered.silent_s < ENERGY_WAIT_S:
            return Action.WAIT
        if says.stops is False:
            return Action.LIMIT
    return Action.STOP


_OUR_DOING = frozenset({"Remote", "Local", "Other", "DeAuthorized"})


def is_deauthorized(transaction: Transaction) -> bool:
    """Whether the end of a refused session is reported as DeAuthorized: a station that was told to stop says Remote, or
    nothing (Local). One that says what else ended it, a pulled cable or a fault, is believed."""
    return transaction.deauthorized and transaction.stopped_reason in _OUR_DOING
