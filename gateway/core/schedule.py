"""Whose message goes next where a whole site shares one CALL in flight.

Urgent before less urgent, and within that the station that was served longest ago. What waits too long gets one turn in
`TURNS`, half as many while a driver waits, so nothing starves. A station's ordered messages (those of transactions)
keep their order: one that is urgent pulls those before it along.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Generic, TypeVar

from gateway.model.ids import StationId

T = TypeVar("T")
TURNS = 6
_ALPHA = 0.1


class Urgency(IntEnum):
    """Lower goes first. A driver waits for an Authorize; parts of reports count as statuses."""

    AUTHORIZE = 1
    TRANSACTION = 2
    STATUS = 3
    SAMPLES = 4


PATIENCE_S = {
    Urgency.AUTHORIZE: 2.0,
    Urgency.TRANSACTION: 10.0,
    Urgency.STATUS: 20.0,
    Urgency.SAMPLES: 60.0,
}
"""After so long without a turn a message counts as waiting too long."""


@dataclass(slots=True)
class Waiting(Generic[T]):
    """One message. `is_ordered`: it keeps its place among the station's ordered ones. Monotonic seconds."""

    station: StationId
    urgency: Urgency
    item: T
    since: float
    is_ordered: bool = False
    send_by: float = float("inf")


@dataclass(slots=True)
class _Lane(Generic[T]):
    """Messages of one station that keep their order; the most urgent one counts for all."""

    waiting: deque[Waiting[T]] = field(default_factory=deque)
    counts: dict[Urgency, int] = field(default_factory=lambda: dict.fromkeys(Urgency, 0))

    @property
    def urgency(self) -> Urgency:
        return next(urgency for urgency in Urgency if self.counts[urgency])

    def count(self, one: Waiting[T], by: int) -> None:
        self.counts[one.urgency] += by


class Schedule(Generic[T]):
    """What waits for its turn."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[StationId, Urgency | None], _Lane[T]] = {}
        """By station and urgency; None: the ordered ones."""
        self._served: dict[StationId, int] = {}
        self._turn = 0
        self._overdue_turn = 0
        self._answer_s = 0.0

    def __len__(self) -> int:
        return sum(len(lane.waiting) for lane in self._lanes.values())

    def __iter__(self) -> Iterator[Waiting[T]]:
        return (one for lane in self._lanes.values() for one in lane.waiting)

    # -- how long it takes ------------------------------------------------------------------------------------------

    def answered(self, seconds: float) -> None:
        """A CALL was answered so long after it was sent."""
        self._answer_s = seconds if not self._answer_s else self._answer_s + _ALPHA * (seconds - self._answer_s)

    def drain_s(self, more: int = 0) -> float:
        """How long what waits, and so many more messages, will take as fast as the CSMS answers now."""
        return (len(self) + more) * self._answer_s

    # -- in and out -------------------------------------------------------------------------------------------------

    def put(self, one: Waiting[T]) -> None:
        """A message waits."""
        lane = self._lanes.setdefault((one.station, None if one.is_ordered else one.urgency), _Lane())
        self._served.setdefault(one.station, 0)
        lane.waiting.append(one)
        lane.count(one, 1)

    def next(self, now: float) -> Waiting[T] | None:
        """The message whose turn it is; it waits no more."""
        if not self._lanes:
            return None
        self._turn += 1
        heads = list(self._lanes.items())
        overdue = [(key, lane) for key, lane in heads if now >= _due(lane)]
        is_awaited = min(lane.urgency for _, lane in heads) <= Urgency.AUTHORIZE
        if overdue and self._turn >= self._overdue_turn + (2 * TURNS if is_awaited else TURNS):
            self._overdue_turn = self._turn
            key, lane = min(overdue, key=lambda head: _due(head[1]))
        else:
            key, lane = min(heads, key=lambda head: self._rank(*head))
        one = lane.waiting.popleft()
        self._left(key, lane, one)
        self._served[one.station] = self._turn
        return one

    def expire(self, now: float) -> list[Waiting[T]]:
        """Those that are too late to be sent."""
        late = [one for one in self if now >= one.send_by]
        for key, lane in list(self._lanes.items()):
            for one in [one for one in lane.waiting if now >= one.send_by]:
                lane.waiting.remove(one)
                self._left(key, lane, one)
        return late

    def deadline(self) -> float:
        """When `expire` is to be called next."""
        return min((one.send_by for one in self), default=float("inf"))

    def clear(self) -> list[Waiting[T]]:
        """The link is gone: none of them will be sent."""
        gone = sorted(self, key=lambda one: one.since)
        self._lanes.clear()
        self._answer_s = 0.0
        return gone

    def _left(self, key: tuple[StationId, Urgency | None], lane: _Lane[T], one: Waiting[T]) -> None:
        lane.count(one, -1)
        if not lane.waiting:
            del self._lanes[key]

    def _rank(self, key: tuple[StationId, Urgency | None], lane: _Lane[T]) -> tuple[int, int, float]:
        return lane.urgency, self._served[key[0]], lane.waiting[0].since


def _due(lane: _Lane[T]) -> float:
    head = lane.waiting[0]
    return head.since + PATIENCE_S[head.urgency]
