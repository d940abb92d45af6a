"""The gateway as a real process, for tests and storms: write its file, start, kill, restart, read its log."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from gateway.demo.gateway_process import free_port

REPOSITORY = Path(__file__).parent.parent
CONFIGURATION = """\
[site]
name = "t"
identity = "SITE"
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

[authorization]
offline = "allow-unknown"

[time]
trust_system_clock = true
"""


class GatewayError(Exception):
    """The gateway did not start, or ended by itself; the text holds the end of its log."""


class GatewayProcess:
    """One gateway with its own directory: `gateway.toml`, `state/`, `gateway.log`.

    Use as an async context manager (starts; stops at the end, with `kill` if need be), or call `start` and `stop`.
    State and port survive a restart. The directory's path must be short: it holds a Unix socket (limit 107 bytes).
    """

    def __init__(self, directory: Path, uplink_url: str, *, port: int | None = None, extra: str = "") -> None:
        """`uplink_url` is the CSMS endpoint without identity; `extra` is TOML appended to the configuration."""
        self.directory = directory
        self.port = free_port() if port is None else port
        self.config_file = directory / "gateway.toml"
        self.state_dir = directory / "state"
        self.log_file = directory / "gateway.log"
        self.environment: dict[str, str] = {}
        """More variables for the process."""
        self._process: asyncio.subprocess.Process | None = None
        self.write_config(CONFIGURATION.format(port=self.port, uplink_url=uplink_url) + extra)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.end()

    @property
    def url(self) -> str:
        """Where stations connect, without an identity."""
        return f"ws://127.0.0.1:{self.port}/ocpp"

    @property
    def socket_path(self) -> Path:
        """The Unix socket of the local API."""
        return self.state_dir / "gateway.sock"

    @property
    def pid(self) -> int | None:
        """The process, or None while the gateway is not running."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    def write_config(self, text: str) -> None:
        """Replace the configuration file; it counts from the next start, or from a reload."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.config_file.write_text(text)

    async def start(self, timeout_s: float = 120.0) -> None:
        """Start and wait until it is ready. Raises GatewayError if it ends or is not ready in time."""
        assert self.pid is None, "the gateway is running"
        self.socket_path.unlink(missing_ok=True)  # one left by kill -9 would pass for a ready gateway
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1", **self.environment}
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway", "run", "--config", str(self.config_file)),
                cwd=self.directory,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            await asyncio.wait_for(self._until_ready(), timeout_s)
        except TimeoutError as error:
            await self.kill()
            raise GatewayError(f"not ready within {timeout_s} s\n{self.log_tail()}") from error

    async def stop(self, timeout_s: float = 20.0) -> int:
        """Ask it to end (SIGTERM) and return its exit status. Raises GatewayError if it does not end in time."""
        assert self._process is not None, "never started"
        if self.pid is not None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self._process.wait(), timeout_s)
        except TimeoutError as error:
            await self.kill()
            raise GatewayError(f"did not end within {timeout_s} s of SIGTERM\n{self.log_tail()}") from error

    async def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        assert self._process is not None, "never started"
        if self.pid is not None:
            self._process.kill()
        await self._process.wait()

    async def restart(self, *, kill: bool = False, timeout_s: float = 120.0) -> None:
        """Stop (or `kill -9`) and start again, with the same state and port."""
        if kill:
            await self.kill()
        else:
            await self.stop()
        await self.start(timeout_s)

    async def end(self) -> None:
        """Make sure that it is gone: SIGTERM, then SIGKILL. Raises nothing."""
        if self.pid is None:
            return
        try:
            await self.stop()
        except GatewayError:
            return

    async def queued(self) -> int:
        """Messages on their way to the CSMS, from the local API."""
        rows: int = (await self.status())["queue"]["rows"]
        return rows

    async def status(self) -> dict[str, Any]:
        """What the local API says of the site."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.socket_path))
        async with httpx.AsyncClient(transport=transport, timeout=10) as client:
            found: dict[str, Any] = (await client.get("http://gateway/v1/status")).json()
        return found

    def log(self) -> str:
        """All that it wrote to stdout and stderr, over all its starts."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def log_tail(self, lines: int = 40) -> str:
        """The end of the log."""
        return "\n".join(self.log().splitlines()[-lines:])

    async def _until_ready(self) -> None:
        assert self._process is not None
        while not (self.socket_path.exists() and await self._accepts()):
            try:
                await asyncio.wait_for(self._process.wait(), 0.05)
            except TimeoutError:
                continue
            raise GatewayError(f"ended with status {self._process.returncode}\n{self.log_tail()}")

    async def _accepts(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True
