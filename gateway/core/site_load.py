"""The load of each circuit, from the meters there are: a circuit's own meter, else the sum of the circuits below it.

Where a part is missing there is no number, and it is said which part and why. A circuit that has a meter is never
summed up instead: its own load beside the circuits below it would be left out. What a meter rounds to whole amperes
counts as one step more: so much may flow beside what it says.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from gateway.core import freshness
from gateway.model.circuit import Circuit
from gateway.model.ids import CircuitId, MeterId
from gateway.model.metering import (
    CircuitLoad,
    Freshness,
    Held,
    MeterState,
    Missing,
    MissingReason,
    Phases,
    worst_freshness,
    worst_quality,
)

_USABLE = (Freshness.FRESH, Freshness.LATE)
COARSE_A = 0.5
"""A meter whose currents have a step from here on is taken at its word plus one step."""


def site_load(
    circuits: Iterable[Circuit], meters: Mapping[MeterId, MeterState], now: float
) -> dict[CircuitId, CircuitLoad]:
    """The load of every circuit. `circuits` are trees: parents exist, and no circuit is above itself."""
    nodes = {circuit.id: circuit for circuit in circuits}
    below = defaultdict(list)
    for circuit in nodes.values():
        if circuit.parent is not None:
            below[circuit.parent].append(circuit.id)
    loads: dict[CircuitId, CircuitLoad] = {}

    def load(circuit: Circuit) -> CircuitLoad:
        if circuit.id not in loads:
            if circuit.meter is not None:
                state = meters.get(circuit.meter, MeterState(meter=circuit.meter))
                loads[circuit.id] = _measured(circuit, state, now)
            else:
                parts = [(nodes[name], load(nodes[name])) for name in below[circuit.id]]
                loads[circuit.id] = _summed(circuit, parts)
        return loads[circuit.id]

    for circuit in nodes.values():
        load(circuit)
    return loads


def _measured(circuit: Circuit, state: MeterState, now: float) -> CircuitLoad:
    values: list[float | None] = [None, None, None]
    missing: dict[MissingReason, list[int]] = defaultdict(list)
    for phase in circuit.phases:
        held = state.current_a[phase - 1]
        reason = _why_not(state, held, now)
        if held is None or reason is not None:
            missing[reason or MissingReason.NOT_MEASURED].append(phase)
        else:
            values[phase - 1] = held.value + _margin_a(state)
    power = state.power_w
    return CircuitLoad(
        circuit=circuit.id,
        current_a=_three(values),
        power_w=power.value if power and freshness.of(state, power, now) in _USABLE else None,
        freshness=freshness.of_meter(state, now),
        quality=state.quality,
        measured_at=min((held.at for held in state.current_a if held), default=None),
        interval_s=state.interval_s,
        missing=tuple(Missing(circuit.id, state.meter, tuple(at), reason) for reason, at in missing.items()),
    )


def _margin_a(state: MeterState) -> float:
    return state.resolution_a if state.resolution_a >= COARSE_A else 0.0


def _why_not(state: MeterState, held: Held | None, now: float) -> MissingReason | None:
    """Why a phase's value can't be used; None if it can."""
    if held is None:
        known = any(state.current_a) or state.interval_s is not None  # there was a reading that could be believed
        return MissingReason.NOT_MEASURED if known else MissingReason.NO_READING
    age = freshness.of(state, held, now)
    return None if age in _USABLE else MissingReason(age.value)


def _summed(circuit: Circuit, parts: list[tuple[Circuit, CircuitLoad]]) -> CircuitLoad:
    if not parts:
        return CircuitLoad(
            circuit=circuit.id, missing=(Missing(circuit.id, None, circuit.phases, MissingReason.NO_METER),)
        )
    missing = [one for _, load in parts for one in load.missing]
    values: list[float | None] = [None, None, None]
    for phase in circuit.phases:
        of_phase = [load.current_a[phase - 1] for child, load in parts if phase in child.phases]
        if not of_phase:
            missing.append(Missing(circuit.id, None, (phase,), MissingReason.NOT_MEASURED))
        values[phase - 1] = _sum(of_phase)
    loads = [load for _, load in parts]
    return CircuitLoad(
        circuit=circuit.id,
        current_a=_three(values),
        power_w=_sum([load.power_w for load in loads]),
        freshness=worst_freshness(load.freshness for load in loads),
        quality=worst_quality(load.quality for load in loads),
        measured_at=_all(min, [load.measured_at for load in loads]),
        interval_s=_all(max, [load.interval_s for load in loads]),
        missing=tuple(missing),
    )


def _sum(values: Sequence[float | None]) -> float | None:
    """None if there are none, or one of them is not known."""
    return _all(sum, values)


def _all(fold: Callable[[Iterable[float]], float], values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fold(known) if known and len(known) == len(values) else None


def _three(values: Sequence[float | None]) -> Phases:
    one, two, three = values
    return one, two, three
