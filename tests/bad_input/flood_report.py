"""What a flood did, and whether that is too much."""

from dataclasses import dataclass, field
from statistics import median, quantiles

from bench.watch import Seen
from tests.bad_input.counted import Held
from tests.bad_input.offend import Offence

BEFORE, FIRST, AGAIN, MUTATED, ORDINARY, BURST, AFTER = PHASES = (
    "before", "first", "again", "mutated", "ordinary", "burst", "after"
)  # fmt: skip
MORE_P50, MORE_P99 = (1.5, 3.0), (2.0, 30.0)
"""How much longer than beside ordinary traffic an answer may take in the median pair of slices: so many times, or so
many ms more; one must hold."""
MAX_CPU = 1.5
"""Of the gateway for a mutated frame, by that for a well-formed one of its size."""
MAX_GROWTH_KIB, MAX_AGAIN_KIB = 24 * 1024, 1024
"""Of resident memory by two floods; of live memory by the second one."""
MAX_OBJECTS_PER_FRAME = 0.01
LONGEST_MS, LONGEST_P99_MS = 10_000.0, 500.0
"""Of any answer, whatever goes on; of most answers, while one station sends without end."""


@dataclass
class Latency:
    """Of the healthy stations' answers, ms; infinite if one of them was thrown out."""

    count: int = 0
    p50: float = float("inf")
    p99: float = float("inf")
    worst: float = float("inf")

    @classmethod
    def of(cls, seen: list[Seen]) -> "Latency":
        found = sorted(one.took * 1000 for one in seen)
        if not found or found[-1] == float("inf"):
            return cls(len(found))
        if len(found) == 1:
            return cls(1, *(3 * [round(found[0], 2)]))
        cuts = quantiles(found, n=100, method="inclusive")
        return cls(len(found), round(cuts[49], 2), round(cuts[98], 2), round(found[-1], 2))


@dataclass
class Load:
    """What one kind of traffic was, and what it cost: `cpu_ms` of the gateway per frame, the watchers' share in it."""

    frames: int = 0
    kib: float = 0.0
    connections: int = 0
    seconds: float = 0.0
    per_s: float = 0.0
    cpu_ms: float = 0.0
    closed: dict[str, int] = field(default_factory=dict)

    def add(self, done: Offence, cpu_ns: int) -> None:
        cpu_ms = self.cpu_ms * self.frames + cpu_ns / 1e6
        self.frames += done.frames
        self.kib = round(self.kib + done.kib, 1)
        self.connections += done.connections
        self.seconds = round(self.seconds + done.ended - done.began, 2)
        self.per_s = round(self.frames / self.seconds, 1)
        self.cpu_ms = round(cpu_ms / self.frames, 4)
        for code, count in done.closed.items():
            self.closed[code] = self.closed.get(code, 0) + count


@dataclass
class Report:
    """`latency`: by action, then by what went on. `pairs`: by action, beside mutated frames and beside ordinary."""

    seed: int
    kinds: int = 0
    loads: dict[str, Load] = field(default_factory=dict)
    latency: dict[str, dict[str, Latency]] = field(default_factory=dict)
    pairs: dict[str, list[tuple[Latency, Latency]]] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    log_lines: int = 0
    log_kib: int = 0
    problems: list[str] = field(default_factory=list)


def judge(report: Report, *, judges_speed: bool) -> list[str]:
    """What went wrong. Without `judges_speed` only what can't be the machine's doing."""
    before, first, again, after = (report.held[phase] for phase in (BEFORE, FIRST, AGAIN, AFTER))
    found = {
        "memory grew": again.rss_kib - before.rss_kib > MAX_GROWTH_KIB,
        "descriptors were left open": any(held.descriptors > before.descriptors for held in (first, again, after)),
        "tasks were left behind": any(held.tasks > before.tasks for held in (first, again, after)),
        "a healthy station was thrown out, or waited too long": any(
            phases[phase].count and phases[phase].worst > LONGEST_MS
            for phases in report.latency.values()
            for phase in PHASES  # a short one may be over before anybody asked
        ),
    }
    if judges_speed:
        found |= {
            "as much again made memory grow": again.live_kib - first.live_kib > MAX_AGAIN_KIB,
            "objects pile up": again.objects - first.objects > MAX_OBJECTS_PER_FRAME * report.loads[AGAIN].frames,
            "a mutated frame costs more than a well-formed one": (
                report.loads[MUTATED].cpu_ms > MAX_CPU * report.loads[ORDINARY].cpu_ms
            ),
        }
        found["one station takes the turns of the others"] = any(
            phases[BURST].p99 > LONGEST_P99_MS for phases in report.latency.values()
        )
        for action, pairs in report.pairs.items():
            found[f"{action}: healthy stations wait longer than beside ordinary traffic"] = _is_longer(
                [(mutated.p50, ordinary.p50) for mutated, ordinary in pairs], MORE_P50
            ) or _is_longer([(mutated.p99, ordinary.p99) for mutated, ordinary in pairs], MORE_P99)
    return [problem for problem, is_so in found.items() if is_so]


def _is_longer(pairs: list[tuple[float, float]], more: tuple[float, float]) -> bool:
    times, ms = more
    ratio = median(mutated / ordinary for mutated, ordinary in pairs)
    return ratio > times and median(mutated - ordinary for mutated, ordinary in pairs) > ms
