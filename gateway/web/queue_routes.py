"""Routes of the queue and the ledger. Lists end after `limit`, 0 = the most there can be: the site waits meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from gateway.errors import RefusedError, StoreError
from gateway.flows import operator
from gateway.model.ids import StationId
from gateway.site import Site
from gateway.web import queue_view
from gateway.web.queue_view import Chosen

_LINES_AT_ONCE = 50
_MOST = 10_000
_Limit = Annotated[int, Query(ge=0, le=_MOST)]


class Rows(BaseModel):
    """Numbers of messages."""

    rows: list[int] = Field(min_length=1)


class Which(BaseModel):
    """Numbers of messages, or all that are set aside: of a station, or of the site."""

    rows: list[int] = []
    station: str | None = None
    all: bool = False


class Dropping(Rows):
    """`confirm` has to be true: what is dropped never reaches the CSMS."""

    confirm: bool = False


def build(site: Site) -> APIRouter:
    """The routes over one site."""
    api = APIRouter(prefix="/v1")
    reading(api, site)
    changing(api, site)
    return api


def reading(api: APIRouter, site: Site) -> None:
    @api.get("/queue")
    async def queue(station: str | None = None, parked: bool = False, limit: _Limit = 100) -> dict[str, Any]:
        """Messages on their way to the CSMS and set aside, with the reason why they are not there yet."""
        _check(site, station)
        return queue_view.queue(site, Chosen(station, parked, limit or _MOST))

    @api.get("/queue/export")
    async def export(station: str | None = None, parked: bool = False) -> StreamingResponse:
        """Messages whole, a JSON object a line."""
        _check(site, station)

        def lines() -> Iterator[str]:
            for row in queue_view.export(site, Chosen(station, parked)):
                yield json.dumps(row) + "\n"

        return StreamingResponse(_in_loop(lines()), media_type="application/x-ndjson")

    @api.get("/queue/log")
    async def log(limit: _Limit = 100) -> list[dict[str, Any]]:
        """What was done to the queue and the database, newest first."""
        return queue_view.audit(site, limit or _MOST)

    @api.get("/queue/{row}")
    async def show(row: int) -> dict[str, Any]:
        """One message with its payload and its transaction."""
        found = queue_view.message(site, row)
        if found is None:
            raise HTTPException(404, f"there is no message {row} in the queue")
        return found

    @api.get("/transactions")
    async def transactions(
        station: str | None = None, running: bool = False, limit: _Limit = 100
    ) -> list[dict[str, Any]]:
        """Transactions of the last 30 days and those that run, newest first."""
        _check(site, station)
        return queue_view.transactions(site, Chosen(station, limit=limit or _MOST), running=running)

    @api.get("/unknown-outcomes")
    async def unknown_outcomes(station: str | None = None, limit: _Limit = 100) -> list[dict[str, Any]]:
        """Deliveries that were sent and never answered: the CSMS may hold them twice."""
        _check(site, station)
        return queue_view.unknown_outcomes(site, Chosen(station, limit=limit or _MOST))


def _check(site: Site, station: str | None) -> None:
    """An empty list would say of a mistyped station that all is well."""
    if station is not None and StationId(station) not in site.stations:
        raise HTTPException(404, f"no station {station} is known")


def changing(api: APIRouter, site: Site) -> None:
    @api.post("/queue/retry")
    async def retry(which: Which) -> dict[str, int]:
        """Send messages again without waiting: those named, or all that are set aside."""
        found = [operator.find(site, row) for row in which.rows]
        missing = [row for row, place in zip(which.rows, found, strict=True) if place is None]
        if missing:
            raise HTTPException(404, f"there is no message {missing[0]} in the queue")
        rows = [place[1] for place in found if place]
        for station in site.stations.values():
            if which.all or (which.station is not None and station.id == which.station):
                rows += station.parked.values()
        if not rows:
            raise HTTPException(404, "nothing is set aside there")
        try:
            return {"tried": len(rows), "set_aside": await operator.retry(site, rows)}
        except StoreError as error:
            raise HTTPException(503, f"the disk does not take it: {error}") from None

    @api.post("/queue/drop")
    async def drop(dropping: Dropping) -> dict[str, list[int]]:
        """Take messages out for good. They stay readable in the log of the queue."""
        if not dropping.confirm:
            raise HTTPException(409, "dropping has to be confirmed: the CSMS will never get these messages")
        try:
            rows = await operator.drop(site, dropping.rows)
        except RefusedError as error:
            raise HTTPException(409, str(error)) from None
        except StoreError as error:
            raise HTTPException(503, f"the disk does not take it: {error}") from None
        return {"dropped": [row.id for row in rows]}


async def _in_loop(lines: Iterator[str]) -> AsyncIterator[str]:
    """Runs in the site's own thread, and lets the site work in between."""
    for number, line in enumerate(lines):
        yield line
        if number % _LINES_AT_ONCE == 0:
            await asyncio.sleep(0)
