"""What a circuit's background did so far: how far it rises within one lease, and between two readings of a slow meter.

Both are needed before they are believed: a week for the rise, a thousand readings for the step. Until then the worst
case that was configured counts. A record is plain data, so that it can be kept over a restart.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.model.site_tree import NO_AMPS, Amps
from gateway.smartcharging.circuits import higher

DAY_S: Final = 86_400.0
WEEK_S: Final = 7 * DAY_S
KEPT_DAYS: Final = 28
BUCKET_S: Final = 10.0
WINDOW_S: Final = 400.0
"""A lease (300 s) and by how much it may end late, and the 80 s for which a car's ramp may hide what other loads do."""
RISE_MARGIN: Final = 0.1
"""Added to the largest rise on record, for what four weeks have not shown."""
STEP_A: Final = 0.5
STEPS: Final = 200
ENOUGH_STEPS: Final = 1000
GAP_S: Final = 120.0
"""After a longer silence nothing is said about rises or steps over it."""


class Bucket(NamedTuple):
    """The least background of a few seconds, and when they began."""

    at: float
    least: Amps


@dataclass(frozen=True, slots=True)
class Rises:
    """The largest rise within a lease, per day. `recorded_s`: how much time the record covers; times are monotonic
    within one life of the gateway, so only `days` and `recorded_s` are kept over a restart."""

    days: tuple[Amps, ...] = (NO_AMPS,)
    recorded_s: float = 0.0
    today_s: float = 0.0
    last: float | None = None
    buckets: tuple[Bucket, ...] = ()

    def observe(self, background: Amps, at: float) -> "Rises":
        """Take one value of the background, as it was measured (not the cautious estimate)."""
        passed = 0.0 if self.last is None else at - self.last
        if self.last is None or passed > GAP_S or passed < 0:
            return Rises(self.days, self.recorded_s, self.today_s, at, (Bucket(at, background),))
        buckets = self.buckets
        newest = buckets[-1]
        if at - newest.at < BUCKET_S:
            buckets = (*buckets[:-1], Bucket(newest.at, _lower(newest.least, background)))
        else:
            kept = tuple(bucket for bucket in buckets if bucket.at >= at - WINDOW_S - BUCKET_S)
            buckets = (*kept, Bucket(at, background))
        least = buckets[0].least
        for bucket in buckets[1:]:
            least = _lower(least, bucket.least)
        rise = (background[0] - least[0], background[1] - least[1], background[2] - least[2])
        today, days = self.today_s + passed, (*self.days[:-1], higher(self.days[-1], rise))
        if today >= DAY_S:
            today, days = 0.0, (*days, NO_AMPS)[-KEPT_DAYS:]
        return Rises(days, self.recorded_s + passed, today, at, buckets)

    def largest(self) -> Amps | None:
        """The largest rise with its margin; None before a week is on record."""
        if self.recorded_s < WEEK_S:
            return None
        most = NO_AMPS
        for day in self.days:
            most = higher(most, day)
        return (most[0] * (1 + RISE_MARGIN), most[1] * (1 + RISE_MARGIN), most[2] * (1 + RISE_MARGIN))


@dataclass(frozen=True, slots=True)
class Steps:
    """How often the background rose by so many half amperes from one reading to the next, per phase."""

    counts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] = ((), (), ())
    last: Amps | None = None
    last_at: float = 0.0

    def observe(self, background: Amps, at: float) -> "Steps":
        before = self.last
        if before is None or at - self.last_at > GAP_S:
            return Steps(self.counts, background, at)
        first, second, third = (
            _counted(counts, now - then) for counts, now, then in zip(self.counts, background, before, strict=True)
        )
        return Steps((first, second, third), background, at)

    def usual_most(self, part: float = 0.99) -> Amps | None:
        """The rise that this part of all steps does not exceed; None before there are enough of them."""
        if sum(self.counts[0]) < ENOUGH_STEPS:
            return None
        first, second, third = (_quantile(counts, part) for counts in self.counts)
        return (first, second, third)


def _counted(counts: tuple[int, ...], rise: float) -> tuple[int, ...]:
    """A fall, too, is a step: of no rise."""
    place = min(max(int(rise / STEP_A), 0), STEPS - 1)
    longer = counts + (0,) * (place + 1 - len(counts))
    return (*longer[:place], longer[place] + 1, *longer[place + 1 :])


def _quantile(counts: tuple[int, ...], part: float) -> float:
    below, wanted = 0, part * sum(counts)
    for place, count in enumerate(counts):
        below += count
        if below >= wanted:
            return (place + 1) * STEP_A
    return STEPS * STEP_A


def _lower(a: Amps, b: Amps) -> Amps:
    return (min(a[0], b[0]), min(a[1], b[1]), min(a[2], b[2]))
