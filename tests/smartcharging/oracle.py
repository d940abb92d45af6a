"""What charging profiles allow, found the slow way: from the messages as sent, for one instant at a time.

Written from the specification's rules, without the gateway's code. It reads JSON objects, not the gateway's model;
it goes by the calendar instead of counting periods; it computes with fractions.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from functools import cache
from typing import Any

Json = dict[str, Any]

WHEN = re.compile(r"(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)(\.\d+)?(Z|[+-]\d\d:\d\d)?", re.IGNORECASE)
STATION_LIMITS = ("ChargePointMaxProfile", "ChargingStationMaxProfile", "ChargingStationExternalConstraints")
MAXIMA = STATION_LIMITS[:2]
NOTHING = Fraction(0)
MICROSECOND = timedelta(microseconds=1)
RANKING = ("PriorityCharging", "TxProfile", "TxDefaultProfile")


@cache
def exact(value: float) -> Fraction:
    """A number as it is written."""
    return Fraction(str(value))


@cache
def moment(text: str) -> datetime:
    """A time of the wire; without an offset it is UTC."""
    found = WHEN.fullmatch(text)
    assert found, text
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    micro = int(Fraction(found[7] or "0") * 1_000_000)
    zone = (found[8] or "Z").upper()
    offset = timedelta(0)
    if zone != "Z":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:])) * (-1 if zone[0] == "-" else 1)
    return datetime(year, month, day, hour, minute, second, micro, timezone(offset)).astimezone(UTC)


@dataclass
class Charging:
    """A transaction: its id on the wire and when it began."""

    id: str
    began: datetime


@dataclass
class Installed:
    evse: int
    raw: Json
    came: datetime
    touched: datetime
    charging: Charging | None = None

    @property
    def id(self) -> int:
        found: int = self.raw["chargingProfileId"] if "chargingProfileId" in self.raw else self.raw["id"]
        return found

    @property
    def purpose(self) -> str:
        return str(self.raw["chargingProfilePurpose"])

    @property
    def level(self) -> int:
        return int(self.raw["stackLevel"])

    @property
    def schedules(self) -> list[Json]:
        found = self.raw["chargingSchedule"]
        return found if isinstance(found, list) else [found]


@dataclass
class Question:
    """Where and under which circumstances. `asked` is the moment from which the composite is made."""

    evse: int
    asked: datetime
    phases: int
    volts: float
    charging: Charging | None = None
    priority: bool = False
    offline_since: datetime | None = None


@dataclass
class Verdict:
    """Amps per phase (None: no limit), phases, the phase to use."""

    amps: Fraction | None
    phases: int
    phase_to_use: int | None = None


@dataclass
class Oracle:
    """The profiles of one station."""

    keeps_by_id: bool
    installed: list[Installed] = field(default_factory=list)

    def replace(self, new: Installed) -> None:
        def same(old: Installed) -> bool:
            if self.keeps_by_id:
                return old.id == new.id
            return (old.evse, old.purpose, old.level) == (new.evse, new.purpose, new.level)

        self.installed = [old for old in self.installed if not same(old)] + [new]

    def remove(self, criteria: Json) -> bool:
        """A ClearChargingProfile of any version, flattened: id, evse, purpose, level. An id counts alone."""

        def hit(old: Installed) -> bool:
            if criteria.get("id") is not None:
                return bool(old.id == criteria["id"])
            has = {"evse": old.evse, "purpose": old.purpose, "level": old.level}
            return all(criteria.get(name) is None or criteria[name] == value for name, value in has.items())

        before = len(self.installed)
        self.installed = [old for old in self.installed if not hit(old)]
        return len(self.installed) < before

    def end(self, charging: Charging) -> None:
        self.installed = [old for old in self.installed if old.charging is not charging]

    def about(self, question: Question) -> "Case":
        return Case(question, self.installed)

    def edges(self, question: Question) -> Iterator[datetime]:
        """Instants at which a profile might change its mind, over the three days after the question."""
        for one in self.installed:
            for name in ("validFrom", "validTo"):
                if name in one.raw:
                    yield moment(one.raw[name])
            if question.offline_since and "maxOfflineDuration" in one.raw:
                yield question.offline_since + timedelta(seconds=one.raw["maxOfflineDuration"])
            for schedule in one.schedules:
                offsets = [period["startPeriod"] for period in schedule["chargingSchedulePeriod"]]
                offsets += [schedule["duration"]] if "duration" in schedule else []
                begins = _begin(one, schedule, question)
                days = range(-1, 4) if one.raw["chargingProfileKind"] == "Recurring" else (0,)
                first = begins.replace(year=question.asked.year, month=question.asked.month, day=question.asked.day)
                for day in days:
                    start = first + timedelta(days=day) if len(days) > 1 else begins
                    yield from (start + timedelta(seconds=offset) for offset in offsets if offset < 10**7)


class Case:
    """One question, and the profiles that have a say in it, by what they do."""

    def __init__(self, question: Question, installed: list[Installed]) -> None:
        self.question = question
        self._judged: dict[tuple[int, ...], Verdict] = {}  # the same periods in force make the same verdict
        maxima: list[list[Installed]] = []
        added: list[list[Installed]] = []
        ranked = [_of_transaction(installed, purpose, question) for purpose in RANKING if question.evse]
        for evse in sorted({0, question.evse}):
            here = [one for one in installed if one.evse == evse]
            for purposes in (MAXIMA, STATION_LIMITS[2:]):
                maxima.append([one for one in here if one.purpose in purposes])
            added.append([one for one in here if one.purpose == "LocalGeneration"])
        self.maxima, self.added, self.ranked = (
            [[Ready(one, question) for one in sorted(stack, key=_highest_first)] for stack in stacks if stack]
            for stacks in (maxima, added, ranked)
        )

    def says(self, at: datetime) -> Verdict:
        """The rules, one after the other, for this instant."""
        capping = [found for stack in self.maxima if (found := _top(stack, at))]
        adding = [found for stack in self.added if (found := _top(stack, at))]
        for stack in self.ranked:
            if found := _top(stack, at):
                capping.append(found)
                break
        key = (
            *(id(period) for found in capping for _, period in found),
            0,
            *(id(period) for found in adding for _, period in found),
        )
        if key not in self._judged:
            self._judged[key] = self._judge(capping, adding)
        return self._judged[key]

    def _judge(self, capping: "list[_Active]", adding: "list[_Active]") -> Verdict:
        question = self.question
        periods = [period for found in (*capping, *adding) for _, period in found]
        phases = min([question.phases, *(period.get("numberPhases", 3) for period in periods)])
        to_use = {period["phaseToUse"] for period in periods if "phaseToUse" in period}
        assert len(to_use) < 2, f"phases in conflict: {periods}"
        amounts = [_amps(found, phases, question.volts) for found in capping]
        limits = [one for one in amounts if one is not None]
        if not limits:
            return Verdict(None, phases, *to_use)
        more = [_amps(found, phases, question.volts) or NOTHING for found in adding]
        return Verdict(sum(more, min(limits)), phases, *to_use)


def _top(stack: "list[Ready]", at: datetime) -> "_Active":
    """What the highest stack level that covers the instant says."""
    for one in stack:
        if found := one.active(at):
            return found
    return []


def _highest_first(one: Installed) -> int:
    return -one.level


def _of_transaction(installed: list[Installed], purpose: str, question: Question) -> list[Installed]:
    of_purpose = [one for one in installed if one.purpose == purpose]
    if purpose == "TxProfile":
        mine = question.charging
        return [one for one in of_purpose if mine and one.charging is mine and one.evse == question.evse]
    if purpose == "PriorityCharging" and not (question.priority and question.charging):
        return []
    own = [one for one in of_purpose if one.evse == question.evse]
    taken = {one.level for one in own}
    return own + [one for one in of_purpose if one.evse == 0 and one.level not in taken]


_Active = list[tuple[str, Json]]
"""What one profile says at an instant: unit and period of each schedule that covers it."""


class Ready:
    """A profile with its times read, and the beginnings of its schedules as this question has them."""

    def __init__(self, one: Installed, question: Question) -> None:
        raw = one.raw
        self.since = moment(raw["validFrom"]) if "validFrom" in raw else None
        self.until = moment(raw["validTo"]) if "validTo" in raw else None
        self.forgotten = None
        if question.offline_since and "maxOfflineDuration" in raw:
            self.forgotten = question.offline_since + timedelta(seconds=raw["maxOfflineDuration"])
        self.every = raw["recurrencyKind"] if raw["chargingProfileKind"] == "Recurring" else ""
        self.schedules = [(_begin(one, schedule, question), schedule) for schedule in one.schedules]

    def active(self, at: datetime) -> _Active:
        if self.since and at < self.since:
            return []
        if (self.until and at >= self.until) or (self.forgotten and at >= self.forgotten):
            return []
        found: _Active = []
        for first, schedule in self.schedules:
            if at < first:
                continue
            begins = _last_recurrence(first, at, self.every) if self.every else first
            passed = (at - begins) // MICROSECOND
            if "duration" in schedule and passed >= schedule["duration"] * 1_000_000:
                continue
            begun = None
            for period in schedule["chargingSchedulePeriod"]:
                if period["startPeriod"] * 1_000_000 <= passed:
                    begun = period
            assert begun
            found.append((schedule["chargingRateUnit"], begun))
        return found


def _begin(one: Installed, schedule: Json, question: Question) -> datetime:
    kind = one.raw["chargingProfileKind"]
    if kind == "Dynamic":
        return one.touched
    if kind != "Relative" and "startSchedule" in schedule:
        return moment(schedule["startSchedule"])
    if one.purpose not in RANKING:
        return one.came
    return question.charging.began if question.charging else question.asked


def _last_recurrence(first: datetime, at: datetime, every: str) -> datetime:
    """The same time of day, today or yesterday; for weekly ones also the same day of the week."""
    begins = at.replace(hour=first.hour, minute=first.minute, second=first.second, microsecond=first.microsecond)
    if begins > at:
        begins -= timedelta(days=1)
    while every == "Weekly" and begins.weekday() != first.weekday():
        begins -= timedelta(days=1)
    return begins


def _amps(found: _Active, phases: int, volts: float) -> Fraction | None:
    """The lowest that the schedules say, W divided among the phases and cut to tenths."""
    said: list[Fraction] = []
    for unit, period in found:
        if period.get("operationMode") == "Idle":
            said.append(NOTHING)
            continue
        limits = [exact(period[name]) for name in ("limit", "limit_L2", "limit_L3") if name in period]
        if not limits:
            continue
        if unit == "W":
            among = phases if len(limits) == 1 else 1
            said.append(Fraction(int(min(limits) / (exact(volts) * among) * 10), 10))
        else:
            said.append(min(limits))
    return min(said, default=None)
