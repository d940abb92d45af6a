"""Charging profiles, in the vocabulary of OCPP 2.1: 1.6 and 2.0.1 are parts of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Purpose(StrEnum):
    """1.6's ChargePointMaxProfile is STATION_MAX; 1.6 lacks the last three, 2.0.1 the last two."""

    STATION_MAX = "ChargingStationMaxProfile"
    TX_DEFAULT = "TxDefaultProfile"
    TX = "TxProfile"
    EXTERNAL = "ChargingStationExternalConstraints"
    PRIORITY = "PriorityCharging"
    LOCAL_GENERATION = "LocalGeneration"


class Kind(StrEnum):
    """DYNAMIC is 2.1's: one period, whose limit is changed by messages."""

    ABSOLUTE = "Absolute"
    RECURRING = "Recurring"
    RELATIVE = "Relative"
    DYNAMIC = "Dynamic"


class Recurrency(StrEnum):
    DAILY = "Daily"
    WEEKLY = "Weekly"


class RateUnit(StrEnum):
    """A is per phase, W the sum of all phases."""

    A = "A"
    W = "W"


class LimitSource(StrEnum):
    """Who set a limit. The gateway is an EMS; a grid signal is the SO's."""

    EMS = "EMS"
    OTHER = "Other"
    SO = "SO"
    CSO = "CSO"


@dataclass(frozen=True, slots=True)
class Period:
    """Valid from `start_s` seconds after its schedule's start until the next period.

    `limit` None: nothing is limited. With `limit_l2` or `limit_l3`, in either unit, `limit` is that of phase L1 alone.
    `phases` None means 3 (OCPP 2.0.1 ed. 3, Part 2, K01.FR.49). `mode`: 2.1's operationMode; None is ChargingOnly.
    """

    start_s: int
    limit: float | None
    phases: int | None = None
    phase_to_use: int | None = None
    limit_l2: float | None = None
    limit_l3: float | None = None
    mode: str | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """`needs`: members that ask for more than limits over time, by their OCPP names (limitAtSoC, useLocalTime ...)."""

    unit: RateUnit
    periods: tuple[Period, ...]
    id: int = 1
    start: datetime | None = None
    duration_s: int | None = None
    min_rate: float | None = None
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChargingProfile:
    """`transaction`: the id as its author wrote it. `valid_to` is the first moment at which it is no longer valid.

    2.1: `max_offline_s`, how long it holds without the CSMS, and whether it `ends_offline` for good;
    `update_interval_s` and `updated` of a dynamic one.
    """

    id: int
    stack_level: int
    purpose: Purpose
    kind: Kind
    schedules: tuple[Schedule, ...]
    recurrency: Recurrency | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    transaction: str | None = None
    max_offline_s: int | None = None
    ends_offline: bool = False
    update_interval_s: int | None = None
    updated: datetime | None = None


@dataclass(frozen=True, slots=True)
class AskedProfile:
    """A SetChargingProfile. `evse` 0 is the station. `wire`: the profile's JSON as received, if it is valid."""

    evse: int
    profile: ChargingProfile
    wire: str | None = None


@dataclass(frozen=True, slots=True)
class StartProfile:
    """The profile of a RemoteStart / RequestStart; `evse` None: the station chooses. `token` is folded."""

    evse: int | None
    token: str
    profile: ChargingProfile
    remote_start_id: int | None = None
    wire: str | None = None


@dataclass(frozen=True, slots=True)
class ProfileFilter:
    """Which profiles are meant: all that is given must match. No `ids` and no `sources` match all."""

    ids: tuple[int, ...] = ()
    evse: int | None = None
    purpose: Purpose | None = None
    stack_level: int | None = None
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReportedProfile:
    """A profile that a station says it holds; `profile` None: it can't be read, only its id."""

    evse: int
    source: str
    id: int
    profile: ChargingProfile | None = None


@dataclass(frozen=True, slots=True)
class AskedSchedule:
    """A GetCompositeSchedule; `unit` None: the station chooses."""

    evse: int
    duration_s: int
    unit: RateUnit | None = None


@dataclass(frozen=True, slots=True)
class CompositeSchedule:
    """The answer to it: what will be applied from `start` on. Every period has a limit."""

    evse: int
    start: datetime
    duration_s: int
    unit: RateUnit
    periods: tuple[Period, ...]


@dataclass(frozen=True, slots=True)
class DynamicUpdate:
    """New limits for a dynamic profile. `needs`: members that ask for more than limits."""

    profile: int
    limit: float | None = None
    limit_l2: float | None = None
    limit_l3: float | None = None
    needs: tuple[str, ...] = ()


class Refused(StrEnum):
    """Why a profile was refused, in OCPP's own reason codes."""

    DUPLICATE = "DuplicateProfile"
    NOT_FOUND = "NotFound"
    OPERATION_MODE = "InvalidOperationMode"
    PHASE_CONFLICT = "PhaseConflict"
    PROFILE = "InvalidProfile"
    PROFILE_ID = "InvalidProfileId"
    RATE_UNIT = "UnsupportedRateUnit"
    SCHEDULE = "InvalidSchedule"
    STACK_LEVEL = "InvalidStackLevel"
    TOO_MANY = "TooManyElements"
    TRANSACTION = "UnknownTxId"
    EVSE = "UnknownEvse"
    UNSUPPORTED = "UnsupportedParam"
    NO_SMART_CHARGING = "UnsupportedRequest"


@dataclass(frozen=True, slots=True)
class Refusal:
    """`what` names the member and what is wrong with it."""

    reason: Refused
    what: str


class PriorityStatus(StrEnum):
    """The answer to 2.1's UsePriorityCharging."""

    ACCEPTED = "Accepted"
    REJECTED = "Rejected"
    NO_PROFILE = "NoProfile"
