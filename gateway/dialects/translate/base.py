"""What every translator uses: the types of what goes in and comes out, and what is remembered of a station.

Nothing here waits or asks the time. A translator gets a message, the station's memory and `now`; what it wants kept it
returns as an `Edit`, which the shell applies to the memory of that moment and commits before anything leaves. Payloads
are parsed with `read`: numbers with a point are Decimals, so that no digit of a meter or a limit is lost.
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from gateway.model.profile import ChargingProfile
from gateway.model.token import IdToken
from gateway.rpc.codes import CallError, ErrorCode

Json = dict[str, Any]

_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


def read(payload: bytes) -> Json:
    """Parse a payload, numbers exact. Raises CallError(FORMAT_VIOLATION) if it is no JSON object."""
    try:
        found = _decode(payload)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise CallError(ErrorCode.FORMAT_VIOLATION, f"no JSON: {str(error)[:100]}") from error
    if not isinstance(found, dict):
        raise CallError(ErrorCode.FORMAT_VIOLATION, "no JSON object")
    return found


def encode(value: Any) -> bytes:
    """JSON text; a Decimal is written with the digits it has."""
    return _encode(value)


# -- what is remembered ------------------------------------------------------------------------------------------------


class Tx(Struct, frozen=True, omit_defaults=True):
    """A transaction, from its first message to the CSMS's answer to its last.

    `station_id`: what the walks call it upstream: the station's own id (2.x), or the whole number (1.6) that they were
    given as the CSMS's. `csms_id`: what the CSMS calls it, "" while it has not said so (1.6). `order`: the later one is
    the newer. `seq`: the seqNo of its next event. `said_*`: what the CSMS has been told, and must be told once or only
    when it changes. `power_path`: energy could flow once.
    """

    station_id: str
    csms_id: str
    order: int = 0
    evse: int = 0
    connector: int = 1
    seq: int = 0
    said_state: str = ""
    said_evse: bool = False
    state: str = ""
    started: str = ""
    meter_wh: str | None = None
    token: str | None = None
    token_type: str = ""
    reservation: int | None = None
    remote_start: int | None = None
    is_begun: bool = False
    is_ended: bool = False
    power_path: bool = False


class Name(Struct, frozen=True):
    """What the CSMS called a transaction that is over. `order`: as of its `Tx`."""

    csms_id: str
    order: int


class PassedProfile(Struct, frozen=True, omit_defaults=True):
    """A charging profile of a 2.x CSMS that a 1.6 station has accepted. `text`: its JSON, as the CSMS gave it.

    `tx`: `Tx.station_id` of the transaction it is for. `order`: the later one is the newer.
    """

    id: int
    evse: int
    purpose: str
    stack_level: int
    text: str
    tx: str = ""
    order: int = 0


class Place(Struct, frozen=True, omit_defaults=True):
    """A connector. `status`, `error`: as its station last said; `said`: as the CSMS was last told."""

    status: str = ""
    error: str = ""
    said: str = ""
    was_charging: bool = False
    """A transaction has ended here since a cable was last plugged in: occupied is Finishing, not Preparing."""


class AskedStart(Struct, frozen=True, omit_defaults=True):
    """A remote start of a 2.x CSMS that a 1.6 station has not acted on yet. `tag`: the idTag it went down with, folded;
    the token itself is in the CSMS's spelling; `until` is ISO 8601; `profile`: JSON of the one it came with."""

    remote_start: int
    tag: str
    token: str
    type: str
    evse: int | None
    until: str
    profile: str = ""


class Memory(Struct, frozen=True, omit_defaults=True):
    """All that the translation remembers of one station. Changed by `Edit`s only.

    On disk each entry of a dict is a record of its own, so that what is written late never undoes what was written
    meanwhile.

    `numbers`: the 1.6 connector that stands for "evse/connector" of a 2.x station; given once, never changed.
    `requests`: ids by what they are of ("log", "firmware", "report" ...), for versions that have none.
    `notes`: whatever else a command has to remember, by names of its own ("reset" ...).
    """

    transactions: dict[str, Tx] = {}
    """By `Tx.station_id`."""
    places: dict[str, Place] = {}
    """By "evse/connector"; "0/0" is the station."""
    starts: tuple[AskedStart, ...] = ()
    numbers: dict[str, int] = {}
    requests: dict[str, int] = {}
    next_request: int = 1
    notes: dict[str, str] = {}
    names: dict[str, Name] = {}
    """For operators, of transactions that are remembered no more; by `Tx.station_id`."""
    profiles: dict[str, PassedProfile] = {}
    """By their ids."""

    def csms_name(self, station_id: str) -> str | None:
        """What the CSMS calls a transaction; None if it has not said so, or that is forgotten."""
        known = self.transactions.get(station_id) or self.names.get(station_id)
        return known.csms_id or None if known is not None else None

    def tx_of_csms(self, csms_id: str) -> Tx | None:
        """The transaction that the CSMS calls so; the newest, where it gave an id twice."""
        return self._newest(tx for tx in self.transactions.values() if tx.csms_id == csms_id)

    def tx_at(self, evse: int) -> Tx | None:
        """The transaction that runs at an EVSE."""
        return self._newest(tx for tx in self.transactions.values() if tx.evse == evse and not tx.is_ended)

    def _newest(self, found: Iterable[Tx]) -> Tx | None:
        return max(found, key=lambda tx: tx.order, default=None)


Edit = Callable[[Memory], Memory]
"""A change of the memory. Applied to the memory as it is then; made by `msgspec.structs.replace`, never in place."""


class Alias(Struct, frozen=True):
    """What a token too long for 1.6 is called there. Known to all stations, and never forgotten."""

    alias: str
    value: str
    type: str


# -- losses ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Loss:
    """A row of the published loss table. `key` names it in code and tests; `way`: "1.6 -> 2.0.1" or "2.0.1 -> 1.6",
    which is the way the thing itself travels; `becomes`: what the other side sees."""

    key: str
    way: str
    what: str
    becomes: str


# -- messages upwards --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Message:
    """A CALL as it is to be made, in the version of who gets it."""

    action: str
    payload: Json


@dataclass(frozen=True, slots=True)
class Refused:
    """What can't be translated: the asker gets this CALLERROR. `remember`: of a command, as of a `Reply`."""

    code: ErrorCode
    reason: str
    remember: Edit | None = field(default=None, compare=False)

    def error(self) -> CallError:
        return CallError(self.code, self.reason)


@dataclass(frozen=True, slots=True)
class HeldProfile:
    """A charging profile that the gateway holds for a station. `source`: who set it."""

    evse: int
    source: str
    profile: ChargingProfile


class Keeper(Protocol):
    """What the gateway itself keeps of a station, for commands about what 1.6 does not tell. To look at only."""

    def profiles(self) -> Sequence[HeldProfile] | None:
        """None: the gateway does not share this station's current, and passes profiles on."""

    def customer(self, token: IdToken) -> Sequence[str]:
        """What is kept of a token as the station knows it, in lines of text."""


class _Nothing:
    def profiles(self) -> None:
        return None

    def customer(self, token: IdToken) -> Sequence[str]:
        return ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What a translator may look at. `now` is aware. `station`, `csms`: names of their versions.

    `message_id`: of the message on its way up: the same at every repeat. `is_offline`: it was queued.
    """

    memory: Memory
    now: datetime
    station: str
    csms: str
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    """By alias, folded."""
    message_id: str = ""
    is_offline: bool = False
    keeper: Keeper = field(default_factory=_Nothing)


# -- commands downwards ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Command:
    """A CALL to the station, in its own version. It goes the way of every command: registration, guards,
    ids, balancing.

    `remember` and `aliases` are on disk before it goes down. `collects`: the action of messages of the station that
    belong to the answer and are kept from the CSMS (NotifyReport ...); they are known by the `requestId` of this
    command's payload, and the last one has no `tbc`.
    """

    action: str
    payload: Json
    remember: Edit | None = None
    collects: str | None = None
    aliases: tuple[Alias, ...] = ()
    password: bytes | None = field(default=None, repr=False)
    """Of the CSMS's link, set by the CSMS: it is kept at the uplink, and nothing goes down."""
    forgets: IdToken | None = None
    """The gateway's cache forgets it, and the station's whole cache is cleared as soon as it is there."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a `Command`: the station's (or the gateway's) answer, or the code of a CALLERROR."""

    payload: Json | None
    code: str | None = None
    description: str = ""
    collected: tuple[Json, ...] = ()

    @property
    def status(self) -> str:
        """The answer's `status`, "" where there is none."""
        said = (self.payload or {}).get("status")
        return said if isinstance(said, str) else ""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the CSMS, in its version. `remember` is on disk before it goes; `then`: CALLs to the CSMS after it.

    `losses`: keys of the loss table that this translation met, for the log.
    """

    payload: Json
    remember: Edit | None = None
    then: tuple[Message, ...] = ()
    losses: tuple[str, ...] = ()
    aliases: tuple[Alias, ...] = ()


Steps = Generator[Command, Outcome, Reply | Refused]
"""A command under translation: yields what the station is asked, is sent the outcome, returns what the CSMS hears."""

CommandTranslator = Callable[[Json, Facts], Steps]
"""One for each action of the CSMS, in a table `COMMANDS`: `down16` for stations of 1.6 below a CSMS of 2.x, `down20`
for stations of 2.x below a CSMS of 1.6. An action in no table is answered with NotSupported (or NotImplemented).

    def unlock(payload: Json, facts: Facts) -> Steps:
        outcome = yield Command("UnlockConnector", {"connectorId": payload["evseId"]})
        if outcome.payload is None:
            return Refused(ErrorCode.GENERIC_ERROR, outcome.description)
        return Reply({"status": ...})

It raises CallError for a payload it can't read. Whether it asks the station at all is its own affair; a function that
does not becomes one by `answered`.
"""


def answered(reply: Reply | Refused) -> Steps:
    """An answer without asking the station."""
    yield from ()
    return reply
