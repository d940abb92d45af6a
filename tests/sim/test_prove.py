"""The drill that proves a station: one that steps down by itself, one that does not, and one that is disturbed."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import RefusedError
from gateway.flows import caps, prove
from gateway.smartcharging.drill import Drill, Sample, Verdict, judge
from tests.sim.test_balance import Scene, plan, plan_keys, play

FIRST, SECOND, THIRD = plan_keys()


async def over(scene: Scene) -> dict[str, Verdict | None]:
    """The verdicts, once all are there."""
    assert scene.world.assembly
    drills = scene.world.assembly.site.balancer.drills
    async with asyncio.timeout(400):
        while not all(drill.verdict for drill in drills.values()):
            await asyncio.sleep(1)
    return {key.station: drill.verdict for key, drill in drills.items()}


def test_a_station_is_proven_by_what_it_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    async def act(scene: Scene) -> None:
        assert scene.world.assembly
        site = scene.world.assembly.site
        await asyncio.sleep(10)
        _, deaf, third = scene.stations
        honest = deaf._of
        monkeypatch.setattr(
            deaf,
            "_of",
            lambda schedule, now: honest(
                {**schedule, "chargingSchedulePeriod": schedule["chargingSchedulePeriod"][:1]}, now
            ),
        )
        third.car_a = 6.0
        await caps.put(site, "operator", caps.Cap(limit_a=30.0, seconds=600, circuit="main"))
        with pytest.raises(RefusedError, match="no car charges"):
            prove.start(site, site.stations[FIRST.station], None, 60.0)
        scene.charge(600)
        await asyncio.sleep(60)
        seen["before"] = [station.current_a() for station in scene.stations]
        for key in (FIRST, SECOND):
            prove.start(site, site.stations[key.station], None, 60.0)
        with pytest.raises(RefusedError, match="more current is needed"):
            prove.start(site, site.stations[THIRD.station], None, 60.0)
        await caps.clear(site, "operator")  # there is room for more, and nobody who is at a drill gets it now
        seen["verdicts"] = await over(scene)
        seen["fell"] = min(sample.amps for sample in site.balancer.drills[FIRST].samples)
        await asyncio.sleep(60)
        seen["after"] = [station.current_a() for station in scene.stations]
        prove.start(site, site.stations[FIRST.station], 1, 60.0)
        await asyncio.sleep(5)
        await caps.put(site, "operator", caps.Cap(limit_a=18.0, seconds=100, circuit="main"))
        seen["disturbed"] = await over(scene)

    [main] = plan().circuits
    shared = replace(plan(proven=False), circuits=(replace(main, background_a=(20.0,) * 3),))
    scene = play(tmp_path, monkeypatch, act, shared)
    assert min(seen["before"][:2]) >= 10, seen["before"]
    assert seen["verdicts"] == {"CP-1": Verdict.PROVEN, "CP-2": Verdict.HELD}
    assert seen["fell"] == 6.0
    assert seen["after"][0] > seen["before"][0], "what it held before is given again, and then more"
    assert seen["disturbed"]["CP-1"] is Verdict.DISTURBED, "a cut is never held back by a drill"
    assert not scene.over()


@pytest.mark.parametrize(
    ("samples", "now", "verdict"),
    [
        ([(30, 16)], 59, None),
        ([(30, 7)], 61, Verdict.TOO_LITTLE),
        ([], 61, Verdict.TOO_LITTLE),
        ([(30, 16), (70, 6)], 74, None),
        ([(30, 16), (80, 6.4)], 80, Verdict.PROVEN),
        ([(30, 16), (80, 8)], 80, Verdict.HELD),
        ([(30, 16), (80, 0)], 80, Verdict.STOPPED),
        ([(30, 16), (70, 6)], 260, Verdict.SILENT),
    ],
)
def test_what_samples_prove(samples: list[tuple[float, float]], now: float, verdict: Verdict | None) -> None:
    drill = Drill(
        key=FIRST, transaction=1, value_a=16.0, down_a=6.0, lasts_s=60.0, latency_s=5.0, at=0.0,
        samples=tuple(Sample(*one) for one in samples),
    )  # fmt: skip
    assert judge(drill, now) is verdict
