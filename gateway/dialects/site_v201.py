"""OCPP 2.0.1 where the whole site is one station: its EVSEs are the EVSEs of all stations."""

from types import MappingProxyType

from gateway.dialects.base import Json
from gateway.dialects.payloads import integer, member
from gateway.dialects.site_rules import (
    IdKind,
    Merge,
    SiteDown,
    SiteTable,
    SiteUp,
    Split,
    Way,
    Whole,
    Zero,
    at,
    best,
    component,
    evse,
    made,
    transaction,
    triggers_itself,
    worst,
)
from gateway.rpc.codes import ErrorCode

_REJECTED = b'{"status":"Rejected"}'
_UNKNOWN = b'{"status":"Unknown"}'
_EVSE = evse("evseId")
_TX = transaction("transactionId")
_ALLOWED = at(IdKind.EVSES, "idTokenInfo.evseId")
_NOT_ASKED = "Nobody upstream asked this station for it."
_OF_SITE = "One for the site."


def _is_site_limit(found: Json) -> bool:
    """A limit for EVSE 0 is that of the whole site: it is never copied to the stations."""
    purpose = member(found, "chargingProfile").get("chargingProfilePurpose")
    return integer(found.get("evseId")) == 0 and purpose == "ChargingStationMaxProfile"


def _is_of_site(found: Json) -> bool:
    return integer(found.get("evseId")) == 0


def _is_site_limit_cleared(found: Json) -> bool:
    criteria = member(found, "chargingProfileCriteria")
    is_zero = integer(criteria.get("evseId")) == 0
    return is_zero and criteria.get("chargingProfilePurpose") == "ChargingStationMaxProfile"


def report(action: str, *ids: str) -> SiteUp:
    """Parts of what all stations tell after one question; each part has components at these paths."""
    return SiteUp(action, Way.MAP, component(*ids), is_report=True)


UP = (
    SiteUp("Authorize", Way.MAP, answer_ids=_ALLOWED),
    SiteUp(
        "BootNotification", Way.ANSWER, note="The site sends one of its own; a station's boot shows in its statuses."
    ),
    SiteUp("ClearedChargingLimit", Way.MAP, _EVSE, note="A limit on a whole station is none on the site."),
    SiteUp("DataTransfer", Way.MAP),
    SiteUp("FirmwareStatusNotification", Way.ANSWER, note=_NOT_ASKED),
    SiteUp("Get15118EVCertificate", Way.MAP),
    SiteUp("GetCertificateStatus", Way.MAP),
    SiteUp("Heartbeat", Way.ANSWER, note="The site sends its own."),
    SiteUp("LogStatusNotification", Way.ANSWER, note=_NOT_ASKED),
    SiteUp("MeterValues", Way.MAP, _EVSE, note="A station's main meter is not the site's."),
    SiteUp("NotifyChargingLimit", Way.MAP, _EVSE, note="A limit on a whole station is none on the site."),
    report("NotifyCustomerInformation"),
    SiteUp(
        "NotifyDisplayMessages",
        Way.MAP,
        transaction("messageInfo[].transactionId") + component("messageInfo[].display"),
        is_report=True,
    ),
    SiteUp("NotifyEVChargingNeeds", Way.MAP, _EVSE, Zero.HEAD),
    SiteUp("NotifyEVChargingSchedule", Way.MAP, _EVSE, Zero.HEAD),
    SiteUp(
        "NotifyEvent",
        Way.MAP,
        made("eventData[].eventId", "eventData[].cause", "eventData[].variableMonitoringId")
        + transaction("eventData[].transactionId")
        + component("eventData[].component"),
    ),
    SiteUp(
        "NotifyMonitoringReport",
        Way.MAP,
        component("monitor[].component") + made("monitor[].variableMonitoring[].id"),
        is_report=True,
    ),
    report("NotifyReport", "reportData[].component"),
    SiteUp("PublishFirmwareStatusNotification", Way.ANSWER, note="The site publishes none."),
    SiteUp(
        "ReportChargingProfiles",
        Way.MAP,
        _EVSE + transaction("chargingProfile[].transactionId"),
        is_report=True,
        note="Its parts have no seqNo. Profiles of EVSE 0 are the site's own.",
    ),
    SiteUp("ReservationStatusUpdate", Way.MAP, note="Ids of reservations are the CSMS's own, for the whole site."),
    SiteUp("SecurityEventNotification", Way.MAP, at(IdKind.LABEL, "techInfo")),
    SiteUp("SignCertificate", Way.ANSWER, note="The two legs have separate certificates."),
    SiteUp("StatusNotification", Way.MAP, _EVSE),
    SiteUp(
        "TransactionEvent",
        Way.MAP,
        evse("evse.id") + transaction("transactionInfo.transactionId"),
        Zero.HEAD,
        _ALLOWED,
    ),
)

_ANSWERED = best("Accepted", "EmptyResultSet", "Rejected", "NotSupported")
_SET = ("Rejected", "UnknownComponent", "UnknownVariable", "NotSupportedAttributeType", "RebootRequired", "Accepted")
_GET = ("Accepted", "NotSupportedAttributeType", "Rejected", "UnknownVariable", "UnknownComponent")

DOWN = (
    SiteDown("CancelReservation", Way.MAP, at(IdKind.RESERVATION, "reservationId")),
    SiteDown("CertificateSigned", Way.ANSWER, answer=_REJECTED, note="The site asks for no certificate."),
    SiteDown("ChangeAvailability", Way.MAP, evse("evse.id"), Whole.FAN_OUT, worst("Rejected", "Scheduled", "Accepted")),
    SiteDown("ClearCache", Way.ANSWER, note="The one cache of the site, and every station's own."),
    SiteDown(
        "ClearChargingProfile",
        Way.MAP,
        evse("chargingProfileCriteria.evseId"),
        Whole.FAN_OUT,
        best("Accepted", "Unknown"),
        unknown=_UNKNOWN,
        is_own=_is_site_limit_cleared,
        note="ChargingStationMaxProfile of EVSE 0 is the site's limit, and its own to clear.",
    ),
    SiteDown("ClearDisplayMessage", Way.FAN_OUT, merge=best("Accepted", "Unknown")),
    SiteDown(
        "ClearVariableMonitoring",
        Way.SPLIT,
        made("id[]"),
        split=Split("id", "clearMonitoringResult", "status", "NotFound"),
        answer_ids=made("clearMonitoringResult[].id"),
    ),
    SiteDown("CostUpdated", Way.MAP, _TX, unknown=ErrorCode.PROPERTY_CONSTRAINT_VIOLATION),
    SiteDown(
        "CustomerInformation",
        Way.FAN_OUT,
        merge=best("Accepted", "Invalid", "Rejected"),
        note="What the gateway keeps is told for stations of 1.6 only; its cache forgets with the stations.",
    ),
    SiteDown(
        "DataTransfer",
        Way.ANSWER,
        note="The gateway's own vendor id leads to one station; any other is UnknownVendorId.",
    ),
    SiteDown("DeleteCertificate", Way.ANSWER, answer=b'{"status":"Failed"}'),
    SiteDown("GetBaseReport", Way.FAN_OUT, merge=_ANSWERED),
    SiteDown(
        "GetChargingProfiles",
        Way.MAP,
        _EVSE,
        Whole.FAN_OUT,
        best("Accepted", "NoProfiles"),
        unknown=b'{"status":"NoProfiles"}',
        is_own=_is_of_site,
        answer=b'{"status":"NoProfiles"}',
        note="Of EVSE 0 there is the site's own limit: NoProfiles without load balancing.",
    ),
    SiteDown(
        "GetCompositeSchedule",
        Way.MAP,
        _EVSE,
        Whole.ANSWER,
        answer=_REJECTED,
        answer_ids=evse("schedule.evseId"),
        note="EVSE 0 is the sum under the site's limit: Rejected without load balancing.",
    ),
    SiteDown("GetDisplayMessages", Way.FAN_OUT, merge=best("Accepted", "Unknown")),
    SiteDown("GetInstalledCertificateIds", Way.ANSWER, answer=b'{"status":"NotFound"}'),
    SiteDown("GetLocalListVersion", Way.ANSWER, note=_OF_SITE),
    SiteDown("GetLog", Way.ANSWER, answer=_REJECTED, note="The site has no log to upload."),
    SiteDown(
        "GetMonitoringReport",
        Way.SPLIT,
        component("componentVariable[].component"),
        merge=_ANSWERED,
        split=Split("componentVariable"),
    ),
    SiteDown(
        "GetReport",
        Way.SPLIT,
        component("componentVariable[].component"),
        merge=_ANSWERED,
        split=Split("componentVariable"),
    ),
    SiteDown(
        "GetTransactionStatus",
        Way.MAP,
        _TX,
        Whole.FAN_OUT,
        Merge(("true", "false"), member="messagesInQueue"),
        unknown=b'{"messagesInQueue":false}',
        note="Or'ed with what waits here.",
    ),
    SiteDown(
        "GetVariables",
        Way.SPLIT,
        component("getVariableData[].component"),
        split=Split("getVariableData", "getVariableResult", order=_GET),
        answer_ids=component("getVariableResult[].component"),
        note="Stations that say different values of one variable: Rejected.",
    ),
    SiteDown("InstallCertificate", Way.ANSWER, answer=_REJECTED),
    SiteDown("PublishFirmware", Way.REFUSE, answer=_REJECTED),
    SiteDown(
        "RequestStartTransaction",
        Way.MAP,
        _EVSE + transaction("chargingProfile.transactionId"),
        Whole.CHOOSE,
        answer_ids=_TX,
    ),
    SiteDown("RequestStopTransaction", Way.MAP, _TX),
    SiteDown("ReserveNow", Way.MAP, _EVSE, Whole.CHOOSE),
    SiteDown(
        "Reset",
        Way.MAP,
        _EVSE,
        Whole.FAN_OUT,
        worst("Rejected", "Scheduled", "Accepted"),
        note="A few stations at a time.",
    ),
    SiteDown("SendLocalList", Way.ANSWER, note=_OF_SITE),
    SiteDown(
        "SetChargingProfile",
        Way.MAP,
        _EVSE + transaction("chargingProfile.transactionId"),
        Whole.FAN_OUT,
        worst("Rejected", "Accepted"),
        is_own=_is_site_limit,
        answer=_REJECTED,
        note="ChargingStationMaxProfile of EVSE 0 is the site's limit: Rejected without load balancing.",
    ),
    SiteDown(
        "SetDisplayMessage",
        Way.MAP,
        transaction("message.transactionId") + component("message.display"),
        Whole.FAN_OUT,
        worst(
            "Rejected",
            "UnknownTransaction",
            "NotSupportedState",
            "NotSupportedPriority",
            "NotSupportedMessageFormat",
            "Accepted",
        ),
        unknown=b'{"status":"UnknownTransaction"}',
    ),
    SiteDown("SetMonitoringBase", Way.FAN_OUT, merge=worst("Rejected", "NotSupported", "EmptyResultSet", "Accepted")),
    SiteDown("SetMonitoringLevel", Way.FAN_OUT, merge=worst("Rejected", "Accepted")),
    SiteDown("SetNetworkProfile", Way.ANSWER, answer=_REJECTED),
    SiteDown(
        "SetVariableMonitoring",
        Way.SPLIT,
        component("setMonitoringData[].component") + made("setMonitoringData[].id"),
        split=Split("setMonitoringData", "setMonitoringResult", "status"),
        answer_ids=component("setMonitoringResult[].component") + made("setMonitoringResult[].id"),
        note="A monitor has one id, so its component must name a station.",
    ),
    SiteDown(
        "SetVariables",
        Way.SPLIT,
        component("setVariableData[].component"),
        split=Split("setVariableData", "setVariableResult", order=_SET),
        answer_ids=component("setVariableResult[].component"),
        keeps=True,
        note="Settings of the link, and of authorization, are the site's own.",
    ),
    SiteDown(
        "TriggerMessage",
        Way.MAP,
        evse("evse.id"),
        Whole.FAN_OUT,
        best("Accepted", "Rejected", "NotImplemented"),
        is_own=triggers_itself,
    ),
    SiteDown("UnlockConnector", Way.MAP, _EVSE, Whole.REFUSE, unknown=b'{"status":"UnknownConnector"}'),
    SiteDown("UnpublishFirmware", Way.REFUSE, answer=b'{"status":"NoFirmware"}'),
    SiteDown("UpdateFirmware", Way.REFUSE, answer=_REJECTED, note="One firmware does not fit every model."),
)

SITE_201 = SiteTable(
    up=MappingProxyType({row.action: row for row in UP}), down=MappingProxyType({row.action: row for row in DOWN})
)
