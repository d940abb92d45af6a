import json
from typing import Any

import pytest

from gateway.dialects.profiles import PROFILE_CODECS
from gateway.model.profile import Kind, Period, Purpose, RateUnit, Recurrency
from gateway.rpc.codes import CallError, ErrorCode
from tests.dialects.profile_examples import NOW, VERSIONS, raw, set_request


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("chargingProfilePurpose", "ChargePointMaxProfile", Purpose.STATION_MAX),
        ("chargingProfilePurpose", "ChargingStationMaxProfile", Purpose.STATION_MAX),
        ("chargingProfilePurpose", "txprofile", Purpose.TX),
        ("chargingProfilePurpose", "TX_DEFAULT_PROFILE", Purpose.TX_DEFAULT),
        ("chargingProfileKind", "absolute", Kind.ABSOLUTE),
        ("recurrencyKind", "WEEKLY", Recurrency.WEEKLY),
        ("stackLevel", "3", 3),
        ("stackLevel", 3.0, 3),
        ("validFrom", "2026-03-02T12:00:00", NOW),
        ("validFrom", "2026-03-02T14:00:00+02:00", NOW),
        ("validFrom", "2026-03-02T14:00:00+02", NOW),
        ("validFrom", "2026-03-02 12:00:00z", NOW),
        ("validFrom", "2026-03-02T12:00:00.000000000Z", NOW),
        ("validFrom", "", None),
        ("validFrom", None, None),
        ("transactionId", 55, "55"),
        ("transactionId", "abc", "abc"),
    ],
)
def test_other_spellings_are_understood(version: str, name: str, value: Any, expected: Any) -> None:
    member = {"chargingProfilePurpose": "purpose", "chargingProfileKind": "kind", "recurrencyKind": "recurrency"}
    member |= {"stackLevel": "stack_level", "validFrom": "valid_from", "transactionId": "transaction"}
    asked = PROFILE_CODECS[version].read_set(set_request(version, raw(version, **{name: value})))
    assert getattr(asked.profile, member[name]) == expected


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("unit", ["A", "a", "Amps", "Ampere", "Current", "W", "Watt", "Power", "watts"])
def test_units_are_understood(version: str, unit: str) -> None:
    profile = raw(version)
    schedule = profile["chargingSchedule"] if version == "1.6" else profile["chargingSchedule"][0]
    schedule["chargingRateUnit"] = unit
    schedule["chargingSchedulePeriod"] = [{"startPeriod": "0", "limit": "16.5"}]
    profile["chargingSchedule"] = [schedule] if version == "1.6" else schedule  # the other version's form
    (found,) = PROFILE_CODECS[version].read_set(set_request(version, [profile])).profile.schedules
    assert found.unit is (RateUnit.W if unit[0] in "WwP" else RateUnit.A)
    assert found.periods == (Period(0, 16.5),)


BROKEN: list[tuple[str, Any, str]] = [
    ("stackLevel", None, "stackLevel is missing"),
    ("stackLevel", "high", "stackLevel is 'high'"),
    ("stackLevel", True, "stackLevel is 'True'"),
    ("chargingProfilePurpose", None, "chargingProfilePurpose is missing"),
    ("chargingProfilePurpose", "Wish", "chargingProfilePurpose is 'Wish'"),
    ("chargingProfilePurpose", 5, "chargingProfilePurpose is '5'"),
    ("chargingProfileKind", None, "chargingProfileKind is missing"),
    ("recurrencyKind", "Hourly", "recurrencyKind is 'Hourly'"),
    ("validTo", "tomorrow", "validTo is 'tomorrow'"),
    ("validTo", 5, "validTo is '5'"),
    ("chargingSchedule", None, "chargingSchedule is missing"),
    ("chargingSchedule", "x", "chargingSchedule is 'x'"),
    ("chargingSchedule", [1], "chargingSchedule is '[1]'"),
    ("chargingSchedule", {}, "chargingSchedule.chargingRateUnit is missing"),
    ("chargingSchedule", {"chargingRateUnit": "V"}, "chargingSchedule.chargingRateUnit is 'V'"),
    ("chargingSchedule", {"chargingRateUnit": "A"}, "chargingSchedule.chargingSchedulePeriod is missing"),
    ("chargingSchedule", {"chargingRateUnit": "A", "chargingSchedulePeriod": 1}, "chargingSchedulePeriod is '1'"),
    (
        "chargingSchedule",
        {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"limit": 1}]},
        "chargingSchedule.chargingSchedulePeriod[0].startPeriod is missing",
    ),
    (
        "chargingSchedule",
        [{"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": "much"}]}],
        "chargingSchedule[0].chargingSchedulePeriod[0].limit is 'much'",
    ),
    (
        "chargingSchedule",
        {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": True}]},
        "limit is 'True'",
    ),
    (
        "chargingSchedule",
        {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 10**11, "limit": 1}]},
        "startPeriod is '100000000000'",
    ),
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("name", "value", "said"), BROKEN)
def test_what_cant_be_understood_is_named(version: str, name: str, value: Any, said: str) -> None:
    with pytest.raises(CallError) as caught:
        PROFILE_CODECS[version].read_set(set_request(version, raw(version, **{name: value})))
    assert said in caught.value.description
    assert caught.value.code in (ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION, ErrorCode.PROPERTY_CONSTRAINT_VIOLATION)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_stands_around_the_profile_is_named_too(version: str) -> None:
    names = ("connectorId", "csChargingProfiles") if version == "1.6" else ("evseId", "chargingProfile")
    codec = PROFILE_CODECS[version]
    without_id = raw(version)
    del without_id["chargingProfileId" if version == "1.6" else "id"]
    for evse, profile, said in (
        (None, raw(version), f"{names[0]} is missing"),
        ("x", raw(version), f"{names[0]} is 'x'"),
        (1, None, f"{names[1]} is missing"),
        (1, "x", f"{names[1]} is 'x'"),
        (1, without_id, f"{names[1]}.id is missing"),
    ):
        with pytest.raises(CallError) as caught:
            codec.read_set(set_request(version, profile, evse))
        assert said == caught.value.description
    with pytest.raises(CallError):
        codec.read_set(b"[]")


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" * 400])
def test_numbers_beyond_all_bounds_are_refused(number: str) -> None:
    request = set_request("2.1", raw("2.1")).replace(b"11040", number.encode())
    with pytest.raises(CallError, match="limit is"):
        PROFILE_CODECS["2.1"].read_set(request)


def test_what_2_1_adds_is_read() -> None:
    periods = [
        {"startPeriod": 0, "limit": 9, "limit_L2": 8, "limit_L3": 7.5, "operationMode": "ChargingOnly"},
        {
            "startPeriod": 5,
            "operationMode": "Idle",
            "setpoint_L2": 3,
            "evseSleep": True,
            "numberPhases": 1,
            "phaseToUse": 2,
        },
    ]
    schedule = {
        "id": 4,
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": periods,
        "limitAtSoC": {"soc": 80, "limit": 6},
        "useLocalTime": True,
        "randomizedDelay": 30,
    }
    profile = {
        "id": 7,
        "stackLevel": 0,
        "chargingProfilePurpose": "PriorityCharging",
        "chargingProfileKind": "Dynamic",
        "chargingSchedule": [schedule],
        "maxOfflineDuration": 90,
        "invalidAfterOfflineDuration": True,
        "dynUpdateInterval": 60,
        "dynUpdateTime": "2026-03-02T12:00:00Z",
    }
    asked = PROFILE_CODECS["2.1"].read_set(set_request("2.1", profile))
    found = asked.profile
    assert (found.purpose, found.kind) == (Purpose.PRIORITY, Kind.DYNAMIC)
    assert (found.max_offline_s, found.ends_offline, found.update_interval_s, found.updated) == (90, True, 60, NOW)
    (one,) = found.schedules
    assert one.periods == (
        Period(0, 9.0, None, None, 8.0, 7.5, "ChargingOnly"),
        Period(5, None, 1, 2, mode="Idle"),
    )
    assert set(one.needs) == {"setpoint_L2", "evseSleep", "limitAtSoC", "useLocalTime", "randomizedDelay"}
    assert asked.wire is not None
    assert json.loads(asked.wire) == profile
    schedule.update(useLocalTime=False, randomizedDelay=0)
    del schedule["limitAtSoC"]
    periods[1] = {"startPeriod": 5, "limit": 3}
    assert PROFILE_CODECS["2.1"].read_set(set_request("2.1", profile)).profile.schedules[0].needs == ()
