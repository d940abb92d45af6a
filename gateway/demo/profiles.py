"""The charging profiles a simulated station holds, and the limit they make.

Takes the payloads of both versions, with the names as the `ocpp` package hands them over (snake case).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gateway.demo.physics import VOLTAGE_V

RECURRENCE_S = {"Daily": 86_400.0, "Weekly": 7 * 86_400.0}


@dataclass(frozen=True, slots=True)
class Period:
    start_s: float
    limit: float
    phases: int


@dataclass(frozen=True, slots=True)
class Profile:
    """`purpose` is Max, TxDefault or Tx; `unit` A (per phase) or W (all phases)."""

    id: int
    stack_level: int
    purpose: str
    kind: str
    unit: str
    periods: tuple[Period, ...]
    recurrence_s: float | None = None
    start: datetime | None = None
    duration_s: float | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    transaction: str | None = None

    def base(self, now: datetime, tx_start: datetime | None) -> datetime:
        """When its schedule begins (for a recurring one: the latest recurrence)."""
        if self.kind == "Relative" or self.start is None:
            return tx_start or now
        if self.recurrence_s and now > self.start:
            passed = (now - self.start).total_seconds()
            return self.start + timedelta(seconds=passed - passed % self.recurrence_s)
        return self.start

    def limit_w(self, now: datetime, tx_start: datetime | None) -> float | None:
        """Limit in W, or None if it says nothing about this moment."""
        if (self.valid_from and now < self.valid_from) or (self.valid_to and now >= self.valid_to):
            return None
        offset = (now - self.base(now, tx_start)).total_seconds()
        if offset < 0 or (self.duration_s is not None and offset >= self.duration_s):
            return None
        period = next((p for p in reversed(self.periods) if p.start_s <= offset), None)
        if period is None:
            return None
        return period.limit if self.unit == "W" else period.limit * VOLTAGE_V * period.phases

    def edges(self, now: datetime, tx_start: datetime | None) -> Iterator[datetime]:
        """Moments at which its limit may change."""
        first = self.base(now, tx_start)
        rounds = (0.0, self.recurrence_s) if self.recurrence_s else (0.0,)
        for shift in rounds:
            for period in self.periods:
                yield first + timedelta(seconds=shift + period.start_s)
            if self.duration_s is not None:
                yield first + timedelta(seconds=shift + self.duration_s)
        if self.valid_from:
            yield self.valid_from
        if self.valid_to:
            yield self.valid_to


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def parse_profile(raw: dict[str, Any], phases: int) -> Profile:
    """`phases` is what a missing numberPhases means here. Raises KeyError, ValueError, TypeError, IndexError."""
    schedule = raw["charging_schedule"]
    if isinstance(schedule, list):
        schedule = schedule[0]
    purpose: str = raw["charging_profile_purpose"]
    transaction = raw.get("transaction_id")
    periods = tuple(
        Period(p["start_period"], float(p["limit"]), min(phases, p.get("number_phases", 3)))
        for p in schedule["charging_schedule_period"]
    )
    if not periods or periods[0].start_s != 0:
        raise ValueError("the first period must start at 0")
    return Profile(
        id=raw["charging_profile_id"] if "charging_profile_id" in raw else raw["id"],
        stack_level=raw["stack_level"],
        purpose="Max" if purpose.endswith("MaxProfile") else purpose.removesuffix("Profile"),
        kind=raw["charging_profile_kind"],
        unit=schedule["charging_rate_unit"],
        periods=periods,
        recurrence_s=RECURRENCE_S.get(raw.get("recurrency_kind", "")),
        start=_moment(schedule.get("start_schedule")),
        duration_s=schedule.get("duration"),
        valid_from=_moment(raw.get("valid_from")),
        valid_to=_moment(raw.get("valid_to")),
        transaction=None if transaction is None else str(transaction),
    )


def try_parse(raw: dict[str, Any], phases: int) -> Profile | None:
    """`parse_profile`, or None for what a station would reject."""
    try:
        return parse_profile(raw, phases)
    except (KeyError, ValueError, TypeError, IndexError):
        return None


class ProfileStore:
    """Profiles by connector (0: the station), purpose and stack level, as OCPP keys them."""

    def __init__(self) -> None:
        self._profiles: dict[tuple[int, str, int], Profile] = {}

    def __len__(self) -> int:
        return len(self._profiles)

    def put(self, connector: int, profile: Profile) -> None:
        """A profile of the same id, or of the same place in the stack, is replaced."""
        self._profiles = {key: held for key, held in self._profiles.items() if held.id != profile.id}
        self._profiles[connector, profile.purpose, profile.stack_level] = profile

    def clear(
        self,
        profile_id: int | None = None,
        connector: int | None = None,
        purpose: str | None = None,
        stack_level: int | None = None,
    ) -> bool:
        """Drop what matches all that is given; an id alone decides. True if anything went."""
        kind = None if purpose is None else "Max" if purpose.endswith("MaxProfile") else purpose.removesuffix("Profile")

        def matches(key: tuple[int, str, int], held: Profile) -> bool:
            if profile_id is not None:
                return held.id == profile_id
            wanted = ((connector, key[0]), (kind, key[1]), (stack_level, key[2]))
            return all(asked is None or asked == actual for asked, actual in wanted)

        kept = {key: held for key, held in self._profiles.items() if not matches(key, held)}
        went = len(kept) < len(self._profiles)
        self._profiles = kept
        return went

    def end_transaction(self, connector: int) -> None:
        """TxProfiles die with their transaction."""
        self._profiles = {key: p for key, p in self._profiles.items() if key[:2] != (connector, "Tx")}

    def _stack(self, connector: int, purpose: str) -> list[Profile]:
        found = [p for key, p in self._profiles.items() if key[:2] == (connector, purpose)]
        return sorted(found, key=lambda p: -p.stack_level)

    def limit_w(self, connector: int, now: datetime, tx_start: datetime | None) -> float | None:
        """TxProfile, or else TxDefaultProfile (its own before the station's), never above the Max profile.

        In a stack the highest level that says anything about this moment counts. None: no limit.
        """
        own = [*self._stack(connector, "Tx")] if tx_start else []
        own += [*self._stack(connector, "TxDefault"), *self._stack(0, "TxDefault")]
        ceiling = [*self._stack(connector, "Max"), *self._stack(0, "Max")]
        limits = [
            next((w for w in (p.limit_w(now, tx_start) for p in stack) if w is not None), None)
            for stack in (own, ceiling)
        ]
        return min((w for w in limits if w is not None), default=None)

    def composite(
        self, connector: int, now: datetime, duration_s: float, tx_start: datetime | None, rated_w: float
    ) -> list[tuple[int, float]]:
        """Start (s from now) and limit (W) of each period of the schedule that all profiles make together."""
        edges = {0}
        for (held_for, _, _), profile in self._profiles.items():
            if held_for in (0, connector):
                offsets = ((edge - now).total_seconds() for edge in profile.edges(now, tx_start))
                edges |= {round(offset) for offset in offsets if 0 < offset < duration_s}
        periods: list[tuple[int, float]] = []
        for edge in sorted(edges):
            # A moment behind the edge, because edges are rounded to seconds.
            limit = self.limit_w(connector, now + timedelta(seconds=edge, milliseconds=500), tx_start)
            limit = rated_w if limit is None else min(limit, rated_w)
            if not periods or periods[-1][1] != limit:
                periods.append((edge, limit))
        return periods
