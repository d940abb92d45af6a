"""The one writer: all turns that wait are committed together, in order."""

import asyncio
import contextlib
import logging
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from msgspec import Struct

from gateway.errors import DamagedError, StoreError, StoreNotReady
from gateway.model.records import Change, Delivered, Put, Record
from gateway.model.space import Space
from gateway.store import database, tables
from gateway.store.database import Runner
from gateway.store.statements import Statement, commit, key_of, statements

log = logging.getLogger(__name__)

T = TypeVar("T")
Reopen = Callable[[], Awaitable[Runner]]
Settle = Callable[[StoreError | None], None]
"""Hears of a turn once: None when it is on disk, else why it failed."""
Salvage = Callable[[], Awaitable[None]]
"""Sets a damaged file aside and puts what could be saved in its place. Raises sqlite3.Error, OSError or StoreError."""
NOTE_DELAY_S = 1.0
MARKS = 256
"""So many deliveries are marked in one commit at the latest; a second after the first in any case."""
MEASURE_S = 0.5
PROBE_S = 5.0
_NOT_YET = (sqlite3.Error, OSError, StoreError, TimeoutError)
"""What may be over at the next attempt."""


class _Entry(Struct, frozen=True):
    """A turn, or a note (nobody waits for it)."""

    changes: Sequence[Change]
    statements: list[Statement]
    settle: Settle | None = None


class Writer:
    """Group commit without a fixed delay: a batch is what arrived while the last commit ran, in the order it came.

    `append` is for turns: its future resolves when the turn is on disk, or fails with StoreError. `note` is for what
    may ride along: it is committed with the next turn, at most a second later, and never fails.
    After a failed commit nothing is accepted until the file has been opened again and `on_reloaded` has rebuilt memory
    from it; notes not yet committed are then written again. A damaged file is given to `salvage` first.
    """

    def __init__(
        self,
        runner: Runner,
        reopen: Reopen,
        on_reloaded: Callable[[list[Record], list[Change]], None],
        salvage: Salvage | None = None,
        *,
        keeps_reserve: bool = False,
    ) -> None:
        self._runner = runner
        self._reopen = reopen
        self._on_reloaded = on_reloaded
        self._salvage = salvage
        self._keeps_reserve = keeps_reserve
        self._entries: list[_Entry] = []
        self._marks: list[Delivered] = []
        """Deliveries to be marked. They wait longer than other notes: many of them together cost little."""
        self._kept: dict[Any, Change] = {}
        """Notes while the store is bad: the latest of each record, so that they don't grow with time."""
        self._work: deque[tuple[Callable[[sqlite3.Connection], int], asyncio.Future[int]]] = deque()
        """To be done between two commits; a failure of it harms no turn."""
        self._failures = 0
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._is_late = False
        """The oldest mark has waited long enough."""
        self._measured_at: float | None = None
        self._closing = False
        self.ready = asyncio.Event()
        """Set while turns are accepted."""
        self.ready.set()
        self.commits = 0
        """Transactions committed since start."""
        self.rider: Callable[[], Sequence[Change]] = lambda: ()
        """Asked before each commit for what may ride along and is worth no commit of its own."""
        self.space: Space | None = None
        """Room at a commit, half a second ago at most while there are any."""
        self.busy_since: float | None = None
        """Since when (monotonic) the disk has been at one piece of work; None while it has none."""

    @property
    def is_ready(self) -> bool:
        return self.ready.is_set()

    def append(self, changes: Sequence[Change]) -> asyncio.Future[None]:
        """Queue one turn. Raises StoreNotReady at once while the store is bad, so that nothing is applied to memory."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.append_then(changes, partial(_settle, future))
        return future

    def append_then(self, changes: Sequence[Change], settle: Settle) -> None:
        """As `append`, for who has no task that could wait."""
        self.check()
        self._entries.append(_Entry(changes, statements(changes), settle))
        self._wake.set()

    def check(self) -> None:
        """Raises StoreNotReady while no turn can be accepted."""
        if not self.is_ready:
            raise StoreNotReady("the store is being recovered after a failed commit")

    def note(self, changes: Sequence[Change]) -> None:
        """Queue what may ride along with the next commit."""
        if not changes:
            return
        if self.is_ready:
            self._entries.append(_Entry(changes, statements(changes)))
            self._arm()
        else:
            self._keep(changes)

    def mark(self, change: Delivered) -> None:
        """As `note`, for what is said of every message."""
        if self.is_ready:
            self._marks.append(change)
            self._arm()
        else:
            self._keep([change])

    def mark_now(self) -> None:
        """The marks go with the next turn, for who forgets what an unmarked row would need."""
        self._is_late = bool(self._marks)

    def _keep(self, changes: Iterable[Change]) -> None:
        for change in changes:
            key = key_of(change)
            self._kept.pop(key, None)
            # Of a failed turn's row nothing is on disk.
            self._kept[key] = Put(change.outcome) if isinstance(change, Delivered) else change

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(NOTE_DELAY_S, self._expire)

    def _expire(self) -> None:
        self._timer, self._is_late = None, bool(self._marks)
        self._wake.set()

    async def forget_transactions(self, before: datetime) -> int:
        """Delete transactions that are over, delivered, and older; returns how many. Raises StoreError."""
        self.check()
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._work.append((lambda connection: tables.forget_transactions(connection, before), future))
        self._wake.set()
        return await future

    async def load(self) -> list[Record]:
        """Everything durable, in an order that can be applied. Call it before `run`. Raises StoreError."""
        try:
            return await self._read()
        except DamagedError as problem:
            if self._salvage is None:
                raise
            await self._save(problem)
            return await self._read()

    async def run(self) -> None:
        """Commit until `close`; the connection is closed in any case, for its thread would keep the process alive."""
        try:
            while not (self._closing and not self._entries and not self._marks):
                await self._wake.wait()
                self._wake.clear()
                await asyncio.sleep(0)  # what has come by now is read first: one commit for all of it
                if (self._entries or self._is_marking()) and not await self._commit():
                    log.error("stopping with a bad store: what was not acknowledged will be asked again")
                    break
                while self._work:
                    await self._maintain(*self._work.popleft())
        finally:
            for _, future in self._work:
                future.cancel()
            await self._runner.close()

    def close(self) -> None:
        """Commit what is there, then end `run`."""
        self._closing = True
        self._wake.set()

    async def _commit(self) -> bool:
        """Commit what is queued. False: the store is bad, and there is no time left to wait for a good one."""
        entries, self._entries = self._entries, []
        if riding := self.rider():
            entries.append(_Entry(riding, statements(riding)))
        if self._is_marking():
            marks, self._marks = self._marks, []
            entries.append(_Entry(marks, statements(marks)))
            self._stop_timer()
        made = [statement for entry in entries for statement in entry.statements]
        now = asyncio.get_running_loop().time()
        is_due = self._measured_at is None or now >= self._measured_at + MEASURE_S
        try:
            space = await self._run(lambda connection: _transact(connection, made, is_measured=is_due))
        except (sqlite3.Error, OSError) as error:
            return await self._recover(entries, error)
        if space:
            self.space, self._measured_at = space, now
        self._failures = 0
        self.commits += 1
        for entry in entries:
            if entry.settle:
                entry.settle(None)
        await self._keep_reserve()
        if self._closing:
            self._wake.set()
        return True

    def _is_marking(self) -> bool:
        return bool(self._marks) and (self._is_late or self._closing or len(self._marks) >= MARKS)

    def _stop_timer(self) -> None:
        self._is_late = False
        if self._timer:
            self._timer.cancel()
            self._timer = None

    async def _keep_reserve(self) -> None:
        """Begins and ends must find a place in the file also when the disk is full: make room while there is some."""
        space, reserve = self.space, database.RESERVE_BYTES
        if self._keeps_reserve and space and space.free < reserve // 4 and space.disk_free > 2 * reserve:
            with contextlib.suppress(sqlite3.Error, OSError):  # if it matters, the next commit fails by it
                await self._run(database.grow)
            self._measured_at = None

    async def _maintain(self, work: Callable[[sqlite3.Connection], int], future: asyncio.Future[int]) -> None:
        try:
            done = await self._run(work)
        except (sqlite3.Error, OSError) as error:
            if not future.done():
                future.set_exception(StoreError(str(error)))
        else:
            if not future.done():
                future.set_result(done)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self.busy_since = asyncio.get_running_loop().time()
        try:
            return await self._runner.run(work)
        finally:
            self.busy_since = None

    async def _read(self) -> list[Record]:
        return await self._run(tables.read)

    async def _recover(self, entries: list[_Entry], error: Exception) -> bool:
        """This group and every turn applied after it fail; then wait for a good store and rebuild memory from it."""
        log.error("commit failed, nothing of it was acknowledged: %s", error)
        self.ready.clear()
        entries += self._entries
        self._entries = []
        for entry in entries:
            if entry.settle:
                entry.settle(StoreError(f"commit failed: {error}"))
            else:
                self._keep(entry.changes)
        self._keep(self._marks)
        self._marks = []
        self._stop_timer()
        self._refuse_work(error)
        records = await self._reload(error)
        if records is None:
            return False
        carried = list(self._kept.values())
        self._kept.clear()
        self._on_reloaded(records, carried)
        self.ready.set()
        self.note(carried)
        log.warning("the store works again; memory was rebuilt from it")
        return True

    def _refuse_work(self, error: Exception) -> None:
        while self._work:
            _, future = self._work.popleft()
            if not future.done():
                future.set_exception(StoreError(f"the store is bad: {error}"))

    async def _reload(self, problem: Exception) -> list[Record] | None:
        """Open the file again and read it, probing until that works; None if `close` came first."""
        self._failures += 1
        while not self._closing:
            if self._failures > 1:
                await asyncio.sleep(PROBE_S)
            with contextlib.suppress(sqlite3.Error, OSError):
                await self._runner.close()
            try:
                if isinstance(problem, DamagedError):
                    await self._save(problem)
                else:
                    self._runner = await self._reopen()
                return await self._read()
            except _NOT_YET as found:
                log.error("the store is still bad, trying again in %.0f s: %s", PROBE_S, found)
                problem = found
                self._failures += 1
        return None

    async def _save(self, problem: Exception) -> None:
        """Save what can be read of a damaged file, and open what has taken its place."""
        with contextlib.suppress(sqlite3.Error, OSError):
            await self._runner.close()
        if self._salvage is None:
            raise StoreError(str(problem)) from problem
        await self._salvage()
        self._runner = await self._reopen()


def _settle(future: asyncio.Future[None], error: StoreError | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _transact(connection: sqlite3.Connection, made: Sequence[Statement], *, is_measured: bool) -> Space | None:
    commit(connection, made)
    if is_measured:
        with contextlib.suppress(sqlite3.Error, OSError):  # what is committed stays committed
            return database.measure(connection)
    return None


async def load(runner: Runner) -> list[Record]:
    """Everything durable, in an order that can be applied."""
    return await runner.run(tables.read)
