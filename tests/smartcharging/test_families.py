"""Families of chargers: every file that is shipped loads, and what is not said is the safe default."""

import pytest

from gateway.model.ids import StationId
from gateway.model.profile import Kind, RateUnit
from gateway.model.site_tree import ConnectorKey, ConnectorSpec
from gateway.smartcharging.families import DEFAULT, family, shipped

SPEC = ConnectorSpec(key=ConnectorKey(StationId("CP-1"), 1), circuit="main", switchable=True)


def test_every_shipped_family_loads_and_the_default_is_the_safest() -> None:
    families = shipped()
    assert len(families) >= 10
    default = families[DEFAULT]
    assert not default.proven
    assert not any(one.proven for one in families.values()), "that is shown by a drill, not by a file"
    assert default.latency_s >= min(one.latency_s for one in families.values())


@pytest.mark.parametrize(
    ("name", "lease_s", "pausable", "latency_s"),
    [
        ("default", 300.0, True, 10.0), ("good", 300.0, True, 5.0), ("one-period", 0.0, True, 10.0),
        ("default-profile-only", 0.0, True, 10.0), ("flash", 0.0, True, 10.0), ("minimum-at-zero", 300.0, False, 10.0),
        ("surges", 300.0, False, 10.0), ("ends-at-zero", 300.0, False, 10.0), ("slow", 300.0, True, 30.0),
        ("huawei", 300.0, False, 10.0),
    ],
)  # fmt: skip
def test_what_the_allocator_is_told(name: str, lease_s: float, pausable: bool, latency_s: float) -> None:
    spec = shipped()[name].spec(SPEC)
    assert (spec.lease_s, spec.pausable, spec.latency_s, spec.switchable) == (lease_s, pausable, latency_s, False)


def test_how_profiles_are_written() -> None:
    assert shipped()["watts"].writing().unit is RateUnit.W
    assert shipped()["relative"].writing().kind is Kind.RELATIVE
    assert shipped()["one-period"].writing().max_periods == 1


@pytest.mark.parametrize(
    "told",
    [
        {"colour": "red"}, {"name": "x"}, {"unit": "kW"}, {"step_a": "1"}, {"step_a": 0.0}, {"max_periods": 0},
        {"latency_s": -1.0}, {"tells": 1}, {"stack_level": True}, {"max_periods": 1, "proven": True},
    ],
)  # fmt: skip
def test_what_makes_no_family_is_refused(told: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="family x"):
        family("x", told)
