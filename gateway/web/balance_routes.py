"""Routes about sharing current."""

from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field

from gateway.errors import RefusedError, StoreError
from gateway.flows import caps, prove, release
from gateway.model.ids import StationId
from gateway.site import Site
from gateway.web import balance_view


class CapBody(BaseModel):
    """Without a limit: the source is there, and caps nothing. `circuit`: of a source that is not configured."""

    limit_w: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    limit_a: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    circuit: str | None = None


class DrillBody(BaseModel):
    """`evse` None: the one where a car charges."""

    evse: int | None = Field(default=None, ge=1)
    seconds: float = Field(default=60.0, ge=30, le=600)


def build(site: Site) -> APIRouter:
    """The routes over one site."""
    api = APIRouter(prefix="/v1")
    sharing(api, site)
    proving(api, site)
    capping(api, site)
    return api


def sharing(api: APIRouter, site: Site) -> None:
    @api.get("/circuits")
    async def circuits() -> dict[str, Any]:
        """The live tree, and every connector's place in it."""
        balancer = site.balancer
        return {
            "shared": balancer.tree is not None,
            "circuits": balance_view.circuits(site),
            "connectors": balance_view.connectors(site),
            "troubles": sorted(balancer.problems()),
        }

    @api.get("/stations/{station}/why")
    async def why(station: str) -> list[dict[str, Any]]:
        """What binds a station's connectors."""
        if not site.balancer.is_member(StationId(station)):
            if StationId(station) not in site.stations:
                raise HTTPException(404, f"no station {station} is known")
            raise HTTPException(404, f"the current of station {station} is not shared: it is in no circuit")
        return balance_view.connectors(site, StationId(station))

    @api.post("/stations/{station}/release")
    async def leave(station: str) -> dict[str, Any]:
        """Take the gateway's profiles out of a station that leaves."""
        known = site.stations.get(StationId(station))
        if known is None:
            raise HTTPException(404, f"no station {station} is known")
        try:
            left = await release.release(site, known)
        except StoreError as error:
            raise HTTPException(503, str(error)) from None
        except RefusedError as error:
            raise HTTPException(409, str(error)) from None
        return {"station": station, "left": left}


def proving(api: APIRouter, site: Site) -> None:
    @api.post("/stations/{station}/prove")
    async def begin(station: str, body: DrillBody) -> dict[str, Any]:
        """Let a lease of it run out on purpose."""
        known = site.stations.get(StationId(station))
        if known is None:
            raise HTTPException(404, f"no station {station} is known")
        try:
            drill = prove.start(site, known, body.evse, body.seconds)
        except RefusedError as error:
            raise HTTPException(409, str(error)) from None
        return balance_view.drill(site, drill)

    @api.get("/stations/{station}/prove")
    async def state(station: str) -> list[dict[str, Any]]:
        """Its last drills, one for each connector."""
        drills = site.balancer.drills.values()
        return [balance_view.drill(site, one) for one in drills if one.key.station == station]


def capping(api: APIRouter, site: Site) -> None:
    @api.get("/caps")
    async def known() -> list[dict[str, Any]]:
        """Caps from outside."""
        return balance_view.caps(site)

    @api.put("/caps/{source}")
    async def put(source: str, body: CapBody) -> dict[str, Any]:
        """Set a source's cap: it holds at once, and until its end."""
        cap = caps.Cap(limit_w=body.limit_w, limit_a=body.limit_a, seconds=body.seconds, circuit=body.circuit)
        try:
            row = await caps.put(site, source, cap)
        except StoreError as error:
            raise HTTPException(503, str(error)) from None
        except RefusedError as error:
            raise HTTPException(409, str(error)) from None
        return {"source": source, "circuit": row.circuit, "until": row.until.isoformat(timespec="seconds")}

    @api.delete("/caps/{source}")
    async def clear(source: str) -> dict[str, str]:
        """Take a source's cap away."""
        try:
            await caps.clear(site, source)
        except StoreError as error:
            raise HTTPException(503, str(error)) from None
        except RefusedError as error:
            raise HTTPException(404, str(error)) from None
        return {"source": source}
