"""`make storm`: kill -9 rounds and seeded storms. The last line is one JSON object; exit 1 if anything was found.

KILLS (200), SEEDS (200), FIRST seed (from the clock's digits, printed), SHORT=1 (at most 10 minutes),
RESUME=FILE (finished rounds are kept there and not played again).
"""

import asyncio
import json
import logging
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.sim import storm as simulated
from tests.storm import kills

KILLS_A_ROUND = 10


def main() -> None:
    logging.basicConfig(level=logging.CRITICAL)
    short = bool(os.environ.get("SHORT"))
    wanted_kills = int(os.environ.get("KILLS", "60" if short else "200"))
    wanted_seeds = int(os.environ.get("SEEDS", "60" if short else "200"))
    first = int(os.environ.get("SEED", str(time.time_ns() // 1_000_000 % 1_000_000)))
    resume = Path(os.environ["RESUME"]) if os.environ.get("RESUME") else None
    finished = _finished(resume)
    if finished:
        first = int(finished[0]["first"])
    print(f"seed {first}: {wanted_kills} kills, {wanted_seeds} simulated storms", flush=True)

    total: dict[str, int] = {}
    is_clean = _play_kills(total, first, wanted_kills, finished, resume)
    simulated_total, simulated_clean = _play_seeds(first, wanted_seeds)
    line: dict[str, Any] = {**total, "seed": first, "simulated": simulated_total}
    in_flight = total.get("kills_in_flight", 0) / max(total.get("kills", 0), 1)
    is_clean = is_clean and simulated_clean and (in_flight >= 0.8 or not total)
    print(json.dumps(line), flush=True)
    sys.exit(0 if is_clean else 1)


def _finished(resume: Path | None) -> list[dict[str, Any]]:
    if resume is None or not resume.exists():
        return []
    return [json.loads(line) for line in resume.read_text().splitlines()]


def _play_kills(
    total: dict[str, int], first: int, wanted: int, finished: list[dict[str, Any]], resume: Path | None
) -> bool:
    """Play what is missing; a finished round counts as it was."""
    is_clean = True
    for done in finished:
        kills.add(total, kills.Round(done["seed"], done["kills"], done["kills_in_flight"], done["report"]))
        is_clean = is_clean and not done["report"]["findings"]
    number = len(finished)
    began = time.monotonic()
    while total.get("kills", 0) < wanted:
        outcome = asyncio.run(kills.play(first + number, min(KILLS_A_ROUND, wanted - total.get("kills", 0))))
        number += 1
        kills.add(total, outcome)
        is_clean = is_clean and not outcome.report["findings"]
        rate = (number - len(finished)) * KILLS_A_ROUND / (time.monotonic() - began) * 60
        print(f"round {number}: {json.dumps(total)}; {rate:.1f} kills a minute", flush=True)
        for finding in outcome.report["findings"]:
            print(f"  seed {outcome.seed}: {finding} (in {outcome.report.get('folder')})", flush=True)
        if resume:
            with resume.open("a") as file:
                file.write(json.dumps({"first": first, **asdict(outcome)}) + "\n")
    return is_clean


def _play_seeds(first: int, wanted: int) -> tuple[dict[str, int], bool]:
    total: dict[str, int] = {"seeds": 0}
    is_clean = True
    for seed in range(first, first + wanted):
        report = simulated.run(seed, hours=6, stations=5)
        total["seeds"] += 1
        for name in ("acknowledged", "lost", "duplicated", "out_of_order", "repeated", "lost_answers"):
            total[name] = total.get(name, 0) + getattr(report, name)
        is_clean = is_clean and report.is_clean
        for finding in report.findings:
            print(f"  simulated seed {seed}: {finding}", flush=True)
    return total, is_clean


main()
