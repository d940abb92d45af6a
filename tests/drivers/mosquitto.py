"""A real broker in a process of its own, which can be stopped, restarted and frozen."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiomqtt
import pytest

from gateway.demo.gateway_process import free_port
from tests.drivers.push_rig import until

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"


@dataclass
class Mosquitto:
    folder: Path
    lines: list[str] = field(default_factory=lambda: ["allow_anonymous true"])
    """Of its configuration, after the listener's."""
    port: int = 0
    _process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self.port = self.port or free_port()
        lines = [
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {self.folder}/",
            "user root" if os.geteuid() == 0 else "",
            *self.lines,
        ]
        self._launch("\n".join(lines))
        await until(self._is_listening)

    def _launch(self, configuration: str) -> None:
        config = self.folder / "mosquitto.conf"
        config.write_text(configuration)
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([binary(), "-c", str(config)], stdout=log, stderr=log)

    def _is_listening(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "mosquitto.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def stop(self) -> None:
        if self._process is not None:
            self.thaw()
            self._process.terminate()
            await asyncio.to_thread(self._process.wait, 10)
            self._process = None

    def goodbyes(self) -> int:
        """How many clients said that they go, by its log."""
        return len(re.findall(r"Client auto-\S+ disconnected\.", (self.folder / "mosquitto.log").read_text()))

    @contextlib.asynccontextmanager
    async def meter(self) -> AsyncIterator[aiomqtt.Client]:
        """A connection to publish with."""
        async with aiomqtt.Client("127.0.0.1", self.port) as client:
            yield client


def binary() -> str:
    """Path of the program. Without it a test is skipped, and fails where CI=true."""
    found = shutil.which("mosquitto", path=_PATH)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("mosquitto is missing: .ci/run installs it")
        pytest.skip("NOT TESTED against a real broker: install mosquitto (apt-get install mosquitto)")
    return found
