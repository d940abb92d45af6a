"""Which messages of a station a command calls for: all that may go up of a station the CSMS holds as Pending."""

from gateway.dialects.payloads import read_answer, text

_REPORTS = {
    "CustomerInformation": "NotifyCustomerInformation",
    "GetBaseReport": "NotifyReport",
    "GetChargingProfiles": "ReportChargingProfiles",
    "GetDiagnostics": "DiagnosticsStatusNotification",
    "GetDisplayMessages": "NotifyDisplayMessages",
    "GetLog": "LogStatusNotification",
    "GetMonitoringReport": "NotifyMonitoringReport",
    "GetReport": "NotifyReport",
    "SignedUpdateFirmware": "SignedFirmwareStatusNotification",
    "UpdateFirmware": "FirmwareStatusNotification",
}
_TRIGGERS = ("TriggerMessage", "ExtendedTriggerMessage")


def called_for(action: str, payload: bytes) -> str | None:
    """The action of the messages that this command of the CSMS calls for; None if there are none."""
    if action in _TRIGGERS:
        return text(read_answer(payload).get("requestedMessage"))
    return _REPORTS.get(action)
