"""Power cuts on the real disk: kill -9, and then everything undone that no fsync had followed.

`cut.c`, loaded into the gateway's process, keeps the bytes each write to the database file and its WAL replaces until
that file is synced. From them the synced state is made again, and what was written since is torn over it: lost, cut
short, zeroed from some byte on, or some sectors of each (`tests.sim.disk.tear`).

What this proves: what was acknowledged had been synced, by calls that SQLite really made, on the file system at hand.
What not: that the file system and the card keep what they were told to sync; the loss of directory entries; a power
cut inside an fsync (it counts as done or not done).
"""

import asyncio
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path

from tests.gateway_process import REPOSITORY
from tests.sim.disk import tear, wal_of

_SOURCE = Path(__file__).with_name("cut.c")
_HEAD = struct.Struct("=qqq")


def compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc")


def build(folder: Path) -> Path:
    """Compile the shim. Raises CalledProcessError."""
    library = folder / "cut.so"
    found = compiler()
    assert found, "no C compiler"
    subprocess.run([found, "-O1", "-shared", "-fPIC", "-o", library, _SOURCE, "-ldl"], check=True)
    return library


def environment(library: Path, database: Path) -> dict[str, str]:
    """What the watched process is started with."""
    return {"LD_PRELOAD": str(library), "CUT_FILE": str(database.absolute())}


def cut(database: Path, source: random.Random) -> int:
    """Take from the disk what was not synced; the process is dead. How many writes were at risk."""
    assert wal_of(database).with_name(wal_of(database).name + ".undo").exists(), "the shim saw no write"
    at_risk = 0
    for path in (database, wal_of(database)):
        undo = path.with_name(path.name + ".undo")
        if undo.exists() and path.exists():
            written = path.read_bytes()
            synced, writes = _undone(written, undo.read_bytes())
            if writes:
                path.write_bytes(tear(source, synced, written))
                at_risk += writes
        undo.unlink(missing_ok=True)
    database.with_name(database.name + "-shm").unlink(missing_ok=True)
    return at_risk


def _undone(written: bytes, undo: bytes) -> tuple[bytes, int]:
    """The file as it was at its last sync, and how many writes came after that."""
    writes: list[tuple[int, bytes, int]] = []
    at = 0
    while at + _HEAD.size <= len(undo):
        offset, length, size = _HEAD.unpack_from(undo, at)
        at += _HEAD.size + length
        writes.append((offset, undo[at - length : at], size))
    content = bytearray(written)
    for offset, replaced, size in reversed(writes):
        del content[size:]
        content.extend(bytes(size - len(content)))
        content[offset : offset + len(replaced)] = replaced
    return bytes(content), len(writes)


class StoreProcess:
    """A process that only commits, with the gateway's own store, and prints each number it has acknowledged."""

    def __init__(self, database: Path, library: Path, synchronous: str = "FULL") -> None:
        self._database = database
        self._arguments = (sys.executable, "-m", "tests.storm.store_worker", str(database), synchronous)
        self._environment = {**os.environ, **environment(library, database), "PYTHONPATH": str(REPOSITORY)}
        self.acknowledged: set[int] = set()

    async def live(self, count: int, more_s: float) -> None:
        """Run it until it has acknowledged so many and a moment more; then kill it."""
        process = await asyncio.create_subprocess_exec(
            *self._arguments, env=self._environment, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout
        try:
            async with asyncio.timeout(60):
                for _ in range(count):
                    self.acknowledged.add(int(await process.stdout.readline()))
            await asyncio.sleep(more_s)
        finally:
            process.send_signal(signal.SIGKILL)
            rest = await process.stdout.read()
            await process.wait()
        self.acknowledged.update(int(line) for line in rest.split(b"\n")[:-1])
