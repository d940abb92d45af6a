"""A CSMS that takes no samples: what it refuses costs the rest of the station's messages no time."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.core import outbox
from gateway.model.ids import StationId
from tests.flows.test_replay import arrivals, now, play, ready, site_of
from tests.sim.world import World


def _samples(action: str, payload: Any) -> bool:
    return action == "MeterValues" or payload.get("triggerReason") == "MeterValuePeriodic"


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
def test_samples_that_are_all_refused_hold_up_no_end_and_no_begin(tmp_path: Path, version: str) -> None:
    async def scene(world: World) -> None:
        first, other = await ready(world, version, count=2)
        station = site_of(world).station(StationId("CP-0"))
        world.csms.script = lambda who, asked, payload: (
            "refuse" if who == "CP-0" and _samples(asked, payload) else "answer"
        )
        living = asyncio.create_task(_sessions(other, 5))
        await first.session("TAG", 30, 60)
        await first.drained()
        await living
        await asyncio.sleep(60)
        assert not station.queue
        assert len(station.parked) == 30
        # A link that is new tries one of them; when that is taken, all go.
        begun = now()
        await _reconnect(world)
        [tried] = [one for one in arrivals(world, begun) if one.station == "CP-0"]
        assert _samples(tried.action, json.loads(tried.payload))
        assert len(station.parked) == 30
        world.csms.script = lambda *asked: "answer"
        await _reconnect(world)
        await world.drained()
        assert station.parked == {}

    verdict = play(tmp_path, scene).verdict()
    assert (verdict.lost, verdict.duplicated) == (0, 0)  # behind their session's end they are out of order


async def _sessions(station: Any, count: int) -> None:
    for number in range(count):
        await station.session(f"GOOD-{number}", 1, 60)


async def _reconnect(world: World) -> None:
    world.csms.cut()
    world.csms.mend()
    await asyncio.sleep(60)


def test_of_messages_that_the_csms_never_takes_the_newest_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Security events at a CSMS without them, for years."""
    monkeypatch.setattr(outbox, "MOST_REFUSED", 2)

    async def scene(world: World) -> None:
        first, other = await ready(world, "1.6", count=2)
        site = site_of(world)
        world.csms.script = lambda who, asked, payload: "refuse" if asked == "SecurityEventNotification" else "answer"
        living = asyncio.create_task(_sessions(other, 5))
        for number in range(4):
            assert first.wire
            said = {"type": f"Event{number}", "timestamp": "2026-03-01T08:00:05Z"}
            assert await first.wire.call(f"e{number}", "SecurityEventNotification", said) == {}
        await living
        await asyncio.sleep(60)
        parked = site.station(StationId("CP-0")).parked.values()
        assert [json.loads(row.payload)["type"] for row in parked] == ["Event2", "Event3"]
        assert [entry.text for entry in site.upkeep.audit if "oldest give way" in entry.text] == [
            "SecurityEventNotification is refused by the CSMS, and 2 are set aside: the oldest give way from now on"
        ]

    play(tmp_path, scene)
