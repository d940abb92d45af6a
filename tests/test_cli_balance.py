"""The commands about sharing current against a real gateway process, a simulated meter and a simulated station."""

import asyncio
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from gateway import cli
from gateway.demo.csms import SimulatedCsms
from gateway.demo.station import SimulatedStation, StationOptions
from tests.gateway_process import GatewayProcess

QUICK = StationOptions(reconnect_min_s=0.1, reconnect_max_s=0.3, tick_s=0.1, meter_interval_s=1.0, validate=False)
EXTRA = """
[grace]
after_boot_s = 0.1
after_reconnect_s = 0.1
[meter.grid]
driver = "simulated"
base_a = 12
swing_a = 0
machine_a = 0
[circuit.main]
limit_a = 63
meter = "grid"
background_a = 40
[[station]]
id = "CP-1"
circuit = "main"
family = "good"
proven = true
connectors = [{ max_a = 32 }]
"""


class _Operator:
    """Types commands; they run in a thread of their own, as from another terminal."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._config = ["--config", str(gateway.config_file)]

    async def types(self, *words: str, status: int | None = 0) -> str:
        """`status` None: any."""
        done: Result = await asyncio.to_thread(CliRunner().invoke, cli.main, [*words, *self._config])
        assert status in (None, done.exit_code), f"{words}: {done.exit_code}\n{done.output}"
        return done.output

    async def until_limit(self, most_a: float) -> dict[str, Any]:
        """The site as soon as its car was given something, and no more than that."""
        async with asyncio.timeout(60):
            while True:
                found = json.loads(await self.types("circuits", "--json", status=None))
                allocated = found["circuits"][0]["allocated_a"][0] if found["circuits"] else 0.0
                if 0 < allocated <= most_a:
                    return dict(found)

    async def until_flow(self, least_a: float) -> None:
        """The simulated meter sees the car beside its building's 12 A."""
        async with asyncio.timeout(30):
            while True:
                found = json.loads(await self.types("meter", "read", "grid", "--json", status=None))
                if found["reading"] and found["reading"]["current_a"][0] >= least_a:
                    return


async def test_who_has_what_and_why_from_the_terminal(tmp_path: Path) -> None:
    async with SimulatedCsms(validate=False) as csms:
        gateway = GatewayProcess(tmp_path, csms.url, extra=EXTRA)
        async with gateway, SimulatedStation("CP-1", gateway.url, options=QUICK) as station:
            operator = _Operator(gateway)
            await station.changes.until(lambda: station.is_accepted, 20)
            assert station.begin(1, "TAG-1")
            found = await operator.until_limit(31.0)
            (main,) = found["circuits"]
            assert (main["id"], main["limit_a"], main["worst_background_a"]) == ("main", [63] * 3, [40] * 3)
            assert main["allocated_a"] == [found["connectors"][0]["may_hold_a"][0]] * 3
            assert "main" in await operator.types("circuits", status=None)
            await operator.until_flow(17.0)
            assert "a maximum of 32 A: accepted" in gateway.log()
            shown = await operator.types("stations", "CP-1", "--why")
            assert "CP-1/1 in circuit main" in shown
            assert "fallback 6 A, managed, proven" in shown
            await operator.types("cap", "set", "main", "--limit-a", "8", "--seconds", "600")
            capped = await operator.until_limit(8.0)
            assert capped["connectors"][0]["why"]["binding"] == "grid"
            assert "circuit main: 8 A by operator" in await operator.types("cap", "list")
            await operator.types("cap", "clear")
            assert "no cap" in await operator.types("cap", "list")
            assert "it charges" in (await operator.types("release", "CP-1", status=4)).replace(
                "CP-1 charges", "it charges"
            )
            station.end(1, "Local")
            async with asyncio.timeout(30):
                while "is released" not in await operator.types("release", "CP-1", status=None):
                    continue
            assert not len(station.profiles), "nothing of the gateway's is left in it"
            assert "no station CP-9 is known" in await operator.types("stations", "CP-9", "--why", status=4)
