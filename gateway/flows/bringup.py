"""Walk 5: a station comes up. One that goes on without a boot is asked how it is, or for the boot we never heard."""

import asyncio
import logging

from gateway.flows import grace
from gateway.rpc.session import Refused, Unanswered
from gateway.site import Site
from gateway.station import Station

log = logging.getLogger(__name__)

ASKED_S = 5.0
BEHIND_S = 1.0
"""What we want to know goes behind the commands that wait for the station."""

PACE_S = 0.2


async def run(site: Site) -> None:
    """Take the stations that came, one by one."""
    while True:
        await site.came_wake.wait()
        site.came_wake.clear()
        while site.came:
            station = site.stations[site.came.popleft()]
            await asyncio.sleep(max(PACE_S, _grace_s(site, station)))
            try:
                await _ask(site, station)
            except Exception:  # one station's trouble is never another's
                log.exception("%s: bring-up failed", station.id)


def _grace_s(site: Site, station: Station) -> float:
    """Who came later is waited for too; who has booted is not asked at all."""
    return 0.0 if station.has_booted else station.settled_at + BEHIND_S - site.clock.monotonic()


async def _ask(site: Site, station: Station) -> None:
    port = station.port
    if port is None or station.has_booted or not grace.is_open(site, station):
        return
    codec = port.dialect.codec
    if station.record.boot is None:
        action, payload = codec.trigger_boot()
    elif not station.connectors and station.record.was_accepted:
        action, payload = codec.trigger_status()
    else:
        return
    outcome = await port.call(action, payload, send_by=site.clock.monotonic() + ASKED_S)
    if isinstance(outcome, (Refused, Unanswered)):
        log.info("%s: does not say what it is asked for: %s", station.id, outcome)
