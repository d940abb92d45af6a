"""Commands of a CSMS of 1.6 for stations of 2.x: a row for each action. 2.x has a form for all of them."""

from collections.abc import Mapping
from types import MappingProxyType

from gateway.dialects.translate import admin, charging, files, keys20, profiles
from gateway.dialects.translate.base import CommandTranslator
from gateway.dialects.translate.parts import checked

_ROWS: Mapping[str, CommandTranslator] = {
    "CancelReservation": charging.cancel_reservation,
    "CertificateSigned": files.certificate_signed_on_20,
    "ChangeAvailability": admin.availability_on_20,
    "ChangeConfiguration": keys20.change_configuration,
    "ClearCache": admin.clear_cache,
    "ClearChargingProfile": profiles.clear_on_201,
    "DataTransfer": admin.data_on_20,
    "DeleteCertificate": files.delete,
    "ExtendedTriggerMessage": admin.trigger_on_20,
    "GetCompositeSchedule": profiles.composite_on_201,
    "GetConfiguration": keys20.get_configuration,
    "GetDiagnostics": files.get_diagnostics_on_20,
    "GetInstalledCertificateIds": files.installed_on_20,
    "GetLocalListVersion": charging.version_on_20,
    "GetLog": files.get_log_on_20,
    "InstallCertificate": files.install_on_20,
    "RemoteStartTransaction": charging.start_on_20,
    "RemoteStopTransaction": charging.stop_on_20,
    "ReserveNow": charging.reserve_on_20,
    "Reset": admin.reset_on_20,
    "SendLocalList": charging.list_on_20,
    "SetChargingProfile": profiles.set_on_201,
    "SignedUpdateFirmware": files.signed_update_on_20,
    "TriggerMessage": admin.trigger_on_20,
    "UnlockConnector": admin.unlock_on_20,
    "UpdateFirmware": files.update_on_20,
}

COMMANDS: Mapping[str, CommandTranslator] = MappingProxyType(
    {action: checked(action, row) for action, row in _ROWS.items()}
)
