"""Which settings have two columns, under which name in each version, and what a CSMS may do with them.

The gateway is the station's CSMS and the CSMS's station, so a setting of that link means another link on each side.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Final, NamedTuple

from gateway.model.settings import Key

LONGEST_PASSWORD: Final = 40
"""Characters of a BasicAuthPassword (2.0.1 Part 2, A00.FR.205)."""

_SHORTEST_PASSWORD = 16
_LARGEST = 2**31 - 1
_HEX = re.compile(r"[0-9A-Fa-f]{32,40}", re.ASCII)


class Use(StrEnum):
    """Who answers a CSMS that sets it.

    ours: the gateway; it never goes down, and the CSMS sees its own value ever after. shared: it works in the station,
    so it goes down, and what the station took is kept. fixed: nobody may set it. given: nor this, and the CSMS sees the
    gateway's value. credential: the link's password.
    """

    OURS = "ours"
    SHARED = "shared"
    FIXED = "fixed"
    GIVEN = "given"
    CREDENTIAL = "credential"


def _whole(value: str) -> str | None:
    fits = value.isascii() and value.isdecimal() and len(value) <= 10 and int(value) <= _LARGEST
    return None if fits else f"a whole number from 0 to {_LARGEST} is needed"


def _flag(value: str) -> str | None:
    return None if value.casefold() in ("true", "false") else "true or false is needed"


def _anything(value: str) -> str | None:
    return None if len(value) <= 1000 else "at most 1000 characters"


class Row(NamedTuple):
    """One setting. `wrong`: why a value can't be, None if it can. `v2`: component and variable; `instance`: its usual
    one."""

    key: Key
    use: Use
    wrong: Callable[[str], str | None]
    v16: str | None = None
    v2: tuple[str, str] | None = None
    instance: str | None = None


_COMM, _AUTH, _TX = "OCPPCommCtrlr", "AuthCtrlr", "TxCtrlr"
_CACHE, _LIST, _SMART = "AuthCacheCtrlr", "LocalAuthListCtrlr", "SmartChargingCtrlr"

ROWS = (
    Row(Key.AUTHORIZATION_KEY, Use.CREDENTIAL, _anything, "AuthorizationKey", ("SecurityCtrlr", "BasicAuthPassword")),
    # The link between station and CSMS: there are two of them, and the gateway has its own pace on each.
    Row(Key.HEARTBEAT_INTERVAL, Use.OURS, _whole, "HeartbeatInterval", (_COMM, "HeartbeatInterval")),
    Row(Key.WEB_SOCKET_PING_INTERVAL, Use.OURS, _whole, "WebSocketPingInterval", (_COMM, "WebSocketPingInterval")),
    Row(Key.MESSAGE_TIMEOUT, Use.OURS, _whole, "MessageTimeout", (_COMM, "MessageTimeout"), "Default"),
    Row(
        Key.MESSAGE_ATTEMPTS,
        Use.OURS,
        _whole,
        "TransactionMessageAttempts",
        (_COMM, "MessageAttempts"),
        "TransactionEvent",
    ),
    Row(
        Key.MESSAGE_RETRY_INTERVAL,
        Use.OURS,
        _whole,
        "TransactionMessageRetryInterval",
        (_COMM, "MessageAttemptInterval"),
        "TransactionEvent",
    ),
    Row(Key.RETRY_REPEAT_TIMES, Use.OURS, _whole, None, (_COMM, "RetryBackOffRepeatTimes")),
    Row(Key.RETRY_RANDOM_RANGE, Use.OURS, _whole, None, (_COMM, "RetryBackOffRandomRange")),
    Row(Key.RETRY_WAIT_MINIMUM, Use.OURS, _whole, None, (_COMM, "RetryBackOffWaitMinimum")),
    Row(Key.OFFLINE_THRESHOLD, Use.OURS, _whole, None, (_COMM, "OfflineThreshold")),
    Row(Key.QUEUE_ALL_MESSAGES, Use.OURS, _flag, None, (_COMM, "QueueAllMessages")),
    # Whom to let charge while the CSMS is away: the gateway answers that.
    Row(Key.LOCAL_AUTHORIZE_OFFLINE, Use.OURS, _flag, "LocalAuthorizeOffline", (_AUTH, "LocalAuthorizeOffline")),
    Row(Key.LOCAL_PRE_AUTHORIZE, Use.OURS, _flag, "LocalPreAuthorize", (_AUTH, "LocalPreAuthorize")),
    Row(
        Key.OFFLINE_UNKNOWN_ID,
        Use.OURS,
        _flag,
        "AllowOfflineTxForUnknownId",
        (_AUTH, "OfflineTxForUnknownIdEnabled"),
    ),
    Row(Key.CACHE_ENABLED, Use.OURS, _flag, "AuthorizationCacheEnabled", (_CACHE, "Enabled")),
    Row(Key.CACHE_LIFETIME, Use.OURS, _whole, None, (_CACHE, "LifeTime")),
    Row(Key.CACHE_POLICY, Use.OURS, _anything, None, (_CACHE, "Policy")),
    Row(Key.CACHE_POST_AUTHORIZE_OFF, Use.OURS, _flag, None, (_CACHE, "DisablePostAuthorize")),
    Row(Key.CACHE_AVAILABLE, Use.FIXED, _anything, None, (_CACHE, "Available")),
    Row(Key.CACHE_STORAGE, Use.FIXED, _anything, None, (_CACHE, "Storage")),
    Row(Key.LIST_ENABLED, Use.OURS, _flag, "LocalAuthListEnabled", (_LIST, "Enabled")),
    Row(Key.LIST_POST_AUTHORIZE_OFF, Use.OURS, _flag, None, (_LIST, "DisablePostAuthorize")),
    Row(Key.LIST_AVAILABLE, Use.FIXED, _anything, None, (_LIST, "Available")),
    Row(Key.LIST_ENTRIES, Use.FIXED, _anything, None, (_LIST, "Entries")),
    Row(Key.LIST_ITEMS_PER_MESSAGE, Use.FIXED, _anything, None, (_LIST, "ItemsPerMessage")),
    Row(Key.LIST_BYTES_PER_MESSAGE, Use.FIXED, _anything, None, (_LIST, "BytesPerMessage")),
    Row(Key.LIST_STORAGE, Use.FIXED, _anything, None, (_LIST, "Storage")),
    # What only the station can do.
    Row(Key.AUTH_ENABLED, Use.SHARED, _anything, None, (_AUTH, "Enabled")),
    Row(Key.AUTHORIZE_REMOTE_START, Use.SHARED, _anything, None, (_AUTH, "AuthorizeRemoteStart")),
    Row(Key.REMOTE_AUTHORIZATION_OFF, Use.SHARED, _anything, None, (_AUTH, "DisableRemoteAuthorization")),
    Row(Key.MASTER_GROUP, Use.SHARED, _anything, None, (_AUTH, "MasterPassGroupId")),
    Row(Key.STOP_ON_INVALID_ID, Use.SHARED, _anything, "StopTransactionOnInvalidId", (_TX, "StopTxOnInvalidId")),
    Row(Key.MAX_ENERGY_ON_INVALID_ID, Use.SHARED, _anything, "MaxEnergyOnInvalidId", (_TX, "MaxEnergyOnInvalidId")),
    Row(Key.TX_START_POINT, Use.SHARED, _anything, None, (_TX, "TxStartPoint")),
    Row(Key.TX_STOP_POINT, Use.SHARED, _anything, None, (_TX, "TxStopPoint")),
    Row(Key.PHASE_ROTATION, Use.SHARED, _anything, "ConnectorPhaseRotation"),
    Row(Key.METER_SAMPLE_INTERVAL, Use.SHARED, _anything, "MeterValueSampleInterval"),
    Row(Key.METER_SAMPLED_DATA, Use.SHARED, _anything, "MeterValuesSampledData"),
    Row(Key.METER_ALIGNED_DATA, Use.SHARED, _anything, "MeterValuesAlignedData"),
    # What the CSMS's charging profiles may be: where the gateway holds them, its own word counts.
    Row(Key.PROFILE_STACK_LEVEL, Use.GIVEN, _anything, "ChargeProfileMaxStackLevel", (_SMART, "ProfileStackLevel")),
    Row(Key.PROFILE_PERIODS, Use.GIVEN, _anything, "ChargingScheduleMaxPeriods", (_SMART, "PeriodsPerSchedule")),
    Row(Key.PROFILES_INSTALLED, Use.GIVEN, _anything, "MaxChargingProfilesInstalled"),
    Row(Key.PROFILES_HELD, Use.GIVEN, _anything, None, (_SMART, "Entries"), "ChargingProfiles"),
    Row(Key.PROFILE_UNITS, Use.GIVEN, _anything, "ChargingScheduleAllowedChargingRateUnit"),
    Row(Key.PROFILE_UNIT_LETTERS, Use.GIVEN, _anything, None, (_SMART, "RateUnit")),
    Row(Key.NUMBER_OF_CONNECTORS, Use.FIXED, _anything, "NumberOfConnectors"),
)

_BY_V16 = {row.v16.casefold(): row for row in ROWS if row.v16}
_BY_V2 = {(row.v2[0].casefold(), row.v2[1].casefold()): row for row in ROWS if row.v2}


def of_16(key: str) -> Row | None:
    """The row of a configuration key."""
    return _BY_V16.get(key.strip().casefold())


def of_variable(component: str, variable: str) -> Row | None:
    """The row of a variable of 2.x."""
    return _BY_V2.get((component.strip().casefold(), variable.strip().casefold()))


def authorization_key(value: str) -> bytes | None:
    """The bytes of an AuthorizationKey: 16 to 20, in hex (J 6.2.2 and its errata); None if it is no such key."""
    return bytes.fromhex(value) if _HEX.fullmatch(value) and len(value) % 2 == 0 else None


def basic_password(value: str, longest: int) -> bytes | None:
    """The bytes of a BasicAuthPassword: 16 to `longest` printable characters; None if it is no such password."""
    return value.encode() if value.isprintable() and _SHORTEST_PASSWORD <= len(value) <= longest else None
