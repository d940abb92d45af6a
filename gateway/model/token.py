"""IdTokens and what is known of them."""

from dataclasses import dataclass
from datetime import datetime
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


class Proof(StrEnum):
    """What came with a contract (ISO 15118) to be checked: hashes for OCSP, or the whole certificate."""

    NONE = "none"
    HASHES = "hashes"
    CERTIFICATE = "certificate"


_CARDS = frozenset({"", "central", "iso14443", "iso15693"})
"""Types that name the same cards; a version without types says "". All others are kept apart from these."""


@dataclass(frozen=True, slots=True)
class IdToken:
    """A driver's token. The original spelling is kept for the wire; `folded` and `key` are for look-up."""

    value: str
    type: str = ""
    proof: Proof = Proof.NONE

    @property
    def folded(self) -> str:
        """Tokens compare without regard to case (OCPP 1.6 ed. 2, 7.28; OCPP 2.0.1 Part 2, IdTokenType)."""
        return self.value.casefold()

    @property
    def key(self) -> str:
        """Under what it is remembered: a card is the same in every version, a PIN or a contract is no card."""
        kind = self.type.casefold()
        return self.folded if kind in _CARDS else f"{self.folded}|{kind}"

    @property
    def is_contract(self) -> bool:
        """Whether it stands for a contract certificate, which has to be checked and not only known."""
        return self.proof is not Proof.NONE or self.type.casefold() == "emaid"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a CSMS said of a token. `evses`: the only ones of that station it is good for; empty = all."""

    status: AuthorizationStatus
    group: str | None = None
    expiry: str | None = None
    evses: tuple[int, ...] = ()


class Reason(StrEnum):
    """Why a token was accepted or refused; the same words in page, API, metrics and log."""

    CSMS = "csms"
    KNOWN = "known"
    LOCAL_LIST = "local_list"
    TAGS_FILE = "tags_file"
    RUNNING_TRANSACTION = "running_transaction"
    SAME_GROUP = "same_group"
    MASTER_PASS = "master_pass"  # noqa: S105  no password
    REMOTE_START = "remote_start"
    UNKNOWN_ALLOWED = "unknown_allowed"
    UNKNOWN_REFUSED = "unknown_refused"
    REFUSED_BEFORE = "refused_before"
    REFUSED_BY_LIST = "refused_by_list"
    EXPIRED = "expired"
    OFFLINE_DENIED = "offline_denied"
    OFFLINE_OFF = "offline_off"
    CONCURRENT = "concurrent"
    RESERVED = "reserved"
    OTHER_EVSE = "other_evse"
    MASTER_PASS_STARTS_NOTHING = "master_pass_starts_nothing"  # noqa: S105  no password
    CONTRACT_NOT_CHECKED = "contract_not_checked"


@dataclass(frozen=True, slots=True)
class Decision:
    """The gateway's verdict on a token, with its reason. `vouches`: also for the contract's certificate."""

    status: AuthorizationStatus
    reason: Reason
    group: str | None = None
    expiry: str | None = None
    vouches: bool = False

    @property
    def is_accepted(self) -> bool:
        return self.status is AuthorizationStatus.ACCEPTED


class OfflineMode(StrEnum):
    """What happens to tokens while the CSMS can't be asked."""

    KNOWN_ONLY = "known-only"
    ALLOW_UNKNOWN = "allow-unknown"
    DENY = "deny"


class LateRefusal(StrEnum):
    """What is done with a session whose token the CSMS refuses after the gateway accepted it.

    station: what the station's own StopTransactionOnInvalidId and MaxEnergyOnInvalidId say (in 2.x: TxCtrlr's), and
    where it says nothing, stop. report: nothing but telling the operator.
    """

    STATION = "station"
    STOP = "stop"
    LIMIT_TO_ZERO = "limit-to-zero"
    REPORT = "report"


@dataclass(frozen=True, slots=True)
class Tag:
    """An entry of the installer's own file: always accepted, until a day if one is given."""

    token: IdToken
    group: str | None = None
    until: datetime | None = None
