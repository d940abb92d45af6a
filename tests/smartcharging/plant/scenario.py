"""Scenarios as TOML: a site, what happens there and when, and what may come of it at most.

seconds = 600
[circuit.main]
limit_a = 63              # background_a: the worst case that is configured; rise_a: what is on record
background_a = 30
metered = true
[[station]]               # `count` alike ones; phases "rotated" turns from one to the next
count = 4
circuit = "main"
family = "plain"          # chargers.FAMILIES
car = { max_a = 32 }      # plugged at `plug_at`; without it the place is empty
[[background]]
at = 100
circuit = "main"
a = 25                    # or three values
[[event]]                 # cut, reboot, plug, unplug, meter, kill, cap, phases (most that the CSMS allows)
at = 120
do = "cut"
station = "CP-01"
seconds = 60
[expect]
worst = 1.13              # of any limit
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from gateway.model.balance import ExternalCap, Policy
from gateway.model.ids import StationId
from gateway.model.site_tree import Amps, CircuitNode, ConnectorKey, ConnectorSpec, Mode
from gateway.smartcharging.fallback import choose
from tests.smartcharging.plant.cars import Car, Wakes
from tests.smartcharging.plant.chargers import FAMILIES, Outlet
from tests.smartcharging.plant.links import Weather
from tests.smartcharging.plant.meters import Meter, MeterFault
from tests.smartcharging.plant.world import World

HERE = Path(__file__).parent / "scenarios"
ROTATED = ((0, 1, 2), (1, 2, 0), (2, 0, 1))
PHASES = {"L1L2L3": (0, 1, 2), "L2L3L1": (1, 2, 0), "L3L1L2": (2, 0, 1), "L1": (0,), "L2": (1,), "L3": (2,)}


@dataclass(frozen=True, slots=True)
class Expect:
    """Most of each: part of any limit, seconds without a break above the limit and above 1.25 of it, breaker's heat.
    `least_share`: part of the first circuit's limit that is used at the end."""

    worst: float = 1.13
    over_s: float = 60.0
    far_over_s: float = 10.0
    heat: float = 1.0
    judged: bool = True
    least_share: float = 0.0


@dataclass(slots=True)
class Scenario:
    world: World
    seconds: float
    expect: Expect


def load(path: Path) -> Scenario:
    return build(tomllib.loads(path.read_text(encoding="utf-8")))


def build(told: Mapping[str, Any]) -> Scenario:
    """Raise ValueError if the site can't be safe."""
    nodes, rises = _circuits(told["circuit"])
    families = {station.get("family", "plain") for station in told["station"]}
    specs, outlets, cars = _stations(told["station"])
    choice = choose(nodes, specs)
    if choice.failures:
        raise ValueError("; ".join(failure.text for failure in choice.failures))
    for key, outlet in outlets.items():
        outlet.fallback_a = choice.tree.fallback_a[key]
    policy = dict(told.get("policy", {}))
    policy["mode"] = Mode(policy.get("mode", Mode.EQUAL))
    weather = Weather(**told.get("links", {}))
    meter = told.get("meter", {})
    meters = [Meter(node.id, max(node.limit_a), **meter) for node in nodes if node.metered]
    expect = Expect(**told.get("expect", {}))
    judged = expect.judged and "deaf" not in families
    world = World(
        choice.tree,
        outlets.values(),
        policy=Policy(**policy),
        seed=told.get("seed", 1),
        weather=weather,
        meters=meters,
        judged=judged,
        is_calm=told.get("is_calm", False),
    )
    world.gateway.rises = rises
    for key, (when, car) in cars.items():
        world.at(when, lambda key=key, car=car: world.stations.plug(key, car))  # type: ignore[misc]
    traces: dict[str, list[tuple[float, Amps]]] = {}
    for one in told.get("background", ()):
        traces.setdefault(one["circuit"], []).append((one["at"], _amps(one["a"])))
    for circuit, trace in traces.items():
        world.plan_background(circuit, trace)
    for event in told.get("event", ()):
        _plan(world, event)
    return Scenario(world, told["seconds"], expect)


def _amps(told: float | list[float]) -> Amps:
    if isinstance(told, list):
        first, second, third = told
        return (first, second, third)
    return (told, told, told)


def _circuits(told: Mapping[str, Any]) -> tuple[list[CircuitNode], dict[str, Amps]]:
    nodes, rises = [], {}
    for name, one in told.items():
        circuit = dict(one)
        if "rise_a" in circuit:
            rises[name] = _amps(circuit.pop("rise_a"))
        for member in ("limit_a", "background_a"):
            if member in circuit:
                circuit[member] = _amps(circuit[member])
        nodes.append(CircuitNode(id=name, **circuit))
    return nodes, rises


def _stations(
    told: list[dict[str, Any]],
) -> tuple[list[ConnectorSpec], dict[ConnectorKey, Outlet], dict[ConnectorKey, tuple[float, Car]]]:
    specs: list[ConnectorSpec] = []
    outlets, cars = {}, {}
    for one in told:
        station = dict(one)
        family = station.pop("family", "plain")
        car, when, gap = station.pop("car", None), station.pop("plug_at", 1.0), station.pop("plug_gap", 0.5)
        phases, traits = station.pop("phases", "rotated"), dict(station.pop("traits", {}))
        for _ in range(station.pop("count", 1)):
            number = len(specs)
            own = ROTATED[number % 3] if phases == "rotated" else PHASES[phases]
            key = ConnectorKey(StationId(f"CP-{number + 1:02}"), 1)
            spec = ConnectorSpec(key=key, phases=own, pausable=family != "stubborn", **_without(station, "count"))
            specs.append(spec)
            outlets[key] = Outlet(spec, 0.0, replace(FAMILIES[family], **traits))
            if car is not None:
                cars[key] = (when, Car(**{**car, "wakes": Wakes(car.get("wakes", "prompt"))}))
                when += gap
    return specs, outlets, cars


def _without(told: Mapping[str, Any], member: str) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name != member}


def _plan(world: World, event: Mapping[str, Any]) -> None:
    station = StationId(event.get("station", ""))
    seconds = event.get("seconds", inf)
    key = ConnectorKey(station, 1)
    actions: dict[str, Callable[[], None]] = {
        "cut": lambda: world.stations.cut(station, seconds),
        "reboot": lambda: world.stations.reboot(station, seconds),
        "plug": lambda: world.stations.plug(key, Car(**event.get("car", {}))),
        "unplug": lambda: world.stations.unplug(key),
        "kill": lambda: world.kill(seconds),
        "meter": lambda: world.readings.fail(event["circuit"], MeterFault(event["fault"]), seconds),
        "cap": lambda: world.gateway.cap(ExternalCap(circuit=event["circuit"], limit_w=event["limit_w"]), seconds),
        "phases": lambda: world.gateway.know(key, phase_cap=event["phases"]),
        "cut-all": lambda: world.stations.cut_all(seconds),
    }
    world.at(event["at"], actions[event["do"]])
