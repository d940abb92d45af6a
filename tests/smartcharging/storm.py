"""Random quarters of an hour with every fault there is: `python -m tests.smartcharging.storm --seeds N --from K`.

Each seed is a site with stations, cars, links and meters of all kinds, cuts, reboots, restarts of the gateway, loads
that jump, meters that fail. Judged by the truth of the plant: the invariants of D9 at every decision and while the
gateway is dead, and what the breakers bore. Where a meter lies or a station is deaf no invariant can hold: there the
breakers judge alone.
"""

import json
import random
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import click

from tests.smartcharging.plant.report import borne, play
from tests.smartcharging.plant.scenario import build

SECONDS = 900
SAVED_EVERY = 20
PHYSICAL_ONLY = 3.0
"""A worst current that nothing reaches: heat is what counts then."""


@dataclass(frozen=True, slots=True)
class Played:
    """`worst`: part of its limit that any circuit had to bear."""

    seed: int
    wrong: tuple[str, ...]
    is_judged: bool
    worst: float
    longest_s: float
    heat: float
    writes: int


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
    lies = any(event.get("fault") in ("flipped", "swapped") for event in told["event"])
    if lies or any(station["family"] == "deaf" for station in told["station"]):
        told["expect"] = {"judged": False, "worst": PHYSICAL_ONLY, "over_s": SECONDS, "far_over_s": SECONDS}
    else:
        told["expect"] = {"worst": 1.14, "over_s": SECONDS}
    return told


def _trace(rng: random.Random, worst: float) -> list[tuple[float, tuple[float, float, float]]]:
    moments = [0.0, *sorted(rng.uniform(60, SECONDS) for _ in range(rng.randint(0, 8)))]
    return [(at, (rng.uniform(0, worst), rng.uniform(0, worst), rng.uniform(0, worst))) for at in moments]


def _largest_rise(trace: list[tuple[float, tuple[float, float, float]]]) -> list[float]:
    """Per phase, within a lease, whatever came between; with a margin, as a record has it."""
    most = [0.0, 0.0, 0.0]
    for i, (_at, before) in enumerate(trace):
        ends = trace[i + 1][0] if i + 1 < len(trace) else SECONDS
        for at, after in trace[i + 1 :]:
            if at <= ends + 315.0:
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
    scenario = build(told)
    wrong = tuple(play(scenario))
    circuits = list(borne(scenario.world))
    return Played(
        seed,
        wrong,
        scenario.world.judged,
        max(one.worst_a / one.limit_a for one in circuits),
        max(one.longest_s for one in circuits),
        max(one.heat for one in circuits),
        len(scenario.world.gateway.log),
    )


def _saved(resume: Path | None, first: int) -> int:
    """The seed to go on with."""
    found: dict[str, int] = json.loads(resume.read_text()) if resume and resume.exists() else {}
    return found.get(str(first), first)


@click.command(help=__doc__)
@click.option("--seeds", default=100, show_default=True)
@click.option("--from", "first", default=1, show_default=True, help="The first seed.")
@click.option("--jobs", default=1, show_default=True, help="Processes.")
@click.option("--resume", type=click.Path(path_type=Path), help="File that keeps how far it came.")
def main(seeds: int, first: int, jobs: int, resume: Path | None) -> None:
    begun, last = _saved(resume, first), first + seeds
    since, done, failed = perf_counter(), 0, 0
    worst, hottest, unjudged = 0.0, 0.0, 0
    with ProcessPoolExecutor(jobs) as pool:
        for played in pool.map(run, range(begun, last), chunksize=2):
            done += 1
            unjudged += not played.is_judged
            hottest = max(hottest, played.heat)
            worst = max(worst, played.worst if played.is_judged else 0.0)
            if played.wrong:
                failed += 1
                print(f"seed {played.seed}: {played.wrong[0]} (and {len(played.wrong) - 1} more)", flush=True)
            if done % SAVED_EVERY == 0 or played.seed == last - 1:
                rate = done / (perf_counter() - since)
                print(f"up to seed {played.seed}: {failed} with violations; {60 * rate:.0f} seeds a minute", flush=True)
                if resume is not None and not failed:
                    resume.write_text(json.dumps({str(first): played.seed + 1}))
    print(
        f"{done} seeds from {begun} of {SECONDS} s: {failed} with violations; worst current {100 * worst:.0f} % of a "
        f"limit, hottest breaker {hottest:.2f}; in {unjudged} a meter lied or a station was deaf (breakers only)"
    )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
