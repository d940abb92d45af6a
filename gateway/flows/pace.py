"""Heartbeats at the CSMS's own pace: where it has set one, the gateway keeps it, whatever the station's is."""

import asyncio

from gateway.model.ids import StationId
from gateway.model.settings import Key
from gateway.site import Site


async def run(site: Site) -> None:
    """Make the heartbeats of connected stations due, each at its time; ends by cancellation."""
    due: dict[StationId, tuple[int, float]] = {}
    while True:
        site.columns.changed.clear()
        wake_at = beat(site, due, site.clock.monotonic())
        try:
            async with asyncio.timeout(None if wake_at is None else max(0.0, wake_at - site.clock.monotonic())):
                await site.columns.changed.wait()
        except TimeoutError:
            continue


def beat(site: Site, due: dict[StationId, tuple[int, float]], now: float) -> float | None:
    """Mark what is due; returns when to look again. `due`: interval and next time (monotonic) of each station."""
    for station_id in site.columns.stations():
        interval = site.columns.believed_number(station_id, Key.HEARTBEAT_INTERVAL)
        station = site.stations.get(station_id)
        if not interval or station is None:
            due.pop(station_id, None)
            continue
        known, at = due.get(station_id, (0, now))
        if known != interval:
            at = now + interval
        elif at <= now:
            at = now + interval
            if station.port is not None:
                station.beat_due = True
                station.wake.set()
        due[station_id] = interval, at
    return min((at for _, at in due.values()), default=None)
