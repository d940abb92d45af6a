"""A connector with its cable, car and meter."""

from dataclasses import dataclass
from datetime import datetime

VOLTAGE_V = 230.0
MIN_CURRENT_A = 6.0
"""Below this a car pauses (IEC 61851)."""
RAMP_DOWN_FACTOR = 5.0


@dataclass(slots=True)
class Transaction:
    """A running transaction as its station sees it.

    `name` is the 2.x transactionId, and this transaction's name in the history.
    `station_tx_id` is the 1.6 id, known once StartTransaction was answered.
    """

    name: str
    token: str
    started: datetime
    meter_start_wh: int
    station_tx_id: int | None = None
    seq_no: int = 0
    charging_state: str = ""
    remote_start_id: int | None = None
    reservation_id: int | None = None
    next_meter_at: float = 0.0
    energy_stopped: bool = False


@dataclass(slots=True)
class Car:
    """What is plugged in. `soc` in percent, or None for a car that doesn't tell."""

    max_a: float = 16.0
    phases: int = 3
    capacity_wh: float = 60_000.0
    soc: float | None = None


@dataclass(slots=True)
class Connector:
    """A 1.6 connector, or a 2.x EVSE with its one connector."""

    number: int
    phases: int = 3
    max_a: float = 16.0
    ramp_w_per_s: float = 2_000.0
    power_w: float = 0.0
    energy_wh: float = 0.0
    car: Car | None = None
    transaction: Transaction | None = None
    is_inoperative: bool = False
    inoperative_after_transaction: bool = False
    reservation: tuple[int, str] | None = None
    """Reservation id and token."""
    is_finished: bool = False
    """Its transaction ended and the car is still there."""
    reported_status: str | None = None

    @property
    def used_phases(self) -> int:
        return min(self.phases, self.car.phases) if self.car else self.phases

    @property
    def current_a(self) -> float:
        """Per phase in use."""
        return self.power_w / (VOLTAGE_V * self.used_phases)

    @property
    def rated_w(self) -> float:
        """What charger and car allow together."""
        car_a = self.car.max_a if self.car else self.max_a
        return min(self.max_a, car_a) * VOLTAGE_V * self.used_phases

    @property
    def is_car_full(self) -> bool:
        return self.car is not None and self.car.soc is not None and self.car.soc >= 100.0

    def wanted_w(self, limit_w: float | None) -> float:
        """The power this transaction settles at under a limit (None: no limit)."""
        transaction = self.transaction
        if transaction is None or transaction.energy_stopped or self.car is None or self.is_car_full:
            return 0.0
        wanted = self.rated_w if limit_w is None else min(self.rated_w, limit_w)
        return wanted if wanted >= MIN_CURRENT_A * VOLTAGE_V * self.used_phases else 0.0

    def advance(self, seconds: float, limit_w: float | None) -> None:
        """Ramp the power towards what is wanted, and let the meter and the battery follow."""
        before = self.power_w
        gap = self.wanted_w(limit_w) - before
        step = self.ramp_w_per_s * seconds
        self.power_w = before + (min(gap, step) if gap > 0 else max(gap, -RAMP_DOWN_FACTOR * step))
        energy_wh = (before + self.power_w) / 2 * seconds / 3600
        self.energy_wh += energy_wh
        if self.car and self.car.soc is not None:
            self.car.soc = min(100.0, self.car.soc + 100 * energy_wh / self.car.capacity_wh)

    def charging_state(self, limit_w: float | None) -> str:
        """OCPP 2.x ChargingStateEnumType of the running transaction."""
        if self.car is None:
            return "Idle"
        if self.wanted_w(limit_w) > 0:
            return "Charging"
        return "SuspendedEV" if self.is_car_full else "SuspendedEVSE"
