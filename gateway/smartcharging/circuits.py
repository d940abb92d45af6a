"""The tree of circuits, compiled: every circuit and phase is a row, every connector knows the rows it loads.

Row 3n + p is phase p of circuit n. Rows beyond those (`Extra`) limit sums: watts over all phases, imbalance, caps.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.model.site_tree import NO_AMPS, Amps, CircuitNode, ConnectorKey, ConnectorSpec

PHASES = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class SiteTree:
    """Circuits, parents before children, and the connectors, each with its fallback.

    `ancestors`: of each circuit, itself first, as indices. `below`: connectors in and below each circuit.
    `worst`: the most background each circuit carries, sub-circuits included.
    """

    circuits: tuple[CircuitNode, ...]
    connectors: tuple[ConnectorSpec, ...]
    fallback_a: Mapping[ConnectorKey, float]
    index: Mapping[str, int]
    specs: Mapping[ConnectorKey, ConnectorSpec]
    ancestors: tuple[tuple[int, ...], ...]
    children: tuple[tuple[int, ...], ...]
    below: tuple[tuple[ConnectorKey, ...], ...]
    worst: tuple[Amps, ...]
    paths: dict[tuple[str, tuple[int, ...]], tuple[int, ...]] = field(default_factory=dict, repr=False)

    def rows(self, circuit: str, phases: tuple[int, ...]) -> tuple[int, ...]:
        """Rows that a current on these phases of the grid loads, from its own circuit up to the top."""
        rows = self.paths.get((circuit, phases))
        if rows is None:
            rows = tuple(3 * node + phase for node in self.ancestors[self.index[circuit]] for phase in phases)
            self.paths[circuit, phases] = rows
        return rows

    def limit(self, row: int) -> float:
        return self.circuits[row // 3].limit_a[row % 3]

    def with_fallbacks(self, fallback_a: Mapping[ConnectorKey, float]) -> "SiteTree":
        return compile_tree(self.circuits, self.connectors, fallback_a)


def mistakes_of(circuits: Sequence[CircuitNode], connectors: Sequence[ConnectorSpec]) -> list[str]:
    """What makes these no tree, in words; empty if they are one."""
    return [*_circuit_mistakes(circuits), *_connector_mistakes({node.id for node in circuits}, connectors)]


def _circuit_mistakes(circuits: Sequence[CircuitNode]) -> Iterator[str]:
    parents = {node.id: node.parent for node in circuits}
    if len(parents) != len(circuits):
        yield "two circuits have the same name"
    for node in circuits:
        if node.parent is not None and node.parent not in parents:
            yield f"circuit {node.id}: its parent {node.parent} does not exist"
        seen, at = {node.id}, node.parent
        while at is not None and at not in seen:
            seen.add(at)
            at = parents.get(at)
        if at == node.id:
            yield f"circuit {node.id}: it is its own ancestor"
        if min(node.limit_a) < 0:
            yield f"circuit {node.id}: a limit is negative"


def _connector_mistakes(circuits: set[str], connectors: Sequence[ConnectorSpec]) -> Iterator[str]:
    if len({spec.key for spec in connectors}) != len(connectors):
        yield "a connector is listed twice"
    for spec in connectors:
        if spec.circuit not in circuits:
            yield f"connector {spec.key}: its circuit {spec.circuit} does not exist"
        if not spec.phases or len(set(spec.phases)) != len(spec.phases) or not set(spec.phases) <= set(PHASES):
            yield f"connector {spec.key}: its phases must be different ones of L1, L2 and L3"
        if not 0 < spec.min_a <= spec.max_a or spec.step_a <= 0:
            yield f"connector {spec.key}: 0 < min_a <= max_a and 0 < step_a do not hold"
        if spec.fallback_a is not None and 0 < spec.fallback_a < spec.min_a:
            yield f"connector {spec.key}: a fallback is 0 or at least min_a ({spec.min_a:g} A)"
        if spec.fallback_a == 0 and not spec.pausable:
            yield f"connector {spec.key}: it does not obey 0 A, so that its fallback is no less than min_a"
        if spec.fallback_a is not None and not 0 <= spec.fallback_a <= spec.max_a:
            yield f"connector {spec.key}: fallback_a is not between 0 and max_a ({spec.max_a:g} A)"


def compile_tree(
    circuits: Iterable[CircuitNode],
    connectors: Iterable[ConnectorSpec],
    fallback_a: Mapping[ConnectorKey, float] | None = None,
) -> SiteTree:
    """Raise ValueError if they are no tree. Without `fallback_a` the installer's fallbacks hold, else 0 A."""
    nodes, specs = tuple(circuits), tuple(connectors)
    if mistakes := mistakes_of(nodes, specs):
        raise ValueError("; ".join(mistakes))
    nodes = _parents_first(nodes)
    index = {node.id: i for i, node in enumerate(nodes)}
    ancestors = tuple(tuple(_up(nodes, index, i)) for i in range(len(nodes)))
    children = tuple(tuple(i for i, node in enumerate(nodes) if node.parent == parent.id) for parent in nodes)
    below: list[list[ConnectorKey]] = [[] for _ in nodes]
    for spec in specs:
        for node in ancestors[index[spec.circuit]]:
            below[node].append(spec.key)
    chosen = {spec.key: spec.fallback_a or 0.0 for spec in specs} if fallback_a is None else dict(fallback_a)
    return SiteTree(
        circuits=nodes,
        connectors=specs,
        fallback_a=chosen,
        index=index,
        specs={spec.key: spec for spec in specs},
        ancestors=ancestors,
        children=children,
        below=tuple(map(tuple, below)),
        worst=_worst(nodes, children),
    )


def _parents_first(nodes: tuple[CircuitNode, ...]) -> tuple[CircuitNode, ...]:
    ordered: list[CircuitNode] = []
    placed: set[str | None] = {None}
    while len(ordered) < len(nodes):
        ordered += [node for node in nodes if node.parent in placed and node.id not in placed]
        placed |= {node.id for node in ordered}
    return tuple(ordered)


def _up(nodes: tuple[CircuitNode, ...], index: Mapping[str, int], start: int) -> Iterator[int]:
    at: int | None = start
    while at is not None:
        yield at
        parent = nodes[at].parent
        at = None if parent is None else index[parent]


def _worst(nodes: tuple[CircuitNode, ...], children: tuple[tuple[int, ...], ...]) -> tuple[Amps, ...]:
    """Own loads and those of sub-circuits; unknown loads fill the circuit's own limit, which is the most they can."""
    worst: list[Amps] = [NO_AMPS] * len(nodes)
    for i in reversed(range(len(nodes))):
        node = nodes[i]
        if node.background_a is None:
            worst[i] = node.limit_a
            continue
        total = node.background_a
        for child in children[i]:
            total = added(total, worst[child])
        worst[i] = total
    return tuple(worst)


def added(a: Amps, b: Amps) -> Amps:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


def higher(a: Amps, b: Amps) -> Amps:
    return (max(a[0], b[0]), max(a[1], b[1]), max(a[2], b[2]))


def on_grid(amps: Sequence[float], phases: tuple[int, ...]) -> Amps:
    """Currents on a connector's own L1, L2, L3 as currents on the grid's phases."""
    load = [0.0, 0.0, 0.0]
    for phase, current in zip(phases, amps, strict=False):
        load[phase] = current
    return (load[0], load[1], load[2])
