"""A gateway that on SIGUSR1 writes what it holds: `python -m tests.bad_input.counted CONFIG FILE`; and its process."""

import asyncio
import ctypes
import gc
import json
import os
import platform
import signal
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench import proc
from gateway import app, config, log
from gateway.config import Config
from tests.bad_input.pace import pause
from tests.bad_input.rig import tune
from tests.gateway_process import REPOSITORY, GatewayError, GatewayProcess

LIMIT_S = 30.0


@dataclass
class Held:
    """What the gateway holds. `rss_kib`: as the system sees it; `live_kib`: what of it remains once its garbage is gone
    and the C library has given back what is free. `rows`: in its database, by table: booked state, which may grow."""

    rss_kib: int
    live_kib: int
    descriptors: int
    tasks: int
    objects: int
    rows: dict[str, int]


class CountedGateway(GatewayProcess):
    """A gateway that can be asked what it holds."""

    @classmethod
    def at(cls, directory: Path, uplink_url: str) -> Self:
        """One that reconnects at once, and closes the link of a station that is gone."""
        gateway = cls(directory, uplink_url)
        tune(gateway, "", grace_s=0)
        return gateway

    async def start(self, timeout_s: float = LIMIT_S) -> None:
        assert self.pid is None, "the gateway is running"
        self.socket_path.unlink(missing_ok=True)
        with self.log_file.open("ab") as log_file:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.bad_input.counted", str(self.config_file), str(self._answer)),
                cwd=self.directory,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
            )
        try:
            await asyncio.wait_for(self._until_ready(), timeout_s)
        except TimeoutError as error:
            await self.kill()
            raise GatewayError(f"not ready within {timeout_s} s\n{self.log_tail()}") from error

    @property
    def _answer(self) -> Path:
        return self.directory / "held.json"

    async def held(self) -> Held:
        """What it holds once its garbage is gone. Raises GatewayError or TimeoutError."""
        assert self._process is not None
        rss = self._rss_kib()
        self._answer.unlink(missing_ok=True)
        self._process.send_signal(signal.SIGUSR1)
        async with asyncio.timeout(LIMIT_S):
            while not self._answer.exists():
                await pause(0.02)
                if self.pid is None:
                    raise GatewayError(f"it is gone\n{self.log_tail()}")
        found = json.loads(self._answer.read_text())
        return Held(rss, self._rss_kib(), self.descriptors(), rows=self._rows(), **found)

    def _rss_kib(self) -> int:
        assert self._process is not None
        return proc.rss_bytes(self._process.pid) // 1024

    def descriptors(self) -> int:
        assert self._process is not None
        return proc.descriptors(self._process.pid)

    def _rows(self) -> dict[str, int]:
        connection = sqlite3.connect(f"file:{self.state_dir / 'gateway.db'}?mode=ro", uri=True)
        try:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}
        finally:
            connection.close()


def write(file: Path) -> None:
    """Tasks and objects, once what is garbage is gone."""
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
    new = file.with_suffix(".new")
    new.write_text(json.dumps({"tasks": len(asyncio.all_tasks()), "objects": len(gc.get_objects())}))
    new.replace(file)


async def run(loaded: Config, file: Path) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, write, file)
    await app.run(loaded)


def main() -> None:
    loaded = config.load(Path(sys.argv[1]))
    log.setup(loaded.log.level, loaded.log.format)
    asyncio.run(run(loaded, Path(sys.argv[2])))


if __name__ == "__main__":
    main()
