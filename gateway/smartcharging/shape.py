"""From what connectors should have to what is written now: down at once, up slowly, and lower before raise.

A cut that a limit demands goes out whatever else is the case. A raise has to fit beside what everybody may still hold,
so that room that others are to leave is given only once they have left it. Per station there is one write at a time.
"""

from collections.abc import Mapping, Sequence
from math import inf
from typing import NamedTuple

from gateway.model.balance import Policy, Urgency, Write
from gateway.model.ids import StationId
from gateway.model.site_tree import Binding, ConnectorKey, Why
from gateway.smartcharging.book import Sent, is_pending, most_a, slack_s
from gateway.smartcharging.claims import EPSILON_A, Claim, Planned, distance, step_down
from gateway.smartcharging.draws import RAMP_KNOWN_S, RAMP_S
from gateway.smartcharging.pace import RETRY_S
from gateway.smartcharging.reserve import Room
from gateway.smartcharging.survey import Memory, View, new_ceiling

RESTART_STABLE_S = 10.0
"""A car whose turn has come waits for stable room less long than one that would only get more."""
CUT_RETRY_S = 2.0
OVER_A = 1e-3
LOWER_BANDS = 2.0
"""Dead bands that a step down for others' sake has to be worth."""
NUDGE_AFTER_S = (60.0, 120.0)
"""A car that does not draw so long after a pause is sent back to 0 A for a moment: some wake only by the edge."""
RENEW_PART = 2 / 3
"""A lease is renewed after this part of it."""


class Case(NamedTuple):
    """One connector that the allocator decided on. `no_raise`: why nothing may go up now, None if it may."""

    view: View
    claim: Claim
    planned: Planned
    no_raise: Why | None

    @property
    def is_lower(self) -> bool:
        """Less current, or fewer phases, than it was told."""
        if self.planned.amps < self.view.set_a - EPSILON_A:
            return True
        return min(self.planned.amps, self.view.set_a) > 0 and self.planned.phases < self.view.set_phases

    @property
    def is_higher(self) -> bool:
        return self.planned.amps > self.view.set_a + EPSILON_A or (
            self.planned.phases > self.view.set_phases and self.planned.amps > 0
        )

    @property
    def is_first(self) -> bool:
        """Nothing was written yet in this transaction, or in this life of the gateway."""
        return not self.view.memory.book or (self.view.memory.book[-1].sequence == 0 and not self.view.memory.heard)


class Shaped(NamedTuple):
    """`whys`: of every connector that should have more, what it waits for. `again_at`: when to decide again."""

    writes: tuple[Write, ...]
    memories: Mapping[ConnectorKey, Memory]
    whys: Mapping[ConnectorKey, Why]
    again_at: float


class Shaper:
    """One decision's worth of writes. `sequence`: number of the last write ever made."""

    def __init__(self, room: Room, policy: Policy, now: float, sequence: int) -> None:
        self.room, self.policy, self.now, self.sequence = room, policy, now, sequence
        self.rows = len(room.walls.capacity)
        self.held = [0.0] * self.rows
        self.summed = {row for extra in room.extras for row in (extra.power, extra.cap)}
        self.has_caps = any(extra.cap >= 0 or extra.cap_phases is not None for extra in room.extras)
        self.planned_only = {row for extra in room.extras for row in extra.imbalance or ()}
        self.writes: list[Write] = []
        self.busy: set[StationId] = set()
        self.memories: dict[ConnectorKey, Memory] = {}
        self.whys: dict[ConnectorKey, Why] = {}
        self.again_at = inf

    def shape(self, cases: Sequence[Case]) -> Shaped:
        told = [0.0] * self.rows
        for case in cases:
            view = case.view
            self._hold(view, self.held, view.hold_a, _sent(view))
            as_told = (view.set_a,) * view.set_phases
            self._hold(view, told, tuple(max(amps, view.fallback_a) for amps in as_told), as_told)
        over = {row for row, size in enumerate(told) if size > self.room.walls.capacity[row] + OVER_A}
        over -= self.planned_only
        lower = [(self._is_demanded(case, over), case) for case in cases if case.is_lower]
        for demanded, case in sorted(lower, key=lambda one: not one[0]):
            self._lower(case, demanded=demanded)
        for case in sorted((case for case in cases if not case.is_lower), key=_raise_order):
            if case.is_higher:
                self._raise(case)
            else:
                self._keep(case)
        return Shaped(tuple(self.writes), self.memories, self.whys, self.again_at)

    def _hold(self, view: View, rows: list[float], own_a: Sequence[float], capped_a: Sequence[float]) -> None:
        """Add to the rows: `own_a` where the fallback counts in any case, `capped_a` where only what was sent does."""
        self._add(view, rows, own_a, 0)
        if self.has_caps:
            self._add(view, rows, capped_a, 1)

    def _add(self, view: View, rows: list[float], own_a: Sequence[float], which: int) -> None:
        amps = own_a[0]
        if len(own_a) == len(view.phases) and all(other == amps for other in own_a):
            for row, load in self.room.loads(view.spec.circuit, view.phases, proven=view.proven)[which]:
                rows[row] += load * amps
            return
        for phase, amps in zip(view.phases, own_a, strict=False):
            for row, load in self.room.loads(view.spec.circuit, (phase,), proven=view.proven)[which]:
                rows[row] += load * amps

    def _is_demanded(self, case: Case, over: set[int]) -> bool:
        """A limit wants the cut: the connector's own, or one that what was told to all exceeds."""
        view = case.view
        if view.set_a > case.claim.cap_a + EPSILON_A or case.planned.phases <= view.facts.phase_cap < view.set_phases:
            return True
        loads, caps = self.room.loads(view.spec.circuit, view.phases, proven=view.proven)
        return any(row in over for row, _load in (*loads, *caps))

    def _lower(self, case: Case, *, demanded: bool) -> None:
        view, policy, now = case.view, self.policy, self.now
        pace = view.memory.pace
        amps, phases = min(case.planned.amps, view.set_a), case.planned.phases
        if amps > 0:
            phases = min(phases, view.set_phases)  # on phases that it does not have yet, any current is a raise
        if demanded or case.is_first:
            retry_at = pace.refused_at + (CUT_RETRY_S if demanded else RETRY_S)
            if now < retry_at:
                return self._stay(case, retry_at)
            return self._write(case, amps, phases, Urgency.CUT if demanded else Urgency.FIRST)
        if is_pending(view.memory.book):
            return self._stay(case, inf)
        if self._renewal_due(case) or amps == 0:
            return self._write(case, amps, phases, Urgency.LOWER)
        if view.set_a - amps < LOWER_BANDS * policy.dead_band_a and case.planned.phases == view.set_phases:
            return self._stay(case, inf)
        soonest = max(pace.wrote_at + policy.raise_gap_s, pace.next_token(now, policy.writes_per_h))
        if now < soonest:
            return self._stay(case, soonest)
        return self._write(case, amps, phases, Urgency.LOWER)

    def _stay(self, case: Case, until: float) -> None:
        self.memories[case.view.key] = case.view.memory
        self._wait(until)
        self._wait(self._renew_at(case))

    def _raise(self, case: Case) -> None:
        """Give as much of the raise as fits now, if its time has come; otherwise say what it waits for."""
        view = case.view
        why, soonest = self._obstacle(case)
        amps = 0.0
        if why is None:
            amps, row = self._fitting(case)
            gain = amps - view.set_a
            enough = min(self.policy.dead_band_a, case.planned.amps - view.set_a)
            if amps < case.claim.min_a - EPSILON_A or (
                gain < enough - EPSILON_A and not (case.planned.phases > view.set_phases and gain > -EPSILON_A)
            ):
                at = self.room.walls.why[row] if row >= 0 else Why(Binding.LOWER_FIRST)
                why = Why(Binding.LOWER_FIRST, at.circuit, at.phase)
        if why is not None:
            self.whys[view.key] = why
            self._wait(soonest)
            return self._keep(case, room=why.binding in (Binding.SETTLING, Binding.LOWER_FIRST, Binding.WRITES))
        return self._write(case, amps, case.planned.phases, Urgency.FIRST if case.is_first else Urgency.RAISE)

    def _obstacle(self, case: Case) -> tuple[Why | None, float]:
        """What keeps a raise back whatever room there is, and when that may be over."""
        memory, policy, now = case.view.memory, self.policy, self.now
        pace = memory.pace
        if case.no_raise is not None:
            return case.no_raise, inf
        if is_pending(memory.book):
            return Why(Binding.PENDING), inf
        if now < pace.refused_at + RETRY_S:
            return Why(Binding.PENDING, until=pace.refused_at + RETRY_S), pace.refused_at + RETRY_S
        if case.is_first:
            return None, inf
        stable_s = RESTART_STABLE_S if case.view.set_a == 0 else policy.stable_s
        since = now if pace.room_since is None else pace.room_since
        soonest = max(since + stable_s, pace.raised_at + policy.raise_gap_s)
        if case.view.facts.measured_at < pace.raised_at + RAMP_S:  # else one ramp after another hides other loads
            soonest = max(soonest, pace.raised_at + RAMP_KNOWN_S)
        if now < soonest:
            return Why(Binding.SETTLING, until=soonest), soonest
        token_at = pace.next_token(now, policy.writes_per_h)
        if now < token_at and not self._renewal_due(case):
            return Why(Binding.WRITES, until=token_at), token_at
        return None, inf

    def _fitting(self, case: Case) -> tuple[float, int]:
        """The highest set-point up to the plan that fits beside all that may be held, and the row that stops it."""
        view, phases = case.view, case.planned.phases
        best, stop = case.planned.amps, -1
        if view.memory.pace.room_since is not None and not case.is_first:
            best = min(best, view.memory.pace.room_a)
        sent = _sent(view)
        for own in range(phases):
            loads, caps = self.room.loads(view.spec.circuit, view.phases[own : own + 1], proven=view.proven)
            for rows, held in ((loads, view.hold_a[own]), (caps, sent[own])):
                for row, load in rows:
                    share = load * (phases if row in self.summed else 1)
                    most = held + max(0.0, distance(self.held[row], share, self.room.walls.capacity[row]))
                    if most < best and row not in self.planned_only:
                        best, stop = most, row
        return step_down(case.claim, best), stop

    def _keep(self, case: Case, *, room: bool = False) -> None:
        """No change: renew the lease if it is due, send again what was not answered, and watch the room there is."""
        view = case.view
        memory = view.memory
        pace = memory.pace.with_room(case.planned.amps, self.now) if room else memory.pace.without_room()
        if pace is not memory.pace:
            memory = memory._replace(pace=pace)
        if memory.nudges and view.set_a == 0 and case.planned.amps == 0:
            memory = memory._replace(nudges=0)
        self.memories[view.key] = memory
        if self._nudge_due(view):
            woken = view._replace(memory=memory._replace(nudges=memory.nudges + 1))
            return self._write(case._replace(view=woken), 0.0, view.set_phases, Urgency.WAKE)
        due = self._renew_at(case)
        if self.now < due:
            return self._wait(due)
        return self._write(case._replace(view=view._replace(memory=memory)), view.set_a, view.set_phases, Urgency.RENEW)

    def _nudge_due(self, view: View) -> bool:
        """A car that drew before the pause, was offered current again, and has not begun to draw."""
        memory, now = view.memory, self.now
        resumed, drew = memory.resumed_at, memory.seen.drew_at
        if resumed is None or drew is None or drew > resumed or memory.nudges >= len(NUDGE_AFTER_S):
            return False
        if view.set_a <= 0 or is_pending(memory.book) or not view.spec.pausable or not view.facts.wants:
            return False
        due = resumed + NUDGE_AFTER_S[memory.nudges]
        if now < due:
            self._wait(due)
            return False
        is_fresh = view.facts.measured_a is not None and view.facts.measured_at >= memory.pace.raised_at
        return is_fresh and now >= memory.pace.next_token(now, self.policy.writes_per_h)

    def _renewal_due(self, case: Case) -> bool:
        return self.now >= self._renew_at(case)

    def _renew_at(self, case: Case) -> float:
        book = case.view.memory.book
        if not book:
            return inf
        newest = book[-1]
        if newest.sequence == 0 and not case.view.memory.heard:
            return case.view.memory.pace.refused_at + RETRY_S
        if newest.given_up:
            return max(newest.at + RETRY_S, case.view.memory.pace.refused_at + RETRY_S)
        if newest.ends is None or newest.accepted is None:
            return inf
        return newest.at + case.view.spec.lease_s * RENEW_PART

    def _wait(self, until: float) -> None:
        if until > self.now:
            self.again_at = min(self.again_at, until)

    def _write(self, case: Case, amps: float, phases: int, urgency: Urgency) -> None:
        view, now = case.view, self.now
        if view.key.station in self.busy:
            self.again_at = now
            self.whys.setdefault(view.key, Why(Binding.PENDING))
            self.memories.setdefault(view.key, view.memory)
            return
        self.busy.add(view.key.station)
        self.sequence += 1
        memory, spec = view.memory, view.spec
        is_up = amps > view.set_a + EPSILON_A or phases > view.set_phases
        if amps == 0 and urgency not in (Urgency.WAKE, Urgency.RENEW):
            memory = memory._replace(nudges=0)
        ends = now + spec.lease_s + slack_s(spec.latency_s) if view.proven else None
        sent = Sent(self.sequence, amps, phases if phases < len(view.phases) else len(spec.phases), now, ends)
        gains = [
            tuple(max(amps - held, 0.0) if own < phases else 0.0 for own, held in enumerate(before))
            for before in (view.hold_a, _sent(view))
        ]
        self._hold(view, self.held, *gains)
        self.memories[view.key] = memory._replace(
            book=(*memory.book, sent),
            pace=memory.pace.wrote(now, self.policy.writes_per_h, raised=is_up),
            resumed_at=now if view.set_a == 0 and amps > 0 and not memory.nudges else memory.resumed_at,
            switched_at=now if amps > 0 and phases != view.set_phases else memory.switched_at,
        )
        names_phases = 1 if phases < len(view.phases) else 0
        self.writes.append(
            Write(
                key=view.key,
                sequence=self.sequence,
                amps=amps,
                phases=names_phases,
                lease_s=spec.lease_s if view.proven else 0.0,
                fallback_a=view.fallback_a,
                urgency=urgency,
                why=case.planned.why,
                ceiling_a=new_ceiling(view, amps),
                at=now,
            )
        )


def _raise_order(case: Case) -> tuple[float, float, ConnectorKey]:
    """First writes of transactions, then the starts of turns, then those that have least."""
    return (0.0 if case.is_first else 1.0, case.view.set_a, case.view.key)


def _sent(view: View) -> tuple[float, ...]:
    """Per own phase, the most that was sent and may hold; without any write the fallback."""
    book = view.memory.book
    if not book:
        return (view.fallback_a,) * len(view.phases)
    return tuple(most_a(book, own) for own in range(len(view.phases)))
