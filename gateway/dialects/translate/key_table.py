"""Which configuration key of 1.6 is which variable of 2.x, and how a value reads on the other side.

A key in no row is shown to a CSMS of 2.x as a variable of the component `ConfigurationKey`; a variable in no row is
shown to a CSMS of 1.6 as a key "Component.Variable".
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from gateway.dialects import keys

OTHER_KEYS = "ConfigurationKey"
"""The component of all keys that have no variable of their own."""

LONGEST_KEY = 50
LONGEST_VALUE_16 = 500

Convert = Callable[[str], str | None]
"""A value in the other version's words; None if it has none there."""


def _same(value: str) -> str | None:
    return value


def _listed(words: dict[str, str]) -> Convert:
    """A comma-separated list, word by word."""

    def convert(value: str) -> str | None:
        said = [words.get(word.strip().casefold()) for word in value.split(",") if word.strip()]
        return None if None in said else ",".join(word for word in said if word)

    return convert


LONGEST_PASSWORD = {"2.0.1": keys.LONGEST_PASSWORD, "2.1": 64}
"""Characters of a BasicAuthPassword, by the CSMS's version."""


class Row(NamedTuple):
    """One setting. `kind`: the data type of 2.x."""

    key: str
    component: str
    variable: str
    instance: str | None = None
    kind: str = "integer"
    is_readonly: bool = False
    to_2x: Convert = _same
    to_16: Convert = _same
    is_password: bool = False
    """Of the CSMS's link: set at the uplink, never carried over."""


_COMM, _AUTH, _TX, _SECURITY = "OCPPCommCtrlr", "AuthCtrlr", "TxCtrlr", "SecurityCtrlr"
_ALIGNED, _SAMPLED, _SMART = "AlignedDataCtrlr", "SampledDataCtrlr", "SmartChargingCtrlr"
_YES, _LIST, _RO = "boolean", "MemberList", True

ROWS = (
    Row("AllowOfflineTxForUnknownId", _AUTH, "OfflineTxForUnknownIdEnabled", kind=_YES),
    Row("AuthorizationCacheEnabled", "AuthCacheCtrlr", "Enabled", kind=_YES),
    Row("AuthorizeRemoteTxRequests", _AUTH, "AuthorizeRemoteStart", kind=_YES),
    Row("ClockAlignedDataInterval", _ALIGNED, "Interval"),
    Row("ConnectionTimeOut", _TX, "EVConnectionTimeOut"),
    Row("GetConfigurationMaxKeys", "DeviceDataCtrlr", "ItemsPerMessage", "GetVariables", is_readonly=_RO),
    Row("HeartbeatInterval", _COMM, "HeartbeatInterval"),
    Row("LocalAuthorizeOffline", _AUTH, "LocalAuthorizeOffline", kind=_YES),
    Row("LocalPreAuthorize", _AUTH, "LocalPreAuthorize", kind=_YES),
    Row("MaxEnergyOnInvalidId", _TX, "MaxEnergyOnInvalidId"),
    Row("MeterValueSampleInterval", _SAMPLED, "TxUpdatedInterval"),
    Row("MeterValuesAlignedData", _ALIGNED, "Measurands", kind=_LIST),
    Row("MeterValuesSampledData", _SAMPLED, "TxUpdatedMeasurands", kind=_LIST),
    Row("MinimumStatusDuration", _COMM, "MinimumStatusDuration"),
    Row("ResetRetries", _COMM, "ResetRetries"),
    Row("StopTransactionOnEVSideDisconnect", _TX, "StopTxOnEVSideDisconnect", kind=_YES),
    Row("StopTransactionOnInvalidId", _TX, "StopTxOnInvalidId", kind=_YES),
    Row("StopTxnAlignedData", _ALIGNED, "TxEndedMeasurands", kind=_LIST),
    Row("StopTxnSampledData", _SAMPLED, "TxEndedMeasurands", kind=_LIST),
    Row("TransactionMessageAttempts", _COMM, "MessageAttempts", "TransactionEvent"),
    Row("TransactionMessageRetryInterval", _COMM, "MessageAttemptInterval", "TransactionEvent"),
    Row("UnlockConnectorOnEVSideDisconnect", _COMM, "UnlockOnEVSideDisconnect", kind=_YES),
    Row("WebSocketPingInterval", _COMM, "WebSocketPingInterval"),
    Row("MessageTimeout", _COMM, "MessageTimeout", "Default"),
    Row("SupportedFileTransferProtocols", _COMM, "FileTransferProtocols", kind=_LIST, is_readonly=_RO),
    Row("LocalAuthListEnabled", "LocalAuthListCtrlr", "Enabled", kind=_YES),
    Row("SendLocalListMaxLength", "LocalAuthListCtrlr", "ItemsPerMessage", is_readonly=_RO),
    Row("ReserveConnectorZeroSupported", "ReservationCtrlr", "NonEvseSpecific", kind=_YES, is_readonly=_RO),
    Row("ChargeProfileMaxStackLevel", _SMART, "ProfileStackLevel", is_readonly=_RO),
    Row(
        "ChargingScheduleAllowedChargingRateUnit",
        _SMART,
        "RateUnit",
        kind=_LIST,
        is_readonly=_RO,
        to_2x=_listed({"current": "A", "power": "W"}),
        to_16=_listed({"a": "Current", "w": "Power"}),
    ),
    Row("ChargingScheduleMaxPeriods", _SMART, "PeriodsPerSchedule", is_readonly=_RO),
    Row("ConnectorSwitch3to1PhaseSupported", _SMART, "Phases3to1", kind=_YES, is_readonly=_RO),
    Row("AdditionalRootCertificateCheck", _SECURITY, "AdditionalRootCertificateCheck", kind=_YES, is_readonly=_RO),
    Row("AuthorizationKey", _SECURITY, "BasicAuthPassword", kind="string", is_password=True),
    Row("CertificateSignedMaxChainSize", _SECURITY, "MaxCertificateChainSize", is_readonly=_RO),
    Row("CertSigningRepeatTimes", _SECURITY, "CertSigningRepeatTimes"),
    Row("CertSigningWaitMinimum", _SECURITY, "CertSigningWaitMinimum"),
    Row("CpoName", _SECURITY, "OrganizationName", kind="string"),
    Row("SecurityProfile", _SECURITY, "SecurityProfile"),
    Row("CentralContractValidationAllowed", "ISO15118Ctrlr", "CentralContractValidationAllowed", kind=_YES),
    Row("ContractValidationOffline", "ISO15118Ctrlr", "ContractValidationOffline", kind=_YES),
    Row("ISO15118PnCEnabled", "ISO15118Ctrlr", "PnCEnabled", kind=_YES),
)

FEATURES = {
    "LocalAuthListManagement": "LocalAuthListCtrlr",
    "Reservation": "ReservationCtrlr",
    "SmartCharging": "SmartChargingCtrlr",
}
"""Feature profiles of 1.6, and the component whose `Available` says the same in 2.x."""

PROFILES_KEY, CONNECTORS_KEY = "SupportedFeatureProfiles", "NumberOfConnectors"
"""Keys of 1.6 that are worked out from several variables."""

_BY_KEY = {row.key.casefold(): row for row in ROWS}
_BY_VARIABLE = {
    (row.component.casefold(), row.variable.casefold(), (row.instance or "").casefold()): row for row in ROWS
}


class Variable(NamedTuple):
    """A variable of 2.x by name; `evse` and `connector` None: of the station."""

    component: str
    name: str
    instance: str | None = None
    component_instance: str | None = None
    evse: int | None = None
    connector: int | None = None

    @property
    def key(self) -> str:
        """Its name as a key of 1.6, by which `variable_of` finds it again."""
        place = "" if self.evse is None else f"@{self.evse}"
        place += "" if self.connector is None or not place else f":{self.connector}"
        of = f"[{self.component_instance}]" if self.component_instance else ""
        instance = f"[{self.instance}]" if self.instance else ""
        return f"{self.component}{of}{place}.{self.name}{instance}"


_NAMED = re.compile(
    r"(?P<component>[^.\[\]@]+)(?:\[(?P<of>[^\]]+)\])?(?:@(?P<evse>[0-9]{1,6})(?::(?P<connector>[0-9]{1,6}))?)?"
    r"\.(?P<name>[^\[\]]+)(?:\[(?P<instance>[^\]]+)\])?",
    re.ASCII,
)


def row_of_key(key: str) -> Row | None:
    return _BY_KEY.get(key.strip().casefold())


def row_of(variable: Variable) -> Row | None:
    """The row of a station's variable. One that has its usual instance may leave it out."""
    if variable.evse is not None or variable.component_instance:
        return None
    named = variable.component.strip().casefold(), variable.name.strip().casefold()
    if variable.instance:
        return _BY_VARIABLE.get((*named, variable.instance.strip().casefold()))
    return next((row for place, row in _BY_VARIABLE.items() if place[:2] == named), None)


def variable_of(key: str) -> Variable | None:
    """The variable that a key of 1.6 stands for; None if its name can't be one."""
    row = row_of_key(key)
    if row is not None:
        return Variable(row.component, row.variable, row.instance)
    named = _NAMED.fullmatch(key.strip())
    if named is None:
        return None
    evse, connector = named["evse"], named["connector"]
    return Variable(
        named["component"],
        named["name"],
        named["instance"],
        named["of"],
        None if evse is None else int(evse),
        None if connector is None else int(connector),
    )


def key_of(variable: Variable) -> str | None:
    """The configuration key of a 1.6 station that a variable stands for; None if it stands for none.

    A key with a row of its own is reached by its proper name only.
    """
    row = row_of(variable)
    if row is not None:
        return row.key
    if variable.component != OTHER_KEYS or variable.evse is not None or variable.instance:
        return None
    name = variable.name.strip()
    return name if row_of_key(name) is None and 0 < len(name) <= LONGEST_KEY else None


COMPONENTS = frozenset((*(row.component for row in ROWS), *FEATURES.values(), OTHER_KEYS))
"""The components that a station of 1.6 has for a CSMS of 2.x, beside those of `inventory`."""
