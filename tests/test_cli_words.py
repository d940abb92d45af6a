"""What commands print and ask, without a gateway: names with brackets, long names, amounts that are none."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from gateway import cli, cli_queue, cli_status
from gateway.cli_base import segment
from tests.gateway_process import CONFIGURATION, REPOSITORY

ODD = "CP[a] [/b]?"
"""Rich would take the first bracket for a style, and the second for an error."""


def status(station: str) -> dict[str, Any]:
    clock = {"is_skewed": True, "skew_s": 99.0, "given_offset_s": 0.0}
    one = {
        "id": station, "approval": "accepted",
        "connected": True, "dialect": "1.6", "uplink": "up", "held": False, "queue": 0, "parked": 0,
        "connectors": {"0": "Available", "1": "SuspendedEVSE"}, "numbers": {"0": None, "1": None}, "running": 1,
        "clock": clock,
    }  # fmt: skip
    return {
        "site": "North [x]", "stations": [one], "one_link": None, "meters": [], "circuits": [], "store": "ok",
        "pending": [{"id": station, "address": "::1", "waiting_s": 2, "problem": None}],
        "alarms": [{"kind": "x", "since": "y", "text": "lost [/z]"}],
        "queue": {"rows": 0, "parked": 0, "unknown_outcomes": 0},
        "clock": {"time": "t", "trust": "system", "reason": "r", "stations_wait": False},
    }  # fmt: skip


def test_status_in_a_pipe_is_whole_and_takes_brackets_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    cli_status._show_status(status(ODD))
    out = capsys.readouterr().out
    assert "North [x]" in out
    assert "0:Available 1:SuspendedEVSE" in out, "80 columns are a terminal's, not a file's"
    assert out.count(ODD) == 4
    assert f"approve '{ODD}'" in out, "as a shell takes it"
    assert "lost [/z]" in out


@pytest.mark.parametrize(("approval", "words"), [("rejected", "no, rejected"), ("approved", "no ")])
def test_a_station_that_is_refused_is_told_from_one_that_is_off(
    capsys: pytest.CaptureFixture[str], approval: str, words: str
) -> None:
    found = status("CP-1")
    found["stations"][0] |= {"connected": False, "approval": approval}
    cli_status._show_status(found)
    assert f"│ {words}" in capsys.readouterr().out


def test_what_the_csms_wrote_into_an_error_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "row": 1, "station": ODD, "action": "StopTransaction", "kind": "Ended", "transaction": 1,
        "received": "2026-05-01T00:00:00", "state": "parked", "may_be_at_csms": False, "reason": "refused",
        "waits_s": None, "refusals": 1, "last_error": "[/idTag] is missing",
    }  # fmt: skip
    found = {"stations": [], "messages": [row], "rows": 0, "parked": 1, "unknown_outcomes": 0}
    cli_queue._show_queue(found, parked=True)
    assert "[/idTag] is missing" in capsys.readouterr().out


def test_a_meter_that_began_at_0_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    cli_queue._show_pairs({"meter_start_wh": 0, "offline": False, "group": None, "notes": []}, "its transaction")
    out = capsys.readouterr().out
    assert "meter start wh │ 0" in out
    assert not {"offline", "group", "notes"} & set(out.split())


def test_a_name_is_one_part_of_a_route() -> None:
    url = httpx.URL(f"http://gateway/v1/stations/{segment('CP 7?a#b%41')}/why")
    assert url.path == "/v1/stations/CP 7?a#b%41/why"


@pytest.mark.parametrize("amount", ["nan", "inf", "-1"])
def test_an_amount_that_is_none_is_a_mistake_of_usage(amount: str) -> None:
    words = ["cap", "set", "main", "--limit-a", amount, "--seconds", "60"]
    assert CliRunner().invoke(cli.main, words).exit_code == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_to_a_full_disk_ends_in_words(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(CONFIGURATION.format(port=8887, uplink_url="ws://127.0.0.1:9000/ocpp"))
    words = [sys.executable, "-m", "gateway", "check-config", "--config", str(path)]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(words, cwd=REPOSITORY, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (1, b"Error: the output can't be written: No space left on device\n")


@pytest.mark.parametrize("command", ["check-config", "run", "status"])
def test_a_folder_in_the_place_of_the_file_is_a_mistake_of_configuration(tmp_path: Path, command: str) -> None:
    done = CliRunner().invoke(cli.main, [command, "--config", str(tmp_path)])
    assert done.exit_code == 78
    assert "cannot be read (Is a directory). Remedy:" in done.output
