"""The life of a station's link to the CSMS, on virtual time: when it opens, what it survives, when it is closed."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import Clock
from gateway.demo.history import Closed
from gateway.errors import ConnectError
from gateway.model.ids import StationId
from gateway.model.records import RowState
from gateway.ports import LinkState
from gateway.rpc.session import Priority, Silence, Unanswered
from gateway.site import Site, SiteOptions
from gateway.transport import Socket
from gateway.uplink.per_station import PerStation, PerStationOptions
from tests.sim import loop
from tests.sim.network import SimSocket
from tests.sim.peer import NoAnswer
from tests.sim.station import SimStation
from tests.sim.world import World

CP = StationId("CP-1")
GRACE_S = 15.0


class _World(World):
    """Notes every attempt to connect, and every second socket of a station (the gateway would swallow the refusal)."""

    def __init__(self, folder: Path, seed: int = 1, options: SiteOptions | None = None) -> None:
        super().__init__(folder, seed, options)
        self.attempts: list[tuple[float, str]] = []
        self.twins: list[str] = []
        self.refuses: set[str] = set()
        accept = self.csms.accept

        def watched(station: str, socket: SimSocket) -> None:
            if station in self.csms.connections:
                self.twins.append(f"{station} at {_now()}")
            accept(station, socket)

        self.csms.accept = watched  # type: ignore[method-assign]

    async def connect(self, identity: str, subprotocols: Sequence[str], password: bytes | None) -> Socket:
        self.attempts.append((_now(), identity))
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


def _now() -> float:
    return asyncio.get_running_loop().time()


def _play(folder: Path, script: Callable[[_World], Awaitable[None]], **named: Any) -> _World:
    """Play a script, end everything, and see that there never were two sockets and nothing went wrong unsaid."""

    async def main() -> _World:
        world = _World(folder, **named)
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


async def _until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait until it holds; returns when, to 0.05 s."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)
    return _now()


# -- opened and closed ----------------------------------------------------------------------------------------------


def test_there_is_no_link_without_a_station(tmp_path: Path) -> None:
    async def script(world: _World) -> None:
        await asyncio.sleep(60)
        assert (world.attempts, world.state()) == ([], LinkState.IDLE)

    _play(tmp_path, script)


def test_a_link_is_opened_when_its_station_is_there_and_stays(tmp_path: Path) -> None:
    async def script(world: _World) -> None:
        await world.arrive()
        opened = world.link()
        assert world.state() is LinkState.UP
        await asyncio.sleep(3600)
        assert world.link() is opened
        assert len(world.attempts) == 1

    _play(tmp_path, script)


def test_a_blip_of_the_station_keeps_the_same_socket(tmp_path: Path) -> None:
    async def script(world: _World) -> None:
        station = await world.arrive()
        opened = world.link()
        for _ in range(10):
            assert station.wire
            station.wire.socket.cut()
            await asyncio.sleep(20)
            assert station.wire is not None
            assert world.link() is opened
        assert len(world.attempts) == 1

    _play(tmp_path, script)


def test_the_link_of_a_station_that_is_gone_is_closed_after_the_grace(tmp_path: Path) -> None:
    async def script(world: _World) -> None:
        station = await world.arrive()
        await world.leave(station)
        gone = _now()
        await asyncio.sleep(GRACE_S - 0.5)
        assert world.link() is not None
        closed = await _until(lambda: world.link() is None, 5)
        assert GRACE_S - 0.1 <= closed - gone <= GRACE_S + 1
        assert world.state() is LinkState.IDLE
        await asyncio.sleep(3600)
        assert len(world.attempts) == 1
        [ending] = [record for record in world.csms.history.records if isinstance(record, Closed)]
        assert not ending.cut

    _play(tmp_path, script)


def test_the_grace_begins_anew_with_each_visit(tmp_path: Path) -> None:
    async def script(world: _World) -> None:
        station = await world.arrive()
        opened = world.link()
        for _ in range(5):
            await world.leave(station)
            await asyncio.sleep(GRACE_S - 3)
            assert world.link() is opened
            station = await world.arrive()
        assert world.link() is opened

    _play(tmp_path, script)


def test_a_station_that_comes_back_later_gets_a_new_link(tmp_path: Path) -> None:
    async def script(world: _World) -> None:
        station = await world.arrive()
        first = world.link()
        await world.leave(station)
        await asyncio.sleep(GRACE_S + 5)
        assert world.link() is None
        await world.arrive()
        assert world.link() is not first

    _play(tmp_path, script)


# -- draining -------------------------------------------------------------------------------------------------------


async def _booked_offline(world: _World) -> SimStation:
    """A station charges while the CSMS is away, and leaves; its messages are in the outbox."""
    station = await world.arrive()
    world.csms.cut()
    await station.session("TAG", values=3, interval_s=30)
    await station.drained()
    assert len(world.queue()) == 5
    await world.leave(station)
    return station


def test_an_outbox_that_is_not_empty_wants_a_link_without_its_station(tmp_path: Path) -> None:
    async def script(world: _World) -> None:
        await _booked_offline(world)
        await asyncio.sleep(600)
        assert world.link() is None
        world.csms.mend()
        await _until(lambda: world.queue() == [], 120)
        drained = _now()
        assert world.link() is not None
        closed = await _until(lambda: world.link() is None, 60)
        assert GRACE_S - 1 <= closed - drained <= GRACE_S + 2
        assert world.state() is LinkState.IDLE

    _play(tmp_path, script)


def test_a_station_that_comes_back_adopts_the_draining_socket(tmp_path: Path) -> None:
    async def script(world: _World) -> None:
        await _booked_offline(world)
        world.csms.delay_s = lambda action: 3.0
        world.csms.mend()
        await _until(lambda: world.link() is not None, 60)
        draining = world.link()
        world.add(CP, "1.6")
        await asyncio.sleep(120)
        assert world.queue() == []
        assert world.link() is draining

    _play(tmp_path, script)


def test_after_a_restart_an_outbox_that_is_not_empty_opens_its_link(tmp_path: Path) -> None:
    async def script(world: _World) -> None:
        await _booked_offline(world)
        await world.crash()
        world.csms.mend()
        await world.start()
        await _until(lambda: world.queue() == [] and world.link() is not None, 120)
        await _until(lambda: world.link() is None, 60)

    _play(tmp_path, script)


def test_at_the_end_every_link_is_closed(tmp_path: Path) -> None:
    async def script(world: _World) -> None:
        await world.arrive()
        link = world.link()
        assert world.assembly
        assert world._running
        world.assembly.stop()
        await world._running
        await asyncio.sleep(5)
        assert link.wire.socket.closed is not None
        assert link.wire.socket.closed.code in (1000, 1001)

    _play(tmp_path, script)


# -- the way to the CSMS falls --------------------------------------------------------------------------------------


def test_attempts_follow_the_backoff(tmp_path: Path) -> None:
    async def script(world: _World) -> None:
        await world.arrive()
        world.csms.cut()
        await asyncio.sleep(600)
        assert world.state() in (LinkState.DOWN, LinkState.CONNECTING)
        times = [at for at, _ in world.attempts]
        gaps = [later - earlier for earlier, later in pairwise(times[1:])]
        for failures, gap in enumerate(gaps[:8], start=1):
            minimum = 2 * 2 ** min(failures - 1, 3)
            assert minimum <= gap <= minimum + 2 + 0.2, (failures, gap)
        world.csms.mend()
        back = await _until(world.is_up, 60)
        await asyncio.sleep(60)
        world.csms.cut()
        await asyncio.sleep(1)
        world.csms.mend()
        again = await _until(world.is_up, 10)
        assert again > back  # one success, and the back-off began anew

    _play(tmp_path, script)


def test_a_link_that_falls_is_opened_again_and_never_twice(tmp_path: Path) -> None:
    """Every kind of end, at any moment, on both sides: `_play` sees to the twins."""
    source = random.Random(5)

    async def script(world: _World) -> None:
        station = await world.arrive()
        for _ in range(150):
            await asyncio.sleep(source.expovariate(1 / 8))
            match source.randrange(5):
                case 0 if world.link():
                    world.link().wire.socket.cut()
                case 1 if world.link():
                    await world.link().wire.socket.close(1001, "going away")
                case 2 if station.wire:
                    station.wire.socket.cut()
                case 3:
                    world.csms.cut()
                    await asyncio.sleep(source.expovariate(1 / 20))
                    world.csms.mend()
                case 4 if world.link():
                    world.link().wire.socket.is_black_hole = True
                    await station.authorize("TAG")
        world.csms.mend()
        await asyncio.sleep(120)
        assert world.is_up()
        assert await station.authorize("TAG") == "Accepted"

    _play(tmp_path, script)


def test_a_call_without_a_link_is_not_connected(tmp_path: Path) -> None:
    async def script(world: _World) -> None:
        assert world.assembly
        heard: list[Any] = []
        outcome = await world.assembly.site.uplink.call(
            StationId("nobody"), "m", "Heartbeat", b"{}", priority=Priority.STATUS, on_done=heard.append
        )
        assert outcome == Unanswered(Silence.NOT_CONNECTED, was_sent=False)
        assert heard == [outcome]

    _play(tmp_path, script)


# -- commands in the grace ------------------------------------------------------------------------------------------


def test_a_command_in_the_grace_waits_ten_seconds_and_is_rejected(tmp_path: Path) -> None:
    async def script(world: _World) -> None:
        station = await world.arrive()
        await world.leave(station)
        await asyncio.sleep(1)
        began = _now()
        assert await world.csms.call(CP, "Reset", {"type": "Soft"}) == {"status": "Rejected"}
        assert 9.9 <= _now() - began <= 10.5
        assert station.commands == []

    _play(tmp_path, script)


def test_where_there_is_no_status_it_is_an_error(tmp_path: Path) -> None:
    async def script(world: _World) -> None:
        station = await world.arrive()
        await world.leave(station)
        began = _now()
        with pytest.raises(NoAnswer, match="GenericError"):
            await world.csms.call(CP, "SomeVendorsOwn", {})
        assert 9.9 <= _now() - began <= 10.5

    _play(tmp_path, script)


def test_a_command_in_a_blip_reaches_the_station_that_comes_back(tmp_path: Path) -> None:
    async def script(world: _World) -> None:
        station = await world.arrive()
        assert station.wire
        station.wire.socket.cut()
        await asyncio.sleep(0.2)
        assert await world.csms.call(CP, "Reset", {"type": "Soft"}) == {"status": "Accepted"}
        assert station.commands == [("Reset", {"type": "Soft"})]

    _play(tmp_path, script)


def test_a_command_while_draining_is_rejected_too(tmp_path: Path) -> None:
    async def script(world: _World) -> None:
        await _booked_offline(world)
        world.csms.delay_s = lambda action: 5.0
        world.csms.mend()
        await _until(lambda: world.link() is not None, 60)
        assert await world.csms.call(CP, "Reset", {"type": "Soft"}) == {"status": "Rejected"}

    _play(tmp_path, script)


def test_no_command_goes_down_after_its_deadline(tmp_path: Path) -> None:
    """With `call_timeout_s` under the 10 s of the grace; the session sends without looking at `send_by`."""

    async def script(world: _World) -> None:
        station = await world.arrive()
        await world.leave(station)
        asking = asyncio.create_task(world.csms.call(CP, "Reset", {"type": "Soft"}))
        await asyncio.sleep(6)
        station = await world.arrive()
        answer = await asking
        assert station.commands == []
        assert answer == {"status": "Rejected"}

    _play(tmp_path, script, options=replace(SiteOptions(), call_timeout_s=5.0))


# -- suspicion ------------------------------------------------------------------------------------------------------


def test_after_one_exhausted_budget_waiting_is_half_a_second_until_anything_comes(tmp_path: Path) -> None:
    async def script(world: _World) -> None:
        station = await world.arrive()

        async def takes() -> float:
            began = _now()
            await station.authorize("TAG")
            return _now() - began

        assert await takes() < 1
        world.csms.script = lambda cp, action, payload: "silent"
        world.csms.delay_s = lambda action: 1e6 if action == "Authorize" else 0.05
        assert 4 <= await takes() < 4.5
        assert world.state() is LinkState.SUSPECT
        assert 0.5 <= await takes() < 1
        assert 0.5 <= await takes() < 1
        await world.csms.call(CP, "Reset", {"type": "Soft"})
        assert world.state() is LinkState.UP
        assert 4 <= await takes() < 4.5

    _play(tmp_path, script)


def test_a_new_link_is_not_suspect(tmp_path: Path) -> None:
    async def script(world: _World) -> None:
        await world.arrive()
        assert world.assembly
        world.assembly.site.uplink.suspect(CP)
        world.assembly.site.uplink.suspect(StationId("nobody"))
        assert world.state() is LinkState.SUSPECT
        world.link().wire.socket.cut()
        await asyncio.sleep(0.2)
        await _until(world.is_up, 60)
        assert world.state() is LinkState.UP

    _play(tmp_path, script)


# -- versions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("versions", "offers", "chosen"),
    [
        ((), [], None),
        ((), ["ocpp9"], None),
        ((), ["ocpp1.6"], "ocpp1.6"),
        ((), ["ocpp9", "ocpp2.0.1"], "ocpp2.0.1"),
        (("1.6",), ["ocpp2.0.1", "ocpp1.6"], "ocpp1.6"),
        (("1.6",), ["ocpp2.0.1"], None),
        (("2.0.1", "1.6"), ["ocpp1.6", "ocpp2.0.1"], "ocpp1.6"),
    ],
)
async def test_the_first_offer_that_is_spoken_upstream_is_chosen(
    tmp_path: Path, versions: tuple[str, ...], offers: list[str], chosen: str | None
) -> None:
    site = Site(SiteOptions(), Clock(), random.Random(1))
    uplink = PerStation(site, PerStationOptions(versions=versions), World(tmp_path, 1))
    assert await uplink.negotiate(CP, offers) == chosen


def test_with_nothing_learned_the_offers_are_tried_upstream(tmp_path: Path) -> None:
    async def script(world: _World) -> None:
        assert world.assembly
        uplink = world.assembly.site.uplink
        assert await uplink.negotiate(CP, ["ocpp2.0.1", "ocpp1.6"]) == "ocpp2.0.1"
        assert _now() < 5
        assert len(world.attempts) == 1
        assert await uplink.negotiate(CP, ["ocpp1.6", "ocpp2.0.1"]) == "ocpp2.0.1"
        assert len(world.attempts) == 1

    _play(tmp_path, script)


def test_a_csms_that_is_away_costs_five_seconds_and_the_first_offer_is_taken(tmp_path: Path) -> None:
    async def script(world: _World) -> None:
        assert world.assembly
        world.csms.cut()
        await asyncio.sleep(1)
        began = _now()
        chosen = await world.assembly.site.uplink.negotiate(CP, ["ocpp1.6", "ocpp2.0.1"])
        assert (chosen, _now() - began <= 5.01) == ("ocpp1.6", True)

    _play(tmp_path, script)


def test_a_station_that_was_upgraded_is_served(tmp_path: Path) -> None:
    """It now speaks 2.0.1 only: the link of the old version goes, not the station."""

    async def script(world: _World) -> None:
        station = await world.arrive("1.6")
        await world.leave(station)
        station = world.add(CP, "2.0.1")
        await asyncio.sleep(900)
        assert world.link() is not None
        assert world.link().wire.socket.subprotocol == "ocpp2.0.1"
        assert station.wire is not None

    _play(tmp_path, script)


def test_messages_of_a_version_the_csms_refuses_are_set_aside_and_the_station_goes_on(tmp_path: Path) -> None:
    async def script(world: _World) -> None:
        await _booked_offline(world)
        world.refuses = {"ocpp1.6"}
        world.csms.mend()
        station = world.add(CP, "2.0.1")
        await _until(world.is_up, 600)
        assert world.link().wire.socket.subprotocol == "ocpp2.0.1"
        assert world.assembly
        parked = world.assembly.site.station(CP).parked
        assert [row.dialect for row in parked.values()] == ["1.6"] * 5
        await station.session("TAG", values=1, interval_s=60)
        await station.drained()
        await asyncio.sleep(60)
        assert world.queue() == []
        assert len(parked) == 5
        assert not any(action == "StartTransaction" for _, action, _ in world.csms.calls)

    _play(tmp_path, script)


def test_messages_of_the_old_version_drain_first_on_a_link_of_their_own(tmp_path: Path) -> None:
    async def script(world: _World) -> None:
        await _booked_offline(world)
        station = world.add(CP, "2.0.1")
        await asyncio.sleep(30)
        world.csms.mend()
        await _until(lambda: world.link() is not None, 120)
        assert world.link().wire.socket.subprotocol == "ocpp1.6"
        await asyncio.sleep(300)
        assert world.queue() == []
        assert world.link().wire.socket.subprotocol == "ocpp2.0.1"
        assert await station.authorize("TAG") == "Accepted"

    _play(tmp_path, script)


def test_passwords_of_stations_come_before_the_common_one() -> None:
    options = PerStationOptions(password=b"common", passwords={"CP-2": b"own"})
    assert [options.password_of(StationId(name)) for name in ("CP-1", "CP-2")] == [b"common", b"own"]
    assert PerStationOptions().password_of(CP) is None


# -- what was refused -----------------------------------------------------------------------------------------------


def test_a_csms_that_was_sick_for_a_while_gets_everything_afterwards(tmp_path: Path) -> None:
    """Ten minutes of CALLERRORs to everything; then the CSMS is well again."""

    async def script(world: _World) -> None:
        station = await world.arrive()
        world.csms.script = lambda cp, action, payload: "refuse"
        await station.session("TAG", values=1, interval_s=60)
        await asyncio.sleep(600)
        world.csms.script = lambda cp, action, payload: "answer"
        async with asyncio.timeout(4 * 3600):
            await world.drained()
        assert world.assembly
        assert world.assembly.site.station(CP).parked == {}

    _play(tmp_path, script)


def test_what_was_set_aside_is_sent_again_on_the_next_link(tmp_path: Path) -> None:
    async def script(world: _World) -> None:
        station = await world.arrive()
        assert world.assembly
        site = world.assembly.site
        world.csms.script = lambda cp, action, payload: "refuse" if "BAD" in str(payload) else "answer"
        await station.session("BAD", values=0, interval_s=1)
        await station.session("GOOD", values=0, interval_s=1)
        await _until(lambda: bool(site.station(CP).parked) and not site.station(CP).queue, 2 * 3600)
        before = len(world.csms.calls)
        world.csms.script = lambda cp, action, payload: "answer"
        world.link().wire.socket.cut()
        await asyncio.sleep(1800)
        again = [action for _, action, payload in world.csms.calls[before:] if "BAD" in str(payload)]
        assert "StartTransaction" in again
        assert site.station(CP).parked == {}

    _play(tmp_path, script)
