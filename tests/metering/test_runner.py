"""Drivers that fail in every way, side by side on virtual time: the good one goes on, and the words are right."""

import asyncio
import logging
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import registry
from drivers.api import DriverError, Health, Kind, Quality, Reading, Reason, Trouble
from gateway.core.freshness import by_age, of_meter
from gateway.model.circuit import Circuit
from gateway.model.ids import CircuitId, MeterId
from gateway.model.metering import Freshness, TroubleKind
from tests.metering.scripted import DRIVERS, UNPLUGGED, Rig, ScriptedDriver, played, steady
from tests.sim import loop as virtual


@pytest.fixture(autouse=True)
def _scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "DRIVERS", DRIVERS)


def _lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [f"{record.levelname} {record.getMessage()}" for record in caplog.records if "gateway" in record.name]


async def _refuses(driver: ScriptedDriver) -> AsyncIterator[Reading]:
    if driver.count == 0:
        raise DriverError(Kind.WRONG_METER, "another meter answers", "Correct model")
    yield driver.reading()


async def _breaks(driver: ScriptedDriver) -> AsyncIterator[Reading]:
    yield driver.reading()
    raise ZeroDivisionError("a defect")


async def _cancels_itself(driver: ScriptedDriver) -> AsyncIterator[Reading]:
    if driver.count == 0:
        raise asyncio.CancelledError
    yield driver.reading()


async def _hangs(driver: ScriptedDriver) -> AsyncIterator[Reading]:
    await asyncio.Event().wait()
    yield driver.reading()


async def _is_sick(driver: ScriptedDriver) -> AsyncIterator[Reading]:
    """Reads well, but cannot say how it is: `health` raises."""
    driver.health = _no_health  # type: ignore[method-assign]  # what a defect of a third party may look like
    async for reading in steady(driver):
        yield reading


def _no_health() -> Health:
    raise KeyError("health")


async def _ends(driver: ScriptedDriver) -> AsyncIterator[Reading]:
    yield driver.reading()


def test_no_meter_holds_up_another(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bad = {
        "refuses": _refuses, "breaks": _breaks, "cancels": _cancels_itself, "hangs": _hangs, "sick": _is_sick,
        "ends": _ends,
    }  # fmt: skip
    rig = Rig({**bad, "good": steady})
    states = played(rig, 30.5)
    assert states["good"].latest is not None
    assert states["good"].latest.sequence == 31
    assert states["good"].health.trouble is None
    kinds = {name: state.health.trouble.kind for name, state in states.items() if state.health.trouble}
    assert kinds == {
        "refuses": TroubleKind.WRONG_METER, "breaks": TroubleKind.BROKEN, "cancels": TroubleKind.BROKEN,
        "sick": TroubleKind.BROKEN, "ends": TroubleKind.ENDED,
    }  # fmt: skip
    lines = _lines(caplog)
    assert [line for line in lines if "good" in line] == ["INFO meter good: is read"]
    assert "WARNING meter refuses: blind: another meter answers. Remedy: Correct model" in lines
    assert "WARNING meter hangs: blind: it has said nothing yet" in lines
    assert len([line for line in lines if line.startswith("ERROR")]) == 3, lines
    assert max(sum(f"meter {name}:" in line for line in lines) for name in rig.scripts) <= 3, lines


def test_a_driver_is_started_again_after_a_wait_that_grows() -> None:
    starts: list[float] = []

    async def fails(driver: ScriptedDriver) -> AsyncIterator[Reading]:
        starts.append(driver.seams.now())
        if driver.count == 0:
            raise DriverError(Kind.REFUSED, "no", "Do something")
        yield driver.reading()

    played(Rig({"grid": fails}), 400.0)
    waits = [later - earlier for earlier, later in pairwise(starts)]
    expected = [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert len(waits) >= 9
    assert all(0.75 * most <= wait <= most for wait, most in zip(waits, expected, strict=False)), waits


def test_a_recording_that_ended_is_not_played_again() -> None:
    starts: list[float] = []

    async def ends(driver: ScriptedDriver) -> AsyncIterator[Reading]:
        starts.append(driver.seams.now())
        yield driver.reading()

    rig = Rig({"grid": ends})
    states = played(rig, 300.0)
    assert len(starts) == 1
    assert states["grid"].health.trouble is not None
    assert of_meter(states["grid"], 300.0) is Freshness.BLIND


def test_a_driver_that_hangs_is_started_anew_and_one_that_says_why_is_left_alone() -> None:
    starts: dict[str, list[float]] = {"hung": [], "waiting": []}

    async def hung(driver: ScriptedDriver) -> AsyncIterator[Reading]:
        starts["hung"].append(driver.seams.now())
        if len(starts["hung"]) > 1:
            async for reading in steady(driver):
                yield reading
        yield driver.reading()
        await asyncio.Event().wait()

    async def waiting(driver: ScriptedDriver) -> AsyncIterator[Reading]:
        starts["waiting"].append(driver.seams.now())
        driver.trouble = UNPLUGGED
        await asyncio.Event().wait()
        yield driver.reading()

    states = played(Rig({"hung": hung, "waiting": waiting}), 100.0)
    assert len(starts["hung"]) == 2
    assert 60 < starts["hung"][1] < 64
    assert of_meter(states["hung"], 100.0) is Freshness.FRESH
    assert len(starts["waiting"]) == 1


def test_the_log_tells_each_change_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def life(driver: ScriptedDriver) -> AsyncIterator[Reading]:
        driver.trouble = UNPLUGGED
        await driver.seams.sleep(5)
        driver.trouble = None
        for _ in range(40):
            yield driver.reading()
            await driver.seams.sleep(1)
        for _ in range(60):  # flapping
            yield driver.reading(10.0 + driver.count, None, 1.0)
            await driver.seams.sleep(0.5)
            yield driver.reading()
            await driver.seams.sleep(0.5)
        driver.trouble = Trouble(Kind.UNPLUGGED, "/dev/x is not there", "Plug it in")
        await driver.seams.sleep(100)
        driver.trouble = None
        async for reading in steady(driver):
            yield reading

    played(Rig({"grid": life}), 300.0)
    assert _lines(caplog) == [
        "WARNING meter grid: blind: /dev/x is not there. Remedy: Plug it in",
        "INFO meter grid: is read",
        "INFO meter grid: is read in part: current-missing L2",
        "WARNING meter grid: trouble: /dev/x is not there. Remedy: Plug it in",
        "WARNING meter grid: stale: /dev/x is not there. Remedy: Plug it in",
        "WARNING meter grid: blind: /dev/x is not there. Remedy: Plug it in",
        "INFO meter grid: is read",
    ]


def test_whoever_waits_is_woken_by_a_reading_and_by_trouble() -> None:
    seen: list[str] = []

    async def two(driver: ScriptedDriver) -> AsyncIterator[Reading]:
        await driver.seams.sleep(2.25)
        yield driver.reading()
        driver.trouble = UNPLUGGED
        await asyncio.Event().wait()

    async def scene() -> None:
        rig = Rig({"grid": two})
        task = asyncio.create_task(rig.run(10.0))
        revision = 0
        while len(seen) < 2:
            revision = await rig.meters.changed(revision)
            state = rig.meters.states[MeterId("grid")]
            if state.latest:
                seen.append(f"{rig.now:.2f} {'trouble' if state.health.trouble else 'reading'}")
        await task

    virtual.run(scene())
    assert seen == ["2.25 reading", "3.00 trouble"]


# The whole chain, with random drop-outs and a wall clock that steps

amps = st.none() | st.floats(1.0, 60.0)
events = st.one_of(
    st.tuples(st.just("say"), st.floats(0.0, 4.0), st.tuples(amps, amps, amps)),
    st.tuples(st.just("silence"), st.floats(0.0, 90.0), st.none()),
    st.tuples(st.just("retained"), st.floats(0.0, 2.0), st.tuples(amps, amps, amps)),
    st.tuples(st.just("fail"), st.floats(0.0, 2.0), st.none()),
    st.tuples(st.just("clock"), st.floats(-2e9, 2e9), st.none()),
)
plays = st.lists(events, min_size=1, max_size=14)


class _Player:
    """Plays one meter's events, over the driver's restarts, and keeps what was said and could be believed."""

    def __init__(self, play: list[tuple[str, float, tuple[float | None, ...] | None]], rig: Rig) -> None:
        self._left = list(play)
        self._rig = rig
        self.believed: list[tuple[float, float] | None] = [None, None, None]

    async def __call__(self, driver: ScriptedDriver) -> AsyncIterator[Reading]:
        while self._left:
            kind, amount, current = self._left.pop(0)
            if kind == "clock":
                self._rig.wall.offset_s = 2e9 + amount / 2
                continue
            await driver.seams.sleep(amount)
            if kind == "fail":
                raise DriverError(Kind.UNREACHABLE, "gone", "Wait")
            if current is None:
                continue
            now = driver.seams.now()
            if kind == "retained":
                yield driver.reading(*current, quality=Quality.BAD, reasons=frozenset({Reason.RETAINED}))
                continue
            for phase, value in enumerate(current):
                self.believed[phase] = self.believed[phase] if value is None else (now, value)
            yield driver.reading(*current)
        await asyncio.Event().wait()


@settings(max_examples=20)
@given(plays, plays)
def test_no_zero_is_invented_and_no_clock_makes_old_values_fresh(
    one: list[tuple[str, float, tuple[float | None, ...] | None]],
    two: list[tuple[str, float, tuple[float | None, ...] | None]],
) -> None:
    """Every current said is at least 1 A. Each load is the sum of what was said last, at most 10 s ago, or None."""
    main, row_a, row_b = (CircuitId(name) for name in ("main", "row-a", "row-b"))
    circuits = [
        Circuit(main, 63.0),
        Circuit(row_a, 63.0, main, MeterId("one")),
        Circuit(row_b, 63.0, main, MeterId("two")),
    ]
    rig = Rig({}, circuits)
    players = {"one": _Player(one, rig), "two": _Player(two, rig)}
    rig.scripts = dict(players)
    order = list(Freshness)

    def look() -> None:
        now, loads = rig.now, rig.meters.loads(rig.now)
        for phase in range(3):
            last = [player.believed[phase] for player in players.values()]
            parts = [said[1] if said and now - said[0] <= 10.0 else None for said in last]
            known = [part for part in parts if part is not None]
            value = loads[main].current_a[phase]
            assert value is None or value == pytest.approx(sum(known))
            assert (value is None) or len(known) == 2
            assert value != 0
        for name, row in (("one", row_a), ("two", row_b)):
            times = [said[0] for said in players[name].believed if said]
            least = by_age(now - min(times), 1.0) if times else Freshness.BLIND
            assert order.index(loads[row].freshness) >= order.index(least)

    async def scene() -> None:
        task = asyncio.create_task(rig.run(100.0))
        while not task.done():
            await asyncio.wait([task], timeout=1.1)
            look()
        await task

    virtual.run(scene(), debug=False)
