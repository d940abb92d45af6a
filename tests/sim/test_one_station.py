"""The storms of `storm`, with the whole site on one socket: the same history checker, the same verdict."""

import asyncio
import contextlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from gateway.core.numbering import Numbering
from gateway.demo.history import Arrival, Created
from gateway.model.ids import StationId
from tests.sim import loop, one_station, storm
from tests.sim.csms import TRANSACTION_ACTIONS
from tests.sim.one_station import SITE, OneStationWorld
from tests.sim.peer import NoAnswer
from tests.sim.station import SimStation

VERSIONS = [pytest.param("1.6", id="1.6"), pytest.param("2.0.1", id="2.0.1")]


@pytest.mark.parametrize("version", VERSIONS)
def test_storms_on_one_link_lose_nothing(tmp_path: Path, version: str) -> None:
    """With stations of both versions behind it."""
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    made = one_station.of(version, is_mixed=True)
    _, report = loop.run(storm.storm(tmp_path, seed, 2, 5, make=made), debug=False)
    assert report.findings == [], f"seed {seed}"
    assert report.messages > 20


def test_a_message_under_another_station_s_number_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test above rests on."""
    true = Numbering.number
    monkeypatch.setattr(
        Numbering,
        "number",
        lambda self, station, evse: true(self, StationId("CP-0"), evse) or true(self, station, evse),
    )
    _, report = loop.run(storm.storm(tmp_path, 1, 0.5, 3, make=one_station.of("1.6")), debug=False)
    assert report.findings != []


def test_fifty_chargers_in_any_order_keep_their_stories(tmp_path: Path) -> None:
    """Sessions, commands and outages as they come: what the CSMS has of each charger is what the charger said."""
    seed = random.randrange(1_000_000)
    version = "2.0.1" if seed % 2 else "1.6"
    print(f"seed {seed}, {version}")
    world = loop.run(_hour(tmp_path, version, seed), debug=False)
    report = world.verdict()
    assert report.findings == [], f"seed {seed}"
    arrived: dict[str, list[Any]] = {}
    for one in world.csms.history.records:
        if isinstance(one, Arrival) and one.action in TRANSACTION_ACTIONS:
            story = arrived.setdefault(one.station, [])
            if (said := _told(one.payload)) not in story:
                story.append(said)
    for identity, station in world.stations.items():
        created = [one for one in station.history.records if isinstance(one, Created)]
        assert [_told(one.payload) for one in created] == arrived.get(identity, []), f"seed {seed}: {identity}"
    assert sum(map(len, arrived.values())) > 100


def _told(payload: str) -> Any:
    """A message without what the way up may change: the id the CSMS gave, and that it was offline."""
    return {name: value for name, value in json.loads(payload).items() if name not in ("transactionId", "offline")}


async def _hour(folder: Path, version: str, seed: int) -> OneStationWorld:
    world, source = OneStationWorld(folder, seed, version), random.Random(seed)
    await world.start()
    stations = [world.add(f"CP-{number:02}", version) for number in range(50)]
    until = asyncio.get_running_loop().time() + 400

    async def charge(station: SimStation) -> None:
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(source.expovariate(1 / 300))
            token = f"TAG-{source.randrange(60)}"
            await station.session(token, values=source.randrange(4), interval_s=source.uniform(5, 120))

    async def command() -> None:
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(source.expovariate(1 / 10))
            with contextlib.suppress(NoAnswer, KeyError):
                await world.csms.call(SITE, *_any_command(world, source))

    async def weather() -> None:
        for _ in range(2):
            await asyncio.sleep(source.uniform(60, 300))
            world.csms.cut()
            await asyncio.sleep(source.uniform(5, 120))
            world.csms.mend()
            if (wire := source.choice(stations).wire) is not None:
                wire.socket.cut()

    async with asyncio.TaskGroup() as group:
        for station in stations:
            group.create_task(charge(station))
        group.create_task(command())
        group.create_task(weather())
    await world.drained()
    await world.stop()
    return world


def _any_command(world: OneStationWorld, source: random.Random) -> tuple[str, dict[str, Any]]:
    is_16, number = world.version == "1.6", source.randint(0, 55)
    starts = [payload for _, action, payload in world.csms.calls if action == "TransactionEvent"]
    tx: Any = source.randint(101, 160)
    if not is_16:
        tx = source.choice(starts)["transactionInfo"]["transactionId"] if starts else "none"
    stop = ("RemoteStopTransaction" if is_16 else "RequestStopTransaction", {"transactionId": tx})
    unlock = {"connectorId": number or 1} if is_16 else {"evseId": number or 1, "connectorId": 1}
    operative = {"connectorId": number, "type": "Operative"} if is_16 else {"operationalStatus": "Operative"}
    asked: dict[str, Any] = {"requestedMessage": "StatusNotification"}
    return source.choice(
        [stop, ("UnlockConnector", unlock), ("ChangeAvailability", operative), ("TriggerMessage", asked)]
    )
