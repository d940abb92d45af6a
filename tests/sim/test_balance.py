"""Sharing current, end to end on virtual time: the real gateway, a simulated meter, stations that obey profiles."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from drivers import registry
from drivers.simulated import SimulatedOptions
from gateway.flows import balance
from gateway.metering.runner import Metering
from gateway.model.balance import Rung
from gateway.model.circuit import Circuit
from gateway.model.ids import CircuitId, MeterId, StationId
from gateway.model.site_tree import CircuitNode, ConnectorKey, ConnectorSpec
from gateway.model.token import OfflineMode
from gateway.plan import Plan
from gateway.ports import DayPort
from gateway.site_options import SiteOptions
from gateway.smartcharging.families import Family
from tests.sim import loop
from tests.sim.charger import Building, ObedientStation, meter_options
from tests.sim.world import World

LIMIT_A, WORST_A, BASE_A, STEP_A = 63.0, 40.0, 12.0, 27.5
NAMES = ("CP-1", "CP-2", "CP-3")
METER = SimulatedOptions(driver="simulated", base_a=BASE_A, swing_a=0, machine_a=0, noise_a=0.05)


def plan(*, proven: bool = True) -> Plan:
    """One circuit of 63 A, 40 A of other loads at most, three stations that (were seen to) step down by themselves."""
    main = CircuitNode(id="main", limit_a=(LIMIT_A,) * 3, background_a=(WORST_A,) * 3, metered=True)
    family = Family(name="obedient", proven=proven, latency_s=2.0, tells=True)
    return Plan(
        circuits=(main,),
        connectors=tuple(
            ConnectorSpec(key=ConnectorKey(StationId(name), 1), circuit="main", latency_s=2.0) for name in NAMES
        ),
        families=dict.fromkeys(map(StationId, NAMES), family),
    )


class Scene:
    """A world, its building, and what was seen of it ten times a second."""

    def __init__(self, folder: Path, shared: Plan, days: DayPort | None = None) -> None:
        circuits = [Circuit(CircuitId("main"), LIMIT_A, meter=MeterId("grid"))]
        options = SiteOptions(
            offline=OfflineMode.ALLOW_UNKNOWN, plan=shared, circuits=circuits, meters=[MeterId("grid")]
        )
        self.world = World(folder, 1, options)
        self.world.days = days
        self.stations: list[ObedientStation] = []
        self.building = Building(METER, self.stations)
        self.flows: list[tuple[float, float]] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.meters: asyncio.Task[None]

    async def begin(self) -> None:
        await self.world.start()
        self.tasks += [asyncio.create_task(self.building.run()), asyncio.create_task(self._watch())]
        self.start_meter()
        for name in NAMES:
            station = ObedientStation(name, "1.6", self.world.dial, random.Random(name))
            self.stations.append(station)
            self.world.stations[name] = station
            self.world._tasks.append(asyncio.create_task(station.run(), name=f"station {name}"))
            await station.ready()

    def start_meter(self) -> None:
        assert self.world.assembly
        site = self.world.assembly.site
        metering = Metering([meter_options(METER, LIMIT_A)], site.meters, site.clock, random.Random(1))
        self.meters = asyncio.create_task(metering.run())
        self.tasks.append(self.meters)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            self.flows.append((asyncio.get_running_loop().time(), self.building.flow_a()))

    def charge(self, seconds: float) -> None:
        """A car at every station."""
        for station in self.stations:
            self.tasks.append(asyncio.create_task(station.session(f"T-{station.identity}", int(seconds / 5), 5.0)))

    def over(self, since: float = 0.0) -> list[tuple[float, float]]:
        """Moments at which more flowed than the fuse says."""
        return [(at, flow) for at, flow in self.flows if at >= since and flow > LIMIT_A + 0.5]

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.world.stop()


def play(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[Scene], Coroutine[Any, Any, None]],
    shared: Plan | None = None,
    days: DayPort | None = None,
) -> Scene:
    scene = Scene(folder, shared or plan(), days)
    monkeypatch.setattr(registry, "build", scene.building.build)

    async def whole() -> None:
        await scene.begin()
        await act(scene)
        await scene.end()

    loop.run(whole(), debug=False)
    return scene


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_step_of_the_background_is_answered_within_a_quarter_of_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    async def act(scene: Scene) -> None:
        await asyncio.sleep(30)
        assert scene.world.assembly
        site = scene.world.assembly.site
        seen["checked"] = [site.charging.connector(key).fallback_a for key in plan_keys()]
        scene.charge(600)
        await asyncio.sleep(240)
        seen["before"] = [station.current_a() for station in scene.stations]
        seen["stepped"] = now()
        scene.building.step_a = STEP_A
        revision = site.meters.revision
        await site.meters.changed(revision)
        await site.meters.changed(site.meters.revision)
        seen["read"] = now()
        await asyncio.sleep(30)
        seen["after"] = [station.current_a() for station in scene.stations]
        seen["writes"] = [at for station in scene.stations for at, _ in station.written() if at >= seen["stepped"]]

    scene = play(tmp_path, monkeypatch, act)
    assert seen["checked"] == [6.0, 6.0, 6.0]
    # What would flow if the gateway died now: 1.13 x 63 A bear the other loads' most and 31 A (exposure).
    assert sum(seen["before"]) == 31, f"{seen['before']}: there was room for more"
    assert sum(seen["after"]) + BASE_A + STEP_A <= LIMIT_A + 0.5
    assert sum(seen["after"]) > 18, f"{seen['after']}: less than there was room for"
    assert min(seen["writes"]) <= seen["read"] + 0.25
    assert not scene.over(seen["stepped"] + 1 + 0.25 + 1)
    assert all(at >= seen["stepped"] for at, _ in scene.over())


def plan_keys() -> list[ConnectorKey]:
    return [spec.key for spec in plan().connectors]


def test_a_dead_meter_leaves_the_fallback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    async def act(scene: Scene) -> None:
        await asyncio.sleep(20)
        scene.charge(900)
        await asyncio.sleep(200)
        seen["before"] = sum(station.current_a() for station in scene.stations)
        scene.meters.cancel()
        await asyncio.sleep(75)
        assert scene.world.assembly
        seen["rung"] = scene.world.assembly.site.balancer.rung()
        seen["alarms"] = [str(alarm.text) for alarm in scene.world.assembly.site.upkeep.alarms.values()]
        seen["blind"] = sum(station.current_a() for station in scene.stations)

    scene = play(tmp_path, monkeypatch, act)
    assert seen["before"] == 31
    assert seen["rung"] is Rung.BLIND
    assert any("main" in text for text in seen["alarms"])
    assert 18.0 <= seen["blind"] <= LIMIT_A - WORST_A
    assert not scene.over()


def test_a_gateway_that_is_killed_and_comes_back_exceeds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows neither what its last life wrote nor what the meter said: it asks, and raises nothing before."""
    seen: dict[str, Any] = {}

    async def act(scene: Scene) -> None:
        await asyncio.sleep(20)
        scene.charge(1500)
        await asyncio.sleep(120)
        seen["before"] = sum(station.current_a() for station in scene.stations)
        scene.meters.cancel()
        await scene.world.crash()
        seen["killed"] = now()
        scene.building.step_a = WORST_A - BASE_A - 1
        await asyncio.sleep(30)
        await scene.world.start()
        scene.start_meter()
        await asyncio.sleep(60)
        seen["after"] = sum(station.current_a() for station in scene.stations)
        scene.meters.cancel()
        await scene.world.crash()
        await asyncio.sleep(330)
        seen["dead"] = [station.current_a() for station in scene.stations]

    scene = play(tmp_path, monkeypatch, act)
    assert seen["before"] == 31
    assert seen["after"] <= LIMIT_A - WORST_A + 1.5
    assert seen["dead"] == [6.0, 6.0, 6.0], "each stepped down by itself at the end of its lease"
    most = max(flow for _, flow in scene.flows)
    assert most <= 1.13 * LIMIT_A, f"{most:.1f} A is more than a breaker of {LIMIT_A:g} A bears for an hour"
    assert not scene.over(seen["killed"] + 30 + 25)


def test_what_can_not_be_noted_is_not_given_to_an_unproven_station(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it is given stays given if the gateway dies, so that the next life has to know of it."""
    seen: dict[str, Any] = {}

    async def act(scene: Scene) -> None:
        await asyncio.sleep(30)
        assert scene.world.assembly
        site = scene.world.assembly.site
        first = scene.stations[0]
        scene.tasks.append(asyncio.create_task(first.session("T-1", 60, 5.0)))
        await asyncio.sleep(0.9)
        scene.world.runner.fails = True
        await asyncio.sleep(40)
        seen["bad"] = (first.written(), site.balancer.noted.get(plan_keys()[0]))
        scene.world.runner.fails = False
        await asyncio.sleep(40)
        seen["good"] = first.current_a()
        seen["noted"] = site.charging.connector(plan_keys()[0]).ceiling_a

    play(tmp_path, monkeypatch, act, plan(proven=False))
    written, ceiling = seen["bad"]
    assert (written, ceiling) == ([], None)
    assert 6 < seen["good"] <= LIMIT_A - WORST_A - 12
    assert seen["noted"] == seen["good"]


def test_what_was_learned_of_the_background_outlives_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    async def act(scene: Scene) -> None:
        await asyncio.sleep(400)
        assert scene.world.assembly
        seen["recorded_s"] = scene.world.assembly.site.balancer.rises["main"].recorded_s
        scene.meters.cancel()
        await scene.world.crash()
        await scene.world.start()
        assert scene.world.assembly
        await asyncio.sleep(1)
        balancer = scene.world.assembly.site.balancer
        seen["loaded_s"], seen["steps"] = balancer.rises["main"].recorded_s, sum(balancer.steps["main"].counts[0])

    monkeypatch.setattr(balance, "SAVED_EVERY_S", 100.0)
    play(tmp_path, monkeypatch, act)
    assert 0 < seen["recorded_s"] - seen["loaded_s"] <= 110
    assert 280 < seen["steps"] <= 400, "one for each reading of the meter, not for each decision"


@pytest.mark.parametrize(("defies_a", "default_a"), [(34.0, [6.0]), (60.0, [])])
def test_a_station_that_gives_all_it_has_is_told_again_asked_and_stopped_until_it_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, defies_a: float, default_a: list[float]
) -> None:
    """Where it is far too much for the fuse, 0 A is the first remedy; the first call to stop it comes to nothing."""
    seen: dict[str, Any] = {}

    async def act(scene: Scene) -> None:
        await asyncio.sleep(30)
        scene.charge(600)
        await asyncio.sleep(120)
        deaf = scene.stations[0]
        seen["before"] = len(deaf.heard)
        deaf.defies_a, deaf.refuses_stops = defies_a, 1
        seen["began"] = now()
        await asyncio.sleep(100)
        seen["heard"] = deaf.heard[seen["before"] :]
        seen["current"] = [station.current_a() for station in scene.stations]

    scene = play(tmp_path, monkeypatch, act)
    calls = [(action, said) for _, action, said in seen["heard"]]
    profiles = [said["csChargingProfiles"] for action, said in calls if action == "SetChargingProfile"]
    defaults = [one for one in profiles if one["chargingProfilePurpose"] == "TxDefaultProfile"]
    limits = [amps for at, amps in scene.stations[0].written() if at >= seen["began"]]
    assert [one["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"] for one in defaults] == default_a, (
        "stays there"
    )
    assert limits[-1] == 0.0
    assert ("TriggerMessage", {"requestedMessage": "MeterValues", "connectorId": 1}) in calls
    assert [action for action, _ in calls].count("RemoteStopTransaction") == 2
    assert seen["current"][0] == 0.0
    assert len(scene.over(seen["began"])) < 10 * 40
