"""The examples of docs/meter-drivers.md run."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from drivers import registry
from drivers.api import Driver
from drivers.modbus_options import ModbusOptions
from drivers.options import Places, checked
from tests.drivers.modbus_rig import fast_seams

TEXT = (Path(__file__).parents[2] / "docs" / "meter-drivers.md").read_text("utf-8")


def example(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert isinstance(found, str)
    return found


def test_the_register_map_can_be_used(tmp_path: Path) -> None:
    places = Places(tmp_path)
    places.models.mkdir()
    (places.models / "acme-em3.toml").write_text(example("toml"))
    options = registry.checked({"driver": "modbus", "model": "acme-em3", "port": "/dev/ttyX"}, places)
    assert isinstance(options, ModbusOptions)
    assert options.model.name == "Acme EM3"
    assert options.model.points.current.addresses == (6, 8, 10)


async def test_the_driver_reads_and_invents_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {"__name__": "acme_meter"}
    exec(compile(example("python"), "docs/meter-drivers.md", "exec"), names)  # the point of this test
    kind: type[Driver[Any]] = names["AcmeDriver"]
    monkeypatch.setattr(registry, "load", lambda name: kind)
    file = tmp_path / "meter.txt"
    file.write_text("6.0,-1.5,0.25")
    table = {"driver": "acme", "file": str(file), "invert": True, "interval_s": 0.1}
    options = checked(kind.options_type, table, Places())
    async with registry.build("grid", options, fast_seams()) as driver:
        reading = await anext(driver)
        assert reading.current_a == (-6.0, 1.5, -0.25)
        file.write_text("6.0,-1.5")
        assert await kind.probe(options, fast_seams()) is None
        waiting = asyncio.ensure_future(anext(driver))
        async with asyncio.timeout(10):
            while driver.health().trouble is None:
                await asyncio.wait({waiting}, timeout=0.01)
        assert not waiting.done(), "nothing is handed over that was not read"
        file.write_text("1,2,3")
        assert (await waiting).sequence == 1
