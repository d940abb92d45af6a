"""A day is recorded by the gateway as it runs, and played again with other fuses."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cli_record import compared
from gateway.plan import Plan
from gateway.smartcharging import day as days
from tests.sim.test_balance import BASE_A, Scene, plan, play


class Days:
    """Recorded lines in memory."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    async def append(self, day: str, lines: bytes) -> None:
        self.written.append(lines)

    async def read(self, day: str) -> list[bytes]:
        return [line for lines in self.written for line in lines.splitlines()]


def other(limit_a: float) -> Plan:
    [main] = plan().circuits
    worst = (BASE_A,) * 3
    return replace(plan(), circuits=(replace(main, limit_a=(limit_a,) * 3, background_a=worst),))


def test_a_recorded_day_is_played_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Days()
    seen: dict[str, list[str]] = {}

    async def act(scene: Scene) -> None:
        site = scene.world.assembly.site if scene.world.assembly else None
        assert site
        await asyncio.sleep(10)
        scene.stations[2].car_a = 9.0
        scene.charge(600)
        await asyncio.sleep(240)
        seen["before"] = [line.why for kept in site.balancer.sessions.values() for line in kept]
        scene.meters.cancel()
        await scene.world.crash()
        await scene.world.start()
        scene.start_meter()
        await asyncio.sleep(10)
        assert scene.world.assembly
        sessions = scene.world.assembly.site.balancer.sessions
        seen["after"] = [line.why for kept in sessions.values() for line in kept]
        await asyncio.sleep(240)

    play(tmp_path, monkeypatch, act, days=kept)
    lines = list(days.decoded(line for lines in kept.written for line in lines.splitlines()))
    busy = [line for line in lines if isinstance(line, days.Minute) and line.stays]
    assert 7 <= len(busy) <= len(kept.written) <= 10, "a write a minute"
    size = sum(map(len, kept.written)) / len(busy)
    assert size < 500, f"{size:.0f} bytes a minute of three cars"
    assert seen["before"]
    assert set(seen["before"]) <= set(seen["after"]), "what a session was told survives"

    same = compared("-", lines, plan(), plan())
    for one in same["connectors"]:
        assert one["recorded_kwh"] > 0.3
        assert one["real_kwh"] == pytest.approx(one["recorded_kwh"], rel=0.15), f"{same['connectors']}"
    smaller = compared("-", lines, plan(), other(32.0))
    assert set(smaller["less"]) == {"CP-1/1", "CP-2/1", "CP-3/1"}
    [main] = smaller["circuits"]
    assert main["other"]["peak_a"] <= 32.5
    assert main["other"]["bound_h"] > 0.1
    larger = compared("-", lines, plan(), other(125.0))
    gained = {one["connector"]: one["other_kwh"] - one["real_kwh"] for one in larger["connectors"]}
    assert gained["CP-1/1"] > 0.5
    assert abs(gained["CP-3/1"]) < 0.1, "its car takes no more than 9 A"
