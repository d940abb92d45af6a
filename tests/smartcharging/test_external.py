"""Caps from outside: they end when they said, and a silent source leaves its fail-safe."""

from math import inf

import pytest

from gateway.smartcharging.external import CapSource, CapState, caps_now, guaranteed_power_w

EMS = CapSource(name="ems", circuit="main")
SO = CapSource(name="so", circuit="main", silent_s=120.0, failsafe_w=4200.0, least_w=guaranteed_power_w(2))


def limits(sources: list[CapSource], states: dict[str, CapState], now: float) -> list[float | None]:
    return [cap.limit_w for cap in caps_now(sources, states, now).caps]


@pytest.mark.parametrize(
    ("points", "watts"), [(0, 0), (1, 4200), (2, 7560), (8, 18900), (9, 19320), (20, 40110), (50, 96810)]
)
def test_what_a_grid_operator_has_to_leave(points: int, watts: float) -> None:
    assert guaranteed_power_w(points) == pytest.approx(watts)


def test_a_cap_holds_for_as_long_as_it_was_said() -> None:
    states = {"ems": CapState(heard_at=0.0).told(10.0, limit_w=5000.0, lasts_s=60.0)}
    assert limits([EMS], states, 69.0) == [5000.0]
    assert caps_now([EMS], states, 69.0).change_at == 70.0
    assert limits([EMS], states, 70.0) == []
    assert limits([EMS], {"ems": states["ems"].told(20.0)}, 21.0) == []
    assert limits([EMS], {"ems": CapState(heard_at=0.0).told(0.0, limit_w=1.0)}, 1e9) == [1.0]


def test_a_source_that_falls_silent_leaves_its_fail_safe_for_two_hours_at_least() -> None:
    state = CapState(heard_at=0.0)
    assert caps_now([SO], {"so": state}, 0.0).change_at == 120.0
    assert limits([SO], {"so": state}, 119.0) == []
    found = caps_now([SO], {"so": state}, 120.0)
    assert [cap.limit_w for cap in found.caps] == [7560.0], "no less than the law leaves"
    back = {"so": found.states["so"].heard(200.0)}
    assert limits([SO], back, 201.0) == [7560.0]
    assert limits([SO], {"so": back["so"].heard(7319.0)}, 7319.0) == [7560.0]
    assert limits([SO], {"so": back["so"].heard(7320.0)}, 7320.0) == []


def test_one_that_was_never_heard_counts_as_silent() -> None:
    assert limits([SO, EMS], {}, 5.0) == [7560.0]


@pytest.mark.parametrize(
    "told", [{"limit_w": -1.0}, {"limit_w": inf}, {"limit_a": (1.0, -1.0, 0.0)}, {"limit_w": 1.0, "lasts_s": 0.0}]
)
def test_what_can_not_be_meant_is_refused(told: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a cap"):
        CapState(heard_at=0.0).told(0.0, **told)  # type: ignore[arg-type]
