"""What may still be stored: the budget's watermarks.

Begins and ends of transactions are always stored, as long as the disk takes them, also beyond the budget. The last
tenth of it is kept for them: from there on new meter values are not kept.
"""

from enum import IntEnum

from gateway.model.space import Space, StorageLimits

_SLACK = 0.03
"""How much must be free again before a level is left, so that it does not come and go."""


class Level(IntEnum):
    """THIN: intermediate meter values in the queue give way. FULL: new ones are not kept."""

    OK = 0
    LOW = 1
    THIN = 2
    FULL = 3


_FROM = {Level.FULL: 0.90, Level.THIN: 0.85, Level.LOW: 0.70}


def level(space: Space | None, rows: int, limits: StorageLimits, before: Level = Level.OK) -> Level:
    """The worse of the two: room for the file, and messages in the queue. Without a measurement only these count.

    `before`: what it was the last time; it is left a little later than it is come to.
    """
    filled = rows / limits.queue_rows
    if space is not None:
        filled = max(filled, 1 - room(space, limits) / limits.budget_bytes)
    reached = (known for known, share in _FROM.items() if filled >= share - (_SLACK if before >= known else 0))
    return next(reached, Level.OK)


def room(space: Space, limits: StorageLimits) -> int:
    """Bytes that may still be written: up to the budget, and no more than the disk has."""
    return max(0, min(limits.budget_bytes - space.used, space.free + space.disk_free))
