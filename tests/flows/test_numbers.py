"""Stations of a site that is one station are replaced and removed: through the API, and as an operator types it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from gateway import cli, cli_status
from gateway.assembly import Assembly, Seams
from gateway.clock import Clock
from gateway.model.ids import StationId
from gateway.model.place import Place
from gateway.model.records import Approval, Put, StationRecord
from gateway.site import Site
from gateway.site_options import SiteOptions
from gateway.uplink.aggregate import Aggregate
from gateway.uplink.per_station import PerStation, PerStationOptions
from gateway.uplink.site_link import SiteLinkOptions
from gateway.web import routes
from tests.sim.disk import SimRunner
from tests.sim.one_station import NAMES, SITE
from tests.sim.station import EPOCH

OLD, NEW, KEPT = StationId("CP-1"), StationId("CP-2"), StationId("CP-3")


@asynccontextmanager
async def site_of(folder: Path, *, is_one: bool) -> AsyncIterator[tuple[Site, httpx.AsyncClient]]:
    runner = SimRunner(folder / "gateway.db", lambda: 0.0)
    clock = Clock(EPOCH.timestamp, lambda: 0.0, lambda: "ntp", "boot")

    async def reopen() -> SimRunner:
        return runner

    def make(site: Site, connector: Any) -> Any:
        options = SiteLinkOptions(SITE, NAMES, ("1.6",))
        return Aggregate(site, options, connector) if is_one else PerStation(site, PerStationOptions(), connector)

    assembly = Assembly(SiteOptions(), make, Seams(clock, Random(1), runner, reopen, connector=None))  # type: ignore[arg-type]
    await assembly.load([])
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=routes.build(assembly.site)), base_url="http://gateway"
    ) as client:
        running = asyncio.create_task(assembly.site.writer.run())
        try:
            yield assembly.site, client
        finally:
            assembly.site.writer.close()
            await running


async def test_numbers_move_and_stay_behind(tmp_path: Path) -> None:
    async with site_of(tmp_path, is_one=True) as (site, client):
        places = [Place(1, OLD, 1), Place(2, OLD, 2), Place(3, KEPT, 1)]
        records = [StationRecord(OLD, Approval.APPROVED), StationRecord(KEPT, Approval.CONFIGURED)]
        await site.commit([*map(Put, places), *map(Put, records)])
        assert (await client.post("/v1/stations/CP-1/replace/CP-2")).json() == {"numbers": [1, 2]}
        assert [site.numbering.number(NEW, evse) for evse in (1, 2)] == [1, 2]
        shown = {one["id"]: one["numbers"] for one in (await client.get("/v1/status")).json()["stations"]}
        assert shown == {"CP-1": {}, "CP-3": {"1": 3}}
        for path, why in (
            ("CP-1/remove", "has no number"),
            ("CP-9/replace/CP-2", "never had a number"),
            ("CP-3/remove", "is in the configuration"),
        ):
            refused = await client.post(f"/v1/stations/{path}")
            assert (refused.status_code, why in refused.json()["detail"]) == (409, True), path
        assert (await client.post("/v1/stations/CP-2/remove")).json() == {"numbers": [1, 2]}
        assert [place.is_removed for place in site.numbering.places()] == [True, True, False]
        link = (await client.get("/v1/status")).json()["one_link"]
        assert (link["identity"], link["state"], link["numbers"]) == (SITE, "connecting", 3)


async def test_where_each_station_has_its_link_there_are_no_numbers(tmp_path: Path) -> None:
    async with site_of(tmp_path, is_one=False) as (_, client):
        refused = await client.post("/v1/stations/CP-1/remove")
        assert (refused.status_code, "have no numbers" in refused.json()["detail"]) == (409, True)
        assert (await client.get("/v1/status")).json()["one_link"] is None


@pytest.mark.parametrize(
    ("words", "path", "said"),
    [
        (
            ["replace", "CP-1", "CP-2"],
            "/v1/stations/CP-1/replace/CP-2",
            "CP-2 has the numbers of CP-1 from now on: 4, 5",
        ),
        (["remove", "CP-1"], "/v1/stations/CP-1/remove", "CP-1 is removed; Unavailable from now on: 4, 5"),
    ],
)
def test_as_an_operator_types_it(monkeypatch: pytest.MonkeyPatch, words: list[str], path: str, said: str) -> None:
    asked: list[tuple[str, str]] = []

    def ask(config: Path | None, method: str, where: str, **_: Any) -> dict[str, Any]:
        asked.append((method, where))
        return {"numbers": [4, 5]}

    monkeypatch.setattr(cli_status, "ask", ask)
    done = CliRunner().invoke(cli.main, ["stations", *words])
    assert (done.exit_code, done.output.strip(), asked) == (0, said, [("POST", path)])
