"""When a station may be asked: once its boot is answered, and a little later; some take an early CALL for an error."""

import asyncio
import contextlib

from gateway.ports import StationPort
from gateway.site import Site
from gateway.station import Station


def open_after(site: Site, station: Station, seconds: float) -> None:
    """From so many seconds on the station may be asked; infinity: not before its boot is answered."""
    site.settle(station, seconds)


def is_open(site: Site, station: Station) -> bool:
    return station.port is not None and site.clock.monotonic() >= station.settled_at


async def reach(site: Site, station: Station, until: float) -> StationPort | None:
    """The station's port as soon as it may be asked; None if it can't be by `until` (monotonic)."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            while not is_open(site, station):
                await _change(site, station)
            return station.port
    return None


async def _change(site: Site, station: Station) -> None:
    """Wait until there may be news of the station."""
    await station.attached.wait()
    pause_s = station.settled_at - site.clock.monotonic()
    if pause_s <= 0:
        return
    station.calls_wake.clear()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(pause_s if pause_s < float("inf") else None):
            await station.calls_wake.wait()
