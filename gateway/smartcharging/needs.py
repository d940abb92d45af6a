"""What drivers want, as weights for sharing and as urgency for admission.

Departure times that drivers give are poor: most stay longer, some leave hours before. So laxity alone is not trusted:
a car that has had little of what it asked for is urgent however long it says it stays.
"""

from typing import Final

SOONEST_H: Final = 1.0
"""A shorter time left counts as this when sharing: the estimate is no better."""
LEAST_WEIGHT: Final = 0.5
USUAL_A: Final = 24.0
"""What a car is taken to charge with once it is served."""
SERVED_H: Final = 5.0
"""Being served in full weighs like having so many hours more."""


def weight_of(remaining_ah: float, left_h: float) -> float:
    """Amperes that would do, but never so few that a car starves."""
    return max(remaining_ah / max(left_h, SOONEST_H), LEAST_WEIGHT)


def urgency_of(remaining_ah: float, requested_ah: float, left_h: float) -> float:
    """Hours by which a car is in a hurry (negative: has time): the more, the sooner it is let in."""
    lacking = min(max(remaining_ah / requested_ah, 0.0), 1.0) if requested_ah > 0 else 1.0
    return remaining_ah / USUAL_A - max(left_h, 0.0) - SERVED_H * (1.0 - lacking)
