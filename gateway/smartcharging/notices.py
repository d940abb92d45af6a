"""When the CSMS is told that the gateway limits a station, and when it is not worth a message."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

SIGNIFICANCE = 0.1
"""Part of the last reported limit by which it must change (2.x: LimitChangeSignificance)."""
APART = timedelta(seconds=30)
"""Least time between two messages about one limit."""


class Say(StrEnum):
    """NotifyChargingLimit, ClearedChargingLimit, or nothing."""

    LIMIT = "limit"
    CLEARED = "cleared"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Told:
    """What the CSMS was last told of a limit, and when; `limit_a` None: that there is none."""

    limit_a: float | None
    at: datetime


def notice(told: Told | None, limit_a: float | None, now: datetime) -> Say:
    """Compare the limit with what was last told (None: nothing ever was). `limit_a` None: the gateway limits nothing.

    The first limit, and the fall to 0 or the rise from it, are always significant. Messages keep their distance, so
    what is told last is always the present state.
    """
    if not _is_significant(None if told is None else told.limit_a, limit_a):
        return Say.NOTHING
    if told is not None and now < told.at + APART:  # the next decision asks again
        return Say.NOTHING
    return Say.CLEARED if limit_a is None else Say.LIMIT


def _is_significant(before: float | None, after: float | None) -> bool:
    if before is None or after is None:
        return before is not after
    if (before == 0) is not (after == 0):
        return True
    return abs(after - before) >= SIGNIFICANCE * before and after != before
