"""The drill that proves a station: a short lease runs out on purpose, and its current has to fall by itself.

Nothing is given that was not given before: the value is what the station holds already, and what comes after is less.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from gateway.model.site_tree import ConnectorKey
from gateway.smartcharging.book import CLOCK_SLACK_S

CLEAR_A = 2.0
"""So much more than after it the car has to draw before the lease's end."""
NEAR_A = 1.0
"""Limits and readings differ by as much."""
PATIENCE_S = 180.0
"""For readings after the end."""


class Verdict(StrEnum):
    """How a drill ended. Only `proven` proves anything; `held` shows that the station does not step down."""

    PROVEN = "proven"
    HELD = "held"
    TOO_LITTLE = "too-little"
    STOPPED = "stopped"
    SILENT = "silent"
    DISTURBED = "disturbed"
    ENDED = "ended"
    REFUSED = "refused"


WORDS = {
    Verdict.PROVEN: "its current fell by itself at the end of the lease",
    Verdict.HELD: "its current stayed when the lease was over: it is not proven, and must not be called so",
    Verdict.TOO_LITTLE: "its car drew too little for a fall to be seen: try again with a car that draws more",
    Verdict.STOPPED: "its car stopped drawing by itself: try again",
    Verdict.SILENT: "it told no current after the end: shorten MeterValueSampleInterval, or give --seconds",
    Verdict.DISTURBED: "another limit had to be written meanwhile: try again",
    Verdict.ENDED: "the transaction is over, or the station is gone: try again",
    Verdict.REFUSED: "it did not take the lease",
}


class Sample(NamedTuple):
    """What the station said it draws, the most of any phase, measured `at` (monotonic)."""

    at: float
    amps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """One drill. Of a lease that was written `at`: `value_a` for `lasts_s`, then `down_a`; none yet: `at` None."""

    key: ConnectorKey
    transaction: object
    value_a: float
    down_a: float
    lasts_s: float
    latency_s: float
    asked: float = 0.0
    at: float | None = None
    sequence: int = 0
    samples: tuple[Sample, ...] = ()
    verdict: Verdict | None = None

    @property
    def ends(self) -> float | None:
        return None if self.at is None else self.at + self.lasts_s


def judge(drill: Drill, now: float) -> Verdict | None:
    """What the samples prove; None as long as it is open."""
    if drill.at is None or drill.ends is None or now < drill.ends:
        return None
    before = [one for one in drill.samples if drill.at <= one.at <= drill.ends]
    if not before or before[-1].amps < drill.down_a + CLEAR_A:
        return Verdict.TOO_LITTLE
    done = drill.ends + drill.latency_s + CLOCK_SLACK_S
    after = [one for one in drill.samples if one.at >= done]
    if not after:
        return Verdict.SILENT if now >= done + PATIENCE_S else None
    return _of(after, drill.down_a)


def _of(after: Sequence[Sample], down_a: float) -> Verdict:
    amps = after[0].amps
    if amps > down_a + NEAR_A:
        return Verdict.HELD
    return Verdict.PROVEN if amps >= down_a - CLEAR_A else Verdict.STOPPED


def fell_after_s(drill: Drill) -> float | None:
    """How long after the end of the lease its current was first seen to be down."""
    if drill.ends is None:
        return None
    down = (one.at for one in drill.samples if one.at >= drill.ends and one.amps <= drill.down_a + NEAR_A)
    first = next(down, None)
    return None if first is None else first - drill.ends
