"""CPU time of one balancing decision: `python -m bench.allocator [--ticks N] [--json]`. Exit status 1 if over budget.

A tree of four levels, every car charging and wanting more, background that moves every second, one core. CPU time, so
that what else the machine does counts as little as it can.
"""

import gc
import json
import random
import sys
from dataclasses import dataclass
from time import process_time

import click

from gateway.model.balance import Answer, CircuitReading, ConnectorFacts, Need, Outcome, Policy, SiteFacts, Write
from gateway.model.ids import StationId
from gateway.model.site_tree import Amps, CircuitNode, ConnectorKey, ConnectorSpec, Mode
from gateway.smartcharging.decide import State, decide
from gateway.smartcharging.fallback import choose

BUDGET_MS = {54: 3.0, 500: 25.0}
"""p99, at so many connectors, on one core of an x86 machine."""
SEED = 14


@dataclass(frozen=True, slots=True)
class Figures:
    connectors: int
    ticks: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    writes: int

    @property
    def is_within(self) -> bool:
        return self.p99_ms <= BUDGET_MS.get(self.connectors, float("inf"))


def build(connectors: int) -> tuple[list[CircuitNode], list[ConnectorSpec]]:
    """Main, two halves, rows of about ten, with two cabinets each; 60 % three-phase, the rest rotated over the phases."""
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
    spent: list[float] = []
    writes = 0
    for tick in range(ticks):
        now = 1000.0 + tick
        background = worst * (0.6 + 0.3 * rng.random())
        facts = _facts(tree.connectors, told, needs, outcomes, background, now)
        begun = process_time()
        decision = decide(tree, facts, state, policy, now)
        spent.append((process_time() - begun) * 1000.0)
        state, outcomes = decision.state, []
        for write in decision.writes:
            told[write.key] = write.amps
            outcomes.append(_accepted(write, now))
        writes += len(decision.writes)
    spent.sort()
    return Figures(connectors, ticks, spent[ticks // 2], spent[int(ticks * 0.99)], spent[-1], writes)


def _accepted(write: Write, now: float) -> Outcome:
    return Outcome(write.key, write.sequence, Answer.ACCEPTED, now + 0.3)


def _facts(
    specs: tuple[ConnectorSpec, ...],
    told: dict[ConnectorKey, float],
    needs: dict[ConnectorKey, Need],
    outcomes: list[Outcome],
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
    rise = worst_rise(background)
    return SiteFacts(
        connectors=tuple(connectors), readings={"main": reading}, outcomes=tuple(outcomes), rises={"main": rise}
    )


def worst_rise(background: float) -> Amps:
    return _even(background * 0.3)


@click.command(help=__doc__)
@click.option("--ticks", default=300, show_default=True, help="Decisions per size.")
@click.option("--json", "as_json", is_flag=True, help="Machine output.")
def main(ticks: int, *, as_json: bool) -> None:
    gc.collect()
    found = [measure(connectors, ticks) for connectors in BUDGET_MS]
    for figures in found:
        budget = BUDGET_MS[figures.connectors]
        if as_json:
            row = {"connectors": figures.connectors, "p50_ms": figures.p50_ms, "p99_ms": figures.p99_ms}
            print(json.dumps({**row, "budget_ms": budget, "ok": figures.is_within}))
        else:
            verdict = "ok" if figures.is_within else "OVER BUDGET"
            print(
                f"{figures.connectors:4} connectors, {figures.ticks} decisions, {figures.writes} writes: "
                f"p50 {figures.p50_ms:.2f} ms, p99 {figures.p99_ms:.2f} ms (budget {budget:g}), "
                f"worst {figures.worst_ms:.2f} ms: {verdict}"
            )
    sys.exit(0 if all(figures.is_within for figures in found) else 1)


if __name__ == "__main__":
    main()
