"""`meter probe`, as an installer types it. The meters are on pseudo terminals; no real port is touched."""

import asyncio
import json
import os
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from drivers import probe_line, probe_mdns, serial_ports
from drivers.probe_host import Host
from drivers.probe_sound import Settings
from drivers.serial_ports import SerialPort
from gateway import cli_meter_probe
from gateway.cli import main
from gateway.config import load
from tests.drivers.modbus_rig import lock, with_crc
from tests.drivers.probe_rig import Line, fixtures
from tests.drivers.push_rig import telegram
from tests.gateway_process import CONFIGURATION

COMMENT = '\n# The hall\'s meter is simulated.\n[meter.hall]  # by hand\ndriver = "simulated"\n'


def _file(folder: Path, extra: str = COMMENT) -> Path:
    path = folder / "config.toml"
    path.write_text(CONFIGURATION.format(port=8887, uplink_url="ws://127.0.0.1:9/ocpp") + extra)
    return path


async def _probe(*words: str, typed: str = "") -> Result:
    command = ["meter", "probe", "--listen-seconds", "0.4", *words]
    return await asyncio.to_thread(CliRunner().invoke, main, command, input=typed, env={"COLUMNS": "500"})


async def test_what_was_found_is_confirmed_and_written(tmp_path: Path) -> None:
    path = _file(tmp_path)
    before = path.read_text()
    with Line(tmp_path / "p1", Settings(115_200), telegram("v5")) as line:
        words = ("--port", str(line.link), "--config", str(path))
        found = await _probe(*words, typed="n\n")
        assert (found.exit_code, path.read_text()) == (0, before), "nobody said yes"
        assert "P1 meter, specification v5" in found.stdout
        assert "│ current " in found.stdout
        assert "0.48" in found.stdout

        found = await _probe(*words, typed="y\nmain-meter\n")
        assert found.exit_code == 0, found.output
        assert path.read_text().startswith(before)
        assert tomllib.loads(path.read_text())["meter"] == {
            "hall": {"driver": "simulated"},
            "main-meter": {"driver": "p1", "port": str(line.link)},
        }
        assert [one.id for one in load(path).meters] == ["hall", "main-meter"]
        assert "ct-test main-meter" in found.stdout

        written = path.read_text()
        for name, problem in (
            ("main-meter", "has a meter main-meter already"),
            ("other", "is used by meter.main-meter"),
        ):
            found = await _probe(*words, "--name", name, "--yes")
            assert found.exit_code == 4, found.output
            assert problem in found.stdout.replace("\n", " ")
            assert path.read_text() == written
    assert line.written == b""


async def test_a_modbus_meter_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, search = _file(tmp_path), cli_meter_probe._Task.search
    monkeypatch.setattr(probe_line, "_GAP_S", 0.0)
    monkeypatch.setattr(
        cli_meter_probe._Task, "search", lambda task, said: replace(search(task, said), usual_units=(1, 2))
    )
    with Line(tmp_path / "line", Settings(9600), units=fixtures(u1="eastron-sdm630")) as line:
        found = await _probe("--port", str(line.link), "--yes", "--config", str(path))
    assert found.exit_code == 0, found.output
    assert "unit 1 answers at 9600 8N1" in found.stdout
    (meter,) = [meter.options for meter in load(path).meters if meter.id == "grid"]
    assert meter.model_dump(mode="json")["model"].startswith("eastron-")
    assert "10.50" in found.stdout


async def test_json_asks_nothing_and_writes_nothing(tmp_path: Path) -> None:
    path = _file(tmp_path)
    before = path.read_text()
    talk = with_crc(bytes((9, 3, 0, 0, 0, 2)))
    with (
        Line(tmp_path / "p1", Settings(115_200), telegram("v5")) as meter,
        Line(tmp_path / "busy", Settings(9600), talk) as busy,
    ):
        ports = ("--port", str(meter.link), "--port", str(busy.link), "--port", str(tmp_path / "gone"))
        found = await _probe(*ports, "--json", "--config", str(path))
        told: dict[str, Any] = json.loads(found.stdout)
        assert found.exit_code == 0
        first, second, third = told["places"]
        assert first["meters"][0]["candidates"][0]["table"] == {"driver": "p1", "port": str(meter.link)}
        assert first["meters"][0]["reading"]["current_a"] == [0.48, 0.44, 0.86]
        assert "another master" in second["words"]
        assert third["trouble"]["kind"] == "unplugged"
        assert (told["written"], path.read_text()) == ([], before)

        found = await _probe(*ports, "--json", "--yes", "--config", str(path))
        assert json.loads(found.stdout)["written"] == ["grid"]
        assert load(path).meters[1].id == "grid"
    assert (meter.written, busy.written) == (b"", b"")


async def test_ports_of_a_running_gateway_and_consoles_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Line(tmp_path / "p1", Settings(115_200), telegram("v5")) as line:
        path = _file(tmp_path, f'[meter.main]\ndriver = "p1"\nport = "{line.link}"\n')
        monkeypatch.setattr(cli_meter_probe, "request", lambda *_asked: {})
        found = await _probe("--port", str(line.link), "--config", str(path))
        assert "meter main of the running gateway reads here: left alone" in _flat(found)
        assert found.exit_code == 1

        monkeypatch.undo()
        descriptor = lock(line.link)
        try:
            found = await _probe("--port", str(line.link), "--config", str(path))
        finally:
            os.close(descriptor)
        assert "it is that of meter main: does a gateway run?" in _flat(found)

        console = SerialPort(str(line.link), str(line.link), is_console=True)
        monkeypatch.setattr(serial_ports, "listed", lambda: [console])
        monkeypatch.setattr(probe_mdns, "announced", _nobody)
        found = await _probe("--config", str(path))
        assert "this machine's console: left alone" in _flat(found)
        assert not line.is_opened


def _flat(found: Result) -> str:
    return found.stdout.replace("\n", " ")


async def _nobody(*_asked: object) -> list[object]:
    return []


async def test_without_a_configuration_the_section_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli_meter_probe, "PLACES", ())
    with Line(tmp_path / "p1", Settings(115_200), telegram("v5")) as line:
        found = await _probe("--port", str(line.link), "--yes")
    assert found.exit_code == 0, found.output
    assert f'[meter.grid]\ndriver = "p1"\nport = "{line.link}"' in found.stdout
    assert "there is no configuration file" in found.stdout


@pytest.mark.parametrize(
    ("text", "name", "port"),
    [
        ("meter.local", "meter.local", None),
        ("192.0.2.7:1502", "192.0.2.7", 1502),
        ("fe80::1", "fe80::1", None),
        ("[fe80::1]:502", "fe80::1", 502),
        ("[fe80::1]", "fe80::1", None),
    ],
)
def test_hosts_may_have_a_port(text: str, name: str, port: int | None) -> None:
    assert cli_meter_probe._host(text) == Host(name, port)


def test_the_commands_explain_themselves() -> None:
    for command in ("probe", "ct-test"):
        found = CliRunner().invoke(main, ["meter", command, "--help"])
        assert (found.exit_code, len(found.stdout.splitlines()) > 20) == (0, True)
