"""A site that is one station, on virtual time, and what its CSMS is told."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.dialects import schema
from gateway.model.ids import StationId
from gateway.model.site_tree import CircuitNode, ConnectorKey, ConnectorSpec
from gateway.plan import Plan
from gateway.site import Site
from tests.sim import loop
from tests.sim.one_station import SITE, OneStationWorld

VERSIONS = [pytest.param("1.6", id="1.6"), pytest.param("2.0.1", id="2.0.1")]
OTHER = {"1.6": "2.0.1", "2.0.1": "1.6"}
COUNT = 5
PERIODS = [{"startPeriod": 0, "limit": 20.0}]


class SeenWorld(OneStationWorld):
    """Looks at what the CSMS is told. If it is mixed, every second station that arrives speaks the other version."""

    def __init__(self, folder: Path, version: str, plan: Plan | None = None, *, is_mixed: bool = False) -> None:
        super().__init__(folder, 1, version, is_mixed=is_mixed)
        self.options = replace(self.options, plan=plan)

    @property
    def site(self) -> Site:
        assert self.assembly
        return self.assembly.site

    async def arrive(self, count: int = COUNT) -> None:
        """One after the other, so that their numbers are known."""
        await until(lambda: SITE in self.csms.connections)
        for n in range(count):
            station = self.add(f"CP-{n}", OTHER[self.version] if n % 2 else self.version)
            await station.ready()
            await until(lambda number=n + 1: number in self.numbers("StatusNotification"))  # type: ignore[misc]  # a default

    def told(self, *actions: str) -> list[Any]:
        return [payload for _, action, payload in self.csms.calls if action in actions]

    def numbers(self, action: str) -> list[int]:
        return [number for payload in self.told(action) if (number := self.number(payload)) is not None]

    def number(self, payload: Any) -> int | None:
        if "evse" in payload:
            return int(payload["evse"]["id"])
        found = payload.get("connectorId") if self.version == "1.6" else payload.get("evseId")
        return None if found is None else int(found)

    async def command(self, action: str, payload: dict[str, Any]) -> Any:
        return await self.csms.call(SITE, action, payload)


async def until(condition: Callable[[], Any], seconds: float = 120.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.5)


def play(
    folder: Path,
    version: str,
    script: Callable[[SeenWorld], Awaitable[None]],
    plan: Plan | None = None,
    *,
    is_mixed: bool = False,
) -> SeenWorld:
    """Play it, end everything, and see that the CSMS saw one station that keeps to the schemas."""

    async def main() -> SeenWorld:
        world = SeenWorld(folder, version, plan, is_mixed=is_mixed)
        await world.start()
        try:
            async with asyncio.timeout(48 * 3600):
                await script(world)
        finally:
            await world.stop()
        return world

    world = loop.run(main(), debug=False)
    assert {station for station, _, _ in world.csms.calls} == {SITE}
    for _, action, payload in world.csms.calls:
        assert schema.validate(version, action, "request", json.dumps(payload).encode()) == [], action
        assert "CP-" not in json.dumps({**payload, "idTag": "", "idToken": ""}), action
    return world


def plan(count: int) -> Plan:
    """All of them in one circuit."""
    main = CircuitNode(id="main", limit_a=(63.0,) * 3)
    keys = [ConnectorKey(StationId(f"CP-{n}"), 1) for n in range(count)]
    return Plan(circuits=(main,), connectors=tuple(ConnectorSpec(key=key, circuit="main") for key in keys))


def limit(version: str, purpose: str = "Max") -> dict[str, Any]:
    """20 A for the site."""
    unit = {"chargingRateUnit": "A", "startSchedule": "2026-03-01T08:00:00Z", "chargingSchedulePeriod": PERIODS}
    same = {"stackLevel": 0, "chargingProfileKind": "Absolute"}
    if version == "1.6":
        profile = {"chargingProfileId": 5, "chargingProfilePurpose": f"ChargePoint{purpose}Profile", **same}
        return {"connectorId": 0, "csChargingProfiles": {**profile, "chargingSchedule": unit}}
    profile = {"id": 5, "chargingProfilePurpose": f"ChargingStation{purpose}Profile", **same}
    return {"evseId": 0, "chargingProfile": {**profile, "chargingSchedule": [{"id": 1, **unit}]}}
