"""Commands of a CSMS of 2.x for stations of 1.6: a row for each action."""

from collections.abc import Mapping
from types import MappingProxyType

from gateway.dialects.translate import admin, charging, customers, files, keys, passed, profiles
from gateway.dialects.translate.base import CommandTranslator, Facts, Json, Reply, Steps, answered
from gateway.dialects.translate.parts import checked, said, unsupported

NOT_IN_16 = {
    "ClearDisplayMessage": "OCPP 1.6 has no messages for a display",
    "ClearVariableMonitoring": "OCPP 1.6 has no monitors",
    "CostUpdated": "OCPP 1.6 shows no costs",
    "GetDisplayMessages": "OCPP 1.6 has no messages for a display",
    "SetDisplayMessage": "OCPP 1.6 has no messages for a display",
    "SetMonitoringLevel": "OCPP 1.6 has no monitors",
    "SetVariableMonitoring": "OCPP 1.6 has no monitors",
}
"""Answered with CALLERROR NotSupported, and why."""

OWN_STATUS = {
    "GetMonitoringReport": ("NotSupported", "OCPP 1.6 has no monitors"),
    "PublishFirmware": ("Rejected", "this gateway publishes no firmware"),
    "SetMonitoringBase": ("NotSupported", "OCPP 1.6 has no monitors"),
    "SetNetworkProfile": ("Rejected", "the station's link to the gateway is the gateway's"),
}
"""Answered with the action's own status, and why."""


def _not_supported(why: str) -> CommandTranslator:
    return lambda payload, facts: answered(unsupported(why))


def _own_status(status: str, why: str) -> CommandTranslator:
    return lambda payload, facts: answered(Reply(said(status, "UnsupportedRequest", why), losses=("only-20-command",)))


def _unpublish(payload: Json, facts: Facts) -> Steps:
    """An answer without room for a reason."""
    return answered(Reply({"status": "NoFirmware"}))


_ROWS: Mapping[str, CommandTranslator] = {
    "CancelReservation": charging.cancel_reservation,
    "CertificateSigned": files.certificate_signed_on_16,
    "ChangeAvailability": admin.availability_on_16,
    "ClearCache": admin.clear_cache,
    "ClearChargingProfile": profiles.clear_on_16,
    "CustomerInformation": customers.customer_on_16,
    "DataTransfer": admin.data_on_16,
    "DeleteCertificate": files.delete,
    "GetBaseReport": keys.get_base_report,
    "GetChargingProfiles": passed.get_on_16,
    "GetCompositeSchedule": profiles.composite_on_16,
    "GetInstalledCertificateIds": files.installed_on_16,
    "GetLocalListVersion": charging.version_on_16,
    "GetLog": files.get_log_on_16,
    "GetReport": keys.get_report,
    "GetTransactionStatus": charging.transaction_status,
    "GetVariables": keys.get_variables,
    "InstallCertificate": files.install_on_16,
    "RequestStartTransaction": charging.start_on_16,
    "RequestStopTransaction": charging.stop_on_16,
    "ReserveNow": charging.reserve_on_16,
    "Reset": admin.reset_on_16,
    "SendLocalList": charging.list_on_16,
    "SetChargingProfile": profiles.set_on_16,
    "SetVariables": keys.set_variables,
    "TriggerMessage": admin.trigger_on_16,
    "UnlockConnector": admin.unlock_on_16,
    "UnpublishFirmware": _unpublish,
    "UpdateFirmware": files.update_on_16,
    **{action: _not_supported(why) for action, why in NOT_IN_16.items()},
    **{action: _own_status(status, why) for action, (status, why) in OWN_STATUS.items()},
}

COMMANDS: Mapping[str, CommandTranslator] = MappingProxyType(
    {action: checked(action, row) for action, row in _ROWS.items()}
)
