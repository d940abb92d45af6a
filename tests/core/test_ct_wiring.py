"""What several tests say together."""

from itertools import product

import pytest

from gateway.core.ct_test import Finding, Outcome
from gateway.core.ct_wiring import ORDERS, Now, PhaseTest, corrections, wiring


def _moved(moved: dict[int, int], outcome: Outcome = Outcome.ONE) -> Finding:
    return Finding(outcome, moved, 7.0, 30.0, 6, 6)


def _tests(order: tuple[int, ...], signs: tuple[int, ...], now: Now, phases: range = range(3)) -> list[PhaseTest]:
    """What a meter that is wired so shows, with the options it has now."""
    found = []
    for phase in phases:
        one = order.index(phase)
        found.append(PhaseTest(phase, _moved({now.order[one]: -signs[one] if now.invert else signs[one]})))
    return found


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("before", ORDERS)
def test_all_wirings_are_put_right_from_any_options(before: tuple[int, int, int], invert: bool) -> None:
    now = Now(before, invert)
    for order, signs in product(ORDERS, product((1, -1), repeat=3)):
        found = wiring(_tests(order, signs, now), now)
        assert (found.order, found.contradictions, found.is_complete) == (order, (), True)
        assert found.directions == dict(enumerate(signs))
        changes = corrections(found, now)
        assert changes.get("phase_map", ORDERS[before]) == ORDERS[order]
        # With the new options, and those turned that are said to be, all face the right way.
        after = changes.get("invert", invert)
        turned = [-sign if one in found.to_turn else sign for one, sign in enumerate(signs)]
        assert set(turned) == {-1 if after else 1}
        assert len(found.to_turn) <= 1


def test_two_phases_give_the_order_and_not_the_third_direction() -> None:
    found = wiring(_tests((2, 0, 1), (1, -1, 1), Now(), range(2)), Now())
    assert (found.order, found.is_complete) == ((2, 0, 1), False)
    assert corrections(found, Now()) == {}
    assert wiring(_tests((2, 0, 1), (1, -1, 1), Now(), range(1)), Now()).order is None


def test_a_car_on_three_phases_gives_directions_only() -> None:
    three = PhaseTest(None, _moved({0: -1, 1: -1, 2: -1}, Outcome.THREE))
    found = wiring([three], Now())
    assert (found.order, found.invert, found.is_complete) == (None, True, False)
    found = wiring([three, *_tests((1, 0, 2), (-1, -1, -1), Now(), range(2))], Now())
    assert corrections(found, Now()) == {"phase_map": "L2L1L3", "invert": True}


def test_a_meter_of_one_phase_needs_one_test() -> None:
    now = Now((0, 1, 2), False, inputs=1)
    found = wiring([PhaseTest(2, _moved({0: -1}))], now)
    assert corrections(found, now) == {"phase_map": "L3L1L2", "invert": True}


def test_what_contradicts_itself_changes_nothing() -> None:
    for tests in (
        [PhaseTest(0, _moved({0: 1})), PhaseTest(1, _moved({0: 1})), PhaseTest(2, _moved({2: 1}))],
        [PhaseTest(0, _moved({0: 1})), PhaseTest(0, _moved({1: 1})), PhaseTest(2, _moved({2: 1}))],
        [
            PhaseTest(0, _moved({0: 1})),
            PhaseTest(0, _moved({0: -1})),
            PhaseTest(1, _moved({1: 1})),
            PhaseTest(2, _moved({2: 1})),
        ],
    ):
        found = wiring(tests, Now())
        assert found.contradictions
        assert not found.is_complete
        assert corrections(found, Now()) == {}


def test_tests_that_are_not_sure_say_nothing() -> None:
    unsure = [PhaseTest(0, _moved({2: 1}, outcome)) for outcome in Outcome if not _moved({2: 1}, outcome).is_sure]
    assert len(unsure) == len(Outcome) - 2
    found = wiring([*unsure, *_tests((0, 1, 2), (1, 1, 1), Now())], Now())
    assert found.is_complete
    assert corrections(found, Now()) == {}
