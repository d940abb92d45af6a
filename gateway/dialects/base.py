"""What a row of a dialect table says, and what a dialect can do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from gateway.model.events import BootAnswer, StatusReport, TransactionAnswer, TransactionMessage
from gateway.model.ids import StationId
from gateway.model.local_list import InvalidIdSettings, ListEntry, ListLimits, ListUpdate, UpdateStatus
from gateway.model.records import Reservation
from gateway.model.settings import Columns, Learned
from gateway.model.token import Decision, IdToken, Verdict
from gateway.rpc.codes import ErrorCode, Framing
from gateway.rpc.splice import Path

Json = dict[str, Any]
"""A payload, parsed: for reading only. What goes out is the bytes that came in."""


class Route(StrEnum):
    """What is done with an action.

    relay: pass on and answer with the peer's answer. answer: the gateway answers. durable: commit, forward, wait for
    the CSMS's own verdict within the budget, else the local one. latest: answer; only the newest of its slot is
    replayed. merge: charging profiles. intercept: credentials, URLs, network profiles, roots, local list. refuse:
    CALLERROR or Rejected.
    """

    RELAY = "relay"
    ANSWER = "answer"
    DURABLE = "durable"
    LATEST = "latest"
    MERGE = "merge"
    INTERCEPT = "intercept"
    REFUSE = "refuse"


class Treatment(StrEnum):
    """How a payload travels: as received, or with members spliced."""

    VERBATIM = "verbatim"
    SPLICE = "splice"


class Commit(StrEnum):
    """When a durable message is committed: before it is forwarded, or only if the gateway answers for the CSMS."""

    NONE = "none"
    EAGER = "eager"
    LAZY = "lazy"


class Budget(StrEnum):
    """How long the gateway waits for the CSMS before it answers itself; the figures are configuration.

    start: a Start / Started. Other messages of the same row (TransactionEvent Updated, Ended) wait `other`.
    """

    AUTHORIZE = "authorize"
    START = "start"
    OTHER = "other"


class Role(StrEnum):
    """What an action means to the flows; everything else is only routed."""

    BOOT = "boot"
    HEARTBEAT = "heartbeat"
    AUTHORIZE = "authorize"
    TRANSACTION = "transaction"
    STATUS = "status"
    REMOTE_START = "remote_start"
    REMOTE_STOP = "remote_stop"
    SEND_LIST = "send_list"
    LIST_VERSION = "list_version"
    CLEAR_CACHE = "clear_cache"
    RESERVE = "reserve"
    CANCEL_RESERVATION = "cancel_reservation"
    RESERVATION_STATUS = "reservation_status"
    QUEUE_STATUS = "queue_status"
    CUSTOMER = "customer"


@dataclass(frozen=True, slots=True)
class Guarded:
    """A command after its guard: what goes down (None: nothing), and how the answer is made of the station's.

    If nothing goes down, `finish(None)` is the whole answer. Otherwise `finish` gets the station's CALLRESULT; its
    CALLERROR, or its silence, is passed on without `finish`. `learn` gets what `finish` gets, and says what is to be
    kept of it. `why`: for the log, where the answer has no room for it.
    """

    forward: bytes | None
    finish: Callable[[bytes | None], bytes]
    learn: Callable[[bytes | None], Learned] | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class UpRule:
    """A row of the station -> CSMS table.

    `offline`: the answer while the CSMS can't be asked (payload, or the code of a CALLERROR); None where the codec
    makes it. `slot` names what a newer message of the same kind replaces (route latest). `clean` removes secrets from
    what goes up. `is_send`: a message that has no answer (SEND); as a CALL it is relayed like any other.
    """

    action: str
    route: Route
    aggregate: Route
    treatment: Treatment = Treatment.VERBATIM
    commit: Commit = Commit.NONE
    budget: Budget = Budget.OTHER
    offline: bytes | ErrorCode | None = b"{}"
    role: Role | None = None
    slot: Callable[[Json], str] | None = None
    clean: Callable[[bytes, Columns], tuple[bytes, Learned]] | None = None
    is_send: bool = False


@dataclass(frozen=True, slots=True)
class DownRule:
    """A row of the CSMS -> station table. `treatment` is that of the command and of its answer.

    `rejected`: the answer when the station can't be reached or the gateway refuses; None where the action has no
    refusing status, and a CALLERROR is sent. `tx_ids`: members that hold a transaction id (upstream -> station's).
    `guard` (routes relay and intercept) keeps credentials, URLs and roots on the leg they belong to; it raises
    CallError for a command it can't read without doubt. Route intercept: answered with `rejected`, nothing goes down.
    `keeps`: a guard of settings, which knows their two columns.
    """

    action: str
    route: Route
    aggregate: Route
    treatment: Treatment = Treatment.VERBATIM
    rejected: bytes | None = None
    role: Role | None = None
    tx_ids: tuple[Path, ...] = ()
    guard: Callable[[bytes], Guarded] | None = None
    keeps: Callable[[bytes, Columns], Guarded] | None = None


class Codec(Protocol):
    """Payloads of one version to the model and back. Readers are lenient: what is missing reads as None or "".

    Readers raise CallError only where a message can't be booked at all.
    """

    def transaction(self, action: str, payload: bytes) -> TransactionMessage | None:
        """Read a transaction message; None if this one belongs to no transaction (MeterValues outside of one)."""

    def token(self, payload: bytes) -> IdToken | None:
        """Read the token of an Authorize."""

    def status(self, payload: bytes) -> StatusReport | None:
        """Read a StatusNotification."""

    def remote_token(self, payload: bytes) -> IdToken | None:
        """Read the token of a RemoteStart / RequestStart."""

    def boot_answer(self, payload: bytes) -> BootAnswer | None:
        """Read the CSMS's answer to a boot; None if it can't be read."""

    def authorize_answer(self, payload: bytes) -> Verdict | None:
        """Read the CSMS's answer to an Authorize; None if it says nothing of the token."""

    def transaction_answer(self, action: str, payload: bytes) -> TransactionAnswer:
        """Read the CSMS's answer to a transaction message."""

    def current_time(self, payload: bytes) -> str | None:
        """The time an answer of the CSMS (to a boot, a heartbeat) tells, as it spells it."""

    def with_time(self, payload: bytes, moment: datetime) -> bytes:
        """The same answer with another time in it."""

    def answer_boot(self, answer: BootAnswer, now: datetime) -> bytes: ...

    def answer_heartbeat(self, now: datetime) -> bytes: ...

    def answer_authorize(self, decision: Decision) -> bytes: ...

    def answer_transaction(
        self, action: str, message: TransactionMessage, decision: Decision | None, station_tx_id: str | None
    ) -> bytes:
        """The gateway's own answer; `decision` where the message carried a token."""

    def rebind_answer(self, action: str, payload: bytes, station_tx_id: str | None) -> bytes:
        """The CSMS's answer, with the transaction id replaced by the one this station uses."""

    def bind(
        self, action: str, payload: bytes, *, upstream_tx_id: int | None, offline: bool, stopped_reason: str | None
    ) -> bytes:
        """A queued message as it goes up: the CSMS's own transaction id, the offline flag, a corrected stop reason."""

    def map_tx_id(self, station_tx_id: str) -> bytes:
        """A transaction id as JSON text."""

    def remote_stop(self, station_tx_id: str) -> tuple[str, bytes]:
        """Action and payload that stop a transaction."""

    def trigger_status(self) -> tuple[str, bytes]:
        """Action and payload that ask a station for the status of its connectors."""

    def trigger_readings(self, evse: int) -> tuple[str, bytes]:
        """Action and payload that ask a station what a connector draws now."""

    def trigger_boot(self) -> tuple[str, bytes]:
        """Action and payload that ask a station for its BootNotification."""

    def transaction_asked(self, payload: bytes) -> str | None:
        """The transaction a status question is about; None if it is about all."""

    def queue_status(self, payload: bytes, in_queue: bool) -> bytes:
        """A transaction status answer that also tells of messages in the gateway's queue (2.x E14)."""

    def answer_queue_status(self, is_running: bool | None, in_queue: bool) -> bytes:
        """The gateway's own answer; `is_running` None: no transaction was asked about (2.x E14)."""


class TokenCodec(Protocol):
    """Lists, reservations and invalid tokens. Readers are as lenient as those of `Codec`.

    A list that says of one token what can't be read is refused as a whole; a question has action and payload.
    """

    def cleared_customer(self, payload: bytes) -> IdToken | None:
        """Whose data a CustomerInformation wants cleared; None: nobody's, or it names no token."""

    def list_update(self, payload: bytes) -> ListUpdate | None:
        """Read a list that the CSMS sends; None if it can't be read. Raises CallError if it is no JSON object."""

    def answer_list(self, status: UpdateStatus) -> bytes: ...

    def answer_list_version(self, version: int, *, is_empty: bool) -> bytes: ...

    def list_entry(self, entry: ListEntry) -> bytes | None:
        """An entry as it goes to a station; None if this version can't hold it."""

    def send_list(self, version: int, is_full: bool, entries: Sequence[bytes]) -> tuple[str, bytes]:
        """A list, or a part of one, for a station."""

    def list_taken(self, payload: bytes) -> UpdateStatus | None:
        """What the station says to it; None if it does not support lists."""

    def ask_list_version(self) -> tuple[str, bytes]: ...

    def list_version(self, payload: bytes) -> int | None:
        """The version in a station; None if it does not support lists."""

    def ask_list_limits(self) -> tuple[str, bytes]: ...

    def list_limits(self, payload: bytes) -> ListLimits: ...

    def list_conflict(self, status: str) -> tuple[str, bytes] | None:
        """Tells the CSMS that its list and its verdict differ, beside the station's status; None: it can't be said."""

    def accepts(self, payload: bytes) -> bool:
        """Whether a station's answer says Accepted."""

    def reservation(self, station: StationId, payload: bytes) -> Reservation | None:
        """Read a ReserveNow; None if it can't be kept."""

    def reservation_id(self, payload: bytes) -> int | None:
        """Which reservation is cancelled, or over."""

    def ask_invalid_id(self) -> tuple[str, bytes]:
        """Asks what the station does with an invalid token in a running transaction."""

    def invalid_id(self, payload: bytes) -> InvalidIdSettings: ...

    def limit_to_zero(self, station_tx_id: str, evse: int, profile_id: int, level: int) -> tuple[str, bytes]:
        """A charging profile of 0 A for the rest of a transaction."""

    def energy_wh(self, action: str, payload: bytes) -> int | None:
        """The register in a transaction message of which `Codec.transaction` reads none."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One OCPP version. `name` is what is stored and shown; `subprotocol` is what the handshake says.

    `csms_gives_tx_ids`: the id of a transaction is the CSMS's to give (1.6), and messages must carry it.
    `speaks_early`: many stations of this version don't wait for the answer to their boot.
    `silent_if_rejected`: a rejected station answers no command (1.6, 4.2); else with SecurityError (2.x, B03).
    """

    name: str
    subprotocol: str
    framing: Framing
    codec: Codec
    tokens: TokenCodec
    up: Mapping[str, UpRule] = field(repr=False)
    down: Mapping[str, DownRule] = field(repr=False)
    csms_gives_tx_ids: bool = False
    speaks_early: bool = False
    silent_if_rejected: bool = False
