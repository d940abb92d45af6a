"""The one writer: all turns that wait are committed together, in order."""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from gateway.errors import StoreError, StoreNotReady
from gateway.model.records import Change, Delivered, Put, Record
from gateway.store import tables
from gateway.store.database import Runner

log = logging.getLogger(__name__)

Reopen = Callable[[], Awaitable[Runner]]
Settle = Callable[[StoreError | None], None]
"""Hears of a turn once: None when it is on disk, else why it failed."""
NOTE_DELAY_S = 1.0
PROBE_S = 5.0


@dataclass(frozen=True, slots=True)
class _Entry:
    """A turn, or a note (nobody waits for it)."""

    changes: Sequence[Change]
    statements: list[tables.Statement]
    settle: Settle | None = None


class Writer:
    """Group commit without a fixed delay: a batch is what arrived while the last commit ran, in the order it came.

    `append` is for turns: its future resolves when the turn is on disk, or fails with StoreError. `note` is for what
    may ride along: it is committed with the next turn, at most a second later, and never fails.
    After a failed commit nothing is accepted until the file has been opened again and `on_reloaded` has rebuilt memory
    from it; notes not yet committed are then written again.
    """

    def __init__(
        self, runner: Runner, reopen: Reopen, on_reloaded: Callable[[list[Record], list[Change]], None]
    ) -> None:
        self._runner = runner
        self._reopen = reopen
        self._on_reloaded = on_reloaded
        self._entries: list[_Entry] = []
        self._failures = 0
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self.ready = asyncio.Event()
        """Set while turns are accepted."""
        self.ready.set()
        self.commits = 0
        """Transactions committed since start."""

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
        self._entries.append(_Entry(changes, tables.statements(changes), settle))
        self._wake.set()

    def check(self) -> None:
        """Raises StoreNotReady while no turn can be accepted."""
        if not self.is_ready:
            raise StoreNotReady("the store is being recovered after a failed commit")

    def note(self, changes: Sequence[Change]) -> None:
        """Queue what may ride along with the next commit."""
        if not changes:
            return
        self._entries.append(_Entry(changes, tables.statements(changes)))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(NOTE_DELAY_S, self._wake.set)

    async def run(self) -> None:
        """Commit until `close`; the connection is closed in any case, for its thread would keep the process alive."""
        try:
            while not (self._closing and not self._entries):
                await self._wake.wait()
                self._wake.clear()
                if self._entries and not await self._commit():
                    log.error("stopping with a bad store: what was not acknowledged will be asked again")
                    break
        finally:
            await self._runner.close()

    def close(self) -> None:
        """Commit what is there, then end `run`."""
        self._closing = True
        self._wake.set()

    async def _commit(self) -> bool:
        """Commit what is queued. False: the store is bad, and there is no time left to wait for a good one."""
        entries, self._entries = self._entries, []
        if self._timer:
            self._timer.cancel()
            self._timer = None
        statements = [statement for entry in entries for statement in entry.statements]
        try:
            await self._runner.run(lambda connection: _transact(connection, statements))
        except (sqlite3.Error, OSError) as error:
            return await self._recover(entries, error)
        self._failures = 0
        self.commits += 1
        for entry in entries:
            if entry.settle:
                entry.settle(None)
        if self._closing:
            self._wake.set()
        return True

    async def _recover(self, entries: list[_Entry], error: Exception) -> bool:
        """This group and every turn applied after it fail; then wait for a good store and rebuild memory from it."""
        log.error("commit failed, nothing of it was acknowledged: %s", error)
        self.ready.clear()
        entries += self._entries
        self._entries = []
        for entry in entries:
            if entry.settle:
                entry.settle(StoreError(f"commit failed: {error}"))
        records = await self._reload()
        if records is None:
            return False
        noted = [change for entry in entries + self._entries if not entry.settle for change in entry.changes]
        # Of a failed turn's row nothing is on disk.
        carried: list[Change] = [Put(change.outcome) if isinstance(change, Delivered) else change for change in noted]
        self._entries = []
        self._on_reloaded(records, carried)
        self.ready.set()
        self.note(carried)
        log.warning("the store works again; memory was rebuilt from it")
        return True

    async def _reload(self) -> list[Record] | None:
        """Open the file again and read it, probing until that works; None if `close` came first."""
        self._failures += 1
        while not self._closing:
            if self._failures > 1:
                await asyncio.sleep(PROBE_S)
            with contextlib.suppress(sqlite3.Error, OSError):
                await self._runner.close()
            try:
                self._runner = await self._reopen()
                return await self._runner.run(tables.read)
            except (sqlite3.Error, OSError, StoreError, TimeoutError) as problem:
                log.error("the store is still bad, trying again in %.0f s: %s", PROBE_S, problem)
                self._failures += 1
        return None


def _settle(future: asyncio.Future[None], error: StoreError | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _transact(connection: sqlite3.Connection, statements: Sequence[tables.Statement]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for sql, parameters in tables.batches(statements):
            connection.execute(sql, parameters)
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


async def load(runner: Runner) -> list[Record]:
    """Everything durable, in an order that can be applied."""
    return await runner.run(tables.read)
