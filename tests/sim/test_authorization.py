"""Authorization at a whole site on virtual time: what one station taught the gateway counts at the others."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.checker import Report
from gateway.model.ids import StationId
from gateway.model.records import Change
from gateway.model.token import IdToken, OfflineMode
from gateway.site_options import SiteOptions
from tests.sim import loop
from tests.sim.station import SimStation
from tests.sim.world import World

KNOWN_ONLY = SiteOptions(offline=OfflineMode.KNOWN_ONLY)


def play(folder: Path, scene: Callable[[World], Coroutine[Any, Any, None]]) -> Report:
    """Play a scene at a site of two stations, one of each version; the report of what became of its messages."""

    async def whole() -> Report:
        world = World(folder, 1, KNOWN_ONLY)
        await world.start()
        for number, version in enumerate(("1.6", "2.0.1"), 1):
            await world.add(f"CP-{number}", version).ready()
        await scene(world)
        world.csms.mend()
        await world.drained()
        await world.stop()
        return world.verdict()

    return loop.run(whole(), debug=False)


async def charge(station: SimStation, token: str, seconds: float = 10) -> str | None:
    """A session of one token; the status its Start was answered with."""
    return (await station.session(token, values=1, interval_s=seconds)).status


def test_a_card_known_at_one_station_charges_at_one_place_only(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        old, new = world.stations["CP-1"], world.stations["CP-2"]
        assert await old.authorize("TAG-1") == "Accepted"
        world.csms.cut()
        await asyncio.sleep(1)
        first = asyncio.create_task(charge(new, "tag-1", seconds=300))
        await asyncio.sleep(30)
        assert await charge(old, "TAG-1") == "ConcurrentTx"
        assert await charge(old, "STRANGER") == "Invalid"
        assert await first == "Accepted"
        assert await charge(old, "TAG-1") == "Accepted", "after it has ended there"

    report = play(tmp_path, scene)
    assert report.findings == []
    assert report.transactions == 4


def test_a_list_given_to_one_station_serves_one_without_and_survives_a_crash(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        listed = [
            {"idTag": "Tag-1", "idTagInfo": {"status": "Accepted"}},
            {"idTag": "TAG-2", "idTagInfo": {"status": "Blocked"}},
        ]
        update = {"listVersion": 3, "updateType": "Full", "localAuthorizationList": listed}
        assert await world.csms.call("CP-1", "SendLocalList", update) == {"status": "Accepted"}
        await world.crash()
        world.csms.cut()
        await world.start()
        for station in world.stations.values():
            await station.ready()
            await asyncio.sleep(10)
            assert await charge(station, "TAG-1") == "Accepted"
            assert await charge(station, "tag-2") == "Blocked"
            assert await charge(station, "TAG-3") == "Invalid"

    assert play(tmp_path, scene).findings == []


def test_a_customer_whom_a_station_forgets_is_forgotten_here_for_good(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        asked = {"requestId": 4, "report": False, "clear": True, "idToken": {"idToken": "tag-1", "type": "ISO14443"}}
        for token in ("TAG-1", "TAG-2"):
            assert await world.stations["CP-2"].authorize(token) == "Accepted"
        told = await world.csms.call("CP-2", "CustomerInformation", {**asked, "clear": False, "report": True})
        assert told == {"status": "Accepted"}
        assert world.assembly
        assert world.assembly.site.tokens.cache.find(IdToken("TAG-1")) is not None
        assert await world.csms.call("CP-2", "CustomerInformation", asked) == {"status": "Accepted"}
        await world.crash()
        world.csms.cut()
        await world.start()
        await world.stations["CP-1"].ready()
        await asyncio.sleep(10)
        assert await charge(world.stations["CP-1"], "TAG-1") == "Invalid"
        assert await charge(world.stations["CP-1"], "TAG-2") == "Accepted"

    assert play(tmp_path, scene).findings == []


RESERVATIONS: dict[str, dict[str, Any]] = {
    "CP-1": {"connectorId": 1, "expiryDate": "2026-03-01T20:00:00Z", "idTag": "TAG-1", "reservationId": 1},
    "CP-2": {
        "id": 1,
        "expiryDateTime": "2026-03-01T20:00:00Z",
        "idToken": {"idToken": "TAG-1", "type": "ISO14443"},
        "evseId": 1,
    },
}


@pytest.mark.parametrize(("identity", "most"), [("CP-1", (0, 2, 0, 1)), ("CP-2", (0, 1, 0, 1))])
def test_what_a_session_costs_while_all_is_well(tmp_path: Path, identity: str, most: tuple[int, ...]) -> None:
    """Commits that somebody waits for: Authorize, begin, a meter value, another one and the end."""
    turns: list[float] = []

    async def scene(world: World) -> None:
        assert world.assembly
        site, station = world.assembly.site, world.stations[identity]
        await world.csms.call(identity, "ReserveNow", RESERVATIONS[identity])
        commit = site.commit

        async def counting(changes: Sequence[Change]) -> None:
            turns.append(asyncio.get_running_loop().time())
            await commit(changes)

        site.commit = counting  # type: ignore[method-assign]  # counts, and does it
        begun = asyncio.get_running_loop().time()
        assert await station.authorize("TAG-1") == "Accepted"
        asked = asyncio.get_running_loop().time()
        assert (await station.session("TAG-1", values=2, interval_s=30)).status == "Accepted"
        await station.drained()
        edges = (begun, asked, asked + 20, asked + 50, float("inf"))
        counted = tuple(sum(low <= at < high for at in turns) for low, high in itertools.pairwise(edges))
        assert counted == most
        assert site.tokens.reservations.at(StationId(identity)) == []

    assert play(tmp_path, scene).findings == []
