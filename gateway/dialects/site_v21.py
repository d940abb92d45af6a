"""OCPP 2.1 where the whole site is one station: the rows of 2.0.1, with what 2.1 changes and adds."""

from types import MappingProxyType

from gateway.dialects.site_rules import (
    SiteDown,
    SiteTable,
    SiteUp,
    Way,
    Whole,
    Zero,
    best,
    evse,
    transaction,
    worst,
)
from gateway.dialects.site_v201 import SITE_201
from gateway.rpc.codes import ErrorCode

_REJECTED = b'{"status":"Rejected"}'
_EVSE = evse("evseId")
_TX = transaction("transactionId")
_STREAMS = "The site has no event streams."


def _refused(action: str, note: str, answer: bytes | ErrorCode = _REJECTED) -> SiteDown:
    return SiteDown(action, Way.REFUSE, answer=answer, note=note)


_UP = (
    SiteUp("BatterySwap", Way.MAP, evse("batteryData[].evseId"), Zero.HEAD),
    SiteUp("ClosePeriodicEventStream", Way.ANSWER, note=_STREAMS),
    SiteUp("GetCertificateChainStatus", Way.MAP),
    SiteUp("NotifyDERAlarm", Way.MAP),
    SiteUp("NotifyDERStartStop", Way.MAP),
    SiteUp("NotifyPeriodicEventStream", Way.REFUSE, note=_STREAMS),
    SiteUp("NotifyPriorityCharging", Way.MAP, _TX),
    SiteUp("NotifySettlement", Way.MAP, _TX),
    SiteUp("OpenPeriodicEventStream", Way.ANSWER, note=_STREAMS),
    SiteUp("PullDynamicScheduleUpdate", Way.MAP, note="Ids of profiles are the CSMS's own, for the whole site."),
    SiteUp("ReportDERControl", Way.ANSWER, note="The site has no DER controls."),
    SiteUp("VatNumberValidation", Way.MAP, _EVSE, Zero.HEAD, _EVSE),
)

_DOWN = (
    _refused("AdjustPeriodicEventStream", _STREAMS),
    SiteDown("AFRRSignal", Way.FAN_OUT, merge=worst("Rejected", "Accepted")),
    _refused("ChangeTransactionTariff", "The site has no tariffs."),
    _refused("ClearDERControl", "The site has no DER controls."),
    SiteDown("ClearDisplayMessage", Way.FAN_OUT, merge=best("Accepted", "Rejected", "Unknown")),
    _refused("ClearTariffs", "The site has no tariffs.", ErrorCode.NOT_SUPPORTED),
    _refused("GetDERControl", "The site has no DER controls."),
    _refused("GetPeriodicEventStream", _STREAMS, ErrorCode.NOT_SUPPORTED),
    _refused("GetTariffs", "The site has no tariffs."),
    SiteDown("NotifyAllowedEnergyTransfer", Way.MAP, _TX),
    SiteDown("NotifyWebPaymentStarted", Way.MAP, _EVSE, Whole.REFUSE, unknown=ErrorCode.PROPERTY_CONSTRAINT_VIOLATION),
    _refused("RequestBatterySwap", "It names no EVSE, and a swap must not begin at several stations."),
    _refused("SetDefaultTariff", "The site has no tariffs."),
    _refused("SetDERControl", "The site has no DER controls."),
    SiteDown(
        "SetDisplayMessage",
        Way.MAP,
        SITE_201.down["SetDisplayMessage"].ids,
        Whole.FAN_OUT,
        worst(
            "Rejected",
            "UnknownTransaction",
            "NotSupportedState",
            "NotSupportedPriority",
            "NotSupportedMessageFormat",
            "LanguageNotSupported",
            "Accepted",
        ),
        unknown=b'{"status":"UnknownTransaction"}',
    ),
    SiteDown("UpdateDynamicSchedule", Way.FAN_OUT, merge=best("Accepted", "Rejected")),
    SiteDown("UsePriorityCharging", Way.MAP, _TX),
)

SITE_21 = SiteTable(
    up=MappingProxyType({**SITE_201.up, **{row.action: row for row in _UP}}),
    down=MappingProxyType({**SITE_201.down, **{row.action: row for row in _DOWN}}),
)
