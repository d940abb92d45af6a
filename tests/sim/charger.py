"""A scripted station that obeys charging profiles, and the building it stands in."""

import asyncio
import random
from datetime import datetime, timedelta
from typing import Any

from drivers.registry import build
from drivers.simulated import SimulatedDriver, SimulatedOptions, building_a
from gateway.core.meter_checks import Rules
from gateway.metering.runner import Metering, MeterOptions
from gateway.model.ids import MeterId
from tests.sim.station import EPOCH, Dial, SimStation

RATING_A = 32.0
OBEYS_S = 0.5
"""From Accepted to the current's change."""


class ObedientStation(SimStation):
    """One connector of three phases; its car takes all it may, up to `car_a`. `limits`: (moment, amperes) as obeyed."""

    def __init__(self, identity: str, version: str, dial: Dial, source: random.Random) -> None:
        super().__init__(identity, version, dial, source)
        self.default: Any = None
        self.lease: Any = None
        self.heard: list[tuple[float, str, Any]] = []
        self.car_a = RATING_A
        self.is_plugged = False
        self._obeyed: list[tuple[float, Any, Any]] = []

    def current_a(self) -> float:
        """What flows now, per phase."""
        if self._running is None or self._running.stopped.is_set() or self.car_a == 0:
            return 0.0
        return min(self.limit_a(), self.car_a)

    def limit_a(self) -> float:
        """By the profiles that have come into effect."""
        now = self._time()
        default, lease = next(
            ((default, lease) for at, default, lease in reversed(self._obeyed) if at + OBEYS_S <= now), (None, None)
        )
        for schedule in (lease, default):
            if schedule is not None:
                return self._of(schedule, EPOCH + timedelta(seconds=now))
        return RATING_A

    def _of(self, schedule: Any, now: datetime) -> float:
        passed = (now - datetime.fromisoformat(schedule["startSchedule"])).total_seconds()
        limit = RATING_A
        for period in schedule["chargingSchedulePeriod"]:
            if period["startPeriod"] <= passed:
                limit = float(period["limit"])
        return limit

    def _stop(self, session: Any, meter: int, seq_no: int, reason: str) -> None:
        super()._stop(session, meter, seq_no, reason)
        self.lease = None
        self._obeyed.append((self._time(), self.default, None))

    def _update(self, session: Any, meter: int, seq_no: int) -> None:
        amps = self.current_a()
        phases = [
            {"value": f"{amps:.2f}", "measurand": "Current.Import", "unit": "A", "phase": f"L{phase}"}
            for phase in (1, 2, 3)
        ]
        sampled = [{"timestamp": self._now(), "sampledValue": [{"value": f"{meter}"}, *phases]}]
        self._make(session, "Updated", "MeterValues", {"connectorId": 1, "meterValue": sampled})

    async def _obey(self, message_id: str, action: str, payload: Any) -> Any:
        self.heard.append((self._time(), action, payload))
        if action == "SetChargingProfile":
            profile = payload["csChargingProfiles"]
            schedule = profile["chargingSchedule"]
            if profile["chargingProfilePurpose"] == "TxProfile":
                self.lease = schedule
            else:
                self.default = schedule
            self._obeyed.append((self._time(), self.default, self.lease))
            return {"status": "Accepted"}
        if action == "GetCompositeSchedule":
            now = EPOCH + timedelta(seconds=self._time())
            told = self._of(self.lease or self.default, now) if self.lease or self.default else RATING_A
            return {
                "status": "Accepted",
                "connectorId": 1,
                "scheduleStart": now.isoformat(),
                "chargingSchedule": {
                    "chargingRateUnit": "A",
                    "chargingSchedulePeriod": [{"startPeriod": 0, "limit": told}],
                },
            }
        return await super()._obey(message_id, action, payload)

    def written(self) -> list[tuple[float, float]]:
        """Leases heard: when, and how much."""
        return [
            (at, said["csChargingProfiles"]["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"])
            for at, action, said in self.heard
            if action == "SetChargingProfile" and said["csChargingProfiles"]["chargingProfilePurpose"] == "TxProfile"
        ]


class Building:
    """The simulated meter of `drivers`, with the cars' currents and a load that can be switched on."""

    def __init__(self, options: SimulatedOptions, stations: list[ObedientStation]) -> None:
        self.options = options
        self.stations = stations
        self.step_a = 0.0
        self.driver: SimulatedDriver | None = None
        self.readings: list[float] = []
        self.is_dead = False

    def metering(self, metering: Metering) -> None:
        """Remembered, so that its driver can be told what flows."""
        self._metering = metering

    def build(self, name: str, options: Any, seams: Any) -> Any:
        """In place of the registry's: the same driver, kept."""
        self.driver = build(name, options, seams)  # type: ignore[assignment]
        return self.driver

    def background_a(self) -> tuple[float, float, float]:
        now = asyncio.get_running_loop().time()
        own = building_a(self.options, now - self._began)
        return (own[0] + self.step_a, own[1] + self.step_a, own[2] + self.step_a)

    def flow_a(self) -> float:
        """The most of any phase."""
        return max(self.background_a()) + sum(station.current_a() for station in self.stations)

    async def run(self) -> None:
        """Tell the driver what the cars draw, ten times a second; ends by cancellation."""
        self._began = asyncio.get_running_loop().time()
        while True:
            if self.driver is not None:
                cars = self.step_a + sum(station.current_a() for station in self.stations)
                self.driver.cars_a = (cars, cars, cars)
            await asyncio.sleep(0.1)


def meter_options(options: SimulatedOptions, limit_a: float) -> MeterOptions:
    return MeterOptions(MeterId("grid"), options, Rules(230.0, limit_a))
