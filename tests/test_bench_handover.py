"""The benchmark of the hand-over on a few messages. No time is judged here."""

import json

import pytest
from click.testing import CliRunner
from rich.console import Console

from bench import handover
from bench.handover import Row, judged, main, show
from tests.drivers.mosquitto import binary


def test_it_measures_all_ways_and_its_json_parses() -> None:
    binary()
    result = CliRunner().invoke(main, ["--json", "--repeats", "2", "--count", "3", "--pause", "0"])
    found = json.loads(result.output)
    assert [row["count"] for row in found["rows"].values()] == [6] * 4
    assert all(0 < row["p50_ms"] <= row["p99_ms"] for row in found["rows"].values())
    assert result.exit_code == (0 if all(goal["met"] for goal in found["goals"].values()) else 1)


def test_a_missing_broker_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "_PATH", "")
    monkeypatch.setattr(handover, "_measured", _nothing)
    result = CliRunner().invoke(main, [])
    assert result.exit_code == 2
    assert "mosquitto is not installed" in result.output


async def _nothing(*_arguments: object) -> list[Row]:
    return []


@pytest.mark.parametrize(
    ("floor_ms", "passed_ms", "cpu_ms", "verdict"),
    [
        (0.5, 4.9, 9.0, "met"),
        (0.5, 5.1, 1.0, "MISSED"),
        (1.5, 50.0, 4.9, "met by CPU: busy machine"),
        (1.5, 4.0, 5.1, "MISSED by CPU: busy machine"),
    ],
)
def test_a_goal_is_judged_by_the_clock_where_the_machine_is_quiet(
    floor_ms: float, passed_ms: float, cpu_ms: float, verdict: str
) -> None:
    rows = [Row("floor", [[(floor_ms, 0.1)]]), Row("way", [[(passed_ms, cpu_ms)], [(99.0, 99.0)], [(0.1, 0.1)]])]
    assert str(judged(rows)["way"]) == verdict
    console = Console(width=120)
    with console.capture() as captured:
        show(rows, console)
    assert verdict in captured.get()
