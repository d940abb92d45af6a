"""Random sets of charging profiles, as the messages that make them."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from gateway.model.profile import Kind, Purpose, RateUnit
from gateway.smartcharging.profile_rules import Limits

Json = dict[str, Any]

EVSES = 2
MODES = ("Idle", "LocalLoadBalancing", "ExternalLimits")
DAYS = (  # ends of months and years, a leap day, the nights of both clock changes
    datetime(2026, 3, 29, tzinfo=UTC),
    datetime(2026, 10, 25, tzinfo=UTC),
    datetime(2024, 2, 28, 22, 30, tzinfo=UTC),
    datetime(2025, 12, 31, 20, 15, tzinfo=UTC),
    datetime(2026, 7, 15, 11, 59, 59, tzinfo=UTC),
)
_PURPOSES: dict[str, tuple[Purpose, ...]] = {
    "1.6": (Purpose.STATION_MAX, Purpose.TX_DEFAULT, Purpose.TX),
    "2.0.1": (Purpose.STATION_MAX, Purpose.TX_DEFAULT, Purpose.TX),
    "2.1": (Purpose.STATION_MAX, Purpose.TX_DEFAULT, Purpose.TX, Purpose.PRIORITY, Purpose.LOCAL_GENERATION),
}
_KINDS = (Kind.ABSOLUTE, Kind.RECURRING, Kind.RELATIVE)


def limits(version: str) -> Limits:
    is_new = version == "2.1"
    return Limits(
        evses=EVSES,
        max_stack_level=4,
        max_periods=6,
        max_profiles=10,
        units=frozenset(RateUnit),
        purposes=frozenset((*_PURPOSES[version], Purpose.EXTERNAL)),
        kinds=frozenset(Kind) if is_new else frozenset(_KINDS),
        by_id=version != "1.6",
        max_schedules=1 if version == "1.6" else 3,
        switches_phases=version != "1.6",
        modes=frozenset(MODES if is_new else ()),
    )


@dataclass
class Action:
    """`what`: set, external, clear, begin, end, update or priority. `broken`: why a set has to be refused."""

    what: str
    now: datetime
    evse: int = 0
    payload: Json = field(default_factory=dict)
    broken: str | None = None


@dataclass
class Scene:
    """`now`: after the last action, when the questions are asked."""

    version: str
    actions: list[Action]
    now: datetime
    offline_since: datetime | None
    volts: float


class Maker:
    """Makes one scene. Times lie on few values, so that edges meet."""

    def __init__(self, version: str, rng: random.Random) -> None:
        self.version, self.rng = version, rng
        self.now = rng.choice(DAYS) + timedelta(seconds=rng.choice((0, 0, 1, 59, 3600, rng.randrange(86_400))))
        self.charging: dict[int, str] = {}
        self.dynamic: list[int] = []

    def scene(self) -> Scene:
        rng = self.rng
        actions = [self._begin(1)] if rng.random() < 0.9 else []
        for _ in range(rng.randrange(2, 8)):
            self.now += timedelta(seconds=rng.choice((0, 1, 7.25, 60, 600)))
            actions.append(self._action())
        self.now += timedelta(seconds=rng.choice((0, 0.5, 1, 30)))
        offline = self.now - timedelta(seconds=rng.choice((0, 10, 600))) if rng.random() < 0.3 else None
        return Scene(self.version, actions, self.now, offline, rng.choice((230.0, 230.0, 233.7, 120)))

    def _action(self) -> Action:
        rng, draw = self.rng, self.rng.random()
        if draw < 0.06:
            return self._clear()
        if draw < 0.1 and self.charging:
            evse = rng.choice(list(self.charging))
            del self.charging[evse]
            return Action("end", self.now, evse)
        if draw < 0.14 and 2 not in self.charging:
            return self._begin(2)
        if draw < 0.2 and self.version != "1.6":
            raw = self._profile(Purpose.EXTERNAL)
            raw["stackLevel"] = rng.randrange(1, 5)  # one each, so that no two of a level meet
            raw["id"] = -raw["stackLevel"]
            for schedule in raw["chargingSchedule"]:
                for period in schedule["chargingSchedulePeriod"]:
                    period.pop("phaseToUse", None)
            return Action("external", self.now, rng.randrange(EVSES + 1), {"evseId": 0, "chargingProfile": raw})
        if draw < 0.27 and self.version == "2.1":
            if self.dynamic and rng.random() < 0.5:
                update = {"limit": self._limit("A")}
                return Action(
                    "update",
                    self.now,
                    payload={"chargingProfileId": rng.choice(self.dynamic), "scheduleUpdate": update},
                )
            return Action("priority", self.now, 1, {"activate": rng.random() < 0.9})
        return self._set()

    def _begin(self, evse: int) -> Action:
        self.charging[evse] = str(self.rng.randrange(1, 10**6))
        began = self.now - timedelta(seconds=self.rng.choice((0, 3, 600, 3600.125)))
        return Action("begin", began, evse, {"transactionId": self.charging[evse]})

    def _clear(self) -> Action:
        rng = self.rng
        found: Json = {}
        if rng.random() < 0.4:
            found["id"] = rng.randrange(1, 30)
        for name, value in (
            ("evse", rng.randrange(EVSES + 1)),
            ("purpose", rng.choice(_PURPOSES[self.version])),
            ("level", rng.randrange(5)),
        ):
            if rng.random() < 0.5:
                found[name] = value
        return Action("clear", self.now, payload=found)

    def _set(self) -> Action:
        rng = self.rng
        purpose = rng.choice(_PURPOSES[self.version])
        evse = 0 if purpose is Purpose.STATION_MAX else rng.randrange(1 if purpose is Purpose.TX else 0, EVSES + 1)
        raw = self._profile(purpose)
        broken = None
        if purpose is Purpose.TX:
            if evse in self.charging and (self.version != "1.6" or rng.random() < 0.7):
                number = self.charging[evse]
                raw["transactionId"] = int(number) if self.version == "1.6" else number
            broken = None if evse in self.charging else "no transaction"
        if broken is None and rng.random() < 0.12:
            evse, broken = self._break(evse, raw)
        if raw["chargingProfileKind"] == "Dynamic" and broken is None:
            self.dynamic.append(raw["id"])
        return Action("set", self.now, evse, self._wrapped(evse, raw), broken)

    def _wrapped(self, evse: int, raw: Json) -> Json:
        if self.version == "1.6":
            return {"connectorId": evse, "csChargingProfiles": raw}
        return {"evseId": evse, "chargingProfile": raw}

    def _break(self, evse: int, raw: Json) -> tuple[int, str]:
        """Put in a mistake that every version has to refuse."""
        schedule = raw["chargingSchedule"] if self.version == "1.6" else raw["chargingSchedule"][0]
        periods = schedule["chargingSchedulePeriod"]
        if self.rng.random() < 0.2:
            return EVSES + 1, "no such EVSE"
        mistakes: dict[str, Callable[[], Any]] = {
            "level": lambda: raw.update(stackLevel=5),
            "first period": lambda: periods[0].update(startPeriod=1),
            "order": lambda: periods.append(dict(periods[-1])),
            "duration": lambda: schedule.update(duration=0),
            "validity": lambda: raw.update(validFrom="2026-01-02T00:00:00Z", validTo="2026-01-02T00:00:00Z"),
            "phases": lambda: periods[0].update(numberPhases=4),
            "negative": lambda: periods[-1].update(limit=-0.1),
            "purpose": lambda: raw.update(chargingProfilePurpose="ChargingStationExternalConstraints"),
        }
        name = self.rng.choice(list(mistakes))
        mistakes[name]()
        return evse, name

    def _profile(self, purpose: Purpose) -> Json:
        rng, is_old = self.rng, self.version == "1.6"
        kinds = [kind for kind in _KINDS if is_old or kind is not Kind.RELATIVE or purpose is not Purpose.STATION_MAX]
        kind = rng.choice(kinds)
        if self.version == "2.1" and rng.random() < 0.15:
            kind = Kind.DYNAMIC
        name = "ChargePointMaxProfile" if is_old and purpose is Purpose.STATION_MAX else purpose.value
        raw: Json = {"stackLevel": rng.randrange(5), "chargingProfilePurpose": name, "chargingProfileKind": kind.value}
        raw["chargingProfileId" if is_old else "id"] = rng.randrange(1, 30)
        if kind is Kind.RECURRING:
            raw["recurrencyKind"] = rng.choice(("Daily", "Daily", "Weekly"))
        if rng.random() < 0.3:
            raw["validFrom"] = self._time(-7200, 43_200)
        if rng.random() < 0.3:
            raw["validTo"] = self._time(47_000, 200_000)  # rounded down, and still after validFrom
        if self.version == "2.1" and rng.random() < 0.2:
            raw["maxOfflineDuration"] = rng.choice((0, 60, 3600))
        many = 1 if is_old or kind is Kind.DYNAMIC or rng.random() < 0.85 else rng.randrange(2, 4)
        schedules = [self._schedule(purpose, kind, number) for number in range(many)]
        raw["chargingSchedule"] = schedules[0] if is_old else schedules
        return raw

    def _schedule(self, purpose: Purpose, kind: Kind, number: int) -> Json:
        rng = self.rng
        unit = rng.choice("AAW")
        found: Json = {"chargingRateUnit": unit}
        if self.version != "1.6":
            found["id"] = number
        if kind is Kind.RECURRING or (kind is Kind.ABSOLUTE and (self.version != "1.6" or rng.random() < 0.8)):
            days = -86_400 * 20 if kind is Kind.RECURRING and rng.random() < 0.7 else -86_400
            found["startSchedule"] = self._time(days, 7200)
        if rng.random() < 0.5 and purpose is not Purpose.PRIORITY:
            found["duration"] = rng.choice((1, 60, 3600, 7200, 86_400, 90_000, 700_000))
        count = 1 if kind is Kind.DYNAMIC else rng.choice((1, 1, 2, 3, 6))
        starts = [0, *sorted(rng.sample((1, 30, 60, 900, 3600, 5400, 43_200, 86_399, 86_400, 100_000), count - 1))]
        found["chargingSchedulePeriod"] = [self._period(start, unit, purpose) for start in starts]
        return found

    def _period(self, start: int, unit: str, purpose: Purpose) -> Json:
        rng = self.rng
        found: Json = {"startPeriod": start, "limit": self._limit(unit)}
        if rng.random() < 0.4:
            found["numberPhases"] = rng.choice((1, 2, 3))
        if self.version != "1.6" and found.get("numberPhases") == 1 and rng.random() < 0.3:
            found["phaseToUse"] = rng.choice((1, 1, 1, 2))
        if self.version == "2.1":
            if purpose is Purpose.TX and rng.random() < 0.15:
                found["limit_L2"] = self._limit(unit)
                if rng.random() < 0.5:
                    found["limit_L3"] = self._limit(unit)
            elif purpose in (Purpose.TX, Purpose.TX_DEFAULT) and rng.random() < 0.1:
                found["operationMode"] = rng.choice((*MODES, "ChargingOnly"))
                if found["operationMode"] != "ChargingOnly" and rng.random() < 0.5:
                    del found["limit"]
        return found

    def _limit(self, unit: str) -> float:
        amps = self.rng.choice((0, 6, 10, 16, 16.1, 31.9, 32, self.rng.randrange(0, 640) / 10))
        return amps if unit == "A" else self.rng.choice((amps * 230, amps * 690, self.rng.randrange(0, 22_000))) // 1

    def _time(self, least_s: int, most_s: int) -> str:
        """A time around now, in one of the spellings that are met."""
        rng = self.rng
        moment = self.now + timedelta(seconds=rng.randrange(least_s, most_s))
        if rng.random() < 0.6:
            moment = moment.replace(minute=rng.choice((0, 30)), second=0, microsecond=0)
        style = rng.randrange(5)
        if style == 0:
            return moment.astimezone(timezone(timedelta(hours=2))).isoformat()
        if style == 1:
            return moment.replace(tzinfo=None).isoformat()
        text = moment.isoformat().replace("+00:00", "Z")
        return text.lower().replace("t", "T") if style == 2 else text


def make(version: str, seed: int) -> Scene:
    return Maker(version, random.Random(f"{version}/{seed}")).scene()
