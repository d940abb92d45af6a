"""The steps of a test with foreign peers: what a fleet on `ocpp-rpc` and any foreign CSMS do with each other."""

import dataclasses
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import pytest

from tests.peers.ocpp_rpc_commands import COMMANDS, TOKEN
from tests.peers.ocpp_rpc_diff import Diff, compare
from tests.peers.ocpp_rpc_rig import Fleet
from tests.peers.peer_process import RigUnavailableError, Stats

WORK_16 = {"StartTransaction", "MeterValues", "StopTransaction"}
WORK_2X = {"Started", "Updated", "Ended"}


class ForeignCsms(Protocol):
    """What the steps need of a CSMS, whatever it is made of."""

    async def call(self, identity: str, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Send a command to a station and return its answer. Raises PeerError with the OCPP error code."""
        ...

    async def history(self) -> tuple[list[dict[str, Any]], list[list[Any]]]:
        """Every transaction message received, in order of arrival, and the outages as [began, ended]."""
        ...

    async def log(self) -> list[dict[str, Any]]:
        """The first half of `history`."""
        ...

    async def until(self, condition: Callable[[], Awaitable[bool]], timeout_s: float, what: str) -> None:
        """Wait until `condition` holds. Raises TimeoutError."""
        ...


def install_or_skip(install: Callable[[], None]) -> None:
    """Install peers; what can't be had makes the tests skip loudly, and fail where CI=true."""
    try:
        install()
    except RigUnavailableError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"foreign peers are missing: {error}")
        pytest.skip(f"NOT TESTED against independent peers: {error}")


def version_of(identity: str) -> str:
    """The version of a station of the fleet, without dots: "16", "201" or "21"."""
    return identity.partition("-")[0].lstrip("SL")


def is_16(identity: str) -> bool:
    """Whether the fleet gave this identity to a 1.6 station."""
    return version_of(identity) == "16"


def assert_no_errors(*all_stats: Stats) -> None:
    """No peer saw a CALLERROR, a time-out, a schema violation or a frame it could not place."""
    for stats in all_stats:
        total = stats.total
        assert (total.errors, total.schema_errors, total.protocol_errors) == (0, 0, 0), total.examples


async def diff_now(fleet: Fleet, csms: ForeignCsms, *, marks_offline: bool = False) -> Diff:
    """What the stations sent against what the CSMS has by now."""
    return await diff_of(await fleet.sessions(), csms, marks_offline=marks_offline)


async def diff_of(sessions: list[dict[str, Any]], csms: ForeignCsms, *, marks_offline: bool = False) -> Diff:
    """The same for sessions already read: the fleet may have ended."""
    log, cuts = await csms.history()
    return compare(sessions, log, cuts, marks_offline=marks_offline)


async def wait_until_all_arrived(fleet: Fleet, csms: ForeignCsms, *, marks_offline: bool = False) -> None:
    """Wait until the CSMS has everything the stations sent. Raises AssertionError with what is missing."""
    problems: list[str] = []

    async def complete() -> bool:
        problems[:] = (await diff_now(fleet, csms, marks_offline=marks_offline)).problems
        return not problems

    try:
        await csms.until(complete, 90, "everything arrived")
    except TimeoutError:
        pytest.fail(f"{len(problems)} problems 90 s later:\n" + "\n".join(problems[:10]))


async def send_commands(fleet: Fleet, csms: ForeignCsms, identity: str) -> None:
    """Send every command of the list, one by one; check the answers, and that the station got them as they were."""
    commands = COMMANDS[version_of(identity)]
    for action, payload, expected in commands:
        answer = await csms.call(identity, action, payload)
        assert expected.items() <= answer.items(), f"{identity} {action}: {answer}"
    got = iter([(command["action"], command["params"]) for command in (await fleet.received())[identity]])
    missing = [(action, payload) for action, payload, _ in commands if (action, payload) not in got]
    assert not missing, f"{identity} did not get, as sent and in order: {missing}"


async def all_hold(fleet: Fleet, count: int) -> None:
    """Wait until `count` sessions have all their meter values and are held."""

    async def held() -> bool:
        sessions = await fleet.sessions()
        return len([one for one in sessions if one["measured"] and one["reason"] is None]) == count

    await fleet.until(held, 120, f"{count} sessions are held")


async def stop_and_start_remotely(fleet: Fleet, csms: ForeignCsms, identities: list[str]) -> None:
    """End the held session of each station by the id the CSMS knows, then start one remotely, and wait for it."""
    known: dict[str, Any] = {}
    for entry in await csms.log():
        if entry["action"] == "StartTransaction":
            known[entry["identity"]] = entry["answer"]["transactionId"]
        elif entry["action"] == "TransactionEvent":
            known[entry["identity"]] = entry["params"]["transactionInfo"]["transactionId"]
    for identity in identities:
        action = "RemoteStopTransaction" if is_16(identity) else "RequestStopTransaction"
        assert await csms.call(identity, action, {"transactionId": known[identity]}) == {"status": "Accepted"}

    async def stopped() -> bool:
        over = {session["identity"] for session in await fleet.sessions() if session["ended"]}
        return over >= set(identities)

    await fleet.until(stopped, 30, "the sessions ended")
    for identity in identities:
        if is_16(identity):
            answer = await csms.call(identity, "RemoteStartTransaction", {"idTag": "REMOTE", "connectorId": 1})
        else:
            start = {"idToken": TOKEN, "remoteStartId": 11, "evseId": 1}
            answer = await csms.call(identity, "RequestStartTransaction", start)
        assert answer["status"] == "Accepted", f"{identity}: {answer}"

    async def started() -> bool:
        sessions = [session for session in await fleet.sessions() if session["identity"] in identities]
        return len([one for one in sessions if one["measured"]]) == 2 * len(identities)

    await fleet.until(started, 30, "the remote sessions run")


async def outage_began(csms: ForeignCsms) -> int:
    """When the present outage began, in ms since the epoch."""
    _, cuts = await csms.history()
    began: int = cuts[-1][0]
    return began


@dataclasses.dataclass
class OfflineWork:
    """True once 3 s have passed and a start, a value and a stop of each kind were answered during the outage."""

    fleet: Fleet
    began_ms: int
    wanted: set[str] = dataclasses.field(default_factory=lambda: WORK_16 | WORK_2X)

    async def __call__(self) -> bool:
        done: set[str] = set()
        latest = 0
        for session in await self.fleet.sessions():
            for message in session["messages"]:
                latest = max(latest, message["at_ms"])
                if message["at_ms"] > self.began_ms and message["answered_at_ms"] is not None:
                    done.add(message["payload"].get("eventType", message["action"]))
        return latest - self.began_ms > 3000 and done >= self.wanted


def report(stations: Stats, server: Stats, diff: Diff) -> None:
    """Print the figures of a run."""
    shown = dataclasses.replace(diff, problems=diff.problems[:5])
    sys.stdout.write(f"stations: {stations.total}\nCSMS: {server.total}\n{shown}\n")
