"""Which stations get a command to the site as one station, with which ids; A has 1 and 2, B has 3, C has 4 and 5."""

import json
from typing import Any

import pytest

from gateway.core.one_station import transaction_uuid
from gateway.dialects import registry
from gateway.dialects.base import Dialect
from gateway.dialects.site_plan import Here, Part, Plan, ToStations, Unknown, plan
from gateway.dialects.site_rules import Way
from gateway.rpc.codes import CallError, ErrorCode
from tests.dialects.examples import Example
from tests.dialects.one_site import A, B, C, OneSite

EVERY = [pytest.param(dialect, id=dialect.name) for dialect in registry.ALL]
TX_B = transaction_uuid(B, "tx-1")
REJECTED, UNKNOWN = Unknown(b'{"status":"Rejected"}'), Unknown(b'{"status":"Unknown"}')
MAX_16 = '"csChargingProfiles":{"chargingProfilePurpose":"ChargePointMaxProfile"}'


def planned(version: str, action: str, payload: str, *, free: int | None = 5) -> Plan:
    dialect = registry.by_name(version)
    site = OneSite(gives_tx_ids=dialect.csms_gives_tx_ids)
    site.free_number = free
    return plan(registry.site_table(version).down[action], payload.encode(), site, dialect.down[action].rejected)


def one(station: Any, payload: str) -> ToStations:
    return ToStations((Part(station, payload.encode()),), True)


def every(payload: str) -> ToStations:
    return ToStations(tuple(Part(station, payload.encode()) for station in (A, B, C)))


def listed(member: str, *entries: str) -> str:
    return f'{{"{member}":[{",".join(entries)}], "y":1}}'


@pytest.mark.parametrize(
    ("action", "payload", "expected"),
    [
        ("UnlockConnector", '{"connectorId":5}', one(C, '{"connectorId":2}')),
        ("UnlockConnector", '{"connectorId":6}', Unknown(b'{"status":"UnlockFailed"}')),
        ("UnlockConnector", '{"connectorId":0}', Unknown(b'{"status":"UnlockFailed"}')),
        ("UnlockConnector", "{}", Unknown(b'{"status":"UnlockFailed"}')),
        ("ChangeAvailability", '{"connectorId":0,"type":"Operative"}', every('{"connectorId":0,"type":"Operative"}')),
        ("ChangeAvailability", '{"connectorId":3,"type":"X"}', one(B, '{"connectorId":1,"type":"X"}')),
        ("CancelReservation", '{"reservationId":7}', one(C, '{"reservationId":7}')),
        ("CancelReservation", '{"reservationId":8}', REJECTED),
        ("ClearChargingProfile", '{"id":4}', every('{"id":4}')),
        ("ClearChargingProfile", '{"connectorId":9}', UNKNOWN),
        ("ClearChargingProfile", '{"connectorId":0,"chargingProfilePurpose":"ChargePointMaxProfile"}', Here(None)),
        ("DataTransfer", '{"vendorId":"x"}', Here(None)),
        ("GetCompositeSchedule", '{"connectorId":0,"duration":9}', Here(b'{"status":"Rejected"}')),
        ("GetConfiguration", "{}", Here(None)),
        ("RemoteStartTransaction", '{"idTag":"T"}', one(C, '{"connectorId":2,"idTag":"T"}')),
        ("RemoteStartTransaction", '{"idTag":"T","connectorId":1}', one(A, '{"idTag":"T","connectorId":1}')),
        # The walk maps the CSMS's own ids of 1.6.
        ("RemoteStopTransaction", '{"transactionId":42}', one(B, '{"transactionId":42}')),
        ("RemoteStopTransaction", '{"transactionId":43}', REJECTED),
        ("SetChargingProfile", f'{{"connectorId":0,{MAX_16}}}', Here(b'{"status":"Rejected"}')),
        ("SetChargingProfile", f'{{"connectorId":3,{MAX_16}}}', one(B, f'{{"connectorId":1,{MAX_16}}}')),
        ("SetChargingProfile", '{"connectorId":0}', every('{"connectorId":0}')),
        ("TriggerMessage", '{"requestedMessage":"MeterValues"}', every('{"requestedMessage":"MeterValues"}')),
        ("TriggerMessage", '{"requestedMessage":"BootNotification"}', Here(None)),
        ("UpdateFirmware", '{"location":"x"}', Here(ErrorCode.NOT_SUPPORTED)),
        ("Reset", '{"type":"Soft"}', every('{"type":"Soft"}')),
    ],
)
def test_commands_of_16(action: str, payload: str, expected: Plan) -> None:
    assert planned("1.6", action, payload) == expected


@pytest.mark.parametrize(
    ("action", "payload", "expected"),
    [
        ("ChangeAvailability", '{"evse":{"id":5,"connectorId":1}}', one(C, '{"evse":{"id":2,"connectorId":1}}')),
        ("ChangeAvailability", '{"operationalStatus":"Operative"}', every('{"operationalStatus":"Operative"}')),
        ("CostUpdated", f'{{"transactionId":"{TX_B}"}}', one(B, '{"transactionId":"tx-1"}')),
        ("CostUpdated", '{"transactionId":"tx-1"}', Unknown(ErrorCode.PROPERTY_CONSTRAINT_VIOLATION)),
        ("GetTransactionStatus", "{}", every("{}")),
        ("RequestStartTransaction", '{"remoteStartId":1}', one(C, '{"evseId":2,"remoteStartId":1}')),
        ("UnlockConnector", '{"evseId":4,"connectorId":2}', one(C, '{"evseId":1,"connectorId":2}')),
        ("UnlockConnector", '{"evseId":44,"connectorId":2}', Unknown(b'{"status":"UnknownConnector"}')),
        ("SetDisplayMessage", '{"message":{"id":3}}', every('{"message":{"id":3}}')),
        (
            "SetDisplayMessage",
            f'{{"message":{{"id":3,"transactionId":"{TX_B}"}}}}',
            one(B, '{"message":{"id":3,"transactionId":"tx-1"}}'),
        ),
        (
            "SetDisplayMessage",
            '{"message":{"display":{"name":"D","evse":{"id":4}}}}',
            one(C, '{"message":{"display":{"name":"D","evse":{"id":1}}}}'),
        ),
        ("UpdateFirmware", "{}", Here(b'{"status":"Rejected"}')),
        ("GetReport", '{"requestId":1}', every('{"requestId":1}')),
        (
            "GetReport",
            '{"componentVariable":[{"component":{"name":"X","instance":"3"}}]}',
            ToStations((Part(B, b'{"componentVariable":[{"component":{"name":"X"}}]}'),)),
        ),
        ("GetReport", '{"componentVariable":[{"component":{"name":"X","evse":{"id":8}}}]}', REJECTED),
    ],
)
def test_commands_of_201(action: str, payload: str, expected: Plan) -> None:
    assert planned("2.0.1", action, payload) == expected


@pytest.mark.parametrize("free", [None, 99])
def test_no_free_evse(free: int | None) -> None:
    assert planned("1.6", "ReserveNow", '{"connectorId":0}', free=free) == REJECTED
    assert planned("2.0.1", "RequestStartTransaction", "{}", free=free) == REJECTED


def test_entries_go_where_they_name() -> None:
    entries = [
        '{"component":{"name":"E","evse":{"id":5}},"variable":{"name":"a"}}',
        '{"component":{"name":"E","evse":{"id":1}},"variable":{"name":"b"}}',
        '{"component":{"name":"E","evse":{"id":77}},"variable":{"name":"c"}}',
        '{"component":{"name":"Ctrlr"},"variable":{"name":"d"}}',
        '{"component":{"name":"Ctrlr","instance":"4:x"},"variable":{"name" :"e"}}',
    ]
    made = planned("2.0.1", "GetVariables", listed("getVariableData", ", ".join(entries)))
    assert isinstance(made, ToStations)
    assert [(entry.stations, entry.is_for_all) for entry in made.asked] == [
        ((C,), False),
        ((A,), False),
        ((), False),
        ((A, B, C), True),
        ((C,), False),
    ]
    assert [entry.entry.decode() for entry in made.asked] == entries
    to_all = entries[3]
    assert {part.station: part.payload.decode() for part in made.parts} == {
        C: listed("getVariableData", entries[0].replace("5", "2"), to_all, entries[4].replace("4:x", "x")),
        A: listed("getVariableData", entries[1], to_all),
        B: listed("getVariableData", to_all),
    }


def test_monitors_are_their_station_s() -> None:
    made = planned("2.0.1", "ClearVariableMonitoring", '{"id":[7003, 7004,9001,9002]}')
    assert isinstance(made, ToStations)
    assert [entry.stations for entry in made.asked] == [(B,), (C,), (A,), ()]  # 2 is no head
    assert made.parts == (Part(B, b'{"id":[7]}'), Part(C, b'{"id":[7]}'), Part(A, b'{"id":[9]}'))
    entry = '{"id":7003,"component":{"name":"E","evse":{"id":1}}}'
    mixed = planned("2.0.1", "SetVariableMonitoring", listed("setMonitoringData", entry))
    assert isinstance(mixed, ToStations)
    assert mixed.parts == ()  # B's monitor of A's component


@pytest.mark.parametrize("dialect", EVERY)
def test_every_command_has_a_plan(dialect: Dialect) -> None:
    """Also with every member there is, of which many mean nothing here."""
    for row in registry.site_table(dialect.name).down.values():
        payload = Example(dialect.name, row.action, "request").payload().decode()
        made = planned(dialect.name, row.action, payload)
        if row.way in (Way.ANSWER, Way.REFUSE):
            assert made == Here(row.answer)
        if isinstance(made, ToStations):
            assert all(json.loads(part.payload) for part in made.parts)


@pytest.mark.parametrize("payload", ["[]", "{", '{"connectorId":1,"connectorId":2}'])
def test_what_can_t_be_read_without_doubt_is_no_command(payload: str) -> None:
    with pytest.raises(CallError):
        planned("1.6", "UnlockConnector", payload)
    with pytest.raises(CallError):
        planned("2.0.1", "GetVariables", "{}")
