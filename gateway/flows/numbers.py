"""What an operator does to the numbers of a site that is one station: a station is replaced, or leaves for good."""

import logging
from dataclasses import replace

from gateway.core.numbering import Refusal
from gateway.errors import RefusedError
from gateway.model.ids import StationId
from gateway.model.records import Approval, Put
from gateway.site import Site

log = logging.getLogger(__name__)


def is_busy(site: Site, station: StationId) -> bool:
    """Whether something is under way there under its numbers. A session of a charger that is gone is not: it may have
    died in the middle of it, and be replaced for that."""
    known = site.stations.get(station)
    if known is None:
        return False
    return bool(known.queue or known.parked) or (known.port is not None and bool(site.ledger.running(station)))


async def replaced(site: Site, old: StationId, new: StationId) -> list[int]:
    """The station `new` has the numbers of `old` from now on; returns them. Raises RefusedError, StoreError."""
    _check_topic(site)
    changes = site.numbering.replaced(old, new, {one for one in (old, new) if is_busy(site, one)})
    if isinstance(changes, Refusal):
        raise RefusedError(changes.value)
    site.writer.mark_now()  # `is_busy` asks memory: after a crash a row delivered just now would be there again
    await site.commit(changes)
    return _told(site, new, f"{new} takes over the numbers of {old}", [old, new])


async def removed(site: Site, station: StationId) -> list[int]:
    """The station has left for good: it is refused, and its numbers stay behind as Unavailable; returns them.

    Raises RefusedError, StoreError.
    """
    _check_topic(site)
    changes = site.numbering.removed(station)
    known = site.stations.get(station)
    if not changes:
        raise RefusedError(f"{station} has no number in this site")
    if known is not None and known.port is not None:
        raise RefusedError(f"{station} is connected: switch it off first")
    if known is not None and known.record.approval is Approval.CONFIGURED:
        raise RefusedError(f"{station} is in the configuration: take it out there, and start the gateway again")
    if is_busy(site, station):
        raise RefusedError(Refusal.BUSY.value)
    if known is not None:
        changes.append(Put(replace(known.record, approval=Approval.REJECTED, credential=None)))
    site.writer.mark_now()
    await site.commit(changes)
    return _told(site, station, f"{station} has left the site", [station])


def _check_topic(site: Site) -> None:
    if site.one_link() is None:
        raise RefusedError("the stations of this site have no numbers: each has its own link to the CSMS")


def _told(site: Site, station: StationId, what: str, of: list[StationId]) -> list[int]:
    link = site.one_link()
    for one in of:
        if link is not None:
            link.tell(one)
    numbers = [place.number for place in site.numbering.of(station)]
    log.warning("%s: %s", what, ", ".join(map(str, numbers)))
    return numbers
