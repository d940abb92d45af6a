"""Random quarters of an hour with every fault there is: `python -m tests.smartcharging.storm --seeds N --from K`.

Each seed is a site with stations, cars, links and meters of all kinds, cuts, reboots, restarts of the gateway, loads
that jump, meters that fail. Judged by the truth of the plant: the invariants of D9 at every decision and while the
gateway is dead, and what the breakers bore.

What no gateway can hold is counted by itself: breakers that trip because a deaf station (Accepted, and all it has)
draws more than it was ever told while no gateway is alive or for 20 s after a start, or while its link is cut (or a
message on it is under way, or a call unanswered, for more than 5 s); where a meter shows that, only as far as such
stations and the background alone are over the limit. The same breakers are judged without that part. While a meter lies
(reversed, phases swapped) exposure is not judged, nor is the worst current of that seed. With --resume FILE the command
may be killed at any time and goes on where it was, figures and all.
"""

import random
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import msgspec

from gateway.smartcharging.history import WINDOW_S
from tests.smartcharging.plant.report import Borne, borne, play
from tests.smartcharging.plant.scenario import LIES, build

SECONDS = 900
SAVED_EVERY = 50
PHYSICAL_ONLY = 3.0
"""A worst current that nothing reaches: heat is what counts then."""


@dataclass(frozen=True, slots=True)
class Played:
    """`circuits`: what each had to bear. `is_odd`: a meter lies, or a station is deaf. `stopped`: stations that obey,
    and were stopped all the same."""

    seed: int
    wrong: tuple[str, ...]
    is_odd: bool
    circuits: tuple[Borne, ...]
    stopped: int = 0


def scene(seed: int) -> dict[str, Any]:
    """As a scenario's TOML would say it."""
    rng = random.Random(seed)
    main = rng.choice([32.0, 40.0, 63.0, 80.0])
    worst = rng.choice([0.0, 5.0, main / 4, main / 2])
    metered = rng.random() < 0.85
    trace = _trace(rng, worst)
    told: dict[str, Any] = {
        "seconds": SECONDS,
        "seed": seed,
        "policy": {"mode": rng.choice(["equal", "need-weighted", "priority"]), "quantum_s": 300.0},
        "circuit": {
            "main": {"limit_a": main, "background_a": worst, "metered": metered},
            "a": {"limit_a": rng.choice([20.0, 32.0]), "parent": "main"},
            "b": {"limit_a": [32.0, 32.0, 25.0], "parent": "main"},
        },
        "links": {
            "most_s": rng.choice([0.4, 0.4, 3.0, 29.0]),
            "lost": rng.choice([0, 0, 0.2]),
            "unanswered": rng.choice([0, 0, 0.2]),
        },
        "meter": {"interval_s": rng.choice([1.0, 1.0, 2.0, 5.0]), "noise": rng.choice([0.0, 0.01])},
        "background": [{"at": at, "circuit": "main", "a": list(amps)} for at, amps in trace],
    }
    if rng.random() < 0.5:
        told["circuit"]["main"]["rise_a"] = _largest_rise(trace)
    told["station"] = [_station(rng) for _ in range(rng.randint(3, 10))]
    told["event"] = list(_events(rng, len(told["station"]), metered=metered))
    told["event"] += _phase_caps(random.Random(f"phases {seed}"), len(told["station"]))
    if is_odd(told):
        told["expect"] = {"worst": PHYSICAL_ONLY, "over_s": SECONDS, "far_over_s": SECONDS}
    else:
        told["expect"] = {"worst": 1.14, "over_s": SECONDS}
    return told


def is_odd(told: dict[str, Any]) -> bool:
    """Whether a meter lies, or a station is deaf: then current may be far over a limit for a while."""
    lies = any(event.get("fault") in LIES for event in told["event"])
    return lies or any(station["family"] == "deaf" for station in told["station"])


def _trace(rng: random.Random, worst: float) -> list[tuple[float, tuple[float, float, float]]]:
    moments = [0.0, *sorted(rng.uniform(60, SECONDS) for _ in range(rng.randint(0, 8)))]
    return [(at, (rng.uniform(0, worst), rng.uniform(0, worst), rng.uniform(0, worst))) for at in moments]


def _largest_rise(trace: list[tuple[float, tuple[float, float, float]]]) -> list[float]:
    """Per phase, within a record's window, whatever came between; with a margin, as a record has it."""
    most = [0.0, 0.0, 0.0]
    for i, (_at, before) in enumerate(trace):
        ends = trace[i + 1][0] if i + 1 < len(trace) else SECONDS
        for at, after in trace[i + 1 :]:
            if at <= ends + WINDOW_S:
                most = [max(rise, new - old) for rise, new, old in zip(most, after, before, strict=True)]
    return [1.1 * rise for rise in most]


def _station(rng: random.Random) -> dict[str, Any]:
    families = ["plain", "plain", "plain", "slow", "unproven", "watts", "moody", "refusing"]
    family = "deaf" if rng.random() < 0.01 else rng.choice(families)
    told: dict[str, Any] = {
        "family": family,
        "circuit": rng.choice(["main", "a", "b"]),
        "phases": rng.choice(["rotated", "L1L2L3", "L1", "L3"]),
        "switchable": family != "watts" and rng.random() < 0.2,
        "rank": rng.randrange(2),
    }
    if rng.random() < 0.6:
        told["car"], told["plug_at"] = _car(rng), rng.uniform(1, 200)
    return told


def _car(rng: random.Random) -> dict[str, Any]:
    return {
        "max_a": rng.choice([32.0, 32.0, 16.0, 10.0]),
        "phases": rng.choice([3, 3, 1]),
        "start_s": rng.uniform(2, 40),
        "rise_a_s": rng.choice([0.5, 2.0, 10.0]),
        "fall_a_s": rng.choice([5.0, 20.0]),
        "wakes": rng.choice(["prompt", "prompt", "slow", "edge"]),
        "need_ah": rng.choice([0.5, 3.0, 1e9]),
    }


def _events(rng: random.Random, stations: int, *, metered: bool) -> Iterable[dict[str, Any]]:
    for _ in range(rng.randint(2, 10)):
        at, station = rng.uniform(10, SECONDS - 50), f"CP-{rng.randint(1, stations):02}"
        dice = rng.random()
        if dice < 0.25:
            yield {"at": at, "do": "plug", "station": station, "car": _car(rng)}
        elif dice < 0.4:
            yield {"at": at, "do": "unplug", "station": station}
        elif dice < 0.6:
            yield {"at": at, "do": "cut", "station": station, "seconds": rng.choice([5, 40, 400])}
        elif dice < 0.7:
            yield {"at": at, "do": "reboot", "station": station, "seconds": rng.choice([10, 60])}
        elif dice < 0.75:
            yield {"at": at, "do": "cut-all", "seconds": rng.choice([10, 100, 400])}
        elif dice < 0.83:
            yield {"at": at, "do": "kill", "seconds": rng.choice([5, 15, 60, 1e9])}
        elif metered:
            faults = ["silent", "frozen", "bad", "silent", "frozen", "bad", "flipped", "swapped"]
            yield {
                "at": at,
                "do": "meter",
                "circuit": "main",
                "fault": rng.choice(faults),
                "seconds": rng.choice([3, 15, 120]),
            }


def _phase_caps(rng: random.Random, stations: int) -> Iterable[dict[str, Any]]:
    """The CSMS allows one phase, and three again. Own dice: the other events stay as they were."""
    for _ in range(rng.choice([0, 0, 0, 2, 6])):
        station = f"CP-{rng.randint(1, stations):02}"
        yield {"at": rng.uniform(10, SECONDS), "do": "phases", "station": station, "phases": rng.choice([1, 3])}


def run(seed: int) -> Played:
    told = scene(seed)
    world = (scenario := build(told)).world
    wrong = tuple(play(scenario))
    stopped = sum(not world.outlets[key].traits.deaf for key in world.stations.stopped)
    return Played(seed, wrong, is_odd(told), tuple(borne(world)), stopped)


@dataclass(slots=True)
class Worst:
    """The most any circuit of a name had to bear, and the seed of it."""

    part: float = 0.0
    part_seed: int = 0
    longest_s: float = 0.0
    longest_seed: int = 0
    heat: float = 0.0
    heat_seed: int = 0

    def add(self, seed: int, one: Borne) -> None:
        if one.worst_a > self.part * one.limit_a:
            self.part, self.part_seed = one.worst_a / one.limit_a, seed
        if one.longest_s > self.longest_s:
            self.longest_s, self.longest_seed = one.longest_s, seed
        if one.spared_heat > self.heat:
            self.heat, self.heat_seed = one.spared_heat, seed

    def __str__(self) -> str:
        return (
            f"worst {100 * self.part:.0f} % of its limit (seed {self.part_seed}), longest over it "
            f"{self.longest_s:.0f} s (seed {self.longest_seed}), heat {self.heat:.2f} (seed {self.heat_seed})"
        )


@dataclass(slots=True)
class Figures:
    """Of all seeds played so far, those of before a restart too. `defied`: seeds with a breaker that trips by what deaf
    stations take while nobody can tell them anything. `stopped`: stations that obey, and were stopped."""

    first: int
    done: int = 0
    violations: list[int] = field(default_factory=list)
    odd: int = 0
    defied: list[int] = field(default_factory=list)
    defied_heat: float = 0.0
    stopped: int = 0
    seconds: float = 0.0
    even_circuits: dict[str, Worst] = field(default_factory=dict)
    odd_circuits: dict[str, Worst] = field(default_factory=dict)

    def add(self, played: Played) -> None:
        self.done += 1
        self.odd += played.is_odd
        self.stopped += played.stopped
        if played.wrong:
            self.violations.append(played.seed)
        circuits = self.odd_circuits if played.is_odd else self.even_circuits
        for one in played.circuits:
            circuits.setdefault(one.circuit, Worst()).add(played.seed, one)
            if one.heat > 1.0 >= one.spared_heat:
                self.defied_heat = max(self.defied_heat, one.heat)
                if played.seed not in self.defied:
                    self.defied.append(played.seed)

    def lines(self) -> Iterator[str]:
        yield (
            f"{self.done} seeds from {self.first}, of {SECONDS} s: {len(self.violations)} with violations"
            f"{f' {self.violations[:20]}' if self.violations else ''}; {60 * self.done / self.seconds:.0f} a minute"
        )
        for name, one in self.even_circuits.items():
            yield f"  circuit {name}: {one}"
        for name, one in self.odd_circuits.items():
            yield f"  circuit {name}, of the {self.odd} seeds in which a meter lies or a station is deaf: {one}"
        yield f"  stations that obey and were stopped: {self.stopped}"
        yield (
            f"  a deaf station that nobody can tell anything: a breaker trips in {len(self.defied)} seeds"
            f"{f' {self.defied[:20]}, heat up to {self.defied_heat:.2f}' if self.defied else ''}"
        )


def load(resume: Path | None, first: int) -> Figures:
    if resume is None or not resume.exists():
        return Figures(first)
    kept = msgspec.json.decode(resume.read_bytes(), type=Figures)
    if kept.first != first:
        raise click.UsageError(f"{resume} is about the seeds from {kept.first}")
    return kept


def save(resume: Path | None, figures: Figures) -> None:
    """Whole or not at all, whenever it is killed."""
    if resume is not None:
        fresh = resume.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(figures))
        fresh.replace(resume)


@click.command(help=__doc__)
@click.option("--seeds", default=100, show_default=True)
@click.option("--from", "first", default=0, show_default=True, help="The first seed.")
@click.option("--jobs", default=1, show_default=True, help="Processes.")
@click.option("--resume", type=click.Path(path_type=Path), help="File that keeps how far it came, and the figures.")
@click.option("--minutes", default=inf, help="Stop then.")
def main(seeds: int, first: int, jobs: int, resume: Path | None, minutes: float) -> None:
    figures = load(resume, first)
    if figures.done:
        print(f"goes on with seed {first + figures.done}", flush=True)
    before, since = figures.seconds, perf_counter()
    with ProcessPoolExecutor(jobs) as pool:
        for begin in range(first + figures.done, first + seeds, SAVED_EVERY):
            for played in pool.map(run, range(begin, min(begin + SAVED_EVERY, first + seeds))):
                figures.add(played)
                if played.wrong:
                    print(f"seed {played.seed}: {played.wrong[0]} (and {len(played.wrong) - 1} more)", flush=True)
            figures.seconds = before + perf_counter() - since
            save(resume, figures)
            print(f"up to seed {first + figures.done - 1}: {len(figures.violations)} with violations", flush=True)
            if perf_counter() - since > 60 * minutes:
                break
    for line in figures.lines():
        print(line)
    sys.exit(1 if figures.violations else 0)


if __name__ == "__main__":
    main()
