"""`make storm`: kill -9, power cuts, seeded storms, also of balancing. The last line is one JSON object; exit 1 if
anything was found.

KILLS (200; and a quarter as many each with a CSMS of one version for stations of both, with one link for the site),
POWER_CUTS (200), SEEDS (200 of each of these three kinds) of HOURS (6) x STATIONS (5), BALANCE (1000, a quarter of an
hour each; by itself and with more figures: `python -m tests.smartcharging.storm`), SEED (the first; from the clock's
digits, printed), SHORT=1 (fewer, and no new round after 90 s in a part), RESUME=FILE (what is finished is kept there
and not played again).
"""

import asyncio
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gateway.demo.checker import Report
from tests.sim import one_station
from tests.sim import storm as simulated
from tests.smartcharging import storm as balancing
from tests.storm import kills, power
from tests.storm.kills import Scene

A_ROUND = 10
FULL = {"KILLS": 200, "POWER_CUTS": 200, "SEEDS": 200, "BALANCE": 1000}
SHORT = {"KILLS": 40, "POWER_CUTS": 40, "SEEDS": 40, "BALANCE": 100}
SHORT_PART_S = 90.0
VERSIONS = ("1.6", "2.0.1")
"""What the CSMS speaks in storms with translation and with one link, in turns."""

_SUMS = ("acknowledged", "lost", "duplicated", "out_of_order", "repeated", "lost_answers")


@dataclass
class Part:
    """One kind of trouble: `play(seed, count)` returns a round as a dict with `count`, `findings` and figures."""

    name: str
    wanted: int
    a_round: int
    play: Callable[[int, int], dict[str, Any]]
    total: dict[str, int] = field(default_factory=dict)
    findings: int = 0

    def add(self, outcome: dict[str, Any]) -> None:
        self.findings += len(outcome["findings"])
        for name, value in outcome.items():
            if isinstance(value, int) and name != "seed":
                self.total[name] = self.total.get(name, 0) + value

    @property
    def done(self) -> int:
        return self.total.get("count", 0)

    @property
    def is_clean(self) -> bool:
        """Kills that hit nothing prove nothing: at least 80 % must; of few, half."""
        least = (0.8 if self.done >= 50 else 0.5) * self.done
        is_aimed = "kills_in_flight" not in self.total or self.total["kills_in_flight"] >= least
        return not self.findings and is_aimed


def main() -> None:
    logging.basicConfig(level=logging.CRITICAL)
    resume = Path(os.environ["RESUME"]) if os.environ.get("RESUME") else None
    finished = [json.loads(line) for line in resume.read_text().splitlines()] if resume and resume.exists() else []
    first = int(os.environ.get("SEED", str(time.time_ns() // 1_000_000 % 1_000_000)))
    first = int(finished[0]["first"]) if finished else first
    parts = _parts()
    print(f"seed {first}: " + ", ".join(f"{part.wanted} {part.name}" for part in parts), flush=True)
    for part in parts:
        mine = [line["outcome"] for line in finished if line["part"] == part.name]
        _play(part, first, mine, resume)
    line = {"seed": first, **{part.name: part.total for part in parts}}
    print(json.dumps(line), flush=True)
    sys.exit(0 if all(part.is_clean for part in parts) else 1)


def _parts() -> list[Part]:
    is_short = bool(os.environ.get("SHORT"))

    def wanted(name: str) -> int:
        return int(os.environ.get(name, (SHORT if is_short else FULL)[name]))

    power_cuts, shim = wanted("POWER_CUTS"), None
    if power_cuts and power.compiler():
        shim = power.build(Path(tempfile.mkdtemp(prefix="shim-")))
    elif power_cuts:
        print("no C compiler (apt install gcc libc6-dev): NO POWER CUTS", flush=True)
        assert not os.environ.get("CI")
        power_cuts = 0
    return [
        Part("kills", wanted("KILLS"), A_ROUND, lambda seed, count: _killed(seed, count, Scene())),
        Part("translated_kills", wanted("KILLS") // 4, A_ROUND, _killed_under_translation),
        Part("kills_one_station", wanted("KILLS") // 4, A_ROUND, _killed_as_one_station),
        Part("power_cuts", power_cuts, A_ROUND, lambda seed, count: _killed(seed, count, Scene(shim))),
        Part("seeds", wanted("SEEDS"), 1, lambda seed, count: _simulated(seed, count, None)),
        Part("translated", wanted("SEEDS"), 1, lambda seed, count: _simulated(seed, count, VERSIONS[seed % 2])),
        Part("seeds_one_station", wanted("SEEDS"), 1, _one_station),
        Part("balance", wanted("BALANCE"), A_ROUND, _balanced),
    ]


def _play(part: Part, first: int, finished: list[dict[str, Any]], resume: Path | None) -> None:
    """Play what is missing; a finished round counts as it was."""
    for outcome in finished:
        part.add(outcome)
    number, began, before = len(finished), time.monotonic(), part.done
    limit_s = SHORT_PART_S if os.environ.get("SHORT") else float("inf")
    while part.done < part.wanted:
        if time.monotonic() - began > limit_s:
            print(f"{part.name}: time is up after {part.done} of {part.wanted}", flush=True)
            break
        outcome = part.play(first + number, min(part.a_round, part.wanted - part.done))
        number += 1
        part.add(outcome)
        rate = (part.done - before) / (time.monotonic() - began) * 60
        if part.a_round > 1 or number % 20 == 0 or part.done == part.wanted:
            print(f"{part.name}: {json.dumps(part.total)}; {rate:.1f} a minute", flush=True)
        for finding in outcome["findings"]:
            print(f"  {part.name}, seed {outcome['seed']}: {finding} {outcome.get('folder', '')}", flush=True)
        if resume:
            with resume.open("a") as file:
                file.write(json.dumps({"first": first, "part": part.name, "outcome": outcome}) + "\n")


def _killed(seed: int, count: int, scene: Scene) -> dict[str, Any]:
    outcome = asyncio.run(kills.play(seed, count, scene))
    total: dict[str, int] = {}
    kills.add(total, outcome)
    report = outcome.report
    return {
        "seed": seed,
        "count": total.pop("kills"),
        **total,
        **{n: report.get(n, "") for n in ("findings", "folder")},
    }


def _killed_under_translation(seed: int, count: int) -> dict[str, Any]:
    return _killed(seed, count, Scene(csms=(VERSIONS[seed % 2],)))


def _killed_as_one_station(seed: int, count: int) -> dict[str, Any]:
    """All stations behind one link, for a CSMS of 1.6 and of 2.0.1 in turn, every other pair of seeds with both."""
    return _killed(seed, count, kills.one_station(VERSIONS[seed % 2], VERSIONS if seed // 2 % 2 else ()))


def _simulated(seed: int, count: int, csms: str | None) -> dict[str, Any]:
    hours, stations = float(os.environ.get("HOURS", "6")), int(os.environ.get("STATIONS", "5"))
    return _told(seed, count, simulated.run(seed, hours=hours, stations=stations, csms=csms))


def _one_station(seed: int, count: int) -> dict[str, Any]:
    """All stations behind one link, for a CSMS of 1.6 and of 2.0.1 in turn, every other pair of seeds with both."""
    hours, stations = float(os.environ.get("HOURS", "6")), int(os.environ.get("STATIONS", "5"))
    made = one_station.of(VERSIONS[seed % 2], is_mixed=bool(seed // 2 % 2))
    return _told(seed, count, simulated.run(seed, hours=hours, stations=stations, make=made))


def _told(seed: int, count: int, found: Report) -> dict[str, Any]:
    report = asdict(found)
    return {"seed": seed, "count": count, **{name: report[name] for name in (*_SUMS, "findings")}}


def _balanced(seed: int, count: int) -> dict[str, Any]:
    """`tripped`: breakers that nobody could have held (a deaf station, and nobody to tell it anything)."""
    figures = balancing.Figures(A_ROUND * seed)
    findings = []
    for number in range(A_ROUND * seed, A_ROUND * seed + count):
        played = balancing.run(number)
        figures.add(played)
        findings += [f"seed {number}: {line}" for line in played.wrong[:1]]
    counts = {"tripped": len(figures.defied), "stopped": figures.stopped}
    return {"seed": seed, "count": count, **counts, "findings": findings}


if __name__ == "__main__":
    main()
