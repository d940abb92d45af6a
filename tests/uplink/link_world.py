"""A world of one station whose link to the CSMS is watched."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from gateway.errors import ConnectError
from gateway.model.ids import StationId
from gateway.model.records import RowState
from gateway.ports import LinkState
from gateway.site_options import SiteOptions
from gateway.transport import Socket
from tests.sim import loop
from tests.sim.network import SimSocket
from tests.sim.station import SimStation
from tests.sim.world import World

CP = StationId("CP-1")
GRACE_S = 15.0


class LinkWorld(World):
    """Notes every attempt to connect, and every second socket of a station (the gateway would swallow the refusal)."""

    def __init__(self, folder: Path, seed: int = 1, options: SiteOptions | None = None) -> None:
        super().__init__(folder, seed, options)
        self.attempts: list[tuple[float, str]] = []
        self.twins: list[str] = []
        self.refuses: set[str] = set()
        accept = self.csms.accept

        def watched(station: str, socket: SimSocket) -> None:
            if station in self.csms.connections:
                self.twins.append(f"{station} at {now()}")
            accept(station, socket)

        self.csms.accept = watched  # type: ignore[method-assign]

    async def connect(self, identity: str, subprotocols: Sequence[str], password: bytes | None) -> Socket:
        self.attempts.append((now(), identity))
        if self.refuses.issuperset(subprotocols):
            raise ConnectError("speaks none of them (scripted)", 400)
        return await super().connect(identity, subprotocols, password)

    async def arrive(self, version: str = "1.6") -> SimStation:
        """A station comes, boots, and has a link."""
        station = self.add(CP, version)
        await station.ready()
        await asyncio.sleep(1)
        assert self.link() is not None
        return station

    async def leave(self, station: SimStation) -> None:
        """It goes for good."""
        if station.wire:
            station.wire.socket.cut()
        self._tasks[-1].cancel()
        await asyncio.gather(self._tasks[-1], return_exceptions=True)
        await asyncio.sleep(0)

    def link(self) -> Any:
        """The CSMS's end of the station's link."""
        return self.csms.connections.get(CP)

    def is_up(self) -> bool:
        return self.state() in (LinkState.UP, LinkState.SUSPECT)

    def state(self) -> LinkState:
        assert self.assembly
        return self.assembly.site.uplink.state(CP)

    def queue(self) -> list[RowState]:
        assert self.assembly
        return [row.state for row in self.assembly.site.station(CP).queue.values()]


def now() -> float:
    return asyncio.get_running_loop().time()


def play(folder: Path, script: Callable[[LinkWorld], Awaitable[None]], **named: Any) -> LinkWorld:
    """Play a script, end everything, and see that there never were two sockets and nothing went wrong unsaid."""

    async def main() -> LinkWorld:
        world = LinkWorld(folder, **named)
        await world.start()
        try:
            async with asyncio.timeout(48 * 3600):
                await script(world)
        finally:
            await world.stop()
        return world

    world = loop.run(main(), debug=False)
    assert world.twins == []
    return world


async def until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait until it holds; returns when, to 0.05 s."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)
    return now()


# -- opened and closed ----------------------------------------------------------------------------------------------


async def booked_offline(world: LinkWorld, version: str = "1.6") -> SimStation:
    """A station charges while the CSMS is away, and leaves; its messages are in the outbox."""
    station = await world.arrive(version)
    world.csms.cut()
    await station.session("TAG", values=3, interval_s=30)
    await station.drained()
    assert len(world.queue()) == 5
    await world.leave(station)
    return station
