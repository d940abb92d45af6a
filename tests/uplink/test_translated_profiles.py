"""A CSMS of 2.0.1 reads back the charging profiles it gave a 1.6 station, whoever holds them, after a crash too."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.model.site_tree import CircuitNode, ConnectorKey, ConnectorSpec
from gateway.model.token import OfflineMode
from gateway.plan import Plan
from gateway.site_options import SiteOptions
from tests.uplink.link_world import CP, LinkWorld, play, until

CIRCUIT = CircuitNode(id="main", limit_a=(32.0,) * 3, background_a=(10.0,) * 3, metered=False)
PLAN = Plan(circuits=(CIRCUIT,), connectors=(ConnectorSpec(key=ConnectorKey(CP, 1), circuit="main"),))


def _profile(number: int, purpose: str, limit: float, **more: Any) -> dict[str, Any]:
    schedule = {"id": 3, "chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}]}
    schedule["startSchedule"] = "2026-03-01T00:00:00Z"
    return {"id": number, "stackLevel": 1, "chargingProfilePurpose": purpose, "chargingProfileKind": "Absolute",
            "chargingSchedule": [schedule], **more}  # fmt: skip


@pytest.mark.parametrize("plan", [None, PLAN], ids=["passed on", "held by the gateway"])
def test_profiles_are_read_back_as_they_were_given(tmp_path: Path, plan: Plan | None) -> None:
    async def script(world: LinkWorld) -> None:
        world.csms.versions = ("2.0.1",)
        station = await world.arrive("1.6")
        session = asyncio.create_task(station.session("TAG", values=5, interval_s=60))
        started = await _started(world)
        default = _profile(1, "TxDefaultProfile", 16.123)
        own = _profile(2, "TxProfile", 9.75, transactionId=started)
        for evse, profile in ((0, default), (1, own)):
            assert await world.csms.call(CP, "SetChargingProfile", {"evseId": evse, "chargingProfile": profile}) == {
                "status": "Accepted"
            }
        assert (plan is None) == any(said.get("connectorId") == 0 for action, said in station.commands)
        await world.crash()
        await world.start()
        await until(lambda: world.link() is not None, 60)
        assert await _reported(world) == [(0, default), (1, own)]
        await session
        await station.drained()
        await until(lambda: not world.waiting(), 600)
        assert await _reported(world) == [(0, default)]
        cleared = await world.csms.call(CP, "ClearChargingProfile", {"chargingProfileId": 1})
        assert cleared == {"status": "Accepted"}
        assert await _reported(world) == []

    play(tmp_path, script, options=SiteOptions(offline=OfflineMode.ALLOW_UNKNOWN, plan=plan))


async def _started(world: LinkWorld) -> str:
    def begun() -> list[str]:
        return [
            payload["transactionInfo"]["transactionId"]
            for _, action, payload in world.csms.calls
            if action == "TransactionEvent"
        ]

    await until(lambda: bool(begun()), 60)
    await asyncio.sleep(2)
    return begun()[0]


async def _reported(world: LinkWorld) -> list[tuple[int, Any]]:
    """EVSE and profile of what the CSMS gave itself."""
    world.csms.calls.clear()
    answer = await world.csms.call(CP, "GetChargingProfiles", {"requestId": 9, "chargingProfile": {
        "chargingLimitSource": ["CSO"]}})  # fmt: skip
    await asyncio.sleep(5)
    parts = [payload for _, action, payload in world.csms.calls if action == "ReportChargingProfiles"]
    assert answer == {"status": "Accepted" if parts else "NoProfiles"}
    assert [part["tbc"] for part in parts] == [True] * (len(parts) - 1) + [False] * bool(parts)
    return [(part["evseId"], profile) for part in parts for profile in part["chargingProfile"]]
