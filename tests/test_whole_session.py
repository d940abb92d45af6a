"""A whole session on virtual time: station, gateway, CSMS in one process, replayed from its seed."""

import asyncio
import json
from pathlib import Path

import pytest

from gateway.demo.checker import Report
from tests.sim import loop
from tests.sim.world import World


async def _session(folder: Path, seed: int, version: str) -> tuple[World, Report]:
    world = World(folder, seed)
    await world.start()
    station = world.add("CP-1", version)
    await station.ready()
    await station.session("TAG-1", values=3, interval_s=60)
    await world.drained()
    await world.stop()
    return world, world.verdict()


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
def test_a_session_reaches_the_csms_whole(tmp_path: Path, version: str) -> None:
    world, report = loop.run(_session(tmp_path, 1, version))
    assert report.findings == []
    assert (report.lost, report.duplicated, report.out_of_order, report.repeated) == (0, 0, 0, 0)
    assert (report.transactions, report.messages, report.arrivals) == (1, 5, 5)
    kept = [action for _, action, _ in world.csms.calls if action != "Heartbeat"]
    assert kept[0] == "BootNotification"
    assert len(kept) == 5 + len(["BootNotification", "Authorize", "Status", "Status"])


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
def test_the_same_seed_replays_identically(tmp_path: Path, version: str) -> None:
    def history(run: str) -> list[str]:
        folder = tmp_path / run
        folder.mkdir()
        world, _ = loop.run(_session(folder, 7, version))
        return [json.dumps(call) for call in world.csms.calls] + [str(r) for r in world.csms.history.records]

    assert history("first") == history("second")


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
def test_an_answer_of_ours_that_was_not_written_is_none(tmp_path: Path, version: str) -> None:
    """The CSMS refuses a sample, our own answer is not committed: what the CSMS says when asked again is the answer."""

    async def script() -> Report:
        world = World(tmp_path, 3)
        refused: list[str] = []

        def fate(station: str, action: str, payload: dict[str, object]) -> str:
            is_sample = action == "MeterValues" or payload.get("eventType") == "Updated"
            if not is_sample or refused:
                return "answer"
            refused.append(action)
            world.runner.fails = True
            return "refuse"

        world.csms.script = fate
        await world.start()
        station = world.add("CP-1", version)
        await station.ready()
        session = asyncio.create_task(station.session("TAG-1", values=1, interval_s=60))
        while not refused:
            await asyncio.sleep(1)
        await asyncio.sleep(50)
        world.runner.fails = False
        await session
        await world.drained()
        await world.stop()
        return world.verdict()

    report = loop.run(script())
    assert report.findings == []
    assert (report.lost, report.duplicated, report.messages) == (0, 0, 3)
