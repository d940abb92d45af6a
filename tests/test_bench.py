"""The benchmark's parts on two chargers and a fraction of a second. No time is judged here."""

import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from bench import proc, relay, report, wire
from bench.__main__ import main
from bench.fleet import Fleet
from bench.proc import Proxy
from bench.relay import Cores, Options, Run, Sample
from bench.rows import ROWS, Row

_BY_NAME = {row.name: row for row in ROWS}


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_a_frame_is_read_as_it_was_written(size: int, masked: bool) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    data = wire.frame(payload[:size], masked=masked)
    assert wire.read_frame(data + b"rest", 0) == (0x81, payload[:size], len(data))
    assert wire.read_frame(data[:-1], 0) is None
    assert (payload[:125] in data) is (size >= 125 and not masked)


def test_the_whole_suite_runs_and_its_json_parses() -> None:
    result = CliRunner().invoke(main, ["relay", "--json", "--chargers", "2", "--repeats", "1", "--seconds", "0.1"])
    found = json.loads(result.output)
    assert set(found["ratios"]) == {"tcp", "naive", "pass_through", "durable"}
    assert result.exit_code == (0 if found["ok"] else 1)
    for name, row in found["rows"].items():
        assert row["acknowledged"] > 0, name
        assert row["mismatches"] == row["lost"] == 0, name
    assert found["goals"]["unstored"]["met"]


@pytest.mark.parametrize(("name", "commits_each"), [("durable", True), ("pass_through", False)])
async def test_only_the_durable_gateway_commits_every_message(name: str, commits_each: bool, tmp_path: Path) -> None:
    fleet = Fleet(1)
    csms_port, port = await fleet.open_csms(), proc.free_port()
    arguments = _BY_NAME[name].arguments
    assert arguments is not None
    try:
        async with Proxy(arguments(port, csms_port, tmp_path), port, tmp_path, None):
            await fleet.connect(port)
            before, answered = proc.wal_commits(tmp_path), fleet.answered
            fleet.begin_closed_loop("meter")
            await fleet.until_answered(50)
            await fleet.end_closed_loop()
            commits = proc.wal_commits(tmp_path) - before
    finally:
        await fleet.close()
    assert (commits >= fleet.answered - answered) is commits_each


async def test_a_transaction_id_of_ours_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    fleet = Fleet(2, tx_id_of=lambda index: -1 - index)  # ids no station may be given
    csms_port, port = await fleet.open_csms(), proc.free_port()
    arguments = _BY_NAME["pass_through"].arguments
    assert arguments is not None
    try:
        async with Proxy(arguments(port, csms_port, tmp_path), port, tmp_path, None):
            await fleet.connect(port)
            assert all(b'"transactionId":-' not in charger.own.after for charger in fleet.chargers.values())
            fleet.begin_closed_loop("mixed")
            await fleet.until_answered(20)
            await fleet.end_closed_loop()
    finally:
        await fleet.close()
    assert fleet.first_complaint is None


async def test_the_csms_notices_a_payload_that_is_not_what_was_sent() -> None:
    fleet = Fleet(1)
    try:
        await fleet.connect(await fleet.open_csms())
        fleet.begin_closed_loop("meter")
        await fleet.until_answered(3)
        assert fleet.mismatches == 0
        charger = fleet.chargers["BENCH-0000"]
        charger.payload = charger.payload.replace(b"230.1", b"230.2", 1)
        await fleet.end_closed_loop()
    finally:
        await fleet.close()
    assert fleet.mismatches == 1


async def test_a_message_acknowledged_and_nowhere_is_counted_as_lost(tmp_path: Path) -> None:
    fleet = Fleet(1)
    try:
        await fleet.connect(await fleet.open_csms())
        fleet.begin_closed_loop("meter")
        await fleet.until_answered(3)
        await fleet.end_closed_loop()
    finally:
        await fleet.close()
    charger = fleet.chargers["BENCH-0000"]
    charger.at_csms.discard(charger.acknowledged[1])
    sample = Sample(_BY_NAME["durable"])
    relay._recount(sample, fleet, tmp_path)
    assert (sample.lost, sample.unstored) == (1, len(charger.acknowledged))


def test_every_write_transaction_is_counted(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "some.db", isolation_level=None)
    connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t (x)")
    before = proc.wal_commits(tmp_path)
    for number in range(5):
        connection.execute("INSERT INTO t VALUES (?)", (number,))
    connection.execute("SELECT * FROM t").fetchall()
    assert proc.wal_commits(tmp_path) == before + 5
    connection.close()


@pytest.mark.parametrize(("ours_us", "is_met"), [(100.0, True), (1000.0, False)])
def test_a_goal_that_is_missed_is_said(ours_us: float, is_met: bool) -> None:
    run = _made_up({"direct": 0.0, "websockets": 100.0, "pass_through": ours_us})
    assert report.as_json(run)["goals"]["pass_through / websockets"]["met"] is is_met
    console = Console(width=120)
    with console.capture() as captured:
        report.show(run, console)
    assert ("MISSED" in captured.get()) is not is_met


def _made_up(cpu_us: dict[str, float]) -> Run:
    rows: list[Row] = [_BY_NAME[name] for name in cpu_us]
    samples = {
        row.name: Sample(
            row,
            cpu_us={"meter": cpu_us[row.name], "mixed": cpu_us[row.name]},
            rate={"meter": 1.0, "mixed": 1.0},
        )
        for row in rows
    }
    return Run(Options(repeats=1, rows=rows), Cores(0, 1), fsync_ms=1.0, repeats=[samples])
