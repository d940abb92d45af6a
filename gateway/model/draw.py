"""What a station says of a connector beside the books: currents, charging state, the car's wishes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CarNeed:
    """NotifyEVChargingNeeds: energy in Wh, the car's limits in A, when it leaves."""

    energy_wh: float | None = None
    max_a: float | None = None
    departure: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One message. `amps` by the station's own phase (0 to 2), empty if it says nothing of currents. `names_phases`: it
    says of which phase they are; else there is one current, for every phase the car uses.

    `is_suspended`: the car takes nothing though it may (SuspendedEV); None if nothing is said of it.
    `phases`: how many the car uses. `said`: the station's own time of the values.
    """

    evse: int
    station_tx_id: str | None = None
    amps: Mapping[int, float] | None = None
    names_phases: bool = True
    said: datetime | None = None
    is_suspended: bool | None = None
    phases: int | None = None
    cable_a: float | None = None
    need: CarNeed | None = None
