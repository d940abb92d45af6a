"""IdTokens and what is known of them."""

from dataclasses import dataclass
from enum import StrEnum


class AuthorizationStatus(StrEnum):
    """Verdicts of both versions. 1.6 knows the first five."""

    ACCEPTED = "Accepted"
    BLOCKED = "Blocked"
    EXPIRED = "Expired"
    INVALID = "Invalid"
    CONCURRENT_TX = "ConcurrentTx"
    NO_CREDIT = "NoCredit"
    NOT_ALLOWED_TYPE_EVSE = "NotAllowedTypeEVSE"
    NOT_AT_THIS_LOCATION = "NotAtThisLocation"
    NOT_AT_THIS_TIME = "NotAtThisTime"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class IdToken:
    """A driver's token. The original spelling is kept for the wire; `folded` is for look-up."""

    value: str
    type: str = ""

    @property
    def folded(self) -> str:
        """Tokens compare without regard to case (OCPP 1.6 ed. 2, 7.28; OCPP 2.0.1 Part 2, IdTokenType)."""
        return self.value.casefold()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a CSMS said of a token in an answer."""

    status: AuthorizationStatus
    group: str | None = None
    expiry: str | None = None


class Reason(StrEnum):
    """Why a token was accepted or refused; the same words in page, API, metrics and log."""

    CSMS = "csms"
    KNOWN = "known"
    RUNNING_TRANSACTION = "running_transaction"
    SAME_GROUP = "same_group"
    REMOTE_START = "remote_start"
    UNKNOWN_ALLOWED = "unknown_allowed"
    UNKNOWN_REFUSED = "unknown_refused"
    REFUSED_BEFORE = "refused_before"
    OFFLINE_DENIED = "offline_denied"


@dataclass(frozen=True, slots=True)
class Decision:
    """The gateway's verdict on a token, with its reason."""

    status: AuthorizationStatus
    reason: Reason
    group: str | None = None
    expiry: str | None = None

    @property
    def is_accepted(self) -> bool:
        return self.status is AuthorizationStatus.ACCEPTED


class OfflineMode(StrEnum):
    """What happens to tokens while the CSMS can't be asked."""

    KNOWN_ONLY = "known-only"
    ALLOW_UNKNOWN = "allow-unknown"
    DENY = "deny"
