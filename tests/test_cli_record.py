"""`circuits replay` and `transactions --limits` on a recorded day, without a gateway."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway import cli
from gateway.smartcharging import day as days

CONFIG = """
[site]
name = "Test"
identity = "SITE"
[[downlink]]
listen = "127.0.0.1:0"
security_profile = 0
allow_insecure = true
[uplink]
url = "ws://127.0.0.1:1/ocpp"
security_profile = 0
allow_insecure = true
[meter.grid]
driver = "simulated"
[circuit.main]
limit_a = 40
meter = "grid"
background_a = 15
[[station]]
id = "CP-1"
circuit = "main"
connectors = [{ max_a = 32 }]
proven = true
[[station]]
id = "CP-2"
circuit = "main"
connectors = [{ max_a = 32 }]
proven = true
"""
BEGIN = 1_777_600_800
"""2026-05-01, 2 hours after midnight."""


def record(folder: Path) -> None:
    """Two hours with 15 A of other loads; one car leaves hungry, the other one is full after one hour."""
    (folder / "state" / "days").mkdir(parents=True)
    (folder / "config.toml").write_text(CONFIG)
    lines: list[days.Line] = [days.Opening(BEGIN, {"main": (40.0,) * 3}, {"main": (3.0,) * 3}, {}, {"CP-1": "good"})]
    lines.append(days.Told(BEGIN, "CP-1", 1, 7, 12.0, 12.5, "circuit main L1"))
    lines.append(days.Told(BEGIN + 3600, "CP-1", 1, 7, 19.0, 19.0, "circuit main L1"))
    for minute in range(120):
        first = 12.0 if minute < 60 else 19.0
        second = 12.0 if minute < 60 else 0.0
        stays = (
            days.Stay("CP-1", 1, 7, first, (first,) * 3, "circuit"),
            days.Stay("CP-2", 1, 8, 12.0, (second,) * 3, "circuit", wants=second > 0),
            days.Stay("CP-9", 1, 9, 6.0, (6.0,) * 3, "circuit"),
        )
        lines.append(days.Minute(BEGIN + 60 * minute, 60, {"main": (15.0 + first + second,) * 3}, stays))
    (folder / "state" / "days" / "2026-05-01.jsonl").write_bytes(days.encoded(lines) + b'["m",17')


def types(folder: Path, *words: str, status: int = 0) -> str:
    done = CliRunner().invoke(cli.main, [*words, "--config", str(folder / "config.toml")])
    assert done.exit_code == status, done.output
    return done.output


def test_a_day_with_other_fuses(tmp_path: Path) -> None:
    record(tmp_path)
    found = json.loads(types(tmp_path, "circuits", "replay", "--limit", "main=63", "--json"))
    first, second = found["connectors"]
    assert (found["day"], found["hours"], found["left_out"]) == ("2026-05-01", 2.0, ["CP-9/1"])
    assert first["recorded_kwh"] == 21.39
    assert abs(first["real_kwh"] - first["recorded_kwh"]) < 1.5
    assert first["other_kwh"] > 1.3 * first["real_kwh"]
    assert abs(second["other_kwh"] - second["recorded_kwh"]) < 0.3, "it was full, and takes no more"
    [main] = found["circuits"]
    assert (main["real"]["limit_a"], main["other"]["limit_a"]) == (40.0, 63.0)
    assert main["real"]["bound_h"] > 1.5 > main["other"]["bound_h"] + 0.3
    assert found["less"] == []
    shown = types(tmp_path, "circuits", "replay", "2026-05-01", "--limit", "main=32")
    assert "less with the other: CP-1/1\n" in shown, "the other one takes longer"
    assert "could not be safe" in types(tmp_path, "circuits", "replay", "--limit", "main=12", status=1)
    assert "no day 2026-04-01 is recorded" in types(tmp_path, "circuits", "replay", "2026-04-01", status=78)
    types(tmp_path, "circuits", "replay", "--limit", "cellar=20", status=2)


def test_every_limit_of_a_transaction(tmp_path: Path) -> None:
    record(tmp_path)
    told = json.loads(types(tmp_path, "transactions", "--limits", "7", "--json"))
    assert [(one["from"][11:], one["set_a"], one["why"]) for one in told] == [
        ("02:00:00", 12.0, "circuit main L1"),
        ("03:00:00", 19.0, "circuit main L1"),
    ]
    assert (told[0]["to"], told[1]["to"]) == (told[1]["from"], None)
    assert "12 A" in types(tmp_path, "transactions", "--limits", "7")
    types(tmp_path, "transactions", "--limits", "99", status=1)


def test_a_transaction_of_which_nothing_is_on_record(tmp_path: Path) -> None:
    record(tmp_path)
    words = ["transactions", "--limits", "99", "--config", str(tmp_path / "config.toml")]
    done = CliRunner().invoke(cli.main, words)
    assert (done.exit_code, done.output[:26]) == (1, "no limit of transaction 99")
    assert json.loads(CliRunner().invoke(cli.main, [*words, "--json"]).output) == []


def test_a_record_of_another_user_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(folder: Path) -> list[str]:
        raise PermissionError(13, "Permission denied")

    record(tmp_path)
    monkeypatch.setattr("gateway.store.days.days", refused)
    for words in (["transactions", "--limits", "7"], ["circuits", "replay"]):
        done = CliRunner().invoke(cli.main, [*words, "--config", str(tmp_path / "config.toml")])
        assert done.exit_code == 1
        assert "(Permission denied). Remedy: run this as the gateway's user" in done.output
