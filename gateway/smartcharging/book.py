"""What a connector may hold: the writes sent to it that no later one is known to have replaced (D9).

A write replaces the earlier ones when it was accepted and the model's latency has passed. A lease ends by itself, but
only a proven station is believed to step down then.
"""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.model.balance import Answer, Outcome

CLOCK_SLACK_S = 10.0
"""How much later than planned a lease may end by the station's clock. A late call is no reason: its second period
begins at a moment of the clock, or so long after the transaction's start."""
ANSWER_S = 35.0
"""A write without an answer is given up after this; what it said may hold all the same."""


class Sent(NamedTuple):
    """One write. `ends`: when the station, if proven, has certainly stepped down to its fallback; None: never.
    `phases`: how many of the car's phases it lets flow. `accepted`: when the station said so."""

    sequence: int
    amps: float
    phases: int
    at: float
    ends: float | None = None
    accepted: float | None = None
    given_up: bool = False


Book = tuple[Sent, ...]
"""Oldest first. Empty: the fallback holds, and nothing else."""


def slack_s(latency_s: float) -> float:
    """How much later than planned a lease's current is certainly down."""
    return CLOCK_SLACK_S + latency_s


def settle(book: Book, outcomes: Sequence[Outcome], *, now: float, latency_s: float, proven: bool) -> Book:
    """Drop what was rejected, replaced or has ended."""
    if len(book) == 1 and not outcomes:
        (only,) = book
        if (only.accepted is not None or only.given_up) and (only.ends is None or now < only.ends or not proven):
            return book
    for outcome in outcomes:
        book = _answered(book, outcome)
    if not book:
        return book
    if not book[-1].given_up and book[-1].accepted is None and now - book[-1].at >= ANSWER_S:
        book = (*book[:-1], book[-1]._replace(given_up=True))
    first = 0
    for position, sent in enumerate(book):
        if sent.accepted is not None and now >= sent.accepted + latency_s:
            first = position
    if proven and any(sent.ends is not None and now >= sent.ends for sent in book):
        return tuple(sent for sent in book[first:] if sent.ends is None or now < sent.ends)
    return book[first:] if first else book


def _answered(book: Book, outcome: Outcome) -> Book:
    if outcome.answer in (Answer.REJECTED, Answer.NOT_SENT):
        return tuple(sent for sent in book if sent.sequence != outcome.sequence)
    return tuple(_marked(sent, outcome) if sent.sequence == outcome.sequence else sent for sent in book)


def _marked(sent: Sent, outcome: Outcome) -> Sent:
    if outcome.answer is Answer.ACCEPTED:
        return sent._replace(accepted=outcome.at)
    return sent._replace(given_up=True)


def set_a(book: Book, fallback_a: float) -> float:
    """The current it was told last, whether or not it has obeyed yet."""
    return book[-1].amps if book else fallback_a


def set_phases(book: Book, phases: int) -> int:
    """Phases it was told last; `phases`: what the car and the connector have."""
    return min(book[-1].phases, phases) if book else phases


def is_pending(book: Book) -> bool:
    """Whether the last write has no answer yet."""
    return bool(book) and book[-1].accepted is None and not book[-1].given_up


def most_a(book: Book, phase: int = 0) -> float:
    """The most that any write in the book lets flow on the connector's own phase (0 to 2)."""
    return max((sent.amps for sent in book if sent.phases > phase), default=0.0)
