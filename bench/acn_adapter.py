"""Puts gateway.smartcharging where acn_probe.py takes an allocator: `--allocator bench/acn_adapter.py:allocate`.

The judge's sites may be delta networks, so its limits come as phasor sums, which the walls take as they are.
"""

import sys
from math import inf
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from gateway.model.balance import Policy
from gateway.model.ids import StationId
from gateway.model.site_tree import Binding, ConnectorKey, Why
from gateway.smartcharging.allocate import allocate as share
from gateway.smartcharging.claims import Claim, Walls
from gateway.smartcharging.needs import believed_h, lacking, urgency_of, weight_of
from gateway.smartcharging.turns import Received, Turn, accrued, moved, order_of

QUANTUM_S = Policy().quantum_s
ONE_PHASE_V = 300.0
"""The judge tells a car on three phases by its voltage."""
NEARLY_FULL = 0.2
"""A car that wants less than this part of its minimum for one step is let go."""


class Site:
    """What is carried from one step of the judge to the next: whose turn it is, what cars were seen to draw."""

    def __init__(self) -> None:
        self.turns: dict[ConnectorKey, Turn] = {}
        self.seen: dict[ConnectorKey, float] = {}
        self.before_s = 0.0

    def allocate(self, state: Any) -> dict[str, float]:
        """`state` is the judge's SiteState; return amperes per connector id."""
        now = state.now_h * 3600.0
        if now < self.before_s:
            self.turns, self.seen = {}, {}  # another run of the judge
        cars = {ConnectorKey(StationId(car.session), 1): car for car in state.connectors}
        self.turns = {
            key: self.turns.get(key) or Turn(is_in=False, since=now - car.waited_h * 3600.0)
            for key, car in cars.items()
        }
        drawn = [Received(key, car.last_measured, 1.0) for key, car in cars.items()]
        self.turns = accrued(self.turns, drawn, now - self.before_s)
        self.before_s = now
        is_delta = bool(state.coeff.imag.any())
        claims = [self._claim(key, car, state.coeff[:, i], state, now) for i, (key, car) in enumerate(cars.items())]
        why = [Why(Binding.CIRCUIT, name) for name, _limit in state.limits]
        planned = share(claims, Walls([limit for _name, limit in state.limits], why, is_delta=is_delta))
        for key, plan in zip(cars, planned, strict=True):
            self.turns[key] = moved(self.turns[key], plan.amps > 0, now)
        return {car.id: plan.amps for car, plan in zip(state.connectors, planned, strict=True)}

    def _claim(self, key: ConnectorKey, car: Any, column: Any, state: Any, now: float) -> Claim:
        loads = column if column.imag.any() else column.real
        requested_ah = car.requested_kwh * 1000.0 / car.voltage
        wanted, least = car.remaining_ah / state.period_h, car.steps[0]
        phases = 3 if car.voltage > ONE_PHASE_V else 1
        turn = self.turns[key]
        waits_h = 0.0 if turn.is_in else (now - turn.since) / 3600.0
        stays_h = believed_h(car.left_h, car.waited_h)
        urgency = urgency_of(car.remaining_ah, requested_ah, stays_h, phases, waits_h)
        if 1.0 < car.last_measured < car.last_set - 1.5:
            self.seen[key] = car.last_measured + 1.0
        return Claim(
            key=key,
            loads=tuple((row, load) for row, load in enumerate(loads.tolist()) if abs(load) > 1e-9),
            min_a=least,
            cap_a=max(min(car.steps[-1], wanted), least) if wanted > least * NEARLY_FULL else 0.0,
            order=order_of(turn, now=now, rank=0, is_pinned=False, quantum_s=QUANTUM_S, urgency=urgency),
            weight=weight_of(car.remaining_ah, car.left_h, lacking(car.remaining_ah, requested_ah)),
            steps=car.steps,
            soft_a=self.seen.get(key, inf),
        )


allocate = Site().allocate
"""One site a process: the judge calls this step by step."""
