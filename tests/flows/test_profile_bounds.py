"""What the CSMS is told that a station can do with profiles is what the gateway enforces for it."""

import random

from gateway.clock import Clock
from gateway.flows.profile_limits import limits_of
from gateway.model.ids import StationId
from gateway.model.settings import Key
from gateway.site import Site
from gateway.site_options import SiteOptions
from tests.sim.test_balance import plan


def test_told_is_enforced() -> None:
    clock = Clock(lambda: 0.0, lambda: 0.0, lambda: "ntp", "boot")
    site = Site(SiteOptions(plan=plan()), clock, random.Random(1))
    told = {name: column.believed for name, column in site.settings_of(StationId("CP-1")).items()}
    limits = limits_of(site.balancer, StationId("CP-1"), by_id=True)
    assert told[Key.PROFILE_STACK_LEVEL] == str(limits.max_stack_level)
    assert told[Key.PROFILE_PERIODS] == str(limits.max_periods)
    assert told[Key.PROFILES_INSTALLED] == str(limits.max_profiles)
    assert told[Key.PROFILES_HELD] == "0"
    assert set((told[Key.PROFILE_UNIT_LETTERS] or "").split(",")) == {unit.value for unit in limits.units}
    assert not site.settings_of(StationId("CP-9")), "one in no circuit has its own"
