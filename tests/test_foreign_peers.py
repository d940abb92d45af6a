"""Peers that know nothing of us: the npm package `ocpp-rpc`, in strict mode, as CSMS and as stations.

First the rig is checked without a gateway, also that its counters can rise; then the same peers meet through the
gateway.
"""

import asyncio
import json
from pathlib import Path

import pytest

from tests.gateway_process import GatewayProcess
from tests.peers import ocpp_rpc_rig
from tests.peers.ocpp_rpc_commands import COMMANDS_16, COMMANDS_201
from tests.peers.ocpp_rpc_rig import Csms, Fleet
from tests.peers.peer_process import PeerError, Stats
from tests.peers.steps import (
    OfflineWork,
    all_hold,
    assert_no_errors,
    diff_now,
    diff_of,
    install_or_skip,
    is_16,
    outage_began,
    report,
    send_commands,
    stop_and_start_remotely,
    wait_until_all_arrived,
)


@pytest.fixture(scope="session")
def rig() -> None:
    """The node packages."""
    install_or_skip(ocpp_rpc_rig.install)


@pytest.fixture
def gateway_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a short path, for the Unix socket in it."""
    return tmp_path_factory.mktemp("gw")


# The rig without a gateway.


def test_lock_file_names_no_package_host() -> None:
    lock = json.loads((ocpp_rpc_rig.ROOT / "package-lock.json").read_text())
    assert "node_modules/ocpp-rpc" in lock["packages"]
    for package in lock["packages"].values():
        package.pop("funding", None)  # where to donate: the package's own words
        assert "resolved" not in package
    assert "http" not in json.dumps(lock)


@pytest.mark.usefixtures("rig")
async def test_peers_agree_directly() -> None:
    meter_values = 3
    async with Csms() as csms, Fleet(endpoint=csms.url, count=10) as fleet:
        identities = await fleet.connect()
        await fleet.ask("run", meter_values=meter_values, interval_ms=20)
        stations, server, diff = await fleet.stats(), await csms.stats(), await diff_now(fleet, csms)
    assert_no_errors(stations, server)
    assert diff.problems == []
    assert (diff.transactions, diff.messages) == (10, 10 * (2 + meter_values))
    for identity in identities:
        calls = (10 if is_16(identity) else 9) + meter_values  # 1.6 reports connector 0 too
        station, peer = stations.peers[identity], server.peers[identity]
        assert (station.calls_made, station.results_got) == (calls, calls)
        assert (peer.calls_received, peer.results_sent) == (calls, calls)
        assert peer.max_in_flight == peer.max_sockets == peer.connections == 1


@pytest.mark.usefixtures("rig")
async def test_peers_carry_every_command_directly() -> None:
    async with Csms() as csms, Fleet(endpoint=csms.url, count=2) as fleet:
        identities = await fleet.connect()
        running = asyncio.create_task(fleet.ask("run", meter_values=1, hold=True))
        await all_hold(fleet, 2)
        for identity in identities:
            await send_commands(fleet, csms, identity)
        await fleet.ask("release")
        await running
        for identity in identities:
            kind = "Soft" if is_16(identity) else "Immediate"
            await csms.call(identity, "Reset", {"type": kind})
        stations, server = Stats.of(await fleet.ask("stop")), await csms.stats()
    assert_no_errors(stations, server)
    assert server.total.actions["BootNotification"] == 4
    assert server.total.calls_made == server.total.results_got == len(COMMANDS_16) + len(COMMANDS_201) + 2
    assert stations.total.max_in_flight == 1
    assert {
        "FirmwareStatusNotification",
        "DiagnosticsStatusNotification",
        "LogStatusNotification",
        "NotifyReport",
    } <= set(server.total.actions)


@pytest.mark.usefixtures("rig")
async def test_bursts_are_seen_directly() -> None:
    async with Csms(delay_ms=[50, 60]) as csms, Fleet(endpoint=csms.url, count=2, burst=5) as fleet:
        await fleet.connect()
        await fleet.ask("run", meter_values=2)
        stations, server = await fleet.stats(), await csms.stats()
    assert_no_errors(stations, server)
    assert all(peer.max_in_flight == 5 for peer in server.peers.values())


@pytest.mark.usefixtures("rig")
async def test_a_wrong_call_is_counted_by_who_sends_and_who_gets_it() -> None:
    async with (
        Csms() as csms,
        Fleet(endpoint=csms.url, count=2) as strict,
        Fleet(endpoint=csms.url, count=2, prefix="L", strict=False) as lenient,
    ):
        for identity in await strict.connect():
            with pytest.raises(PeerError):
                await strict.call(identity, "Authorize", {"idTag": 5})
            with pytest.raises(PeerError):
                await csms.call(identity, "Reset", {"type": "Sometimes"})
        assert [peer.schema_errors for peer in (await strict.stats()).peers.values()] == [1, 1]
        assert [peer.schema_errors for peer in (await csms.stats()).peers.values()] == [1, 1]
        for identity in await lenient.connect():
            with pytest.raises(PeerError):
                await lenient.call(identity, "Authorize", {"idTag": 5})
            before = await csms.stats()
            assert (before.peers[identity].schema_errors, before.peers[identity].errors) == (1, 1)
        assert (await lenient.stats()).total.errors == 2


@pytest.mark.usefixtures("rig")
async def test_a_wrong_answer_and_an_unknown_action_are_counted() -> None:
    async with Csms() as csms, Fleet(endpoint=csms.url, count=2) as fleet:
        identities = await fleet.connect()
        await csms.ask("answer", action="Heartbeat", payload={"currentTime": "yesterday"})
        for identity in identities:
            with pytest.raises(PeerError) as caught:
                await fleet.call(identity, "Heartbeat", {})
            assert caught.value.code == "InternalError"
        server = await csms.stats()
        assert (server.total.schema_errors, server.total.errors) == (2, 2)
        assert (await fleet.stats()).total.errors == 2
        await csms.ask("answer", action="Heartbeat", payload=None)
        await fleet.call(identities[0], "Heartbeat", {})
        assert (await fleet.stats()).total.errors == 2


@pytest.mark.usefixtures("rig")
async def test_a_direct_cut_costs_retries_and_no_message() -> None:
    async with Csms(delay_ms=[20, 60]) as csms, Fleet(endpoint=csms.url, count=10) as fleet:
        await fleet.connect()
        running = asyncio.create_task(fleet.ask("run", meter_values=3, interval_ms=20, sessions=1000))

        async def started() -> bool:
            return len(await csms.log()) >= 20

        await csms.until(started, 30, "sessions are going on")
        await csms.ask("cut", ms=500)

        async def back() -> bool:
            return all(peer.connections == 2 for peer in (await fleet.stats()).peers.values())

        await fleet.until(back, 30, "all stations are back")
        await fleet.ask("finish")
        await running
        stations, server, diff = await fleet.stats(), await csms.stats(), await diff_now(fleet, csms)
    assert_no_errors(stations, server)
    assert diff.problems == []
    assert stations.total.retries == stations.total.lost_calls > 0


# Through the gateway.


@pytest.mark.usefixtures("rig")
async def test_fifty_stations_hold_sessions_through_the_gateway(gateway_dir: Path) -> None:
    count, rounds = 50, 3
    async with (
        Csms() as csms,
        GatewayProcess(gateway_dir, csms.url) as gateway,
        Fleet(endpoint=gateway.url, count=count, burst=5) as fleet,
    ):
        identities = await fleet.connect()
        running = asyncio.create_task(fleet.ask("run", meter_values=rounds, interval_ms=200, hold=True, timeout_s=300))
        await all_hold(fleet, count)
        await wait_until_all_arrived(fleet, csms)
        for identity in identities[:6]:
            await send_commands(fleet, csms, identity)
        remote = identities[6:12]
        await stop_and_start_remotely(fleet, csms, remote)
        await fleet.ask("release")
        await running
        for identity in identities[12:14]:
            await csms.call(identity, "Reset", {"type": "Soft" if is_16(identity) else "Immediate"})
        await wait_until_all_arrived(fleet, csms)
        sessions, received = await fleet.sessions(), await fleet.received()
        stations = Stats.of(await fleet.ask("stop"))
        status = await gateway.stop()
        server, diff = await csms.stats(), await diff_of(sessions, csms)
    report(stations, server, diff)
    assert_no_errors(stations, server)
    assert diff.problems == []
    assert diff.transactions == count + len(remote)
    assert diff.messages >= count * (2 + 3 * rounds)
    assert stations.total.calls_made == stations.total.results_got
    assert server.total.calls_received == server.total.results_sent
    assert {peer.max_in_flight for peer in server.peers.values()} == {1}
    assert {peer.max_sockets for peer in server.peers.values()} == {1}
    assert stations.total.max_in_flight == 1
    assert set(server.peers) >= set(identities)
    assert [stations.peers[identity].connections for identity in identities[12:14]] == [2, 2]
    for identity in identities[6:]:
        assert "UnlockConnector" not in {command["action"] for command in received[identity]}, "a command went astray"
    assert status == 0


@pytest.mark.usefixtures("rig")
async def test_an_outage_in_the_middle_of_sessions_loses_nothing(gateway_dir: Path) -> None:
    count = 20
    async with (
        Csms() as csms,
        GatewayProcess(gateway_dir, csms.url) as gateway,
        Fleet(endpoint=gateway.url, count=count) as fleet,
    ):
        await fleet.connect()
        running = asyncio.create_task(fleet.ask("run", meter_values=3, interval_ms=200, sessions=1000, timeout_s=300))

        async def going() -> bool:
            return len({entry["identity"] for entry in await csms.log()}) == count

        await csms.until(going, 60, "a session at every station")
        await csms.ask("cut")
        await fleet.until(
            OfflineWork(fleet, await outage_began(csms)), 120, "starts, values and stops during the outage"
        )
        await csms.ask("mend")
        mended = len(await csms.log())

        async def on_again() -> bool:
            return len({entry["identity"] for entry in (await csms.log())[mended:]}) == count

        await csms.until(on_again, 60, "every station is heard again")
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
    assert stations.total.retries == 0, "a station lost its socket in the outage of the CSMS"
    assert {peer.max_in_flight for peer in server.peers.values()} == {1}
    assert {peer.max_sockets for peer in server.peers.values()} == {1}
    assert status == 0
