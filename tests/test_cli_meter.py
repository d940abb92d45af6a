"""`meter read`, `meter models` and what `status` says of meters, as an operator types them."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from click.testing import CliRunner, Result

from gateway.cli import main
from tests.gateway_process import CONFIGURATION, REPOSITORY, GatewayProcess

HALL = '[meter.hall]\ndriver = "simulated"\n'
GRID = '[meter.grid]\ndriver = "modbus"\nmodel = "eastron-sdm630"\nport = "/dev/serial/by-id/not-there"\n'
CIRCUITS = """[circuit.main]
limit_a = 125
meter = "grid"
[circuit.hall]
parent = "main"
limit_a = 63
meter = "hall"
"""


def _file(folder: Path, meters: str) -> str:
    path = folder / "config.toml"
    path.write_text(CONFIGURATION.format(port=8887, uplink_url="ws://127.0.0.1:9/ocpp") + meters)
    return str(path)


async def _invoke(*words: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, main, words, env={"COLUMNS": "120"})


async def test_the_running_gateway_is_asked(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, "ws://127.0.0.1:9/ocpp", extra=HALL + GRID + CIRCUITS)
    file = ("--config", str(gateway.config_file))
    async with gateway:
        while not json.loads((await _invoke("meter", "read", "hall", "--json", *file)).stdout)["reading"]:
            continue
        found = await _invoke("meter", "read", "hall", "--json", *file)
        shown = json.loads(found.stdout)
        assert found.exit_code == 0
        assert (shown["freshness"], shown["source"], shown["interval_s"]) == ("fresh", "from the running gateway", 1.0)
        assert shown["reading"]["quality"] == "good"
        assert all(10 < amps < 60 for amps in shown["reading"]["current_a"])

        while not json.loads((await _invoke("meter", "read", "grid", "--json", *file)).stdout)["trouble"]:
            continue
        found = await _invoke("meter", "read", "grid", *file)
        assert found.exit_code == 1
        assert "by-id/not-there is not there" in found.stdout.replace("\n", " ")
        assert "no reading yet" in found.stdout

        found = await _invoke("status", *file)
        assert found.exit_code == 1
        assert "meter hall: fresh, good" in found.stdout
        assert "circuit main: - / - / - A of 125 A (missing: grid L1/L2/L3 no-reading)" in found.stdout
        circuits = json.loads((await _invoke("status", "--json", *file)).stdout)["circuits"]
        assert circuits[0]["missing"] == [
            {"circuit": "main", "meter": "grid", "phases": [1, 2, 3], "reason": "no-reading"}
        ]
        assert circuits[1]["current_a"] != [None, None, None]

        gateway.write_config(
            gateway.config_file.read_text().replace("meter.hall", "meter.new").replace('"hall"', '"new"')
        )
        found = await _invoke("meter", "read", "new", *file)
        assert (found.exit_code, "no meter new" in found.stderr) == (4, True)
        assert await gateway.stop() == 0
    told = [line for line in gateway.log().splitlines() if "metering" in line]
    assert len(told) == 2, told


def test_without_a_gateway_the_meter_is_read_directly(tmp_path: Path) -> None:
    file = ("--config", _file(tmp_path, HALL + GRID))
    found = CliRunner().invoke(main, ["meter", "read", "hall", *file], env={"COLUMNS": "120"})
    assert found.exit_code == 0, found.output
    assert "meter hall (simulated), read directly: no gateway answers" in found.stdout
    for words in ("current", "│ A ", "voltage", "│ V ", "active power", "│ W ", "quality good", "age 0.0 s", "fresh"):
        assert words in found.stdout, words

    found = CliRunner().invoke(main, ["meter", "read", "grid", *file], env={"COLUMNS": "120"})
    assert found.exit_code == 1
    assert "meter grid (modbus eastron-sdm630)" in found.stdout
    assert "trouble: /dev/serial/by-id/not-there is not there" in found.stdout
    assert "Remedy: Plug it in" in found.stdout

    found = CliRunner().invoke(main, ["meter", "read", "gird", *file])
    assert found.exit_code == 2
    assert "it has hall, grid" in found.stderr


@asynccontextmanager
async def _silent_host() -> AsyncIterator[int]:
    """Takes connections and never says a word."""

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_silent_meter_is_a_time_out(tmp_path: Path) -> None:
    async with _silent_host() as port:
        meter = f'[meter.grid]\ndriver = "modbus"\nmodel = "eastron-sdm630"\nhost = "127.0.0.1"\ntcp_port = {port}\n'
        found = await _invoke("meter", "read", "grid", "--wait", "1.5", "--config", _file(tmp_path, meter))
    assert found.exit_code == 5, found.output
    assert "no reading yet" in found.stdout


async def test_watching_goes_on_until_interrupted(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "meter", "read", "hall", "--watch", "--json"),
        *("--config", _file(tmp_path, HALL + "interval_s = 0.1\n")),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    lines = [json.loads(await asyncio.wait_for(process.stdout.readline(), 30)) for _ in range(3)]
    process.send_signal(signal.SIGINT)
    _, error = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, error) == (0, b"")
    sequences = [line["reading"]["sequence"] for line in lines]
    assert sequences == sorted(set(sequences))


def test_every_command_explains_itself() -> None:
    for command in ("meter", "meter read", "meter models"):
        found = CliRunner().invoke(main, [*command.split(), "--help"])
        assert (found.exit_code, len(found.stdout.splitlines()) > 5) == (0, True)


def test_the_known_meters_are_listed_with_the_installers_own(tmp_path: Path) -> None:
    found = CliRunner().invoke(main, ["meter", "models", "--json", "--config", _file(tmp_path, "")])
    models = {(one["driver"], one["value"]): one for one in json.loads(found.stdout)["models"]}
    assert found.exit_code == 0
    sdm = models["modbus", "eastron-sdm630"]
    assert (sdm["key"], sdm["line"], sdm["protocol"], sdm["verified"]) == ("model", "9600 8N1", "Modbus", True)
    assert len(sdm["sources"]) >= 2
    lines = {models["modbus", name]["line"] for name in ("siemens-pac2200", "shelly-pro-3em", "victron-vm-3p75ct")}
    assert lines == {"19200 8N1 or TCP", "TCP", "UDP"}
    assert models["modbus", "acrel-adw300"]["verified"] is False
    assert "no phase currents" in models["modbus", "eastron-sdm72d-m"]["refused"]
    assert ("sunspec", None) in models
    assert ("mqtt", "shelly-em") in models
    assert models["p1", "v5"]["key"] == "spec"
    assert "no currents" in models["p1", "v3"]["notes"]
    assert [models[name, None]["line"] for name in ("sml", "han", "speedwire")] == ["9600 8N1", "2400 8N1", None]
    assert ("simulated", None) in models

    (tmp_path / "meter-models").mkdir()
    (tmp_path / "meter-models" / "my-own.toml").write_text("schema = 1\n")
    found = CliRunner().invoke(main, ["meter", "models", "--config", str(tmp_path / "config.toml")])
    assert found.exit_code == 1
    assert "my-own" in found.stdout
    assert "my-own.toml cannot be used: " in found.stdout.replace("\n", "")
    assert "eastron-sdm72d-m: cannot be used: it has no phase currents" in found.stdout.replace("\n", " ")
    assert "eastron-sdm630" in found.stdout
