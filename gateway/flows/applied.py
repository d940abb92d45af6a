"""What is applied of what the CSMS allows, in its own terms: the truth about now, and the bounds of later."""

from collections.abc import Iterator
from datetime import timedelta

from gateway.flows import site_facts
from gateway.model.balance import Share
from gateway.model.ids import StationId
from gateway.model.profile import AskedSchedule, CompositeSchedule
from gateway.model.site_tree import Binding, ConnectorKey, Why
from gateway.site import Site
from gateway.smartcharging import merge
from gateway.smartcharging.composite import LONGEST_S, Composite, Step, composite
from gateway.smartcharging.held import Held, Place, Supply

TOLD_S = 300
"""How far ahead the gateway's own limit is told to the CSMS."""
NOT_OURS = frozenset((Binding.CONNECTOR, Binding.CAR, Binding.CSMS, Binding.SATISFIED, Binding.NO_TRANSACTION))
"""What keeps current from a car without the gateway's doing."""


def share_of(site: Site, key: ConnectorKey) -> Share | None:
    shares = site.balancer.decision.shares if site.balancer.decision else ()
    return next((share for share in shares if share.key == key), None)


def limited(site: Site, key: ConnectorKey) -> tuple[float, Why] | None:
    """The current to which the gateway limits a transaction, and why; None if it does not."""
    share = share_of(site, key)
    if share is None or site_facts.running_at(site, key) is None or share.why.binding in NOT_OURS:
        return None
    return share.set_a, share.why


def most_a(site: Site, key: ConnectorKey) -> float:
    """What it could have at the very most, by its rating and the fuses above it."""
    tree = site.balancer.tree
    assert tree is not None
    spec = tree.specs[key]
    return min(spec.max_a, *(tree.limit(row) for row in tree.rows(spec.circuit, spec.phases)))


def composite_of(site: Site, key: ConnectorKey, duration_s: int) -> Composite:
    """For as long as the lease lasts what was written; later what the CSMS allows, below the fuses."""
    tree = site.balancer.tree
    assert tree is not None
    spec, now, transaction = tree.specs[key], site.clock.now(), site_facts.running_at(site, key)
    length = min(max(duration_s, 1), LONGEST_S)
    end, most, phases = now + timedelta(seconds=length), most_a(site, key), len(spec.phases)
    steps = [Step(now, most, phases)]
    share = share_of(site, key)
    if transaction is not None and share is not None and site_facts.is_managed(site, key):
        steps = [Step(now, share.set_a, min(share.phases, phases) or phases)]
        if length > TOLD_S:
            steps.append(Step(now + timedelta(seconds=TOLD_S), most, phases))
    allowed = site_facts.allowed_by_csms(site, key, transaction, length)
    return merge.clip(allowed, Composite(tuple(steps), max(end, now + timedelta(seconds=1))))


def tell(site: Site, station: StationId, asked: AskedSchedule) -> CompositeSchedule | None:
    """The answer to a GetCompositeSchedule; EVSE 0 is all of them together. None if there is no such EVSE."""
    balancer = site.balancer
    assert balancer.plan is not None
    assert balancer.tree is not None
    volts = balancer.plan.policy.voltage_v
    keys = [key for key in balancer.plan.keys_of(station) if asked.evse in (0, key.evse)]
    if not keys:
        return None
    if asked.evse:
        supply = Supply(len(balancer.tree.specs[keys[0]].phases), volts, volts)
        return merge.tell(composite_of(site, keys[0], asked.duration_s), asked, supply, most_a(site, keys[0]))
    supply = Supply(3, volts, volts)
    parts = [composite_of(site, key, asked.duration_s) for key in keys]
    return merge.tell(merge.together(parts, supply), asked, supply, sum(most_a(site, key) for key in keys))


def tell_whole(site: Site, whole: StationId, asked: AskedSchedule) -> CompositeSchedule | None:
    """The same of the site as one station: all connectors together, under the limit the CSMS set for the site."""
    balancer, now = site.balancer, site.clock.now()
    if balancer.plan is None or balancer.tree is None:
        return None
    volts = balancer.plan.policy.voltage_v
    supply = Supply(3, volts, volts)
    keys = [spec.key for spec in balancer.plan.connectors]
    parts = [composite_of(site, key, asked.duration_s) for key in keys]
    if not parts:
        return None
    held = site_facts.held_of(site, whole)
    length = min(max(asked.duration_s, 1), LONGEST_S)
    limit = composite(held, Place(0, supply), now, length) if held else None
    all_of_it = merge.together(parts, supply)
    allowed = all_of_it if limit is None else merge.clip(limit, all_of_it)
    return merge.tell(allowed, asked, supply, sum(most_a(site, key) for key in keys))


def as_external(site: Site, station: StationId) -> Iterator[Held]:
    """The gateway's limits as the external constraints that the CSMS may ask for."""
    plan = site.balancer.plan
    for key in plan.keys_of(station) if plan else ():
        if limited(site, key) is not None:
            told = tell(site, station, AskedSchedule(key.evse, TOLD_S))
            if told is not None:
                yield merge.external(key.evse, told, site.clock.now())
