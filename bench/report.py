"""What a run says: medians and ratios, a table, one JSON object, and whether the goals are met."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import traffic
from bench.relay import Run, Sample
from bench.rows import REFERENCE

_OVER_NAIVE = 4.0
_PASS_THROUGH_COMMITS = 0.001


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, lowest and highest over the repeats."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        return cls(median(values), min(values), max(values))

    def as_json(self) -> dict[str, float]:
        return {"median": round(self.median, 4), "min": round(self.low, 4), "max": round(self.high, 4)}

    def text(self, digits: int) -> str:
        return f"{self.median:.{digits}f}\n[{self.low:.{digits}f}-{self.high:.{digits}f}]"


@dataclass(frozen=True, slots=True)
class Goal:
    name: str
    value: float
    bound: float
    is_met: bool


def spread(run: Run, row: str, value: Callable[[Sample], float]) -> Spread:
    return Spread.of([value(samples[row]) for samples in run.repeats])


def cpu_us(run: Run, row: str, mix: str) -> Spread:
    """CPU per round trip."""
    return Spread.of([samples[row].cpu_us[mix] for samples in run.repeats])


def rate(run: Run, row: str, mix: str) -> Spread:
    """Round trips a second as they were, by the wall clock."""
    return Spread.of([samples[row].rate[mix] for samples in run.repeats])


def ratio(run: Run, row: str, mix: str) -> Spread:
    """CPU capacity against the reference's, each repeat against its own reference."""
    return Spread.of([samples[REFERENCE].cpu_us[mix] / samples[row].cpu_us[mix] for samples in run.repeats])


def added_p50_ms(run: Run, row: str) -> Spread:
    """Latency at light load above that of no proxy, each repeat against its own."""
    return Spread.of([samples[row].p50_ms - samples["direct"].p50_ms for samples in run.repeats])


def goals(run: Run, slack: float = 0.0) -> list[Goal]:
    """What must hold. `slack`: the share by which a ratio may stay below its goal (for busy machines)."""
    found: list[Goal] = []
    names = {row.name for row in run.options.rows}
    for row in run.options.rows:
        if row.goal is not None and REFERENCE in names:
            found.append(_at_least(f"{row.name} / {REFERENCE}", ratio(run, row.name, "meter").median, row.goal, slack))
    if {"pass_through", "naive"} <= names:
        over_naive = ratio(run, "pass_through", "meter").median / ratio(run, "naive", "meter").median
        found.append(_at_least("pass_through / naive", over_naive, _OVER_NAIVE, slack))
    if "pass_through" in names:
        commits = spread(run, "pass_through", lambda sample: sample.commits).high
        is_met = commits <= _PASS_THROUGH_COMMITS
        found.append(Goal("pass_through commits per message", commits, _PASS_THROUGH_COMMITS, is_met))
    for name in ("mismatches", "lost", "unstored"):
        total = sum(getattr(sample, name) for samples in run.repeats for sample in samples.values())
        found.append(Goal(name, total, 0, total == 0))
    return found


def _at_least(name: str, value: float, bound: float, slack: float) -> Goal:
    return Goal(name, value, bound, value >= bound * (1 - slack))


def as_json(run: Run, slack: float = 0.0) -> dict[str, Any]:
    """The run as one JSON object."""
    options = run.options
    proxies = [row.name for row in options.rows if row.arguments is not None]
    return {
        "suite": "relay",
        "chargers": options.chargers,
        "repeats": options.repeats,
        "seconds": options.seconds,
        "seed": options.seed,
        "two_cores": run.cores.are_two,
        "fsync_ms": round(run.fsync_ms, 3),
        "python": platform.python_version(),
        "websockets": version("websockets"),
        "ratios": {name: round(ratio(run, name, "meter").median, 3) for name in proxies if name != REFERENCE},
        "ratios_mixed": {name: round(ratio(run, name, "mixed").median, 3) for name in proxies if name != REFERENCE},
        "rows": {row.name: _row_as_json(run, row.name, row.name in proxies) for row in options.rows},
        "goals": {
            goal.name: {"value": round(goal.value, 4), "goal": goal.bound, "met": goal.is_met}
            for goal in goals(run, slack)
        },
        "ok": all(goal.is_met for goal in goals(run, slack)),
    }


def _row_as_json(run: Run, name: str, is_proxy: bool) -> dict[str, Any]:
    samples = [repeat[name] for repeat in run.repeats]
    found: dict[str, Any] = {
        "round_trips_per_s": {mix: rate(run, name, mix).as_json() for mix in traffic.MIXES},
        "p50_ms": spread(run, name, lambda sample: sample.p50_ms).as_json(),
        "acknowledged": sum(sample.acknowledged for sample in samples),
        "lost": sum(sample.lost for sample in samples),
        "mismatches": sum(sample.mismatches for sample in samples),
    }
    if is_proxy:
        found |= {
            "cpu_us": {mix: cpu_us(run, name, mix).as_json() for mix in traffic.MIXES},
            "ratio": {mix: ratio(run, name, mix).as_json() for mix in traffic.MIXES},
            "added_p50_ms": added_p50_ms(run, name).as_json(),
            "fsyncs_per_message": spread(run, name, lambda sample: sample.commits).as_json(),
            "written_kib_per_message": spread(run, name, lambda sample: sample.written_kib).as_json(),
        }
    return found


def show(run: Run, console: Console, slack: float = 0.0) -> None:
    """The table, and under it what was checked."""
    options = run.options
    where = f"proxy on core {run.cores.proxy}, load on core {run.cores.load}"
    if not run.cores.are_two:
        where = "proxy and load share the only core"
    table = Table(
        title=f"{options.chargers} chargers, {options.repeats} x {options.seconds:g} s, seed {options.seed}; {where}",
        title_justify="left",
    )
    table.add_column("", no_wrap=True)
    for heading in (
        "meter\nCPU µs/rt",
        "\nratio",
        "mixed\nCPU µs/rt",
        "\nratio",
        "added\np50 ms",
        "fsync\n/msg",
        "KiB\n/msg",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in options.rows:
        table.add_row(row.title, *_cells(run, row.name, row.arguments is not None))
    console.print(table)
    acknowledged = sum(sample.acknowledged for samples in run.repeats for sample in samples.values())
    console.print(
        f"Median [lowest-highest]. A ratio is CPU capacity: the reference's CPU per round trip by the row's.\n"
        f"meter = MeterValues of 1.25 kB in a transaction; mixed = every second one a StatusNotification of 370 B.\n"
        f"One commit takes {run.fsync_ms:.2f} ms on this disk. {acknowledged} acknowledged MeterValues were counted "
        f"again after kill -9, each payload compared byte for byte at the CSMS.",
        markup=False,
        highlight=False,
    )
    for goal in goals(run, slack):
        verdict = "met" if goal.is_met else "MISSED"
        console.print(f"{goal.name}: {goal.value:.3g}, goal {goal.bound:g}: {verdict}", highlight=False)
    complaints = [sample.complaint for samples in run.repeats for sample in samples.values() if sample.complaint]
    for complaint in complaints[:3]:
        console.print(complaint, markup=False)


def _cells(run: Run, name: str, is_proxy: bool) -> list[str]:
    if not is_proxy:
        rate = spread(run, name, lambda sample: sample.rate["meter"])
        return [
            f"({rate.median:.0f} rt/s)",
            "",
            "",
            "",
            f"({spread(run, name, lambda s: s.p50_ms).median:.2f})",
            "",
            "",
        ]
    return [
        *(
            text
            for mix in traffic.MIXES
            for text in (
                cpu_us(run, name, mix).text(0),
                ratio(run, name, mix).text(2),
            )
        ),
        added_p50_ms(run, name).text(2),
        f"{spread(run, name, lambda sample: sample.commits).median:.3f}",
        f"{spread(run, name, lambda sample: sample.written_kib).median:.1f}",
    ]
