"""Keeps the queue within its budget, and says when the disk is bad or full."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from gateway.core import space
from gateway.core.space import Level
from gateway.core.thinning import thin
from gateway.errors import StoreError
from gateway.model.ids import TransactionKey
from gateway.model.reasons import AlarmKind, AuditKind
from gateway.model.records import Change, Drop, OutboxRow, Put
from gateway.site import Site
from gateway.station import Station

log = logging.getLogger(__name__)

INTERVAL_S = 10.0
THIN_AGAIN_S = 600.0
"""A second round while the first one has not helped: what fills the disk may be no message of ours."""
AUDIT_EVERY_S = 3600.0
_BATCH = 500
_ALARMS = {
    Level.LOW: AlarmKind.STORAGE_LOW,
    Level.THIN: AlarmKind.STORAGE_THINNED,
    Level.FULL: AlarmKind.STORAGE_FULL,
}
_MEANS = {
    Level.LOW: "the room for messages is running out",
    Level.THIN: "there is little room left for messages: every second intermediate meter value is dropped",
    Level.FULL: "there is no room left but for begins and ends of transactions: new meter values are not kept",
}


async def run(site: Site) -> None:
    """Look now and every few seconds."""
    keeper = Keeper(site)
    while True:
        try:
            await keeper.check()
        except StoreError as error:
            log.warning("the queue could not be made smaller: %s", error)
        except Exception:  # whatever it is, the messages must go on
            log.exception("looking after the storage failed")
        await asyncio.sleep(INTERVAL_S)


class Keeper:
    """Looks at the level, and acts on it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._level = Level.OK
        self._thinned_at: float | None = None
        self._audited_at = 0.0

    async def check(self) -> None:
        """Raise and clear the alarms of storage; thin the queue if that is due. Raises StoreError."""
        site, upkeep, now = self._site, self._site.upkeep, self._site.clock.now()
        if not site.writer.is_ready:
            bad = "the disk does not take what has to be stored; stations are left unanswered and keep their messages"
            upkeep.raise_alarm(AlarmKind.STORE_BAD, bad, now)
            return
        upkeep.clear_alarm(AlarmKind.STORE_BAD)
        level = self._level = site.level(self._level)
        for known, kind in _ALARMS.items():
            if known is level:
                upkeep.raise_alarm(kind, f"{_MEANS[level]} ({_figures(site)})", now)
            else:
                upkeep.clear_alarm(kind)
        self._audit_not_kept(level)
        if level < Level.THIN:
            self._thinned_at = None
        elif self._thinned_at is None or site.clock.monotonic() >= self._thinned_at + THIN_AGAIN_S:
            self._thinned_at = site.clock.monotonic()
            await thin_all(site, "to save room")

    def _audit_not_kept(self, level: Level) -> None:
        """Once an hour, and when there is room again."""
        site, now = self._site, self._site.clock.monotonic()
        count = site.upkeep.not_kept
        if count and (level < Level.FULL or now >= self._audited_at + AUDIT_EVERY_S):
            self._audited_at, site.upkeep.not_kept = now, 0
            text = f"{count} meter values were not kept, there was no room for them"
            site.note(site.upkeep.entry(site.clock.now(), AuditKind.NOT_KEPT, text))
            log.warning("%s", text)


async def thin_all(site: Site, why: str) -> None:
    """One round over all stations. Raises StoreError."""
    before, dropped = _samples(site), 0
    for station in list(site.stations.values()):
        dropped += await _thin_station(site, station)
    if dropped:
        text = f"{dropped} of {before} queued meter values were dropped {why}, first and last of each kept"
        site.note(site.upkeep.entry(site.clock.now(), AuditKind.THINNED, text))
        log.warning("%s", text)


async def _thin_station(site: Site, station: Station) -> int:
    """Drop what gives way at one station; a row that was released meanwhile stays. Returns how many."""
    busy = station.lazy | station.uncommitted | station.waiting.keys()
    rows = thin(row for row in list(station.queue.values()) if row.id not in busy)
    dropped = 0
    for begin in range(0, len(rows), _BATCH):
        batch = [row for row in rows[begin : begin + _BATCH] if station.queue.get(row.id) is row]
        await site.commit(_dropped(site, batch))
        dropped += len(batch)
    return dropped


def _dropped(site: Site, rows: Sequence[OutboxRow]) -> list[Change]:
    """The rows go; the ledger says of each transaction how many of its values went."""
    counts: dict[TransactionKey, int] = {}
    for row in rows:
        if row.transaction is not None:
            counts[row.transaction] = counts.get(row.transaction, 0) + 1
    own = [site.ledger.transactions[key] for key in counts if key in site.ledger.transactions]
    marked = [Put(replace(one, thinned=one.thinned + counts[one.key])) for one in own]
    return [*map(Drop, rows), *marked]


def _samples(site: Site) -> int:
    return sum(row.samples for station in site.stations.values() for row in station.queue.values())


def _figures(site: Site) -> str:
    rows = sum(len(station.queue) + len(station.parked) for station in site.stations.values())
    limits, found = site.options.limits, site.writer.space
    said = f"{rows} of {limits.queue_rows} messages"
    if found is None:
        return said
    room = space.room(found, limits)
    return f"{said}, {found.used // 2**20} MiB of {limits.budget_bytes // 2**20} MiB, {room // 2**20} MiB left"
