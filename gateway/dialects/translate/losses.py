"""What becomes of each action in the other version, and what is lost on the way: the tables of docs/translation.md."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.dialects.translate import customers, meter, passed, places, session16, session20, tokens, up16, up20
from gateway.dialects.translate.base import Loss

_TO_16, _TO_201 = "2.0.1 -> 1.6", "1.6 -> 2.0.1"


class Fate(StrEnum):
    """Translated: it goes on as another message. Answered: by the gateway, and goes no further. Refused: the same, and
    nothing was done."""

    TRANSLATED = "translated"
    ANSWERED = "answered"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Row:
    """One action on its way to the other version. `becomes`: the actions it may go on as. `says`: the answer where it
    does not go on: a status, or a code of a CALLERROR. `losses`: keys. `is_lossless`: comes back as it was."""

    action: str
    fate: Fate
    becomes: tuple[str, ...] = ()
    says: str = ""
    why: str = ""
    losses: tuple[str, ...] = ()
    is_lossless: bool = False


def _to(action: str, *becomes: str, losses: tuple[str, ...] = (), why: str = "") -> Row:
    return Row(action, Fate.TRANSLATED, becomes or (action,), why=why, losses=losses)


def _same(action: str, *becomes: str) -> Row:
    return Row(action, Fate.TRANSLATED, becomes or (action,), is_lossless=True)


def _here(action: str, says: str, why: str, losses: tuple[str, ...] = ()) -> Row:
    return Row(action, Fate.ANSWERED, says=says, why=why, losses=losses)


def _no(action: str, says: str, why: str) -> Row:
    return Row(action, Fate.REFUSED, says=says, why=why)


_MONITORS, _MESSAGES = "1.6 has no monitors", "1.6 has no messages for a display"

DOWN_16 = (
    _same("CancelReservation"),
    _to("CertificateSigned", losses=("v2g",), why="of the station; refused by the gateway's guard (separate legs)"),
    _to("ChangeAvailability", losses=("cable-of-evse",)),
    _same("ClearCache"),
    _to("ClearChargingProfile", losses=("profile-external",)),
    _no("ClearDisplayMessage", "NotSupported", _MESSAGES),
    _no("ClearVariableMonitoring", "NotSupported", _MONITORS),
    _no("CostUpdated", "NotSupported", "1.6 shows no costs"),
    _here(
        "CustomerInformation",
        "Accepted",
        "by idToken; Rejected by anything else, Invalid if it names nobody; NotifyCustomerInformation follows",
        ("customer-report", "customer-clear"),
    ),
    _to("DataTransfer", losses=("data-object",)),
    _same("DeleteCertificate"),
    _to("GetBaseReport", "GetConfiguration", losses=("report-summary", "report-made")),
    _here(
        "GetChargingProfiles",
        "Accepted, NoProfiles",
        "from what was passed on, or the gateway holds; ReportChargingProfiles follows",
        ("profiles-passed",),
    ),
    _to("GetCompositeSchedule", losses=("composite-min",)),
    _no("GetDisplayMessages", "NotSupported", _MESSAGES),
    _to("GetInstalledCertificateIds", losses=("v2g",)),
    _same("GetLocalListVersion"),
    _to("GetLog", "GetLog", "GetDiagnostics", losses=("diagnostics",)),
    _no("GetMonitoringReport", "NotSupported (status)", _MONITORS),
    _to("GetReport", "GetConfiguration", losses=("report-criteria", "report-made")),
    _here("GetTransactionStatus", "ongoing, in queue", "from what is remembered of the transaction, and the queue"),
    _to("GetVariables", "GetConfiguration", losses=("key-other", "key-none", "key-attribute")),
    _to("InstallCertificate", losses=("v2g",)),
    _no("PublishFirmware", "Rejected", "this gateway publishes no firmware"),
    _to(
        "RequestStartTransaction",
        "RemoteStartTransaction",
        losses=("token-alias", "group-remote", "start-id", "profile-digits", "profile-refused"),
    ),
    _to("RequestStopTransaction", "RemoteStopTransaction"),
    _to("ReserveNow", losses=("token-alias", "connector-type", "reservation-end")),
    _to("Reset", losses=("reset-soft", "reset-idle", "reset-evse")),
    _to("SendLocalList", losses=("token-alias", "verdict", "verdict-words")),
    _to("SetChargingProfile", losses=("profile-digits", "profile-refused")),
    _no("SetDisplayMessage", "NotSupported", _MESSAGES),
    _no("SetMonitoringBase", "NotSupported (status)", _MONITORS),
    _no("SetMonitoringLevel", "NotSupported", _MONITORS),
    _no("SetNetworkProfile", "Rejected", "the station's link to the gateway is the gateway's"),
    _no("SetVariableMonitoring", "NotSupported", _MONITORS),
    _to("SetVariables", "ChangeConfiguration", losses=("key-none", "key-attribute", "key-long")),
    _to("TriggerMessage", "TriggerMessage", "ExtendedTriggerMessage", losses=("trigger-event", "trigger-none")),
    _to("UnlockConnector", losses=("unlock-refused",)),
    _no("UnpublishFirmware", "NoFirmware", "this gateway publishes no firmware"),
    _to("UpdateFirmware", "UpdateFirmware", "SignedUpdateFirmware", losses=("install-date", "firmware-answer")),
)
"""Commands of a CSMS of 2.0.1 for a station of 1.6."""

DOWN_20 = (
    _same("CancelReservation"),
    _to("CertificateSigned", why="refused by the gateway's guard (separate legs)"),
    _same("ChangeAvailability"),
    _to("ChangeConfiguration", "SetVariables", losses=("variable-other",)),
    _same("ClearCache"),
    _to("ClearChargingProfile"),
    _same("DataTransfer"),
    _same("DeleteCertificate"),
    _to("ExtendedTriggerMessage", "TriggerMessage"),
    _to("GetCompositeSchedule", losses=("profile-digits", "profile-phase")),
    _to("GetConfiguration", "GetVariables", "GetBaseReport", losses=("variable-other", "variable-long")),
    _to("GetDiagnostics", "GetLog", losses=("file-name",)),
    _to("GetInstalledCertificateIds", losses=("chain",)),
    _same("GetLocalListVersion"),
    _same("GetLog"),
    _same("InstallCertificate"),
    _to("RemoteStartTransaction", "RequestStartTransaction", losses=("token-type", "remote-id")),
    _same("RemoteStopTransaction", "RequestStopTransaction"),
    _to("ReserveNow", losses=("token-type", "group-type")),
    _to("Reset", losses=("reset-hard",)),
    _to("SendLocalList", losses=("token-type", "group-type")),
    _same("SetChargingProfile"),
    _same("SignedUpdateFirmware", "UpdateFirmware"),
    _to("TriggerMessage", losses=("trigger-many",)),
    _to("UnlockConnector", "UnlockConnector", "RequestStopTransaction", losses=("unlock-stop",)),
    _to("UpdateFirmware", losses=("firmware-refused",)),
)
"""Commands of a CSMS of 1.6 for a station of 2.0.1."""

UP_16 = (
    _to("Authorize", losses=("token-type",)),
    _to("BootNotification", losses=("boot-reason", "boot-meter", "boot-texts")),
    _same("DataTransfer"),
    _to("DiagnosticsStatusNotification", "LogStatusNotification", losses=("request-id",)),
    _to("FirmwareStatusNotification", losses=("request-id",)),
    _same("Heartbeat"),
    _to("LogStatusNotification", losses=("request-id",)),
    _to("MeterValues", "TransactionEvent", "MeterValues", losses=("measurand-16", "sample-text", "signed-16")),
    _same("SecurityEventNotification"),
    _no("SignCertificate", "Rejected", "the certificates of the two legs are separate"),
    _to("SignedFirmwareStatusNotification", "FirmwareStatusNotification", losses=("request-id",)),
    _to("StartTransaction", "TransactionEvent"),
    _to("StatusNotification", "StatusNotification", "NotifyEvent", "TransactionEvent", losses=("occupied", "error")),
    _to("StopTransaction", "TransactionEvent", losses=("reset", "unlock", "stop-data")),
)
"""Messages of a station of 1.6 for a CSMS of 2.0.1."""

_ONLY_20 = "1.6 has no word for it"
_OF_EV = "1.6 knows nothing of ISO 15118"

UP_20 = (
    _to("Authorize", losses=("token-alias", "token-extra")),
    _to("BootNotification", losses=("boot-reason-20", "boot-texts", "serial-long")),
    _here("ClearedChargingLimit", "{}", _ONLY_20, ("only-20",)),
    _to("DataTransfer", losses=("data-object",)),
    _to(
        "FirmwareStatusNotification",
        "FirmwareStatusNotification",
        "SignedFirmwareStatusNotification",
        losses=("firmware",),
    ),
    _no("Get15118EVCertificate", "Failed", _OF_EV),
    _no("GetCertificateStatus", "Failed", _OF_EV),
    _same("Heartbeat"),
    _to("LogStatusNotification", "DiagnosticsStatusNotification", "LogStatusNotification", losses=("log",)),
    _to("MeterValues", losses=("measurand-20", "unit", "multiplier", "signed-20")),
    _here("NotifyChargingLimit", "{}", _ONLY_20, ("only-20",)),
    _here("NotifyCustomerInformation", "{}", _ONLY_20, ("only-20",)),
    _here("NotifyDisplayMessages", "{}", _ONLY_20, ("only-20",)),
    _no("NotifyEVChargingNeeds", "Rejected", _OF_EV),
    _here("NotifyEVChargingSchedule", "Accepted", _OF_EV, ("only-20",)),
    _here("NotifyEvent", "{}", _ONLY_20, ("only-20",)),
    _here("NotifyMonitoringReport", "{}", _ONLY_20, ("only-20",)),
    _here("NotifyReport", "{}", "1.6 asks key by key; parts that the gateway asked for are used here", ("only-20",)),
    _here("PublishFirmwareStatusNotification", "{}", _ONLY_20, ("only-20",)),
    _here("ReportChargingProfiles", "{}", _ONLY_20, ("only-20",)),
    _here("ReservationStatusUpdate", "{}", _ONLY_20, ("reservation-over",)),
    _same("SecurityEventNotification"),
    _no("SignCertificate", "Rejected", "the certificates of the two legs are separate"),
    _to("StatusNotification", losses=("occupied-20", "fault", "cables")),
    _to(
        "TransactionEvent",
        "StartTransaction",
        "MeterValues",
        "StopTransaction",
        "Authorize",
        "StatusNotification",
        losses=("event", "held", "reasons"),
    ),
)
"""Messages of a station of 2.0.1 for a CSMS of 1.6."""

MADE_HERE = {
    "NotifyCustomerInformation": "follows CustomerInformation, of what the gateway keeps",
    "NotifyReport": "follows GetBaseReport and GetReport, made of the station's GetConfiguration",
    "ReportChargingProfiles": "follows GetChargingProfiles, of profiles that the gateway passed on or holds",
    "ReservationStatusUpdate": "made when a reservation's time is over or its connector fails",
}
"""Messages of 2.0.1 that no message of a 1.6 station becomes, and the gateway is the author of."""

_OF_1_6, _STATION_16 = "a CSMS of 1.6 can't ask for it", "a station of 1.6 knows nothing of it"

NEVER_DOWN_20 = dict.fromkeys(
    (
        "ClearDisplayMessage",
        "ClearVariableMonitoring",
        "CostUpdated",
        "CustomerInformation",
        "GetChargingProfiles",
        "GetDisplayMessages",
        "GetMonitoringReport",
        "GetReport",
        "GetTransactionStatus",
        "PublishFirmware",
        "SetDisplayMessage",
        "SetMonitoringBase",
        "SetMonitoringLevel",
        "SetNetworkProfile",
        "SetVariableMonitoring",
        "UnpublishFirmware",
    ),
    _OF_1_6,
)
NEVER_UP_16 = {
    **dict.fromkeys(
        (
            "ClearedChargingLimit",
            "Get15118EVCertificate",
            "GetCertificateStatus",
            "NotifyChargingLimit",
            "NotifyDisplayMessages",
            "NotifyEVChargingNeeds",
            "NotifyEVChargingSchedule",
            "NotifyMonitoringReport",
            "PublishFirmwareStatusNotification",
        ),
        _STATION_16,
    ),
    "SignCertificate": "the certificates of the two legs are separate",
}
NEVER_UP_20 = {"SignCertificate": "the certificates of the two legs are separate"}
"""Actions that nothing is translated into, by the table it would stand in, and why."""

COMMANDS = (
    Loss("only-20-command", _TO_16, "commands that 1.6 has no word for", "refused, see the table above"),
    Loss("custom-data", _TO_16, "customData", "left out"),
    Loss("status-info", _TO_16, "statusInfo of an answer", "left out"),
    Loss("v2g", _TO_16, "certificates of ISO 15118 (V2G, MO)", "Rejected; NotFound in a list"),
    Loss("cable-of-evse", _TO_16, "a connector of an EVSE", "the connector of the EVSE's number"),
    Loss("profile-external", _TO_16, "to clear ChargingStationExternalConstraints", "Unknown: 1.6 has none"),
    Loss("profile-digits", _TO_16, "limits of more than one decimal", "rounded down to one decimal"),
    Loss("profile-refused", _TO_16,
         "profiles with more than one schedule, phaseToUse, a salesTariff, external constraints",
         "Rejected with a reason: left out, they would allow more or mean other phases"),
    Loss("profile-phase", _TO_16, "phaseToUse in a composite schedule", "left out"),
    Loss("composite-min", _TO_201, "minChargingRate of a composite schedule", "left out"),
    Loss("report-summary", _TO_16, "SummaryInventory", "NotSupported (status)"),
    Loss("report-criteria", _TO_16, "componentCriteria of a GetReport", "NotSupported (status)"),
    Loss("report-made", _TO_201, "a report, which 1.6 lacks",
         "made of GetConfiguration, the last boot and the connectors' states"),
    Loss("key-other", _TO_201, "a configuration key that is no variable of 2.0.1",
         "variable of the component ConfigurationKey"),
    Loss("key-none", _TO_16, "a variable that no key of 1.6 stands for", "UnknownVariable, UnknownComponent"),
    Loss("key-attribute", _TO_16, "attributes other than Actual", "NotSupportedAttributeType"),
    Loss("key-long", _TO_16, "a value of more than 500 characters", "Rejected"),
    Loss("variable-other", _TO_16, "a variable that is no configuration key",
         "key Component[instance]@evse:connector.Variable[instance], if not longer than 50"),
    Loss("variable-long", _TO_16, "a value of more than 500 characters", "unknownKey: cut, it would be another"),
    Loss("group-remote", _TO_16, "groupIdToken of a remote start", "left out"),
    Loss("start-id", _TO_201, "transactionId in the answer to a remote start", "left out: 1.6 does not tell it"),
    Loss("remote-id", _TO_201, "a remote start has no id", "an invented remoteStartId above 2^30"),
    Loss("connector-type", _TO_16, "a reservation of a kind of connector", "Rejected, unless it names the EVSE"),
    Loss("reservation-end", _TO_201, "1.6 does not tell that a reservation is over",
         "ReservationStatusUpdate: Expired at its time, Removed when its connector fails"),
    Loss("reset-soft", _TO_16, "Immediate", "Soft: what runs is ended in good order"),
    Loss("reset-idle", _TO_16, "OnIdle", "Scheduled; Soft as soon as no transaction runs. New ones may begin"),
    Loss("reset-evse", _TO_16, "a Reset of one EVSE", "Rejected"),
    Loss("reset-hard", _TO_201, "Hard and Soft", "Immediate"),
    Loss("diagnostics", _TO_16, "GetLog, at a station without the security extension",
         "GetDiagnostics; a security log stays refused"),
    Loss("file-name", _TO_201, "GetDiagnostics.conf without a file name means there is nothing",
         "Rejected; of an accepted log without a name, the last part of the location"),
    Loss("install-date", _TO_16, "installDateTime of unsigned firmware", "left out: installed when it is there"),
    Loss("firmware-answer", _TO_201, "UpdateFirmware.conf says nothing", "Accepted; a CALLERROR goes on"),
    Loss("firmware-refused", _TO_16, "a refused UpdateFirmware", "CALLERROR NotSupported: 1.6 has no status"),
    Loss("chain", _TO_16, "certificates below a root", "left out"),
    Loss("trigger-event", _TO_16, "the trigger TransactionEvent", "MeterValues"),
    Loss("trigger-none", _TO_16, "triggers of messages that 1.6 lacks", "NotImplemented"),
    Loss("trigger-many", _TO_201, "a trigger for all connectors",
         "one for each connector seen; of a running transaction TransactionEvent instead of MeterValues"),
    Loss("unlock-refused", _TO_16, "UnlockConnector while a transaction runs", "OngoingAuthorizedTransaction"),
    Loss("unlock-stop", _TO_201, "UnlockConnector ends a transaction",
         "it is stopped first; its reason becomes Remote"),
)  # fmt: skip
"""What commands and their answers lose."""

ALL: tuple[Loss, ...] = (
    *COMMANDS,
    *tokens.LOSSES,
    *places.LOSSES,
    *meter.LOSSES,
    *passed.LOSSES,
    *customers.LOSSES,
    *session16.LOSSES,
    *session20.LOSSES,
    *up16.LOSSES,
    *up20.LOSSES,
)
"""Every row of the published table; keys are unique."""
