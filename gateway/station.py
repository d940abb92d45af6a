"""What is known of one station: its durable part, and what is true only now."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Protocol

from gateway.core import registration
from gateway.dialects import quirks
from gateway.dialects.quirks import Quirks
from gateway.log import Throttle
from gateway.model.events import StatusReport
from gateway.model.ids import RowId, StationId
from gateway.model.records import LatestMessage, OutboxRow, StationRecord
from gateway.ports import LinkPort, StationPort
from gateway.rpc.frame import Send
from gateway.rpc.session import Outcome
from gateway.wake import Wake

_RECENT_ANSWERS = 32


class Waiter(Protocol):
    """Who waits for the outcome of a row: a future, or what stands for one."""

    def done(self) -> bool: ...

    def set_result(self, result: bytes | None, /) -> None:
        """The CSMS's answer, or None if the row was refused or cut."""


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What the configuration says of every station of a model. `vendor`, `model`: patterns with * and ?, any case."""

    vendor: str
    model: str = "*"
    quirks: Quirks = quirks.NONE
    min_answer_delay_s: float = 0.0
    ping: bool = True

    def fits(self, vendor: str, model: str) -> bool:
        pairs = ((vendor, self.vendor), (model, self.model))
        return all(fnmatchcase(said.casefold(), pattern.casefold()) for said, pattern in pairs)


@dataclass(frozen=True, slots=True)
class StationOptions:
    """What the configuration says of one station's messages. Times in seconds; `call_timeout_s`: its own, if known."""

    call_timeout_s: float | None = None
    min_answer_delay_s: float = 0.0
    quirks: Quirks = quirks.NONE

    def of_models(self, models: Iterable[ModelOptions]) -> "StationOptions":
        """With what is said of its models added."""
        found = self
        for model in models:
            delay_s = max(found.min_answer_delay_s, model.min_answer_delay_s)
            found = replace(found, quirks=found.quirks | model.quirks, min_answer_delay_s=delay_s)
        return found


def fitting(models: Iterable[ModelOptions], boot: bytes | None) -> list[ModelOptions]:
    """The models that a station is of, by its BootNotification; none while it has not booted."""
    said = quirks.model_of(boot)
    return [model for model in models if said is not None and model.fits(*said)]


class Station:
    """One station: its durable part, and what is true only now."""

    def __init__(self, record: StationRecord, options: StationOptions) -> None:
        self.record = record
        self.options = options
        self.queue: dict[RowId, OutboxRow] = {}
        """Rows on their way, in order; `lazy` ones are not written, `uncommitted` ones are being written."""
        self.lazy: set[RowId] = set()
        self.uncommitted: set[RowId] = set()
        self.orphans: set[RowId] = set()
        """Lazy rows in flight whose station is gone: forgotten at their outcome, whatever it is."""
        self.parked: dict[RowId, OutboxRow] = {}
        self.latest: dict[str, LatestMessage] = {}
        self.sends: list[tuple[str, Send]] = []
        """Messages without an answer that wait for the link, each with its dialect; in memory only."""

        self.port: StationPort | None = None
        self.link: LinkPort | None = None
        self.complaints = Throttle()
        """Of what it sends that can't be used, over all its connections."""
        self.connectors: dict[tuple[int, int], StatusReport] = {}
        self.has_booted = self.beat_due = False
        self.conflicts: set[str] = set()
        """Tokens of which the CSMS was told that it contradicts its own list."""
        self.metered: dict[str, int | None] = {}
        """Refused transactions that may still take some energy, with the register they last told, in Wh."""
        self.boot_waiter: asyncio.Future[bytes | None] | None = None
        self.boot_retry_at, self.settled_at = 0.0, float("inf")
        """From when on (monotonic) the station may be asked something; infinity while its boot waits for an answer."""
        self.called_for: set[str] = set()
        """Messages the CSMS called for while it holds the station as Pending."""
        self.in_flight: RowId | None = None
        self.outcomes: list[tuple[OutboxRow, Outcome]] = []
        """Outcomes nobody waits for any more: the replay settles them."""
        self.sent: set[RowId] = set()
        """Rows that were, or after a restart may have been, sent without an answer."""
        self.waiting: dict[RowId, Waiter] = {}
        self.answered_here: set[RowId] = set()
        """Rows the gateway has answered for the CSMS: what the CSMS says of them later is late."""
        self.unsure: set[RowId] = set()  # of before a restart: nobody knows whether the station has had an answer
        self.answers: dict[str, bytes] = {}
        """The CSMS's latest answers by fingerprint, for a station that asks again."""
        self.retry_at: dict[RowId, float] = {}
        self.first_error_at: dict[RowId, float] = {}
        self.token_wait: dict[RowId, float] = {}
        self.accused, self.second_chance = set[RowId](), set[RowId]()
        """Rows refused too often, to be judged: is it the row, or the CSMS? And those of which one more refusal is
        enough: set aside before and sent again since, or like others that were."""
        self.unwanted: set[str] = set()
        """Actions of which a message that stands alone was set aside on this link."""
        self.hold_until, self.failures = 0.0, 0
        self.turn_at: float | None = None
        """When it may send the next message of its backlog; the site gives the turns."""
        self.first_row_of_link = RowId(0)
        self.wake, self.attached, self.calls_wake, self.list_wake = (Wake() for _ in range(4))

    @property
    def id(self) -> StationId:
        return self.record.id

    @property
    def evses(self) -> frozenset[int]:
        """The EVSEs that have told their status."""
        return frozenset(number for number, _ in self.connectors if number > 0)

    @property
    def is_held(self) -> bool:
        return registration.is_held(self.record)

    def is_called_for(self, action: str) -> bool:
        """Whether the CSMS, which holds the station as Pending, asked for such messages."""
        return action in self.called_for and registration.may_be_asked_for(self.record)

    def link_failed(self) -> None:
        """An attempt failed: nobody need wait for the CSMS's own answer to the boot."""
        if self.boot_waiter and not self.boot_waiter.done():
            self.boot_waiter.set_result(None)

    def forget_troubles(self, row_id: RowId) -> None:
        """The row is delivered, or set aside."""
        for times in (self.retry_at, self.first_error_at, self.token_wait):
            times.pop(row_id, None)
        self.accused.discard(row_id)
        self.second_chance.discard(row_id)

    def remember(self, fingerprint: str, answer: bytes) -> None:
        self.answers[fingerprint] = answer
        if len(self.answers) > _RECENT_ANSWERS:
            del self.answers[next(iter(self.answers))]


@dataclass(slots=True)
class Pending:
    """An unknown station whose socket is kept until the operator decides. `credential`: what it would be pinned to.

    `problem`: why a known one is not served; an approval is no remedy then.
    """

    id: StationId
    since: float
    subprotocol: str
    address: str
    credential: str | None
    port: StationPort | None = None
    problem: str = ""
