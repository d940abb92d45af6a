"""The queue's commands against a real gateway process: what an operator on the phone reads and does."""

import asyncio
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway import cli
from gateway.cli_queue import _WORDS
from gateway.demo.csms import SimulatedCsms
from gateway.demo.csms_connection import Effect
from gateway.demo.station import SimulatedStation, StationOptions
from gateway.model.reasons import ParkReason, WaitReason
from tests.gateway_process import GatewayError, GatewayProcess

QUICK = StationOptions(reconnect_min_s=0.1, reconnect_max_s=0.3, tick_s=0.1, longest_wait_s=0.3, validate=False)
EXTRA = "\n[replay]\nattempts = 1\nattempt_interval_s = 0.1\n[budgets]\nstart_s = 0.5\nother_s = 0.3\n"


class _Operator:
    """Types commands; they run in a thread of their own, as from another terminal."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._config = ["--config", str(gateway.config_file)]

    async def types(self, *words: str, status: int | None = 0) -> str:
        """`status` None: any."""
        done: Result = await asyncio.to_thread(CliRunner().invoke, cli.main, [*words, *self._config])
        assert status in (None, done.exit_code), f"{words}: {done.exit_code}\n{done.output}"
        return done.output

    async def asks(self, *words: str, status: int | None = 0) -> Any:
        return json.loads(await self.types(*words, "--json", status=status))

    async def until_queued(self, rows: int, parked: int = 0) -> list[dict[str, Any]]:
        async with asyncio.timeout(30):
            while True:
                found = await self.asks("queue", "list", status=None)
                if (found["rows"], found["parked"]) == (rows, parked):
                    messages: list[dict[str, Any]] = found["messages"]
                    return messages


async def test_an_outage_seen_and_handled_from_the_terminal(tmp_path: Path) -> None:
    async with SimulatedCsms(validate=False) as csms:
        gateway = GatewayProcess(tmp_path, csms.url, extra=EXTRA)
        async with gateway, SimulatedStation("CP-7", gateway.url, options=QUICK) as station:
            operator = _Operator(gateway)
            await station.changes.until(lambda: station.is_accepted, 20)
            assert "0 messages on their way" in await operator.types("queue", "list")
            for command in (["queue", "list"], ["queue", "export"], ["transactions"], ["transactions", "--unknown"]):
                assert "no station cp-7 is known" in await operator.types(*command, "--station", "cp-7", status=4)
            csms.cut()
            for _ in range(2):
                assert station.begin(1, "TAG-1")
                station.end(1, "Local")
            await station.drain(20)
            rows = await operator.until_queued(4)
            await _looks(operator, rows)
            await _exports(operator, rows, tmp_path)
            await _drops(operator, rows)
            csms.restore()
            async with asyncio.timeout(30):
                while await gateway.queued():
                    await csms.changes.until(lambda: True, 1)
            assert [arrival.action for arrival in csms.arrivals] == ["StartTransaction", "StopTransaction"]
            await _sees_transactions(operator)


async def _looks(operator: _Operator, rows: list[dict[str, Any]]) -> None:
    shown = await operator.types("queue", "list")
    assert "StartTransaction" in shown
    assert "no link to the CSMS" in shown
    assert "behind others" in shown
    assert "4 messages on their way" in shown
    assert "3 more: --limit 0" in await operator.types("queue", "list", "--limit", "1")
    one = await operator.types("queue", "show", str(rows[0]["row"]))
    assert '"idTag":"TAG-1"' in one
    assert "its transaction" in one
    whole = await operator.asks("queue", "show", str(rows[0]["row"]))
    assert whole["transaction"]["token"] == "TAG-1"
    assert whole["reason"] == "link-down"
    assert "no message 9999" in await operator.types("queue", "show", "9999", status=4)


async def _exports(operator: _Operator, rows: list[dict[str, Any]], folder: Path) -> None:
    lines = (await operator.types("queue", "export")).splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    assert [row["row"] for row in found] == [row["row"] for row in rows]
    assert json.loads(found[0]["payload"])["idTag"] == "TAG-1"
    file = folder / "export.ndjson"
    assert "4 messages" in await operator.types("queue", "export", "--output", str(file))
    assert [json.loads(line) for line in _lines(file)] == found
    assert [line for line in (await operator.types("queue", "export", "--parked")).splitlines() if "{" in line] == []


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines()


async def _drops(operator: _Operator, rows: list[dict[str, Any]]) -> None:
    start, stop = str(rows[0]["row"]), str(rows[1]["row"])
    assert "add --yes" in await operator.types("queue", "drop", start, status=2)
    assert "Name the messages" in await operator.types("queue", "drop", "--yes", status=2)
    assert "2 messages are dropped" in await operator.types("queue", "drop", start, "--yes")
    assert "no message" in await operator.types("queue", "drop", stop, "--yes", status=4)
    assert "an operator dropped StartTransaction" in await operator.types("queue", "log")
    kept = await operator.asks("queue", "log")
    assert {json.loads(entry["detail"])["row"] for entry in kept} == {int(start), int(stop)}


async def _sees_transactions(operator: _Operator) -> None:
    found = await operator.asks("transactions")
    assert [one["token"] for one in found] == ["TAG-1", "TAG-1"]
    assert [one["set_aside"] for one in found] == [False, True]
    assert "TAG-1" in await operator.types("transactions", "--station", "CP-7")
    assert await operator.asks("transactions", "--running") == []
    assert await operator.asks("transactions", "--unknown") == []
    assert "0 deliveries" in await operator.types("transactions", "--unknown")


async def test_what_is_set_aside_or_of_unknown_outcome_is_listed_and_tried_again(tmp_path: Path) -> None:
    async with SimulatedCsms(validate=False) as csms:
        gateway = GatewayProcess(tmp_path, csms.url, extra=EXTRA)
        async with gateway, SimulatedStation("CP-7", gateway.url, options=QUICK) as station:
            operator = _Operator(gateway)
            await station.changes.until(lambda: station.is_accepted, 20)
            refusing = csms.script(Effect.REFUSE, action="StopTransaction", times=None)
            csms.cut()
            assert station.begin(1, "TAG-1")
            station.end(1, "Local")
            assert station.begin(1, "TAG-2")
            await station.drain(20)
            csms.restore()
            [row] = await operator.until_queued(0, parked=1)
            assert (row["action"], row["reason"]) == ("StopTransaction", "refused")
            assert row["refusals"] == 2, "once more, when the probe had passed"
            shown = await operator.types("queue", "list", "--parked", status=1)
            assert "refused by the CSMS" in shown
            assert re.search(r"│ set aside +│ refused by the CSMS +│ 2 ", shown)
            assert "queue list --parked" in await operator.types("status", status=1)
            csms.rules.remove(refusing)
            assert "Name messages" in await operator.types("queue", "retry", status=2)
            assert "1 were set aside" in await operator.types("queue", "retry", "--all")
            await operator.until_queued(0)
            assert "nothing is set aside" in await operator.types("queue", "retry", "--station", "CP-7", status=4)

            csms.script(Effect.LOSE, action="StopTransaction")
            station.end(1, "Local")
            await station.drain(20)
            await operator.until_queued(0)
            found = await operator.asks("transactions", "--unknown", status=1)
            [one] = [one for one in found if one["action"] == "StopTransaction"]  # a slow machine may make it more
            assert (one["is_queued"], one["transaction"]["token"]) == (False, "TAG-2")
            assert "answered since" in await operator.types("transactions", "--unknown", status=1)


async def test_a_damaged_database_is_an_alarm_and_a_newer_one_is_left_alone(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, "ws://127.0.0.1:9/ocpp")
    operator = _Operator(gateway)
    await gateway.start()
    await gateway.stop()
    _spoil(gateway.state_dir / "gateway.db")
    await gateway.start()
    try:
        shown = await operator.types("status", status=1)
        assert "ALARM database-damaged" in shown
        [alarm] = (await operator.asks("status", status=1))["alarms"]
        assert "records were saved" in alarm["text"]
        assert "salvaged:" in await operator.types("queue", "log")
        assert "ALARM" not in gateway.log()
        assert "alarm database-damaged" in gateway.log()
    finally:
        await gateway.end()
    with closing(sqlite3.connect(gateway.state_dir / "gateway.db")) as connection:
        connection.execute("PRAGMA user_version = 999")
    with pytest.raises(GatewayError, match="ended with status 78"):
        await gateway.start()
    assert "install the newer gateway again" in gateway.log_tail(3)


def _spoil(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\xff" * 4096)


def test_every_reason_has_words_for_the_operator() -> None:
    assert set(_WORDS) == {reason.value for reason in [*WaitReason, *ParkReason]}
