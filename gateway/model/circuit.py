"""The building's circuits: a tree of nodes, each with the limit of its fuse."""

from dataclasses import dataclass

from gateway.model.ids import CircuitId, MeterId

PHASES = (1, 2, 3)
"""L1, L2, L3."""


@dataclass(frozen=True, slots=True)
class Circuit:
    """One node. `limit_a`: amperes a phase. `limit_w`: watts over all phases, None for no such limit.

    `parent`: the circuit it is fed from; None at the top. `meter` measures all that flows into the circuit, and nothing
    else. `phases`: those the circuit has.
    """

    id: CircuitId
    limit_a: float
    parent: CircuitId | None = None
    meter: MeterId | None = None
    limit_w: float | None = None
    phases: tuple[int, ...] = PHASES
