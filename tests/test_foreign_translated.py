"""Foreign stations of one version, a foreign CSMS of the other, both strict: whole sessions through the translation."""

import asyncio
from pathlib import Path

import pytest

from tests.gateway_process import GatewayProcess
from tests.peers import ocpp_rpc_rig
from tests.peers.ocpp_rpc_rig import Csms, Fleet
from tests.peers.peer_process import Stats
from tests.peers.sessions import KINDS, begins, compared
from tests.peers.steps import OfflineWork, all_hold, assert_no_errors, install_or_skip, outage_began

_WORK = {"1.6": set(KINDS), "2.0.1": {"Started", "Updated", "Ended"}}


@pytest.fixture(scope="session")
def rig() -> None:
    """The node packages."""
    install_or_skip(ocpp_rpc_rig.install)


async def _all_arrived(fleet: Fleet, csms: Csms) -> None:
    problems: list[str] = []

    async def complete() -> bool:
        problems[:] = await compared(fleet, await csms.log())
        return not problems

    try:
        await csms.until(complete, 60, "everything arrived")
    except TimeoutError:
        pytest.fail("\n".join(problems[:10]))


async def _remotely(fleet: Fleet, csms: Csms, version: str, identity: str) -> None:
    """Stop the running session by the id that the CSMS knows, and start one."""
    entry = next(one for one in reversed(await csms.log()) if one["identity"] == identity and begins(one))
    answer = entry["answer"] if version == "1.6" else entry["params"]["transactionInfo"]
    action = "RemoteStopTransaction" if version == "1.6" else "RequestStopTransaction"
    assert await csms.call(identity, action, {"transactionId": answer["transactionId"]}) == {"status": "Accepted"}

    async def stopped() -> bool:
        return any(one["identity"] == identity and one["ended"] for one in await fleet.sessions())

    await fleet.until(stopped, 30, "the session is stopped")
    if version == "1.6":
        answer = await csms.call(identity, "RemoteStartTransaction", {"idTag": "REMOTE", "connectorId": 1})
    else:
        token = {"idToken": "REMOTE-TOKEN-OF-MORE-THAN-20-CHARS", "type": "Central"}
        answer = await csms.call(
            identity, "RequestStartTransaction", {"idToken": token, "remoteStartId": 4242, "evseId": 1}
        )
    assert answer["status"] == "Accepted", answer

    async def started() -> bool:
        return any(begins(one) and "REMOTE" in str(one["params"]) for one in await csms.log())

    await fleet.until(started, 30, "the remote session runs")
    begun = next(one["params"] for one in await csms.log() if begins(one) and "REMOTE" in str(one["params"]))
    if version == "2.0.1":
        assert begun["idToken"] == token
        assert (begun["triggerReason"], begun["transactionInfo"]["remoteStartId"]) == ("RemoteStart", 4242)


@pytest.mark.usefixtures("rig")
async def test_sessions_through_an_outage_and_remotely_both_ways(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with asyncio.TaskGroup() as group:  # side by side: most of the time is the outage
        for station, csms in (("1.6", "2.0.1"), ("2.0.1", "1.6")):
            group.create_task(_sessions(tmp_path_factory.mktemp("gw"), station, csms))


async def _sessions(folder: Path, station: str, csms_version: str) -> None:
    async with (
        Csms(protocols=[f"ocpp{csms_version}"]) as csms,
        GatewayProcess(folder, csms.url) as gateway,
        Fleet(endpoint=gateway.url, count=4, protocols=[f"ocpp{station}"]) as fleet,
    ):
        identities = await fleet.connect()
        running = asyncio.create_task(fleet.ask("run", meter_values=3, interval_ms=200, sessions=1000, timeout_s=120))

        async def going() -> bool:
            return len({entry["identity"] for entry in await csms.log()}) == len(identities)

        await csms.until(going, 60, "a session at every station")
        await csms.ask("cut")
        await fleet.until(OfflineWork(fleet, await outage_began(csms), _WORK[station]), 60, "work during the outage")
        await csms.ask("mend")
        mended = len(await csms.log())

        async def on_again() -> bool:
            return len({entry["identity"] for entry in (await csms.log())[mended:]}) == len(identities)

        await csms.until(on_again, 60, "every station is heard again")
        await fleet.ask("finish")
        await running
        await _all_arrived(fleet, csms)
        holding = asyncio.create_task(fleet.ask("run", meter_values=1, interval_ms=100, hold=True, timeout_s=120))
        await all_hold(fleet, len(identities))
        await _all_arrived(fleet, csms)
        await _remotely(fleet, csms, csms_version, identities[0])
        await fleet.ask("release")
        await holding
        await _all_arrived(fleet, csms)
        offline = [entry for entry in await csms.log() if entry["params"].get("offline") is True]
        stations = Stats.of(await fleet.ask("stop"))
        status = await gateway.stop()
        server = await csms.stats()
    assert_no_errors(stations, server)
    assert bool(offline) == (csms_version == "2.0.1")
    assert stations.total.retries == 0
    assert {peer.max_in_flight for peer in server.peers.values()} == {1}
    assert status == 0
