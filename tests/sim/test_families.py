"""What a station is, by what it says at its boot; and what another firmware changes."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.balancer import Balancer
from gateway.flows import site_facts
from gateway.model.ids import StationId
from gateway.model.profile import RateUnit
from gateway.plan import Plan
from gateway.smartcharging.families import DEFAULT, Boot, Family, of_boot, shipped
from tests.sim.test_balance import Scene, plan, plan_keys, play

FIRST, SECOND, _ = plan_keys()


def undecided() -> Plan:
    """Two stations of which the configuration says no family."""
    made = plan()
    bare = {key.station: (made.connectors[number],) for number, key in enumerate((FIRST, SECOND))}
    default = shipped()[DEFAULT]
    specs = (*(default.spec(spec) for (spec,) in bare.values()), made.connectors[2])
    families = {**made.families, **dict.fromkeys(bare, default)}
    return replace(made, connectors=specs, families=families, installed=bare)


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not what():
            await asyncio.sleep(0.05)


def test_another_firmware_is_not_managed_until_its_fallback_was_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen: dict[str, Any] = {}

    async def act(scene: Scene) -> None:
        assert scene.world.assembly
        site, station = scene.world.assembly.site, scene.stations[0]
        await asyncio.sleep(10)
        assert site_facts.is_managed(site, FIRST)
        seen["family"] = site.balancer.plan.family(FIRST.station).name if site.balancer.plan else None
        before = len(station.heard)
        station.says = {"chargePointVendor": "HUAWEI", "firmwareVersion": "2"}
        station.reboot()
        known = site.stations[StationId("CP-1")]
        await until(lambda: b"HUAWEI" in (known.record.boot or b""))
        seen["between"] = site_facts.is_managed(site, FIRST)
        await until(lambda: site_facts.is_managed(site, FIRST))
        seen["wrote"] = [said["csChargingProfiles"]["chargingSchedule"] for _, action, said in station.heard[before:]
                         if action == "SetChargingProfile"]  # fmt: skip
        seen["unit"] = site.balancer.plan.family(FIRST.station).unit if site.balancer.plan else None
        station.says["firmwareVersion"] = "3"
        station.reboot()
        await until(lambda: b'"3"' in (known.record.boot or b""))
        seen["later"] = site_facts.is_managed(site, FIRST)
        assert site_facts.is_managed(site, SECOND), "nothing changes for others"
        site.balancer.sort(SECOND.station, "default-profile-only")
        assert not site_facts.is_managed(site, SECOND), "what can't be limited is not"

    play(tmp_path, monkeypatch, act, replace(undecided(), proven=frozenset({FIRST.station})))
    assert "CP-1: another charger or firmware than the one called proven" in caplog.text
    assert (seen["family"], seen["between"], seen["unit"]) == (DEFAULT, False, RateUnit.W)
    assert not seen["later"], "the same model with another firmware"
    [schedule] = seen["wrote"]
    assert (schedule["chargingRateUnit"], schedule["chargingSchedulePeriod"][0]["limit"]) == ("W", 6 * 230)


def test_the_pattern_that_says_most_decides() -> None:
    known = {
        "new": Family(name="new", boots=(Boot(vendor="acme*", firmware="5.*"),)),
        "one": Family(name="one", boots=(Boot(vendor="Acme", model="One*"), Boot(vendor="other"))),
        "any": Family(name="any", boots=(Boot(vendor="Acme*"),)),
    }
    said = [("ACME", "One X", "5.1"), ("acme", "one x", "4.9"), ("Acme Inc", "", ""), ("Nobody", "One", "5.")]
    assert [of_boot(*one, known) for one in said] == ["new", "one", "any", None]


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (("Huawei", "FusionCharge", ""), "huawei"),
        (("", "ACChargePoint", "V100R023C10SPC220"), "huawei"),
        (("", "Other", ""), None),
        (("Wall Box Chargers", "PLP1-0-2-4", "6.7.38"), "relative"),
        (("Acme", "One", "1"), None),
    ],
)
def test_families_that_boots_are_known_to_speak_for(said: tuple[str, str, str], name: str | None) -> None:
    assert of_boot(*said) == name


def test_what_can_not_be_limited_or_safe_is_not_managed() -> None:
    balancer = Balancer(undecided())
    balancer.sort(FIRST.station, "default-profile-only")
    assert [one for one in balancer.problems() if "takes no profile of a transaction" in one and "CP-1" in one]
    balancer.sort(StationId("CP-3"), "watts")
    assert balancer.plan is not None
    assert balancer.plan.family(StationId("CP-3")).name == "obedient", "the configuration's own word stands"
    balancer.sort(FIRST.station, "slow")
    assert not balancer.problems()
    assert balancer.tree is not None
    assert balancer.tree.specs[FIRST].latency_s == 30.0
    balancer.sort(FIRST.station, None)
    assert balancer.plan.family(FIRST.station).name == DEFAULT
