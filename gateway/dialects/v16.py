"""OCPP 1.6 with its security extension: what is done with each of the 39 actions."""

from types import MappingProxyType

from gateway.dialects import columns, settings, v16_codec, v16_tokens
from gateway.dialects.base import Budget, Commit, Dialect, DownRule, Role, Route, Treatment, UpRule
from gateway.dialects.payloads import by_request
from gateway.dialects.settings import intercepted
from gateway.rpc.codes import FRAMING_J16

_REJECTED = settings.REJECTED
_TX_ID = (("transactionId",),)

_UP = (
    # action, route per station, route in aggregate
    UpRule("Authorize", Route.RELAY, Route.RELAY, budget=Budget.AUTHORIZE, offline=None, role=Role.AUTHORIZE),
    UpRule("BootNotification", Route.RELAY, Route.ANSWER, offline=None, role=Role.BOOT),
    UpRule("DataTransfer", Route.RELAY, Route.RELAY, offline=b'{"status":"UnknownVendorId"}'),
    UpRule("DiagnosticsStatusNotification", Route.LATEST, Route.ANSWER, slot=lambda _: "diagnostics"),
    UpRule("FirmwareStatusNotification", Route.LATEST, Route.ANSWER, slot=lambda _: "firmware"),
    UpRule("Heartbeat", Route.ANSWER, Route.ANSWER, offline=None, role=Role.HEARTBEAT),
    UpRule("LogStatusNotification", Route.LATEST, Route.ANSWER, slot=by_request("log")),
    # Without a transaction they are treated as latest, in their slot.
    UpRule(
        "MeterValues",
        Route.DURABLE,
        Route.DURABLE,
        Treatment.SPLICE,
        Commit.LAZY,
        role=Role.TRANSACTION,
        slot=v16_codec.meter_slot,
    ),
    UpRule("SecurityEventNotification", Route.DURABLE, Route.DURABLE, commit=Commit.EAGER),
    # The certificates of the two legs are separate: a CSR for this one is never the CSMS's to sign.
    UpRule("SignCertificate", Route.ANSWER, Route.ANSWER, offline=_REJECTED),
    UpRule("SignedFirmwareStatusNotification", Route.LATEST, Route.ANSWER, slot=by_request("signed-firmware")),
    UpRule(
        "StartTransaction",
        Route.DURABLE,
        Route.DURABLE,
        Treatment.SPLICE,
        Commit.EAGER,
        Budget.START,
        offline=None,
        role=Role.TRANSACTION,
    ),
    UpRule("StatusNotification", Route.LATEST, Route.LATEST, role=Role.STATUS, slot=v16_codec.status_slot),
    UpRule(
        "StopTransaction",
        Route.DURABLE,
        Route.DURABLE,
        Treatment.SPLICE,
        Commit.EAGER,
        offline=None,
        role=Role.TRANSACTION,
    ),
)

_DOWN = (
    # action, route per station, route in aggregate
    DownRule("CancelReservation", Route.RELAY, Route.RELAY, rejected=_REJECTED, role=Role.CANCEL_RESERVATION),
    intercepted("CertificateSigned", _REJECTED),
    DownRule("ChangeAvailability", Route.RELAY, Route.RELAY, rejected=_REJECTED),
    DownRule("ChangeConfiguration", Route.RELAY, Route.RELAY, rejected=_REJECTED, keeps=columns.change_configuration),
    DownRule("ClearCache", Route.ANSWER, Route.ANSWER, rejected=_REJECTED, role=Role.CLEAR_CACHE),
    DownRule("ClearChargingProfile", Route.MERGE, Route.MERGE),
    DownRule("DataTransfer", Route.RELAY, Route.ANSWER, rejected=_REJECTED),
    # Names a hash and no type, so it may be the root the station trusts the gateway by.
    intercepted("DeleteCertificate", b'{"status":"Failed"}'),
    DownRule(
        "ExtendedTriggerMessage",
        Route.RELAY,
        Route.RELAY,
        rejected=_REJECTED,
        guard=settings.all_but("requestedMessage", frozenset({"SignChargePointCertificate"})),
    ),
    DownRule("GetCompositeSchedule", Route.MERGE, Route.MERGE, rejected=_REJECTED),
    DownRule("GetConfiguration", Route.RELAY, Route.ANSWER, Treatment.SPLICE, keeps=columns.get_configuration),
    DownRule("GetDiagnostics", Route.RELAY, Route.ANSWER),
    DownRule("GetInstalledCertificateIds", Route.RELAY, Route.INTERCEPT, guard=settings.get_roots_16),
    DownRule("GetLocalListVersion", Route.ANSWER, Route.ANSWER, role=Role.LIST_VERSION),
    DownRule("GetLog", Route.RELAY, Route.ANSWER, rejected=_REJECTED),
    DownRule(
        "InstallCertificate",
        Route.RELAY,
        Route.INTERCEPT,
        rejected=_REJECTED,
        guard=settings.only("certificateType", frozenset({"ManufacturerRootCertificate"})),
    ),
    DownRule(
        "RemoteStartTransaction",
        Route.RELAY,
        Route.RELAY,
        Treatment.SPLICE,
        _REJECTED,
        Role.REMOTE_START,
        (("chargingProfile", "transactionId"),),
    ),
    DownRule("RemoteStopTransaction", Route.RELAY, Route.RELAY, Treatment.SPLICE, _REJECTED, Role.REMOTE_STOP, _TX_ID),
    DownRule("ReserveNow", Route.RELAY, Route.RELAY, rejected=_REJECTED, role=Role.RESERVE),
    DownRule("Reset", Route.RELAY, Route.RELAY, rejected=_REJECTED),
    DownRule("SendLocalList", Route.INTERCEPT, Route.INTERCEPT, rejected=b'{"status":"Failed"}', role=Role.SEND_LIST),
    DownRule(
        "SetChargingProfile",
        Route.MERGE,
        Route.MERGE,
        Treatment.SPLICE,
        _REJECTED,
        tx_ids=(("csChargingProfiles", "transactionId"),),
    ),
    DownRule("SignedUpdateFirmware", Route.RELAY, Route.REFUSE, rejected=_REJECTED),
    DownRule("TriggerMessage", Route.RELAY, Route.RELAY, rejected=_REJECTED),
    DownRule("UnlockConnector", Route.RELAY, Route.RELAY, rejected=b'{"status":"UnlockFailed"}'),
    DownRule("UpdateFirmware", Route.RELAY, Route.REFUSE),
)

V16 = Dialect(
    name="1.6",
    subprotocol="ocpp1.6",
    framing=FRAMING_J16,
    codec=v16_codec.Codec16(),
    tokens=v16_tokens.Tokens16(),
    up=MappingProxyType({rule.action: rule for rule in _UP}),
    down=MappingProxyType({rule.action: rule for rule in _DOWN}),
    csms_gives_tx_ids=True,
    speaks_early=True,
    silent_if_rejected=True,
)
