"""The end of a translation behind the site's one link takes longer than the link is away: virtual time."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.flows import operator
from gateway.model.ids import StationId
from gateway.uplink.aggregate import Aggregate
from tests.uplink.site_world import VERSIONS, SeenWorld, limit, play, until

CP1 = StationId("CP-1")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_message_that_was_being_decided_when_the_link_fell(tmp_path: Path, version: str) -> None:
    """A slow disk: the link is back before the decision is on disk, and the message goes up as what it is."""

    async def script(world: SeenWorld) -> None:
        await world.arrive(2)
        uplink = world.site.uplink
        assert isinstance(uplink, Aggregate)
        world.runner._delay_s = lambda: 9.0
        session = asyncio.create_task(world.stations["CP-1"].session("TAG", 3, 60))
        await until(lambda: _decides(world))
        before = uplink.stations._link
        world.csms.cut()
        world.csms.mend()
        await until(lambda: uplink.stations._link not in (before, None))
        assert CP1 in uplink.stations._ending
        world.runner._delay_s = lambda: 0.005
        await session
        await world.drained()

    world = play(tmp_path, version, script, is_mixed=True)
    report = world.verdict()
    assert (report.findings, report.transactions, report.lost, report.duplicated) == ([], 1, 0, 0)


def _decides(world: SeenWorld) -> bool:
    """A transaction's first message is being written as it will go up."""
    uplink = world.site.uplink
    assert isinstance(uplink, Aggregate)
    interpreter = uplink.stations.interpreter(CP1)
    head = next(iter(world.site.station(CP1).queue.values()), None)
    return interpreter is not None and bool(world.site.translations.frozen(CP1)) and head is not None


def test_a_report_does_not_wait_for_a_part_that_stays_here(tmp_path: Path) -> None:
    """What a station holds at its EVSE 0 is not told of the site; the parts of others are, and not 120 s later."""

    async def script(world: SeenWorld) -> None:
        await world.arrive(2)
        default = limit("2.0.1", "Max")
        default["chargingProfile"]["chargingProfilePurpose"] = "TxDefaultProfile"
        assert await world.command("SetChargingProfile", default) == {"status": "Accepted"}
        wanted: dict[str, Any] = {"requestId": 9, "chargingProfile": {"chargingProfilePurpose": "TxDefaultProfile"}}
        assert await world.command("GetChargingProfiles", wanted) == {"status": "Accepted"}
        wire = world.stations["CP-0"].wire
        assert wire
        part = {"requestId": 9, "chargingLimitSource": "CSO", "evseId": 1,
                "chargingProfile": [default["chargingProfile"]]}  # fmt: skip
        assert await wire.call("r1", "ReportChargingProfiles", part) == {}
        await until(lambda: world.told("ReportChargingProfiles"), 10)
        assert [(one["evseId"], one.get("tbc", False)) for one in world.told("ReportChargingProfiles")] == [(1, False)]

    play(tmp_path, "2.0.1", script, is_mixed=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_message_of_the_version_before_is_tried_again_in_vain(tmp_path: Path, version: str) -> None:
    """An operator has it sent anew: what the station says meanwhile, and afterwards, is not taken for that version."""

    async def script(world: SeenWorld) -> None:
        await world.arrive(2)
        station, changed = world.site.station(CP1), world.stations["CP-1"]
        world.csms.cut()
        await changed.session("OLD", 2, 30)
        await changed.drained()
        changed.version = version
        changed.reboot()
        await until(lambda: station.port and station.record.dialect == version)
        began = "StartTransaction" if version == "1.6" else "TransactionEvent"
        world.csms.script = lambda _, action, payload: (
            "refuse" if action == began and "OLD" in str(payload.get("idTag", payload.get("idToken"))) else "answer"
        )
        world.csms.mend()
        await world.stations["CP-0"].session("OTHER", 20, 30)
        await until(lambda: station.parked and not station.queue, 3600)
        assert await changed.authorize("NEW-1") == "Accepted"
        world.csms.delay_s = lambda action: 5.0 if action == began else 0.05
        await operator.retry(world.site, list(station.parked.values()))
        await until(lambda: station.queue)
        assert await changed.authorize("NEW-2") == "Accepted"
        await until(lambda: station.parked and not station.queue, 3600)
        await world.stations["CP-0"].drained()
        await until(lambda: not any(one.queue for one in world.site.stations.values()))
        assert await changed.authorize("NEW-3") == "Accepted"
        told = [one.get("idTag") or one["idToken"]["idToken"] for one in world.told("Authorize")]
        assert {"NEW-1", "NEW-3"} <= set(told) <= {"OLD", "OTHER", "NEW-1", "NEW-2", "NEW-3"}

    play(tmp_path, version, script, is_mixed=True)
