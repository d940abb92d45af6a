"""What drivers want, as weights for sharing and as urgency for admission.

Departure times that drivers give are poor: most stay longer, some leave hours before. So laxity alone is not trusted:
a car that has had little of what it asked for is urgent however long it says it stays, and counts for more. The figures
are what did best by energy and by fairness, on real days and on synthetic ones (`bench/acn_adapter.py`).
"""

from typing import Final

SOONEST_H: Final = 0.25
"""A shorter time left counts as this when sharing."""
HASTE: Final = 1.15
"""Power of the time left: above 1, those that leave soon get more than in proportion."""
LACK: Final = 0.3
"""Power of the part that a car still lacks."""
LEAST_LACK: Final = 0.01
LEAST_WEIGHT: Final = 0.5
USUAL_A: Final = 24.0
"""What a car is taken to charge with once it is served."""
TRUST: Final = 0.8
"""Part of the time left that is believed."""
SERVED_H: Final = 6.0
"""Being served in full weighs like having so many hours more."""
SERVED_H_PER_AH: Final = 0.05
"""Having had 1 Ah weighs like so many hours more."""
THREE_PHASES_H: Final = 3.0
"""The same current of a scarce phase does three times as much for a car on three phases."""


def lacking(remaining_ah: float, requested_ah: float) -> float:
    """Part of what was asked for that is still to come."""
    return min(max(remaining_ah / requested_ah, 0.0), 1.0) if requested_ah > 0 else 1.0


def weight_of(remaining_ah: float, left_h: float, lacks: float = 1.0) -> float:
    """Amperes that would do, but never so few that a car starves; fewer for one that has had most (`lacks`)."""
    amps = max(remaining_ah / max(left_h, SOONEST_H) ** HASTE, LEAST_WEIGHT)
    return float(amps * max(lacks, LEAST_LACK) ** LACK)


def urgency_of(remaining_ah: float, requested_ah: float, left_h: float, phases: int = 1) -> float:
    """Hours by which a car is in a hurry (negative: has time): the more, the sooner it is let in."""
    had_h = SERVED_H * (1.0 - lacking(remaining_ah, requested_ah)) + SERVED_H_PER_AH * max(
        requested_ah - remaining_ah, 0
    )
    return remaining_ah / USUAL_A - TRUST * max(left_h, 0.0) - had_h + (THREE_PHASES_H if phases == 3 else 0.0)
