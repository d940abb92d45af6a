"""What a played scenario shows, and whether it is what was expected."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.smartcharging.plant.scenario import Expect, Scenario
from tests.smartcharging.plant.world import World


@dataclass(frozen=True, slots=True)
class Borne:
    """What the worst phase of a circuit had to bear."""

    circuit: str
    limit_a: float
    worst_a: float
    phase: int
    over_s: float
    longest_s: float
    far_over_s: float
    heat: float
    spared_heat: float
    """Without what no gateway can hold (`World.spared`)."""

    def __str__(self) -> str:
        over = f"over it for {self.over_s:.1f} s, {self.longest_s:.1f} s without a break"
        return (
            f"{self.circuit}: limit {self.limit_a:g} A, worst {self.worst_a:.1f} A on L{self.phase} "
            f"({100 * self.worst_a / self.limit_a:.0f} %), {over if self.over_s else 'never over it'}, "
            f"heat {self.heat:.2f}"
        )


def borne(world: World) -> Iterator[Borne]:
    for index, node in enumerate(world.tree.circuits):
        breakers = world.breakers[3 * index : 3 * index + 3]
        phase = max(range(3), key=lambda phase: breakers[phase].worst_a / breakers[phase].limit_a)
        yield Borne(
            circuit=node.id,
            limit_a=breakers[phase].limit_a,
            worst_a=breakers[phase].worst_a,
            phase=phase + 1,
            over_s=max(breaker.over_s(1.0) for breaker in breakers),
            longest_s=max(breaker.stretch_over_s(1.0) for breaker in breakers),
            far_over_s=max(breaker.stretch_over_s(1.25) for breaker in breakers),
            heat=max(breaker.hottest for breaker in breakers),
            spared_heat=max(breaker.hottest for breaker in world.spared[3 * index : 3 * index + 3] or breakers),
        )


def play(scenario: Scenario) -> list[str]:
    """Play it to its end. Return what was not as expected."""
    scenario.world.run(scenario.seconds)
    return list(_unexpected(scenario.world, scenario.expect))


def _unexpected(world: World, expect: Expect) -> Iterator[str]:
    yield from world.wrong
    for one in borne(world):
        if one.worst_a > expect.worst * one.limit_a + 0.01:
            yield f"{one.circuit}: {one.worst_a:.1f} A is more than {expect.worst:g} x {one.limit_a:g} A"
        for seconds, most, mark in ((one.longest_s, expect.over_s, 1.0), (one.far_over_s, expect.far_over_s, 1.25)):
            if seconds > most:
                yield f"{one.circuit}: {seconds:.1f} s without a break above {mark:g} x its limit, not {most:g}"
        if one.spared_heat > expect.heat:
            yield f"{one.circuit}: heat {one.spared_heat:.2f} is more than {expect.heat:g}"
    used = max(world.flow[:3]) / world.tree.limit(0)
    if used < expect.least_share - 1e-6:  # what cars add to the flow and take from it again leaves a rest
        yield f"{used:.2f} of the first circuit's limit is used at the end, not {expect.least_share:g}"
