"""Profiles in force, and the place where they are to hold."""

from dataclasses import dataclass
from datetime import datetime

from gateway.model.ids import TransactionKey
from gateway.model.profile import ChargingProfile, LimitSource
from gateway.model.site_tree import NOMINAL_V

IDLE = "Idle"
"""The operationMode that transfers no energy."""


@dataclass(frozen=True, slots=True)
class Held:
    """A profile in force at `evse` (0: the station). `key` tells it from all others; `transaction`: the one it is for.

    A TxProfile of a RemoteStart waits: it has no transaction yet, `token` and `remote_start_id` say whose it will be,
    `evse` 0 where the station may choose, and after `waits_until` it is forgotten.
    `source`: who set it. `wire`: its JSON as received, in `dialect`, where that may be reported as it is.
    """

    key: str
    evse: int
    profile: ChargingProfile
    received: datetime
    transaction: TransactionKey | None = None
    waits_until: datetime | None = None
    token: str | None = None
    remote_start_id: int | None = None
    source: str = LimitSource.CSO
    dialect: str = ""
    wire: str | None = None


@dataclass(frozen=True, slots=True)
class Supply:
    """What a car is fed by: phases it really uses, and lowest and highest phase voltage (measured, and nominal).

    The highest turns W into A, the lowest A into W: so neither is ever exceeded. Where it can't switch, the car stays
    on its phases whatever a profile's numberPhases says: watts meant for one are shared by all of them.
    """

    phases: int = 3
    low_v: float = NOMINAL_V
    high_v: float = NOMINAL_V
    can_switch: bool = True


@dataclass(frozen=True, slots=True)
class Running:
    """The transaction running at an EVSE. `wire_id`: the id its CSMS uses, None while it has none."""

    transaction: TransactionKey
    started: datetime
    wire_id: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where the profiles are to hold. `has_priority`: PriorityCharging is in use for `running`.

    `offline_since`: the CSMS can't be reached since then.
    """

    evse: int
    supply: Supply = Supply()
    running: Running | None = None
    has_priority: bool = False
    offline_since: datetime | None = None
