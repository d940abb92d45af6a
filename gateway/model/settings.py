"""Settings that exist twice: what the CSMS believes, and what the station holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.model.ids import StationId


class Key(StrEnum):
    """Settings with two columns, by one name for all versions."""

    AUTHORIZATION_KEY = "AuthorizationKey"
    HEARTBEAT_INTERVAL = "HeartbeatInterval"
    WEB_SOCKET_PING_INTERVAL = "WebSocketPingInterval"
    MESSAGE_TIMEOUT = "MessageTimeout"
    MESSAGE_ATTEMPTS = "TransactionMessageAttempts"
    MESSAGE_RETRY_INTERVAL = "TransactionMessageRetryInterval"
    RETRY_REPEAT_TIMES = "RetryBackOffRepeatTimes"
    RETRY_RANDOM_RANGE = "RetryBackOffRandomRange"
    RETRY_WAIT_MINIMUM = "RetryBackOffWaitMinimum"
    OFFLINE_THRESHOLD = "OfflineThreshold"
    QUEUE_ALL_MESSAGES = "QueueAllMessages"
    LOCAL_AUTHORIZE_OFFLINE = "LocalAuthorizeOffline"
    LOCAL_PRE_AUTHORIZE = "LocalPreAuthorize"
    OFFLINE_UNKNOWN_ID = "AllowOfflineTxForUnknownId"
    CACHE_ENABLED = "AuthorizationCacheEnabled"
    CACHE_LIFETIME = "AuthCacheCtrlr.LifeTime"
    CACHE_POLICY = "AuthCacheCtrlr.Policy"
    CACHE_POST_AUTHORIZE_OFF = "AuthCacheCtrlr.DisablePostAuthorize"
    CACHE_AVAILABLE = "AuthCacheCtrlr.Available"
    CACHE_STORAGE = "AuthCacheCtrlr.Storage"
    LIST_ENABLED = "LocalAuthListEnabled"
    LIST_POST_AUTHORIZE_OFF = "LocalAuthListCtrlr.DisablePostAuthorize"
    LIST_AVAILABLE = "LocalAuthListCtrlr.Available"
    LIST_ENTRIES = "LocalAuthListCtrlr.Entries"
    LIST_ITEMS_PER_MESSAGE = "LocalAuthListCtrlr.ItemsPerMessage"
    LIST_BYTES_PER_MESSAGE = "LocalAuthListCtrlr.BytesPerMessage"
    LIST_STORAGE = "LocalAuthListCtrlr.Storage"
    AUTH_ENABLED = "AuthCtrlr.Enabled"
    AUTHORIZE_REMOTE_START = "AuthCtrlr.AuthorizeRemoteStart"
    REMOTE_AUTHORIZATION_OFF = "AuthCtrlr.DisableRemoteAuthorization"
    MASTER_GROUP = "AuthCtrlr.MasterPassGroupId"
    STOP_ON_INVALID_ID = "StopTransactionOnInvalidId"
    MAX_ENERGY_ON_INVALID_ID = "MaxEnergyOnInvalidId"
    TX_START_POINT = "TxStartPoint"
    TX_STOP_POINT = "TxStopPoint"
    NUMBER_OF_CONNECTORS = "NumberOfConnectors"
    PHASE_ROTATION = "ConnectorPhaseRotation"
    METER_SAMPLE_INTERVAL = "MeterValueSampleInterval"
    METER_SAMPLED_DATA = "MeterValuesSampledData"
    METER_ALIGNED_DATA = "MeterValuesAlignedData"
    PROFILE_STACK_LEVEL = "ChargeProfileMaxStackLevel"
    PROFILE_PERIODS = "ChargingScheduleMaxPeriods"
    PROFILES_INSTALLED = "MaxChargingProfilesInstalled"
    PROFILES_HELD = "SmartChargingCtrlr.Entries"
    PROFILE_UNITS = "ChargingScheduleAllowedChargingRateUnit"
    PROFILE_UNIT_LETTERS = "SmartChargingCtrlr.RateUnit"


@dataclass(frozen=True, slots=True)
class Column:
    """The two values of one setting. `believed`: what the CSMS set, None = nothing, and then it sees the station's.
    `held`: what the station was last heard to hold."""

    believed: str | None = None
    held: str | None = None


Columns = Mapping[str, Column]
"""By name: a `Key`, with its instance in brackets where that is not the usual one."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What a command or an answer says of settings. `is_promise`: to be on disk before the answer goes out.
    `secret`: the new password of the station's link to the CSMS."""

    columns: Columns = field(default_factory=dict)
    secret: bytes | None = field(default=None, repr=False)
    is_promise: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """A `Column` as a record."""

    station: StationId
    name: str
    believed: str | None
    held: str | None


@dataclass(frozen=True, slots=True)
class UplinkSecret:
    """The password the CSMS gave a station's link. `previous`: the one before, while the new one is not proven.

    `origin`: fingerprint of the configured password it came after; None if there was none.
    """

    station: StationId
    secret: bytes = field(repr=False)
    previous: bytes | None = field(default=None, repr=False)
    origin: str | None = None
