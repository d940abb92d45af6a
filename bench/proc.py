"""A proxy as a process: started on its core, and what the kernel counted for it."""

import asyncio
import os
import resource
import signal
import socket
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter_ns as time_ns

REPOSITORY = Path(__file__).parent.parent
_READY_S = 30.0
_COMMITS_AT = 8
"""Where the index of a WAL counts its write transactions (SQLite's walformat, `iChange`)."""


class ProxyError(Exception):
    """A proxy did not start, or ended by itself; the text holds the end of its log."""


def cpu_ns(pid: int) -> int:
    """CPU time of a process and its children so far, all threads, by the scheduler's own count."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
        total += sum(cpu_ns(int(child)) for child in (task / "children").read_text().split())
    return total


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def descriptors(pid: int) -> int:
    """How many files and sockets a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def allow_descriptors(count: int) -> None:
    """Let this process, and those it starts, have so many open. Raises ProxyError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= count:
        return
    if hard < count:
        raise ProxyError(f"{count} open files are needed, the limit is {hard}: raise it with ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def written_bytes(pid: int) -> int:
    """Bytes a process caused to be written to a disk."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes:"))


def wal_commits(folder: Path) -> int:
    """Write transactions so far in the databases below `folder`: one fsync each, with WAL and synchronous=FULL."""
    indexes = folder.rglob("*-shm")
    return sum(int.from_bytes(index.read_bytes()[_COMMITS_AT : _COMMITS_AT + 4], sys.byteorder) for index in indexes)


def fsync_ms(folder: Path) -> float:
    """What one commit of 4 KiB costs on this disk, the median of some: durable rows can't be faster."""
    with sqlite3.connect(folder / "probe.db", isolation_level=None) as probe:
        probe.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (x)")
        took = []
        for _ in range(20):
            begin = time_ns()
            probe.execute("INSERT INTO t VALUES (zeroblob(3000))")
            took.append(time_ns() - begin)
    probe.close()
    return sorted(took)[len(took) // 2] / 1e6


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Proxy:
    """A proxy under measurement. An async context manager: started and accepting at its begin, gone at its end."""

    def __init__(self, arguments: Sequence[str], port: int, folder: Path, core: int | None) -> None:
        """`arguments` for this Python; `core`: where all its threads run, None = anywhere."""
        self.folder = folder
        self._arguments = arguments
        self._port = port
        self._core = core
        self._log = folder / "log"
        self._process: asyncio.subprocess.Process

    async def __aenter__(self) -> "Proxy":
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, *self._arguments),
                cwd=REPOSITORY,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if self._core is not None:
            os.sched_setaffinity(self._process.pid, {self._core})
        try:
            async with asyncio.timeout(_READY_S):
                while not await self._accepts():
                    self.check()
                    await asyncio.sleep(0.02)
        except BaseException:
            await self.kill()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raises ProxyError if the process has ended."""
        if self._process.returncode is not None:
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])
            raise ProxyError(f"{self._arguments} ended with status {self._process.returncode}\n{tail}")

    async def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    async def _accepts(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True
