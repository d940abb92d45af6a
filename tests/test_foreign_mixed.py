"""Foreign stations of both versions behind a site that is one station, a foreign CSMS, all strict."""

import asyncio
from pathlib import Path

import pytest

from tests.peers import ocpp_rpc_rig
from tests.peers.ocpp_rpc_rig import Csms, Fleet
from tests.peers.one_station import SITE, numbers_of, one_station_gateway, strangers, strayed
from tests.peers.peer_process import Stats
from tests.peers.sessions import begins, compared, number_of, placed
from tests.peers.steps import all_hold, assert_no_errors, install_or_skip

COUNT = 6
ACCEPTED = {"status": "Accepted"}


@pytest.fixture(scope="session")
def rig() -> None:
    """The node packages."""
    install_or_skip(ocpp_rpc_rig.install)


@pytest.mark.usefixtures("rig")
async def test_stations_of_both_versions_are_one_station(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with asyncio.TaskGroup() as group:  # side by side: most of the time is the outage
        for version in ("1.6", "2.0.1"):
            group.create_task(_sessions(tmp_path_factory.mktemp("gw"), version))


async def _all_arrived(fleet: Fleet, csms: Csms, numbers: dict[str, int]) -> None:
    problems: list[str] = []

    async def complete() -> bool:
        problems[:] = await compared(fleet, placed(await csms.log(), numbers))
        return not problems

    try:
        await csms.until(complete, 60, "everything arrived")
    except TimeoutError:
        pytest.fail("\n".join(problems[:10]))


async def _sessions(folder: Path, version: str) -> None:
    async with (
        Csms(protocols=[f"ocpp{version}"], log_all=True) as csms,
        one_station_gateway(folder, csms.url, version) as gateway,
        Fleet(endpoint=gateway.url, count=COUNT, protocols=["ocpp1.6", "ocpp2.0.1"]) as fleet,
    ):
        identities = await fleet.connect()
        running = asyncio.create_task(fleet.ask("run", meter_values=3, interval_ms=200, sessions=1000, timeout_s=120))

        async def all_begun() -> bool:
            return {number_of(one["params"]) for one in await csms.log() if begins(one)} == set(range(1, COUNT + 1))

        await csms.until(all_begun, 60, "a session at every number")
        numbers = await numbers_of(gateway)
        await csms.ask("cut")
        before = len(await fleet.sessions())

        async def worked() -> bool:
            return len(await fleet.sessions()) >= before + COUNT

        await fleet.until(worked, 60, "sessions during the outage")
        await gateway.kill()
        await gateway.start()
        await csms.ask("mend")
        mended = len(await csms.log())

        async def on_again() -> bool:
            return len({number_of(one["params"]) for one in (await csms.log())[mended:] if begins(one)}) == COUNT

        await csms.until(on_again, 60, "every station is heard again")
        await fleet.ask("finish")
        await running
        await _all_arrived(fleet, csms, numbers)
        holding = asyncio.create_task(fleet.ask("run", meter_values=1, interval_ms=100, hold=True, timeout_s=120))
        await all_hold(fleet, COUNT)
        await _all_arrived(fleet, csms, numbers)
        await _stopped_by_the_csms(fleet, csms, version)
        await fleet.ask("release")
        await holding
        await _all_arrived(fleet, csms, numbers)
        sessions, received, log = await fleet.sessions(), await fleet.received(), await csms.log()
        stations = Stats.of(await fleet.ask("stop"))
        status = await gateway.stop()
        server = await csms.stats()
    assert_no_errors(stations, server)
    assert {one["protocol"] for one in sessions} == {"ocpp1.6", "ocpp2.0.1"}
    assert set(server.peers) == {SITE}
    assert server.total.max_in_flight == 1
    assert strangers(log, identities) == []
    assert strayed(received, sessions) == []
    assert status == 0


async def _stopped_by_the_csms(fleet: Fleet, csms: Csms, version: str) -> None:
    """Each running session by the id that the CSMS knows it by; then the whole site is asked something."""
    is_16, ids = version == "1.6", {}
    for entry in await csms.log():
        if begins(entry) and (info := entry["answer"] if is_16 else entry["params"]["transactionInfo"]):
            ids[number_of(entry["params"])] = info["transactionId"]
    stop = "RemoteStopTransaction" if is_16 else "RequestStopTransaction"
    for tx in ids.values():
        assert await csms.call(SITE, stop, {"transactionId": tx}) == ACCEPTED

    async def idle() -> bool:
        return all(one["ended"] for one in await fleet.sessions())

    await fleet.until(idle, 30, "all sessions are stopped")
    operative = {"connectorId": 0, "type": "Operative"} if is_16 else {"operationalStatus": "Operative"}
    assert await csms.call(SITE, "ChangeAvailability", operative) == ACCEPTED
