"""The invariants of D9 by the plant's truth: what chargers really may let flow, and what the background really does.

Static and exposure have to hold whenever the gateway has decided, and as long as it is dead. Live is what the gateway
believes: so its belief must be no better than the truth, and nothing may go up where live does not hold. While a meter
lies, exposure can't be judged: it turns on the background that the meter shows. All the rest can.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gateway.model.balance import Background, Hold
from gateway.smartcharging.decide import Decision
from gateway.smartcharging.draws import RAMP_KNOWN_S
from gateway.smartcharging.invariants import Invariant, breaches
from tests.smartcharging.plant.chargers import Outlet

if TYPE_CHECKING:
    from tests.smartcharging.plant.world import World

ENOUGH_A = 0.01
LIE_LASTS_S = RAMP_KNOWN_S + 10.0
"""By then what was given because of a lie is taken back: what a car may have begun to draw hides the truth so long."""


def wrong(world: "World", decision: Decision | None) -> Iterator[str]:
    """What should not be, in words. `decision`: the one just made, None while there is no gateway."""
    holds = [_hold(outlet, world.now) for outlet in world.outlets.values()]
    judged = {Invariant.STATIC, Invariant.EXPOSURE}
    if world.lies[0] <= world.now < world.lies[1] + LIE_LASTS_S:
        judged.remove(Invariant.EXPOSURE)
    for breach in breaches(world.tree, holds, list(_backgrounds(world))):
        slack = world.blur_a(breach.circuit)
        if breach.invariant in judged and breach.sum_a > breach.limit_a + slack:
            yield f"{world.now:.2f} s: {breach}"
    if decision is not None:
        yield from _beliefs(world, decision)
        yield from _raises(world, decision)


def _hold(outlet: Outlet, now: float) -> Hold:
    """A deaf station holds all it has, which nobody can know: it is judged by its fallback, and by the breakers."""
    count = len(outlet.spec.phases) if outlet.car is None else min(outlet.car.phases, len(outlet.spec.phases))
    fallback = outlet.on_grid([outlet.fallback_a] * len(outlet.spec.phases))
    load = outlet.on_grid([outlet.fallback_a] * count) if outlet.traits.deaf else outlet.on_grid(outlet.may_hold(now))
    is_proven = outlet.traits.proven and outlet.spec.lease_s > 0
    return Hold(outlet.spec.key, load, fallback, fallback if is_proven else load, has_ev=True, reachable=True)


def _backgrounds(world: "World") -> Iterator[Background]:
    for index, node in enumerate(world.tree.circuits):
        within = world.most_background(node.id, world.exposed_s())
        yield Background(world.background_of(node.id), within, world.tree.worst[index])


def _beliefs(world: "World", decision: Decision) -> Iterator[str]:
    """Of stations not heard since the start nothing is claimed, and nothing is raised."""
    believed = {hold.key: hold.load for hold in decision.holds()}
    unheard = {view.key for view in decision.views if not view.memory.heard and not decision.state.start_over}
    for key, outlet in world.outlets.items():
        if outlet.traits.deaf or outlet.transaction is None or key in unheard:
            continue
        truth = outlet.on_grid(outlet.may_hold(world.now))
        for phase in range(3):
            if truth[phase] > believed[key][phase] + ENOUGH_A:
                yield f"{world.now:.2f} s: {key} may hold {truth[phase]:g} A, but is believed {believed[key][phase]:g}"
                break


def _raises(world: "World", decision: Decision) -> Iterator[str]:
    written = {write.key: write for write in decision.writes}
    raised = {
        view.key: {
            phase
            for phase, held in zip(view.phases[: written[view.key].phases or 3], view.hold_a, strict=False)
            if written[view.key].amps > held + ENOUGH_A
        }
        for view in decision.views
        if view.key in written
    }
    if not any(raised.values()):
        return
    for breach in breaches(world.tree, decision.holds(), decision.backgrounds):
        below = world.tree.below[world.tree.index[breach.circuit]]
        for key, phases in raised.items():
            if breach.invariant is Invariant.LIVE and key in below and breach.phase - 1 in phases:
                yield f"{world.now:.2f} s: {key} is raised to {written[key].amps:g} A in {breach}"
