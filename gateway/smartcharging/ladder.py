"""What is still believed when a meter falls silent, a charger disobeys or a circuit stays over its limit.

The thresholds scale with the meter's interval (D9).
"""

from dataclasses import dataclass, replace
from math import inf

from gateway.model.balance import CircuitReading, Remedy, Rung
from gateway.model.site_tree import Amps

LATE_S, LATE_INTERVALS = 3.0, 1.5
STALE_S, STALE_INTERVALS = 10.0, 2.5
BLIND_S, BLIND_STALES = 60.0, 2.0
BAD_FRAMES = 5
SLOW_INTERVAL_S = 5.0
"""A slower meter needs a margin for what happens between two readings."""
USELESS_INTERVAL_S = 20.0
"""A slower meter gives no dynamic room."""

REMEDIES = (Remedy.RESEND, Remedy.OTHER_PURPOSE, Remedy.ZERO, Remedy.STOP)
BEFORE_ZERO = 2
"""One that does it again is told 0 A before it is stopped."""
REMEDY_EVERY_S = 15.0
SOONER = ((1.45, 2.5), (1.13, 5.0))
"""Above such a part of its limit a circuit has to be back below it within 10 and 20 s (a breaker bears 1.13 x for an
hour, and trips within one at 1.45 x): all remedies within that time."""
FORGIVEN_S = 600.0
"""A station that obeyed for so long begins with the first remedy again."""

OVER, OVER_S = 1.10, 30.0
FAR_OVER, FAR_OVER_S = 1.25, 5.0
LATCH_S = 300.0


def thresholds_s(interval_s: float) -> tuple[float, float, float]:
    """Ages beyond which a meter is late, stale and blind."""
    stale = max(STALE_S, STALE_INTERVALS * interval_s)
    return max(LATE_S, LATE_INTERVALS * interval_s), stale, max(BLIND_S, BLIND_STALES * stale)


def rung_of(reading: CircuitReading | None, now: float) -> Rung:
    """A reading that is not trusted (frozen, implausible) is as good as none."""
    if reading is None or not reading.trusted:
        return Rung.BLIND
    age = now - reading.at
    late, stale, blind = thresholds_s(reading.interval_s)
    if age > blind:
        return Rung.BLIND
    if age > stale or reading.bad_in_a_row >= BAD_FRAMES:
        return Rung.STALE
    return Rung.LATE if age > late or reading.suspect else Rung.NORMAL


def next_rung_at(reading: CircuitReading | None, now: float) -> float:
    """When the reading ages into the next rung, if nothing newer comes."""
    if reading is None or not reading.trusted:
        return inf
    return min((at for limit in thresholds_s(reading.interval_s) if (at := reading.at + limit) >= now), default=inf)


@dataclass(frozen=True, slots=True)
class Disobedience:
    """Since when a station has drawn more than it may, by its own readings; how many remedies were tried, and when the
    last. Drawing less again proves little (its car may want no more, or its limit is higher now): so what was tried
    counts until it has obeyed for ten minutes."""

    since: float | None = None
    tried: int = 0
    stepped_at: float = -inf
    obeys_since: float = -inf

    def observe(self, drawn_a: float, allowed_a: float, now: float) -> "Disobedience":
        """`allowed_a`: the most it may hold by what was written."""
        if drawn_a > allowed_a * 1.1 + 1.0:
            if self.since is not None:
                return self
            return replace(self, since=now, stepped_at=now, tried=min(self.tried, BEFORE_ZERO))
        if self.since is not None:
            return replace(self, since=None, obeys_since=now) if self.tried else Disobedience()
        return Disobedience() if self.tried and now - self.obeys_since >= FORGIVEN_S else self

    def due_at(self, load: float) -> float:
        """When the next remedy is due. `load`: what the fullest of its circuits bears, as a part of the limit."""
        if self.since is None or (self.tried == len(REMEDIES) and self.remedy is not None):
            return inf
        return self.stepped_at + next((seconds for over, seconds in SOONER if load > over), REMEDY_EVERY_S)

    def stepped(self, now: float, load: float) -> "Disobedience":
        """The next remedy's turn has come. Far over the limit it is 0 A: what goes before would not show in time."""
        least = BEFORE_ZERO + 1 if load > SOONER[0][0] else 0
        return replace(self, tried=min(max(self.tried + 1, least), len(REMEDIES)), stepped_at=now)

    def renewed(self, now: float) -> "Disobedience":
        """In another transaction of the same station."""
        return replace(self, since=None, obeys_since=now) if self.since is not None else self

    @property
    def next_is_stop(self) -> bool:
        return self.tried >= len(REMEDIES) - 1

    @property
    def remedy(self) -> Remedy | None:
        """The remedy whose turn it is, None before the first is due."""
        is_due = self.since is not None and self.stepped_at > self.since
        return REMEDIES[self.tried - 1] if is_due else None


@dataclass(frozen=True, slots=True)
class Overload:
    """A circuit over its limit in spite of everything. `shed`: how many of its priority classes, the lowest first, are
    cut to 0 A until `until`."""

    over_since: float | None = None
    far_over_since: float | None = None
    shed: int = 0
    until: float = -inf

    def observe(self, flow_a: Amps | None, limit_a: Amps, now: float) -> "Overload":
        """`flow_a`: the fresh measured flow into the circuit, None if there is none."""
        ratio = 0.0 if flow_a is None else max(part_of(a, limit) for a, limit in zip(flow_a, limit_a, strict=True))
        over = _since(self.over_since, ratio > OVER, now)
        far = _since(self.far_over_since, ratio > FAR_OVER, now)
        if (over is not None and now - over >= OVER_S) or (far is not None and now - far >= FAR_OVER_S):
            return Overload(now, now if far is not None else None, self.shed + 1, now + LATCH_S)
        if self.shed and now >= self.until and ratio <= 1.0:
            return Overload()
        if (over, far) == (self.over_since, self.far_over_since):
            return self
        return replace(self, over_since=over, far_over_since=far)


def part_of(flow: float, limit: float) -> float:
    """Of its limit, what flows."""
    return flow / limit if limit > 0 else (inf if flow > 0 else 0.0)


def _since(before: float | None, holds: bool, now: float) -> float | None:
    if not holds:
        return None
    return now if before is None else before
