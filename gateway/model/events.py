"""What a station tells us and what a CSMS answers, decoded: the same shape in every OCPP version."""

from dataclasses import dataclass
from enum import StrEnum

from msgspec import Struct

from gateway.model.token import IdToken, Verdict


class EventKind(StrEnum):
    """The three kinds of transaction message (OCPP 2.0.1 TransactionEventEnumType)."""

    STARTED = "Started"
    UPDATED = "Updated"
    ENDED = "Ended"


STARTED, UPDATED, ENDED = EventKind
"""For what every message passes: up to Python 3.11 it takes longer to look a member up in its enum than to call."""


class TransactionMessage(Struct, frozen=True, gc=False):
    """One transaction message of a station; 1.6's Start-, StopTransaction and MeterValues take the same shape.

    `station_tx_id` is the id the station uses (None in 1.6's Start, which has none yet).
    `fingerprint` recognises a retry: 2.x transactionId + seqNo + eventType + timestamp (of an Updated
    its trigger, too), in 1.6 the payload's hash
    (for a Start: connector + idTag + meterStart + timestamp).
    `samples_only` marks what may wait for the CSMS's answer uncommitted. `reservation`: the one that is used up.
    """

    kind: EventKind
    fingerprint: str
    station_tx_id: str | None = None
    evse: int | None = None
    token: IdToken | None = None
    timestamp: str = ""
    meter_wh: int | None = None
    samples_only: bool = False
    stopped_reason: str | None = None
    reservation: int | None = None


@dataclass(frozen=True, slots=True)
class StatusReport:
    """StatusNotification: `connector` is 0 for the station itself."""

    evse: int
    connector: int
    status: str
    error: str = ""


class TransactionAnswer(Struct, frozen=True, gc=False):
    """The CSMS's answer to a transaction message. `upstream_tx_id` only in 1.6, and only to a Start."""

    upstream_tx_id: int | None = None
    verdict: Verdict | None = None


SAYS_NOTHING = TransactionAnswer()


class RegistrationStatus(StrEnum):
    ACCEPTED = "Accepted"
    PENDING = "Pending"
    REJECTED = "Rejected"


@dataclass(frozen=True, slots=True)
class BootAnswer:
    """The CSMS's answer to a BootNotification; `interval_s` is heartbeat interval or wait."""

    status: RegistrationStatus
    interval_s: int
