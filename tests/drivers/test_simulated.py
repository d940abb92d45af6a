"""The building that does not exist."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

from drivers import registry
from drivers.api import Quality, Seams
from drivers.options import Places
from drivers.simulated import SimulatedDriver, SimulatedOptions, building_a
from tests.sim import loop


def options(**table: object) -> SimulatedOptions:
    made = registry.checked({"driver": "simulated", **table}, Places())
    assert isinstance(made, SimulatedOptions)
    return made


class World:
    """Seams on virtual time, with a wall clock that can be set."""

    def __init__(self) -> None:
        self.step = timedelta(0)
        running = asyncio.get_running_loop()
        start = datetime(2026, 11, 22, tzinfo=UTC)
        self.seams = Seams(
            running.time,
            lambda: start + timedelta(seconds=running.time()) + self.step,
            asyncio.sleep,
            random.Random(1),
        )


def test_the_same_seed_is_the_same_building() -> None:
    times = [0.0, 0.5, 119.9, 120.0, 43_200.0, 1e6]
    one = [building_a(options(seed=3), t) for t in times]
    assert one == [building_a(options(seed=3), t) for t in times]
    assert one != [building_a(options(seed=4), t) for t in times]
    assert all(len(set(phases)) == 3 for phases in one)


def test_a_day_stays_within_what_was_asked_for() -> None:
    plain = options(base_a=20.0, swing_a=8.0, machine_a=12.0, noise_a=0.0)
    day = [value for t in range(0, 86_400, 60) for value in building_a(plain, t)]
    assert min(day) >= 12.0
    assert max(day) <= 40.0
    assert max(day) - min(day) > 10.0
    sunny = options(base_a=5.0, swing_a=0.0, machine_a=0.0, noise_a=0.0, solar_a=30.0)
    assert min(building_a(sunny, 21_600.0)) == -25.0


def test_cars_are_added_and_every_reading_is_good() -> None:
    async def run() -> None:
        world = World()
        quiet = options(base_a=10.0, swing_a=0.0, machine_a=0.0, noise_a=0.0, interval_s=2.0)
        async with SimulatedDriver("grid", quiet, world.seams) as driver:
            before = await anext(driver)
            driver.cars_a = (16.0, 0.0, 6.0)
            after = await anext(driver)
        assert before.current_a == (10.0, 10.0, 10.0)
        assert after.current_a == (26.0, 10.0, 16.0)
        assert (before.t_mono, after.t_mono, after.sequence) == (0.0, 2.0, 1)
        assert after.quality is Quality.GOOD
        assert driver.health().readings == 2
        for ampere, volt, watt in zip(after.current_a, after.voltage_v, after.power_w, strict=True):
            assert ampere is not None
            assert volt is not None
            assert watt is not None
            assert 0 < watt <= ampere * volt

    loop.run(run())


def test_a_step_of_the_wall_clock_makes_nothing_younger() -> None:
    async def run() -> None:
        world = World()
        async with SimulatedDriver("grid", options(), world.seams) as driver:
            old = await anext(driver)
            for step in (timedelta(days=-20_000), timedelta(days=400), timedelta(0)):
                world.step = step
                new = await anext(driver)
                assert new.t_wall == world.seams.wall()
                assert new.age_s(world.seams.now()) == 0.0
                assert old.age_s(world.seams.now()) == new.t_mono - old.t_mono > 0

    loop.run(run())
