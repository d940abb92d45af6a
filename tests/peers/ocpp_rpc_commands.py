"""What the foreign CSMS sends to a station: (action, payload, the part of the answer that must come back)."""

from typing import Any

LATER = "2099-01-01T00:00:00Z"
FILES = "ftp://127.0.0.1/files"
PROFILE_16 = {
    "chargingProfileId": 7,
    "stackLevel": 1,
    "chargingProfilePurpose": "TxDefaultProfile",
    "chargingProfileKind": "Absolute",
    "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16.1}]},
}
PROFILE_201 = {
    "id": 7,
    "stackLevel": 1,
    "chargingProfilePurpose": "TxDefaultProfile",
    "chargingProfileKind": "Absolute",
    "chargingSchedule": [
        {"id": 1, "chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16.1}]}
    ],
}
INTERVAL = {"component": {"name": "SampledDataCtrlr"}, "variable": {"name": "TxUpdatedInterval"}}
TOKEN = {"idToken": "REMOTE", "type": "ISO14443"}

COMMANDS_16: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("TriggerMessage", {"requestedMessage": "StatusNotification", "connectorId": 1}, {"status": "Accepted"}),
    ("TriggerMessage", {"requestedMessage": "MeterValues", "connectorId": 1}, {"status": "Accepted"}),
    ("ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": "30"}, {"status": "Accepted"}),
    ("GetConfiguration", {"key": ["NumberOfConnectors", "Nonsense"]}, {"unknownKey": ["Nonsense"]}),
    ("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": PROFILE_16}, {"status": "Accepted"}),
    ("UnlockConnector", {"connectorId": 1}, {"status": "Unlocked"}),
    (
        "ReserveNow",
        {"connectorId": 1, "expiryDate": LATER, "idTag": "RESERVED", "reservationId": 3},
        {"status": "Accepted"},
    ),
    ("CancelReservation", {"reservationId": 3}, {"status": "Accepted"}),
    ("UpdateFirmware", {"location": FILES, "retrieveDate": LATER}, {}),
    ("GetDiagnostics", {"location": FILES}, {"fileName": "diagnostics.txt"}),
]
COMMANDS_201: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "TriggerMessage",
        {"requestedMessage": "StatusNotification", "evse": {"id": 1, "connectorId": 1}},
        {"status": "Accepted"},
    ),
    ("TriggerMessage", {"requestedMessage": "TransactionEvent", "evse": {"id": 1}}, {"status": "Accepted"}),
    (
        "SetVariables",
        {"setVariableData": [{"attributeValue": "30", **INTERVAL}]},
        {"setVariableResult": [{"attributeStatus": "Accepted", **INTERVAL}]},
    ),
    (
        "GetVariables",
        {"getVariableData": [INTERVAL]},
        {"getVariableResult": [{"attributeStatus": "Accepted", "attributeValue": "30", **INTERVAL}]},
    ),
    ("GetBaseReport", {"requestId": 4, "reportBase": "FullInventory"}, {"status": "Accepted"}),
    ("SetChargingProfile", {"evseId": 1, "chargingProfile": PROFILE_201}, {"status": "Accepted"}),
    ("UnlockConnector", {"evseId": 1, "connectorId": 1}, {"status": "Unlocked"}),
    ("ReserveNow", {"id": 3, "expiryDateTime": LATER, "idToken": TOKEN, "evseId": 1}, {"status": "Accepted"}),
    ("CancelReservation", {"reservationId": 3}, {"status": "Accepted"}),
    (
        "UpdateFirmware",
        {"requestId": 5, "firmware": {"location": FILES, "retrieveDateTime": LATER}},
        {"status": "Accepted"},
    ),
    (
        "GetLog",
        {"requestId": 6, "logType": "DiagnosticsLog", "log": {"remoteLocation": FILES}},
        {"filename": "log.txt"},
    ),
]

TARIFF = {"tariffId": "T1", "currency": "EUR", "energy": {"prices": [{"priceKwh": 0.4500}]}}
# `limit_L2` is one of the keys that code which turns names to snake case and back does not give back.
PROFILE_21 = {
    **PROFILE_201,
    "chargingProfileKind": "Dynamic",
    "dynUpdateInterval": 60,
    "chargingSchedule": [
        {
            "id": 1,
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16.1, "limit_L2": 10.5, "limit_L3": 0.25}],
        }
    ],
}
COMMANDS_21: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    *(command for command in COMMANDS_201 if command[0] != "SetChargingProfile"),
    ("SetChargingProfile", {"evseId": 1, "chargingProfile": PROFILE_21}, {"status": "Accepted"}),
    (
        "UpdateDynamicSchedule",
        {"chargingProfileId": 7, "scheduleUpdate": {"limit": 12.5, "limit_L2": 8.5}},
        {"status": "Accepted"},
    ),
    ("SetDefaultTariff", {"evseId": 1, "tariff": TARIFF}, {"status": "Accepted"}),
    (
        "GetTariffs",
        {"evseId": 1},
        {"tariffAssignments": [{"tariffId": "T1", "tariffKind": "DefaultTariff", "evseIds": [1]}]},
    ),
    ("ClearTariffs", {"tariffIds": ["T1"]}, {"clearTariffsResult": [{"tariffId": "T1", "status": "Accepted"}]}),
    ("AFRRSignal", {"timestamp": LATER, "signal": 3}, {"status": "Accepted"}),
    ("GetPeriodicEventStream", {}, {}),
    ("ClearDERControl", {"isDefault": True}, {"status": "NotSupported"}),
]
COMMANDS = {"16": COMMANDS_16, "201": COMMANDS_201, "21": COMMANDS_21}
