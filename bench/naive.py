"""The gateway one would write first: `python -m bench.naive PORT CSMS_PORT DATABASE`.

The `ocpp` package on both legs, and every message committed to SQLite (through aiosqlite) before it goes up.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import aiosqlite
from ocpp import routing
from ocpp.v16 import ChargePoint, call
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bench.baselines import HOST, OCPP16

Handler = TypeVar("Handler", bound=Callable[..., Any])
on: Callable[[str], Callable[[Handler], Handler]] = routing.on  # the package has no types


class Upstream(ChargePoint):  # type: ignore[misc]  # the package has no types
    """The leg to the CSMS."""


class Downstream(ChargePoint):  # type: ignore[misc]  # the package has no types
    """The leg to the station: each handler stores, asks the CSMS, and hands its answer back."""

    def __init__(
        self, name: str, connection: ServerConnection, upstream: Upstream, store: aiosqlite.Connection
    ) -> None:
        super().__init__(name, connection)
        self._upstream = upstream
        self._store = store

    @on("BootNotification")
    async def boot(self, **payload: Any) -> Any:
        return await self._forward(call.BootNotification(**payload), payload)

    @on("StartTransaction")
    async def start_transaction(self, **payload: Any) -> Any:
        return await self._forward(call.StartTransaction(**payload), payload)

    @on("MeterValues")
    async def meter_values(self, **payload: Any) -> Any:
        return await self._forward(call.MeterValues(**payload), payload)

    @on("StatusNotification")
    async def status(self, **payload: Any) -> Any:
        return await self._forward(call.StatusNotification(**payload), payload)

    async def _forward(self, message: Any, payload: dict[str, Any]) -> Any:
        await self._store.execute(
            "INSERT INTO message (station, payload) VALUES (?, ?)", (self.id, json.dumps(payload))
        )
        await self._store.commit()
        return await self._upstream.call(message)


async def run(port: int, csms_port: int, database: str) -> None:
    store = await aiosqlite.connect(database)
    await store.execute("PRAGMA journal_mode = WAL")
    await store.execute("PRAGMA synchronous = FULL")
    await store.execute("CREATE TABLE IF NOT EXISTS message (id INTEGER PRIMARY KEY, station TEXT, payload TEXT)")
    await store.commit()

    async def handle(station: ServerConnection) -> None:
        assert station.request is not None
        path = station.request.path
        async with connect(
            f"ws://{HOST}:{csms_port}{path}", subprotocols=[OCPP16], compression=None, proxy=None
        ) as csms:
            name = path.rpartition("/")[2]
            upstream = Upstream(name, csms)
            up = asyncio.create_task(upstream.start())
            down = asyncio.create_task(Downstream(name, station, upstream, store).start())
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.gather(station.close(), csms.close())
            for ended in await asyncio.gather(up, down, return_exceptions=True):
                if not isinstance(ended, ConnectionClosed):
                    raise RuntimeError("a leg ended by itself") from ended

    async with serve(handle, HOST, port, subprotocols=[OCPP16], compression=None, backlog=1024) as server:
        await server.serve_forever()


def main() -> None:
    logging.disable(logging.INFO)
    asyncio.run(run(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))


if __name__ == "__main__":
    main()
