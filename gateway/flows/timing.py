"""Time as the walks need it: what time a station is told, and what the CSMS and stations say about time."""

import asyncio
import logging
from datetime import datetime

from gateway.core import timebase
from gateway.core.timebase import WAIT_RETRY_S
from gateway.dialects import quirks
from gateway.dialects.base import Codec
from gateway.model.events import BootAnswer, RegistrationStatus
from gateway.model.records import Change, Put, StationClock
from gateway.site import Site
from gateway.station import Station

log = logging.getLogger(__name__)

LOOK_S = 10.0


def begin(site: Site) -> None:
    """Set the clock, once all that is known is loaded."""
    site.note(site.time.begin())
    site.writer.rider = site.time.riding
    log.info("the time is %s (%s: %s)", site.clock.now(), site.time.base.trust, site.time.base.reason)


async def run(site: Site) -> None:
    """Look at the system's clock, every few seconds of monotonic time."""
    while True:
        await asyncio.sleep(LOOK_S)
        _note(site, site.time.look())


def hear_csms(site: Site, said: str | None) -> None:
    """The CSMS's answer says what time it is."""
    _note(site, site.time.hear_csms(said))


def _note(site: Site, changes: list[Change]) -> None:
    if changes:
        log.warning("the time is now %s (%s: %s)", site.clock.now(), site.time.base.trust, site.time.base.reason)
        site.note(changes)


def time_for(site: Site, station: Station, said: str | None = None) -> datetime:
    """The time to tell a station. `said`: the CSMS's own."""
    moment, changes = site.time.give(station.id, is_charging=bool(site.ledger.running(station.id)), said=said)
    site.note(changes)
    return moment


def fitted(site: Site, station: Station, codec: Codec, payload: bytes) -> bytes:
    """The CSMS's answer to a boot, as it came unless its time would be wrong for this station."""
    said = codec.current_time(payload)
    moment = timebase.read_time(said) if said else None
    told = time_for(site, station, said)
    is_same = moment is not None and abs((told - moment).total_seconds()) <= timebase.STEP_S
    return payload if is_same else codec.with_time(payload, told)


def unless_time_is_unsure(site: Site, answer: BootAnswer) -> BootAnswer:
    """Our own answer to a boot: Accepted has to wait while a better time may come (or must)."""
    if answer.status is RegistrationStatus.ACCEPTED and site.time.waits():
        return BootAnswer(RegistrationStatus.PENDING, WAIT_RETRY_S)
    return answer


def hear_status(site: Site, station: Station, payload: bytes) -> None:
    """A status says when it was; so a wrong clock shows before anything is charged."""
    _hear(site, station, quirks.said_at(payload))


def hear_message(site: Site, station: Station, timestamp: str) -> None:
    """A transaction message says when it was. Its time goes up as it is: it is the legal one."""
    if timestamp:
        _hear(site, station, timebase.read_time(timestamp))


def _hear(site: Site, station: Station, said: datetime | None) -> None:
    changes = site.time.hear_station(station.id, said)
    for change in changes:
        if isinstance(change, Put) and isinstance(change.record, StationClock):
            log.warning("%s: its clock is %+.0f s from the time it was given", station.id, change.record.skew_s)
    site.note(changes)
