"""A whole site on virtual time: scripted stations, the real gateway, a scripted CSMS, one seed."""

import asyncio
import contextlib
import random
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gateway.assembly import Assembly, Seams, Uplink
from gateway.clock import Clock
from gateway.demo.checker import Report, check, read_ledger
from gateway.demo.history import Created, CsmsRecord, Killed, StationRecord
from gateway.dialects import registry
from gateway.downlink import station as downlink
from gateway.errors import ConnectError, StoreError
from gateway.model.ids import StationId
from gateway.model.records import Approval, OutboxRow
from gateway.model.token import OfflineMode
from gateway.ports import DayPort
from gateway.site import Site
from gateway.site_options import SiteOptions
from gateway.transport import Socket
from gateway.uplink.backoff import Backoff
from gateway.uplink.link import Connector
from gateway.uplink.per_station import PerStation, PerStationOptions
from tests.sim.csms import SimCsms
from tests.sim.disk import Moment, SimRunner, Strike, is_sound, torn
from tests.sim.network import SimSocket, Weather, pair
from tests.sim.station import EPOCH, SimStation
from tests.sim.translated import told_again


class World:
    """`start` the gateway, `add` stations, script the CSMS; `crash` and `start` again; `verdict` at the end."""

    def __init__(self, folder: Path, seed: int, options: SiteOptions | None = None) -> None:
        self.random = random.Random(seed)
        self.weather = Weather()
        self.csms = SimCsms(random.Random(self.random.random()))
        self.options = options or SiteOptions(offline=OfflineMode.ALLOW_UNKNOWN)
        self.uplink = PerStationOptions(backoff=Backoff(2, 2, 3))
        self.stations: dict[str, SimStation] = {}
        self.path = folder / "gateway.db"
        self.assembly: Assembly | None = None
        self.runner: SimRunner
        self.commit_delay_s = lambda: 0.005
        self.step_s = 0.0
        """How far the box's own clock is off."""
        self.vouched: str | None = "ntp"
        self.boot = "boot-1"
        self.gets_sick = False
        self.shared_token: str | None = None
        self.days: DayPort | None = None
        self.power_cuts = 0
        """How many hit an operation of the store."""
        self._running: asyncio.Task[None] | None = None
        self._served: set[asyncio.Task[None]] = set()
        self._sockets: list[SimSocket] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._kills: list[CsmsRecord] = []

    # -- the gateway -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        self.runner = SimRunner(self.path, self.commit_delay_s)
        loop = asyncio.get_running_loop()
        seams = Seams(
            clock=Clock(
                lambda: EPOCH.timestamp() + loop.time() + self.step_s, loop.time, lambda: self.vouched, self.boot
            ),
            source=random.Random(self.random.random()),
            runner=self.runner,
            reopen=self._reopen,
            connector=self,
            days=self.days,
        )
        assembly = Assembly(self.options, self.make_uplink, seams)
        await assembly.load([])
        self.assembly = assembly
        self._running = asyncio.create_task(assembly.run(), name="gateway")

    def make_uplink(self, site: Site, connector: Connector) -> Uplink:
        return PerStation(site, self.uplink, connector)

    async def cut_power(self) -> None:
        """Of the box: as `crash`, and its clock is lost too."""
        await self.crash()
        self.boot += "+1"
        self.lose_time()

    def lose_time(self) -> None:
        """The box begins in 1970, and nobody vouches for its clock."""
        self.vouched, self.step_s = None, -EPOCH.timestamp()

    def sync_clock(self) -> None:
        """NTP has come."""
        self.vouched, self.step_s = "ntp", 0.0

    async def _reopen(self) -> SimRunner:
        if self.runner.fails:
            raise sqlite3.OperationalError("still bad (scripted)")
        self.runner = SimRunner(self.path, self.commit_delay_s)
        return self.runner

    async def crash(self) -> None:
        """kill -9: no commit of what is in memory, every socket dies."""
        assert self._running
        self._kills.append(Killed(asyncio.get_running_loop().time()))
        self.assembly = None
        for socket in self._sockets:
            socket.cut()
        self._sockets.clear()
        for task in (self._running, *self._served):
            task.cancel()
        await asyncio.gather(self._running, *self._served, return_exceptions=True)
        await self.runner.close()

    async def die_at(self, moment: Moment, operations: int, within_s: float = 600.0) -> bool:
        """Die at a store operation, so many from now, or after a while anywhere. False: it was anywhere."""
        runner = self.runner
        strike = runner.strike = Strike(moment, operations)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await strike.came.wait()
        await self.crash()
        if runner.synced is not None and runner.written is not None:
            torn(self.random, runner.synced, runner.written).write(self.path)
            self.power_cuts += 1
            assert is_sound(self.path)
        return strike.came.is_set()

    async def stop(self) -> None:
        """An orderly end of everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for station in self.stations.values():
            if station.wire:
                station.wire.socket.cut()
        await asyncio.gather(*self._served)
        if self.assembly and self._running:
            self.assembly.stop()
            await self._running
        self.csms.cut()
        await asyncio.sleep(1)

    # -- connections -----------------------------------------------------------------------------------------------

    async def dial(self, identity: str, subprotocol: str) -> SimSocket | None:
        """A station connects: what the listener does, without its handshake."""
        await asyncio.sleep(self.random.uniform(0.01, 0.1))
        if self.assembly is None:
            return None
        site = self.assembly.site
        station_id = StationId(identity)
        if station_id not in site.stations or site.stations[station_id].record.approval is not Approval.ACCEPTED:
            try:
                async with asyncio.timeout(10):
                    await site.admit(station_id, Approval.ACCEPTED)
            except (TimeoutError, StoreError):
                return None
        chosen = await site.uplink.negotiate(station_id, [subprotocol])
        dialect = registry.by_subprotocol(chosen or "")
        if dialect is None or self.assembly is None or self.assembly.site is not site:
            return None
        there, here = pair(self.random, self.weather, chosen)
        self._sockets.append(here)
        task = asyncio.create_task(downlink.serve(site, site.stations[station_id], here, dialect))
        self._served.add(task)
        task.add_done_callback(self._served.discard)
        return there

    async def connect(self, identity: str, subprotocols: Sequence[str], password: bytes | None) -> Socket:
        """The gateway connects to the CSMS (`uplink.link.Connector`)."""
        await asyncio.sleep(self.random.uniform(0.01, 0.1))
        if not self.csms.is_reachable:
            raise ConnectError("unreachable (scripted)")
        spoken = self.csms.pick(subprotocols)
        if spoken is None:
            raise ConnectError("it speaks none of these (scripted)", 400)
        here, there = pair(self.random, self.weather, spoken)
        self._sockets.append(here)
        self.csms.accept(identity, there)
        return here

    def add(self, identity: str, version: str) -> SimStation:
        station = SimStation(identity, version, self.dial, random.Random(self.random.random()))
        self.stations[identity] = station
        self._tasks.append(asyncio.create_task(station.run(), name=f"station {identity}"))
        return station

    # -- the end ---------------------------------------------------------------------------------------------------

    async def drained(self) -> None:
        """Wait until every station's message is acknowledged and the outbox is empty."""
        for station in self.stations.values():
            await station.drained()
        while self.assembly is None or self.waiting():
            await asyncio.sleep(1)
        await asyncio.sleep(2)

    def waiting(self) -> list[OutboxRow]:
        """What the gateway has not delivered, set aside or not."""
        stations = self.assembly.site.stations.values() if self.assembly else ()
        return [row for s in stations for row in (*s.queue.values(), *s.parked.values())]

    def told_by_stations(self, created: list[Created], findings: list[str]) -> list[CsmsRecord]:
        """What the CSMS has, by the stations' own names and ids; what is wrong goes to `findings`."""
        return list(self.csms.history.records)

    def verdict(self) -> Report:
        """The history checker's report. Call after `stop`."""
        assert self.csms.violations == []
        records: list[StationRecord] = [
            record for station in self.stations.values() for record in station.history.records
        ]
        findings: list[str] = []
        created = [one for one in records if isinstance(one, Created)]
        csms = self.told_by_stations(created, findings)
        if self.csms.versions:
            csms = told_again(created, csms, findings)
        report = check(records, read_ledger(self.path), [*csms, *self._kills])
        report.findings += findings
        return report


def quick(options: SiteOptions) -> SiteOptions:
    """The same with short CALL time-outs, for faults."""
    return replace(options, call_timeout_s=5.0)
