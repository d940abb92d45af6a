"""What happens around the balancing while something else is under way; on virtual time, with the real gateway."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import RefusedError
from gateway.flows import profile_writes, prove, site_facts
from gateway.flows.release import release
from gateway.plan import Plan
from gateway.site import Site
from gateway.smartcharging.families import Family
from tests.sim.charger import ObedientStation
from tests.sim.station import EPOCH
from tests.sim.test_balance import Scene, now, plan, plan_keys, play

FIRST, SECOND, THIRD = plan_keys()


def site_of(scene: Scene) -> Site:
    assert scene.world.assembly
    return scene.world.assembly.site


def at_its_next_default(station: ObedientStation, act: Callable[[], None]) -> None:
    """When the station gets a fallback the next time. What is cleared is gone."""
    obey = station._obey

    async def hooked(message_id: str, action: str, payload: Any) -> Any:
        if action == "ClearChargingProfile":
            station.default = None
        is_default = "TxDefault" in str(payload)
        if action == "SetChargingProfile" and is_default:
            act()
        return await obey(message_id, action, payload)

    station._obey = hooked  # type: ignore[method-assign]


def untold() -> Plan:
    """Stations that can't be asked what they hold."""
    shared = plan()
    return replace(shared, families={name: replace(one, tells=False) for name, one in shared.families.items()})


def leases(station: ObedientStation) -> list[tuple[float, float]]:
    """When each was heard, and when it ends."""
    found = []
    for at, action, said in station.heard:
        if action == "SetChargingProfile" and said["csChargingProfiles"]["chargingProfilePurpose"] == "TxProfile":
            schedule = said["csChargingProfiles"]["chargingSchedule"]
            begun = datetime.fromisoformat(schedule["startSchedule"]) - EPOCH
            ends = begun + timedelta(seconds=schedule["chargingSchedulePeriod"][-1]["startPeriod"])
            found.append((at, ends.total_seconds()))
    return found


def test_what_is_told_again_ends_when_the_balancer_believes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the link is lost then, the others get its current at that moment."""
    seen: dict[str, Any] = {}

    async def act(scene: Scene) -> None:
        site, station = site_of(scene), scene.stations[0]
        await asyncio.sleep(30)
        scene.charge(600)
        await asyncio.sleep(35)
        begun = now()
        await asyncio.sleep(25)
        await profile_writes.resend(site, site.stations[FIRST.station], FIRST, as_default=False)
        assert site.balancer.decision
        view = next(one for one in site.balancer.decision.views if one.key == FIRST)
        seen["leases"], seen["ends"] = [one for one in leases(station) if one[0] >= begun], view.memory.book[-1].ends
        seen["writes"] = len(station.written())
        memory = view.memory
        cut = memory._replace(book=(*memory.book, memory.book[-1]._replace(sequence=999, amps=6.0, accepted=None)))
        decision = site.balancer.decision
        carried = replace(decision.state, connectors={**decision.state.connectors, FIRST: cut})
        site.balancer.decision = replace(decision, state=carried)
        await profile_writes.resend(site, site.stations[FIRST.station], FIRST, as_default=False)
        seen["after a cut"] = len(station.written())
        sent = memory.book[-1]._replace(phases=1)
        carried = replace(carried, connectors={**carried.connectors, FIRST: memory._replace(book=(sent,))})
        site.balancer.decision = replace(decision, state=carried)
        monkeypatch.setattr(type(site.balancer.plan), "family", lambda *_: Family(name="phases", names_phases=True))
        await profile_writes.resend(site, site.stations[FIRST.station], FIRST, as_default=False)
        seen["last"] = station.heard[-1][2]["csChargingProfiles"]["chargingSchedule"]["chargingSchedulePeriod"]

    play(tmp_path, monkeypatch, act)
    (_, ends), *_ = seen["leases"][-1:]
    assert seen["ends"] is not None
    assert ends <= seen["ends"], "later than it is reckoned with"
    assert seen["writes"] == seen["after a cut"], "a cut that was just decided is not taken back"
    assert seen["last"][0]["numberPhases"] == 1, "one phase was told, and one is told again"


def test_a_proven_station_is_not_drilled_down_to_more_than_its_fallback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the gateway died in that drill, its 6 A would flow for good, and nobody has reserved them."""

    async def act(scene: Scene) -> None:
        site = site_of(scene)
        await asyncio.sleep(30)
        scene.charge(300)
        await asyncio.sleep(120)
        with pytest.raises(RefusedError, match="is called proven"):
            prove.start(site, site.stations[FIRST.station], None, 60.0)

    shared = plan()
    idle = tuple(replace(spec, fallback_a=0.0) for spec in shared.connectors)
    play(tmp_path, monkeypatch, act, replace(shared, connectors=idle))


def test_a_fallback_that_changes_while_it_is_installed_is_installed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another station's boot may change it: after a power cut all of them boot at once."""
    seen: dict[str, Any] = {}

    async def act(scene: Scene) -> None:
        site, third = site_of(scene), scene.stations[2]
        await asyncio.sleep(30)

        def sorted_anew() -> None:
            if site.balancer.tree and site.balancer.tree.fallback_a[THIRD] == 6.0:
                site.balancer.tree = site.balancer.tree.with_fallbacks({**site.balancer.tree.fallback_a, THIRD: 0.0})
                site.balancer.verified.pop(THIRD.station, None)

        at_its_next_default(third, sorted_anew)
        third.says = {"firmwareVersion": "2"}
        third.reboot()
        await asyncio.sleep(100)
        seen["row"], seen["managed"] = site.charging.connector(THIRD), site_facts.is_managed(site, THIRD)

    play(tmp_path, monkeypatch, act, untold())
    assert seen["row"].fallback_a == 0.0
    assert seen["managed"], "else it has its fallback and no more until its next boot"


def test_a_station_released_while_it_is_made_safe_is_not_managed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    async def act(scene: Scene) -> None:
        site, third = site_of(scene), scene.stations[2]
        await asyncio.sleep(30)
        at_its_next_default(
            third, lambda: scene.tasks.append(asyncio.create_task(release(site, site.stations[THIRD.station])))
        )
        third.says = {"firmwareVersion": "2"}
        third.reboot()
        await asyncio.sleep(100)
        seen["managed"], seen["default"] = site_facts.is_managed(site, THIRD), third.default

    play(tmp_path, monkeypatch, act, untold())
    assert seen["default"] is None
    assert not seen["managed"], "it would count with a fallback that it has not got"


def test_a_connector_that_nobody_configured_counts_while_it_charges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    async def act(scene: Scene) -> None:
        site, first = site_of(scene), scene.stations[0]
        await asyncio.sleep(30)
        assert first.wire
        start = {"connectorId": 2, "idTag": "T-9", "meterStart": 0, "timestamp": first._now()}
        answer = await first.wire.call("s-2", "StartTransaction", start)
        await asyncio.sleep(2)
        assert site.balancer.decision
        seen["held"] = {str(hold.key): max(hold.load) for hold in site.balancer.decision.holds()}
        seen["said"] = site.balancer.problems()
        stop = {"transactionId": answer["transactionId"], "meterStop": 9, "timestamp": first._now()}
        await first.wire.call("s-3", "StopTransaction", stop)
        await asyncio.sleep(2)
        seen["after"] = {str(hold.key) for hold in site.balancer.decision.holds()}
        seen["still said"] = site.balancer.problems()

    play(tmp_path, monkeypatch, act)
    assert seen["held"]["CP-1/2"] == 32.0, "nothing limits it"
    assert seen["after"] == {"CP-1/1", "CP-2/1", "CP-3/1"}
    assert seen["said"] == seen["still said"] == ["CP-1/2: it charges and nothing limits it: write it into connectors"]
