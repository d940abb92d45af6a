"""Dynamic profiles whose limits the station is to fetch: the gateway does it, for it holds them."""

import asyncio
import logging
from functools import partial

from gateway.dialects.profiles import REPORTING
from gateway.model.ids import StationId
from gateway.rpc.session import Answered, Outcome
from gateway.site import Site
from gateway.smartcharging import profile_updates

log = logging.getLogger(__name__)

EVERY_S = 1.0
RETRY_S = 30.0
"""After a pull that brought nothing."""
_ACTION = "PullDynamicScheduleUpdate"


async def run(site: Site) -> None:
    """Look every second; ends by cancellation."""
    retry_at: dict[tuple[StationId, int], float] = {}
    while site.balancer.tree is not None:
        await asyncio.sleep(EVERY_S)
        for station in site.balancer.stations:
            try:
                _look(site, station, retry_at)
            except Exception:  # one station's trouble is never another's
                log.exception("%s: its dynamic limits can't be fetched", station)


def _look(site: Site, name: StationId, retry_at: dict[tuple[StationId, int], float]) -> None:
    dialect, station = site.uplink.dialect(name), site.stations.get(name)
    if dialect is None or station is None or _ACTION not in dialect.up or not site.can_ask(station):
        return
    due, _ = profile_updates.due_updates(site.charging.profiles(name), site.clock.now())
    now = site.clock.monotonic()
    for profile in due:
        if now < retry_at.get((name, profile), 0.0):
            continue
        retry_at[name, profile] = now + RETRY_S
        asked = REPORTING[dialect.name].pull_update(profile)
        heard = partial(_heard, site, name, dialect.name, profile)
        site.uplink.post(name, site.request(*asked, heard, send_by=now + RETRY_S))


def _heard(site: Site, name: StationId, version: str, profile: int, outcome: Outcome) -> None:
    payload = outcome.payload if isinstance(outcome, Answered) else None
    update = REPORTING[version].read_pulled(profile, payload)
    if update is None:
        return
    updated = profile_updates.update_dynamic(site.charging.profiles(name), update, site.clock.now())
    if updated.refusal is not None:
        log.warning("%s: a dynamic limit of profile %d is not taken: %s", name, profile, updated.refusal.what)
        return
    site.note(site.charging.changes(name, updated.changes))
    site.balancer.poke()
