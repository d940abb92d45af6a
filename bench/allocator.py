"""CPU time of balancing: `python -m bench.allocator [--ticks N] [--json]`. Exit status 1 if over budget.

Of the allocator (reserves, claims, admission, filling, set-points), and of the whole decision around it.
A tree of four levels, every car charging and wanting more, background that moves every second, one core. CPU time, so
that what else the machine does counts as little as it can.
"""

import json
import random
import sys
from dataclasses import dataclass
from time import process_time

import click

from gateway.app import spare_the_collector
from gateway.model.balance import Answer, CircuitReading, ConnectorFacts, Need, Outcome, Policy, SiteFacts, Write
from gateway.model.ids import StationId
from gateway.model.site_tree import Amps, CircuitNode, ConnectorKey, ConnectorSpec, Mode
from gateway.smartcharging.allocate import allocate
from gateway.smartcharging.circuits import SiteTree
from gateway.smartcharging.claims import Walls
from gateway.smartcharging.decide import Decision, State, decide
from gateway.smartcharging.demand import claims_of
from gateway.smartcharging.fallback import choose
from gateway.smartcharging.reserve import room_of

BUDGET_MS = {54: 3.0, 500: 25.0}
"""p99 of the allocator at so many connectors, on one core of an x86 machine."""
DECISION_MS = {54: 10.0, 500: 100.0}
"""The same of the whole decision."""
SEED = 14


@dataclass(frozen=True, slots=True)
class Figures:
    connectors: int
    ticks: int
    allocator_ms: tuple[float, float, float]
    """p50, p99 and worst."""
    decision_ms: tuple[float, float, float]
    writes: int

    @property
    def is_within(self) -> bool:
        return (
            self.allocator_ms[1] <= BUDGET_MS[self.connectors] and self.decision_ms[1] <= DECISION_MS[self.connectors]
        )


def build(connectors: int) -> tuple[list[CircuitNode], list[ConnectorSpec]]:
    """Main, two halves, rows of twenty with two cabinets each; 60 % three-phase, the rest one-phase, all rotated."""
    rng = random.Random(SEED)
    rows = max(2, connectors // 20)
    per_phase = 7.5 * connectors
    nodes = [
        CircuitNode(id="main", limit_a=_even(per_phase), metered=True, background_a=_even(per_phase / 6)),
        *(CircuitNode(id=f"half{i}", limit_a=_even(per_phase * 0.6), parent="main") for i in range(2)),
        *(
            CircuitNode(id=f"row{i}", limit_a=_even(10 * per_phase / connectors + 80), parent=f"half{i % 2}")
            for i in range(rows)
        ),
        *(CircuitNode(id=f"cab{i}", limit_a=_even(125.0), parent=f"row{i // 2}") for i in range(2 * rows)),
    ]
    specs = [
        ConnectorSpec(
            key=ConnectorKey(StationId(f"CP-{i:03}"), 1),
            circuit=f"cab{i % (2 * rows)}",
            phases=rng.choice([(0, 1, 2), (1, 2, 0), (2, 0, 1)]) if rng.random() < 0.6 else (rng.randrange(3),),
        )
        for i in range(connectors)
    ]
    return nodes, specs


def _even(amps: float) -> Amps:
    return (amps, amps, amps)


def measure(connectors: int, ticks: int) -> Figures:
    rng = random.Random(SEED)
    choice = choose(*build(connectors))
    if choice.failures:
        raise click.ClickException(choice.failures[0].text)
    tree, state, policy = choice.tree, State(started=0.0), Policy(mode=Mode.NEED)
    told = {spec.key: tree.fallback_a[spec.key] for spec in tree.connectors}
    needs = {
        key: Need(remaining_ah=rng.uniform(10, 90), requested_ah=90.0, departure=rng.uniform(3e3, 3e4)) for key in told
    }
    worst = tree.worst[0][0]
    outcomes: list[Outcome] = []
    whole: list[float] = []
    core: list[float] = []
    writes = 0
    for tick in range(ticks):
        now = 1000.0 + tick
        background = worst * (0.6 + 0.3 * rng.random())
        facts = _facts(tree.connectors, told, needs, outcomes, background=background, now=now)
        begun = process_time()
        decision = decide(tree, facts, state, policy, now)
        whole.append((process_time() - begun) * 1000.0)
        core.append(_allocate(tree, decision, policy, now))
        state, outcomes = decision.state, []
        for write in decision.writes:
            told[write.key] = write.amps
            outcomes.append(_accepted(write, now))
        writes += len(decision.writes)
    return Figures(connectors, ticks, _quantiles(core), _quantiles(whole), writes)


def _allocate(tree: SiteTree, decision: Decision, policy: Policy, now: float) -> float:
    """The allocator's part of that decision once more, by itself."""
    deciding = [view for view in decision.views if view.is_claim]
    begun = process_time()
    room = room_of(tree, decision.views, decision.backgrounds, (), policy.voltage_v)
    claims = claims_of(deciding, room, policy, now, {})
    allocate(claims, Walls(list(room.walls.capacity), room.walls.why, room.walls.imbalances))
    return (process_time() - begun) * 1000.0


def _quantiles(spent: list[float]) -> tuple[float, float, float]:
    spent = sorted(spent)
    return spent[len(spent) // 2], spent[int(len(spent) * 0.99)], spent[-1]


def _accepted(write: Write, now: float) -> Outcome:
    return Outcome(write.key, write.sequence, Answer.ACCEPTED, now + 0.3)


def _facts(
    specs: tuple[ConnectorSpec, ...],
    told: dict[ConnectorKey, float],
    needs: dict[ConnectorKey, Need],
    outcomes: list[Outcome],
    *,
    background: float,
    now: float,
) -> SiteFacts:
    flow = [background] * 3
    connectors = []
    for spec in specs:
        drawn = [0.0, 0.0, 0.0]
        for phase in spec.phases:
            drawn[phase] = told[spec.key]
            flow[phase] += told[spec.key]
        connectors.append(
            ConnectorFacts(
                key=spec.key,
                has_ev=True,
                transaction=1,
                measured_a=(drawn[0], drawn[1], drawn[2]),
                measured_at=now,
                need=needs[spec.key],
            )
        )
    reading = CircuitReading(current_a=(flow[0], flow[1], flow[2]), at=now)
    return SiteFacts(
        connectors=tuple(connectors),
        readings={"main": reading},
        outcomes=tuple(outcomes),
        rises={"main": _even(background * 0.3)},
    )


@click.command(help=__doc__)
@click.option("--ticks", default=300, show_default=True, help="Decisions per size.")
@click.option("--json", "as_json", is_flag=True, help="Machine output.")
def main(ticks: int, *, as_json: bool) -> None:
    spare_the_collector()  # as the gateway does once it has started
    found = [measure(connectors, ticks) for connectors in BUDGET_MS]
    for figures in found:
        parts = {
            "allocator": (figures.allocator_ms, BUDGET_MS[figures.connectors]),
            "decision": (figures.decision_ms, DECISION_MS[figures.connectors]),
        }
        for name, ((p50, p99, worst), budget) in parts.items():
            if as_json:
                row = {"connectors": figures.connectors, "part": name, "p50_ms": p50, "p99_ms": p99}
                print(json.dumps({**row, "budget_ms": budget, "ok": p99 <= budget}))
                continue
            verdict = "ok" if p99 <= budget else "OVER BUDGET"
            print(
                f"{figures.connectors:4} connectors, {figures.ticks} decisions, {figures.writes} writes, {name:>9}: "
                f"p50 {p50:.2f} ms, p99 {p99:.2f} ms (budget {budget:g}), worst {worst:.2f} ms: {verdict}"
            )
    sys.exit(0 if all(figures.is_within for figures in found) else 1)


if __name__ == "__main__":
    main()
