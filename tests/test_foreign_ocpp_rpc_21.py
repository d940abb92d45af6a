"""The npm package `ocpp-rpc` in OCPP 2.1, strict mode: alone, and through the gateway beside the older versions."""

import asyncio
from pathlib import Path

import pytest

from tests.gateway_process import GatewayProcess
from tests.peers import ocpp_rpc_rig
from tests.peers.ocpp_rpc_commands import COMMANDS_21
from tests.peers.ocpp_rpc_rig import Csms, Fleet
from tests.peers.peer_process import PeerError, Stats
from tests.peers.steps import (
    OfflineWork,
    all_hold,
    assert_no_errors,
    diff_now,
    diff_of,
    install_or_skip,
    outage_began,
    report,
    send_commands,
    stop_and_start_remotely,
    wait_until_all_arrived,
)

ONLY_21 = ["ocpp2.1"]
ALL_VERSIONS = ["ocpp1.6", "ocpp2.0.1", "ocpp2.1"]


@pytest.fixture(scope="session")
def rig() -> None:
    """The node packages."""
    install_or_skip(ocpp_rpc_rig.install)


@pytest.fixture
def gateway_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a short path, for the Unix socket in it."""
    return tmp_path_factory.mktemp("gw")


@pytest.mark.usefixtures("rig")
async def test_peers_carry_sessions_commands_and_a_cut_directly() -> None:
    count, meter_values = 2, 2
    async with Csms() as csms, Fleet(endpoint=csms.url, count=count, protocols=ONLY_21) as fleet:
        identities = await fleet.connect()
        running = asyncio.create_task(fleet.ask("run", meter_values=meter_values, interval_ms=20, hold=True))
        await all_hold(fleet, count)
        await send_commands(fleet, csms, identities[0])
        await csms.ask("cut", ms=200)
        await fleet.ask("release")
        await running
        diff = await diff_now(fleet, csms)
        stations, server = Stats.of(await fleet.ask("stop")), await csms.stats()
    assert identities == ["S21-00", "S21-01"]
    assert_no_errors(stations, server)
    assert diff.problems == []
    assert (diff.transactions, diff.messages) == (count, count * (2 + meter_values) + 1)  # one was triggered
    assert server.total.actions["NotifySettlement"] == count
    assert server.total.results_got == len(COMMANDS_21)
    assert {peer.connections for peer in server.peers.values()} == {2}


@pytest.mark.usefixtures("rig")
async def test_the_renamed_schemas_are_looked_at() -> None:
    """Without them every call would fail; with them only wrong ones do, in both directions and both ways."""
    async with (
        Csms() as csms,
        Fleet(endpoint=csms.url, count=1, protocols=ONLY_21) as strict,
        Fleet(endpoint=csms.url, count=1, protocols=ONLY_21, prefix="L", strict=False) as lenient,
    ):
        (identity,) = await strict.connect()
        await csms.call(identity, "AFRRSignal", {"timestamp": "2030-01-01T00:00:00Z", "signal": 1})
        assert_no_errors(await strict.stats(), await csms.stats())
        with pytest.raises(PeerError, match="TypeConstraintViolation"):
            await csms.call(identity, "AFRRSignal", {"timestamp": "2030-01-01T00:00:00Z", "signal": "1"})
        with pytest.raises(PeerError, match="OccurenceConstraintViolation"):
            await strict.call(identity, "NotifySettlement", {"pspRef": "1"})
        assert (await strict.stats()).total.schema_errors == 1
        assert (await csms.stats()).total.schema_errors == 1
        (other,) = await lenient.connect()
        with pytest.raises(PeerError, match="OccurenceConstraintViolation"):
            await lenient.call(other, "NotifySettlement", {"pspRef": "1"})
        await csms.ask("answer", action="Heartbeat", payload={"currentTime": "yesterday"})
        with pytest.raises(PeerError, match="InternalError"):
            await strict.call(identity, "Heartbeat", {})
        assert (await csms.stats()).total.schema_errors == 3


@pytest.mark.usefixtures("rig")
async def test_all_versions_hold_sessions_and_an_outage_through_the_gateway(gateway_dir: Path) -> None:
    count = 6
    async with (
        Csms() as csms,
        GatewayProcess(gateway_dir, csms.url) as gateway,
        Fleet(endpoint=gateway.url, count=count, protocols=ALL_VERSIONS) as fleet,
    ):
        identities = await fleet.connect()
        running = asyncio.create_task(fleet.ask("run", meter_values=2, interval_ms=50, hold=True))
        await all_hold(fleet, count)
        await wait_until_all_arrived(fleet, csms)
        for identity in identities[:3]:
            await send_commands(fleet, csms, identity)
        await stop_and_start_remotely(fleet, csms, identities[3:6])
        await fleet.ask("release")
        await running
        running = asyncio.create_task(fleet.ask("run", meter_values=3, interval_ms=200, sessions=1000, timeout_s=300))
        await csms.ask("cut")
        await fleet.until(OfflineWork(fleet, await outage_began(csms)), 120, "work during the outage")
        await csms.ask("mend")
        await fleet.ask("finish")
        await running
        await wait_until_all_arrived(fleet, csms, marks_offline=True)
        sessions, stations = await fleet.sessions(), Stats.of(await fleet.ask("stop"))
        status = await gateway.stop()
        server, diff = await csms.stats(), await diff_of(sessions, csms, marks_offline=True)
    report(stations, server, diff)
    assert_no_errors(stations, server)
    assert diff.problems == []
    assert diff.offline > 0
    assert {session["protocol"] for session in sessions if session["ended"]} == set(ALL_VERSIONS)
    assert {peer.max_in_flight for peer in server.peers.values()} == {1}
    assert {peer.max_sockets for peer in server.peers.values()} == {1}
    # Money: every settlement of a 2.1 session arrives, those of the outage too.
    ended = [one for one in sessions if one["protocol"] == "ocpp2.1" and one["ended"]]
    assert server.total.actions["NotifySettlement"] >= len(ended) > 3
    assert status == 0
