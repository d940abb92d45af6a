"""The load of a circuit that is no charger: what its meter says, less what the chargers below it say.

A rise counts at once, a fall only after it has lasted as long as the oldest charger reading that was subtracted (60 s
at least): a car that stopped a moment ago must not look like a load that went away. A rise that a car's ramp explains
(it was just given more, and has not reported since) is no rise of the background, as long as the fuse itself is fine.
What a charger said before a gap in the meter's readings is not subtracted, up to the worst background: its car may have
stopped since, and no reading of before tells.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from gateway.model.balance import Background, CircuitReading, Rung, SiteFacts
from gateway.model.site_tree import NO_AMPS, Amps
from gateway.smartcharging.circuits import SiteTree, added, higher
from gateway.smartcharging.ladder import SLOW_INTERVAL_S, USELESS_INTERVAL_S, rung_of, thresholds_s

FALL_S = 60.0
DELAY_S = 30.0
"""By so much a charger's reading may be older than its arrival."""
SHORT_A, SHORT_PART, SHORT_S = 2.0, 0.1, 15.0
"""By how much a meter may see less than the chargers say, and for how long after they all have said so."""
DOUBT_S = 600.0
READING_LIVES_S = 120.0
"""An older charger reading is not subtracted: the car's current then counts as background, which is safe."""


class Draw(NamedTuple):
    """What the chargers below a circuit say they draw, the age of the oldest of these readings, how much more they may
    have begun to draw since, what of the drawn was said before the meter's readings last began, and what of it may flow
    on one phase instead of all."""

    drawn: Amps = NO_AMPS
    oldest_s: float = 0.0
    ramping: Amps = NO_AMPS
    unseen: Amps = NO_AMPS
    unsure: Amps = NO_AMPS


class Doubt(NamedTuple):
    """Since when a meter sees less than the chargers below it draw (nothing may feed in there), and since when it is
    plausible again. `until`: it is not believed before."""

    short_since: float | None = None
    fine_since: float | None = None
    until: float = -inf

    def observe(self, reading: CircuitReading, draw: Draw) -> "Doubt":
        short = _is_short(reading.current_a, draw)
        at, since, fine = reading.at, self.short_since, self.fine_since
        if short:
            since = at if since is None else since
            is_proved = at - since >= min(draw.oldest_s, READING_LIVES_S) + SHORT_S
            return Doubt(since, None, at + DOUBT_S if is_proved else self.until)
        if since is None:
            return self
        fine = at if fine is None else fine
        return Doubt(None, None, self.until) if at - fine >= SHORT_S else Doubt(since, fine, self.until)

    def rung(self, now: float) -> Rung:
        if now < self.until:
            return Rung.BLIND
        return Rung.NORMAL if self.short_since is None else Rung.LATE


def _is_short(flows: Amps, draw: Draw) -> bool:
    """Less flows in than the chargers draw for certain: on a phase, or on all of them together."""
    sure = [drawn - unsure for drawn, unsure in zip(draw.drawn, draw.unsure, strict=True)]
    if any(flow < least - max(SHORT_A, SHORT_PART * least) for flow, least in zip(flows, sure, strict=True)):
        return True
    least = sum(sure) + max(draw.unsure)
    return max(draw.unsure) > 0 and sum(flows) < least - 3 * SHORT_A - SHORT_PART * least


NO_DOUBT = Doubt()


class Sample(NamedTuple):
    at: float
    amps: Amps


@dataclass(frozen=True, slots=True)
class Metered:
    """The last minute or two of one metered circuit. `amps`: the background now, which is the most of the window.
    `since`: the first reading after the last gap."""

    samples: tuple[Sample, ...] = ()
    doubt: Doubt = NO_DOUBT
    amps: Amps = NO_AMPS
    since: float = -inf

    def since_with(self, reading: CircuitReading) -> float:
        """`since`, once this reading is taken: one that follows a stale one ends a gap."""
        stale_s = thresholds_s(reading.interval_s)[1]
        return self.since if self.samples and reading.at - self.samples[-1].at <= stale_s else reading.at

    def observe(
        self, reading: CircuitReading, draw: Draw, limit: Amps, worst: Amps = NO_AMPS, *, generates: bool = False
    ) -> "Metered":
        """Take a reading that is newer than the last. `generates`: less than the chargers draw may flow in."""
        if self.samples and reading.at <= self.samples[-1].at:
            return self
        seen = [max(0.0, flow - drawn) for flow, drawn in zip(reading.current_a, draw.drawn, strict=True)]
        if self.samples:
            before = self.amps
            for phase in range(3):
                if reading.current_a[phase] <= limit[phase]:
                    seen[phase] = max(min(seen[phase], before[phase]), seen[phase] - draw.ramping[phase])
        for phase, amps in enumerate(draw.unseen):
            if amps > 0:
                seen[phase] = max(seen[phase], min(worst[phase], seen[phase] + amps))
        oldest = reading.at - max(FALL_S, min(draw.oldest_s, READING_LIVES_S) + DELAY_S)
        kept = [sample for sample in self.samples if sample.at >= oldest]
        kept.append(Sample(reading.at, (seen[0], seen[1], seen[2])))
        first, second, third = map(max, zip(*(sample.amps for sample in kept), strict=True))
        doubt = self.doubt if generates else self.doubt.observe(reading, draw)
        return Metered(tuple(kept), doubt, (first, second, third), self.since_with(reading))


def rungs_of(tree: SiteTree, facts: SiteFacts, metered: Mapping[str, Metered], now: float) -> tuple[Rung, ...]:
    """Per circuit. One without a meter of its own is as well known as the worst circuit below it."""
    rungs = [Rung.NORMAL] * len(tree.circuits)
    for index in reversed(range(len(tree.circuits))):
        node = tree.circuits[index]
        if node.metered:
            doubt = metered[node.id].doubt.rung(now) if node.id in metered else Rung.NORMAL
            rungs[index] = max(rung_of(facts.readings.get(node.id), now), doubt)
        elif children := tree.children[index]:
            rungs[index] = max(rungs[child] for child in children)
    return tuple(rungs)


def backgrounds_of(
    tree: SiteTree, facts: SiteFacts, metered: Mapping[str, Metered], rungs: tuple[Rung, ...]
) -> tuple[Background, ...]:
    """Per circuit, as its meter's rung allows."""
    found: list[Background] = [Background()] * len(tree.circuits)
    for index in reversed(range(len(tree.circuits))):
        node, worst = tree.circuits[index], tree.worst[index]
        if not node.metered:
            below = [found[child] for child in tree.children[index]]
            here = node.background_a if node.background_a is not None else node.limit_a
            now_a = within = here
            for child in below:
                now_a, within = added(now_a, child.now), added(within, child.within_lease)
            found[index] = Background(now_a, within, worst, rungs[index])
            continue
        reading = facts.readings.get(node.id)
        if rungs[index] >= Rung.STALE or reading is None or reading.interval_s > USELESS_INTERVAL_S:
            found[index] = Background(worst, worst, worst, rungs[index])
            continue
        present = metered[node.id].amps if node.id in metered else worst
        if reading.interval_s > SLOW_INTERVAL_S:
            step = facts.steps.get(node.id)
            present = higher(present, worst) if step is None else added(present, step)
        rise = facts.rises.get(node.id)
        within = worst if rise is None else _lower(worst, added(present, rise))
        found[index] = Background(present, higher(present, within), worst, rungs[index])
    return tuple(found)


def _lower(a: Amps, b: Amps) -> Amps:
    return (min(a[0], b[0]), min(a[1], b[1]), min(a[2], b[2]))
