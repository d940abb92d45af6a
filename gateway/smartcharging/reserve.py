"""What is left of every limit for the connectors the allocator decides on.

Everything else is reserved first: the background, what unreachable, unmanaged and idle connectors may hold, and the
start reserve. What is left of a circuit's phase is the least that the live and the exposure invariant leave; unproven
stations have rows of their own, for what the static invariant leaves to all of them together.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from gateway.model.balance import Background, ExternalCap, Rung
from gateway.model.site_tree import Binding, CircuitNode, Why
from gateway.smartcharging.circuits import SiteTree
from gateway.smartcharging.claims import EPSILON_A, Imbalance, Loads, Walls
from gateway.smartcharging.invariants import START_RESERVES
from gateway.smartcharging.survey import View

Place = tuple[str, tuple[int, ...], bool]
"""A circuit, phases of the grid, and whether the station there is proven: all that decides which rows are loaded."""


class Extra(NamedTuple):
    """Rows of a circuit beyond its phases, -1 where there is none."""

    power: int = -1
    imbalance: tuple[int, int, int] | None = None
    cap: int = -1
    cap_phases: tuple[int, int, int] | None = None


class Room(NamedTuple):
    """The walls, and the way from a connector to the rows it loads."""

    tree: SiteTree
    walls: Walls
    extras: tuple[Extra, ...]
    known: dict[Place, tuple[Loads, Loads]]

    def narrowed(self, most_a: Mapping[Place, float]) -> "Room":
        """The same room, without the rows that can't be full whatever these places take together."""
        sizes = list(self.walls.used)
        for place, amps in most_a.items():
            circuit, phases, proven = place
            for rows in self.loads(circuit, phases, proven=proven):
                for row, load in rows:
                    sizes[row] += load * amps
        can_be_full = [size > most + EPSILON_A for size, most in zip(sizes, self.walls.capacity, strict=True)]
        known = {}
        for place in most_a:
            loads, caps = self.known[place]
            known[place] = (
                tuple(one for one in loads if can_be_full[one[0]]),
                tuple(one for one in caps if can_be_full[one[0]]),
            )
        return self._replace(known=known)

    def loads(self, circuit: str, phases: tuple[int, ...], *, proven: bool) -> tuple[Loads, Loads]:
        """Rows that bear a connector's fallback anyhow, and rows that count all its current."""
        found = self.known.get((circuit, phases, proven))
        if found is None:
            found = self.known[circuit, phases, proven] = self._loads(circuit, phases, proven=proven)
        return found

    def _loads(self, circuit: str, phases: tuple[int, ...], *, proven: bool) -> tuple[Loads, Loads]:
        fuses = self.tree.rows(circuit, phases)
        loads = [(row, 1.0) for row in fuses]
        if not proven:
            loads += [(row + 3 * len(self.tree.circuits), 1.0) for row in fuses]
        caps: list[tuple[int, float]] = []
        for node in self.tree.ancestors[self.tree.index[circuit]]:
            extra = self.extras[node]
            if extra.power >= 0:
                loads.append((extra.power, float(len(phases))))
            if extra.imbalance is not None and len(phases) < 3:
                loads += [(extra.imbalance[phase], 1.0) for phase in phases]
            if extra.cap >= 0:
                caps.append((extra.cap, float(len(phases))))
            if extra.cap_phases is not None:
                caps += [(extra.cap_phases[phase], 1.0) for phase in phases]
        return tuple(loads), tuple(caps)


class _Sums:
    """Reserves of one circuit, per phase."""

    def __init__(self) -> None:
        self.live = [0.0, 0.0, 0.0]
        self.all = [0.0, 0.0, 0.0]
        self.static = [0.0, 0.0, 0.0]
        self.uneven = [0.0, 0.0, 0.0]
        self.idle: tuple[list[float], list[float], list[float]] = ([], [], [])

    def start_reserve(self, phase: int, *, every: bool) -> float:
        idle = self.idle[phase]
        return sum(idle) if every or len(idle) <= START_RESERVES else sum(sorted(idle)[-START_RESERVES:])


def room_of(
    tree: SiteTree,
    views: Sequence[View],
    backgrounds: Sequence[Background],
    caps: Iterable[ExternalCap],
    voltage_v: float,
) -> Room:
    sums = _reserves(tree, views)
    walls = Walls([], [])
    for index, node in enumerate(tree.circuits):
        for phase in range(3):
            _add_fuse(walls, node, phase, backgrounds[index], sums[index])
    some_unproven = any(view.is_claim and not view.proven for view in views)
    for index, node in enumerate(tree.circuits):
        for phase in range(3):
            static = node.limit_a[phase] - backgrounds[index].worst[phase] - sums[index].static[phase]
            _row(walls, static if some_unproven else 0.0, Why(Binding.UNPROVEN, node.id, phase + 1))
    extras = _extras(tree, walls, backgrounds, sums, caps, voltage_v=voltage_v)
    return Room(tree, walls, extras, {})


def _reserves(tree: SiteTree, views: Sequence[View]) -> list[_Sums]:
    sums = [_Sums() for _ in tree.circuits]
    for view in views:
        nodes = tree.ancestors[tree.index[view.spec.circuit]]
        for own, phase in enumerate(view.phases):
            hold, static = view.hold_a[own], view.static_a[own]
            for node in nodes:
                at = sums[node]
                if view.is_claim:
                    if view.proven:
                        at.static[phase] += view.fallback_a
                    continue
                at.all[phase] += hold
                at.static[phase] += static
                if not view.counts:
                    at.idle[phase].append(hold)
                    continue
                at.live[phase] += hold
                if len(view.phases) < 3:
                    at.uneven[phase] += hold
        # Another car may use the phases that this one leaves, and begins with the fallback.
        for phase in view.spec.phases[len(view.phases) :]:
            for node in nodes:
                sums[node].all[phase] += view.fallback_a
                sums[node].static[phase] += view.fallback_a
    return sums


def _add_fuse(walls: Walls, node: CircuitNode, phase: int, background: Background, sums: _Sums) -> None:
    every = background.rung >= Rung.BLIND
    live = node.limit_a[phase] - background.now[phase] - sums.live[phase] - sums.start_reserve(phase, every=every)
    exposed = node.overload * node.limit_a[phase] - background.within_lease[phase] - sums.all[phase]
    binding = Binding.EXPOSURE if exposed < live else Binding.CIRCUIT
    if background.rung >= Rung.STALE:
        binding = Binding.METER
    _row(walls, min(live, exposed), Why(binding, node.id, phase + 1))


def _row(walls: Walls, capacity: float, why: Why, used: float = 0.0) -> int:
    walls.capacity.append(capacity)
    walls.why.append(why)
    walls.used.append(used)
    return len(walls.capacity) - 1


def _extras(
    tree: SiteTree,
    walls: Walls,
    backgrounds: Sequence[Background],
    sums: Sequence[_Sums],
    caps: Iterable[ExternalCap],
    *,
    voltage_v: float,
) -> tuple[Extra, ...]:
    extras = [Extra()] * len(tree.circuits)
    imbalances = []
    for index, node in enumerate(tree.circuits):
        if node.limit_w is not None:
            reserved = sum(sums[index].live) + sum(sums[index].start_reserve(phase, every=False) for phase in range(3))
            power = node.limit_w / voltage_v - sum(backgrounds[index].now) - reserved
            extras[index] = extras[index]._replace(power=_row(walls, power, Why(Binding.POWER, node.id)))
        if node.imbalance_a is not None:
            first, second, third = (
                _row(walls, node.imbalance_a, Why(Binding.IMBALANCE, node.id, phase + 1), sums[index].uneven[phase])
                for phase in range(3)
            )
            imbalances.append(Imbalance((first, second, third), node.imbalance_a))
            extras[index] = extras[index]._replace(imbalance=(first, second, third))
    walls.imbalances = tuple(imbalances)
    for cap in caps:
        if cap.circuit not in tree.index:
            continue
        index = tree.index[cap.circuit]
        extras[index] = _capped(extras[index], walls, cap, sums[index], voltage_v)
    return tuple(extras)


def _capped(extra: Extra, walls: Walls, cap: ExternalCap, sums: _Sums, voltage_v: float) -> Extra:
    """Several caps on one circuit: the lowest holds."""
    if cap.limit_w is not None:
        capacity = cap.limit_w / voltage_v - sum(sums.live)
        if extra.cap >= 0:
            walls.capacity[extra.cap] = min(walls.capacity[extra.cap], capacity)
        else:
            extra = extra._replace(cap=_row(walls, capacity, Why(Binding.GRID, cap.circuit)))
    if cap.limit_a is not None:
        left = [limit - taken for limit, taken in zip(cap.limit_a, sums.live, strict=True)]
        if extra.cap_phases is not None:
            for row, capacity in zip(extra.cap_phases, left, strict=True):
                walls.capacity[row] = min(walls.capacity[row], capacity)
        else:
            first, second, third = (
                _row(walls, capacity, Why(Binding.GRID, cap.circuit, phase + 1)) for phase, capacity in enumerate(left)
            )
            extra = extra._replace(cap_phases=(first, second, third))
    return extra
