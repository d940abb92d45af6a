"""What an operator does to the queue, on virtual time: retry, drop, and what may not be done."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.demo.history import Arrival
from gateway.errors import RefusedError
from gateway.flows import inbound, operator
from gateway.model.ids import StationId
from gateway.model.reasons import AuditKind, ParkReason
from gateway.site import Site
from gateway.station import Station
from gateway.web import queue_view
from gateway.web.queue_view import Chosen
from tests.sim import loop
from tests.sim.station import SimStation
from tests.sim.world import World

Scene = Callable[[World, SimStation], Awaitable[None]]


def play(tmp_path: Path, scene: Scene, version: str = "1.6") -> World:
    """A scene with one station, cut off from the CSMS."""

    async def main() -> World:
        world = World(tmp_path, seed=7)
        await world.start()
        async with asyncio.timeout(86_400):
            station = world.add("CP-0", version)
            await station.ready()
            await asyncio.sleep(1)
            world.csms.cut()
            await scene(world, station)
            await world.stop()
        return world

    return loop.run(main(), debug=False)


def site_of(world: World) -> Site:
    assert world.assembly
    return world.assembly.site


def state(world: World) -> Station:
    return site_of(world).station(StationId("CP-0"))


def actions(world: World) -> list[str]:
    return [record.action for record in world.csms.history.records if isinstance(record, Arrival)]


def test_a_dropped_start_takes_its_transaction_along_and_what_follows_is_not_sent_on_its_own(tmp_path: Path) -> None:
    async def scene(world: World, station: SimStation) -> None:
        running = asyncio.create_task(station.session("TAG", 4, 600))
        await asyncio.sleep(1500)
        rows = list(state(world).queue.values())
        assert [row.action for row in rows] == ["StartTransaction", "MeterValues", "MeterValues"]
        dropped = await operator.drop(site_of(world), [rows[0].id])
        assert dropped == rows
        assert state(world).queue == {}
        kept = [entry for entry in site_of(world).upkeep.audit if entry.kind is AuditKind.DROPPED]
        assert [json.loads(entry.detail or b"")["payload"] for entry in kept] == [row.payload.decode() for row in rows]
        await running
        await station.drained()
        assert {row.parked for row in state(world).parked.values()} == {ParkReason.START_DROPPED}
        world.csms.mend()
        await asyncio.sleep(60)
        assert actions(world) == []
        assert len(state(world).parked) == 3
        assert await operator.retry(site_of(world), list(state(world).parked.values())) == 3
        await world.drained()
        assert actions(world) == ["MeterValues", "MeterValues", "StopTransaction"]

    play(tmp_path, scene)


def test_one_message_is_dropped_alone_and_the_trail_outlives_a_restart(tmp_path: Path) -> None:
    async def scene(world: World, station: SimStation) -> None:
        await station.session("TAG", 3, 10)
        await station.drained()
        value = next(row for row in state(world).queue.values() if row.action == "MeterValues")
        await operator.drop(site_of(world), [value.id])
        await world.crash()
        await world.start()
        [entry] = site_of(world).upkeep.audit
        assert (entry.station, entry.text) == ("CP-0", f"an operator dropped MeterValues (message {value.id})")
        assert entry.detail
        assert json.loads(entry.detail)["message_id"] == value.message_id
        world.csms.mend()
        await world.drained()
        assert actions(world) == ["StartTransaction", "MeterValues", "MeterValues", "StopTransaction"]

    play(tmp_path, scene)


def test_what_is_not_there_or_is_under_way_is_refused_and_then_nothing_is_dropped(tmp_path: Path) -> None:
    async def scene(world: World, station: SimStation) -> None:
        await station.session("TAG", 3, 10)
        await station.drained()
        first, second, *_ = state(world).queue
        with pytest.raises(RefusedError, match="no message 999"):
            await operator.drop(site_of(world), [second, 999])
        world.csms.delay_s = lambda action: 5.0
        world.csms.mend()
        while state(world).in_flight is None:
            await asyncio.sleep(0.1)
        with pytest.raises(RefusedError, match="under way"):
            await operator.drop(site_of(world), [second, first])
        assert not site_of(world).upkeep.audit
        await world.drained()
        assert len(actions(world)) == 5

    world = play(tmp_path, scene)
    assert world.verdict().findings == []


def test_more_than_the_trail_holds_can_t_be_dropped_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator, "MOST_AT_ONCE", 4)

    async def scene(world: World, station: SimStation) -> None:
        await station.session("TAG", 3, 10)
        await station.drained()
        with pytest.raises(RefusedError, match="5 messages; at most 4"):
            await operator.drop(site_of(world), [next(iter(state(world).queue))])
        assert len(state(world).queue) == 5

    play(tmp_path, scene)


def test_an_operator_s_retry_does_not_wait_for_the_interval(tmp_path: Path) -> None:
    async def scene(world: World, station: SimStation) -> None:
        world.csms.script = lambda _, action, payload: "refuse" if action == "StartTransaction" else "answer"
        world.csms.mend()
        while not world.csms.connections:
            await asyncio.sleep(0.1)
        await station.session("TAG", 0, 1)
        while not state(world).retry_at:
            await asyncio.sleep(0.1)
        world.csms.script = lambda *asked: "answer"
        head = next(iter(state(world).queue.values()))
        assert queue_view.queue(site_of(world), Chosen())["stations"][0]["waits_s"] > 50
        await operator.retry(site_of(world), [head])
        await asyncio.sleep(2)
        assert actions(world) == ["StartTransaction", "StartTransaction", "StopTransaction"]
        assert [entry.kind for entry in site_of(world).upkeep.audit] == [AuditKind.RETRIED]
        await world.drained()

    play(tmp_path, scene)


def test_the_trail_keeps_its_newest_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upkeep.AUDIT_KEPT", 5)

    async def scene(world: World, station: SimStation) -> None:
        site = site_of(world)
        for number in range(8):
            await site.commit(site.upkeep.entry(site.clock.now(), AuditKind.THINNED, str(number)))
        await site.commit(
            site.upkeep.entries(site.clock.now(), AuditKind.THINNED, [(None, text, None) for text in "abc"])
        )
        expected = ["6", "7", "a", "b", "c"]
        assert [entry.text for entry in site.upkeep.audit] == expected
        await world.crash()
        await world.start()
        assert [entry.text for entry in site_of(world).upkeep.audit] == expected
        assert [one["text"] for one in queue_view.audit(site_of(world), 2)] == ["c", "b"]

    play(tmp_path, scene)


def test_a_station_that_makes_up_connectors_does_not_fill_the_memory(tmp_path: Path) -> None:
    async def scene(world: World, station: SimStation) -> None:
        wire = station.wire
        assert wire
        for number in range(1, inbound.MAX_PLACES + 40):
            status = {"connectorId": number, "errorCode": "NoError", "status": "Available"}
            await wire.call(f"s-{number}", "StatusNotification", status)
        kept = state(world)
        assert len(kept.latest) == len(kept.connectors) == inbound.MAX_PLACES
        newest = f"status:{inbound.MAX_PLACES + 39}/1"
        assert newest in kept.latest
        await world.crash()
        await world.start()
        assert len(state(world).latest) == inbound.MAX_PLACES
        assert newest in state(world).latest

    play(tmp_path, scene)
