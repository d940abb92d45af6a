"""Scenes of the failure catalogue (docs/failure-catalogue.md) that no other test plays."""

import asyncio
import json
import random
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.checker import Report
from gateway.demo.history import Arrival
from gateway.errors import ConnectError
from gateway.model.ids import StationId
from gateway.transport import Socket
from tests.sim import loop
from tests.sim.csms import SimCsms
from tests.sim.disk import Moment
from tests.sim.network import Weather
from tests.sim.world import World

VERSIONS = ("1.6", "2.0.1")
ODD_IDS = (0, -1, 2**31 - 1, 2**31, 2**63 - 1, 1_500_000_000, 7)


def _play(
    folder: Path, script: Callable[[World], Awaitable[None]], weather: Weather | None = None
) -> tuple[World, Report]:
    """Play, drain, stop, judge: nothing may be lost, doubled or out of order."""

    async def main() -> World:
        world = World(folder, 5)
        world.weather = weather or world.weather
        await world.start()
        async with asyncio.timeout(24 * 3600):
            await script(world)
            await world.drained()
        await world.stop()
        return world

    world = loop.run(main(), debug=False)
    report = world.verdict()
    assert report.findings == []
    return world, report


def _ledger(world: World) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(world.path)
    try:
        return connection.execute(
            'SELECT station, state, meter_start_wh, meter_stop_wh FROM "transaction" ORDER BY key'
        ).fetchall()
    finally:
        connection.close()


def _arrivals(world: World) -> list[tuple[str, Any]]:
    return [(r.station, json.loads(r.payload)) for r in world.csms.history.records if isinstance(r, Arrival)]


class _OddIds(SimCsms):
    """Gives the ids nobody expects."""

    def _answer(self, action: str, payload: Any) -> Any:
        answer = super()._answer(action, payload)
        if action == "StartTransaction":
            answer["transactionId"] = ODD_IDS[self._next_tx - 101]
        return answer


@pytest.mark.parametrize("is_offline", [False, True])
def test_any_id_of_the_csms_finds_its_transaction(is_offline: bool, tmp_path: Path) -> None:
    """Row 8: messages go up with the CSMS's id, whatever it is; the station gets one it can bear."""

    async def script(world: World) -> None:
        world.csms = _OddIds(random.Random(1))
        station = world.add("CP-1", "1.6")
        await station.ready()
        for _ in ODD_IDS:
            if is_offline:
                world.csms.cut()
            session = await station.session("TAG-1", values=1, interval_s=10)
            await station.drained()
            assert 1 <= session.station_tx_id < 2**31
            world.csms.mend()

    world, report = _play(tmp_path, script)
    told = [payload["transactionId"] for _, payload in _arrivals(world) if "transactionId" in payload]
    assert told == [one for one in ODD_IDS for _ in range(2)]
    assert report.repeated == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_a_replaced_charger_begins_anew(version: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Row 11: the old one's transaction is neither lost nor merged with the new one's, no energy is invented, and the
    log tells of the other serial number, once."""

    async def script(world: World) -> None:
        station = world.add("CP-1", version)
        await station.ready()
        old = asyncio.create_task(station.session("TAG-1", values=10, interval_s=60))
        await asyncio.sleep(150)
        station.replace()
        await old
        await station.ready()
        await station.session("TAG-1", values=1, interval_s=60)

    world, report = _play(tmp_path, script)
    assert report.lost == report.duplicated == 0
    (_, old_state, _, old_stop), (_, new_state, start, stop) = _ledger(world)
    assert (old_state, old_stop, new_state) == ("unclosed", None, "ended")
    assert stop >= start
    assert sum("another serial number, SN-2 instead of SN-1" in line for line in caplog.messages) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_a_token_used_at_two_chargers_goes_up_in_its_order(version: str, tmp_path: Path) -> None:
    """A session at one charger, then at another, all in an outage: the CSMS hears of the first one first.

    Only where the first one's link is there: a charger that is away holds up nobody.
    """

    async def script(world: World) -> None:
        connect = world.connect

        async def in_turn(identity: str, subprotocols: Sequence[str], password: bytes | None) -> Socket:
            if identity == "CP-2" and "CP-1" not in world.csms.connections:
                raise ConnectError("not yet (scripted)")
            return await connect(identity, subprotocols, password)

        world.connect = in_turn  # type: ignore[method-assign]
        first, second = world.add("CP-1", version), world.add("CP-2", version)
        await first.ready()
        await second.ready()
        world.csms.delay_s = lambda action: 0.2
        world.csms.cut()
        await first.session("TAG-1", values=5, interval_s=10)
        await first.drained()
        await second.session("TAG-1", values=1, interval_s=10)
        await second.drained()
        world.csms.mend()

    world, _ = _play(tmp_path, script)
    assert [station for station, _ in _arrivals(world)] == ["CP-1"] * 7 + ["CP-2"] * 3


@pytest.mark.parametrize("version", VERSIONS)
def test_a_slow_line_makes_no_doubles(version: str, tmp_path: Path) -> None:
    """Row 17: two seconds there and back, an outage's backlog: nothing is sent again out of impatience."""

    async def script(world: World) -> None:
        station = world.add("CP-1", version)
        await station.ready()
        world.csms.cut()
        await station.session("TAG-1", values=5, interval_s=30)
        world.csms.mend()
        await station.session("TAG-2", values=5, interval_s=30)

    _, report = _play(tmp_path, script, Weather(1.0, 1.2))
    assert (report.repeated, report.messages) == (0, 14)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_answer_lost_on_the_way_to_the_charger_costs_a_retry_only(version: str, tmp_path: Path) -> None:
    """Row 5: every second answer is lost with the connection alive; the retry gets an answer and makes no double."""

    async def script(world: World) -> None:
        heard = 0

        def is_deaf() -> bool:
            nonlocal heard
            heard += 1
            return heard > 2 and heard % 2 == 0

        station = world.add("CP-1", version)
        station.is_deaf = is_deaf
        await station.session("TAG-1", values=3, interval_s=200)

    _, report = _play(tmp_path, script)
    assert (report.messages, report.repeated) == (5, 0)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_stop_at_another_charger_ends_nothing_here(version: str, tmp_path: Path) -> None:
    """Row 19: a transaction belongs to its station; another one's Stop with the same id ends only its own."""

    async def script(world: World) -> None:
        victim, other = world.add("CP-1", version), world.add("CP-2", version)
        await victim.ready()
        await other.ready()
        session = asyncio.create_task(victim.session("TAG-1", values=4, interval_s=60))
        await asyncio.sleep(90)
        assert other.wire
        assert world.assembly
        (running,) = world.assembly.site.ledger.running(StationId("CP-1"))
        stop = {"transactionId": 101, "meterStop": 5, "timestamp": "2026-03-01T08:01:00Z"}
        event = {
            "eventType": "Ended",
            "timestamp": "2026-03-01T08:01:00Z",
            "triggerReason": "StopAuthorized",
            "seqNo": 1,
            "transactionInfo": {"transactionId": running.station_tx_id},
        }
        await other.wire.call("x", *(("StopTransaction", stop) if version == "1.6" else ("TransactionEvent", event)))
        assert [one.key for one in world.assembly.site.ledger.running(StationId("CP-1"))] == [running.key]
        world.csms.history.records[:] = [r for r in world.csms.history.records if getattr(r, "station", "") != "CP-2"]
        await session

    async def main() -> World:
        world = World(tmp_path, 5)
        await world.start()
        await script(world)
        await world.drained()
        await world.stop()
        return world

    world = loop.run(main(), debug=False)
    assert ("CP-1", "ended") in {row[:2] for row in _ledger(world)}
    assert world.verdict().lost == 0


@pytest.mark.parametrize("deduplicates", [False, True])
@pytest.mark.parametrize("version", VERSIONS)
def test_every_answer_lost_once(version: str, deduplicates: bool, tmp_path: Path) -> None:
    """Row 3: the CSMS books each message and its answer is lost; what goes again has the same identity."""

    async def script(world: World) -> None:
        seen: set[str] = set()

        def fate(station: str, action: str, payload: Any) -> str:
            key = json.dumps([action, payload])
            is_new = key not in seen and "Transaction" in action
            seen.add(key)
            return "lose" if is_new else "answer"

        world.csms.deduplicates = deduplicates
        world.csms.script = fate
        station = world.add("CP-1", version)
        await station.session("TAG-1", values=2, interval_s=100)

    world, report = _play(tmp_path, script)
    assert report.repeated > 0
    assert report.repeated <= report.lost_answers
    if deduplicates:
        assert len(world.csms.booked) == report.messages


@pytest.mark.parametrize("moment", list(Moment))
def test_a_crash_at_each_store_operation_of_a_session(moment: Moment, tmp_path: Path) -> None:
    """Rows 4 to 6: right before, right after, and with the power gone in the middle, one operation after another."""
    for number in range(8):
        folder = tmp_path / str(number)
        folder.mkdir()

        async def script(world: World, number: int = number) -> None:
            station = world.add("CP-1", VERSIONS[number % 2])
            await station.ready()
            session = asyncio.create_task(station.session("TAG-1", values=3, interval_s=30))
            await world.die_at(moment, number, within_s=120)
            await asyncio.sleep(3)
            await world.start()
            await session

        _, report = _play(folder, script)
        assert (report.messages, report.acknowledged) == (5, 5), f"{moment}, operation {number}"
