"""What the flows need of the outside, as small Protocols: the shells of stations and CSMS set themselves on Site,
the meters' shell is given one to write to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gateway.dialects.base import Dialect
from gateway.model.ids import StationId
from gateway.model.metering import MeterState
from gateway.model.transaction import Transaction
from gateway.rpc.session import Outcome, RefusedResult, Request


class LinkState(StrEnum):
    """State of a station's way to the CSMS. `suspect`: up, but the last answer did not come in time."""

    IDLE = "idle"
    CONNECTING = "connecting"
    DOWN = "down"
    UP = "up"
    SUSPECT = "suspect"


class StationPort(Protocol):
    """A connected station."""

    @property
    def dialect(self) -> Dialect: ...

    async def call(self, action: str, payload: bytes, *, send_by: float = float("inf")) -> Outcome:
        """Ask the station; a message id is made for it."""

    def send(self, action: str, payload: bytes) -> None:
        """Tell the station something it does not answer; a message id is made for it."""

    def refuse_result(self, refused: RefusedResult) -> None:
        """Tell the station that an answer of its own was of no use, if it is one of its latest and unchanged."""

    def close(self, code: int, reason: str) -> None:
        """Begin to close the socket; returns at once."""

    async def is_alive(self, within_s: float) -> bool:
        """Whether the station answers a ping."""


class LinkPort(Protocol):
    """A station's link to the CSMS while it is up (`Station.link`): the same as UplinkPort has, without looking up."""

    is_suspect: bool

    def post(self, request: Request) -> None:
        """Ask the CSMS."""


@dataclass(frozen=True, slots=True)
class OneLink:
    """The one link of a site that is one station to the CSMS. `waiting`: CALLs in its schedule; `drain_s`: how long all
    that waits will take, as fast as the CSMS answers now. `tell`: the CSMS hears of a station's numbers anew.
    `csms_id`: what the CSMS calls a session, None where that is what its station or the gateway does."""

    identity: str
    state: LinkState
    dialect: str | None
    waiting: int
    drain_s: float
    tell: Callable[[StationId], None]
    csms_id: Callable[[Transaction], str | None]


class UplinkPort(Protocol):
    """The way to the CSMS, whatever the topology."""

    def state(self, station: StationId) -> LinkState: ...

    def dialect(self, station: StationId) -> Dialect | None:
        """The version spoken upstream for this station, None while its link is not up."""

    def post(self, station: StationId, request: Request) -> None:
        """Ask the CSMS for this station. The request's `on_done` hears the outcome, once, always."""

    def send(self, station: StationId, message_id: str, action: str, payload: bytes) -> None:
        """Tell the CSMS something it does not answer. Lost if the link is not up, or not of a version that can."""

    def refuse_result(self, station: StationId, refused: RefusedResult) -> None:
        """Tell the CSMS that an answer of its own was of no use, if it is one of its latest and unchanged."""

    def suspect(self, station: StationId) -> None:
        """A budget ran out: until anything arrives from the CSMS, waiting is hardly worth it."""

    async def negotiate(self, station: StationId, offers: Sequence[str]) -> str | None:
        """The subprotocol to speak with a station that offers these: what is spoken upstream, else its first known."""

    def wake(self, station: StationId) -> None:
        """The station came or went, or its outbox changed: the link may be wanted, or not any more."""


class MeterPort(Protocol):
    """Where the meters' states go."""

    def put(self, state: MeterState) -> None:
        """A meter said something, or something about it changed; whoever waits for that is woken."""


class DayPort(Protocol):
    """Where recorded days are kept."""

    async def append(self, day: str, lines: bytes) -> None:
        """Add lines to a day; they are on the disk when this returns. Raises StoreError."""

    async def read(self, day: str) -> list[bytes]:
        """A day's lines, none if there is no such day. Raises StoreError."""
