"""Sharing: scenarios as data, and what holds for every set of claims."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model.site_tree import Binding, Why
from gateway.smartcharging.allocate import allocate
from gateway.smartcharging.claims import Claim, Imbalance, Planned, Walls

SCENARIOS = sorted((Path(__file__).parent.parent / "scenarios" / "allocator").glob("*.toml"))
PHASES = {"L1": 0, "L2": 1, "L3": 2}


def read(path: Path) -> tuple[list[Claim], Walls, list[dict[str, Any]]]:
    """A scenario: circuits with `limit_a`, cars with their wishes and what they should get."""
    told = tomllib.loads(path.read_text("utf-8"))
    circuits, cars = told["circuit"], told["car"]
    index = {name: position for position, name in enumerate(circuits)}
    capacity: list[float] = []
    why: list[Why] = []
    for name, circuit in circuits.items():
        limits = circuit["limit_a"]
        for phase, limit in enumerate(limits if isinstance(limits, list) else [limits] * 3):
            capacity.append(limit)
            why.append(Why(Binding.CIRCUIT, name, phase + 1))
    imbalances = []
    for name, circuit in circuits.items():
        if "imbalance_a" in circuit:
            first = len(capacity)
            imbalances.append((name, Imbalance((first, first + 1, first + 2), circuit["imbalance_a"])))
            capacity += [circuit["imbalance_a"]] * 3
            why += [Why(Binding.IMBALANCE, name, phase + 1) for phase in range(3)]
    claims = []
    for order, car in enumerate(cars):
        phases = [PHASES[phase] for phase in car.get("phases", ["L1", "L2", "L3"])]
        above, name = [], car.get("circuit", next(iter(circuits)))
        while name:
            above.append(name)
            name = circuits[name].get("parent")

        def rows(on: list[int], above: list[str] = above) -> tuple[tuple[int, float], ...]:
            found = [(3 * index[one] + phase, 1.0) for one in above for phase in on]
            for one, imbalance in imbalances:
                if one in above and len(on) < 3:
                    found += [(imbalance.rows[phase], 1.0) for phase in on]
            return tuple(found)

        claims.append(
            Claim(
                key=car.get("name", order),
                loads=rows(phases),
                min_a=car.get("min_a", 6.0),
                cap_a=car.get("cap_a", 32.0),
                order=(float(order),),
                phases=len(phases),
                base_a=car.get("fallback_a", 0.0),
                lean=rows(phases[:1]) if car.get("switchable") else None,
                weight=car.get("weight", 1.0),
                rank=car.get("rank", 0),
                pinned=car.get("pinned", False),
                step_a=car.get("step_a", 1.0),
                steps=tuple(car["steps"]) if "steps" in car else None,
                soft_a=car.get("draws_a", float("inf")),
                cap_why=Why(Binding(car.get("cap_why", "connector"))),
            )
        )
    walls = Walls(capacity, why, tuple(imbalance for _name, imbalance in imbalances))
    return claims, walls, cars


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    claims, walls, cars = read(path)
    planned = allocate(claims, walls)
    got = [{"gets_a": plan.amps, "on": plan.phases, "why": str(plan.why)} for plan in planned]
    wanted = [
        {"gets_a": car["gets_a"], "on": car.get("on", plan.phases), "why": car.get("why", str(plan.why))}
        for car, plan in zip(cars, planned, strict=True)
    ]
    assert got == wanted


def test_there_are_scenarios() -> None:
    assert len(SCENARIOS) >= 15


@st.composite
def sites(draw: st.DrawFn) -> tuple[list[Claim], list[float]]:
    """Three circuits in two levels, rows with room for nothing up to everything, cars of every kind."""
    capacity = [draw(st.floats(-5, 120)) for _ in range(9)]
    claims = []
    for number in range(draw(st.integers(1, 9))):
        phases = draw(st.sampled_from([(0, 1, 2), (0,), (1,), (2,), (0, 1)]))
        nodes = draw(st.sampled_from([(0,), (1, 0), (2, 0)]))
        low = draw(st.sampled_from([6.0, 8.0, 10.0]))
        claims.append(
            Claim(
                key=number,
                loads=tuple((3 * node + phase, 1.0) for node in nodes for phase in phases),
                min_a=low,
                cap_a=draw(st.floats(0, 40)),
                order=(float(draw(st.integers(0, 5))), float(number)),
                phases=len(phases),
                base_a=draw(st.sampled_from([0.0, 0.0, low])),
                lean=tuple((3 * node + phases[0], 1.0) for node in nodes) if draw(st.booleans()) else None,
                weight=draw(st.floats(0.1, 20)),
                rank=draw(st.integers(0, 2)),
                pinned=draw(st.booleans()),
                step_a=draw(st.sampled_from([1.0, 0.1, 4.0])),
                soft_a=draw(st.sampled_from([7.5, 12.0, float("inf")])),
            )
        )
    return claims, capacity


def share(claims: list[Claim], capacity: list[float]) -> tuple[list[Planned], Walls]:
    walls = Walls(list(capacity), [Why(Binding.CIRCUIT, str(row // 3), row % 3 + 1) for row in range(len(capacity))])
    return allocate(claims, walls), walls


@settings(max_examples=120, deadline=None)
@given(sites())
def test_no_share_takes_a_row_beyond_its_capacity(site: tuple[list[Claim], list[float]]) -> None:
    claims, capacity = site
    planned, _walls = share(claims, capacity)
    used, base = [0.0] * 9, [0.0] * 9
    for claim, plan in zip(claims, planned, strict=True):
        thin = claim.lean is not None and plan.phases == 1 and claim.phases > 1
        loads = claim.lean if thin and claim.lean is not None else claim.loads
        for row, _load in claim.loads:
            base[row] += claim.base_a
            used[row] += claim.base_a
        for row, _load in loads:
            used[row] += max(plan.amps - claim.base_a, 0.0)
        assert plan.amps == 0 or claim.min_a <= plan.amps <= claim.cap_a + 1e-6
    for row in range(9):
        assert used[row] <= max(capacity[row], base[row]) + 1e-5


@settings(max_examples=60, deadline=None)
@given(sites())
def test_nobody_could_have_a_step_more_and_the_row_that_binds_is_full(site: tuple[list[Claim], list[float]]) -> None:
    claims, capacity = site
    planned, walls = share(claims, capacity)
    for claim, plan in zip(claims, planned, strict=True):
        if plan.amps == 0 or plan.why.binding is not Binding.CIRCUIT:
            continue
        row = 3 * int(plan.why.circuit) + plan.why.phase - 1
        assert walls.used[row] + claim.step_a > capacity[row] - 1e-5


@settings(max_examples=50, deadline=None)
@given(sites())
def test_the_same_claims_get_the_same_shares(site: tuple[list[Claim], list[float]]) -> None:
    claims, capacity = site
    assert share(claims, capacity)[0] == share(claims, capacity)[0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.5, 10), min_size=2, max_size=8), st.floats(60, 200))
def test_shares_are_as_the_weights_where_nothing_else_binds(weights: list[float], capacity: float) -> None:
    claims = [
        Claim(i, ((0, 1.0),), 0.001, 1000.0, (float(i),), weight=weight, step_a=0.001)
        for i, weight in enumerate(weights)
    ]
    planned, _walls = share(claims, [capacity])
    whole = sum(weights)
    for weight, plan in zip(weights, planned, strict=True):
        assert plan.amps == pytest.approx(capacity * weight / whole, abs=0.01)


def test_phasor_sums_are_limits_on_magnitudes() -> None:
    """Two line-to-line loads of 120 degrees on one line: 10 A each make 17.3 A, in phase they would make 20 A."""
    across = complex(0.866025, 0.5)
    claims = [
        Claim("ab", ((0, across),), 6.0, 32.0, (0.0,), step_a=0.1),
        Claim("ca", ((0, across.conjugate()),), 6.0, 32.0, (1.0,), step_a=0.1),
    ]
    walls = Walls([17.3206], [Why(Binding.CIRCUIT, "secondary")], is_delta=True)
    assert [plan.amps for plan in allocate(claims, walls)] == [10.0, 10.0]
