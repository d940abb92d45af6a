"""The gateway as the demo starts it: a process of its own, with a temporary directory."""

import asyncio
import contextlib
import socket
import sys
from pathlib import Path
from typing import Any, BinaryIO

import httpx

CONFIGURATION = """\
[site]
name = "Demo car park"
identity = "SITE-DEMO"
state_dir = "state"

[[downlink]]
listen = "127.0.0.1:{port}"
path = "/ocpp"
security_profile = 0
allow_insecure = true
unknown_stations = "accept"

[uplink]
url = "{uplink_url}"
security_profile = 0
retry_wait_min_s = 1
retry_random_range_s = 1
retry_repeat_times = 1

[authorization]
offline = "allow-unknown"

[time]
trust_system_clock = true
"""


class DemoError(Exception):
    """The demo can't go on; the text says why."""


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class GatewayProcess:
    """`start()` it, ask for its `status()`, `stop()` it. State, log and configuration are in `directory`."""

    def __init__(self, directory: Path, uplink_url: str) -> None:
        self.log_path = directory / "gateway.log"
        self.database = directory / "state" / "gateway.db"
        self.port = free_port()
        self._config = directory / "config.toml"
        self._config.write_text(CONFIGURATION.format(port=self.port, uplink_url=uplink_url))
        self._socket = directory / "state" / "gateway.sock"
        self._process: asyncio.subprocess.Process | None = None
        self._log: BinaryIO | None = None
        self._client: httpx.AsyncClient | None = None

    @property
    def url(self) -> str:
        """What stations connect to."""
        return f"ws://127.0.0.1:{self.port}/ocpp"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self, timeout_s: float = 30.0) -> None:
        """Start it and wait until its local API answers. Raises DemoError."""
        self._log = self.log_path.open("ab")
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "run", "--config", str(self._config)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            # Ctrl-C is for the demo, which then stops the gateway in order.
            start_new_session=True,
        )
        self._client = httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(self._socket)), timeout=5)
        try:
            async with asyncio.timeout(timeout_s):
                while await self.status() is None:
                    self.check()
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise DemoError(f"the gateway's local API did not answer within {timeout_s:.0f} s") from None

    def check(self) -> None:
        """Raises DemoError if it ended by itself."""
        if self._process is not None and self._process.returncode is not None:
            raise DemoError(f"the gateway ended by itself with exit status {self._process.returncode}")

    async def status(self) -> dict[str, Any] | None:
        """What GET /v1/status says, or None if it doesn't answer."""
        assert self._client is not None
        try:
            answer = await self._client.get("http://gateway/v1/status")
            answer.raise_for_status()
        except httpx.HTTPError:
            return None
        status: dict[str, Any] = answer.json()
        return status

    async def stop(self, timeout_s: float = 15.0) -> int | None:
        """SIGTERM, and SIGKILL if that is not enough. Returns its exit status (negative: the signal)."""
        process, self._process = self._process, None
        if self._client:
            await self._client.aclose()
            self._client = None
        try:
            if process is None:
                return None
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                return await asyncio.wait_for(process.wait(), timeout_s)
            except (TimeoutError, asyncio.CancelledError):
                process.kill()
                await process.wait()
                raise
        except TimeoutError:
            return -9
        finally:
            if self._log:
                self._log.close()
                self._log = None
