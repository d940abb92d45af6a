"""What the tests of single phases say together: how a meter is wired, and which options put it right."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.core.ct_test import Finding, Outcome

ORDERS: Final[Mapping[tuple[int, ...], str]] = {
    (0, 1, 2): "L1L2L3",
    (1, 2, 0): "L2L3L1",
    (2, 0, 1): "L3L1L2",
    (0, 2, 1): "L1L3L2",
    (1, 0, 2): "L2L1L3",
    (2, 1, 0): "L3L2L1",
}
"""The building's phases at the meter's inputs 1, 2, 3 -> the option `phase_map`."""
_OF_ONE_INPUT: Final = {0: (0, 1, 2), 1: (1, 2, 0), 2: (2, 0, 1)}


@dataclass(frozen=True, slots=True)
class Now:
    """The meter's options while it was tested."""

    order: tuple[int, int, int] = (0, 1, 2)
    invert: bool = False
    inputs: int = 3


@dataclass(frozen=True, slots=True)
class PhaseTest:
    """A test: the car was on this phase of the building, from 0; None: on all three."""

    phase: int | None
    finding: Finding


@dataclass(frozen=True, slots=True)
class Wiring:
    """What is known. Inputs count from 0."""

    order: tuple[int, ...] | None
    """The building's phase at each input; None: not known."""
    directions: Mapping[int, int]
    """+1: the input counts import as import by itself, without `invert`."""
    contradictions: tuple[str, ...] = ()
    inputs: int = 3

    @property
    def is_complete(self) -> bool:
        return not self.contradictions and self.order is not None and len(self.directions) == self.inputs

    @property
    def phase_map(self) -> str | None:
        return None if self.order is None else ORDERS[self.order]

    @property
    def invert(self) -> bool | None:
        """None: not known, or not the same for all inputs."""
        found = set(self.directions.values())
        return found == {-1} if len(found) == 1 else None

    @property
    def to_turn(self) -> tuple[int, ...]:
        """Inputs whose transformer has to be turned round by hand: where not all face the same way, the fewer."""
        forward = [one for one, sign in sorted(self.directions.items()) if sign > 0]
        back = [one for one, sign in sorted(self.directions.items()) if sign < 0]
        if not forward or not back:
            return ()
        return tuple(back if len(back) <= len(forward) else forward)


def wiring(tests: Sequence[PhaseTest], now: Now) -> Wiring:
    """Only what follows from tests that were sure, and from there being one phase for each input."""
    places: dict[int, int] = {}
    directions: dict[int, int] = {}
    contradictions: list[str] = []
    for test in tests:
        if not test.finding.is_sure:
            continue
        for shown, sign in test.finding.moved.items():
            # The meter's values are told by the building's phases as its options have them now.
            one, direction = now.order.index(shown), -sign if now.invert else sign
            if directions.setdefault(one, direction) != direction:
                contradictions.append(f"input {one + 1} went both ways: it was not the same car in both tests")
            if test.phase is None or test.finding.outcome is Outcome.THREE:
                continue
            if places.setdefault(one, test.phase) != test.phase:
                names = f"L{places[one] + 1} and L{test.phase + 1}"
                contradictions.append(f"input {one + 1} moved with {names}: both stations are on one phase")
    if len(set(places.values())) < len(places):
        contradictions.append("one phase moved two inputs: a station is not on the phase that was named")
    order = None if contradictions else _order(places, now.inputs)
    return Wiring(order, directions, tuple(dict.fromkeys(contradictions)), now.inputs)


def _order(places: Mapping[int, int], inputs: int) -> tuple[int, ...] | None:
    if inputs == 1:
        return _OF_ONE_INPUT[places[0]] if 0 in places else None
    fitting = [order for order in ORDERS if all(order[one] == phase for one, phase in places.items())]
    return fitting[0] if len(fitting) == 1 else None


def corrections(found: Wiring, now: Now) -> dict[str, str | bool]:
    """Options to be changed; empty: they are right, or not all is known."""
    if not found.is_complete:
        return {}
    changes: dict[str, str | bool] = {}
    if found.phase_map is not None and found.order != now.order:
        changes["phase_map"] = found.phase_map
    # Where some face the other way, the options are for the time after they were turned: most are right then.
    invert = found.invert if found.invert is not None else _most(found.directions.values()) < 0
    if invert != now.invert:
        changes["invert"] = invert
    return changes


def _most(signs: Iterable[int]) -> int:
    return 1 if sum(signs) >= 0 else -1
