"""Charging profiles on the wire, all versions."""

import json
from typing import Any

import pytest

from gateway.dialects import schema
from gateway.dialects.profiles import PROFILE_CODECS, REPORTING
from gateway.dialects.registry import ALL
from gateway.model.profile import (
    AskedSchedule,
    ChargingProfile,
    CompositeSchedule,
    DynamicUpdate,
    Kind,
    Period,
    PriorityStatus,
    ProfileFilter,
    Purpose,
    RateUnit,
    Refusal,
    Refused,
    Schedule,
)
from gateway.rpc.codes import CallError, ErrorCode
from tests.dialects.profile_examples import FULL, NOW, VERSIONS, raw, set_request

NEWER = ("2.0.1", "2.1")
REFUSAL = Refusal(Refused.SCHEDULE, "chargingSchedulePeriod[0].limit is missing" * 20)
LEASE = ChargingProfile(
    1_960_000_018,
    0,
    Purpose.TX,
    Kind.ABSOLUTE,
    (Schedule(RateUnit.A, (Period(0, 16.1, 3), Period(300, 6.0, 3)), start=NOW),),
    transaction="55",
)


def valid(version: str, action: str, payload: bytes, kind: schema.Kind = "request") -> Any:
    assert schema.validate(version, action, kind, payload) == []
    return json.loads(payload)


def test_every_dialect_has_its_codec() -> None:
    assert set(PROFILE_CODECS) == {dialect.name for dialect in ALL}
    assert set(REPORTING) == set(NEWER)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_profile_is_read_and_written(version: str) -> None:
    codec = PROFILE_CODECS[version]
    asked = codec.read_set(set_request(version, raw(version)))
    assert (asked.evse, asked.profile) == (1, FULL)
    assert (asked.wire is not None) is (version != "1.6")
    action, payload = codec.set_profile(1, FULL)
    assert action == "SetChargingProfile"
    valid(version, action, payload)
    assert codec.read_set(payload).profile == FULL


@pytest.mark.parametrize("version", VERSIONS)
def test_a_lease_is_valid_and_comes_back_the_same(version: str) -> None:
    codec = PROFILE_CODECS[version]
    action, payload = codec.set_profile(1, LEASE)
    valid(version, action, payload)
    assert codec.read_set(payload).profile == LEASE
    assert b'"limit":16.1' in payload
    assert b'"limit":6,' in payload or b'"limit":6}' in payload  # a whole number without a fraction
    assert b'"startSchedule":"2026-03-02T12:00:00Z"' in payload


@pytest.mark.parametrize("version", VERSIONS)
def test_the_profile_of_a_remote_start(version: str) -> None:
    codec = PROFILE_CODECS[version]
    if version == "1.6":
        request: dict[str, Any] = {"connectorId": 2, "idTag": "TaG", "chargingProfile": raw(version)}
    else:
        token = {"idToken": "TaG", "type": "Central"}
        request = {"evseId": 2, "idToken": token, "remoteStartId": 9, "chargingProfile": raw(version)}
    found = codec.read_start(json.dumps(request).encode())
    assert found is not None
    assert (found.evse, found.token, found.profile) == (2, "tag", FULL)
    assert found.remote_start_id == (None if version == "1.6" else 9)
    assert (found.wire is not None) is (version != "1.6")
    del request["connectorId" if version == "1.6" else "evseId"]
    anywhere = codec.read_start(json.dumps(request).encode())
    assert anywhere is not None
    assert anywhere.evse is None
    del request["chargingProfile"]
    assert codec.read_start(json.dumps(request).encode()) is None


def test_commands_are_read() -> None:
    older, newer = PROFILE_CODECS["1.6"], REPORTING["2.1"]
    assert older.read_clear(b"{}") == newer.read_clear(b"{}") == ProfileFilter()
    clear = b'{"id":5,"connectorId":0,"chargingProfilePurpose":"ChargePointMaxProfile","stackLevel":2}'
    assert older.read_clear(clear) == ProfileFilter((5,), 0, Purpose.STATION_MAX, 2)
    clear = b'{"chargingProfileId":5,"chargingProfileCriteria":{"evseId":1,"stackLevel":2}}'
    assert newer.read_clear(clear) == ProfileFilter((5,), 1, None, 2)
    asked = AskedSchedule(1, 60, RateUnit.W)
    assert older.read_composite(b'{"connectorId":1,"duration":60,"chargingRateUnit":"W"}') == asked
    assert newer.read_composite(b'{"evseId":1,"duration":60,"chargingRateUnit":"W"}') == asked
    assert newer.read_composite(b'{"evseId":0,"duration":"60"}') == AskedSchedule(0, 60)
    get = b'{"requestId":3,"evseId":1,"chargingProfile":{"chargingProfileId":[1,"2"],"chargingLimitSource":["CSO"]}}'
    assert newer.read_get(get) == (3, ProfileFilter((1, 2), 1, sources=("CSO",)))
    assert newer.read_get(b'{"requestId":3,"chargingProfile":{"stackLevel":0}}') == (3, ProfileFilter(stack_level=0))
    assert newer.read_update(b'{"chargingProfileId":4,"scheduleUpdate":{"limit":6,"limit_L2":5.5}}') == DynamicUpdate(
        4, 6.0, 5.5
    )
    assert newer.read_update(b'{"chargingProfileId":4,"scheduleUpdate":{"setpoint":6}}').needs == ("setpoint",)
    assert newer.read_use_priority(b'{"transactionId":"t","activate":true}') == ("t", True)
    assert newer.read_notify_priority(b'{"transactionId":"t","activated":false}') == ("t", False)
    for reader, payload, said in (
        (newer.read_get, b'{"chargingProfile":{}}', "requestId is missing"),
        (newer.read_get, b'{"requestId":1,"chargingProfile":{"chargingProfileId":["x"]}}', "chargingProfileId is"),
        (newer.read_update, b'{"chargingProfileId":4}', "scheduleUpdate is missing"),
        (newer.read_update, b'{"scheduleUpdate":{}}', "chargingProfileId is missing"),
        (newer.read_use_priority, b'{"activate":true}', "transactionId is missing"),
        (newer.read_use_priority, b'{"transactionId":"t"}', "activate is missing"),
        (older.read_composite, b'{"connectorId":1}', "duration is missing"),
    ):
        with pytest.raises(CallError) as caught:
            reader(payload)
        assert said in caught.value.description


@pytest.mark.parametrize("version", VERSIONS)
def test_answers_are_valid(version: str) -> None:
    codec = PROFILE_CODECS[version]
    start = "RemoteStartTransaction" if version == "1.6" else "RequestStartTransaction"
    assert valid(version, "SetChargingProfile", codec.answer_set(None), "response") == {"status": "Accepted"}
    refused = valid(version, "SetChargingProfile", codec.answer_set(REFUSAL), "response")
    assert refused["status"] == "Rejected"
    assert valid(version, start, codec.answer_start_refused(REFUSAL), "response")["status"] == "Rejected"
    if version != "1.6":
        assert refused["statusInfo"]["reasonCode"] == "InvalidSchedule"
    for found, status in ((True, "Accepted"), (False, "Unknown")):
        assert valid(version, "ClearChargingProfile", codec.answer_clear(found), "response")["status"] == status
    lacking = Refusal(Refused.NO_SMART_CHARGING, "no smart charging")
    if version == "1.6":
        assert valid(version, "SetChargingProfile", codec.answer_set(lacking), "response")["status"] == "NotSupported"
    else:
        with pytest.raises(CallError) as caught:
            codec.answer_set(lacking)
        assert caught.value.code == ErrorCode.NOT_SUPPORTED


def test_every_reason_is_short_enough_for_the_wire() -> None:
    for reason in Refused:
        if reason is not Refused.NO_SMART_CHARGING:
            valid("2.0.1", "SetChargingProfile", REPORTING["2.0.1"].answer_set(Refusal(reason, "x")), "response")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_composite_schedule_is_told_and_read(version: str) -> None:
    codec = PROFILE_CODECS[version]
    told = CompositeSchedule(1, NOW, 600, RateUnit.A, (Period(0, 16.0, 3), Period(60, 0.1, 1)))
    payload = codec.answer_composite(told)
    valid(version, "GetCompositeSchedule", payload, "response")
    assert codec.read_composite_answer(payload) == told
    refused = codec.answer_composite(Refusal(Refused.EVSE, "there is no EVSE 9"))
    valid(version, "GetCompositeSchedule", refused, "response")
    for answer in (
        refused,
        None,
        b"{}",
        b"x",
        payload.replace(b'"limit":16', b'"limit":"x"'),
        payload.replace(b"[{", b"[1,{"),
        payload.replace(b'"A"', b'"V"'),
    ):
        assert codec.read_composite_answer(answer) is None
    _, asked = codec.get_composite(AskedSchedule(1, 600, RateUnit.A))
    valid(version, "GetCompositeSchedule", asked)
    assert codec.read_composite(asked) == AskedSchedule(1, 600, RateUnit.A)


@pytest.mark.parametrize("version", VERSIONS)
def test_commands_for_a_station_are_valid(version: str) -> None:
    codec = PROFILE_CODECS[version]
    for asked in (ProfileFilter((5,)), ProfileFilter(evse=1, purpose=Purpose.TX_DEFAULT, stack_level=0)):
        action, payload = codec.clear_profiles(asked)
        valid(version, action, payload)
        assert codec.read_clear(payload) == asked
    with pytest.raises(ValueError, match=r"one id|filter"):
        codec.clear_profiles(ProfileFilter((1, 2)))
    wanted = ProfileFilter((1, 2), 1, Purpose.TX, 0, ("CSO",))
    asking = codec.get_profiles(3, wanted)
    if version == "1.6":
        assert asking is None
    else:
        assert asking is not None
        valid(version, *asking)
        assert REPORTING[version].read_get(asking[1]) == (3, wanted)
    answers = {b'{"status":"Accepted"}': True, b'{"status":"accepted"}': True, b'{"status":"Rejected"}': False}
    assert {payload: codec.is_accepted(payload) for payload in answers} == answers
    assert not codec.is_accepted(None)


def test_what_1_6_cant_express_is_an_error() -> None:
    codec = PROFILE_CODECS["1.6"]
    short = (Schedule(RateUnit.A, (Period(0, 6.0),)),)
    for profile in (
        ChargingProfile(1, 0, Purpose.PRIORITY, Kind.ABSOLUTE, short),
        ChargingProfile(1, 0, Purpose.TX, Kind.DYNAMIC, short),
        ChargingProfile(1, 0, Purpose.TX, Kind.RELATIVE, short * 2),
        ChargingProfile(1, 0, Purpose.TX, Kind.RELATIVE, short, transaction="abc"),
        ChargingProfile(1, 0, Purpose.TX, Kind.RELATIVE, (Schedule(RateUnit.A, (Period(0, None),)),)),
        ChargingProfile(1, 0, Purpose.TX, Kind.RELATIVE, (Schedule(RateUnit.W, (Period(0, 9.0, limit_l2=1.0),)),)),
    ):
        with pytest.raises(ValueError, match=r"OCPP 1\.6|invalid literal"):
            codec.set_profile(1, profile)
    with pytest.raises(ValueError, match="filter"):
        codec.clear_profiles(ProfileFilter(purpose=Purpose.EXTERNAL))
    limitless = (Schedule(RateUnit.A, (Period(0, None),)),)
    with pytest.raises(ValueError, match="needs a limit"):
        PROFILE_CODECS["2.0.1"].set_profile(1, ChargingProfile(1, 0, Purpose.TX, Kind.RELATIVE, limitless))
    for version in NEWER:
        kind = Kind.DYNAMIC if version == "2.0.1" else Kind.RELATIVE
        with pytest.raises(ValueError, match="can't express"):
            PROFILE_CODECS[version].set_profile(1, ChargingProfile(1, -1, Purpose.TX, kind, short))


def test_limits_are_rounded_down_for_1_6() -> None:
    periods = (Period(0, 16.19), Period(1, 0.3), Period(2, 9.0, limit_l2=8.99), Period(3, 22_000.05))
    one = ChargingProfile(1, 0, Purpose.TX, Kind.RELATIVE, (Schedule(RateUnit.A, periods),))
    _, payload = PROFILE_CODECS["1.6"].set_profile(1, one)
    written = valid("1.6", "SetChargingProfile", payload)["csChargingProfiles"]["chargingSchedule"]
    assert [period["limit"] for period in written["chargingSchedulePeriod"]] == [16.1, 0.3, 8.9, 22_000]


@pytest.mark.parametrize("version", NEWER)
def test_a_report_says_what_was_set(version: str) -> None:
    codec = REPORTING[version]
    sent = set_request(version, raw(version)).replace(b'"limit": 11040', b'"limit": 1.1040E4')
    asked = codec.read_set(sent)
    assert asked.wire is not None
    assert "1.1040E4" in asked.wire
    action, payload = codec.report(9, 1, "CSO", [(asked.profile, asked.wire), (LEASE, None)], True)
    valid(version, action, payload)
    assert b"1.1040E4" in payload
    request, found, more_follow = codec.read_report(payload)
    assert (request, more_follow) == (9, True)
    assert [(one.evse, one.source, one.profile) for one in found] == [(1, "CSO", FULL), (1, "CSO", LEASE)]
    broken = b'{"requestId":9,"evseId":2,"chargingLimitSource":"EMS","chargingProfile":[{"id":5,"stackLevel":"x"},3]}'
    request, found, more_follow = codec.read_report(broken)
    assert [(one.evse, one.id, one.profile) for one in found] == [(2, 5, None)]
    assert not more_follow


@pytest.mark.parametrize("version", VERSIONS)
def test_limits_of_the_gateway_are_announced(version: str) -> None:
    codec = PROFILE_CODECS[version]
    announced = codec.notify_limit(1, "EMS", LEASE.schedules[0], is_grid_critical=True)
    cleared = codec.cleared_limit(1, "EMS")
    if version == "1.6":
        assert announced is None
        assert cleared is None
        return
    assert announced is not None
    assert cleared is not None
    said = valid(version, *announced)
    assert said["chargingLimit"] == {"chargingLimitSource": "EMS", "isGridCritical": True}
    assert valid(version, *cleared) == {"chargingLimitSource": "EMS", "evseId": 1}
    short = codec.notify_limit(0, "SO", None)
    assert short is not None
    assert valid(version, *short) == {"chargingLimit": {"chargingLimitSource": "SO"}, "evseId": 0}


def test_dynamic_profiles_and_priority_of_2_1() -> None:
    codec = REPORTING["2.1"]
    one = ChargingProfile(
        4,
        0,
        Purpose.TX,
        Kind.DYNAMIC,
        (Schedule(RateUnit.A, (Period(0, 9.0, limit_l2=8.0, limit_l3=7.0, mode="ChargingOnly"),)),),
        max_offline_s=60,
        ends_offline=True,
        update_interval_s=30,
        updated=NOW,
        transaction="t",
    )
    action, payload = codec.set_profile(1, one)
    valid("2.1", action, payload)
    assert codec.read_set(payload).profile == one
    valid("2.1", *codec.pull_update(4))
    valid("2.1", *codec.notify_priority("t", True))
    assert codec.read_pulled(4, b'{"status":"Accepted","scheduleUpdate":{"limit":6}}') == DynamicUpdate(4, 6.0)
    for answer in (None, b"{}", b'{"status":"Accepted"}', b'{"status":"Rejected","scheduleUpdate":{"limit":6}}',
                   b'{"status":"Accepted","scheduleUpdate":{"limit":"x"}}'):  # fmt: skip
        assert codec.read_pulled(4, answer) is None
    for status in PriorityStatus:
        assert valid("2.1", "UsePriorityCharging", codec.answer_use_priority(status), "response")["status"] == status
    for found, word in ((True, "Accepted"), (False, "NoProfiles")):
        assert valid("2.1", "GetChargingProfiles", codec.answer_get(found), "response")["status"] == word
    valid("2.1", "UpdateDynamicSchedule", codec.answer_set(None), "response")
    valid("2.1", "UpdateDynamicSchedule", codec.answer_set(REFUSAL), "response")
