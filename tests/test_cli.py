"""The commands as an operator types them, against a real gateway process."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import httpx
import pytest
from click.testing import CliRunner
from ocpp.v16 import call

from gateway.cli import main
from gateway.demo.csms import SimulatedCsms
from gateway.demo.gateway_process import free_port
from gateway.demo.station import SimulatedStation, StationOptions
from tests.gateway_process import CONFIGURATION, REPOSITORY, GatewayProcess

QUICK = StationOptions(reconnect_min_s=0.1, reconnect_max_s=0.3, tick_s=0.1, longest_wait_s=0.3, validate=False)


async def _cli(*words: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *words),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), error.decode()


def _file(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


GOOD = CONFIGURATION.format(port=8887, uplink_url="ws://127.0.0.1:9000/ocpp")


async def test_every_mistake_is_listed_with_its_path_and_the_exit_status_is_78(tmp_path: Path) -> None:
    bad = GOOD.replace('"accept"', '"sometimes"').replace("retry_wait_min_s = 1", 'retry_wait_min_s = "soon"')
    path = _file(tmp_path, bad + "\n[budget]\nstart_s = 1\n")
    for command in (["check-config"], ["run"]):
        status, _, error = await _cli(*command, "--config", str(path))
        assert status == 78
        lines = error.strip().splitlines()
        assert len(lines) == 3, error
        for place in ("downlink[0].unknown_stations", "uplink.retry_wait_min_s", "budget"):
            assert any(line.startswith(place) and "Remedy:" in line for line in lines), (place, error)


async def test_a_good_file_is_called_good(tmp_path: Path) -> None:
    path = _file(tmp_path, GOOD)
    status, out, _ = await _cli("check-config", "--config", str(path))
    assert (status, "good" in out) == (0, True)
    status, out, _ = await _cli("check-config", "--json", "--config", str(path))
    assert (status, json.loads(out)["ok"]) == (0, True)


async def test_no_configuration_at_all_says_what_to_do(tmp_path: Path) -> None:
    status, _, error = await _cli("check-config", "--config", str(tmp_path / "missing.toml"))
    assert status == 78
    assert "Remedy" in error


async def test_a_gateway_that_does_not_run_is_unreachable(tmp_path: Path) -> None:
    status, _, error = await _cli("status", "--config", str(_file(tmp_path, GOOD)))
    assert status == 3
    assert "is it running" in error


async def test_an_unknown_station_waits_is_approved_and_then_served(tmp_path: Path) -> None:
    async with SimulatedCsms(validate=False) as csms:
        gateway = GatewayProcess(tmp_path, csms.url)
        gateway.write_config(gateway.config_file.read_text().replace('"accept"', '"approve"'))
        async with gateway, SimulatedStation("CP-9", gateway.url, options=QUICK) as station:
            config = ("--config", str(gateway.config_file))
            await station.changes.until(lambda: station.is_connected, 10)
            status, out, _ = await _cli("status", *config)
            assert status == 1
            assert "stations approve CP-9" in out
            assert csms.connected == set()

            status, out, _ = await _cli("stations", *config, "approve", "CP-9")
            assert status == 0, out
            await station.changes.until(lambda: station.is_accepted, 20)
            status, out, _ = await _cli("status", "--json", *config)
            assert status == 0
            found = json.loads(out)
            assert [(one["id"], one["connected"]) for one in found["stations"]] == [("CP-9", True)]

            status, _, error = await _cli("stations", *config, "approve", "CP-77")
            assert status == 4
            assert "CP-77" in error
            status, _, _ = await _cli("stations", *config, "reject", "CP-9")
            assert status == 0
            await station.changes.until(lambda: not station.is_connected, 10)


async def test_an_approved_station_stays_approved_over_a_restart(tmp_path: Path) -> None:
    async with SimulatedCsms(validate=False) as csms:
        gateway = GatewayProcess(tmp_path, csms.url)
        async with gateway, SimulatedStation("CP-9", gateway.url, options=QUICK) as station:
            await station.changes.until(lambda: station.is_accepted, 20)
            await gateway.stop()
            gateway.write_config(gateway.config_file.read_text().replace('"accept"', '"refuse"'))
            await gateway.start()
            await station.changes.until(lambda: station.is_connected, 20)
            await _refuses_a_second(gateway)
            assert await gateway.stop() == 0


async def _refuses_a_second(gateway: GatewayProcess) -> None:
    """`run` typed by hand while the service runs: it must not touch the first one's database, queue and socket."""
    second = gateway.directory / "second.toml"
    second.write_text(gateway.config_file.read_text().replace(str(gateway.port), str(free_port())))
    status, _, error = await _cli("run", "--config", str(second))
    assert status == 1
    assert "another gateway runs with this state_dir. Remedy:" in error
    status, _, error = await _cli("status", "--config", str(gateway.config_file))
    assert status == 0, error


async def test_a_port_in_use_is_said_in_words(tmp_path: Path) -> None:
    port = free_port()
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port)
    try:
        gateway = GatewayProcess(tmp_path, "ws://127.0.0.1:9/ocpp", port=port)
        status, _, error = await _cli("run", "--config", str(gateway.config_file))
    finally:
        server.close()
        await server.wait_closed()
    assert status == 1
    assert f"127.0.0.1:{port}: Address already in use. Remedy: stop what uses this port" in error
    assert "Traceback" not in error


async def test_authorize_explains_what_would_happen_and_a_reload_counts_at_once(tmp_path: Path) -> None:
    async with SimulatedCsms(validate=False) as csms:
        gateway = GatewayProcess(tmp_path, csms.url)
        text = gateway.config_file.read_text().replace('"allow-unknown"', '"known-only"\ntags_file = "tags.txt"')
        tags = tmp_path / "tags.txt"
        tags.write_text("KEYBOX-1\n")
        gateway.write_config(text)
        async with gateway, SimulatedStation("CP-9", gateway.url, options=QUICK) as station:
            await station.changes.until(lambda: station.is_accepted, 20)
            listed = [{"id_tag": "Listed", "id_tag_info": {"status": "Accepted", "parent_id_tag": "FLEET"}}]
            answer = await csms.call("CP-9", call.SendLocalList(4, "Full", listed))
            assert answer.status == "Accepted"

            where = ("--station", "CP-9", "--config", str(gateway.config_file))
            status, out, _ = await _cli("authorize", "LISTED", *where)
            assert status == 0
            assert "the CSMS is asked" in out
            assert "Accepted (local_list): it is on the local list, group FLEET" in out
            assert "version 4, this station's" in out
            status, out, _ = await _cli("authorize", "STRANGER", "--json", *where)
            assert status == 1
            found = json.loads(out)
            assert found["offline"]["start"]["reason"] == "unknown_refused"
            assert found["known"] == {
                "tags_file": False, "local_list": None, "cache": None, "charging": False, "remote_start_until": None,
                "reserved_until": None,
            }  # fmt: skip

            assert await _reason(gateway, "KEYBOX-1") == "tags_file"
            tags.write_text("KEYBOX-2\n")
            await _reload(gateway, until="read again")
            assert await _reason(gateway, "KEYBOX-1") == "unknown_refused"
            assert await _reason(gateway, "KEYBOX-2") == "tags_file"
            tags.write_text("KEYBOX-3 and more\n")
            await _reload(gateway, until="line 1 has a word beside")
            assert await _reason(gateway, "KEYBOX-2") == "tags_file"
            assert "KEYBOX" not in gateway.log()


async def _reason(gateway: GatewayProcess, token: str) -> str:
    transport = httpx.AsyncHTTPTransport(uds=str(gateway.socket_path))
    async with httpx.AsyncClient(transport=transport, timeout=10) as client:
        answer = await client.get("http://gateway/v1/authorize", params={"station": "CP-9", "token": token})
    reason: str = answer.json()["offline"]["start"]["reason"]
    return reason


async def _reload(gateway: GatewayProcess, until: str) -> None:
    """SIGHUP; returns when the log says so."""
    assert gateway.pid
    os.kill(gateway.pid, signal.SIGHUP)
    async with asyncio.timeout(20):
        while until not in gateway.log():
            await _reason(gateway, "nobody")


def _commands(group: click.Group, *before: str) -> Iterator[list[str]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield [*before, name]
        if isinstance(command, click.Group):
            yield from _commands(command, *before, name)


@pytest.mark.parametrize("command", list(_commands(main)), ids=" ".join)
def test_every_command_explains_itself(command: list[str]) -> None:
    told = CliRunner().invoke(main, [*command, "--help"])
    assert told.exit_code == 0
    assert len(told.output.splitlines()) > 5
