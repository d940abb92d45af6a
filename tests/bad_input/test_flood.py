"""A short flood in every test run; `python -m tests.bad_input.flood --frames 100000` is the long one."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bad_input.counted import Held
from tests.bad_input.flood import Options, flood
from tests.bad_input.flood_report import (
    AFTER,
    AGAIN,
    BEFORE,
    BURST,
    FIRST,
    MUTATED,
    ORDINARY,
    PHASES,
    Latency,
    Load,
    Report,
    judge,
)
from tests.bad_input.mutator import WORKERS, Mutator
from tests.bad_input.rig import TEXT, Kit, RawCsms, RawStation, WsFrame

GARBAGE = b"[2,not JSON"


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a short path, for the Unix socket in it."""
    return tmp_path_factory.mktemp("gw")


async def test_flood_of_malformed_frames(directory: Path, seed: int) -> None:
    """As long as it takes; how fast, and how much memory, is for the long one."""
    report = await flood(
        Options(seed, 700, pairs=1, pair_frames=700, burst_frames=5000, rate=2000, quiet_s=0.2, judges_speed=False),
        directory,
    )
    assert not report.problems
    mutated, ordinary, again = (report.loads[kind] for kind in (MUTATED, ORDINARY, AGAIN))
    assert mutated.frames == ordinary.frames >= 700 <= again.frames
    assert mutated.connections > 5
    assert abs(mutated.connections - ordinary.connections) <= WORKERS  # by who takes the last batch
    assert mutated.kib == ordinary.kib
    assert set(ordinary.closed) <= {"1000"}
    assert again.closed
    assert report.loads[BURST].frames == 5000
    for phases in report.latency.values():
        assert all(phases[phase].count > 0 for phase in (MUTATED, ORDINARY, AGAIN))


def _report() -> Report:
    held = {phase: Held(50_000, 45_000, 20, 100, 70_000, {}) for phase in (BEFORE, FIRST, AGAIN, AFTER)}
    latency = {"Heartbeat": {phase: Latency(100, 5.0, 50.0, 80.0) for phase in PHASES}}
    loads = {kind: Load(1000, cpu_ms=0.3) for kind in (MUTATED, ORDINARY, AGAIN)}
    pairs = {"Heartbeat": [(Latency(50, 5.0, 50.0, 80.0), Latency(50, 5.0, 50.0, 80.0)) for _ in range(5)]}
    return Report(1, loads=loads, held=held, latency=latency, pairs=pairs)


def _slower(report: Report, pairs: int, p50: float, p99: float) -> None:
    """So beside the mutated frames of so many pairs."""
    for number in range(pairs):
        report.pairs["Heartbeat"][number] = (Latency(50, p50, p99, p99), report.pairs["Heartbeat"][number][1])


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda report: setattr(report.held[AGAIN], "rss_kib", 80_000), "memory grew"),
        (lambda report: setattr(report.held[AGAIN], "live_kib", 46_100), "as much again made memory grow"),
        (lambda report: setattr(report.held[AGAIN], "descriptors", 21), "descriptors were left open"),
        (lambda report: setattr(report.held[AFTER], "tasks", 101), "tasks were left behind"),
        (lambda report: setattr(report.held[AGAIN], "objects", 70_100), "objects pile up"),
        (lambda report: setattr(report.loads[MUTATED], "cpu_ms", 0.5), "costs more"),
        (lambda report: _slower(report, 3, 9.0, 50.0), "wait longer"),
        (lambda report: _slower(report, 3, 5.0, 120.0), "wait longer"),
        (lambda report: report.latency["Heartbeat"].update({AGAIN: Latency(5)}), "thrown out"),
        (lambda report: setattr(report.latency["Heartbeat"][BURST], "p99", 600.0), "takes the turns"),
    ],
)
def test_what_a_flood_may_not_do_is_said(spoil: Callable[[Report], None], problem: str) -> None:
    report = _report()
    _slower(report, 2, 9.0, 1000.0)
    assert judge(report, judges_speed=True) == [], "what happens in two pairs of five is the machine's"
    spoil(report)
    assert any(problem in found for found in judge(report, judges_speed=True))


def test_a_seed_makes_the_same_frames() -> None:
    one, same, other = Mutator(1), Mutator(1), Mutator(2)
    batch = one.batch(100)
    assert batch == same.batch(100)
    assert batch != other.batch(100)


def test_a_twin_is_as_big_and_well_formed() -> None:
    mutator, sizes = Mutator(1), Counter[bool]()
    for _ in range(50):
        batch = mutator.batch(25)
        twin = batch.twin()
        assert len(twin.messages) == len(batch.messages)
        assert bool(twin.end) is bool(batch.end)
        for message, (same,) in zip(batch.messages, twin.messages, strict=True):
            size = sum(len(frame.payload) for frame in message)
            sizes[len(same.payload) == size] += 1
            if same.opcode == TEXT:
                called = json.loads(same.payload)
                assert (called[0], called[1][:4]) == (2, "twin")
    assert sizes[True] > 10 * sizes[False], "only what is too short for a CALL may differ"


def test_every_kind_of_mutation_is_made() -> None:
    mutator = Mutator(1)
    for _ in range(300):
        mutator.batch(25)
    assert len(mutator.made) == 28
    assert min(mutator.made.values()) > 1


async def test_garbage_for_ever_does_not_fill_the_disk(directory: Path) -> None:
    """Of many lines that say the same of one station, few are written, and one says how many were not."""
    async with (
        RawCsms() as csms,
        Kit.gateway_at(directory, csms.url) as gateway,
        await RawStation.connect(gateway.port, "LOUD", "1.6") as loud,
        await RawStation.connect(gateway.port, "QUIET", "1.6") as quiet,
    ):
        kit = Kit(gateway, csms, quiet)
        await kit.linked("LOUD")
        await kit.linked("QUIET")
        loud.send(*[WsFrame(1, GARBAGE)] * 300)
        for _ in range(300):
            assert (await loud.message())[0] == 4
        quiet.send(WsFrame(1, GARBAGE))
        assert (await quiet.message())[0] == 4
        await quiet.is_served()
        assert 1 <= len(kit.lines("LOUD", "unusable")) <= 50
        assert len(kit.lines("QUIET", "unusable")) == 1, "one station's noise hides another's trouble"


async def test_a_station_that_breaks_the_protocol_and_never_hangs_up_is_dropped(directory: Path) -> None:
    """With pings it takes until the next one; without, for ever: a descriptor and a "connected" station each."""
    async with (
        RawCsms() as csms,
        Kit.gateway_at(directory, csms.url, "ping_interval_s = 0") as gateway,
        await RawStation.connect(gateway.port, "HALF-DEAD", "1.6") as half_dead,
        await RawStation.connect(gateway.port, "HEALTHY", "1.6") as healthy,
    ):
        kit = Kit(gateway, csms, healthy)
        await kit.linked("HALF-DEAD")
        half_dead.send(WsFrame(1, b"[]", rsv=4))
        assert await half_dead.close_code() == 1002
        await kit.until(lambda: kit.lines("HALF-DEAD", "disconnected"), limit_s=10)
