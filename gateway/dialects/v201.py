"""OCPP 2.0.1: what is done with each of the 64 actions."""

from types import MappingProxyType

from gateway.dialects import columns_v2, settings, v201_codec, v201_tokens
from gateway.dialects.base import Budget, Commit, Dialect, DownRule, Json, Role, Route, Treatment, UpRule
from gateway.dialects.payloads import by_request, integer, member, text
from gateway.dialects.settings import intercepted
from gateway.rpc.codes import FRAMING_J201

_REJECTED = settings.REJECTED
_STATION_CERTIFICATES = frozenset({"SignChargingStationCertificate", "SignCombinedCertificate"})
_ROOTS_THAT_PASS = frozenset({"V2GRootCertificate", "MORootCertificate", "ManufacturerRootCertificate"})


def _limit_slot(found: Json) -> str:
    """One slot for a limit and its end: whichever came last is the state."""
    source = text(found.get("chargingLimitSource")) or text(member(found, "chargingLimit").get("chargingLimitSource"))
    evse = integer(found.get("evseId"))
    return f"limit:{source or ''}/{'' if evse is None else evse}"


def _up(action: str, offline: bytes = b"{}") -> UpRule:
    """Relayed in both topologies."""
    return UpRule(action, Route.RELAY, Route.RELAY, offline=offline)


def _down(action: str, rejected: bytes | None = _REJECTED) -> DownRule:
    """Relayed in both topologies; None where no status means a refusal."""
    return DownRule(action, Route.RELAY, Route.RELAY, rejected=rejected)


_UP = (
    # action, route per station, route in aggregate
    UpRule("Authorize", Route.RELAY, Route.RELAY, budget=Budget.AUTHORIZE, offline=None, role=Role.AUTHORIZE),
    UpRule("BootNotification", Route.RELAY, Route.ANSWER, offline=None, role=Role.BOOT),
    UpRule("ClearedChargingLimit", Route.LATEST, Route.LATEST, slot=_limit_slot),
    _up("DataTransfer", b'{"status":"UnknownVendorId"}'),
    UpRule("FirmwareStatusNotification", Route.LATEST, Route.ANSWER, slot=by_request("firmware")),
    _up("Get15118EVCertificate", b'{"status":"Failed","exiResponse":""}'),
    _up("GetCertificateStatus", b'{"status":"Failed"}'),
    UpRule("Heartbeat", Route.ANSWER, Route.ANSWER, offline=None, role=Role.HEARTBEAT),
    UpRule("LogStatusNotification", Route.LATEST, Route.ANSWER, slot=by_request("log")),
    UpRule("MeterValues", Route.LATEST, Route.LATEST, slot=v201_codec.meter_slot),
    UpRule("NotifyChargingLimit", Route.LATEST, Route.LATEST, slot=_limit_slot),
    _up("NotifyCustomerInformation"),
    _up("NotifyDisplayMessages"),
    # "Processing" would promise a schedule that nobody makes.
    _up("NotifyEVChargingNeeds", _REJECTED),
    _up("NotifyEVChargingSchedule", b'{"status":"Accepted"}'),
    UpRule("NotifyEvent", Route.DURABLE, Route.DURABLE, commit=Commit.LAZY),
    _up("NotifyMonitoringReport"),
    UpRule("NotifyReport", Route.RELAY, Route.RELAY, Treatment.SPLICE, clean=columns_v2.clean_report),
    # In aggregate the gateway tells of its own publishing only.
    UpRule("PublishFirmwareStatusNotification", Route.RELAY, Route.ANSWER),
    _up("ReportChargingProfiles"),
    UpRule("ReservationStatusUpdate", Route.DURABLE, Route.DURABLE, commit=Commit.LAZY, role=Role.RESERVATION_STATUS),
    UpRule("SecurityEventNotification", Route.DURABLE, Route.DURABLE, commit=Commit.EAGER),
    # The certificates of the two legs are separate: a CSR for this one is never the CSMS's to sign.
    UpRule("SignCertificate", Route.ANSWER, Route.ANSWER, offline=_REJECTED),
    UpRule("StatusNotification", Route.LATEST, Route.LATEST, role=Role.STATUS, slot=v201_codec.status_slot),
    # Lazy where the codec says that a message holds samples only.
    UpRule(
        "TransactionEvent",
        Route.DURABLE,
        Route.DURABLE,
        Treatment.SPLICE,
        Commit.EAGER,
        Budget.START,
        offline=None,
        role=Role.TRANSACTION,
    ),
)

_DOWN = (
    # action, route per station, route in aggregate
    DownRule("CancelReservation", Route.RELAY, Route.RELAY, rejected=_REJECTED, role=Role.CANCEL_RESERVATION),
    DownRule(
        "CertificateSigned",
        Route.RELAY,
        Route.INTERCEPT,
        rejected=_REJECTED,
        guard=settings.only("certificateType", frozenset({"V2GCertificate"})),
    ),
    _down("ChangeAvailability"),
    DownRule("ClearCache", Route.ANSWER, Route.ANSWER, rejected=_REJECTED, role=Role.CLEAR_CACHE),
    DownRule("ClearChargingProfile", Route.MERGE, Route.MERGE),
    _down("ClearDisplayMessage", None),
    _down("ClearVariableMonitoring", None),
    _down("CostUpdated", None),
    DownRule("CustomerInformation", Route.RELAY, Route.RELAY, rejected=_REJECTED, role=Role.CUSTOMER),
    DownRule("DataTransfer", Route.RELAY, Route.ANSWER, rejected=_REJECTED),
    # Names a hash and no type, so it may be the root the station trusts the gateway by.
    intercepted("DeleteCertificate", b'{"status":"Failed"}'),
    _down("GetBaseReport"),
    DownRule("GetChargingProfiles", Route.MERGE, Route.MERGE),
    DownRule("GetCompositeSchedule", Route.MERGE, Route.MERGE, rejected=_REJECTED),
    _down("GetDisplayMessages", None),
    DownRule("GetInstalledCertificateIds", Route.RELAY, Route.INTERCEPT, Treatment.SPLICE, guard=settings.get_roots),
    DownRule("GetLocalListVersion", Route.ANSWER, Route.ANSWER, role=Role.LIST_VERSION),
    DownRule("GetLog", Route.RELAY, Route.ANSWER, rejected=_REJECTED),
    _down("GetMonitoringReport"),
    _down("GetReport"),
    DownRule("GetTransactionStatus", Route.RELAY, Route.RELAY, Treatment.SPLICE, role=Role.QUEUE_STATUS),
    DownRule("GetVariables", Route.RELAY, Route.RELAY, Treatment.SPLICE, keeps=columns_v2.get_variables),
    DownRule(
        "InstallCertificate",
        Route.RELAY,
        Route.INTERCEPT,
        rejected=_REJECTED,
        guard=settings.only("certificateType", _ROOTS_THAT_PASS),
    ),
    # Addressed to a Local Controller, and this one publishes none.
    DownRule("PublishFirmware", Route.REFUSE, Route.REFUSE, rejected=_REJECTED),
    DownRule("RequestStartTransaction", Route.RELAY, Route.RELAY, rejected=_REJECTED, role=Role.REMOTE_START),
    DownRule("RequestStopTransaction", Route.RELAY, Route.RELAY, rejected=_REJECTED, role=Role.REMOTE_STOP),
    DownRule("ReserveNow", Route.RELAY, Route.RELAY, rejected=_REJECTED, role=Role.RESERVE),
    _down("Reset"),
    DownRule("SendLocalList", Route.INTERCEPT, Route.INTERCEPT, rejected=b'{"status":"Failed"}', role=Role.SEND_LIST),
    DownRule("SetChargingProfile", Route.MERGE, Route.MERGE, rejected=_REJECTED),
    _down("SetDisplayMessage"),
    _down("SetMonitoringBase"),
    _down("SetMonitoringLevel"),
    # It would send the station past the gateway.
    intercepted("SetNetworkProfile", _REJECTED),
    _down("SetVariableMonitoring", None),
    # A status per entry and none for the whole.
    DownRule("SetVariables", Route.RELAY, Route.RELAY, Treatment.SPLICE, keeps=columns_v2.set_variables),
    DownRule(
        "TriggerMessage",
        Route.RELAY,
        Route.RELAY,
        rejected=_REJECTED,
        guard=settings.all_but("requestedMessage", _STATION_CERTIFICATES),
    ),
    _down("UnlockConnector", b'{"status":"UnlockFailed"}'),
    DownRule("UnpublishFirmware", Route.REFUSE, Route.REFUSE, rejected=b'{"status":"NoFirmware"}'),
    DownRule("UpdateFirmware", Route.RELAY, Route.REFUSE, rejected=_REJECTED),
)

V201 = Dialect(
    name="2.0.1",
    subprotocol="ocpp2.0.1",
    framing=FRAMING_J201,
    codec=v201_codec.Codec201(),
    tokens=v201_tokens.Tokens201("2.0.1"),
    up=MappingProxyType({rule.action: rule for rule in _UP}),
    down=MappingProxyType({rule.action: rule for rule in _DOWN}),
)
