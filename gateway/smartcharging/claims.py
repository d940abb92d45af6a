"""What the allocator is asked: walls (rows of limits) and claims (connectors that want current).

A load on a row is coefficient x current. Coefficients are real in wye networks, where currents on one phase add up;
complex ones (delta networks) make the row a limit on the magnitude of a phasor sum.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from math import inf, sqrt
from typing import Any, NamedTuple

from gateway.model.site_tree import Binding, Why

EPSILON_A = 1e-6

Load = Any
"""A float, or a complex number in a delta network. (No common type of the two has both an order and a conjugate.)"""
Loads = tuple[tuple[int, Load], ...]
"""Rows that a current loads, each with what 1 A adds to it."""


class Imbalance(NamedTuple):
    """Three rows that hold what is not drawn from all three phases alike; each may exceed the least by `limit_a`."""

    rows: tuple[int, int, int]
    limit_a: float


@dataclass(slots=True)
class Walls:
    """`capacity`: what each row has for the claims. `why`: what to say of a connector it binds. `is_delta`: the loads
    are complex. `used`: what is taken of each row."""

    capacity: list[float]
    why: list[Why]
    imbalances: tuple[Imbalance, ...] = ()
    is_delta: bool = False
    used: list[Load] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.used:
            self.used = [0.0] * len(self.capacity)

    def fits(self, loads: Loads, amps: float) -> bool:
        return self.blocking(loads, amps) < 0

    def blocking(self, loads: Loads, amps: float) -> int:
        """The first row on which `amps` more do not fit, -1 if there is none."""
        used, capacity = self.used, self.capacity
        if not self.is_delta:
            if amps > 0:
                for row, load in loads:
                    if used[row] + load * amps > capacity[row] + EPSILON_A:
                        return row
            return -1
        for row, load in loads:
            after = abs(used[row] + load * amps)
            if after > capacity[row] + EPSILON_A and after > abs(used[row]):
                return row
        return -1

    def add(self, loads: Loads, amps: float) -> None:
        used = self.used
        for row, load in loads:
            used[row] += load * amps

    def room(self, loads: Loads) -> float:
        """Most amperes that fit on all of these rows; negative if one is over its limit."""
        return min((distance(self.used[row], load, self.capacity[row]) for row, load in loads), default=inf)


def distance(used: Load, slope: Load, capacity: float) -> float:
    """How far `used` can go along `slope` until its size is `capacity`; negative if it is beyond."""
    squared = abs(slope) ** 2
    if squared < 1e-18:
        return inf
    if not isinstance(used, complex) and not isinstance(slope, complex):
        return float((capacity - used) / slope)
    along = (used * complex(slope).conjugate()).real
    beyond = abs(used) ** 2 - capacity**2
    under_root = along * along - squared * beyond
    return (-along + sqrt(under_root)) / squared if under_root >= 0 else -inf


class Claim(NamedTuple):
    """One connector that wants current.

    `base_a`: its fallback, which `loads` have to bear whether it is let in or not, so that only what exceeds it counts.
    `caps`: rows on which all its current counts (caps of the grid operator). `lean`, `lean_caps`: the same rows when it
    may use one phase only, None if it can't. `order`: the least goes in first; equal `pinned` ones never leave for a
    swap. `soft_a`: what it has been seen to draw; more is offered only when nobody else needs it.
    """

    key: Hashable
    loads: Loads
    min_a: float
    cap_a: float
    order: tuple[float, ...]
    phases: int = 3
    base_a: float = 0.0
    caps: Loads = ()
    lean: Loads | None = None
    lean_caps: Loads = ()
    weight: float = 1.0
    rank: int = 0
    pinned: bool = False
    step_a: float = 1.0
    steps: tuple[float, ...] | None = None
    soft_a: float = inf
    cap_why: Why = Why(Binding.CONNECTOR)


class Planned(NamedTuple):
    """What a claim gets. `phases`: how many of its phases it may use."""

    amps: float
    phases: int
    why: Why


def step_down(claim: Claim, amps: float) -> float:
    """The highest set-point of the connector that is not above `amps`; 0 if even its first one is."""
    if claim.steps is not None:
        return max((step for step in claim.steps if step <= amps + EPSILON_A), default=0.0)
    return round(int((amps + EPSILON_A) / claim.step_a) * claim.step_a, 6)


def step_up(claim: Claim, amps: float) -> float:
    """The next set-point above `amps`, inf if there is none."""
    if claim.steps is not None:
        return next((step for step in claim.steps if step > amps + EPSILON_A), inf)
    return round((int((amps + EPSILON_A) / claim.step_a) + 1) * claim.step_a, 6)
