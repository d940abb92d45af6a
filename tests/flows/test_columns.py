"""A setting that can't be written down is never said to be set; on virtual time, with a disk that fails."""

import asyncio
import json
from pathlib import Path
from typing import Any

from gateway.model.ids import StationId
from gateway.model.settings import Key
from tests.sim import loop
from tests.transcript import STATION, Rig


def test_a_disk_that_fails(tmp_path: Path) -> None:
    async def ask(rig: Rig, number: str, key: str, value: str) -> Any:
        await rig.csms.say(json.dumps([2, number, "ChangeConfiguration", {"key": key, "value": value}]))
        if key == "StopTransactionOnInvalidId":
            action = ""
            while action != "ChangeConfiguration":  # it is asked for its boot too
                _, asked, action, _ = json.loads(await rig.station.hear() or "null")
                await rig.station.say(json.dumps([3, asked, {"status": "Accepted"}]))
        return json.loads(await rig.csms.hear() or "null")

    def believed(rig: Rig) -> list[str | None]:
        assert rig.world.assembly
        found = rig.world.assembly.site.columns.of(StationId(STATION))
        return [found[key].believed if key in found else None for key in (Key.LIST_ENABLED, Key.STOP_ON_INVALID_ID)]

    async def script() -> None:
        rig = Rig(tmp_path, "1.6")
        await rig.start()
        await rig.connect()
        await asyncio.sleep(3)
        rig.world.runner.fails = True
        assert await ask(rig, "1", "LocalAuthListEnabled", "true") == [3, "1", {"status": "Rejected"}]
        rig.world.runner.fails = False
        await asyncio.sleep(10)
        assert believed(rig) == [None, None]
        rig.world.runner.fails = True
        # The station has taken it: Rejected would be a lie, and so would Accepted.
        assert (await ask(rig, "2", "StopTransactionOnInvalidId", "true"))[:3] == [4, "2", "InternalError"]
        rig.world.runner.fails = False
        await asyncio.sleep(10)
        assert believed(rig) == [None, None]
        if not rig.station.is_connected:
            await rig.connect()
        assert await ask(rig, "3", "LocalAuthListEnabled", "true") == [3, "3", {"status": "Accepted"}]
        assert believed(rig) == ["true", None]
        await rig.stop()

    loop.run(script(), debug=False)
