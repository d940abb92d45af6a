"""When the log hears of a meter: once when something changes, not with every reading."""

from dataclasses import dataclass

from gateway.core import freshness
from gateway.model.metering import Freshness, MeterState, Quality

STEADY_S = 10.0
"""A change for the worse is told at once; any other when it has lasted this long."""
FIRST_READING_S = 10.0
"""So long after its start a meter may be silent without a word."""
_WORST_OF_NORMAL = 2


@dataclass(frozen=True, slots=True)
class Condition:
    """How a meter is. `rank` grows with how bad that is; from 3 on it is worth a warning."""

    rank: int
    words: str

    @property
    def is_normal(self) -> bool:
        return self.rank <= _WORST_OF_NORMAL


WAITING = Condition(0, "waits for its first reading")


def condition(state: MeterState, now: float, started_at: float) -> Condition:
    """How a meter is now, in a sentence that stays the same as long as nothing changes."""
    fresh, trouble = freshness.of_meter(state, now), state.health.trouble
    if fresh in (Freshness.STALE, Freshness.BLIND):
        return _silent(state, fresh, now - started_at)
    if state.bad_in_a_row and state.latest:
        return Condition(4, f"readings that cannot be true: {_reasons(state)}")
    if state.quality is Quality.SUSPECT:
        return Condition(3, f"doubtful readings: {_reasons(state)}")
    if trouble:
        return Condition(3, f"trouble: {trouble}")
    if state.quality is Quality.PARTIAL:
        return Condition(2, f"is read in part: {_reasons(state)}")
    return Condition(1, "is read")


def _silent(state: MeterState, fresh: Freshness, since_start_s: float) -> Condition:
    trouble = state.health.trouble
    if state.latest is None and trouble is None and since_start_s < FIRST_READING_S:
        return WAITING
    if trouble:
        why = str(trouble)
    elif state.latest is None:
        why = "it has said nothing yet"
    elif state.latest.quality in (Quality.SUSPECT, Quality.BAD):
        why = f"its readings cannot be relied on: {_reasons(state)}"
    elif not any(state.current_a):
        why = f"its readings have no currents: {_reasons(state)}"
    else:
        why = "it has gone silent"
    return Condition(5 if fresh is Freshness.STALE else 6, f"{fresh.value}: {why}")


def _reasons(state: MeterState) -> str:
    return ", ".join(map(str, state.latest.findings)) if state.latest and state.latest.findings else "no reason given"


@dataclass(slots=True)
class Announcer:
    """Remembers what was told of one meter."""

    told: Condition = WAITING
    other: Condition = WAITING
    since: float = 0.0

    def hear(self, now_is: Condition, now: float) -> bool:
        """Whether this is to be told now."""
        if now_is == self.told:
            self.other = now_is
            return False
        if now_is != self.other:
            self.other, self.since = now_is, now
        if now_is.rank <= self.told.rank and now - self.since < STEADY_S:
            return False
        self.told = now_is
        return True
