"""A disk that is really full: a small file system of the test's own, in a namespace where the test may mount one."""

import asyncio
import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.model.records import Counter, Put
from gateway.store import database
from gateway.store.writer import Writer

_SCRIPT = """
import asyncio, json, os, sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from gateway.core.space import Level, level
from gateway.errors import StoreError
from gateway.model.ids import MessageId, RowId, StationId
from gateway.model.records import OutboxRow, Put
from gateway.model.space import StorageLimits
from gateway.store import database, salvage
from gateway.store.writer import Writer

folder, found, number = Path(sys.argv[1]), {}, 0


def row():
    global number
    number += 1
    return OutboxRow(RowId(number), StationId("CP"), "1.6", MessageId(f"m{number}"), "StopTransaction",
                     os.urandom(300), f"f{number}", datetime(2026, 3, 1, tzinfo=UTC))


async def write(writer, count):
    done = 0
    try:
        for _ in range(count):
            await writer.append([Put(row()) for _ in range(20)])
            done += 20
    except StoreError as error:
        return done, str(error)
    return done, None


def fill():
    with (folder / "fill").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1024))
        except OSError:
            return


async def serve(scene):
    path = folder / "gateway.db"
    writer = Writer(await salvage.start(path), partial(database.reopen, path), lambda *_: None, keeps_reserve=True)
    found.setdefault("rows", []).append(len(await writer.load()))
    running = asyncio.create_task(writer.run())
    await scene(writer)
    writer.close()
    await running


async def first(writer):
    found["before"] = await write(writer, 10)
    fill()
    found["kept"], found["problem"] = await write(writer, 10_000)
    found["disk_free"] = writer.space.disk_free
    found["level"] = level(writer.space, 0, StorageLimits()).name


async def second(writer):
    await write(writer, 1)
    (folder / "fill").unlink()
    await writer.ready.wait()
    found["after"] = await write(writer, 500)


asyncio.run(serve(first))
asyncio.run(serve(second))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script saw on a file system of 16 MB."""
    folder = tmp_path_factory.mktemp("small")
    script = folder.parent / "script.py"
    _write(script)
    inside = f'mount -t tmpfs -o size=16m tmpfs "{folder}" && exec "{sys.executable}" "{script}" "{folder}"'
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-Urm", "true"], check=False).returncode:
        pytest.skip("NOT CHECKED: this machine lets nobody mount a file system of his own")
    done = subprocess.run(["unshare", "-Urm", "sh", "-c", inside], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _write(script: Path) -> None:
    script.write_text(_SCRIPT)


def test_begins_and_ends_of_days_find_a_place_on_a_full_disk(found: dict[str, Any]) -> None:
    assert found["before"] == [200, None]
    assert found["kept"] > 5000
    assert found["disk_free"] == 0
    assert found["level"] == "FULL"


def test_at_the_very_end_the_store_says_so_and_nothing_of_what_it_took_is_lost(found: dict[str, Any]) -> None:
    assert "full" in found["problem"]
    assert found["rows"] == [0, 200 + found["kept"]]


def test_a_restart_on_a_full_disk_works_and_room_is_used_when_it_comes(found: dict[str, Any]) -> None:
    assert found["after"] == [10_000, None]


async def test_room_is_kept_free_in_the_file_while_the_disk_has_some(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    writer = Writer(await database.start(path), partial(database.reopen, path), lambda *_: None, keeps_reserve=True)
    running = asyncio.create_task(writer.run())
    for number in range(4):
        await writer.append([Put(Counter(f"{number} {'x' * 1_000_000}", number))])
        await writer.append([])
        assert writer.space
        assert writer.space.free >= database.RESERVE_BYTES // 2
    writer.close()
    await running
