"""What the CSMS is told of profiles is what the gateway enforces; and priority that a driver asks for."""

import json
import random
from pathlib import Path

from gateway.clock import Clock
from gateway.dialects import registry
from gateway.flows import hearing
from gateway.flows.profile_limits import limits_of
from gateway.model.ids import MessageId, StationId, TransactionKey
from gateway.model.profile import ChargingProfile, Kind, Period, Purpose, RateUnit, Schedule
from gateway.model.records import ProfileRow, Put
from gateway.model.settings import Key
from gateway.model.transaction import Transaction
from gateway.rpc.frame import Call
from gateway.site import Site
from gateway.site_options import SiteOptions
from gateway.smartcharging import profiles
from gateway.smartcharging.held import Held
from tests.flows.test_caps import Bench
from tests.flows.test_caps import plan as of_caps
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


async def test_a_driver_asks_for_priority_at_the_station(tmp_path: Path) -> None:
    dialect = registry.by_name("2.1")
    assert dialect is not None
    async with Bench(tmp_path / "db", of_caps()) as bench:
        site, name = bench.site, StationId("CP-1")
        station = site.station(name)
        now = site.clock.now()
        own = Transaction(TransactionKey(1), name, 1, 1, "s", station_tx_id="T-1", started="", received=now)
        schedule = Schedule(RateUnit.A, (Period(0, 32.0),))
        profile = ChargingProfile(1, 0, Purpose.PRIORITY, Kind.ABSOLUTE, (schedule,))
        held = Held("1", 0, profile, now)
        await site.commit([Put(own), Put(ProfileRow(name, "1", profiles.to_json(held)))])

        def says(transaction: str, is_on: bool) -> frozenset[TransactionKey]:
            payload = json.dumps({"transactionId": transaction, "activated": is_on}).encode()
            hearing.hear(site, station, dialect, Call(MessageId("1"), "NotifyPriorityCharging", payload))
            return frozenset(site.charging.profiles(name).priority)

        assert says("T-2", True) == frozenset()
        assert says("T-1", True) == {1}
        assert says("T-1", False) == frozenset()
