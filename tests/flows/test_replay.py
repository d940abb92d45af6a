"""A CSMS that comes back, on virtual time: how fast the backlog goes, what overtakes it, what is set aside, what it
costs the disk."""

import asyncio
import itertools
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.history import Arrival, Created
from gateway.flows import housekeeping
from gateway.model.ids import StationId
from gateway.model.reasons import ParkReason, WaitReason
from gateway.model.records import RowState
from gateway.model.transaction import TransactionState
from gateway.site import Site
from gateway.web import queue_view
from gateway.web.queue_view import Chosen
from tests.sim import loop
from tests.sim.peer import Wire
from tests.sim.station import SimStation
from tests.sim.world import World

Scene = Callable[[World], Awaitable[None]]
DAY_S = 86_400.0


def play(tmp_path: Path, scene: Scene, messages_per_s: float = 50.0) -> World:
    async def main() -> World:
        world = World(tmp_path, seed=5)
        world.options = replace(world.options, messages_per_s=messages_per_s)
        await world.start()
        async with asyncio.timeout(3 * DAY_S):
            await scene(world)
            await world.stop()
        return world

    return loop.run(main(), debug=False)


def site_of(world: World) -> Site:
    assert world.assembly
    return world.assembly.site


def now() -> float:
    return asyncio.get_running_loop().time()


async def ready(world: World, version: str = "1.6", count: int = 1) -> list[SimStation]:
    stations = [world.add(f"CP-{number}", version) for number in range(count)]
    for station in stations:
        await station.ready()
    await asyncio.sleep(1)
    return stations


async def backlog(world: World, stations: list[SimStation], values: int) -> None:
    """One session each during an outage."""
    world.csms.cut()
    await asyncio.gather(*(station.session(f"T-{station.identity}", values, 5) for station in stations))
    await asyncio.gather(*(station.drained() for station in stations))


def arrivals(world: World, since: float) -> list[Arrival]:
    found = (record for record in world.csms.history.records if isinstance(record, Arrival))
    return [record for record in found if record.at >= since]


# -- pace -----------------------------------------------------------------------------------------------------------


def test_a_site_does_not_fall_upon_a_csms_that_has_come_back(tmp_path: Path) -> None:
    times: list[float] = []

    async def scene(world: World) -> None:
        stations = await ready(world, count=12)
        await backlog(world, stations[1:], values=8)
        world.csms.mend()
        await asyncio.sleep(8)
        begun = now()
        await stations[0].session("LIVE", 0, 1)  # has no backlog, so it waits for nobody
        await stations[0].drained()
        assert now() - begun < 2
        await world.drained()
        times.extend(record.at for record in arrivals(world, 0) if record.station != "CP-0")

    world = play(tmp_path, scene, messages_per_s=10)
    assert world.verdict().findings == []
    assert len(times) == 11 * 10
    seconds = Counter(int(moment - times[0]) for moment in times)
    assert max(seconds.values()) <= 15
    assert 9 <= times[-1] - times[0] <= 16


def test_a_backlog_drains_at_ten_a_second_and_statuses_overtake_it(tmp_path: Path) -> None:
    """A CSMS that takes 200 ms for each answer, five stations."""
    waits: list[float] = []
    drained_s = 0.0

    async def scene(world: World) -> None:
        nonlocal drained_s
        world.csms.delay_s = lambda action: 0.2
        stations = await ready(world, count=5)
        await backlog(world, stations, values=60)
        world.csms.mend()
        while not arrivals(world, now() - 0.1):
            await asyncio.sleep(0.1)
        begun = now()
        asking = [asyncio.create_task(ask(station)) for station in stations]
        await world.drained()
        drained_s = max(record.at for record in arrivals(world, begun)) - begun
        for task in asking:
            task.cancel()

    async def ask(station: SimStation) -> None:
        for number in itertools.count():
            wire, begun = station.wire, now()
            assert isinstance(wire, Wire)
            if number % 3:
                status = {"connectorId": 1, "errorCode": "NoError", "status": ("Available", "Preparing")[number % 2]}
                await wire.call(f"s-{number}", "StatusNotification", status)
            else:
                answer = await wire.call(f"a-{number}", "Authorize", {"idTag": f"NEW-{number}"})
                assert answer["idTagInfo"]["status"] == "Accepted"
            waits.append(now() - begun)
            await asyncio.sleep(0.7)

    world = play(tmp_path, scene)
    assert world.verdict().findings == []
    assert 5 * 62 / drained_s >= 10
    print(
        f"{5 * 62 / drained_s:.1f} messages/s, waits p50 {sorted(waits)[len(waits) // 2]:.2f} s, max {max(waits):.2f} s"
    )
    assert len(waits) > 50
    assert sorted(waits)[int(0.99 * len(waits))] < 2.0
    live = [payload for _, action, payload in world.csms.calls if action == "StatusNotification"]
    assert len(live) > 30, "they went to the CSMS and were not answered from here"


# -- set aside ------------------------------------------------------------------------------------------------------


def _refuse(action: str) -> Callable[[str, str, Any], str]:
    return lambda station, asked, payload: "refuse" if (station, asked) == ("CP-0", action) else "answer"


async def _until_set_aside(world: World, count: int) -> None:
    while len(site_of(world).station(StationId("CP-0")).parked) < count:
        await asyncio.sleep(5)


def test_a_refused_start_is_set_aside_with_its_transaction_and_comes_back_in_order(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        first, other = await ready(world, count=2)
        world.csms.script = _refuse("StartTransaction")
        session = asyncio.create_task(first.session("BAD", 60, 20))
        living = asyncio.create_task(_sessions(other, 20))  # the CSMS takes what others say
        await _until_set_aside(world, 8)
        station = site_of(world).station(StationId("CP-0"))
        assert {row.parked for row in station.parked.values()} == {ParkReason.REFUSED, ParkReason.START_REFUSED}
        [own] = site_of(world).ledger.running(station.id)
        assert own.parked
        found = queue_view.queue(site_of(world), Chosen())
        assert found["parked"] == len(station.parked)
        assert found["messages"][0]["reason"] == "refused"
        assert "InternalError" in found["messages"][0]["last_error"]
        assert found["messages"][0]["refusals"] == 3
        world.csms.script = lambda *asked: "answer"
        world.csms.cut()
        world.csms.mend()
        await session
        await living
        await world.drained()
        assert station.parked == {}
        assert not site_of(world).ledger.transactions[own.key].parked

    assert play(tmp_path, scene).verdict().findings == []


async def _sessions(station: SimStation, count: int) -> None:
    for number in range(count):
        await station.session(f"GOOD-{number}", 1, 20)


def test_attempts_and_interval_are_those_the_csms_has_set_at_the_station(tmp_path: Path) -> None:
    times: list[float] = []

    async def scene(world: World) -> None:
        first, other = await ready(world, count=2)
        for key, value in (("TransactionMessageAttempts", "2"), ("TransactionMessageRetryInterval", "7")):
            answer = await world.csms.call("CP-0", "ChangeConfiguration", {"key": key, "value": value})
            assert answer == {"status": "Accepted"}
        world.csms.script = _refuse("StopTransaction")
        begun = now()
        await first.session("BAD", 1, 20)
        await _sessions(other, 3)
        await _until_set_aside(world, 1)
        times.extend(r.at for r in arrivals(world, begun) if (r.station, r.action) == ("CP-0", "StopTransaction"))
        station = site_of(world).station(StationId("CP-0"))
        assert [row.errors for row in station.parked.values()] == [2]

    play(tmp_path, scene)
    assert len(times) == 2
    assert 7 <= times[1] - times[0] < 8


@pytest.mark.parametrize("is_healed", [True, False])
def test_what_is_set_aside_is_tried_again_every_day(tmp_path: Path, is_healed: bool) -> None:
    tried = 0

    async def scene(world: World) -> None:
        nonlocal tried
        first, other = await ready(world, count=2)
        world.csms.script = _refuse("StopTransaction")
        await first.session("BAD", 1, 20)
        await _sessions(other, 12)
        await _until_set_aside(world, 1)
        begun = now()
        if is_healed:
            world.csms.script = lambda *asked: "answer"
        await asyncio.sleep(housekeeping.TRY_AGAIN_S + housekeeping.INTERVAL_S)
        tried = sum(record.station == "CP-0" for record in arrivals(world, begun))
        station = site_of(world).station(StationId("CP-0"))
        assert len(station.parked) == (0 if is_healed else 1)
        assert station.queue == {}

    play(tmp_path, scene)
    assert tried == 1, "one attempt is enough to tell"


# -- what is told of it ---------------------------------------------------------------------------------------------


def test_the_reason_of_the_wait_is_told(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        def why() -> WaitReason:
            [found] = queue_view.queue(site_of(world), Chosen())["stations"]
            return WaitReason(found["waits_for"])

        [station] = await ready(world)
        await backlog(world, [station], values=3)
        assert why() is WaitReason.LINK_DOWN
        rows = queue_view.queue(site_of(world), Chosen())["messages"]
        assert [row["reason"] for row in rows] == ["link-down", *["behind"] * 4]
        world.csms.delay_s = lambda action: 3.0
        world.csms.script = lambda station, action, payload: "refuse" if action == "StartTransaction" else "answer"
        seen = set()
        world.csms.mend()
        while WaitReason.REFUSED not in seen:
            await asyncio.sleep(0.1)
            seen.add(why())
        assert seen >= {WaitReason.LINK_DOWN, WaitReason.IN_FLIGHT, WaitReason.REFUSED}
        world.csms.script = lambda station, action, payload: "silent"
        while WaitReason.CSMS_SICK not in seen:
            await asyncio.sleep(0.1)
            seen.add(why())
        world.csms.script = lambda station, action, payload: "answer"
        await world.drained()

    play(tmp_path, scene)


# -- what it costs the disk -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "start"), [("1.6", 2), ("2.0.1", 1)])
def test_in_calm_a_start_costs_two_commits_an_end_one_and_meter_values_none(
    tmp_path: Path, version: str, start: int
) -> None:
    """Counted in the file's own statements. Delivered marks ride along, or make one commit of their own a second; the
    CSMS's Accepted goes with the mark where it brings no id."""
    commits: list[tuple[float, str]] = []

    async def scene(world: World) -> None:
        [station] = await ready(world, version)
        for _ in range(2):  # the second time the token is known
            await station.session("TAG", 3, 30)
            await asyncio.sleep(5)
        statements: list[str] = []

        def trace(statement: str) -> None:
            statements.append(statement)
            if statement == "COMMIT":
                commits.append((now(), " ".join(statements)))
                statements.clear()

        world.runner._connection.set_trace_callback(trace)
        await station.session("TAG", 5, 30)
        await world.drained()
        await asyncio.sleep(5)
        world.runner._connection.set_trace_callback(None)

    world = play(tmp_path, scene)
    created = [r for r in world.stations["CP-0"].history.records if isinstance(r, Created)][-7:]
    assert [record.kind for record in created] == ["Started", *["Updated"] * 5, "Ended"]
    assert created.pop(5).at == created[-1].at, "the last value and the end come together"
    counts = []
    for record in created:
        own = [text for at, text in commits if record.at <= at < record.at + 20]
        marks = [text for text in own if _is_marks_only(text, may_tell_accepted=version != "1.6")]
        counts.append((len(own) - len(marks), len(marks)))
    assert [turns for turns, _ in counts] == [start, 0, 0, 0, 0, 1]
    assert all(marks <= (1 if turns else 0) for turns, marks in counts)
    assert len(commits) == sum(turns + marks for turns, marks in counts)


def _is_marks_only(text: str, *, may_tell_accepted: bool) -> bool:
    written = re.findall(r'(INSERT OR REPLACE INTO|DELETE FROM|UPDATE) "?(\w+)', text)
    marks = written.count(("UPDATE", "outbox"))
    others = set(written) - {("UPDATE", "outbox")}
    allowed = {("INSERT OR REPLACE INTO", "transaction")} if may_tell_accepted else set[tuple[str, str]]()
    return marks > 0 and others <= allowed and text.count(f"'{RowState.DELIVERED}'") == marks


# -- GetTransactionStatus -------------------------------------------------------------------------------------------


def test_the_csms_hears_of_messages_in_the_gateway_s_queue(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        [station] = await ready(world, "2.0.1")
        world.csms.script = lambda _, action, payload: "refuse" if payload.get("eventType") == "Ended" else "answer"
        first = await station.session("TAG", 1, 10)
        await station.drained()

        async def ask(**asked: str) -> Any:
            return await world.csms.call("CP-0", "GetTransactionStatus", asked)

        assert await ask(transactionId=first.name) == {"status": "Accepted", "messagesInQueue": True}
        assert await ask(transactionId="another") == {"status": "Accepted"}
        assert await ask() == {"status": "Accepted", "messagesInQueue": True}
        wire = station.wire
        assert wire
        await wire.call(
            "sec", "SecurityEventNotification", {"type": "FirmwareUpdated", "timestamp": "2026-03-01T08:00:00Z"}
        )
        station_state = site_of(world).station(StationId("CP-0"))
        kinds = {row.action for row in station_state.queue.values()}
        assert kinds == {"TransactionEvent", "SecurityEventNotification"}
        world.csms.script = lambda *asked: "answer"
        await world.drained()
        assert await ask() == {"status": "Accepted"}
        [own] = [one for one in site_of(world).ledger.transactions.values() if one.station_tx_id == first.name]
        assert own.state is TransactionState.ENDED

    play(tmp_path, scene)


def test_a_queue_of_messages_of_no_transaction_is_none_the_csms_asks_about(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        [station] = await ready(world, "2.0.1")
        world.csms.script = lambda _, action, payload: "answer"
        event = {"type": "FirmwareUpdated", "timestamp": "2026-03-01T08:00:00Z"}
        wire = station.wire
        assert wire
        world.csms.cut()
        await asyncio.sleep(1)
        await wire.call("sec", "SecurityEventNotification", event)
        world.csms.delay_s = lambda action: 20.0 if action == "SecurityEventNotification" else 0.1
        world.csms.mend()
        while not world.csms.connections:
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        assert len(site_of(world).station(StationId("CP-0")).queue) == 1
        assert await world.csms.call("CP-0", "GetTransactionStatus", {}) == {"status": "Accepted"}
        await world.drained()
        assert json.dumps(event) == json.dumps(next(p for _, a, p in world.csms.calls if a.startswith("Security")))

    play(tmp_path, scene)
