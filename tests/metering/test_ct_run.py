"""The test of a meter's wiring, in simulated buildings: the shell, and a short storm."""

import random
from dataclasses import dataclass, field

import pytest

from gateway.core.ct_test import Outcome, Rules, Sample
from gateway.core.ct_wiring import Now, PhaseTest, wiring
from gateway.metering.ct_run import Pace, Progress, run
from tests.metering.ct_plant import Car, Plant, random_plant
from tests.metering.ct_storm import WIRINGS, finding_of, scene, trap

SOURCE = random.Random(11)


@dataclass
class Site:
    """Switches the plant's car and reads its meter. `breaks_at`: the meter is lost at this reading."""

    plant: Plant
    switched: list[bool] = field(default_factory=list)
    breaks_at: int = 10_000
    readings: int = 0

    async def switch(self, *, is_on: bool) -> None:
        self.switched.append(is_on)
        self.plant.switch(is_on=is_on)

    async def next(self) -> Sample:
        self.readings += 1
        if self.readings == self.breaks_at:
            raise TimeoutError
        return self.plant.reading()

    def now(self) -> float:
        return self.plant.now


def _site(seed: int = 5) -> Site:
    source = random.Random(seed)
    car = Car((1,), 7.0)
    return Site(Plant(source, (2, 0, 1), (1, 1, -1), car, base=[3 + 1j, 14 + 2j, -6 + 0j]))


async def test_a_quiet_building_takes_four_rounds() -> None:
    site = _site()
    told: list[Progress] = []
    found = await run(site, site, site.now, Rules(), pace=Pace(), source=SOURCE, told=told.append)
    assert (found.outcome, found.moved) == (Outcome.ONE, {2: -1})
    assert site.switched == [True, False] * 4
    assert [one.level.is_on for one in told] == [False, *[True, False] * 4]
    assert told[-1].finding is found
    for one in told[1:]:
        amps = [sample.directed_a[2] for sample in one.level.samples]
        assert all(value is not None and (value < -18) is one.level.is_on for value in amps), (
            "settled before it is read"
        )


async def test_it_goes_on_while_it_is_unsure_and_then_says_so() -> None:
    site = _site()
    site.plant.car.amps = 0.0
    found = await run(site, site, site.now, Rules(), pace=Pace(most_rounds=5), source=SOURCE)
    assert found.outcome is Outcome.NOTHING
    assert site.switched == [True, False] * 5


@pytest.mark.parametrize("breaks_at", [1, 20, 40])
async def test_the_car_is_off_after_a_failure(breaks_at: int) -> None:
    site = _site()
    site.breaks_at = breaks_at
    with pytest.raises(TimeoutError):
        await run(site, site, site.now, Rules(), pace=Pace(), source=SOURCE)
    assert not site.switched or site.switched[-1] is False


def test_all_wirings_are_found_or_said_to_be_unclear() -> None:
    """One building for each of the 48; `python -m tests.metering.ct_storm --seeds N` takes many."""
    seed = 20_261_122
    print(f"seed {seed}")
    results = [scene(order, signs, seed, Pace(most_rounds=7)) for order, signs in WIRINGS]
    assert len(results) == 48
    wrong = [result.what for result in results if not result.is_right]
    assert not wrong, wrong
    assert sum(result.is_complete for result in results) >= 12, "it can tell"
    traps = [answer for number in range(10) if (answer := trap(seed + number))]
    assert not traps, traps


def test_in_a_quiet_building_every_wiring_is_found() -> None:
    """So that nothing passes by always saying that it can't tell."""
    for order, signs in WIRINGS:
        tests = []
        for phase in range(3):
            plant = Plant(random.Random(phase), order, signs, Car((phase,), 6.5), base=[4 + 1j, 9 + 2j, -5 + 1j])
            tests.append(PhaseTest(phase, finding_of(plant, Rules())))
        found = wiring(tests, Now())
        assert (found.order, found.directions, found.is_complete) == (order, dict(enumerate(signs)), True)


def test_plants_have_loads_that_move() -> None:
    plant = random_plant(random.Random(4), (0, 1, 2), (1, 1, 1), Car((0,), 8.0))
    assert plant.loads
    told = (plant.reading().directed_a[0] for _ in range(200))
    amps = [one for one in told if one is not None]
    assert max(amps) - min(amps) > 5
