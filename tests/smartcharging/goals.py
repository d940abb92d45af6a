"""Goals as commands: `python -m tests.smartcharging.goals [G2 G3 ...] [--short]`. Exit status 1 if one is missed.

G1 own commands, G2 reaction, G3 a day, G4 a silent meter, G5 deaths of the gateway, G8 shortage, G9 stability, G10
writes (with G3), G12 waking up. (D9's words and numbers where they differ from the goals' own.) G1 takes hours:
--traces, --jobs and --minutes say how much of it; with --resume FILE it may be killed at any time and goes on there.
"""

import json
import random
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from math import ceil, inf
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import click

from gateway.model.balance import Rung, Urgency
from tests.smartcharging import scenes
from tests.smartcharging.plant.cars import Wakes
from tests.smartcharging.plant.report import borne
from tests.smartcharging.plant.scenario import build
from tests.smartcharging.plant.world import World

SEED = 20
TRACES_A_ROUND = 100


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, what it may be, and whether it is."""

    name: str
    value: float
    most: float
    unit: str = ""
    is_least: bool = False

    @property
    def is_met(self) -> bool:
        return self.value >= self.most if self.is_least else self.value <= self.most

    def __str__(self) -> str:
        sign = ">=" if self.is_least else "<="
        verdict = "ok" if self.is_met else "MISSED"
        return f"{self.name}: {self.value:.4g} {self.unit} ({sign} {self.most:g}) {verdict}".replace("  ", " ")


@dataclass(slots=True)
class Traces:
    """G1's traces so far: how many, which of them were wrong, and how long that took."""

    wanted: int = 2000
    jobs: int = 1
    minutes: float = inf
    resume: Path | None = None
    done: int = 0
    wrong: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def load(self) -> None:
        if self.resume is not None and self.resume.exists():
            kept = json.loads(self.resume.read_text())
            self.done, self.wrong, self.seconds = kept["done"], kept["wrong"], kept["seconds"]

    def save(self) -> None:
        if self.resume is not None:
            fresh = self.resume.with_suffix(".new")
            fresh.write_text(json.dumps({"done": self.done, "wrong": self.wrong, "seconds": self.seconds}))
            fresh.replace(self.resume)


def is_wrong(seed: int) -> bool:
    return bool(scenes.play(scenes.scene(SEED * 1000 + seed), 200))


def own_commands(*, short: bool, traces: Traces | None = None) -> Iterator[Figure]:
    """G1: calls of up to 30 s, losses, answers that never come; the background falls only."""
    so_far = traces or Traces(3)
    if short:
        so_far.wrong = [seed for seed in range(so_far.wanted) if is_wrong(seed)]
        so_far.done = so_far.wanted
    else:
        _play_traces(so_far)
    if so_far.seconds:
        print(f"G1 plays {60 * so_far.done / so_far.seconds:.0f} traces of 200 s a minute; wrong: {so_far.wrong[:20]}")
    yield Figure(f"traces of {so_far.done} with more permitted than the limit", len(so_far.wrong), 0)


def _play_traces(so_far: Traces) -> None:
    so_far.load()
    before, since = so_far.seconds, perf_counter()
    with ProcessPoolExecutor(so_far.jobs) as pool:
        while so_far.done < so_far.wanted and perf_counter() - since < 60 * so_far.minutes:
            seeds = range(so_far.done, min(so_far.done + TRACES_A_ROUND, so_far.wanted))
            so_far.wrong += [
                seed for seed, bad in zip(seeds, pool.map(is_wrong, seeds, chunksize=2), strict=True) if bad
            ]
            so_far.done, so_far.seconds = seeds.stop, before + perf_counter() - since
            so_far.save()


def _site(cars: int, limit: float, worst: float, **more: Any) -> dict[str, Any]:
    return {
        "seconds": 0,
        "circuit": {"main": {"limit_a": limit, "background_a": worst, "metered": True, **more.pop("main", {})}},
        "station": [{"count": cars, "circuit": "main", "car": {}, **more.pop("station", {})}],
        **more,
    }


def reaction(*, short: bool) -> Iterator[Figure]:
    """G2: the background rises by 40 % of the limit while everybody charges at the limit."""
    times, rng = [], random.Random(SEED)
    for seed in range(4 if short else 100):
        limit = 250.0
        told = _site(54, limit, limit * 0.7, main={"rise_a": limit * 0.5}, seed=seed)
        if short:
            limit = 63.0
            told = _site(6, limit, limit * 0.7, main={"rise_a": limit * 0.5}, seed=seed)
        steps = [(0.0, limit * 0.2), (120.0 + rng.random(), limit * 0.6)]
        told["background"] = [{"at": at, "circuit": "main", "a": amps} for at, amps in steps]
        told["links"] = {"least_s": 0.3, "most_s": 2.0}
        told["station"][0]["car"] = {"fall_s": rng.uniform(0.3, 2.0), "fall_a_s": rng.choice([6.0, 20.0])}
        world = build(told).world
        world.run(150)
        times.append(max(breaker.stretch_over_s(1.0) for breaker in world.breakers))
    times.sort()
    yield Figure("time over the limit, p50", times[len(times) // 2], 5.0, "s")
    yield Figure("time over the limit, p99", times[int(len(times) * 0.99)], 10.0, "s")


def day_site(hours: float, cars: int = 54, *, steps: int = 100, noise: float = 0.0, seed: int = SEED) -> dict[str, Any]:
    """A day of sessions at a site of four circuits, with loads that jump `steps` times."""
    rng = random.Random(seed)
    seconds, main = hours * 3600, 4.5 * cars
    told: dict[str, Any] = {
        "seconds": seconds,
        "is_calm": True,
        "seed": seed,
        "policy": {"mode": "need-weighted"},
        "meter": {"noise": noise},
        "circuit": {
            "main": {"limit_a": main, "background_a": main * 0.4, "metered": True, "rise_a": main * 0.35},
            **{f"row{i}": {"limit_a": main * 0.45, "parent": "main"} for i in range(3)},
        },
    }
    told["station"] = [
        {"circuit": f"row{i % 3}", "phases": rng.choice(["rotated", "rotated", "L1", "L2", "L3"])} for i in range(cars)
    ]
    told["background"] = [
        {"at": rng.uniform(0, seconds), "circuit": "main", "a": [rng.uniform(0.05, 0.4) * main for _ in range(3)]}
        for _ in range(steps)
    ]
    told["background"].append({"at": 0, "circuit": "main", "a": main * 0.1})
    told["event"] = list(_sessions(rng, cars, seconds))
    return told


def _sessions(rng: random.Random, cars: int, seconds: float) -> Iterator[dict[str, Any]]:
    for number in range(cars):
        at = rng.uniform(60, seconds * 0.3)
        while at < seconds - 900:
            stays = rng.uniform(3600, 6 * 3600)
            car = {
                "max_a": rng.choice([32.0, 16.0]),
                "phases": rng.choice([3, 3, 1]),
                "start_s": rng.uniform(10, 40),
                "rise_a_s": rng.choice([0.5, 2.0]),
                "need_ah": rng.uniform(10, 90),
            }
            station = f"CP-{number + 1:02}"
            yield {"at": at, "do": "plug", "station": station, "car": car}
            yield {"at": at + stays, "do": "unplug", "station": station}
            at += stays + rng.uniform(600, 3 * 3600)


def day(*, short: bool) -> Iterator[Figure]:
    """G3 and G10: 24 h, 54 connectors, 100 steps of the background."""
    hours = 0.5 if short else 24.0
    told = day_site(hours, 8 if short else 54, steps=3 if short else 100)
    world = build(told).world
    began = perf_counter()
    world.run(told["seconds"])
    over = [one for breaker in world.breakers for one in [breaker.over_s(1.05)]]
    yield Figure("violations of the invariants", len(world.wrong), 0)
    yield Figure("time above 105 % of a limit, all phases of the worst circuit", max(over), 60.0 * hours / 24, "s")
    yield Figure("longest above 125 %", max(one.far_over_s for one in borne(world)), 10.0, "s")
    yield Figure("hottest breaker", max(one.heat for one in borne(world)), 1.0)
    yield from _writes(world, told)
    yield Figure("time it took", perf_counter() - began, 300.0, "s")


def _writes(world: World, told: dict[str, Any]) -> Iterator[Figure]:
    ends = told["seconds"]
    hours = sum(one["at"] * (1 if one["do"] == "unplug" else -1) for one in told["event"]) / 3600
    hours = min(hours, len(world.outlets) * ends / 3600)
    mine: dict[object, list[float]] = {}
    for at, write in world.gateway.log:
        if write.urgency is not Urgency.CUT:
            mine.setdefault(write.key, []).append(at)
    most = max((_most_in_an_hour(times) for times in mine.values()), default=0)
    yield Figure("writes an hour of a plugged car, mean", len(world.gateway.log) / max(hours, 1e-9), 30.0)
    yield Figure("writes but cuts in any hour of a connector", most, 30.0)


def _most_in_an_hour(times: list[float]) -> int:
    return max(sum(1 for at in times if begin <= at < begin + 3600) for begin in times)


def silent_meter(*, short: bool) -> Iterator[Figure]:
    """G4: when each rung is reached after the last reading of a 1 s meter."""
    del short
    told = _site(6, 63.0, 30.0, event=[{"at": 100, "do": "meter", "circuit": "main", "fault": "silent"}])
    world = build(told).world
    world.run(101.5)
    last = world.gateway.readings["main"].at
    reached: dict[Rung, float] = {}
    while world.now < last + 80:
        world.run(world.now + 0.05)
        assert world.gateway.decision is not None
        reached.setdefault(world.gateway.decision.backgrounds[0].rung, world.now - last)
    for rung, wanted in ((Rung.LATE, 3.0), (Rung.STALE, 10.0), (Rung.BLIND, 60.0)):
        yield Figure(f"{rung.name.lower()} after {reached[rung]:.2f} s, off by", abs(reached[rung] - wanted), 1.0, "s")


def redistribution() -> World:
    """A car comes, the loads rise, a link goes: everybody has to be told something else."""
    told = _site(5, 63.0, 30.0, main={"rise_a": 16}, station={"plug_gap": 1.0})
    told["station"].append({"circuit": "main", "family": "unproven", "car": {}, "plug_at": 90})
    told["background"] = [{"at": 0, "circuit": "main", "a": 5}, {"at": 100, "circuit": "main", "a": 20}]
    told["event"] = [{"at": 110, "do": "cut", "station": "CP-02", "seconds": 30}]
    told["links"] = {"least_s": 0.2, "most_s": 4.0}
    return build(told).world


def deaths(*, short: bool) -> Iterator[Figure]:
    """G5: dead after each message of a redistribution, for good and for 15 s."""
    wrong, hottest, played, worst = 0, 0.0, 0, 0.0
    for restart_s in (1e9, 15.0):
        boundary = 1
        while True:
            world = redistribution()
            world.die_at, world.restart_s = boundary, restart_s
            world.run(600 if restart_s < 1e9 else 500)
            if world.boundaries < boundary:
                break
            played += 1
            wrong += bool(world.wrong)
            hottest = max(hottest, *(one.heat for one in borne(world)))
            worst = max(worst, *(one.worst_a / one.limit_a for one in borne(world)))
            boundary += 45 if short else 1
    yield Figure(f"deaths of {played} after which an invariant did not hold", wrong, 0)
    yield Figure("worst current, part of the limit", worst, 1.13)
    yield Figure("hottest breaker", hottest, 1.0)


def shortage(*, short: bool) -> Iterator[Figure]:
    """G8: k of n can have 6 A."""
    quantum = 600.0 if short else 1200.0
    for n, k in ((3, 1),) if short else ((2, 1), (3, 1), (5, 2), (7, 3), (10, 4)):
        limit = 6.0 * k + 3.0
        seconds = quantum * ceil(n / k) * (2 if short else 3) + 600
        told = _site(n, limit, 0.0, policy={"quantum_s": quantum})
        told["circuit"]["main"]["metered"] = False
        world = build(told).world
        used, waits, since = 0.0, 0.0, dict.fromkeys(world.outlets, 60.0)
        while world.now < seconds:
            world.run(world.now + 5)
            if world.now > 300:
                used += 5 * world.flow[0] / limit
            for key, outlet in world.outlets.items():
                if outlet.drawn() and outlet.drawn()[0] > 0:
                    since[key] = world.now
                waits = max(waits, world.now - since[key])
        switches = _switches(world)
        part = used / (seconds - 300)
        yield Figure(f"{k} of {n}: usable current that is used", part, 0.95, is_least=True)
        yield Figure(f"{k} of {n}: longest wait, in quanta", waits / quantum, ceil(n / k) - 1 + 0.15)
        yield Figure(f"{k} of {n}: switchings per car and hour", switches / (seconds / 3600) / n, 2.0)


def _switches(world: World) -> float:
    """Cars that were let in."""
    last: dict[object, float] = {}
    count = 0
    for _at, write in world.gateway.log:
        count += last.get(write.key, 0.0) == 0 < write.amps and write.urgency is not Urgency.RENEW
        last[write.key] = write.amps
    return count


def stability(*, short: bool) -> Iterator[Figure]:
    """G9: +-5 % of noise, cars that lag for 10 to 40 s."""
    hours = 0.15 if short else 24.0
    rng = random.Random(SEED)
    told = _site(1, 100.0, 50.0, main={"rise_a": 20.0}, meter={"noise": 0.05})
    told["station"] = [
        {"circuit": "main", "car": {"start_s": rng.uniform(10, 40), "react_s": rng.uniform(1, 40), "rise_a_s": 0.5}}
        for _ in range(8)
    ]
    told["background"] = [{"at": 0, "circuit": "main", "a": 30}]
    world = build(told).world
    world.run(hours * 3600)
    turns = [_turns_of(world, key) for key in world.outlets]
    yield Figure("changes of direction of a connector in 10 min, the most", max(turns), 2)
    yield Figure("writes per connector and hour", len(world.gateway.log) / hours / 8, 30)
    yield Figure("violations", len(world.wrong), 0)


def _turns_of(world: World, key: object) -> int:
    """The most changes of direction within any ten minutes, the first minutes left out."""
    turns, last, way = [], None, 0
    for at, write in world.gateway.log:
        if write.key != key or write.urgency is Urgency.RENEW:
            continue
        if last is not None and write.amps != last:
            new = 1 if write.amps > last else -1
            if way and new != way and at > 300:
                turns.append(at)
            way = new
        last = write.amps
    return max((sum(1 for at in turns if begin <= at < begin + 600) for begin in turns), default=0)


def waking(*, short: bool) -> Iterator[Figure]:
    """G12: in a shortage all are paused again and again. Of 100 cars 85 wake at once, 8 late, 7 by the edge only."""
    rng = random.Random(SEED)
    kinds = [Wakes.PROMPT] * 85 + [Wakes.SLOW] * 8 + [Wakes.EDGE] * 7
    rng.shuffle(kinds)
    woke: list[float] = []
    paused = 0
    for begin in range(0, 4 if short else 100, 4):
        told = _site(1, 13.0, 0.0, policy={"quantum_s": 600.0}, seed=begin)
        told["circuit"]["main"]["metered"] = False
        told["station"] = [
            {
                "circuit": "main",
                "car": {"start_s": rng.uniform(10, 40), "slow_s": rng.uniform(60, 150), "wakes": str(kind)},
            }
            for kind in kinds[begin : begin + 4]
        ]
        world = build(told).world
        world.run(3600 if short else 3 * 3600)
        woke += [seconds for _key, seconds in world.stations.woken]
        late = [o.car for o in world.outlets.values() if o.car is not None and o.car.resumed_at is not None]
        paused += sum(1 for car in late if car.resumed_at is not None and world.now - car.resumed_at > 180)
    in_time = sum(1 for seconds in woke if seconds <= 180)
    yield Figure(
        f"of {len(woke) + paused} times a car was let in again, it drew within 3 min",
        in_time / (len(woke) + paused),
        0.99,
        is_least=True,
    )


GOALS: dict[str, Callable[..., Iterator[Figure]]] = {
    "G1": own_commands,
    "G2": reaction,
    "G3": day,
    "G4": silent_meter,
    "G5": deaths,
    "G8": shortage,
    "G9": stability,
    "G12": waking,
}


@click.command(help=__doc__)
@click.argument("goals", nargs=-1, type=click.Choice(list(GOALS)))
@click.option("--short", is_flag=True, help="As the tests do it.")
@click.option("--traces", default=100_000, show_default=True, help="Of G1.")
@click.option("--jobs", default=1, show_default=True, help="Processes for G1.")
@click.option("--minutes", default=inf, help="G1 stops then.")
@click.option("--resume", type=click.Path(path_type=Path), help="File that keeps how far G1 came.")
def main(goals: tuple[str, ...], *, short: bool, traces: int, jobs: int, minutes: float, resume: Path | None) -> None:
    missed = 0
    for name in goals or GOALS:
        began, spent = perf_counter(), process_time()
        more = {"traces": Traces(traces, jobs, minutes, resume)} if name == "G1" and not short else {}
        for figure in GOALS[name](short=short, **more):
            print(f"{name} {figure}", flush=True)
            missed += not figure.is_met
        print(f"{name} took {perf_counter() - began:.0f} s, {process_time() - spent:.0f} s of this core", flush=True)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
