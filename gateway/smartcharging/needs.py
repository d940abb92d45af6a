"""What drivers want, as weights for sharing and as urgency for admission.

Admission asks who has least time to spare. Departure times that drivers give are poor, so what they say is weighed
against how long cars stay at all, and against how long this one has stayed. A car that has had much of what it asked
for can wait, since a first kWh is worth more to a driver than the last one: all end with like parts of their wishes.
Sharing among those let in takes the driver at their word. The figures are what did best by energy and by fairness, on
real days and on synthetic ones (`bench/acn_adapter.py`, docs/balancing.md).
"""

from math import log, sqrt
from statistics import NormalDist
from typing import Final

SOONEST_H: Final = 1.0
"""A shorter time left counts as this when sharing."""
HASTE: Final = 2.0
"""Power of the time left: above 1, those that leave soon get more than in proportion."""
LACK: Final = 0.5
"""Power of the part that a car still lacks."""
LEAST_LACK: Final = 0.01
LEAST_WEIGHT: Final = 0.5

STAY_H: Final = 6.0
"""How long cars stay, whatever drivers say: the middle of it, and how far most are from that (`STAY_SPREAD_H`)."""
STAY_SPREAD_H: Final = 3.0
TOLD_SPREAD: Final = 0.25
"""How far most stay from what they said, as a part of it."""
SHORTEST_H: Final = 0.5
"""Shorter stays that are told count as this."""
USUAL_A: Final = 20.0
"""What a car is taken to charge with once it is served."""
SERVED_H: Final = 3.0
"""Being served in full weighs like having so many hours more."""
SERVED_POWER: Final = 1.5
"""Above 1, the beginning of a charge weighs less than its end."""
THREE_PHASES_H: Final = 1.5
"""The same current of a scarce phase does three times as much for a car on three phases."""
WAITED_LONG_H: Final = 4.0
"""Whoever has waited so long goes before all who have not."""
OVERDUE_H: Final = 24.0

_UNIT: Final = NormalDist()
_FAR: Final = 4.0
"""So many spreads past the middle, what is left of a normal distribution falls off like an exponential one."""


def lacking(remaining_ah: float, requested_ah: float) -> float:
    """Part of what was asked for that is still to come."""
    return min(max(remaining_ah / requested_ah, 0.0), 1.0) if requested_ah > 0 else 1.0


def weight_of(remaining_ah: float, left_h: float, lacks: float = 1.0) -> float:
    """Amperes that would do, but never so few that a car starves; fewer for one that has had most (`lacks`)."""
    amps = max(remaining_ah / max(left_h, SOONEST_H) ** HASTE, LEAST_WEIGHT)
    return float(amps * max(lacks, LEAST_LACK) ** LACK)


def believed_h(left_h: float, here_h: float) -> float:
    """Hours that a car will stay, by what its driver said (`left_h`) and by how long it has been here.

    Stays are taken as normal, and so is the driver's error; of what the two together make likely, only what is longer
    than the stay so far is left: half of such cars stay longer than is returned. It is never negative: a car that is
    overdue leaves soon.
    """
    told_h = max(here_h + left_h, SHORTEST_H)
    by_word, by_use = (TOLD_SPREAD * told_h) ** -2, STAY_SPREAD_H**-2
    middle = (told_h * by_word + STAY_H * by_use) / (by_word + by_use)
    spread = 1.0 / sqrt(by_word + by_use)
    passed = (here_h - middle) / spread
    if passed > _FAR:
        return log(2.0) * spread / (passed + 1.0 / passed)
    gone = _UNIT.cdf(passed)
    return max(middle + spread * _UNIT.inv_cdf((1.0 + gone) / 2) - here_h, 0.0)


def urgency_of(
    remaining_ah: float, requested_ah: float, stays_h: float, phases: int = 1, waits_h: float = 0.0
) -> float:
    """Hours by which a car is in a hurry (negative: has time): the more, the sooner it is let in.

    `stays_h`: what is believed of the time left. `waits_h`: since it last had current, or since it came.
    """
    hurry = remaining_ah / USUAL_A - stays_h
    hurry -= SERVED_H * float((1.0 - lacking(remaining_ah, requested_ah)) ** SERVED_POWER)
    hurry += THREE_PHASES_H if phases == 3 else 0.0
    return hurry + OVERDUE_H if waits_h > WAITED_LONG_H else hurry
