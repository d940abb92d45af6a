"""The driver that plays recordings, on virtual time."""

import asyncio
from pathlib import Path

import pytest

from drivers import registry
from drivers.api import DriverError, Kind, Quality, Reading, Reason
from drivers.options import Places
from drivers.replay import ReplayDriver, ReplayOptions
from tests.drivers.test_simulated import World
from tests.sim import loop

ROWS = "t,current_a_l1,current_a_l2,current_a_l3\n10,1,1,1\n11,2,2,2\n12,3,,3\n15,4,4,4\n"


def options(folder: Path, text: str = ROWS, **table: object) -> ReplayOptions:
    (folder / "rows.csv").write_text(text)
    made = registry.checked({"driver": "replay", "file": "rows.csv", **table}, Places(folder))
    assert isinstance(made, ReplayOptions)
    return made


def l1(reading: Reading) -> float | None:
    return reading.current_a[0]


def test_readings_come_at_their_distances_and_end(tmp_path: Path) -> None:
    async def run() -> None:
        seams = World().seams
        async with ReplayDriver("grid", options(tmp_path), seams) as driver:
            readings = [reading async for reading in driver]
        assert [(l1(reading), reading.t_mono) for reading in readings] == [(1, 0), (2, 1), (3, 2), (4, 5)]
        assert [reading.quality for reading in readings].count(Quality.GOOD) == 3
        assert readings[2].reasons == frozenset({Reason.CURRENT_MISSING})
        assert readings[2].current_a == (3.0, None, 3.0)
        assert {reading.interval_s for reading in readings} == {1.0}
        trouble = driver.health().trouble
        assert trouble is not None
        assert trouble.kind is Kind.ENDED

    loop.run(run())


def test_speed_and_loop(tmp_path: Path) -> None:
    async def run() -> None:
        seams = World().seams
        async with ReplayDriver("grid", options(tmp_path, speed=10, loop=True), seams) as driver:
            readings = [await anext(driver) for _ in range(9)]
        times = [round(reading.t_mono, 6) for reading in readings]
        assert times == [0, 0.1, 0.2, 0.5, 0.6, 0.7, 0.8, 1.1, 1.2]
        assert [l1(reading) for reading in readings] == [1, 2, 3, 4, 1, 2, 3, 4, 1]
        assert {reading.interval_s for reading in readings} == {0.1}

    loop.run(run())


def test_who_comes_late_gets_the_newest_with_its_age(tmp_path: Path) -> None:
    async def run() -> None:
        seams = World().seams
        async with ReplayDriver("grid", options(tmp_path), seams) as driver:
            await anext(driver)
            await asyncio.sleep(2.5)
            late = await anext(driver)
            assert (l1(late), late.sequence, late.age_s(seams.now())) == (3, 2, 0.5)
            assert driver.health().replaced == 1
            assert l1(await anext(driver)) == 4

    loop.run(run())


def test_a_recording_that_cannot_be_played_is_said(tmp_path: Path) -> None:
    async def run() -> None:
        driver = ReplayDriver("grid", options(tmp_path, "t,current_a_l1\n0,x\n"), World().seams)
        with pytest.raises(DriverError, match="line 2"):
            await driver.open()

    loop.run(run())


def test_probe_shows_the_first_row(tmp_path: Path) -> None:
    async def run() -> None:
        found = await ReplayDriver.probe(options(tmp_path, invert=True), World().seams)
        assert found is not None
        assert found.what == "a recording of 4 readings"
        assert found.reading is not None
        assert found.reading.current_a == (-1.0, -1.0, -1.0)

    loop.run(run())
