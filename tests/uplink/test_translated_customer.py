"""CustomerInformation of a CSMS of 2.0.1 at a 1.6 station: the gateway's own knowledge, told and forgotten."""

import asyncio
from pathlib import Path
from typing import Any

from gateway.model.token import IdToken
from gateway.site import Site
from tests.uplink.link_world import CP, LinkWorld, play, until

CARD, OTHER = {"idToken": "TAG", "type": "ISO14443"}, IdToken("OTHER")


def test_a_customer_is_told_and_forgotten_for_good(tmp_path: Path) -> None:
    async def script(world: LinkWorld) -> None:
        world.csms.versions = ("2.0.1",)
        station = await world.arrive("1.6")
        for token in ("TAG", "OTHER"):
            await station.session(token, values=1, interval_s=60)
            await station.drained()
        await until(lambda: not world.waiting(), 600)
        entries = [{"idToken": CARD, "idTokenInfo": {"status": "Blocked"}}]
        await world.csms.call(
            CP, "SendLocalList", {"versionNumber": 1, "updateType": "Full", "localAuthorizationList": entries}
        )
        told = await _asked(world, report=True, clear=True)
        uuid = next(one for _, _, one in world.csms.calls if one.get("eventType") == "Started")["transactionInfo"]
        cache, listed, session, own = told.splitlines()
        assert cache.startswith("authorization cache: Accepted, said 2026-03-01")
        assert listed == "local list: Blocked"
        assert session.startswith(f"session {uuid['transactionId']}: EVSE 1, from 2026-03-01T08:00:")
        assert session.endswith(", 2 Wh")
        assert "1.6" in own
        await world.crash()
        await world.start()
        await until(lambda: world.link() is not None, 60)
        cache_now = _site(world).tokens.cache
        assert cache_now.find(IdToken("TAG")) is None
        assert cache_now.find(OTHER, _site(world).tokens.lists.of(CP).cache_cleared) is not None
        await until(lambda: ("ClearCache", {}) in station.commands, 600)
        assert (await _asked(world, report=True)).splitlines() == [listed, session, own]

    play(tmp_path, script)


def _site(world: LinkWorld) -> Site:
    assert world.assembly
    return world.assembly.site


async def _asked(world: LinkWorld, **asked: bool) -> str:
    """The report, put together."""
    payload: dict[str, Any] = {"requestId": 4, "report": False, "clear": False, "idToken": CARD, **asked}
    before = len(world.csms.calls)
    assert await world.csms.call(CP, "CustomerInformation", payload) == {"status": "Accepted"}
    await asyncio.sleep(5)
    heard = [one for _, action, one in world.csms.calls[before:] if action == "NotifyCustomerInformation"]
    assert [one["tbc"] for one in heard] == [True] * (len(heard) - 1) + [False]
    return "".join(one["data"] for one in heard)
