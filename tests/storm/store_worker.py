"""Commits numbered records with the gateway's store, as fast as it goes, and prints each when it is on disk."""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from gateway.model.records import Put, TokenRecord
from gateway.store import database
from gateway.store.tables import read
from gateway.store.writer import Writer

WRITERS = 4


async def main(path: Path, synchronous: str) -> None:
    runner = await database.start(path)
    if synchronous != "FULL":
        await runner.run(lambda connection: connection.execute(f"PRAGMA synchronous = {synchronous}"))
    known = [record for record in await runner.run(read) if isinstance(record, TokenRecord)]
    writer = Writer(runner, lambda: database.reopen(path), lambda records, carried: None)
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.run())
        for number in range(WRITERS):
            group.create_task(_write(writer, len(known) + 1_000_000 * (number + 1)))


async def _write(writer: Writer, number: int) -> None:
    while True:
        number += 1
        at = datetime(2026, 3, 1, tzinfo=UTC)
        record = TokenRecord(str(number), "Accepted", None, None, at, at)
        await writer.append([Put(record)])
        os.write(1, b"%d\n" % number)


asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
