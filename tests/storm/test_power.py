"""Twenty power cuts of the gateway's store on the real disk in every run of the tests; `make storm` cuts gateways."""

import os
import random
import sqlite3
from pathlib import Path

import pytest

from tests.sim.disk import is_sound
from tests.storm import power

CUTS = 20
NEEDS_COMPILER = "no C compiler here: the power cuts on the real disk can't be tested (apt install gcc libc6-dev)"


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if power.compiler() is None:
        assert not os.environ.get("CI"), NEEDS_COMPILER
        pytest.skip(NEEDS_COMPILER)
    return power.build(tmp_path_factory.mktemp("shim"))


def _held(database: Path) -> set[int]:
    connection = sqlite3.connect(database)
    try:
        return {int(token) for (token,) in connection.execute("SELECT token FROM token")}
    finally:
        connection.close()


async def test_twenty_power_cuts_lose_no_commit(shim: Path, tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    source = random.Random(seed)
    database = tmp_path / "gateway.db"
    process = power.StoreProcess(database, shim)
    at_risk = 0
    for _ in range(CUTS):
        await process.live(source.randint(1, 40), source.uniform(0, 0.02))
        at_risk += power.cut(database, source) > 0
        assert is_sound(database), f"seed {seed}"
        assert process.acknowledged <= _held(database), f"seed {seed}"
    print(f"{len(process.acknowledged)} commits acknowledged, {at_risk} of {CUTS} cuts hit an unsynced write")
    assert len(process.acknowledged) >= CUTS


async def test_what_is_not_synced_is_lost(shim: Path, tmp_path: Path) -> None:
    """The same rig with synchronous=NORMAL, which acknowledges before it syncs: it has to be found out."""
    database = tmp_path / "gateway.db"
    process = power.StoreProcess(database, shim, "NORMAL")
    await process.live(40, 0.0)
    assert power.cut(database, random.Random(1)) > 0
    assert process.acknowledged - _held(database)
