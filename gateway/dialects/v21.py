"""OCPP 2.1: the 64 actions of 2.0.1, with what 2.1 changes in them, and 27 of its own."""

from dataclasses import replace
from types import MappingProxyType

from gateway.dialects import columns_v2, settings, v201_codec, v201_tokens
from gateway.dialects.base import Commit, Dialect, DownRule, Json, Route, UpRule
from gateway.dialects.payloads import text
from gateway.dialects.v201 import V201
from gateway.rpc.codes import FRAMING_J21, ErrorCode

_REJECTED = settings.REJECTED
_V2G_CERTIFICATES = frozenset({"V2GCertificate", "V2G20Certificate"})
_ROOTS_THAT_PASS = frozenset(
    {"V2GRootCertificate", "MORootCertificate", "ManufacturerRootCertificate", "OEMRootCertificate"}
)


def _priority_slot(found: Json) -> str:
    """Priority charging is on or off for a transaction; only the newest word counts."""
    return f"priority:{text(found.get('transactionId')) or ''}"


def _site_lacks(action: str, rejected: bytes | None = _REJECTED) -> DownRule:
    """DER controls, tariffs, event streams and battery swaps are a station's own; the site as one station has none."""
    return DownRule(action, Route.RELAY, Route.REFUSE, rejected=rejected)


_UP = (
    # action, route per station, route in aggregate
    # What was handed over and what was paid: in the books before anything else.
    UpRule("BatterySwap", Route.DURABLE, Route.DURABLE, commit=Commit.EAGER),
    UpRule("ClosePeriodicEventStream", Route.RELAY, Route.ANSWER),
    # The answer has to name the certificates that were asked about, or the VAT number: no fixed one can.
    UpRule("GetCertificateChainStatus", Route.RELAY, Route.RELAY, offline=ErrorCode.GENERIC_ERROR),
    UpRule("NotifyDERAlarm", Route.DURABLE, Route.DURABLE, commit=Commit.LAZY),
    UpRule("NotifyDERStartStop", Route.DURABLE, Route.DURABLE, commit=Commit.LAZY),
    UpRule("NotifyPeriodicEventStream", Route.RELAY, Route.REFUSE, offline=ErrorCode.GENERIC_ERROR, is_send=True),
    UpRule("NotifyPriorityCharging", Route.LATEST, Route.LATEST, slot=_priority_slot),
    UpRule("NotifySettlement", Route.DURABLE, Route.DURABLE, commit=Commit.EAGER),
    UpRule("OpenPeriodicEventStream", Route.RELAY, Route.ANSWER, offline=_REJECTED),
    # A station whose current is shared holds no dynamic profile: the gateway asks for it.
    UpRule("PullDynamicScheduleUpdate", Route.RELAY, Route.RELAY, offline=_REJECTED),
    UpRule("ReportDERControl", Route.RELAY, Route.ANSWER),
    UpRule("VatNumberValidation", Route.RELAY, Route.RELAY, offline=ErrorCode.GENERIC_ERROR),
)

_DOWN = (
    # action, route per station, route in aggregate
    _site_lacks("AdjustPeriodicEventStream"),
    # These three change the power of a charging profile in force.
    DownRule("AFRRSignal", Route.MERGE, Route.MERGE, rejected=_REJECTED),
    DownRule("UpdateDynamicSchedule", Route.MERGE, Route.MERGE, rejected=_REJECTED),
    DownRule("UsePriorityCharging", Route.MERGE, Route.MERGE, rejected=_REJECTED),
    DownRule(
        "CertificateSigned",
        Route.RELAY,
        Route.INTERCEPT,
        rejected=_REJECTED,
        guard=settings.only("certificateType", _V2G_CERTIFICATES),
    ),
    _site_lacks("ChangeTransactionTariff"),
    _site_lacks("ClearDERControl"),
    # Has a refusing status now.
    DownRule("ClearDisplayMessage", Route.RELAY, Route.RELAY, rejected=_REJECTED),
    _site_lacks("ClearTariffs", None),
    _site_lacks("GetDERControl"),
    _site_lacks("GetPeriodicEventStream", None),
    _site_lacks("GetTariffs"),
    DownRule(
        "InstallCertificate",
        Route.RELAY,
        Route.INTERCEPT,
        rejected=_REJECTED,
        guard=settings.only("certificateType", _ROOTS_THAT_PASS),
    ),
    DownRule("NotifyAllowedEnergyTransfer", Route.RELAY, Route.RELAY, rejected=_REJECTED),
    DownRule("NotifyWebPaymentStarted", Route.RELAY, Route.RELAY),
    _site_lacks("RequestBatterySwap"),
    _site_lacks("SetDefaultTariff"),
    _site_lacks("SetDERControl"),
    # Passwords may be longer now.
    replace(V201.down["SetVariables"], keeps=columns_v2.longest(64)),
)

V21 = Dialect(
    name="2.1",
    subprotocol="ocpp2.1",
    framing=FRAMING_J21,
    # What 2.1 adds to a TransactionEvent is news: an Updated that holds any of it is no mere sample.
    codec=v201_codec.Codec201(longest_token=255),
    tokens=v201_tokens.Tokens201("2.1", longest_token=255),
    up=MappingProxyType({**V201.up, **{rule.action: rule for rule in _UP}}),
    down=MappingProxyType({**V201.down, **{rule.action: rule for rule in _DOWN}}),
)
