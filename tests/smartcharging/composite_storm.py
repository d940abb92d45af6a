"""Random profile sets against the oracle, without end: `python -m tests.smartcharging.composite_storm`.

The last line is one JSON object; exit 1 if anything differs. With --resume FILE, sets that were compared before are not
compared again, and the command may be stopped at any time.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.smartcharging import differ
from tests.smartcharging.profile_sets import make

VERSIONS = ("1.6", "2.0.1", "2.1")
SAVED_EVERY = 500
SHOWN = 5


def play(version: str, sets: Sequence[int]) -> tuple[int, list[str]]:
    """Compare these sets. Returns how many instants were compared, and what differed."""
    instants, findings = 0, []
    for seed in sets:
        try:
            instants += differ.run(version, seed)
        except Exception as error:
            findings.append(f"{version} seed {seed}: {type(error).__name__}: {error}")
    return instants, findings


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--sets", type=int, default=100_000, help="sets per version")
    asked.add_argument("--seed", type=int, default=1, help="of the first set; the others follow")
    asked.add_argument("--versions", nargs="+", default=VERSIONS, choices=VERSIONS)
    asked.add_argument("--minutes", type=float, default=float("inf"), help="stop then; --resume goes on")
    asked.add_argument("--resume", type=Path, help="file that remembers what was compared")
    asked.add_argument("--show", action="store_true", help="print the messages of the first set, and stop")
    options = asked.parse_args()
    if options.show:
        print(json.dumps(differ.raw_of(make(options.versions[0], options.seed)), indent=1))
        return
    began = time.perf_counter()
    total: dict[str, dict[str, int]] = {}
    findings: list[str] = []
    for version in options.versions:
        done = _done(options.resume, version, options.seed)
        instants, first, since = 0, done, time.perf_counter()
        while done < options.sets and time.perf_counter() - began < options.minutes * 60:
            count = min(SAVED_EVERY, options.sets - done)
            more, found = play(version, range(options.seed + done, options.seed + done + count))
            done, instants = done + count, instants + more
            findings += found
            if not findings:
                _save(options.resume, version, options.seed, done)
            for line in found[:SHOWN]:
                print(line, flush=True)
            if done % (10 * SAVED_EVERY) == 0 or done == options.sets:
                rate = (done - first) / (time.perf_counter() - since)
                print(f"{version}: {done} sets, {len(findings)} differences; {rate:.0f} sets a second", flush=True)
        total[version] = {"sets": done, "instants": instants}
    print(json.dumps({"seed": options.seed, "differences": len(findings), "compared": total}), flush=True)
    sys.exit(1 if findings else 0)


def _done(resume: Path | None, version: str, seed: int) -> int:
    """How many sets, from this seed on, were compared without a difference."""
    found: dict[str, int] = json.loads(resume.read_text()) if resume and resume.exists() else {}
    return found.get(f"{version}/{seed}", 0)


def _save(resume: Path | None, version: str, seed: int, done: int) -> None:
    if resume is None:
        return
    found = json.loads(resume.read_text()) if resume.exists() else {}
    found[f"{version}/{seed}"] = done
    resume.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
