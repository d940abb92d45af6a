"""Sections of the configuration file about sharing current, and the tree that is made of them.

What cannot be safe is refused with the sum that fails: the tree is proved before anything runs by it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import Field

from gateway.config_connector import Connector, phases_of
from gateway.config_external import External
from gateway.config_lodging import InTree, Listener, mistakes_of_listeners, of_no_circuit, rating_of
from gateway.config_meters import Circuit
from gateway.config_mistakes import Mistake, dotted, quoted
from gateway.config_section import Clash, Section
from gateway.model.balance import Policy
from gateway.model.ids import StationId
from gateway.model.site_tree import NO_AMPS, Amps, CircuitNode, ConnectorKey, ConnectorSpec, Mode
from gateway.plan import Lodging, Plan
from gateway.smartcharging.circuits import mistakes_of
from gateway.smartcharging.external import CapSource, guaranteed_power_w
from gateway.smartcharging.fallback import choose
from gateway.smartcharging.families import DEFAULT, NOT_LIMITED, Family, Purposes, shipped

LEAST_STEP_A = 0.1
"""Of a connector whose step is not said: its family's counts."""


class Balance(Section):
    """How current is shared."""

    mode: Literal["equal", "need-weighted", "priority"] = "equal"
    family: str | None = Field(
        default=None, description="Name a family of stations; left out: by what each says at its boot."
    )
    turn_min: float = Field(default=20.0, ge=5, le=240, description="Write minutes, 5 to 240.")
    min_on_min: float = Field(default=5.0, ge=1, le=60, description="Write minutes, 1 to 60.")
    stable_s: float = Field(default=30.0, ge=5, le=600, description="Write seconds, 5 to 600.")
    raise_gap_s: float = Field(default=30.0, ge=5, le=600, description="Write seconds, 5 to 600.")
    dead_band_a: float = Field(default=1.0, ge=0, le=10, description="Write amperes, 0 to 10.")
    writes_per_h: float = Field(default=30.0, ge=6, le=120, description="Write profiles an hour, 6 to 120.")
    voltage_v: float = Field(default=230.0, ge=50, le=500, description="Write volts between a phase and neutral.")

    def clashes(self) -> Iterator[Clash]:
        if self.family is not None and self.family not in shipped():
            yield Clash(("family",), f"there is no family {quoted(self.family)}", _known_shipped())

    @property
    def policy(self) -> Policy:
        return Policy(
            mode=Mode(self.mode),
            quantum_s=self.turn_min * 60,
            min_on_s=self.min_on_min * 60,
            stable_s=self.stable_s,
            raise_gap_s=self.raise_gap_s,
            dead_band_a=self.dead_band_a,
            writes_per_h=self.writes_per_h,
            voltage_v=self.voltage_v,
        )


@dataclass(slots=True)
class Made:
    """What was made of the sections; `plan` None: nothing is to be shared, or there are mistakes."""

    plan: Plan | None = None
    mistakes: list[Mistake] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def refuse(self, path: str, problem: str, remedy: str) -> None:
        self.mistakes.append(Mistake(path, problem, remedy))


def make(
    circuits: Sequence[Circuit],
    stations: Sequence[InTree],
    balance: Balance,
    sources: Mapping[str, External],
    listeners: Sequence[Listener] = (),
) -> Made:
    """The tree of what the sections say, proved. Without a station in a circuit nothing is shared."""
    made = Made()
    members = [station for station in stations if station.circuit is not None]
    lodgings = tuple(Lodging(one.circuit, one.rating_a) for one in listeners)
    made.warnings += of_no_circuit(circuits, stations, lodgings, is_shared=bool(members))
    _check_sources(made, circuits, sources)
    made.mistakes += mistakes_of_listeners(circuits, listeners)
    if not members:
        if circuits:
            made.warnings.append("circuit: no station is in one, so that nothing is shared: they are measured only")
        return made
    nodes = [node_of(one) for one in circuits]
    _check_stations(made, {node.id for node in nodes}, members, balance.family or DEFAULT)
    if made.mistakes:
        return made
    made.warnings += [
        f"{dotted('circuit', one.id)}: counted as feeding nothing but chargers: write background_a if that is not so"
        for one in circuits
        if one.background_a is None and one.meter is None and one.parent is not None
    ]
    plan = replace(
        _plan(nodes, members, balance, sources),
        lodgings=lodgings,
        ratings={one.id: rating_of(one) for one in stations if one.circuit is None and one.connectors},
        elsewhere=frozenset(one.id for one in stations if one.elsewhere),
        sees_all=all(one.meter is not None for one in circuits),
    )
    for text in mistakes_of(plan.circuits, plan.connectors):
        made.refuse("circuit", text, "Correct the circuit or the connector.")
    _check_phases(made, plan)
    if made.mistakes:
        return made
    for failure in choose(plan.circuits, plan.connectors).failures:
        remedy = "Name its meter, or write background_a: 0 if it feeds nothing but chargers."
        if failure.phase:
            remedy = "Lower fallbacks or background_a, take connectors out, or correct limit_a."
        made.refuse(dotted("circuit", failure.circuit), f"cannot be safe: {failure.text}", remedy)
    made.warnings += _starved(plan)
    made.plan = None if made.mistakes else plan
    return made


def _starved(plan: Plan) -> Iterator[str]:
    """Where nobody can charge whom nobody has proven: what is given to them stays given if the gateway dies."""
    tree = choose(plan.circuits, plan.connectors).tree
    for index, node in enumerate(tree.circuits):
        unproven = [key for key in tree.below[index] if not plan.is_proven(key.station)]
        least = min((tree.specs[key].min_a for key in unproven), default=0.0)
        room = max(most - worst for most, worst in zip(node.limit_a, tree.worst[index], strict=True))
        if unproven and room < least:
            unknown = "its other loads are not known" if node.background_a is None else "its other loads fill it"
            yield (
                f"{dotted('circuit', node.id)}: {unknown}, so that {len(unproven)} connectors of stations not proven "
                "get nothing: write background_a, or prove the stations"
            )


def node_of(circuit: Circuit) -> CircuitNode:
    """A circuit as the balancer knows it. One without a meter below another is taken to feed nothing but chargers."""
    there = circuit.phase_numbers
    limit = _three(circuit.limits_a or (circuit.limit_a,) * 3, there)
    background: Amps | None = None
    if circuit.background_a is not None:
        background = _three((circuit.background_a,) * 3, there)
    elif circuit.meter is None and circuit.parent is not None:
        background = NO_AMPS
    return CircuitNode(
        id=circuit.id,
        limit_a=limit,
        parent=circuit.parent,
        background_a=background,
        metered=circuit.meter is not None,
        limit_w=circuit.limit_w,
        imbalance_a=circuit.imbalance_a,
        overload=circuit.overload,
        generates=circuit.generates,
    )


def _three(values: Sequence[float], there: Sequence[int]) -> Amps:
    one, two, three = (value if phase in there else 0.0 for phase, value in zip((1, 2, 3), values, strict=True))
    return one, two, three


def _check_stations(made: Made, circuits: set[str], members: Iterable[InTree], default_family: str) -> None:
    for station in members:
        where = f"station {quoted(station.id)}"
        if station.circuit not in circuits:
            known = ", ".join(map(quoted, sorted(circuits)))
            remedy = f"Write one of {known}." if known else "Add a section [circuit.NAME], and write its NAME here."
            made.refuse(f"{where}.circuit", f"there is no circuit {quoted(station.circuit or '')}", remedy)
        elif not station.connectors:
            remedy = "Write what is installed, such as connectors = [{ max_a = 32 }]."
            made.refuse(f"{where}.connectors", "is missing; a station in a circuit needs it", remedy)
        if station.family is not None and station.family not in shipped():
            made.refuse(f"{where}.family", f"there is no family {quoted(station.family)}", _known_shipped())
        family = shipped().get(station.family or default_family)
        if family is not None and family.purpose is Purposes.TX_DEFAULT:
            remedy = "Set a limit in the station itself, and leave its circuit out: it counts at its rating then."
            made.refuse(f"{where}.family", NOT_LIMITED.format(family.name), remedy)
        numbers = [connector.evse or place for place, connector in enumerate(station.connectors, 1)]
        if len(set(numbers)) != len(numbers):
            made.refuse(f"{where}.connectors", "two have the same number", "Give each an evse of its own.")
        for place, one in enumerate(station.connectors):
            for name, value in (("min_a", one.min_a), ("fallback_a", one.fallback_a)):
                if value is not None and value > one.max_a:
                    problem = f"is above max_a, {one.max_a:g} A"
                    made.refuse(f"{where}.connectors[{place}].{name}", problem, "Correct one of the two.")


def _check_phases(made: Made, plan: Plan) -> None:
    """On a phase that its circuit has not, a connector would never be given anything."""
    nodes = {node.id: node for node in plan.circuits}
    for spec in plan.connectors:
        there = [phase for phase, limit_a in enumerate(nodes[spec.circuit].limit_a) if limit_a > 0]
        if not set(spec.phases) <= set(there):
            own, names = (("".join(f"L{phase + 1}" for phase in each)) for each in (spec.phases, there))
            is_own = spec.circuit == plan.own_circuit.get(spec.key.station)
            circuit = nodes[spec.circuit].parent if is_own else spec.circuit
            where = f"station {quoted(spec.key.station)}.connectors"
            made.refuse(
                where, f"one is on {own}, and {quoted(circuit or '')} has only {names}", f'Write phases = "{names}".'
            )


def _known_shipped() -> str:
    return f"Write one of {', '.join(map(quoted, shipped()))}."


def _check_sources(made: Made, circuits: Sequence[Circuit], sources: Mapping[str, External]) -> None:
    names = [one.id for one in circuits]
    for name, source in sources.items():
        if source.circuit not in names:
            remedy = f"Write one of {', '.join(map(quoted, names))}." if names else "Add a section [circuit.NAME]."
            made.refuse(f"{dotted('external', name)}.circuit", f"there is no circuit {quoted(source.circuit)}", remedy)


def _plan(
    nodes: list[CircuitNode], members: Sequence[InTree], balance: Balance, sources: Mapping[str, External]
) -> Plan:
    specs: list[ConnectorSpec] = []
    kinds: dict[StationId, Family] = {}
    own: dict[StationId, str] = {}
    installed: dict[StationId, tuple[ConnectorSpec, ...]] = {}
    by_name = {node.id: node for node in nodes}
    for station in members:
        said = station.family or balance.family
        family = kinds[station.id] = shipped()[said or DEFAULT]
        circuit = station.circuit or ""
        if len(station.connectors) > 1 or station.limit_a is not None:
            node = _own_node(station, by_name[circuit])
            nodes.append(node)
            own[station.id] = circuit = node.id
        bare = tuple(_spec(station, place, one, circuit) for place, one in enumerate(station.connectors, 1))
        specs += [family.spec(one) for one in bare]
        if said is None:
            installed[station.id] = bare
    return Plan(
        circuits=tuple(nodes),
        connectors=tuple(specs),
        policy=balance.policy,
        families=kinds,
        proven=frozenset(station.id for station in members if station.proven),
        own_circuit=own,
        installed=installed,
        sources=tuple(_source(name, one, nodes, specs) for name, one in sources.items()),
        topics={name: topic for name, one in sources.items() if (topic := one.said_by) is not None},
    )


def _own_node(station: InTree, parent: CircuitNode) -> CircuitNode:
    """The station's own supply, so that a limit of the whole station can be held."""
    limit = parent.limit_a if station.limit_a is None else _lower(parent.limit_a, station.limit_a)
    return CircuitNode(id=f"station {station.id}", limit_a=limit, parent=parent.id, overload=parent.overload)


def _lower(limit: Amps, most: float) -> Amps:
    return (min(limit[0], most), min(limit[1], most), min(limit[2], most))


def _spec(station: InTree, place: int, connector: Connector, circuit: str) -> ConnectorSpec:
    return ConnectorSpec(
        key=ConnectorKey(station.id, connector.evse or place),
        circuit=circuit,
        phases=phases_of(connector.phases),
        min_a=connector.min_a,
        max_a=connector.max_a,
        step_a=connector.step_a or LEAST_STEP_A,
        fallback_a=connector.fallback_a,
        switchable=connector.switchable,
        rank=connector.priority,
        weight=connector.weight,
    )


def _source(name: str, said: External, nodes: Sequence[CircuitNode], specs: Sequence[ConnectorSpec]) -> CapSource:
    least_w = 0.0
    if said.section_14a:
        parents = {node.id: node.parent for node in nodes}
        least_w = guaranteed_power_w(sum(_is_below(spec.circuit, said.circuit, parents) for spec in specs))
    return CapSource(
        name=name,
        circuit=said.circuit,
        silent_s=said.heartbeat_s,
        failsafe_w=said.fail_safe_w,
        failsafe_s=said.fail_safe_min * 60,
        least_w=least_w,
    )


def _is_below(circuit: str | None, above: str, parents: Mapping[str, str | None]) -> bool:
    while circuit is not None and circuit != above:
        circuit = parents.get(circuit)
    return circuit is not None
