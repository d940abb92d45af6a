"""Simulated stations against the simulated CSMS, without a gateway: the peers judge each other."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from ocpp.exceptions import NotImplementedError as OcppNotImplementedError
from ocpp.v16 import call as v16
from ocpp.v201 import call as v201

from gateway.demo.checker import check
from gateway.demo.csms import SimulatedCsms
from gateway.demo.csms_connection import Effect
from gateway.demo.history import Acknowledged, Created, Failed
from gateway.demo.physics import VOLTAGE_V, Car
from gateway.demo.station import SimulatedStation, StationOptions

QUICK = StationOptions(
    meter_interval_s=0.05,
    call_timeout_s=5,
    retry_wait_s=0.02,
    reconnect_min_s=0.01,
    reconnect_max_s=0.05,
    tick_s=0.01,
    react_s=0,
    longest_wait_s=0.02,
    ramp_w_per_s=1e6,
)
LIMIT_S = 20
VERSIONS = ["1.6", "2.0.1"]


@pytest.fixture
async def csms() -> AsyncIterator[SimulatedCsms]:
    async with SimulatedCsms() as csms:
        yield csms


def station_of(csms: SimulatedCsms, version: str = "1.6", **more: Any) -> SimulatedStation:
    return SimulatedStation("CP 1", csms.url, version, **{"options": QUICK, **more})


async def until_ready(station: SimulatedStation) -> None:
    await station.changes.until(lambda: station.is_accepted and station.status() == "Available", LIMIT_S)


async def run_session(station: SimulatedStation, csms: SimulatedCsms, updates: int = 2) -> None:
    """A whole transaction with some meter values, acknowledged to the end."""
    assert await station.start(1, "TAG-1")
    await station.changes.until(lambda: kinds(station).count("Updated") >= updates, LIMIT_S)
    assert await station.stop(1)
    await station.drain(LIMIT_S)


def kinds(station: SimulatedStation) -> list[str]:
    return [record.kind for record in station.history.records if isinstance(record, Created)]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_session_reaches_the_csms_in_order(csms: SimulatedCsms, version: str) -> None:
    async with station_of(csms, version) as station:
        await until_ready(station)
        await run_session(station, csms)
    report = check(station.history.records, None, csms.history.records)
    assert report.is_clean, report.findings
    assert (report.transactions, report.repeated, report.lost_answers) == (1, 0, 0)
    assert report.arrivals == report.messages == report.acknowledged >= 4


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_pending_boot_is_repeated_and_nothing_else_is_sent(csms: SimulatedCsms, version: str) -> None:
    csms.books.boots["CP 1"] = ["Pending", "Rejected"]
    station = station_of(csms, version)
    assert station.begin(1, "TAG-1")
    async with station:
        await station.drain(LIMIT_S)
    actions = [action for _, action in csms.calls]
    assert actions[:3] == ["BootNotification"] * 3
    assert "BootNotification" not in actions[3:]


async def test_a_plain_reconnect_does_not_boot_again_and_sends_the_queue(csms: SimulatedCsms) -> None:
    async with station_of(csms) as station:
        await until_ready(station)
        csms.cut()
        await station.changes.until(lambda: not station.is_connected, LIMIT_S)
        assert await station.start(1, "TAG-1"), "a station serves its driver without a connection"
        assert await station.stop(1)
        assert station.queue_length == 2
        csms.restore()
        await station.drain(LIMIT_S)
    assert csms.received("CP 1", "BootNotification") == 1
    assert check(station.history.records, None, csms.history.records).is_clean


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_lost_answer_makes_the_station_send_the_same_again(csms: SimulatedCsms, version: str) -> None:
    start = "StartTransaction" if version == "1.6" else "TransactionEvent"
    csms.script(Effect.LOSE, action=start)
    async with station_of(csms, version) as station:
        await until_ready(station)
        await run_session(station, csms)
    assert csms.arrivals[0].payload == csms.arrivals[1].payload
    assert csms.arrivals[0].message_id != csms.arrivals[1].message_id
    report = check(station.history.records, None, csms.history.records)
    assert report.is_clean, report.findings
    assert report.repeated == 1
    assert report.lost_answers >= 1


async def test_a_refused_message_is_sent_again_until_it_is_taken(csms: SimulatedCsms) -> None:
    csms.script(Effect.REFUSE, action="StartTransaction", times=2)
    async with station_of(csms) as station:
        await until_ready(station)
        await run_session(station, csms)
    failed = [r for r in station.history.records if isinstance(r, Failed)]
    assert [r.reason for r in failed] == ["InternalError"] * 2
    report = check(station.history.records, None, csms.history.records)
    assert report.is_clean, report.findings
    assert report.repeated == 0, "what was refused is not held"


async def test_silence_is_a_timeout_and_the_message_is_sent_again(csms: SimulatedCsms) -> None:
    csms.script(Effect.SILENT, action="StopTransaction")
    options = StationOptions(**{**_fields(QUICK), "call_timeout_s": 0.3})
    async with station_of(csms, options=options) as station:
        await until_ready(station)
        await run_session(station, csms)
    assert [r.reason for r in station.history.records if isinstance(r, Failed)] == ["timeout"]
    report = check(station.history.records, None, csms.history.records)
    assert report.is_clean, report.findings
    assert (report.repeated, report.lost_answers) == (1, 1)


def _fields(options: StationOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in StationOptions.__slots__}


async def test_a_1_6_transaction_uses_the_id_its_start_was_given(csms: SimulatedCsms) -> None:
    csms.books.transaction_ids = iter([4711, 4712])
    async with station_of(csms) as station:
        await until_ready(station)
        await run_session(station, csms)
    assert {json.loads(a.payload)["transactionId"] for a in csms.arrivals[1:]} == {4711}


async def test_a_2_0_1_transaction_counts_its_events(csms: SimulatedCsms) -> None:
    async with station_of(csms, "2.0.1") as station:
        await until_ready(station)
        await run_session(station, csms)
    payloads = [json.loads(a.payload) for a in csms.arrivals]
    assert [p["seqNo"] for p in payloads] == list(range(len(payloads)))
    assert [p["eventType"] for p in payloads[:1] + payloads[-1:]] == ["Started", "Ended"]
    assert [("idToken" in p, "evse" in p) for p in payloads[:2]] == [(True, True), (False, False)]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_refused_token_starts_nothing(csms: SimulatedCsms, version: str) -> None:
    csms.books.verdicts["THIEF"] = "Blocked"
    async with station_of(csms, version) as station:
        await until_ready(station)
        assert await station.authorize("THIEF") == "Blocked"
        assert not await station.start(1, "THIEF")
    assert csms.arrivals == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_token_refused_by_the_start_answer_ends_the_transaction(csms: SimulatedCsms, version: str) -> None:
    csms.books.verdicts["THIEF"] = "Invalid"
    async with station_of(csms, version) as station:
        await until_ready(station)
        assert station.begin(1, "THIEF")
        await station.changes.until(lambda: not station.running, LIMIT_S)
        await station.drain(LIMIT_S)
    assert "DeAuthorized" in csms.arrivals[-1].payload


async def test_a_closed_station_keeps_its_queue_and_can_run_again(csms: SimulatedCsms) -> None:
    station = station_of(csms)
    async with station:
        await until_ready(station)
    assert station.begin(1, "TAG-1")
    async with station:
        await station.drain(LIMIT_S)
    assert [r.number for r in station.history.records if isinstance(r, Acknowledged)][:1] == [1]


async def test_one_station_object_does_not_run_twice(csms: SimulatedCsms) -> None:
    async with station_of(csms) as station:
        await until_ready(station)
        with pytest.raises(RuntimeError, match="runs already"):
            await station.run()


async def test_a_remote_start_and_stop_make_a_transaction_1_6(csms: SimulatedCsms) -> None:
    async with station_of(csms) as station:
        await until_ready(station)
        answer = await csms.call("CP 1", v16.RemoteStartTransaction(id_tag="APP", connector_id=1))
        assert answer.status == "Accepted"
        await station.changes.until(
            lambda: bool(station.running) and station.running[0].station_tx_id is not None, LIMIT_S
        )
        assert station.running[0].token == "APP"
        transaction_id = station.running[0].station_tx_id
        assert transaction_id is not None
        wrong = await csms.call("CP 1", v16.RemoteStopTransaction(transaction_id=transaction_id + 1))
        assert wrong.status == "Rejected"
        assert (await csms.call("CP 1", v16.RemoteStopTransaction(transaction_id=transaction_id))).status == "Accepted"
        await station.changes.until(lambda: not station.running, LIMIT_S)
        await station.drain(LIMIT_S)
    assert json.loads(csms.arrivals[-1].payload)["reason"] == "Remote"


async def test_a_request_start_and_stop_make_a_transaction_2_0_1(csms: SimulatedCsms) -> None:
    async with station_of(csms, "2.0.1") as station:
        await until_ready(station)
        token = {"id_token": "APP", "type": "Central"}
        answer = await csms.call("CP 1", v201.RequestStartTransaction(id_token=token, remote_start_id=7, evse_id=1))
        assert answer.status == "Accepted"
        await station.changes.until(lambda: bool(station.running), LIMIT_S)
        name = station.running[0].name
        assert (await csms.call("CP 1", v201.RequestStopTransaction(transaction_id=name))).status == "Accepted"
        await station.changes.until(lambda: not station.running, LIMIT_S)
        await station.drain(LIMIT_S)
    assert json.loads(csms.arrivals[0].payload)["transactionInfo"]["remoteStartId"] == 7
    assert json.loads(csms.arrivals[-1].payload)["transactionInfo"]["stoppedReason"] == "Remote"


def profile_16(limit: float) -> dict[str, Any]:
    return {
        "charging_profile_id": 1,
        "stack_level": 0,
        "charging_profile_purpose": "TxDefaultProfile",
        "charging_profile_kind": "Relative",
        "charging_schedule": {
            "charging_rate_unit": "A",
            "charging_schedule_period": [{"start_period": 0, "limit": limit}],
        },
    }


async def test_a_charging_profile_limits_the_power_1_6(csms: SimulatedCsms) -> None:
    async with station_of(csms) as station:
        await until_ready(station)
        assert await station.start(1, "TAG-1")
        await station.changes.until(lambda: station.power_w == pytest.approx(16 * 3 * VOLTAGE_V), LIMIT_S)
        answer = await csms.call("CP 1", v16.SetChargingProfile(1, profile_16(10.0)))
        assert answer.status == "Accepted"
        await station.changes.until(lambda: station.power_w == pytest.approx(10 * 3 * VOLTAGE_V), LIMIT_S)
        schedule = await csms.call("CP 1", v16.GetCompositeSchedule(connector_id=1, duration=600))
        assert schedule.charging_schedule["charging_schedule_period"][0]["limit"] == 10.0
        assert (await csms.call("CP 1", v16.SetChargingProfile(1, profile_16(5.0)))).status == "Accepted"
        await station.changes.until(lambda: station.status() == "SuspendedEVSE", LIMIT_S)
        assert (await csms.call("CP 1", v16.ClearChargingProfile(id=1))).status == "Accepted"
        assert (await csms.call("CP 1", v16.ClearChargingProfile(id=1))).status == "Unknown"
        await station.changes.until(lambda: station.status() == "Charging", LIMIT_S)


async def test_a_charging_profile_limits_the_power_2_0_1(csms: SimulatedCsms) -> None:
    async with station_of(csms, "2.0.1") as station:
        await until_ready(station)
        assert await station.start(1, "TAG-1")
        raw = {
            "id": 5,
            "stack_level": 1,
            "charging_profile_purpose": "TxProfile",
            "charging_profile_kind": "Relative",
            "transaction_id": station.running[0].name,
            "charging_schedule": [
                {
                    "id": 1,
                    "charging_rate_unit": "A",
                    "charging_schedule_period": [{"start_period": 0, "limit": 8.0}, {"start_period": 3600, "limit": 6}],
                }
            ],
        }
        stray = {**raw, "transaction_id": "another"}
        assert (await csms.call("CP 1", v201.SetChargingProfile(1, stray))).status == "Rejected"
        assert (await csms.call("CP 1", v201.SetChargingProfile(1, raw))).status == "Accepted"
        await station.changes.until(lambda: station.power_w == pytest.approx(8 * 3 * VOLTAGE_V), LIMIT_S)
        answer = await csms.call("CP 1", v201.GetCompositeSchedule(duration=7200, evse_id=1))
        limits = [p["limit"] for p in answer.schedule["charging_schedule_period"]]
        assert limits == [8.0, 6.0]
        assert await station.stop(1)
        assert len(station.profiles) == 0


async def test_settings_can_be_read_and_written_1_6(csms: SimulatedCsms) -> None:
    async with station_of(csms, connectors=2) as station:
        await until_ready(station)
        asked = v16.GetConfiguration(key=["NumberOfConnectors", "Nonsense"])
        answer = await csms.call("CP 1", asked)
        assert answer.configuration_key[0]["value"] == "2"
        assert answer.unknown_key == ["Nonsense"]
        statuses = [
            (await csms.call("CP 1", v16.ChangeConfiguration(key, value))).status
            for key, value in (("HeartbeatInterval", "77"), ("NumberOfConnectors", "3"), ("Nonsense", "1"))
        ]
        assert statuses == ["Accepted", "Rejected", "NotSupported"]
        assert station.link.heartbeat_s == 77


async def test_settings_can_be_read_and_written_2_0_1(csms: SimulatedCsms) -> None:
    async with station_of(csms, "2.0.1") as station:
        await until_ready(station)
        interval = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}
        stray = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "Nonsense"}}
        written = await csms.call(
            "CP 1", v201.SetVariables([{**interval, "attribute_value": "77"}, {**stray, "attribute_value": "1"}])
        )
        assert [r["attribute_status"] for r in written.set_variable_result] == ["Accepted", "UnknownVariable"]
        read = await csms.call("CP 1", v201.GetVariables([interval, stray]))
        assert read.get_variable_result[0]["attribute_value"] == "77"
        assert (await csms.call("CP 1", v201.GetBaseReport(1, "FullInventory"))).status == "Accepted"
        await csms.changes.until(lambda: csms.received("CP 1", "NotifyReport") == 1, LIMIT_S)


async def test_the_other_commands_are_obeyed_1_6(csms: SimulatedCsms) -> None:
    async with station_of(csms) as station:
        await until_ready(station)
        when = "2036-01-01T00:00:00Z"
        calls: list[tuple[Any, str]] = [
            (v16.ReserveNow(1, when, "TAG-9", 3), "Accepted"),
            (v16.CancelReservation(3), "Accepted"),
            (v16.CancelReservation(3), "Rejected"),
            (v16.ChangeAvailability(1, "Inoperative"), "Accepted"),
            (v16.ChangeAvailability(1, "Operative"), "Accepted"),
            (v16.TriggerMessage("Heartbeat"), "Accepted"),
            (v16.TriggerMessage("BootNotification"), "Rejected"),
            (v16.SendLocalList(4, "Full", [{"id_tag": "A", "id_tag_info": {"status": "Accepted"}}]), "Accepted"),
            (v16.SendLocalList(4, "Differential", []), "VersionMismatch"),
            (v16.ClearCache(), "Accepted"),
            (v16.DataTransfer("nobody"), "UnknownVendorId"),
            (v16.UnlockConnector(1), "Unlocked"),
        ]
        for call, status in calls:
            assert (await csms.call("CP 1", call)).status == status, call
        assert (await csms.call("CP 1", v16.GetLocalListVersion())).list_version == 4
        await csms.call("CP 1", v16.UpdateFirmware("http://127.0.0.1/f", when))
        await csms.call("CP 1", v16.GetDiagnostics("http://127.0.0.1/d"))
        await csms.changes.until(lambda: csms.received("CP 1", "FirmwareStatusNotification") == 4, LIMIT_S)
        await csms.changes.until(lambda: csms.received("CP 1", "DiagnosticsStatusNotification") == 2, LIMIT_S)
        with pytest.raises(OcppNotImplementedError):
            await csms.call("CP 1", v16.CertificateSigned("x"))


async def test_the_other_commands_are_obeyed_2_0_1(csms: SimulatedCsms) -> None:
    async with station_of(csms, "2.0.1") as station:
        await until_ready(station)
        token = {"id_token": "TAG-9", "type": "ISO14443"}
        calls: list[tuple[Any, str]] = [
            (v201.ReserveNow(3, "2036-01-01T00:00:00Z", token, evse_id=1), "Accepted"),
            (v201.CancelReservation(3), "Accepted"),
            (v201.ChangeAvailability("Inoperative"), "Accepted"),
            (v201.ChangeAvailability("Operative", {"id": 1}), "Accepted"),
            (v201.TriggerMessage("Heartbeat"), "Accepted"),
            (v201.TriggerMessage("BootNotification"), "Rejected"),
            (v201.ClearCache(), "Accepted"),
            (v201.UnlockConnector(1, 1), "Unlocked"),
            (v201.UnlockConnector(9, 1), "UnknownConnector"),
            (v201.GetLog({"remote_location": "http://127.0.0.1/l"}, "DiagnosticsLog", 8), "Accepted"),
        ]
        for call, status in calls:
            assert (await csms.call("CP 1", call)).status == status, call
        await csms.changes.until(lambda: csms.received("CP 1", "LogStatusNotification") == 2, LIMIT_S)
        state = await csms.call("CP 1", v201.GetTransactionStatus())
        assert state.messages_in_queue is False


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_reset_ends_the_transaction_and_boots(csms: SimulatedCsms, version: str) -> None:
    async with station_of(csms, version) as station:
        await until_ready(station)
        assert await station.start(1, "TAG-1")
        await station.drain(LIMIT_S)  # else the reset cuts off the answer to the Started
        reset = v16.Reset("Soft") if version == "1.6" else v201.Reset("Immediate")
        assert (await csms.call("CP 1", reset)).status == "Accepted"
        await csms.changes.until(lambda: csms.received("CP 1", "BootNotification") == 2, LIMIT_S)
        await station.drain(LIMIT_S)
    report = check(station.history.records, None, csms.history.records)
    assert report.is_clean, report.findings


async def test_an_inoperative_connector_takes_nobody_until_the_running_transaction_ended(csms: SimulatedCsms) -> None:
    async with station_of(csms) as station:
        await until_ready(station)
        assert await station.start(1, "TAG-1")
        assert (await csms.call("CP 1", v16.ChangeAvailability(1, "Inoperative"))).status == "Scheduled"
        assert station.status() == "Charging"
        assert await station.stop(1)
        assert station.status() == "Unavailable"
        assert not await station.start(1, "TAG-1")


async def test_the_meter_counts_what_the_power_delivers(csms: SimulatedCsms) -> None:
    async with station_of(csms) as station:
        await until_ready(station)
        station.plug(1, Car(max_a=10, phases=1, soc=50.0, capacity_wh=1.0))
        assert await station.start(1, "TAG-1")
        await station.changes.until(lambda: station.status() == "SuspendedEV", LIMIT_S)
        assert station.connectors[1].energy_wh >= 0.5
        assert await station.stop(1)
        await station.drain(LIMIT_S)
    stop = json.loads(csms.arrivals[-1].payload)
    assert stop["meterStop"] == round(station.connectors[1].energy_wh)


async def test_heartbeats_follow_the_interval_of_the_boot(csms: SimulatedCsms) -> None:
    async with station_of(csms):
        await csms.changes.until(lambda: csms.received("CP 1", "Heartbeat") >= 2, LIMIT_S)


async def test_a_wrong_password_is_turned_away() -> None:
    async with SimulatedCsms(passwords={"CP 1": "secret"}) as csms:
        wrong, right = station_of(csms, password="guess"), station_of(csms, password="secret")
        async with wrong:
            turned_away = asyncio.create_task(csms.changes.until(lambda: bool(csms.connected), 0.2))
            with pytest.raises(TimeoutError):
                await turned_away
        async with right:
            await csms.changes.until(lambda: csms.connected == {"CP 1"}, LIMIT_S)


async def test_a_station_without_a_common_version_does_not_get_in() -> None:
    async with SimulatedCsms(versions=["1.6"]) as csms, station_of(csms, "2.0.1") as station:
        with pytest.raises(TimeoutError):
            await station.changes.until(lambda: station.is_accepted, 0.2)
