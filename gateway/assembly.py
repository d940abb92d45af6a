"""The rooms wired together, without listeners: what production and the simulation have in common."""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from gateway.clock import Clock
from gateway.flows import (
    balance,
    bringup,
    housekeeping,
    install,
    local_list,
    pace,
    prove,
    pull,
    record,
    replay,
    storage,
    tell,
    timing,
    verdict,
)
from gateway.model.ids import StationId
from gateway.model.records import Approval, Change, Put, Record
from gateway.ports import DayPort, UplinkPort
from gateway.site import Site
from gateway.site_options import SiteOptions
from gateway.store.database import Runner
from gateway.store.writer import Reopen, Salvage, Writer
from gateway.uplink.link import Connector

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seams:
    """What is injected: time, randomness (ids, jitter), the database and the way to the CSMS.

    `salvage` and `keeps_reserve` are for a database file on a real disk. `days`: where days are recorded, if they are.
    """

    clock: Clock
    source: random.Random
    runner: Runner
    reopen: Reopen
    connector: Connector
    salvage: Salvage | None = None
    keeps_reserve: bool = False
    days: DayPort | None = None


class Uplink(UplinkPort, Protocol):
    """The way to the CSMS, and the task that keeps it."""

    async def run(self) -> None: ...


MakeUplink = Callable[[Site, Connector], Uplink]


class Assembly:
    """A whole gateway but for its listeners. `load` first, then `run`; `run` ends after `stop`."""

    def __init__(self, options: SiteOptions, make_uplink: MakeUplink, seams: Seams) -> None:
        self.site = Site(options, seams.clock, seams.source)
        self.site.days = seams.days
        self._uplink = make_uplink(self.site, seams.connector)
        self.site.uplink = self._uplink
        self.site.writer = Writer(
            seams.runner, seams.reopen, self._rebuild, seams.salvage, keeps_reserve=seams.keeps_reserve
        )
        self._flows: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    async def load(self, configured: Iterable[StationId]) -> None:
        """Rebuild the site from the store and admit the configured stations. Raises StoreError."""
        site = self.site
        site.load(await site.writer.load())
        timing.begin(site)
        site.after_restart()
        wanted = set(configured)
        for station_id in wanted:
            site.station(station_id)
        records = [station.record for station in site.stations.values()]
        changes = [
            Put(replace(record, approval=Approval.CONFIGURED if record.id in wanted else Approval.UNKNOWN))
            for record in records
            if record.id in wanted or record.approval is Approval.CONFIGURED
        ]
        site.note([Put(site.counter), *changes])
        queued = sum(len(station.queue) for station in site.stations.values())
        log.info("%d stations known, %d messages on their way to the CSMS", len(site.stations), queued)

    def _rebuild(self, records: list[Record], carried: list[Change]) -> None:
        """After a failed commit. A row may be on disk although its commit failed: nobody has been woken for it."""
        self.site.load(records, carried)
        for station in self.site.stations.values():
            station.wake.set()
            self._uplink.wake(station.id)

    async def run(self) -> None:
        """Run the writer and the flows until `stop`; what is appended by then is committed."""
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(self.site.writer.run(), name="writer")
            flows: list[Callable[[], Coroutine[Any, Any, None]]] = [
                lambda: replay.run(self.site),
                lambda: verdict.run(self.site),
                lambda: bringup.run(self.site),
                lambda: balance.run(self.site),
                lambda: install.run(self.site),
                lambda: tell.run(self.site),
                lambda: pull.run(self.site),
                lambda: record.run(self.site),
                lambda: prove.run(self.site),
                lambda: local_list.run(self.site),
                lambda: housekeeping.run(self.site),
                lambda: timing.run(self.site),
                lambda: pace.run(self.site),
                lambda: storage.run(self.site),
                self._uplink.run,
            ]
            self._flows = [group.create_task(flow()) for flow in flows]
            for station in self.site.stations.values():
                self._uplink.wake(station.id)
            await self._stopping.wait()
            for flow in self._flows:
                flow.cancel()
            await asyncio.gather(*self._flows, return_exceptions=True)
            self.site.writer.close()
            await writer

    def stop(self) -> None:
        self._stopping.set()
