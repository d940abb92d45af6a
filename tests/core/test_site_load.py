"""The load of a tree of circuits: never a number where a part is missing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.freshness import accept
from gateway.core.site_load import site_load
from gateway.model.circuit import Circuit
from gateway.model.ids import CircuitId, MeterId
from gateway.model.metering import CircuitLoad, Freshness, MeterState, Missing, MissingReason, Phases, Quality
from tests.core.meters import reading

NOW = 100.0
MAIN, ROW_A, ROW_B, SUB = (CircuitId(name) for name in ("main", "row-a", "row-b", "sub"))


def circuit(
    name: CircuitId, parent: CircuitId | None = None, meter: str | None = None, phases: tuple[int, ...] = (1, 2, 3)
) -> Circuit:
    return Circuit(name, 63.0, parent, MeterId(meter) if meter else None, phases=phases)


def state(
    meter: str, current_a: Phases, at: float = NOW, quality: Quality = Quality.GOOD, interval_s: float = 1.0
) -> MeterState:
    one = reading(
        meter=MeterId(meter), current_a=current_a, measured_at=at, quality=quality, interval_s=interval_s,
        power_w=(None, None, None), power_total_w=sum(amps for amps in current_a if amps is not None) * 230,
    )  # fmt: skip
    return accept(MeterState(meter=MeterId(meter)), one)


def loads(circuits: list[Circuit], *states: MeterState, now: float = NOW) -> dict[CircuitId, CircuitLoad]:
    return site_load(circuits, {one.meter: one for one in states}, now)


def test_a_circuit_has_what_its_own_meter_says() -> None:
    found = loads([circuit(MAIN, meter="grid")], state("grid", (10.0, -4.0, 0.0), at=99.0))[MAIN]
    assert found == CircuitLoad(
        circuit=MAIN, current_a=(10.0, -4.0, 0.0), power_w=6.0 * 230, freshness=Freshness.FRESH, quality=Quality.GOOD,
        measured_at=99.0, interval_s=1.0,
    )  # fmt: skip


@pytest.mark.parametrize(("step_a", "margin_a"), [(0.001, 0.0), (0.1, 0.0), (1.0, 1.0), (40.0, 40.0)])
def test_a_meter_that_rounds_is_taken_at_its_word_plus_a_step(step_a: float, margin_a: float) -> None:
    """One step towards import, on each phase, and not where a phase is not measured."""
    one = reading(meter=MeterId("grid"), current_a=(10.0, -4.0, None), measured_at=NOW, resolution_a=step_a)
    found = loads([circuit(MAIN, meter="grid")], accept(MeterState(meter=MeterId("grid")), one))[MAIN]
    assert found.current_a == (10.0 + margin_a, -4.0 + margin_a, None)


def test_a_meter_that_reads_without_currents_does_not_measure_them() -> None:
    found = loads([circuit(MAIN, meter="grid")], state("grid", (None, None, None), quality=Quality.PARTIAL))[MAIN]
    assert found.current_a == (None, None, None)
    assert found.missing == (Missing(MAIN, MeterId("grid"), (1, 2, 3), MissingReason.NOT_MEASURED),)


def test_without_a_meter_it_is_the_sum_of_the_circuits_below() -> None:
    tree = [circuit(SUB, ROW_A, "sub"), circuit(ROW_A, MAIN), circuit(MAIN), circuit(ROW_B, MAIN, "b")]
    found = loads(
        tree,
        state("sub", (1.0, 2.0, 3.0), at=98.0, interval_s=2.0),
        state("b", (10.0, 20.0, -30.0), at=96.5, quality=Quality.PARTIAL),
    )
    assert found[ROW_A].current_a == (1.0, 2.0, 3.0)
    main = found[MAIN]
    assert (main.current_a, main.power_w, main.missing) == ((11.0, 22.0, -27.0), 6.0 * 230, ())
    assert (main.freshness, main.quality, main.measured_at) == (Freshness.LATE, Quality.PARTIAL, 96.5)
    assert main.interval_s == 2.0


def test_its_own_meter_comes_before_the_sum_even_when_it_is_silent() -> None:
    tree = [circuit(MAIN, meter="grid"), circuit(ROW_A, MAIN, "a")]
    found = loads(tree, state("grid", (50.0, 50.0, 50.0)), state("a", (10.0, 10.0, 10.0)))
    assert found[MAIN].current_a == (50.0, 50.0, 50.0)
    found = loads(tree, state("grid", (50.0, 50.0, 50.0), at=80.0), state("a", (10.0, 10.0, 10.0)))
    assert (found[MAIN].current_a, found[MAIN].power_w) == ((None, None, None), None)
    assert found[MAIN].missing == (Missing(MAIN, MeterId("grid"), (1, 2, 3), MissingReason.STALE),)
    assert found[MAIN].freshness is Freshness.STALE


@pytest.mark.parametrize(
    ("age_s", "reason"), [(5.0, None), (10.5, MissingReason.STALE), (60.5, MissingReason.BLIND), (-2.0, "blind")]
)
def test_old_values_are_no_load(age_s: float, reason: MissingReason | None) -> None:
    tree = [circuit(MAIN), circuit(ROW_A, MAIN, "a"), circuit(ROW_B, MAIN, "b")]
    found = loads(tree, state("a", (1.0, 1.0, 1.0)), state("b", (2.0, 2.0, 2.0), at=NOW - age_s))[MAIN]
    if reason is None:
        assert found.current_a == (3.0, 3.0, 3.0)
    else:
        assert found.current_a == (None, None, None)
        assert found.missing == (Missing(ROW_B, MeterId("b"), (1, 2, 3), MissingReason(reason)),)


def test_each_part_that_is_missing_is_named() -> None:
    tree = [circuit(MAIN), circuit(ROW_A, MAIN, "a"), circuit(ROW_B, MAIN, "b"), circuit(SUB, MAIN)]
    found = loads(tree, state("a", (1.0, None, 1.0)))[MAIN]
    assert found.current_a == (None, None, None)
    assert found.missing == (
        Missing(ROW_A, MeterId("a"), (2,), MissingReason.NOT_MEASURED),
        Missing(ROW_B, MeterId("b"), (1, 2, 3), MissingReason.NO_READING),
        Missing(SUB, None, (1, 2, 3), MissingReason.NO_METER),
    )
    assert [str(one) for one in found.missing] == [
        "meter a L2: not-measured", "meter b L1/L2/L3: no-reading", "circuit sub L1/L2/L3: no-meter"
    ]  # fmt: skip
    assert found.freshness is Freshness.BLIND


def test_one_stale_phase_does_not_hide_the_others() -> None:
    one = state("grid", (10.0, 20.0, 30.0), at=85.0)
    one = accept(one, reading(measured_at=NOW, current_a=(11.0, None, 31.0), quality=Quality.PARTIAL))
    found = loads([circuit(MAIN, meter="grid")], one)[MAIN]
    assert found.current_a == (11.0, None, 31.0)
    assert found.missing == (Missing(MAIN, MeterId("grid"), (2,), MissingReason.STALE),)
    assert (found.freshness, found.measured_at) == (Freshness.STALE, 85.0)


def test_a_single_phase_circuit_lacks_nothing_and_adds_to_its_phase() -> None:
    tree = [circuit(MAIN), circuit(ROW_A, MAIN, "a"), circuit(ROW_B, MAIN, "b", phases=(2,))]
    found = loads(tree, state("a", (1.0, 2.0, 3.0)), state("b", (None, 7.0, None)))
    assert (found[ROW_B].current_a, found[ROW_B].missing) == ((None, 7.0, None), ())
    assert (found[MAIN].current_a, found[MAIN].missing) == ((1.0, 9.0, 3.0), ())


def test_a_phase_that_no_part_has_is_not_zero() -> None:
    tree = [circuit(MAIN), circuit(ROW_B, MAIN, "b", phases=(2,))]
    found = loads(tree, state("b", (None, 7.0, None)))[MAIN]
    assert found.current_a == (None, 7.0, None)
    assert {(one.circuit, one.phases) for one in found.missing} == {(MAIN, (1,)), (MAIN, (3,))}


def test_doubtful_readings_are_counted_and_make_it_late() -> None:
    found = loads([circuit(MAIN, meter="grid")], state("grid", (1.0, 1.0, 1.0), quality=Quality.SUSPECT))[MAIN]
    assert (found.current_a, found.freshness, found.quality) == ((1.0, 1.0, 1.0), Freshness.LATE, Quality.SUSPECT)


def test_power_is_missing_alone_where_only_currents_are_measured() -> None:
    bare = replace(state("grid", (1.0, 1.0, 1.0)), power_w=None)
    found = loads([circuit(MAIN, meter="grid")], bare)[MAIN]
    assert (found.current_a, found.power_w, found.missing) == ((1.0, 1.0, 1.0), None, ())


amps = st.none() | st.floats(1.0, 100.0)
meters = st.lists(st.tuples(st.tuples(amps, amps, amps), st.floats(0.0, 80.0)), min_size=1, max_size=6)


@given(meters, st.data())
def test_a_sum_has_every_part_or_is_none(said: list[tuple[Phases, float]], data: st.DataObject) -> None:
    """Random trees. All currents are at least 1 A, so a zero would be an invention."""
    names = [CircuitId(f"c{number}") for number in range(len(said))]
    parents = [None if n == 0 else names[data.draw(st.integers(0, n - 1))] for n in range(len(names))]
    leaves = [name for name in names if name not in parents]
    tree = [circuit(n, p, n if n in leaves else None) for n, p in zip(names, parents, strict=True)]
    states = {n: state(n, c, at=NOW - age) for n, (c, age) in zip(names, said, strict=True) if n in leaves}
    found = loads(tree, *states.values())

    def under(name: CircuitId) -> list[CircuitId]:
        below = [n for n, p in zip(names, parents, strict=True) if p == name]
        return [leaf for one in below for leaf in under(one)] if below else [name]

    for name in names:
        for phase in range(3):
            parts = [
                held.value if held and NOW - held.at <= 10.0 else None
                for held in (states[leaf].current_a[phase] for leaf in under(name))
            ]
            value = found[name].current_a[phase]
            known = [part for part in parts if part is not None]
            assert value == (pytest.approx(sum(known)) if len(known) == len(parts) else None)
            assert value != 0
            assert (value is None) == any(phase + 1 in one.phases for one in found[name].missing)
