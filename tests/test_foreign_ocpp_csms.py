"""The PyPI package `ocpp-csms`, a 1.6J CSMS on aiohttp, above the gateway; stations on `ocpp-rpc` below it."""

import asyncio
import dataclasses
from pathlib import Path

import pytest

from tests.gateway_process import GatewayProcess
from tests.peers import ocpp_rpc_rig, python_env
from tests.peers.ocpp_csms_rig import OcppCsms, outages_of, stats_of, transactions_of
from tests.peers.ocpp_rpc_commands import COMMANDS_16
from tests.peers.ocpp_rpc_rig import Fleet
from tests.peers.peer_process import PeerError, Stats
from tests.peers.steps import (
    WORK_16,
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

ONLY_16 = ["ocpp1.6"]


@pytest.fixture(scope="session")
def rig() -> None:
    """Both package worlds."""
    install_or_skip(ocpp_rpc_rig.install)
    install_or_skip(python_env.install)


@pytest.fixture
def gateway_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a short path, for the Unix socket in it."""
    return tmp_path_factory.mktemp("gw")


# The rig without a gateway.


def test_the_frames_are_read_rightly() -> None:
    start = '[2,"1","StartTransaction",{"connectorId":1}]'
    frames = [("in", 1500, start), ("out", 1600, '[3,"1",{"transactionId":7}]'), ("in", 1700, start)]
    lines = [{"at_ms": 1000, "kind": "up", "identity": None}]
    lines += [{"at_ms": at, "kind": kind, "identity": "A", "text": text} for kind, at, text in frames]
    lines += [{"at_ms": 2500, "kind": "up", "identity": None}, {"at_ms": 3000, "kind": "down", "identity": None}]
    answered, killed = transactions_of(lines)
    assert (answered["answer"], answered["answered_at_ms"]) == ({"transactionId": 7}, 1600)
    assert (killed["answer"], killed["params"]) == (None, {"connectorId": 1})
    assert outages_of(lines) == [[1700, 2500], [3000, None]]
    total = stats_of(lines).total
    assert (total.calls_received, total.results_sent, total.errors) == (2, 1, 0)
    refused = {"at_ms": 1, "kind": "out", "identity": "A", "text": '[4,"1","FormatViolation","",{}]'}
    warned = {"at_ms": 1, "kind": "trouble", "text": "unhandled"}
    worse = stats_of([*lines, refused, warned, {"at_ms": 1, "kind": "failed", "identity": "A"}]).total
    assert (worse.errors, worse.protocol_errors, len(worse.examples)) == (2, 1, 2)


@pytest.mark.usefixtures("rig")
async def test_it_serves_stations_directly_and_counts_what_is_wrong(tmp_path: Path) -> None:
    async with (
        OcppCsms(tmp_path) as csms,
        Fleet(endpoint=csms.url, count=2, protocols=ONLY_16) as fleet,
        Fleet(endpoint=csms.url, count=1, protocols=ONLY_16, prefix="L", strict=False) as lenient,
    ):
        first, _ = await fleet.connect()
        running = asyncio.create_task(fleet.ask("run", meter_values=1, hold=True))
        await all_hold(fleet, 2)
        await send_commands(fleet, csms, first)
        await fleet.ask("release")
        await running
        assert_no_errors(await fleet.stats(), await csms.stats())
        diff = await diff_now(fleet, csms)
        assert (diff.problems, diff.transactions, diff.messages) == ([], 2, 7)
        assert (await csms.stats()).total.results_got == len(COMMANDS_16)
        (other,) = await lenient.connect()
        with pytest.raises(PeerError, match="TypeConstraintViolation"):
            await lenient.call(other, "Authorize", {"idTag": 5})
        refused = await csms.stats()
        assert (refused.peers[other].errors, refused.peers[first].errors) == (1, 0)
        assert refused.total.protocol_errors > 0


# Through the gateway.


@pytest.mark.usefixtures("rig")
async def test_sessions_and_commands_through_the_gateway(gateway_dir: Path) -> None:
    count = 6
    async with (
        OcppCsms(gateway_dir) as csms,
        GatewayProcess(gateway_dir, csms.url) as gateway,
        Fleet(endpoint=gateway.url, count=count, protocols=ONLY_16) as fleet,
    ):
        identities = await fleet.connect()
        running = asyncio.create_task(fleet.ask("run", meter_values=3, interval_ms=50, hold=True))
        await all_hold(fleet, count)
        await wait_until_all_arrived(fleet, csms)
        held = await csms.state()
        for identity in identities[:2]:
            await send_commands(fleet, csms, identity)
        await stop_and_start_remotely(fleet, csms, identities[2:4])
        await fleet.ask("release")
        await running
        await csms.call(identities[4], "Reset", {"type": "Soft"})
        await wait_until_all_arrived(fleet, csms)
        events = {identity: await csms.events(identity) for identity in identities}
        idle = await csms.state()
        sessions, stations = await fleet.sessions(), Stats.of(await fleet.ask("stop"))
        status = await gateway.stop()
        server, diff = await csms.stats(), await diff_of(sessions, csms)
    report(stations, server, diff)
    assert_no_errors(stations, server)
    assert diff.problems == []
    assert diff.transactions == count + 2
    assert server.total.max_sockets == 1
    for identity in identities:
        assert held[identity]["booted"] is held[identity]["connected"] is True
        assert len(held[identity]["running"]) == 1
        assert held[identity]["readings"] > 0
        assert idle[identity]["running"] == []
        sessions_there = 2 if identity in identities[2:4] else 1
        assert events[identity]["TransactionStartedEvent"] == sessions_there
        assert events[identity]["TransactionStoppedEvent"] == sessions_there
    assert status == 0


@pytest.mark.usefixtures("rig")
async def test_a_stop_and_a_kill_in_the_middle_of_sessions_lose_nothing(gateway_dir: Path) -> None:
    count = 4
    async with (
        OcppCsms(gateway_dir) as csms,
        GatewayProcess(gateway_dir, csms.url) as gateway,
        Fleet(endpoint=gateway.url, count=count, protocols=ONLY_16) as fleet,
    ):
        await fleet.connect()
        running = asyncio.create_task(fleet.ask("run", meter_values=3, interval_ms=150, sessions=1000, timeout_s=300))
        await csms.until(Heard(csms, count), 60, "a session at every station")
        await csms.cut()
        await fleet.until(OfflineWork(fleet, await outage_began(csms), WORK_16), 60, "work while it is stopped")
        await csms.mend()
        await csms.until(Heard(csms, count, len(await csms.log())), 60, "every station is heard again")
        await csms.kill()
        began = max(entry["at_ms"] for entry in await csms.log())
        await fleet.until(OfflineWork(fleet, began, WORK_16), 60, "work while it is dead")
        await csms.start()
        await csms.until(Heard(csms, count, len(await csms.log())), 60, "every station is heard by the new process")
        await fleet.ask("finish")
        await running
        await wait_until_all_arrived(fleet, csms)
        sessions, stations = await fleet.sessions(), Stats.of(await fleet.ask("stop"))
        status = await gateway.stop()
        server, diff = await csms.stats(), await diff_of(sessions, csms)
        _, cuts = await csms.history()
    report(stations, server, diff)
    assert_no_errors(stations, server)
    assert diff.problems == []
    assert len(cuts) == 2
    assert stations.total.retries == 0, "a station lost its socket in the outage of the CSMS"
    assert server.total.max_sockets == 1
    assert status == 0


@dataclasses.dataclass
class Heard:
    """True once the CSMS had a transaction message of `count` stations, from the entry `since` of its log on."""

    csms: OcppCsms
    count: int
    since: int = 0

    async def __call__(self) -> bool:
        log = await self.csms.log()
        return len({entry["identity"] for entry in log[self.since :]}) == self.count
