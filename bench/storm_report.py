"""What a storm run says: a table, one JSON object, and whether the goals are met."""

import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from statistics import quantiles
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.report import Goal, Spread
from bench.rows import REFERENCE
from bench.storm import GATEWAY, Run, Sample

MAX_RATIO = 2.5
MAX_KB = 60.0
_MAX_LOAD_SHARE = 0.8
"""With more CPU than this, the load may be what took the time."""


def spread(run: Run, row: str, value: Callable[[Sample], float]) -> Spread:
    return Spread.of([value(samples[row]) for samples in run.repeats])


def ratio(run: Run, row: str, value: Callable[[Sample], float]) -> Spread:
    """Against the reference's, each repeat against its own."""
    return Spread.of([value(samples[row]) / value(samples[REFERENCE]) for samples in run.repeats])


def took_s(sample: Sample) -> float:
    return sample.first.took_s


def cpu_ms(sample: Sample) -> float:
    return sample.cpu_ms


def again_s(sample: Sample) -> float:
    return sample.again.took_s


def again_cpu_ms(sample: Sample) -> float:
    return sample.again_cpu_ms


def percentiles_ms(run: Run, row: str, value: Callable[[Sample], list[float]]) -> tuple[float, float]:
    """Median and 99th percentile of all repeats' latencies together; infinite if a watcher was thrown out."""
    found = sorted(latency * 1000 for samples in run.repeats for latency in value(samples[row]))
    if len(found) < 2 or found[-1] == float("inf"):
        return float("inf"), float("inf")
    cuts = quantiles(found, n=100, method="inclusive")
    return cuts[49], cuts[98]


def goals(run: Run, slack: float = 0.0) -> list[Goal]:
    """What must hold. `slack`: the share by which a figure may be over its goal (for busy machines)."""
    found: list[Goal] = []
    names = {row.name for row in run.options.rows}
    if {GATEWAY, REFERENCE} <= names:
        for name, value in (("time", took_s), ("CPU", cpu_ms)):
            found.append(
                _at_most(f"{name}: {GATEWAY} / {REFERENCE}", ratio(run, GATEWAY, value).median, MAX_RATIO, slack)
            )
    if GATEWAY in names:
        found.append(_at_most("kB per charger", spread(run, GATEWAY, lambda sample: sample.kb).median, MAX_KB, slack))
    for name in ("lost", "mismatches"):
        total = sum(getattr(sample, name) for samples in run.repeats for sample in samples.values())
        found.append(Goal(name, total, 0, total == 0))
    thrown_out = sum(
        latency == float("inf")
        for samples in run.repeats
        for sample in samples.values()
        for latency in (*sample.calm_s, *sample.during_s)
    )
    found.append(Goal("connected before and thrown out", thrown_out, 0, thrown_out == 0))
    return found


def _at_most(name: str, value: float, bound: float, slack: float) -> Goal:
    return Goal(name, value, bound, value <= bound * (1 + slack))


def load_was_the_limit(run: Run) -> list[str]:
    """Rows but the one without a proxy in which the load used nearly a whole core."""
    rows = [row.name for row in run.options.rows if row.arguments is not None]
    return [row for row in rows if spread(run, row, lambda sample: sample.first.load_share).median > _MAX_LOAD_SHARE]


def as_json(run: Run, slack: float = 0.0) -> dict[str, Any]:
    """The run as one JSON object."""
    options = run.options
    proxies = [row.name for row in options.rows if row.arguments is not None and row.name != REFERENCE]
    return {
        "suite": "storm",
        "chargers": options.chargers,
        "repeats": options.repeats,
        "seed": options.seed,
        "two_cores": run.cores.are_two,
        "python": platform.python_version(),
        "websockets": version("websockets"),
        "ratios": {
            row: {
                "time": ratio(run, row, took_s).as_json(),
                "cpu": ratio(run, row, cpu_ms).as_json(),
                "time_again": ratio(run, row, again_s).as_json(),
                "cpu_again": ratio(run, row, again_cpu_ms).as_json(),
            }
            for row in proxies
        },
        "rows": {row.name: _row_as_json(run, row.name, row.arguments is not None) for row in options.rows},
        "load_was_the_limit": load_was_the_limit(run),
        "goals": {
            goal.name: {"value": round(goal.value, 4), "goal": goal.bound, "met": goal.is_met}
            for goal in goals(run, slack)
        },
        "ok": all(goal.is_met for goal in goals(run, slack)),
    }


def _row_as_json(run: Run, name: str, is_proxy: bool) -> dict[str, Any]:
    samples = [repeat[name] for repeat in run.repeats]
    found: dict[str, Any] = {
        "all_booted_s": spread(run, name, took_s).as_json(),
        "again_s": spread(run, name, again_s).as_json(),
        "load_share": spread(run, name, lambda sample: sample.first.load_share).as_json(),
        "booted": sum(sample.first.booted + sample.again.booted for sample in samples),
        "lost": sum(sample.lost for sample in samples),
        "mismatches": sum(sample.mismatches for sample in samples),
        "heartbeat_ms": {
            "calm": _beats_as_json(run, name, lambda sample: sample.calm_s),
            "storm": _beats_as_json(run, name, lambda sample: sample.during_s),
        },
    }
    if is_proxy:
        found |= {
            "cpu_ms_per_charger": spread(run, name, cpu_ms).as_json(),
            "again_cpu_ms_per_charger": spread(run, name, again_cpu_ms).as_json(),
            "base_mib": spread(run, name, lambda sample: sample.base_mib).as_json(),
            "kb_per_charger": spread(run, name, lambda sample: sample.kb).as_json(),
            "again_kb_per_charger": spread(run, name, lambda sample: sample.again_kb).as_json(),
        }
    return found


def _beats_as_json(run: Run, name: str, value: Callable[[Sample], list[float]]) -> dict[str, float | int]:
    p50, p99 = percentiles_ms(run, name, value)
    return {
        "count": sum(len(value(repeat[name])) for repeat in run.repeats),
        "p50": round(p50, 2),
        "p99": round(p99, 2),
    }


def show(run: Run, console: Console, slack: float = 0.0) -> None:
    """The table, and under it the goals."""
    options, rows = run.options, run.options.rows
    where = f"proxy on core {run.cores.proxy}, load on core {run.cores.load}"
    if not run.cores.are_two:
        where = "proxy and load share the only core"
    title = f"{options.chargers} chargers at once, {options.repeats} times, seed {options.seed}; {where}"
    headings = ("all booted\ns", "\nratio", "CPU\nms each", "\nratio", "RSS\nkB each",
                "again\ns", "\nCPU ms", "\n+kB")  # fmt: skip
    _print_table(
        console, title, headings, {row.title: _cells(run, row.name, row.arguments is not None) for row in rows}
    )
    latencies = ("calm\np50 ms", "\np99 ms", "storm\np50 ms", "\np99 ms")
    title = "heartbeats of chargers that were there before"
    _print_table(console, title, latencies, {row.title: _beats(run, row.name) for row in rows})
    console.print(
        "Median [lowest-highest]. A ratio is the row's figure by the reference's of the same repeat. RSS of a charger "
        "with\nits connection upstream. again = the same ones, cut off before; the gateway's links up stay.",
        markup=False,
        highlight=False,
    )
    for goal in goals(run, slack):
        verdict = "met" if goal.is_met else "MISSED"
        console.print(f"{goal.name}: {goal.value:.3g}, goal {goal.bound:g}: {verdict}", highlight=False)
    for name in load_was_the_limit(run):
        console.print(f"{name}: the load itself used nearly a core: its time is not the proxy's", highlight=False)
    complaints = [sample.complaint for samples in run.repeats for sample in samples.values() if sample.complaint]
    for complaint in complaints[:3]:
        console.print(complaint, markup=False)


def _print_table(console: Console, title: str, headings: Sequence[str], rows: Mapping[str, Sequence[str]]) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, cells in rows.items():
        table.add_row(name, *cells)
    console.print(table)


def _cells(run: Run, name: str, is_proxy: bool) -> list[str]:
    if not is_proxy:
        first, again = (f"({spread(run, name, value).median:.2f})" for value in (took_s, again_s))
        return [first, "", "", "", "", again, "", ""]
    return [
        spread(run, name, took_s).text(2),
        ratio(run, name, took_s).text(2),
        spread(run, name, cpu_ms).text(2),
        ratio(run, name, cpu_ms).text(2),
        spread(run, name, lambda sample: sample.kb).text(1),
        f"{spread(run, name, again_s).median:.2f}",
        f"{spread(run, name, again_cpu_ms).median:.2f}",
        f"{spread(run, name, lambda sample: sample.again_kb).median:.1f}",
    ]


def _beats(run: Run, name: str) -> list[str]:
    calm, during = (percentiles_ms(run, name, value) for value in (lambda one: one.calm_s, lambda one: one.during_s))
    return [f"{latency:.1f}" for latency in (*calm, *during)]
