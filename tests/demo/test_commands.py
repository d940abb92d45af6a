import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.demo.commands import demo, simulate
from gateway.demo.csms import SimulatedCsms
from gateway.demo.gateway_process import free_port
from gateway.demo.station import SimulatedStation, StationOptions

LIMIT_S = 30


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["station", "csms"]),
        (["station"], ["--url", "--password-file", "--auto", "--seed", "Ctrl-C"]),
        (["csms"], ["--listen", "--deny", "--latency-ms", "--versions"]),
    ],
)
def test_help_tells_what_an_installer_needs(arguments: list[str], words: list[str]) -> None:
    result = CliRunner().invoke(simulate, [*arguments, "--help"])
    assert result.exit_code == 0
    assert all(word in result.output for word in words)


def test_a_demo_too_short_for_its_outage_is_refused() -> None:
    result = CliRunner().invoke(demo, ["--seconds", "5"])
    assert result.exit_code == 2
    assert "x>=15" in result.output


@pytest.mark.parametrize("arguments", [["--listen", "9000"], ["--versions", "2.1"]])
def test_a_wrong_address_or_version_is_usage(arguments: list[str]) -> None:
    assert CliRunner().invoke(simulate, ["csms", *arguments]).exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [["--url", "http://a"], ["--url", "ws://a:99999"], ["--url", "ws://a", "--meter-interval", "-3"]],
)
def test_a_station_that_could_never_connect_is_usage(arguments: list[str]) -> None:
    done = CliRunner().invoke(simulate, ["station", *arguments])
    assert (done.exit_code, "Invalid value for" in done.output) == (2, True)


async def spawn(*arguments: str) -> asyncio.subprocess.Process:
    code = "from gateway.demo.commands import simulate; simulate()"
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
async def test_a_station_charges_until_interrupted_and_leaves_nothing_open(tmp_path: Path, version: str) -> None:
    (tmp_path / "password").write_text("secret\n")
    async with SimulatedCsms(passwords={"CP-9": "secret"}) as csms:
        station = await spawn(
            *("station", "--url", csms.url, "--id", "CP-9", "--version", version, "--start"),
            *("--password-file", str(tmp_path / "password")),
        )
        await csms.changes.until(lambda: len(csms.arrivals) >= 1, LIMIT_S)
        station.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(station.communicate(), LIMIT_S)
        assert (station.returncode, err) == (0, b"")
    assert b"CP-9 connected" in out
    assert '"Local"' in csms.arrivals[-1].payload, "its transaction was ended and delivered"


@pytest.mark.parametrize("as_json", [True, False])
async def test_a_csms_prints_what_arrives(as_json: bool) -> None:
    port = free_port()
    process = await spawn("csms", "--listen", f"127.0.0.1:{port}", "--deny", "THIEF", *(["--json"] if as_json else []))
    assert process.stdout is not None
    options = StationOptions(reconnect_min_s=0.05, reconnect_max_s=0.2, retry_wait_s=0.1)
    async with SimulatedStation("CP-9", f"ws://127.0.0.1:{port}/ocpp", options=options) as station:
        await station.changes.until(lambda: station.is_accepted, LIMIT_S)
        assert not await station.start(1, "THIEF")
        assert await station.start(1, "TAG-1")
        while b"StartTransaction" not in (line := await asyncio.wait_for(process.stdout.readline(), LIMIT_S)):
            assert line
    if as_json:
        assert json.loads(line)["station"] == "CP-9"
    else:
        assert line.startswith(b"CP-9 StartTransaction {")
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.communicate(), LIMIT_S)
    assert process.returncode == 0


async def test_a_taken_port_is_said() -> None:
    async with SimulatedCsms() as csms:
        process = await spawn("csms", "--listen", f"127.0.0.1:{csms.port}")
        _, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
    assert process.returncode == 1
    assert err.startswith(b"cannot listen: ")
