"""The Modbus driver against pymodbus's server, and against slaves that misbehave on a pseudo terminal."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from drivers import model_file, registry
from drivers.api import Driver, Reading
from drivers.options import Places
from tests.drivers import modbus_fixtures
from tests.drivers.modbus_rig import (
    options,
    real_seams,
    serial_server,
    tcp_server,
    wire,
)

PATIENCE_S = 10.0
MODELS = sorted(model_file.files(Places()))
FIXTURES = [modbus_fixtures.load(model) for model in MODELS]
UNITS = {number: fixture.unit for number, fixture in enumerate(FIXTURES, 1)}


async def first(driver: Driver[Any]) -> Reading:
    async with asyncio.timeout(PATIENCE_S):
        return await anext(driver)


async def read_all(**place: object) -> None:
    """Every model's fixture, all at one place: they share its bus, and each gets its own answers."""
    seams = real_seams()
    async with AsyncExitStack() as stack:
        drivers = []
        for number, fixture in enumerate(FIXTURES, 1):
            driver = registry.build(fixture.model, options(model=fixture.model, unit=number, **place), seams)
            drivers.append(await stack.enter_async_context(driver))
        assert len(seams.shared) == 1
        readings = await asyncio.gather(*(first(driver) for driver in drivers))
        wrong = {f.model: f.differences(reading) for f, reading in zip(FIXTURES, readings, strict=True)}
        assert wrong == {fixture.model: {} for fixture in FIXTURES}
    assert not seams.shared


async def test_every_model_reads_its_fixture_over_a_serial_line() -> None:
    with wire() as (ours, theirs):
        async with serial_server(theirs, UNITS):
            await read_all(port=str(ours), baud=9600, parity="N")


@pytest.mark.parametrize("framing", ["tcp", "rtu"])
async def test_every_model_reads_its_fixture_over_tcp(framing: str) -> None:
    async with tcp_server(UNITS, is_rtu=framing == "rtu") as port:
        await read_all(host="127.0.0.1", tcp_port=port, framing=framing)


def test_every_fixture_belongs_to_a_shipped_model() -> None:
    assert sorted(path.stem for path in modbus_fixtures.FOLDER.glob("*.toml")) == MODELS
