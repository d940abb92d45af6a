"""A charging profile, as the gateway knows it and as each version writes it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.model.profile import ChargingProfile, Kind, Period, Purpose, RateUnit, Recurrency, Schedule

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
VERSIONS = ("1.6", "2.0.1", "2.1")
FULL = ChargingProfile(
    7,
    2,
    Purpose.TX_DEFAULT,
    Kind.RECURRING,
    (Schedule(RateUnit.W, (Period(0, 11_040.0), Period(60, 0.0, 1)), start=NOW, duration_s=600, min_rate=6.5),),
    Recurrency.DAILY,
    NOW,
    NOW + timedelta(days=1),
)
RAW: dict[str, Any] = {
    "stackLevel": 2,
    "chargingProfilePurpose": "TxDefaultProfile",
    "chargingProfileKind": "Recurring",
    "recurrencyKind": "Daily",
    "validFrom": "2026-03-02T12:00:00Z",
    "validTo": "2026-03-03T12:00:00Z",
    "chargingSchedule": {
        "duration": 600,
        "startSchedule": "2026-03-02T12:00:00Z",
        "chargingRateUnit": "W",
        "chargingSchedulePeriod": [
            {"startPeriod": 0, "limit": 11040},
            {"startPeriod": 60, "limit": 0, "numberPhases": 1},
        ],
        "minChargingRate": 6.5,
    },
}


def raw(version: str, **more: Any) -> dict[str, Any]:
    """The same profile in this version's names."""
    found = json.loads(json.dumps(RAW))
    if version == "1.6":
        return {"chargingProfileId": 7, **found, **more}
    found["chargingSchedule"] = [{"id": 1, **found["chargingSchedule"]}]
    return {"id": 7, **found, **more}


def set_request(version: str, profile: Any, evse: Any = 1) -> bytes:
    names = ("connectorId", "csChargingProfiles") if version == "1.6" else ("evseId", "chargingProfile")
    return json.dumps({names[0]: evse, names[1]: profile}).encode()
