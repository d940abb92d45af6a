"""Section 14a EnWG: what a grid operator has to leave to a site whose chargers it dims (BK6-22-300)."""

from typing import Final

GUARANTEED_W: Final = 4200.0
"""For one charging point."""
SIMULTANEITY: Final = {1: 1.0, 2: 0.80, 3: 0.75, 4: 0.70, 5: 0.65, 6: 0.60, 7: 0.55, 8: 0.50}
MANY: Final = 0.45
"""Simultaneity from nine points on."""


def guaranteed_power_w(points: int) -> float:
    """P_min of a site with an energy manager, in W: 4.2 kW for one point, and a part of it for each further one."""
    if points <= 0:
        return 0.0
    return GUARANTEED_W * (1 + (points - 1) * SIMULTANEITY.get(points, MANY))
