"""The fuse, as three invariants on every circuit and phase (D9), to be called by tests, the simulator and the gateway.

- Static (gateway dead for good): worst background + sum of what stays given <= limit.
- Live: background + what connectors with an EV or on unreachable stations may hold + start reserve <= limit. The start
  reserve is the two largest idle fallbacks.
- Exposure (leases run on): background within one lease + what all may hold, idle ones too <= overload x limit.

In the first and the last a fallback counts on all phases of its connector: the next car may use those that this one
leaves.

They judge what is sent and what may be held, so whoever knows better than the gateway (a simulator) can pass its own.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from gateway.model.balance import Background, Hold
from gateway.smartcharging.circuits import SiteTree

TOLERANCE_A = 1e-3
START_RESERVES = 2


class Invariant(StrEnum):
    STATIC = "static"
    LIVE = "live"
    EXPOSURE = "exposure"


class Breach(NamedTuple):
    """A sum over its limit, in A. `phase`: 1 to 3."""

    invariant: Invariant
    circuit: str
    phase: int
    sum_a: float
    limit_a: float

    def __str__(self) -> str:
        return f"{self.invariant.value} {self.circuit} L{self.phase}: {self.sum_a:.2f} A > {self.limit_a:.2f} A"


def breaches(tree: SiteTree, holds: Iterable[Hold], backgrounds: Sequence[Background]) -> list[Breach]:
    """Every invariant that does not hold; `backgrounds` in the order of the tree's circuits."""
    by_key = {hold.key: hold for hold in holds}
    found: list[Breach] = []
    for index, node in enumerate(tree.circuits):
        below = [by_key[key] for key in tree.below[index] if key in by_key]
        background = backgrounds[index]
        for phase in range(3):
            limit = node.limit_a[phase]
            sums = {
                Invariant.STATIC: (
                    background.worst[phase] + sum(max(hold.static[phase], hold.fallback[phase]) for hold in below),
                    limit,
                ),
                Invariant.LIVE: (background.now[phase] + live_sum(below, phase), limit),
                Invariant.EXPOSURE: (
                    background.within_lease[phase] + sum(max(hold.load[phase], hold.fallback[phase]) for hold in below),
                    node.overload * limit,
                ),
            }
            found += [
                Breach(invariant, node.id, phase + 1, total, most)
                for invariant, (total, most) in sums.items()
                if total > most + TOLERANCE_A
            ]
    return found


def live_sum(below: Iterable[Hold], phase: int) -> float:
    """What the chargers of a circuit may hold on a phase, start reserve included.

    An EV that has just come is what one start reserve was for. The idle fallback of a station that was just lost counts
    once the others have been cut.
    """
    total, reserves, idle = 0.0, START_RESERVES, []
    for hold in below:
        if hold.has_ev:
            total += hold.load[phase]
            reserves -= hold.fresh
        elif not hold.reachable:
            total += 0.0 if hold.fresh else hold.load[phase]
        else:
            idle.append(hold.load[phase])
    return total + sum(sorted(idle, reverse=True)[: max(reserves, 0)])
