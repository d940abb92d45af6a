"""Short words for charging profiles in tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.model.ids import TransactionKey
from gateway.model.profile import ChargingProfile, Kind, Period, Purpose, RateUnit, Schedule
from gateway.smartcharging.held import Held, Place, Running, Supply
from gateway.smartcharging.profile_rules import Limits

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
TX = TransactionKey(7)
RUNNING = Running(TX, NOW - timedelta(minutes=10), "55")
LIMITS_16 = Limits(
    evses=2,
    max_stack_level=3,
    max_periods=4,
    max_profiles=5,
    units=frozenset(RateUnit),
    purposes=frozenset((Purpose.STATION_MAX, Purpose.TX_DEFAULT, Purpose.TX)),
    kinds=frozenset((Kind.ABSOLUTE, Kind.RECURRING, Kind.RELATIVE)),
    by_id=False,
)
LIMITS_21 = Limits(
    evses=2,
    max_stack_level=3,
    max_periods=4,
    max_profiles=5,
    units=frozenset(RateUnit),
    purposes=frozenset(Purpose),
    kinds=frozenset(Kind),
    by_id=True,
    max_schedules=3,
    switches_phases=True,
    modes=frozenset(("Idle",)),
)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def schedule(*periods: float | Period | tuple[int, float] | None, **more: Any) -> Schedule:
    """Periods as limits, as (start, limit), or in full."""
    made = tuple(
        one if isinstance(one, Period) else Period(*one) if isinstance(one, tuple) else Period(0, one)
        for one in periods
    )
    return Schedule(more.pop("unit", RateUnit.A), made, **more)


def profile(purpose: Purpose = Purpose.TX_DEFAULT, *limits: Any, **more: Any) -> ChargingProfile:
    """A Relative one, unless a kind is named."""
    kind = more.pop("kind", Kind.RELATIVE)
    schedules = more.pop("schedules", None) or (schedule(*(limits or (16.0,))),)
    return ChargingProfile(more.pop("id", 1), more.pop("level", 0), purpose, kind, schedules, **more)


def held(one: ChargingProfile, evse: int = 1, **more: Any) -> Held:
    more.setdefault("transaction", TX if one.purpose is Purpose.TX else None)
    key = more.pop("key", f"{one.id}/{evse}/{one.purpose}/{one.stack_level}")
    return Held(key, evse, one, more.pop("received", NOW), **more)


def place(evse: int = 1, **more: Any) -> Place:
    return Place(evse, more.pop("supply", Supply()), more.pop("running", RUNNING if evse else None), **more)
