"""A link between two versions: what becomes of messages that the CSMS refuses, and of a version that changes."""

from pathlib import Path
from typing import Any

import pytest

from tests.sim.station import SimStation
from tests.uplink.link_world import CP, LinkWorld, play, until


def _refuse_starts(station: str, action: str, payload: Any) -> str:
    begins = action == "StartTransaction" or payload.get("eventType") == "Started"
    return "refuse" if begins and "BAD" in str(payload) else "answer"


async def _a_bad_and_a_good_session(world: LinkWorld, version: str, csms: str) -> SimStation:
    world.csms.versions = (csms,)
    world.csms.script = _refuse_starts
    station = await world.arrive(version)
    await station.session("BAD", values=1, interval_s=60)
    await station.session("GOOD", values=1, interval_s=60)
    await station.drained()
    assert world.assembly
    parked = world.assembly.site.station(CP).parked
    await until(lambda: len(parked) == 3 and not world.queue(), 4 * 3600)
    return station


@pytest.mark.parametrize(("version", "csms"), [("1.6", "2.0.1"), ("2.0.1", "1.6")])
def test_a_refused_start_keeps_its_session_and_no_other(tmp_path: Path, version: str, csms: str) -> None:
    async def script(world: LinkWorld) -> None:
        await _a_bad_and_a_good_session(world, version, csms)
        world.csms.script = lambda station, action, payload: "answer"
        world.csms.cut()
        world.csms.mend()
        await until(lambda: not world.waiting(), 4 * 3600)

    world = play(tmp_path, script)
    report = world.verdict()
    assert (report.findings, report.transactions, report.acknowledged) == ([], 2, 6)
