"""Rows of the durable half. A `Change` is one record to put or to drop: the same list is applied to memory and to
SQLite, so what a restart loads is what memory held."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace as replaced

from gateway.model.events import EventKind, RegistrationStatus
from gateway.model.ids import MessageId, RowId, StationId, TransactionKey
from gateway.model.place import Place
from gateway.model.reasons import AuditKind, ParkReason
from gateway.model.settings import Setting, UplinkSecret
from gateway.model.transaction import Transaction
from gateway.model.translation import TokenAlias, TranslatedRow, TranslationRow


class RowState(StrEnum):
    """`queued` -> `released` (id, bytes and bound ids frozen, may have been sent) -> `delivered`; or `parked`."""

    QUEUED = "queued"
    RELEASED = "released"
    DELIVERED = "delivered"
    PARKED = "parked"


RELEASED = RowState.RELEASED
"""For what every message passes, as `events.STARTED`."""


class OutboxRow(Struct, frozen=True, gc=False):
    """One message on its way to the CSMS, payload as received.

    `bound_tx_id` and `offline` are frozen at release. `errors` counts CALLERRORs, not silence.
    `stamp` (`core.timebase`) is set where `received` is an estimate.
    `fingerprint` recognises the station's retry, also after delivery (the payload of a delivered row is dropped).
    `samples`: nothing but meter samples, which may be thinned. `parked`: why, while the state is parked.
    """

    id: RowId
    station: StationId
    dialect: str
    message_id: MessageId
    action: str
    payload: bytes
    fingerprint: str
    received: datetime
    kind: EventKind | None = None
    transaction: TransactionKey | None = None
    token: str | None = None
    state: RowState = RowState.QUEUED
    offline: bool = False
    bound_tx_id: int | None = None
    errors: int = 0
    last_error: str | None = None
    stamp: str | None = None
    samples: bool = False
    parked: ParkReason | None = None


@dataclass(frozen=True, slots=True)
class UnknownOutcome:
    """A delivery that was (or may have been) sent and never answered: the CSMS may hold it twice."""

    row: RowId
    station: StationId
    message_id: MessageId
    action: str
    transaction: TransactionKey | None
    noticed: datetime


class Approval(StrEnum):
    """Why a station is served, or is not. One taken out of the configuration is unknown again; its ledger is kept."""

    CONFIGURED = "configured"
    ACCEPTED = "accepted"
    APPROVED = "approved"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class StationRecord:
    """What is remembered of a station.

    `boot`: the last BootNotification's payload; `boot_due`: it has not reached the CSMS yet.
    `was_accepted`: a CSMS has accepted it at least once. `boots` counts boots. `registration`: the CSMS's last word on
    a boot of it, `wait_s` the interval that came with Pending or Rejected; `told`: what the station itself last heard.
    `upstream_dialect`: the version the CSMS picked. `credential`: salted hash pinned at approval.
    """

    id: StationId
    approval: Approval = Approval.UNKNOWN
    credential: str | None = None
    dialect: str | None = None
    upstream_dialect: str | None = None
    boot: bytes | None = None
    boot_due: bool = False
    boots: int = 0
    was_accepted: bool = False
    interval_s: int = 300
    registration: RegistrationStatus | None = None
    told: RegistrationStatus | None = None
    wait_s: int = 0


@dataclass(frozen=True, slots=True)
class LatestMessage:
    """The newest message of its kind (a StatusNotification per connector) that the CSMS has not answered yet."""

    station: StationId
    slot: str
    dialect: str
    action: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What the CSMS last said of a token (its key), at any station.

    `seen`: when it said so; `used`: when that was last of use. Both are kept to the day, not to the second.
    `evses`: the only ones of `station` that it is good for; empty = all, at every station.
    """

    token: str
    status: str
    group: str | None
    expiry: str | None
    seen: datetime
    used: datetime
    station: StationId | None = None
    evses: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LocalList:
    """The content of a Local Authorization List; stations that were given the same one share it."""

    digest: str
    entries: bytes


@dataclass(frozen=True, slots=True)
class StationAuthorization:
    """What the CSMS believes of a station's list and cache, and what the station itself holds.

    `version`, `digest`, `given`: the list the CSMS gave it, None if it never gave one. `held_version`, `held_digest`:
    what was written into the station, None if that is not known. `cache_cleared`: older tokens don't count here;
    `clear_due`: the station itself has not been told yet.
    """

    station: StationId
    version: int | None = None
    digest: str | None = None
    given: datetime | None = None
    held_version: int | None = None
    held_digest: str | None = None
    cache_cleared: datetime | None = None
    clear_due: bool = False


@dataclass(frozen=True, slots=True)
class Reservation:
    """A connector kept for a token (its key) or its group until `until`; `evse` None: any one of the station."""

    station: StationId
    id: int
    evse: int | None
    token: str
    group: str | None
    until: datetime


@dataclass(frozen=True, slots=True)
class RemoteStart:
    """A token the CSMS asked this station to start with: accepted there until its start or `until`."""

    station: StationId
    token: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Counter:
    name: str
    value: int


@dataclass(frozen=True, slots=True)
class ClockBase:
    """The time under one boot of the box: epoch seconds at monotonic 0, its trust, and the latest time seen."""

    boot: str
    anchor_s: float
    trust: str
    last_s: float


@dataclass(frozen=True, slots=True)
class StationClock:
    """The time a station was told last, as an anchor under that boot; `skew_s`: how far its own clock was ahead."""

    station: StationId
    boot: str
    anchor_s: float | None = None
    skew_s: float | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What was done to the queue or the database. `detail` is JSON: a dropped message is kept here."""

    id: int
    at: datetime
    kind: AuditKind
    station: StationId | None
    text: str
    detail: bytes | None = None


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """A charging profile that the CSMS gave the virtual station; `key` tells it from the station's others."""

    station: StationId
    key: str
    content: bytes


@dataclass(frozen=True, slots=True)
class PriorityRow:
    """A transaction that charges with priority (2.1)."""

    station: StationId
    transaction: TransactionKey


@dataclass(frozen=True, slots=True)
class ConnectorRow:
    """What a connector holds by itself. `ceiling_a`: the most that one whose leases do not end may hold, None while it
    was never given more than its fallback. `fallback_a`: the fallback installed in it, `checked`: the hardware and
    firmware that was seen to hold it; None: not managed yet.
    """

    station: StationId
    evse: int
    ceiling_a: float | None = None
    fallback_a: float | None = None
    checked: str | None = None


@dataclass(frozen=True, slots=True)
class BackgroundRow:
    """How a circuit's background has moved so far, as JSON: within a lease, and from reading to reading."""

    circuit: str
    rises: bytes
    steps: bytes


@dataclass(frozen=True, slots=True)
class CapRow:
    """The cap a source outside has set on a circuit, and until when it holds. No limit at all: it was heard, and caps
    nothing."""

    source: str
    circuit: str
    limit_w: float | None
    limit_a: tuple[float, ...] | None
    received: datetime
    until: datetime


Record = (
    Transaction
    | OutboxRow
    | UnknownOutcome
    | StationRecord
    | LatestMessage
    | TokenRecord
    | RemoteStart
    | Counter
    | LocalList
    | StationAuthorization
    | Reservation
    | ClockBase
    | StationClock
    | Setting
    | UplinkSecret
    | Place
    | AuditEntry
    | ProfileRow
    | PriorityRow
    | ConnectorRow
    | BackgroundRow
    | CapRow
    | TranslationRow
    | TranslatedRow
    | TokenAlias
)


class Put(Struct, frozen=True, gc=False):
    """Insert the record, or replace the one with the same key."""

    record: Record


class Drop(Struct, frozen=True, gc=False):
    """Remove the record with this one's key."""

    record: Record


class Delivered(Struct, frozen=True, gc=False):
    """Put an outbox row as delivered, its payload dropped; nothing else of it changes. `record`: as it was."""

    record: OutboxRow

    @property
    def outcome(self) -> OutboxRow:
        return replaced(self.record, state=RowState.DELIVERED, payload=b"")


Change = Put | Drop | Delivered
