"""A link between two versions: what becomes of messages that the CSMS refuses, and of a version that changes."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway import cli_queue
from gateway.demo.history import Answered
from gateway.flows import operator
from gateway.model.transaction import Transaction
from gateway.web import queue_view
from gateway.web.queue_view import Chosen
from tests.sim.csms import TRANSACTION_ACTIONS
from tests.sim.station import SimStation
from tests.uplink.link_world import CP, LinkWorld, play, until


def _refuse_starts(station: str, action: str, payload: Any) -> str:
    return "refuse" if _begins(action, payload) and "BAD" in str(payload) else "answer"


async def _a_bad_and_a_good_session(world: LinkWorld, version: str, csms: str) -> SimStation:
    world.csms.versions = (csms,)
    world.csms.script = _refuse_starts
    station = await world.arrive(version)
    await station.session("BAD", values=1, interval_s=60)
    await station.session("GOOD", values=1, interval_s=60)
    await station.drained()
    assert world.assembly
    parked = world.assembly.site.station(CP).parked
    await until(lambda: len(parked) == 3 and not world.queue(), 4 * 3600)
    return station


@pytest.mark.parametrize(("version", "csms"), [("1.6", "2.0.1"), ("2.0.1", "1.6")])
def test_a_refused_start_keeps_its_session_and_no_other(tmp_path: Path, version: str, csms: str) -> None:
    async def script(world: LinkWorld) -> None:
        await _a_bad_and_a_good_session(world, version, csms)
        world.csms.script = lambda station, action, payload: "answer"
        world.csms.cut()
        world.csms.mend()
        await until(lambda: not world.waiting(), 4 * 3600)

    world = play(tmp_path, script)
    report = world.verdict()
    assert (report.findings, report.transactions, report.acknowledged) == ([], 2, 6)


_START, _VALUES, _STOP = "StartTransaction", "MeterValues", "StopTransaction"


@pytest.mark.parametrize(
    ("fate", "told"),
    [
        ("refuse", [(_VALUES, -1)] * 4 + [(_STOP, -1)]),
        ("lose", [(_START, "AGAIN"), *[(_VALUES, 103)] * 5, (_STOP, 103)]),
        ("away", [(_START, "NoAuthorization"), (_STOP, 101)]),
    ],
)
def test_what_an_operator_sends_without_its_start(tmp_path: Path, fate: str, told: list[tuple[str, Any]]) -> None:
    """A Start that the CSMS refused: under no id. One that it may hold: it is asked for the id. One that never went up:
    what began then is a session without a card."""

    async def script(world: LinkWorld) -> None:
        world.csms.versions = ("1.6",)
        world.csms.script = lambda _, action, payload: fate if action == "StartTransaction" else "answer"
        station = await world.arrive("2.0.1")
        if fate == "away":
            world.csms.cut()
        running = asyncio.create_task(station.session("AGAIN", values=4, interval_s=60))
        await asyncio.sleep(10)
        world.csms.cut()
        await asyncio.sleep(30)
        assert world.assembly
        site = world.assembly.site
        await operator.drop(site, [next(iter(site.station(CP).queue))])
        await running
        await station.drained()
        world.csms.calls.clear()
        world.csms.script = lambda station, action, payload: "answer"
        world.csms.mend()
        await asyncio.sleep(60)
        assert _of_sessions(world) == []
        await operator.retry(site, list(site.station(CP).parked.values()))
        await until(lambda: not world.waiting(), 600)
        await station.session("TAG", values=1, interval_s=60)
        await station.drained()
        await until(lambda: not world.waiting(), 600)

    found = _of_sessions(play(tmp_path, script))
    assert found[:-4] == told
    later = found[-1][1]
    assert later > 100
    assert found[-4:] == [(_START, "TAG"), (_VALUES, later), (_VALUES, later), (_STOP, later)]


@pytest.mark.parametrize(("version", "csms"), [("1.6", "2.0.1"), ("2.0.1", "1.6")])
def test_a_crash_right_after_a_late_answer(tmp_path: Path, version: str, csms: str) -> None:
    """What was decided of a message is not forgotten before the outbox on disk knows that it is answered: else it goes
    up again as another one."""

    async def script(world: LinkWorld) -> None:
        world.csms.versions = (csms,)
        station = await world.arrive(version)
        session = asyncio.create_task(station.session("TAG", values=3, interval_s=3))
        await until(lambda: len(_of_sessions(world)) > 0, 60)
        world.csms.delay_s = lambda action: 20.0
        told = len(_of_sessions(world))
        await until(lambda: len(_of_sessions(world)) == told + 1, 60)
        world.csms.delay_s = lambda action: 0.05
        await until(lambda: len(_of_sessions(world)) == told + 2, 60)
        await world.crash()
        await world.start()
        await session
        await station.drained()
        await until(lambda: not world.waiting(), 600)

    world = play(tmp_path, script)
    report = world.verdict()
    assert (report.findings, report.transactions, report.acknowledged) == ([], 1, 5)


def _begins(action: str, payload: Any) -> bool:
    return action == "StartTransaction" or payload.get("eventType") == "Started"


def _of_sessions(world: LinkWorld) -> list[tuple[str, Any]]:
    """With the number of the transaction, or the card."""
    calls = [(action, one) for _, action, one in world.csms.calls if action in TRANSACTION_ACTIONS]
    return [(action, one.get("transactionId", one.get("idTag"))) for action, one in calls]


@pytest.mark.parametrize("place", ["MeterValues", "StatusNotification"])
def test_a_refusal_in_an_answer_to_an_updated_stops_the_session_of_a_16_station(tmp_path: Path, place: str) -> None:
    """Whatever became Updated; also when the gateway dies between that answer and the stop."""

    async def script(world: LinkWorld) -> None:
        world.csms.versions = ("2.0.1",)
        if place == "StatusNotification":
            world.csms.second_thoughts = {"status": "NoCredit"}
        station = await world.arrive("1.6")
        session = asyncio.create_task(station.session("TAG", values=60, interval_s=60))
        if place == "MeterValues":
            await until(lambda: _events(world)[-1:] == [("Updated", "MeterValuePeriodic")], 600)
            world.csms.second_thoughts = {"status": "Unknown"}
        await until(lambda: any(one.deauthorized for one in _running(world)), 600)
        await asyncio.sleep(0.02)  # the commit
        world.csms.second_thoughts = None
        await world.crash()
        assert not [action for action, _ in station.commands if action == "RemoteStopTransaction"]
        await world.start()
        async with asyncio.timeout(300):
            assert (await session).stopped.is_set()
        await station.drained()
        await until(lambda: not world.waiting(), 600)

    world = play(tmp_path, script)
    report = world.verdict()
    assert (report.findings, report.transactions) == ([], 1)
    ended = world.csms.calls[-1][2]
    assert (ended["eventType"], ended["triggerReason"]) == ("Ended", "Deauthorized")
    assert ended["transactionInfo"]["stoppedReason"] == "DeAuthorized"


@pytest.mark.parametrize("csms", ["1.6", "2.0.1"])
def test_a_late_refusal_to_an_event_without_a_token_is_about_its_transaction_s(tmp_path: Path, csms: str) -> None:
    """A CSMS of 1.6 hears of a session when there is a cable, and answers then what the card is worth."""

    async def script(world: LinkWorld) -> None:
        world.csms.versions = (csms,)
        world.csms.verdicts["TAG"] = "Blocked" if csms == "1.6" else "Accepted"
        station = await world.arrive("2.0.1")
        world.csms.cut()
        made = station._make

        def without_a_cable(session: Any, kind: str, action: str, payload: dict[str, Any]) -> None:
            if kind == "Started":
                payload["transactionInfo"]["chargingState"] = "Idle"
            made(session, kind, action, payload)

        station._make = without_a_cable  # type: ignore[method-assign]
        session = asyncio.create_task(station.session("TAG", values=60, interval_s=60))
        await asyncio.sleep(100)
        world.csms.second_thoughts = {"status": "Blocked"}
        world.csms.mend()
        async with asyncio.timeout(300):
            assert (await session).stopped.is_set()
        await station.drained()
        await until(lambda: not world.waiting(), 600)

    world = play(tmp_path, script)
    ended = next(
        one for _, action, one in reversed(world.csms.calls) if action in ("StopTransaction", "TransactionEvent")
    )
    assert (ended.get("reason") or ended["transactionInfo"]["stoppedReason"]) == "DeAuthorized"


@pytest.mark.parametrize(("version", "csms"), [("1.6", "2.0.1"), ("2.0.1", "1.6")])
def test_an_operator_reads_what_the_csms_calls_each_session(
    tmp_path: Path, version: str, csms: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also of those that are long over, and after a restart."""
    sessions, named, shown = 12, list[Any](), dict[str, Any]()

    async def script(world: LinkWorld) -> None:
        world.csms.versions = (csms,)
        station = await world.arrive(version)
        for _ in range(sessions):
            await station.session("TAG", values=0, interval_s=60)
        await station.drained()
        await until(lambda: not world.waiting(), 600)
        world.csms.script = _silent_at_ends
        for _ in range(2):  # the second one's Start waits behind the first one's end
            await station.session("TAG", values=0, interval_s=60)
        await station.drained()
        await world.crash()
        await world.start()
        assert world.assembly
        site = world.assembly.site
        shown["transactions"] = queue_view.transactions(site, Chosen(), running=False)
        shown["export"] = list(queue_view.export(site, Chosen()))
        shown["message"] = queue_view.message(site, shown["export"][0]["row"])
        named.extend(_named(world))

    play(tmp_path, script)
    waiting, ended, *others = shown["transactions"]
    assert [one["csms_id"] for one in reversed([ended, *others])] == named
    assert len(set(named)) == sessions + 1
    assert waiting["csms_id"] is None, "its Start has no answer yet"
    assert shown["message"]["transaction"]["csms_id"] == shown["message"]["csms_id"] == named[-1]
    assert [one["csms_id"] for one in shown["export"]] == [named[-1], None, None]
    cli_queue._show_transactions(shown["transactions"])
    told = capsys.readouterr().out
    assert all(name in told for name in named)


def _silent_at_ends(station: str, action: str, payload: Any) -> str:
    return "silent" if action == "StopTransaction" or payload.get("eventType") == "Ended" else "answer"


def _named(world: LinkWorld) -> list[str]:
    """What the CSMS calls the sessions it has begun."""
    if world.csms.versions == ("1.6",):
        answers = [json.loads(one.answer) for one in world.csms.history.records if isinstance(one, Answered)
                   if one.outcome == "sent" and one.answer]  # fmt: skip
        return [str(one["transactionId"]) for one in answers if "transactionId" in one]
    begun = [one for _, action, one in world.csms.calls if one.get("eventType") == "Started"]
    return list(dict.fromkeys(one["transactionInfo"]["transactionId"] for one in begun))


def _running(world: LinkWorld) -> list[Transaction]:
    assert world.assembly
    return list(world.assembly.site.ledger.all_running())


def _events(world: LinkWorld) -> list[tuple[str, str]]:
    return [(one["eventType"], one["triggerReason"]) for _, action, one in world.csms.calls if "Event" in action]
