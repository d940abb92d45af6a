"""What decoders work out of what a meter says: signs, quality, how often it speaks. Pure."""

import statistics
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from drivers.api import DriverError, Kind, Phases, Quality, Reason


@dataclass(frozen=True, slots=True)
class Telegram:
    """What a meter said in one go, its checksum right if it has one."""

    t: float
    """When its first byte came."""
    identification: str
    values: Mapping[str, Any]
    """Fields of `Reading`."""


class StreamDecoder(Protocol):
    """Telegrams out of a stream of bytes. A broken one is dropped and counted; one begun before us is only dropped."""

    crc_errors: int
    short_frames: int
    """Begun and never ended, or without a readable value."""

    def feed(self, data: bytes, t: float) -> list[Telegram]:
        """Telegrams that end in these bytes, which came at `t`."""
        ...

    def interrupted(self) -> None:
        """The connection was lost: what comes next is the middle of something."""
        ...


def not_installed(driver: str, package: str, error: Exception) -> DriverError:
    """For a package that comes with the extra of the driver's name."""
    problem = f"the driver {driver} needs the package {package} ({error})"
    return DriverError(Kind.NOT_INSTALLED, problem, f'Run: pip install "ocpp-gateway[{driver}]"')


def three(values: Iterable[float | None]) -> Phases:
    one, two, three = values
    return one, two, three


def signed(current: Phases, power: Phases) -> tuple[Phases, bool]:
    """Magnitudes with the sign of each phase's active power; True if one had none and is shown as import."""
    is_unsure = any(i is not None and p is None for i, p in zip(current, power, strict=True))
    one, two, three = (
        None if i is None else -abs(i) if p is not None and p < 0 else abs(i)
        for i, p in zip(current, power, strict=True)
    )
    return (one, two, three), is_unsure


def finer(magnitude: Phases, power: Phases, voltage: Phases) -> Phases:
    """Whole amperes are often cut off: no less current flows than the active power needs."""
    return three(
        i if i is None or p is None or not v else max(i, abs(p) / v)
        for i, p, v in zip(magnitude, power, voltage, strict=True)
    )


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
