"""A station that leaves: the gateway's own profiles are taken out of it."""

import logging
from dataclasses import replace

from gateway.dialects.profiles import PROFILE_CODECS
from gateway.errors import RefusedError
from gateway.flows import grace, site_facts
from gateway.model.profile import ProfileFilter
from gateway.model.records import Put
from gateway.rpc.session import Answered
from gateway.site import Site
from gateway.smartcharging.merge import Slot, own_id
from gateway.station import Station

log = logging.getLogger(__name__)

ASKED_S = 10.0


async def release(site: Site, station: Station) -> list[str]:
    """Take them out; returns what was not there, or did not go. Raises RefusedError, StoreError.

    From then on the station counts at its rating. It gets its fallback again with its next boot, or the gateway's next
    start, if it still is in a circuit then.
    """
    balancer, port = site.balancer, station.port
    keys = balancer.plan.keys_of(station.id) if balancer.plan else ()
    if not keys:
        raise RefusedError(f"{station.id} is in no circuit: nothing in it is the gateway's")
    if port is None or not grace.is_open(site, station):
        raise RefusedError(f"{station.id} is not there")
    if any(site_facts.running_at(site, key) is not None for key in keys):
        raise RefusedError(f"{station.id} charges: without its limits it would draw all it can")
    balancer.verified[station.id] = station.record.boots
    await site.commit([Put(replace(site.charging.connector(key), checked=None)) for key in keys])
    balancer.poke()
    codec, left = PROFILE_CODECS[port.dialect.name], []
    for key in keys:
        for slot in (Slot.LEASE, Slot.FALLBACK):
            cleared = codec.clear_profiles(ProfileFilter(ids=(own_id(slot, key.evse),)))
            outcome = await port.call(*cleared, send_by=site.clock.monotonic() + ASKED_S)
            is_gone = isinstance(outcome, Answered) and codec.is_accepted(outcome.payload)
            if not is_gone and slot is Slot.FALLBACK:
                left.append(f"{key}: its fallback")
    log.warning("%s: released%s", station.id, f", but not {', '.join(left)}" if left else "")
    return left
