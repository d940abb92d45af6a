"""Random scenes for the plant, and what has to hold in each of them at every instant."""

import random
from collections.abc import Mapping

from gateway.model.balance import Background, Write
from gateway.model.site_tree import CircuitNode, ConnectorKey, ConnectorSpec, Mode
from gateway.smartcharging.invariants import Breach, Invariant, breaches, live_sum
from gateway.smartcharging.shape import CUT_RETRY_S
from gateway.smartcharging.survey import View
from tests.smartcharging.rig import Plant, Weather, build, key

ENOUGH_A = 0.01


def scene(seed: int) -> Plant:
    """A site of three circuits with stations of all kinds, and links from fine to terrible."""
    rng = random.Random(seed)
    main = rng.choice([32.0, 40.0, 63.0])
    nodes = [
        CircuitNode(
            id="main",
            limit_a=(main,) * 3,
            metered=rng.random() < 0.8,
            background_a=(rng.choice([0.0, 10.0, 20.0]),) * 3,
        ),
        CircuitNode(id="a", parent="main", limit_a=(rng.choice([20.0, 32.0]),) * 3),
        CircuitNode(id="b", parent="main", limit_a=(32.0, 32.0, 25.0)),
    ]
    specs = [
        ConnectorSpec(
            key=key(number),
            circuit=rng.choice(["main", "a", "b"]),
            phases=rng.choice([(0, 1, 2), (1, 2, 0), (0,), (2,)]),
            lease_s=rng.choice([300.0, 300.0, 0.0]),
            switchable=rng.random() < 0.3,
            rank=rng.randrange(2),
        )
        for number in range(rng.randint(3, 10))
    ]
    plant = build(nodes, specs, seed=seed)
    plant.policy = type(plant.policy)(mode=rng.choice(list(Mode)), quantum_s=300.0)
    for station in plant.stations.values():
        station.appetite = rng.choice([1.0, 1.0, 0.5, 0.0])
    plant.weather = Weather(
        least_s=0.05,
        most_s=rng.choice([0.5, 5.0, 29.0]),
        lost=rng.choice([0.0, 0.2]),
        unanswered=rng.choice([0.0, 0.2]),
        rejected=0.05,
    )
    worst = plant.tree.circuits[0].background_a
    assert worst is not None
    plant.background = {"main": (rng.uniform(0, worst[0]), rng.uniform(0, worst[1]), rng.uniform(0, worst[2]))}
    return plant


def play(plant: Plant, seconds: int, *, cuts: bool = True) -> list[str]:
    """Let cars come and go, and links fail. Return the first things that should not be, empty if there are none."""
    rng, transaction, last = plant.rng, 0, -99
    for second in range(seconds):
        if second - last > 12 and rng.random() < 0.15:
            last = second
            station = rng.choice(list(plant.stations.values()))
            dice = rng.random()
            if dice < 0.55 and station.reachable:
                transaction += 1
                if station.has_ev:
                    plant.unplug(station.spec.key)
                else:
                    plant.plug(station.spec.key, transaction)
            elif dice < 0.8 and cuts:
                station.reachable = not station.reachable
            elif dice > 0.9:
                first, second_, third = plant.background["main"]
                plant.background = {"main": (first * 0.8, second_ * 0.7, third * 0.9)}
        plant.tick()
        if wrong := judge(plant):
            return wrong
    return []


def judge(plant: Plant) -> list[str]:
    """By the true background and the gateway's book: static and exposure always; live, but for what an event (a plug, a
    lost link) takes away: then nothing is raised, and all that can be cut has been told so at once. By the truth of the
    hardware: within the limit whenever live holds, and never beyond what the fuse bears.
    """
    decision = plant.decision
    assert decision is not None
    true = [Background(now, now, worst) for now, worst in zip(plant.others(), plant.tree.worst, strict=True)]
    found = breaches(plant.tree, decision.holds(), true)
    live = [breach for breach in found if breach.invariant is Invariant.LIVE]
    wrong = [f"{plant.now:.0f} s: {breach}" for breach in found if breach.invariant is not Invariant.LIVE]
    wrong += plant.over(1.13)
    if not live:
        wrong += plant.over()
    for breach in live:
        wrong += _not_done(plant, breach, true)
    return wrong


def _not_done(plant: Plant, breach: Breach, true: list[Background]) -> list[str]:
    """What the gateway still could do, or should not have done, about a live breach."""
    decision = plant.decision
    assert decision is not None
    node, phase = plant.tree.index[breach.circuit], breach.phase - 1
    below = [view for view in decision.views if view.key in plant.tree.below[node] and phase in view.phases]
    written = {write.key: write for write in decision.writes}
    flows = {view.key: phase in view.phases[: _phases(view, written)] for view in below}
    wrong = [
        f"{plant.now:.0f} s: {view.key} is raised to {written[view.key].amps:g} A in {breach}"
        for view in below
        if view.key in written and flows[view.key] and written[view.key].amps > max(view.hold_a) + ENOUGH_A
    ]
    told = {view.key: written[view.key].amps if view.key in written else view.set_a for view in below if view.is_claim}
    # One that has just refused to be cut is told again a moment later.
    again = {view.key for view in below if plant.now < view.memory.pace.refused_at + CUT_RETRY_S}
    told |= {
        share.key: min(share.target_a, told[share.key]) for share in decision.shares if share.key in again & set(told)
    }
    fallback = plant.tree.fallback_a
    holds = []
    for view in below:
        hold = view.as_hold()
        if view.is_claim:
            amps = max(told[view.key] if flows[view.key] else 0.0, fallback[view.key])
            hold = hold._replace(load=(amps, amps, amps))
        holds.append(hold)
    still = true[node].now[phase] + live_sum(holds, phase)
    stations_busy = {write.key.station for write in decision.writes}
    could = [
        str(one)
        for one, amps in told.items()
        if flows[one] and amps > fallback[one] + ENOUGH_A and one.station not in stations_busy
    ]
    if still > breach.limit_a + 1e-3 and could:
        wrong.append(f"{plant.now:.0f} s: {breach}; told {still:.1f} A, but {', '.join(could)} could be cut")
    return wrong


def _phases(view: View, written: Mapping[ConnectorKey, Write]) -> int:
    """On how many phases current may flow by what was told last; 3: as the station likes."""
    return written[view.key].phases or 3 if view.key in written else view.set_phases
