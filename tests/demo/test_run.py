import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gateway.demo.checker import Report
from gateway.demo.gateway_process import DemoError, GatewayProcess
from gateway.demo.history import Acknowledged, Created, StationRecord
from gateway.demo.run import Demo, Outcome, Plan, granted, run_demo
from gateway.demo.show import LineScreen, NoScreen, StationView, View, draw

LIMIT_S = 120


@pytest.mark.parametrize(("seconds", "outage_s"), [(60, 20), (45, 20), (22.5, 10), (15, 20 / 3), (300, 20)])
def test_the_outage_always_fits(seconds: float, outage_s: float) -> None:
    plan = Plan.over(seconds)
    assert plan.outage_s == pytest.approx(outage_s)
    assert 0 < plan.cut_at < plan.restore_at < plan.stop_at < seconds


def outcome(report: Report | None = None, *, started: int = 1, stopped: int = 1, exit_status: int = 0) -> Outcome:
    return Outcome(report or Report(), 20.0, started, stopped, 5, exit_status)


@pytest.mark.parametrize(
    ("told", "word"),
    [
        (outcome(Report(lost=1)), "1 lost"),
        (outcome(Report(duplicated=1)), "1 doubled"),
        (outcome(Report(out_of_order=1)), "1 out of order"),
        (outcome(Report(findings=["CP-01 message 3 arrived altered"])), "CP-01 message 3 arrived altered"),
        (outcome(started=0), "no session began"),
        (outcome(stopped=0), "no session began"),
        (outcome(exit_status=-9), "exit status -9"),
    ],
)
def test_every_harm_is_said_and_fails_the_demo(told: Outcome, word: str) -> None:
    assert not told.is_good
    assert word in "\n".join(told.in_words())
    assert told.as_json()["ok"] is False


def test_a_good_run_says_so() -> None:
    told = outcome(Report(repeated=2, lost_answers=3))
    assert told.is_good
    assert told.in_words()[0].startswith("Nothing was lost")
    assert told.as_json()["verdict"] == {
        "lost": 0,
        "duplicated": 0,
        "out_of_order": 0,
        "repeated": 2,
        "lost_answers": 3,
    }


def test_only_what_was_made_and_acknowledged_in_the_outage_counts() -> None:
    records: list[StationRecord] = []
    for number, (kind, made, acknowledged) in enumerate(
        [("Started", 1, 2), ("Started", 11, 12), ("Ended", 13, 14), ("Ended", 13, 21), ("Updated", 15, 16)]
    ):
        records += [
            Created("A", number, "t", "1.6", kind, "x", "{}", made),
            Acknowledged("A", number, "m", "{}", acknowledged),
        ]
    assert granted(records, 10, 20) == (1, 1, 3)


def view(elapsed_s: float, phase: str) -> View:
    row = StationView("CP-01", "1.6", "Charging", 7360.0, 1234.0, "12 s", 0, 3, "down")
    return View(elapsed_s, phase, (row,), 3)


def test_the_table_shows_everything_of_a_station() -> None:
    console = Console(record=True, width=140, file=Path(os.devnull).open("w"))  # noqa: SIM115 (closed below)
    console.print(draw(view(30, "uplink is cut: 12 s of 20 s")))
    text = console.export_text()
    console.file.close()
    for word in ("uplink is cut: 12 s", "CP-01", "1.6", "Charging", "7.4 kW", "1.23 kWh", "12 s", "3", "down"):
        assert word in text


def test_lines_come_every_five_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    screen = LineScreen(Console())
    for second in range(11):
        screen.show(view(second, "x"))
    assert len(capsys.readouterr().out.splitlines()) == 3


async def test_a_gateway_that_ends_fails_the_demo(tmp_path: Path) -> None:
    demo = Demo(60, tmp_path, NoScreen())
    playing = asyncio.create_task(demo.run())
    await demo.csms.changes.until(lambda: len(demo.csms.arrivals) >= 2, LIMIT_S)
    assert demo.gateway is not None
    assert demo.gateway.pid is not None
    os.kill(demo.gateway.pid, signal.SIGKILL)
    with pytest.raises(DemoError, match="ended by itself with exit status -9"):
        await asyncio.wait_for(playing, LIMIT_S)


async def test_a_gateway_that_does_not_start_is_said(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, "this is no URL")
    with pytest.raises(DemoError, match="ended by itself with exit status 78"):
        await gateway.start()
    await gateway.stop()
    assert "uplink" in gateway.log_path.read_text()


async def test_a_failed_demo_names_the_log_and_keeps_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fails(_: Any, timeout_s: float) -> None:
        raise DemoError(f"nobody there after {timeout_s:.0f} s")

    monkeypatch.setattr(GatewayProcess, "start", fails)
    assert await run_demo(60, as_json=True) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert "nobody there" in told["error"]
    directory = Path(told["gateway_log"]).parent
    assert directory.is_dir()
    (directory / "config.toml").unlink()
    directory.rmdir()


async def test_the_demo_proves_its_point() -> None:
    """The whole thing, as an installer runs it: exactly one JSON object, and nothing was lost."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "demo", "--seconds", "15", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
    assert process.returncode == 0, (out, err)
    told = json.loads(out)
    verdict = told["verdict"]
    assert (verdict["lost"], verdict["duplicated"], verdict["out_of_order"]) == (0, 0, 0)
    assert verdict["repeated"] <= verdict["lost_answers"]
    assert told["outage"]["sessions_started"] == told["outage"]["sessions_stopped"] == 2
    assert told["counts"]["messages"] == told["counts"]["acknowledged"] > 20
    assert told["counts"]["ledger_transactions"] == told["counts"]["transactions"] == 6
