"""Routes of the local API. Whoever can open the socket file may use them all; the page will have its own access."""

from collections.abc import Awaitable
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

import gateway
from gateway.errors import RefusedError
from gateway.flows import numbers
from gateway.model.ids import MeterId, StationId
from gateway.model.records import Approval
from gateway.model.token import IdToken
from gateway.site import Site
from gateway.web import balance_routes, meter_snapshot, queue_routes, snapshot
from gateway.web.explain import explain


def build(site: Site) -> FastAPI:
    """The API over one site."""
    api = FastAPI(title="OCPP site gateway", version=gateway.__version__, docs_url=None, redoc_url=None)

    api.add_exception_handler(RequestValidationError, _not_understood)
    api.include_router(queue_routes.build(site))
    api.include_router(balance_routes.build(site))

    @api.get("/v1/status")
    async def status() -> dict[str, Any]:
        """Stations, links, queue and store."""
        return snapshot.status(site)

    @api.get("/v1/stations/pending")
    async def pending() -> list[dict[str, Any]]:
        """Unknown stations that wait for approval."""
        return snapshot.pending(site)

    @api.post("/v1/stations/{station_id}/approve")
    async def approve(station_id: str) -> dict[str, str]:
        """Take a waiting (or once rejected) station into service; it reconnects and boots."""
        waiting = site.pending.get(StationId(station_id))
        if waiting and waiting.problem:
            raise HTTPException(409, f"{station_id}: {waiting.problem}")
        site.pending.pop(StationId(station_id), None)
        known = site.stations.get(StationId(station_id))
        if waiting is None and (known is None or known.record.approval is not Approval.REJECTED):
            raise HTTPException(404, f"no station {station_id} waits for approval")
        await site.admit(StationId(station_id), Approval.APPROVED, waiting.credential if waiting else None)
        if waiting and waiting.port:
            waiting.port.close(1012, "approved: connect again")
        return {"id": station_id, "approval": Approval.APPROVED.value}

    @api.post("/v1/stations/{station_id}/reject")
    async def reject(station_id: str) -> dict[str, str]:
        """Refuse a station from now on; one that is served is disconnected, its queue still goes up."""
        waiting = site.pending.pop(StationId(station_id), None)
        known = site.stations.get(StationId(station_id))
        if waiting is None and known is None:
            raise HTTPException(404, f"no station {station_id} is known")
        if known and known.record.approval is Approval.CONFIGURED:
            raise HTTPException(409, f"station {station_id} is in the configuration: take it out there")
        await site.admit(StationId(station_id), Approval.REJECTED)
        site.balancer.dismiss(StationId(station_id))
        for port in (waiting and waiting.port, known and known.port):
            if port:
                port.close(1008, "rejected by the operator")
        return {"id": station_id, "approval": Approval.REJECTED.value}

    _add_numbers(api, site)
    _add_meters(api, site)
    _add_authorize(api, site)
    return api


async def _not_understood(_: Request, error: Exception) -> JSONResponse:
    """In words, and without what was sent: that may be no JSON, such as NaN."""
    assert isinstance(error, RequestValidationError)
    said = (f"{'.'.join(map(str, one['loc'][1:])) or 'body'}: {one['msg']}" for one in error.errors())
    return JSONResponse({"detail": "; ".join(said)}, 422)


def _add_numbers(api: FastAPI, site: Site) -> None:
    @api.post("/v1/stations/{old}/replace/{new}")
    async def replace(old: str, new: str) -> dict[str, Any]:
        """Where the site is one station to the CSMS: `new` takes over the numbers of `old`."""
        return await _refusable(numbers.replaced(site, StationId(old), StationId(new)))

    @api.post("/v1/stations/{station_id}/remove")
    async def remove(station_id: str) -> dict[str, Any]:
        """Where the site is one station to the CSMS: the station leaves for good, its numbers stay as Unavailable."""
        return await _refusable(numbers.removed(site, StationId(station_id)))


async def _refusable(done: Awaitable[list[int]]) -> dict[str, Any]:
    try:
        return {"numbers": await done}
    except RefusedError as error:
        raise HTTPException(409, str(error)) from None


def _add_meters(api: FastAPI, site: Site) -> None:
    @api.get("/v1/meters")
    async def meters() -> dict[str, Any]:
        """What the meters say, and the load of each circuit."""
        return {"meters": meter_snapshot.meters(site), "circuits": meter_snapshot.circuits(site)}

    @api.get("/v1/meters/{meter_id}")
    async def meter(meter_id: str) -> dict[str, Any]:
        """What one meter says."""
        state = site.meters.states.get(MeterId(meter_id))
        if state is None:
            raise HTTPException(404, f"no meter {meter_id} is in the configuration the gateway runs with")
        return meter_snapshot.meter(state, site.clock.monotonic())


def _add_authorize(api: FastAPI, site: Site) -> None:
    @api.get("/v1/authorize")
    async def authorize(station: str, token: str, kind: str = "", evse: int | None = None) -> dict[str, Any]:
        """What would happen if this token were shown at this station, and why. `kind`: its type in OCPP 2.x."""
        known = site.stations.get(StationId(station))
        if known is None:
            raise HTTPException(404, f"no station {station} is known")
        return explain(site, known, IdToken(token, kind), evse)
