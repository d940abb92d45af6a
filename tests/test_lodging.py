"""Stations that nobody has put into a circuit (D8): counted at their rating, or kept waiting."""

import asyncio
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.balancer import Balancer
from gateway.model.ids import StationId
from gateway.model.site_tree import CircuitNode, ConnectorKey, ConnectorSpec
from gateway.plan import Lodging, Plan
from gateway.smartcharging.fallback import prove
from gateway.station import Pending
from gateway.web import routes
from tests.config_bench import Bench as ConfigBench
from tests.flows.test_caps import Bench
from tests.sim.charger import ObedientStation
from tests.sim.test_balance import BASE_A, LIMIT_A, Scene, plan, play

GUEST = StationId("CP-9")
KEY = ConnectorKey(GUEST, 1)


def roomy() -> Plan:
    """20 A of other loads at most, three fallbacks of 6 A: 25 A of 63 A are left."""
    [main] = plan().circuits
    return replace(plan(), circuits=(replace(main, background_a=(20.0,) * 3),), lodgings=(Lodging("main", 16.0),))


def test_it_counts_at_its_rating_where_there_is_room() -> None:
    balancer = Balancer(roomy())
    assert balancer.lodge(GUEST, Lodging("main", 16.0)) is None
    assert balancer.tree is not None
    assert (balancer.tree.fallback_a[KEY], balancer.tree.specs[KEY].max_a) == (16.0, 16.0)
    assert not prove(balancer.tree)
    assert not balancer.is_member(GUEST), "its profiles are its own"
    problem = balancer.lodge(StationId("CP-10"), Lodging("main", 16.0))
    assert problem is not None
    assert "no room for its 16 A: circuit main, L1" in problem
    assert set(balancer.guests) == {GUEST}
    balancer.dismiss(GUEST)
    assert KEY not in balancer.tree.specs
    assert balancer.lodge(StationId("CP-10"), Lodging("main", 16.0)) is None


def test_without_a_circuit_of_its_listener_it_waits_where_it_would_not_be_seen() -> None:
    balancer = Balancer(replace(roomy(), sees_all=False, elsewhere=frozenset({StationId("far")})))
    assert "not every circuit has a meter" in (balancer.lodge(GUEST, Lodging()) or "")
    assert balancer.lodge(StationId("far"), Lodging()) is None
    assert balancer.lodge(StationId("CP-1"), Lodging()) is None
    assert Balancer(roomy()).lodge(GUEST, Lodging()) is None
    assert Balancer(None).lodge(GUEST, Lodging()) is None
    rated = Balancer(replace(roomy(), ratings={GUEST: 20.0}))
    assert rated.lodge(GUEST, Lodging("main", 99.0)) is None
    assert rated.guests[GUEST].rating_a == 20.0


def test_a_station_in_no_circuit_takes_its_rating_at_any_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    async def act(scene: Scene) -> None:
        assert scene.world.assembly
        site = scene.world.assembly.site
        await asyncio.sleep(20)
        await site.admit(GUEST, site.stations[StationId("CP-1")].record.approval)
        assert site.balancer.lodge(GUEST, roomy().lodgings[0]) is None
        scene.charge(300)
        await asyncio.sleep(100)
        seen["before"] = sum(station.current_a() for station in scene.stations)
        guest = ObedientStation(GUEST, "1.6", scene.world.dial, random.Random(9))
        guest.car_a = 16.0
        scene.stations.append(guest)
        scene.world.stations[GUEST] = guest
        scene.world._tasks.append(asyncio.create_task(guest.run()))
        await guest.ready()
        await asyncio.sleep(2)
        facts = site.balancer.facts.connectors if site.balancer.facts else ()
        [fact] = [one for one in facts if one.key == KEY]
        assert (fact.reachable, fact.managed, fact.has_ev) == (True, False, True), "no car is there, and one may come"
        scene.tasks.append(asyncio.create_task(guest.session("T-9", 30, 5.0)))
        await asyncio.sleep(100)
        seen["after"] = sum(station.current_a() for station in scene.stations)
        seen["heard"] = [action for _, action, _ in guest.heard if "Charging" in action]
        scene.meters.cancel()
        await scene.world.crash()
        await scene.world.start()
        assert scene.world.assembly
        await asyncio.sleep(0.01)
        seen["restarted"] = dict(scene.world.assembly.site.balancer.guests)

    scene = play(tmp_path, monkeypatch, act, roomy())
    assert 18 < seen["before"] <= LIMIT_A - BASE_A - 16
    assert seen["after"] > seen["before"] + 10, "it was counted before, so that nobody has to make room"
    assert not scene.over()
    assert seen["heard"] == [], "nothing of the gateway's is written into it"
    assert seen["restarted"] == {GUEST: Lodging("main", 16.0)}


async def test_an_approval_is_no_remedy(tmp_path: Path) -> None:
    async with Bench(tmp_path / "db", roomy()) as bench:
        site = bench.site
        site.pending[GUEST] = Pending(GUEST, 0.0, "ocpp1.6", "10.0.0.9:1", None, problem="it is in no circuit")
        transport = httpx.ASGITransport(app=routes.build(site))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            assert (await client.get("/v1/status")).json()["pending"][0]["problem"] == "it is in no circuit"
            assert (await client.post(f"/v1/stations/{GUEST}/approve")).status_code == 409
            assert GUEST in site.pending
            assert site.balancer.lodge(GUEST, Lodging("main", 16.0)) is None
            assert (await client.post(f"/v1/stations/{GUEST}/reject")).status_code == 200
            assert GUEST not in site.balancer.guests, "one that is rejected counts no more"


_MAIN = '[meter.m]\ndriver = "simulated"\n[circuit.main]\nlimit_a = 63\nmeter = "m"\nbackground_a = 9\n'
_ROW = '[circuit.row]\nlimit_a = 32\nparent = "main"\nbackground_a = 0\n'
_IN = '[[station]]\nid = "a"\ncircuit = "main"\nproven = true\nconnectors = [{}]\n'
_OUT = '[[station]]\nid = "b"\n'


@pytest.mark.parametrize(
    ("more", "listener", "said"),
    [
        (_MAIN + _IN + _OUT, "", 'station "b": it is in no circuit, and its load counts as background'),
        (_MAIN + _ROW + _IN + _OUT, "", 'station "b": it is in no circuit, and waits'),
        (_MAIN + _ROW + _IN, "", 'downlink: stations in no circuit wait: "row" has no meter'),
        (_MAIN + _ROW + _IN + _OUT, '\ncircuit = "main"', "is not limited, and counts at its rating"),
        (_MAIN + _ROW + _IN + _OUT + "elsewhere = true\n", '\ncircuit = "main"', ""),
        (_OUT, "", ""),
    ],
)
def test_the_configuration_says_what_becomes_of_it(tmp_path: Path, more: str, listener: str, said: str) -> None:
    bench = ConfigBench(tmp_path, more=more)
    bench.downlink += listener
    warnings = [one for one in bench.load().warnings if "no circuit" in one]
    assert (said in "".join(warnings)) if said else not warnings, warnings


def test_its_listener_names_a_circuit_that_is_there(tmp_path: Path) -> None:
    bench = ConfigBench(tmp_path, more=_MAIN + _IN)
    bench.downlink += '\ncircuit = "cellar"'
    assert [(one.path, one.problem) for one in bench.mistakes()] == [
        ("downlink[0].circuit", 'there is no circuit "cellar"')
    ]


def test_a_guest_counts_on_the_phases_that_its_circuit_has() -> None:
    """Where there is one phase only, it can't be told that there is no room on the others."""
    main = CircuitNode(id="main", limit_a=(63.0, 0.0, 0.0))
    spec = ConnectorSpec(key=ConnectorKey(StationId("CP-1"), 1), circuit="main", phases=(0,))
    balancer = Balancer(Plan(circuits=(main,), connectors=(spec,)))
    assert balancer.lodge(StationId("CP-9"), Lodging("main", 32.0)) is None
    assert balancer.tree is not None
    assert balancer.tree.specs[ConnectorKey(StationId("CP-9"), 1)].phases == (0,)
    refused = balancer.lodge(StationId("CP-8"), Lodging("main", 32.0))
    assert refused is not None
    assert "no room" in refused
