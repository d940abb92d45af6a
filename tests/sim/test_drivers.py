"""Scenes in which a driver could be left without current; on virtual time, with the real gateway."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.flows import caps
from gateway.model.balance import Policy
from tests.sim.charger import RATING_A, ObedientStation
from tests.sim.test_balance import Scene, plan, play
from tests.sim.test_wiring import site_of


async def as_a_car_does(station: ObedientStation, wakes_s: float) -> None:
    """Paused, it sleeps; offered current again, it takes a while, and its station says SuspendedEV until then."""
    said, since = "", 0.0
    while True:
        await asyncio.sleep(0.5)
        now = asyncio.get_running_loop().time()
        if station._running is None:
            continue
        if station.limit_a() <= 0:
            since, status = now, "SuspendedEVSE"
            station.car_a = 0.0
        else:
            status = "Charging" if now - since >= wakes_s else "SuspendedEV"
            station.car_a = RATING_A if status == "Charging" else 0.0
        if status != said:
            said = status
            await station.tell_status(status)


def test_a_charger_that_forgot_its_limit_is_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It boots in a session, has its fallback of 0 A, and does not say what flows."""
    seen: dict[str, Any] = {}

    async def act(scene: Scene) -> None:
        first = scene.stations[0]
        monkeypatch.setattr(first, "_update", lambda *_: None)
        await asyncio.sleep(30)
        scene.tasks.append(asyncio.create_task(first.session("T-1", 100, 5.0)))
        await asyncio.sleep(60)
        seen["before"] = first.current_a()
        first.lease = None
        first._obeyed.append((first._time(), first.default, None))
        first.reboot()
        await asyncio.sleep(60)
        seen["after"] = first.current_a()

    shared = plan(proven=False)
    idle = tuple(replace(spec, fallback_a=0.0) for spec in shared.connectors)
    play(tmp_path, monkeypatch, act, replace(shared, connectors=idle))
    assert seen["before"] > 0
    assert seen["after"] == seen["before"]


def test_a_car_that_takes_a_moment_to_begin_keeps_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is room for one of three: each has its turn, though its station says at first that the car is at fault.
    One that never begins does not keep it for long."""
    seen: dict[str, Any] = {"on": {}}

    async def act(scene: Scene) -> None:
        site = site_of(scene)
        await caps.put(site, "operator", caps.Cap(limit_a=8.0, seconds=86_400, circuit="main"))
        await asyncio.sleep(30)
        for station, wakes_s in zip(scene.stations, (15.0, 15.0, float("inf")), strict=True):
            scene.tasks.append(asyncio.create_task(as_a_car_does(station, wakes_s)))
        scene.charge(1300)
        for _ in range(1200):
            await asyncio.sleep(1)
            for station in scene.stations:
                seen["on"][station.identity] = seen["on"].get(station.identity, 0) + (station.current_a() > 0)
        seen["writes"] = [len(station.written()) for station in scene.stations]

    shared = plan()
    idle = tuple(replace(spec, fallback_a=0.0) for spec in shared.connectors)
    play(tmp_path, monkeypatch, act, replace(shared, connectors=idle, policy=Policy(quantum_s=200.0)))
    told = f"seconds of current: {seen['on']}, writes: {seen['writes']}"
    assert min(seen["on"]["CP-1"], seen["on"]["CP-2"]) > 300, told
    assert seen["on"]["CP-3"] == 0, told
    assert max(seen["writes"]) < 15, told
