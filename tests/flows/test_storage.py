"""An outage longer than there is room for, on virtual time: what gives way, in which order, and what never does."""

import asyncio
import json
import random
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gateway.core.space import Level
from gateway.demo.history import Acknowledged, Arrival, Created
from gateway.flows import storage
from gateway.model.ids import StationId
from gateway.model.reasons import AlarmKind, AuditKind
from gateway.model.space import StorageLimits
from gateway.site import Site
from gateway.store import database
from gateway.store.writer import PROBE_S
from tests.sim import loop
from tests.sim.disk import SimRunner
from tests.sim.station import SimStation
from tests.sim.world import World

T = TypeVar("T")
Scene = Callable[[World], Awaitable[None]]


def play(tmp_path: Path, rows: int, scene: Scene, kind: type[World] = World) -> World:
    """A scene with room for so many messages."""

    async def main() -> World:
        world = kind(tmp_path, seed=3)
        world.options = replace(world.options, limits=StorageLimits(queue_rows=rows), messages_per_s=0)
        await world.start()
        async with asyncio.timeout(86_400):
            await scene(world)
            await world.stop()
        return world

    return loop.run(main(), debug=False)


def site_of(world: World) -> Site:
    assert world.assembly
    return world.assembly.site


async def in_an_outage(world: World, versions: list[str], sessions: int, values: int) -> list[SimStation]:
    """Stations with sessions during an outage, until all of it is acknowledged."""
    stations = [world.add(f"CP-{number}", version) for number, version in enumerate(versions)]
    for station in stations:
        await station.ready()
    await asyncio.sleep(1)
    world.csms.cut()

    async def live(station: SimStation) -> None:
        for number in range(sessions):
            await station.session(f"TAG-{number}", values, 10)
        await station.drained()

    await asyncio.gather(*map(live, stations))
    return stations


Said = tuple[str, str, str]
"""Station, kind and time of a transaction message."""


def told(world: World) -> dict[Said, str]:
    """Every message that a station was acknowledged, with its transaction."""
    found = {}
    for station in world.stations.values():
        done = {record.number for record in station.history.records if isinstance(record, Acknowledged)}
        for record in station.history.records:
            if isinstance(record, Created) and record.number in done:
                said = (record.station, record.kind, moment(json.loads(record.payload)))
                assert said not in found
                found[said] = record.transaction
    return found


def moment(payload: dict[str, Any]) -> str:
    return str(payload.get("timestamp") or payload["meterValue"][0]["timestamp"])


KINDS = {"StartTransaction": "Started", "MeterValues": "Updated", "StopTransaction": "Ended"}


def arrived(world: World) -> Counter[Said]:
    """How often each transaction message came to the CSMS."""
    found = Counter[Said]()
    for record in world.csms.history.records:
        if isinstance(record, Arrival):
            payload = json.loads(record.payload)
            found[record.station, payload.get("eventType") or KINDS[record.action], moment(payload)] += 1
    return found


def test_only_meter_values_give_way_first_and_last_stay_and_the_rest_is_accounted_for(tmp_path: Path) -> None:
    levels: set[Level] = set()
    queued: list[int] = []

    async def scene(world: World) -> None:
        async def watch() -> None:
            while True:
                levels.add(site_of(world).level())
                queued.append(sum(len(station.queue) for station in site_of(world).stations.values()))
                await asyncio.sleep(1)

        watching = asyncio.create_task(watch())
        await in_an_outage(world, ["1.6", "2.0.1"], sessions=4, values=60)
        assert max(queued) <= 210
        before = {one.kind for one in site_of(world).upkeep.audit}
        assert before == {AuditKind.THINNED}
        world.csms.mend()
        await world.drained()
        await asyncio.sleep(2 * storage.INTERVAL_S)
        assert site_of(world).upkeep.alarms == {}
        watching.cancel()

    world = play(tmp_path, 200, scene)
    assert levels == {Level.OK, Level.LOW, Level.THIN}
    _judge(world)


def test_at_the_limit_new_values_are_not_kept_and_sessions_begin_and_end_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that others have filled: there is no room for anything, and thinning does not help."""
    alarms: set[AlarmKind] = set()

    async def scene(world: World) -> None:
        world.add("CP-9", "1.6")
        await world.stations["CP-9"].ready()
        with monkeypatch.context() as patched:
            patched.setattr(database, "_disk_free", lambda folder: 0)
            await in_an_outage(world, ["1.6", "2.0.1"], sessions=5, values=20)
            alarms.update(site_of(world).upkeep.alarms)
        world.csms.mend()
        await world.stations["CP-9"].session("TAG-9", 1, 5)  # the next commit sees that there is room again
        await world.drained()
        await asyncio.sleep(2 * storage.INTERVAL_S)
        kinds = Counter(one.kind for one in site_of(world).upkeep.audit)
        assert kinds[AuditKind.NOT_KEPT] >= 1
        assert site_of(world).upkeep.alarms == {}

    world = play(tmp_path, 100_000, scene)
    assert alarms == {AlarmKind.STORAGE_FULL}
    _judge(world)


def test_begins_and_ends_are_kept_beyond_the_budget(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await in_an_outage(world, ["1.6"], sessions=60, values=1)
        assert len(site_of(world).station(StationId("CP-0")).queue) > 110
        world.csms.mend()
        await world.drained()

    world = play(tmp_path, 100, scene)
    kinds = Counter(kind for _, kind, _ in told(world))
    assert (kinds["Started"], kinds["Ended"]) == (60, 60)
    _judge(world)


def _judge(world: World) -> None:
    """Begins and ends arrived once, in order; a value that did not arrive is counted in the ledger or the audit."""
    assert world.csms.violations == []
    at_csms = arrived(world)
    samples: dict[tuple[str, str], list[bool]] = {}
    for said, transaction in told(world).items():
        station, kind, _ = said
        assert at_csms[said] <= 1, f"{said} came twice"
        if kind == "Updated":
            samples.setdefault((station, transaction), []).append(at_csms[said] == 1)
        else:
            assert at_csms[said] == 1, f"{said} is lost"
    missing = sum(came.count(False) for came in samples.values())
    with closing(database.open_connection(world.path)) as connection:
        thinned = connection.execute('SELECT coalesce(sum(thinned), 0) FROM "transaction"').fetchone()[0]
        texts = [text for (text,) in connection.execute("SELECT text FROM audit WHERE kind = 'not-kept'")]
    not_kept = sum(int(text.split()[0]) for text in texts)
    assert missing == thinned + not_kept
    if not not_kept:
        assert all(came[0] and came[-1] for came in samples.values())
    report = world.verdict()
    assert (report.duplicated, report.out_of_order) == (0, 0)
    assert report.lost == missing


# -- the disk is bad ------------------------------------------------------------------------------------------------


class _BadDisk(World):
    """A disk that reads and does not write, until it is mended."""

    is_read_only = False

    def spoil(self) -> None:
        self.is_read_only = True
        self.runner._connection.execute(
            "PRAGMA query_only = ON"
        )  # what SQLite says then is what it says on such a disk

    async def _reopen(self) -> SimRunner:
        runner = await super()._reopen()
        if self.is_read_only:
            runner._connection.execute("PRAGMA query_only = ON")
            await runner.run(lambda connection: connection.execute("DELETE FROM counter WHERE 0"))
        return runner


def test_a_disk_that_turns_read_only_is_an_alarm_within_ten_seconds_and_is_over_by_itself(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        assert isinstance(world, _BadDisk)
        station = world.add("CP-0", "1.6")
        await station.ready()
        await asyncio.sleep(1)
        world.spoil()
        session = asyncio.create_task(station.session("TAG", 2, 60))
        await asyncio.sleep(storage.INTERVAL_S + 0.5)
        assert set(site_of(world).upkeep.alarms) == {AlarmKind.STORE_BAD}
        assert not site_of(world).writer.is_ready
        world.is_read_only = False
        await asyncio.sleep(PROBE_S + storage.INTERVAL_S)
        assert site_of(world).upkeep.alarms == {}
        await session
        await world.drained()

    report = play(tmp_path, 1000, scene, _BadDisk).verdict()
    assert report.findings == []
    assert report.messages == report.acknowledged == 4


class _FailingSync(SimRunner):
    """The worst answer of a disk: an error, and the rows are there. `at`: of which writing piece of work."""

    at = 0
    seen = 0

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        before = self._connection.total_changes
        done = await super().run(work)
        if self._connection.total_changes > before:
            type(self).seen += 1
            if self.seen == self.at:
                raise sqlite3.OperationalError("disk I/O error: fsync (scripted)")
        return done


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
def test_a_sync_that_fails_after_it_wrote_loses_nothing_and_doubles_nothing(
    tmp_path: Path, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every commit of two sessions, one of them in an outage."""

    async def scene(world: World) -> None:
        station = world.add("CP-0", version)
        await station.ready()
        world.csms.cut()
        await station.session("TAG", 1, 20)
        await station.drained()
        world.csms.mend()
        await station.session("TAG", 1, 20)
        await world.drained()

    monkeypatch.setattr("tests.sim.world.SimRunner", _FailingSync)
    _FailingSync.at = 0
    while _FailingSync.seen >= _FailingSync.at:
        _FailingSync.at, _FailingSync.seen = _FailingSync.at + 1, 0
        folder = tmp_path / str(_FailingSync.at)
        folder.mkdir()
        report = play(folder, 1000, scene).verdict()
        assert report.findings == [], f"commit {_FailingSync.at}"
        assert report.is_clean
    assert _FailingSync.at > 8


# -- what thinning gives --------------------------------------------------------------------------------------------


def test_thinned_again_and_again_a_queue_gives_its_room_back(tmp_path: Path) -> None:
    """SQLite gives a page back when two thirds of it are empty: after the second round most have."""
    source, used = random.Random(1), []
    with closing(database.open_connection(tmp_path / "gateway.db")) as connection:
        database.migrate(connection)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO outbox VALUES (?, 'CP', '1.6', 'm', 'MeterValues', ?, 'f', 't', 'Updated', 1, 'T',"
            " 'queued', 1, 7, 0, NULL, 1, NULL, NULL)",
            [(number, source.randbytes(160)) for number in range(4000)],
        )
        connection.execute("COMMIT")
        for step in (1, 2, 4, 8):
            used.append(database.measure(connection).used)
            connection.execute("DELETE FROM outbox WHERE id % ? = ?", (2 * step, step))
    assert used[0] > 900_000
    assert used[2] < 0.75 * used[0]
    assert used[3] < 0.4 * used[0]
