"""The proving drill: a lease that nobody renews. It asks for less than is held, and never for more."""

import asyncio
import logging
from dataclasses import replace

from gateway.errors import RefusedError
from gateway.flows import grace, profile_writes, site_facts
from gateway.model.balance import Answer
from gateway.site import Site
from gateway.smartcharging.drill import CLEAR_A, Drill, Sample, Verdict, judge
from gateway.smartcharging.shape import RENEW_PART
from gateway.smartcharging.survey import View
from gateway.station import Station

log = logging.getLogger(__name__)

LOOK_S = 1.0
LONGEST_WAIT_S = 300.0
"""For the moment to write the lease."""
MARGIN_S = 30.0
"""Before the lease that the balancer believes in would be renewed, the drill is over."""


def start(site: Site, station: Station, evse: int | None, seconds: float) -> Drill:
    """Begin a drill. Raises RefusedError with what is lacking."""
    balancer, plan = site.balancer, site.balancer.plan
    keys = plan.keys_of(station.id) if plan else ()
    if plan is None or not keys:
        raise RefusedError(f"{station.id} is in no circuit: nothing is given to it")
    if not plan.family(station.id).takes_leases:
        raise RefusedError(f"family {plan.family(station.id).name} takes no leases: there is nothing to prove")
    running = [key for key in keys if evse in (None, key.evse) and site_facts.running_at(site, key) is not None]
    if not running:
        raise RefusedError(f"no car charges at {station.id}: the drill needs one")
    key, view = running[0], profile_writes.view_of(site, running[0])
    if any(one.station == station.id and drill.verdict is None for one, drill in balancer.drills.items()):
        raise RefusedError(f"a drill of {station.id} is under way")
    if view is None or not view.facts.managed or not grace.is_open(site, station):
        raise RefusedError(f"{key} is not managed, or not there")
    down_a = view.fallback_a or view.spec.min_a
    if view.proven and down_a > view.fallback_a:  # what it fell to would flow for good, were the gateway gone by then
        raise RefusedError(f"{key} falls to 0 A, and is called proven: take that out of the configuration first")
    drawn = max(view.facts.measured_a) if view.facts.measured_a else None
    if drawn is None:
        raise RefusedError(f"{key} does not tell its current")
    if min(drawn, view.set_a) < down_a + CLEAR_A:
        held = f"it is told {view.set_a:g} A, draws {drawn:g} A, and would fall to {down_a:g} A"
        raise RefusedError(f"{key}: {held}: more current is needed for a fall to be seen")
    transaction = view.facts.transaction
    drill = Drill(key=key, transaction=transaction, value_a=view.set_a, down_a=down_a, lasts_s=seconds,
                  latency_s=view.spec.latency_s, asked=site.clock.monotonic())  # fmt: skip
    balancer.drills[key] = drill
    log.warning("%s: a drill begins: in %g s it has to fall to %g A by itself", key, seconds, down_a)
    balancer.poke()
    return drill


async def run(site: Site) -> None:
    """Look after the drills; ends by cancellation."""
    while site.balancer.plan is not None:
        await asyncio.sleep(LOOK_S)
        for key, drill in list(site.balancer.drills.items()):
            if drill.verdict is not None:
                continue
            try:
                site.balancer.drills[key] = await _step(site, drill)
            except Exception:  # one station's trouble is never another's
                log.exception("%s: its drill failed", key)
                site.balancer.drills[key] = replace(drill, verdict=Verdict.DISTURBED)


async def _step(site: Site, drill: Drill) -> Drill:
    """One look: is it still the same, is its lease written, what does it draw, what does that prove."""
    now, view, station = (
        site.clock.monotonic(),
        profile_writes.view_of(site, drill.key),
        site.stations.get(drill.key.station),
    )
    transaction = site_facts.running_at(site, drill.key)
    if view is None or station is None or station.port is None or transaction is None:
        return await _end(site, drill, Verdict.ENDED)
    if transaction.key != drill.transaction:
        return await _end(site, drill, Verdict.ENDED)
    if drill.at is None:
        return await _begin(site, station, replace(drill, value_a=view.set_a), view, now)
    if _sequence(view) != drill.sequence:
        return await _end(site, drill, Verdict.DISTURBED)
    facts = view.facts
    if facts.measured_a is not None and (not drill.samples or facts.measured_at > drill.samples[-1].at):
        drill = replace(drill, samples=(*drill.samples, Sample(facts.measured_at, max(facts.measured_a))))
    verdict = judge(drill, now)
    return drill if verdict is None else await _end(site, drill, verdict)


async def _begin(site: Site, station: Station, drill: Drill, view: View, now: float) -> Drill:
    """Write the lease, as soon as no other write is under way or due before it is over."""
    newest = view.memory.book[-1] if view.memory.book else None
    if now >= drill.asked + LONGEST_WAIT_S:
        return await _end(site, drill, Verdict.DISTURBED)
    if newest is None or newest.accepted is None:
        return drill
    over = now + drill.lasts_s + drill.latency_s + MARGIN_S
    if newest.ends is not None and over > newest.at + view.spec.lease_s * RENEW_PART:
        return drill
    answer = await profile_writes.lease_once(
        site, station, drill.key, amps=drill.value_a, down_a=drill.down_a, lasts_s=drill.lasts_s
    )
    if answer is not Answer.ACCEPTED:
        return await _end(site, drill, Verdict.REFUSED)
    return replace(drill, at=now, sequence=_sequence(view))


async def _end(site: Site, drill: Drill, verdict: Verdict) -> Drill:
    """What it holds by the balancer's book is written again, unless something newer was."""
    log.warning("%s: the drill is over: %s", drill.key, verdict.value)
    if verdict is Verdict.HELD and site.balancer.plan and site.balancer.plan.is_proven(drill.key.station):
        log.error("%s: the configuration calls it proven, and it is not: take that out", drill.key.station)
    station = site.stations.get(drill.key.station)
    if drill.at is not None and station is not None and verdict not in (Verdict.ENDED, Verdict.DISTURBED):
        await profile_writes.resend(site, station, drill.key, as_default=False)
    site.balancer.poke()
    return replace(drill, verdict=verdict)


def _sequence(view: View) -> int:
    return view.memory.book[-1].sequence if view.memory.book else 0
