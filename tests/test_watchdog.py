"""systemd's notify protocol: ready, signs of life while nothing is stuck, stopping."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from gateway import app
from gateway.site import Site
from gateway.watchdog import ServiceManager
from tests.gateway_process import GatewayProcess


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.setblocking(False)
        yield notify


async def _said(notify: socket.socket) -> str:
    return (await asyncio.wait_for(asyncio.get_running_loop().sock_recv(notify, 100), 20)).decode()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, None),
        ({"NOTIFY_SOCKET": "/n"}, None),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "3000000"}, 3.0),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "77"}, 3.0),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "78"}, None),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "soon"}, None),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "0"}, None),
    ],
)
def test_it_is_fed_only_where_somebody_waits_for_it(environment: dict[str, str], seconds: float | None) -> None:
    assert ServiceManager(environment, pid=77).watchdog_s == seconds


def test_a_service_manager_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    for address in ("", str(tmp_path / "nobody"), "@nobody-listens-here"):
        ServiceManager({"NOTIFY_SOCKET": address}).say("READY=1")


async def test_it_is_not_fed_while_something_is_stuck(listening: socket.socket) -> None:
    problem: str | None = None
    manager = ServiceManager({"NOTIFY_SOCKET": listening.getsockname(), "WATCHDOG_USEC": "30000"})
    feeding = asyncio.create_task(manager.feed(lambda: problem))
    assert [await _said(listening) for _ in range(3)] == ["WATCHDOG=1"] * 3
    problem = "the disk is stuck"
    with contextlib.suppress(BlockingIOError):
        while True:
            listening.recv(100)  # what was said before
    asked = asyncio.create_task(_said(listening))
    done, _ = await asyncio.wait({asked}, timeout=0.2)
    assert not done
    problem = None
    assert await asked == "WATCHDOG=1"
    feeding.cancel()
    await asyncio.gather(feeding, return_exceptions=True)


@pytest.mark.parametrize(("busy_since", "is_stuck"), [(None, False), (100.0, False), (69.0, True)])
def test_a_disk_that_does_not_come_back_is_stuck(busy_since: float | None, is_stuck: bool) -> None:
    clock = SimpleNamespace(monotonic=lambda: 100.0)
    site = cast("Site", SimpleNamespace(writer=SimpleNamespace(busy_since=busy_since), clock=clock))
    manager = ServiceManager({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "30000000"})
    assert (app._stuck(site, manager) is not None) is is_stuck
    assert app._stuck(site, ServiceManager({})) is None


async def test_a_gateway_says_when_it_is_ready_that_it_lives_and_that_it_stops(
    tmp_path: Path, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(listening.getsockname()))
    monkeypatch.setenv("WATCHDOG_USEC", "600000")
    gateway = GatewayProcess(tmp_path, "ws://127.0.0.1:9/ocpp")
    async with gateway:
        assert sorted([await _said(listening) for _ in range(3)]) == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]
        assert await gateway.stop() == 0
        while (said := await _said(listening)) == "WATCHDOG=1":
            pass
        assert said == "STOPPING=1"
