"""Plays a scene on the gateway's code and on the oracle, and says where they differ."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from gateway.dialects.profiles import PROFILE_CODECS, REPORTING
from gateway.model.ids import TransactionKey
from gateway.model.profile import AskedSchedule, ProfileFilter, Purpose, RateUnit, Refused
from gateway.smartcharging import merge
from gateway.smartcharging import profile_updates as updates
from gateway.smartcharging import profiles as store
from gateway.smartcharging.composite import Composite, Step, composite
from gateway.smartcharging.held import Held, Running, Supply
from tests.smartcharging.oracle import Case, Charging, Installed, Json, Oracle, Question, Verdict, moment
from tests.smartcharging.profile_sets import Action, Scene, limits, make

SECOND = timedelta(seconds=1)
RATING_A = 63.0
_FOREVER = datetime(9999, 1, 1, tzinfo=UTC)


class Difference(AssertionError):
    """What differs, and where."""


class Players:
    """The code and the oracle, side by side."""

    def __init__(self, scene: Scene) -> None:
        self.version = scene.version
        self.codec = PROFILE_CODECS[scene.version]
        self.limits = limits(scene.version)
        self.profiles = store.Profiles()
        self.rows: dict[str, bytes] = {}
        self.external: list[Held] = []
        self.oracle = Oracle(self.limits.by_id)
        self.running: dict[int, Running] = {}
        self.charging: dict[int, Charging] = {}
        self.priority: set[int] = set()
        self.keys = 0
        for action in scene.actions:
            getattr(self, f"_{action.what}")(action)
        self._check_rows()

    @property
    def held(self) -> tuple[Held, ...]:
        return (*self.profiles.held, *self.external)

    def _keep(self, outcome: store.Outcome) -> None:
        for change in outcome.changes:
            if isinstance(change, store.PutProfile):
                self.rows[change.held.key] = store.to_json(change.held)
            elif isinstance(change, store.DropProfile):
                del self.rows[change.key]
        self.profiles = outcome.profiles

    def _check_rows(self) -> None:
        """Changes, written as rows and read again, have to make the same set."""
        rows = {key: store.from_json(row) for key, row in self.rows.items()}
        if rows != {held.key: held for held in self.profiles.held} or len(rows) != len(self.profiles.held):
            raise Difference(f"rows hold {rows}, memory {self.profiles.held}")

    def _set(self, action: Action) -> None:
        asked = self.codec.read_set(json.dumps(action.payload).encode())
        outcome = store.put(self.profiles, asked, self.limits, self.running.get(action.evse), action.now)
        raw = action.payload["csChargingProfiles" if self.version == "1.6" else "chargingProfile"]
        charging = self.charging.get(action.evse) if raw["chargingProfilePurpose"] == "TxProfile" else None
        new = Installed(action.evse, raw, action.now, action.now, charging)
        why = action.broken or self._clash(new)
        refusal = outcome.refusal
        if refusal and refusal.reason is Refused.PHASE_CONFLICT and why is None:
            others = [old for old in self.oracle.installed if _names_phases(old)]
            if not _names_phases(new) or (len(new.schedules) < 2 and not others):
                raise Difference(f"refused for phases that nobody named: {refusal}")
            return
        if (refusal is None) is not (why is None):
            raise Difference(f"the code says {refusal}, expected is {why}: {action.payload}")
        if refusal is None:
            self._keep(outcome)
            self.oracle.replace(new)

    def _clash(self, new: Installed) -> str | None:
        """Why a sound profile can't be taken in beside the others."""
        others = [old for old in self.oracle.installed if old.id >= 0]
        if self.version == "1.6":
            slot = (new.evse, new.purpose, new.level)
            others = [old for old in others if (old.evse, old.purpose, old.level) != slot]
        else:
            others = [old for old in others if old.id != new.id]
            if any(_same_slot(old, new) for old in others):
                return "duplicate"
        return "full" if len(others) >= self.limits.max_profiles else None

    def _external(self, action: Action) -> None:
        """What the gateway itself was told to keep to: not the CSMS's to set or clear."""
        asked = self.codec.read_set(json.dumps(action.payload).encode())
        key = f"external {asked.profile.id}"
        self.external = [one for one in self.external if one.key != key]
        profile = asked.profile
        if profile.updated is None:
            profile = replace(profile, updated=action.now)
        self.external.append(Held(key, action.evse, profile, action.now))
        self.oracle.replace(Installed(action.evse, action.payload["chargingProfile"], action.now, action.now))

    def _clear(self, action: Action) -> None:
        asked = action.payload
        wanted = ProfileFilter(
            ids=(asked["id"],) if "id" in asked else (),
            evse=asked.get("evse"),
            purpose=asked.get("purpose"),
            stack_level=asked.get("level"),
        )
        if self.version != "1.6" and "id" in asked:
            wanted = ProfileFilter(ids=wanted.ids)
        _, payload = self.codec.clear_profiles(wanted)
        outcome = store.clear(self.profiles, self.codec.read_clear(payload))
        criteria = dict(asked)
        if self.version == "1.6" and criteria.get("purpose") is Purpose.STATION_MAX:
            criteria["purpose"] = "ChargePointMaxProfile"
        ours = [old for old in self.oracle.installed if old.id < 0]
        self.oracle.installed = [old for old in self.oracle.installed if old.id >= 0]
        if self.oracle.remove(criteria) is not bool(outcome.changes):
            raise Difference(f"clear {asked}: the code dropped {outcome.changes}")
        self.oracle.installed += ours
        self._keep(outcome)

    def _begin(self, action: Action) -> None:
        self.keys += 1
        wire_id = action.payload["transactionId"]
        self.running[action.evse] = Running(TransactionKey(self.keys), action.now, wire_id)
        self.charging[action.evse] = Charging(wire_id, action.now)

    def _end(self, action: Action) -> None:
        running = self.running.pop(action.evse)
        self._keep(store.ended(self.profiles, running.transaction))
        self.oracle.end(self.charging.pop(action.evse))
        self.priority.discard(action.evse)

    def _update(self, action: Action) -> None:
        asked = REPORTING[self.version].read_update(json.dumps(action.payload).encode())
        outcome = updates.update_dynamic(self.profiles, asked, action.now)
        hit = [one for one in self.oracle.installed if one.id == asked.profile]
        hit = [one for one in hit if one.raw["chargingProfileKind"] == "Dynamic"]
        if bool(hit) is not (outcome.refusal is None):
            raise Difference(f"update {asked}: the code says {outcome.refusal}, known are {hit}")
        for one in hit:
            one.touched = action.now
            one.schedules[0]["chargingSchedulePeriod"][0].update(action.payload["scheduleUpdate"])
        self._keep(outcome)

    def _priority(self, action: Action) -> None:
        is_on = action.payload["activate"]
        outcome, status = updates.use_priority(self.profiles, action.evse, self.running.get(action.evse), is_on)
        has_profile = any(
            old.purpose == "PriorityCharging" and old.evse in (0, action.evse) for old in self.oracle.installed
        )
        expected = "NoProfile" if is_on and not has_profile else "Accepted"
        if status != (expected if action.evse in self.charging else "Rejected"):
            raise Difference(f"priority: the code says {status}")
        if status == "Accepted":
            (self.priority.add if is_on else self.priority.discard)(action.evse)
        self._keep(outcome)


def _same_slot(old: Installed, new: Installed) -> bool:
    if (old.purpose, old.level) != (new.purpose, new.level):
        return False
    if new.purpose == "TxProfile":
        return old.charging is new.charging
    if new.purpose == "TxDefaultProfile" and 0 in (old.evse, new.evse) and old.evse != new.evse:
        return True
    spans = [(one.raw.get("validFrom"), one.raw.get("validTo")) for one in (old, new)]
    (since, until), (start, end) = (
        (moment(a) if a else _FOREVER.replace(year=1), moment(b) if b else _FOREVER) for a, b in spans
    )
    return old.evse == new.evse and since < end and start < until


def _names_phases(one: Installed) -> bool:
    return any("phaseToUse" in period for schedule in one.schedules for period in schedule["chargingSchedulePeriod"])


def check(scene: Scene, rng: random.Random) -> int:
    """Compare both at every edge +-1 s and at 50 random instants, for one EVSE. Returns how many were compared."""
    players = Players(scene)
    return _check_place(players, scene, rng.choice((0, 1, 1, 1, 1, 2, 2)), rng)


def _check_place(players: Players, scene: Scene, evse: int, rng: random.Random) -> int:
    phases = rng.choice((1, 2, 3, 3))
    question = Question(
        evse, scene.now, phases, scene.volts, players.charging.get(evse), evse in players.priority, scene.offline_since
    )
    supply = Supply(phases, scene.volts, scene.volts)
    place = players.profiles.place(evse, supply, players.running.get(evse), scene.offline_since)
    horizon = rng.choice((600, 7200, 86_400, 2 * 86_400))
    found = composite(players.held, place, scene.now, horizon)
    if any(replace(one, at=two.at) == two for one, two in pairwise(found.steps)):
        raise Difference(f"equal neighbours in {found.steps}")
    compared, case = 0, players.oracle.about(question)
    for at in _instants(players.oracle, question, found, rng):
        said, expected = found.at(at), case.says(at)
        if (said.limit_a, said.phases, said.phase_to_use) != _plain(expected):
            raise Difference(f"EVSE {evse} at {at}: the code says {said}, the oracle {expected}")
        compared += 1
    if rng.random() < 0.3:
        _check_told(case, found, supply, rng)
    return compared


def _plain(verdict: Verdict) -> tuple[float | None, int, int | None]:
    amps = None if verdict.amps is None else float(verdict.amps)
    return amps, verdict.phases, verdict.phase_to_use


def _instants(oracle: Oracle, question: Question, found: Composite, rng: random.Random) -> Iterator[datetime]:
    edges = {step.at for step in found.steps} | set(oracle.edges(question))
    edges = {edge for edge in edges if question.asked <= edge < found.end}
    span = (found.end - question.asked) // timedelta(microseconds=1)
    for edge in sorted(edges):
        yield from (at for at in (edge - SECOND, edge, edge + SECOND) if question.asked <= at < found.end)
    for _ in range(50):
        yield question.asked + timedelta(microseconds=rng.randrange(span))


def _check_told(case: Case, found: Composite, supply: Supply, rng: random.Random) -> None:
    """The answer to a GetCompositeSchedule is never above the truth, nor more than 0.1 below its second's lowest."""
    question = case.question
    unit = rng.choice((RateUnit.A, RateUnit.W))
    plan = Composite(
        (Step(question.asked, 40.0, supply.phases), Step(question.asked + 300 * SECOND, 20.0, 3)), found.end
    )
    if found.end <= question.asked + 300 * SECOND:
        raise Difference("the horizon is shorter than the plan")
    told = merge.tell(merge.clip(found, plan), AskedSchedule(question.evse, 10**6, unit), supply, RATING_A)
    for _ in range(3):
        offset = rng.randrange(told.duration_s)
        period = next(one for one in reversed(told.periods) if one.start_s <= offset)
        begin = max(told.start + offset * SECOND, question.asked)
        inside = [begin, *(edge for edge in (step.at for step in found.steps) if begin < edge < begin + SECOND)]
        verdicts = [case.says(min(at, found.end - timedelta(microseconds=1))) for at in inside]
        amps = min(RATING_A, *(RATING_A if one.amps is None else float(one.amps) for one in verdicts))
        amps = min(amps, 40.0 if begin <= question.asked + 299 * SECOND else 20.0)
        volts = 1 if unit is RateUnit.A else supply.high_v * (period.phases or 3)
        if period.limit is None or not amps * volts - 0.1001 <= period.limit <= amps * volts + 1e-6:
            raise Difference(f"told is {period} in {unit} at second {offset}, true are {amps} A")


def run(version: str, seed: int) -> int:
    """One scene. Raises Difference."""
    return check(make(version, seed), random.Random(seed))


def raw_of(scene: Scene) -> list[Json]:
    """For a report: the messages of a scene."""
    return [{"what": one.what, "evse": one.evse, **one.payload, "broken": one.broken} for one in scene.actions]
