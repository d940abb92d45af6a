"""Walk 5: a station comes up. For now: after our own restart, ask a station that goes on without a boot how it is."""

import asyncio
import logging

from gateway.rpc.session import Refused, Unanswered
from gateway.site import SETTLE_S, Site
from gateway.station import Station

log = logging.getLogger(__name__)

PACE_S = 0.2


async def run(site: Site) -> None:
    """Take the stations that came, one by one."""
    while True:
        await site.came_wake.wait()
        site.came_wake.clear()
        if not site.came:
            continue
        await asyncio.sleep(SETTLE_S)
        while site.came:
            await asyncio.sleep(PACE_S)
            station = site.stations[site.came.popleft()]
            try:
                await _ask_status(site, station)
            except Exception:  # one station's trouble is never another's
                log.exception("%s: bring-up failed", station.id)


async def _ask_status(site: Site, station: Station) -> None:
    port = station.port
    if port is None or station.has_booted or station.connectors or not station.record.was_accepted:
        return
    action, payload = port.dialect.codec.trigger_status()
    outcome = await port.call(action, payload, send_by=site.clock.monotonic() + SETTLE_S)
    if isinstance(outcome, (Refused, Unanswered)):
        log.info("%s: does not tell its status when asked: %s", station.id, outcome)
