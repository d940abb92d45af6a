"""The guards of conftest.py find what they are there for."""

import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).with_name("conftest.py")

OFFENDERS = """
import asyncio
import logging
import random
import threading

NEVER = threading.Event()


def test_log() -> None:
    try:
        logging.getLogger("gateway.room").debug("%d stations", "many")
    except TypeError:
        pass


async def test_task() -> None:
    asyncio.get_running_loop().create_task(asyncio.Event().wait())


def test_loop_of_its_own() -> None:
    async def main() -> None:
        asyncio.get_running_loop().create_task(asyncio.Event().wait())

    asyncio.run(main())


def test_thread() -> None:
    threading.Thread(target=NEVER.wait, name="stray", daemon=True).start()


async def test_clean(seed) -> None:
    ending = asyncio.get_running_loop().create_task(asyncio.to_thread(threading.get_ident))
    logging.getLogger("gateway.room").debug("%s stations, seed %d", "many", seed)
    assert not ending.done()
    assert random.random() == random.Random(seed).random()
"""


def test_guards_fail_the_test_that_leaves_something(tmp_path: Path) -> None:
    text = CONFTEST.read_text()
    impatient = text.replace("PATIENCE_S = 5.0", "PATIENCE_S = 0.2")
    assert impatient != text
    (tmp_path / "conftest.py").write_text(impatient)
    (tmp_path / "test_offenders.py").write_text(OFFENDERS)
    options = ["-o", "asyncio_mode=auto", "-p", "no:cacheprovider", "-rE", "--tb=no"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", str(tmp_path), str(tmp_path)],
        capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path, env={"SEED": "7"},
    )  # fmt: skip
    found = {line.split("::")[1].split(" ")[0] for line in done.stdout.splitlines() if line.startswith("ERROR ")}
    assert found == {"test_log", "test_task", "test_loop_of_its_own", "test_thread"}, done.stdout + done.stderr
    assert "5 passed, 4 errors" in done.stdout
    assert "seed: 7 (again with SEED=7)" in done.stdout
