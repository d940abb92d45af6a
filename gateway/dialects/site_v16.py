"""OCPP 1.6 where the whole site is one station: its connectors are the connectors of all stations."""

from types import MappingProxyType

from gateway.dialects.base import Json
from gateway.dialects.payloads import integer, member, text
from gateway.dialects.site_rules import (
    IdKind,
    SiteDown,
    SiteTable,
    SiteUp,
    Way,
    Whole,
    Zero,
    at,
    best,
    evse,
    transaction,
    triggers_itself,
    worst,
)
from gateway.rpc.codes import ErrorCode

_REJECTED = b'{"status":"Rejected"}'
_FAILED = b'{"status":"Failed"}'
_CONNECTOR = evse("connectorId")
_TX = transaction("transactionId")
_NOT_ASKED = "Nobody upstream asked this station for it."


def _is_site_limit(found: Json) -> bool:
    """A limit for connector 0 is that of the whole site: it is never copied to the stations."""
    purpose = member(found, "csChargingProfiles").get("chargingProfilePurpose")
    return integer(found.get("connectorId")) == 0 and purpose == "ChargePointMaxProfile"


def _is_site_limit_cleared(found: Json) -> bool:
    is_zero = integer(found.get("connectorId")) == 0
    return is_zero and found.get("chargingProfilePurpose") == "ChargePointMaxProfile"


def _is_of_connectors(found: Json) -> bool:
    """A setting that names connectors means other ones at each station."""
    return (text(found.get("key")) or "").strip().casefold() == "connectorphaserotation"


_UP = (
    SiteUp("Authorize", Way.MAP),
    SiteUp(
        "BootNotification", Way.ANSWER, note="The site sends one of its own; a station's boot shows in its statuses."
    ),
    SiteUp("DataTransfer", Way.MAP),
    SiteUp("DiagnosticsStatusNotification", Way.ANSWER, note=_NOT_ASKED),
    SiteUp("FirmwareStatusNotification", Way.ANSWER, note=_NOT_ASKED),
    SiteUp("Heartbeat", Way.ANSWER, note="The site sends its own."),
    SiteUp("LogStatusNotification", Way.ANSWER, note=_NOT_ASKED),
    SiteUp("MeterValues", Way.MAP, _CONNECTOR + _TX, note="A station's main meter is not the site's."),
    SiteUp("SecurityEventNotification", Way.MAP, at(IdKind.LABEL, "techInfo")),
    SiteUp("SignCertificate", Way.ANSWER, note="The two legs have separate certificates."),
    SiteUp("SignedFirmwareStatusNotification", Way.ANSWER, note=_NOT_ASKED),
    SiteUp("StartTransaction", Way.MAP, _CONNECTOR, Zero.HEAD, _TX),
    SiteUp("StatusNotification", Way.MAP, _CONNECTOR, note="The status of connector 0 is the site's own."),
    SiteUp("StopTransaction", Way.MAP, _TX),
)

_TRIGGER = best("Accepted", "Rejected", "NotImplemented")
_DOWN = (
    SiteDown("CancelReservation", Way.MAP, at(IdKind.RESERVATION, "reservationId")),
    SiteDown("CertificateSigned", Way.ANSWER, answer=_REJECTED, note="The site asks for no certificate."),
    SiteDown(
        "ChangeAvailability",
        Way.MAP,
        _CONNECTOR,
        Whole.FAN_OUT,
        worst("Rejected", "Scheduled", "Accepted"),
        note="Connector 0 goes down as 0, and the site's own connector 0 follows.",
    ),
    SiteDown(
        "ChangeConfiguration",
        Way.FAN_OUT,
        merge=worst("Rejected", "NotSupported", "RebootRequired", "Accepted"),
        keeps=True,
        is_own=_is_of_connectors,
        answer=_REJECTED,
        note="Settings of the link, and of authorization, are the site's own. ConnectorPhaseRotation: Rejected.",
    ),
    SiteDown("ClearCache", Way.ANSWER, note="The one cache of the site, and every station's own."),
    SiteDown(
        "ClearChargingProfile",
        Way.MAP,
        _CONNECTOR,
        Whole.FAN_OUT,
        best("Accepted", "Unknown"),
        unknown=b'{"status":"Unknown"}',
        is_own=_is_site_limit_cleared,
        note="ChargePointMaxProfile of connector 0 is the site's limit, and its own to clear.",
    ),
    SiteDown(
        "DataTransfer",
        Way.ANSWER,
        note="The gateway's own vendor id leads to one station; any other is UnknownVendorId.",
    ),
    SiteDown("DeleteCertificate", Way.ANSWER, answer=_FAILED),
    SiteDown("ExtendedTriggerMessage", Way.MAP, _CONNECTOR, Whole.FAN_OUT, _TRIGGER, is_own=triggers_itself),
    SiteDown(
        "GetCompositeSchedule",
        Way.MAP,
        _CONNECTOR,
        Whole.ANSWER,
        answer=_REJECTED,
        answer_ids=_CONNECTOR,
        note="Connector 0 is the sum under the site's limit: Rejected without load balancing.",
    ),
    SiteDown("GetConfiguration", Way.ANSWER, note="The site's own: the settings of all its stations made one."),
    SiteDown("GetDiagnostics", Way.ANSWER, answer=b"{}", note="No file: the site has none to upload."),
    SiteDown("GetInstalledCertificateIds", Way.ANSWER, answer=b'{"status":"NotFound"}'),
    SiteDown("GetLocalListVersion", Way.ANSWER, note="One list for the site."),
    SiteDown("GetLog", Way.ANSWER, answer=_REJECTED, note="The site has no log to upload."),
    SiteDown("InstallCertificate", Way.ANSWER, answer=_REJECTED),
    SiteDown(
        "RemoteStartTransaction", Way.MAP, _CONNECTOR + transaction("chargingProfile.transactionId"), Whole.CHOOSE
    ),
    SiteDown("RemoteStopTransaction", Way.MAP, _TX),
    SiteDown("ReserveNow", Way.MAP, _CONNECTOR, Whole.CHOOSE),
    SiteDown("Reset", Way.FAN_OUT, merge=worst("Rejected", "Accepted"), note="A few stations at a time."),
    SiteDown("SendLocalList", Way.ANSWER, note="One list for the site."),
    SiteDown(
        "SetChargingProfile",
        Way.MAP,
        _CONNECTOR + transaction("csChargingProfiles.transactionId"),
        Whole.FAN_OUT,
        worst("Rejected", "NotSupported", "Accepted"),
        is_own=_is_site_limit,
        answer=_REJECTED,
        note="ChargePointMaxProfile of connector 0 is the site's limit: Rejected without load balancing.",
    ),
    SiteDown("SignedUpdateFirmware", Way.REFUSE, answer=_REJECTED, note="One firmware does not fit every model."),
    SiteDown("TriggerMessage", Way.MAP, _CONNECTOR, Whole.FAN_OUT, _TRIGGER, is_own=triggers_itself),
    SiteDown("UnlockConnector", Way.MAP, _CONNECTOR, Whole.REFUSE),
    SiteDown(
        "UpdateFirmware", Way.REFUSE, answer=ErrorCode.NOT_SUPPORTED, note="Its answer has no status to refuse with."
    ),
)

SITE_16 = SiteTable(
    up=MappingProxyType({row.action: row for row in _UP}), down=MappingProxyType({row.action: row for row in _DOWN})
)
