"""What decoders work out of what a meter says: signs, quality, how often it speaks. Pure."""

import statistics
from collections import deque

from drivers.api import Phases, Quality, Reason


def signed(current: Phases, power: Phases) -> tuple[Phases, bool]:
    """Magnitudes with the sign of each phase's active power; True if one had none and is shown as import."""
    is_unsure = any(i is not None and p is None for i, p in zip(current, power, strict=True))
    one, two, three = (
        None if i is None else -abs(i) if p is not None and p < 0 else abs(i)
        for i, p in zip(current, power, strict=True)
    )
    return (one, two, three), is_unsure


def quality(reasons: frozenset[Reason]) -> Quality:
    """How bad the reasons are that a push meter's decoder gives."""
    if not reasons:
        return Quality.GOOD
    worse = {Reason.NO_CHECKSUM, Reason.PARTS_APART, Reason.DEVICE_CLOCK}
    return Quality.SUSPECT if reasons & worse else Quality.PARTIAL


class Rhythm:
    """How often a source sends, by the median of its last gaps: a lost telegram does not count."""

    def __init__(self, assumed_s: float) -> None:
        self._assumed_s = assumed_s
        self._gaps: deque[float] = deque(maxlen=7)
        self._last: float | None = None

    def beat(self, t: float) -> float:
        """Seconds from one to the next, after one at `t`."""
        if self._last is not None:
            self._gaps.append(t - self._last)
        self._last = t
        return round(max(statistics.median(self._gaps), 0.1), 1) if len(self._gaps) >= 3 else self._assumed_s

    def interrupted(self) -> None:
        """The gap to the next one says nothing."""
        self._last = None
