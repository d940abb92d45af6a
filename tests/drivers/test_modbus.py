"""The Modbus driver against pymodbus's server, and against slaves that misbehave on a pseudo terminal."""

import asyncio
import random
import struct
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from drivers import model_file, registry
from drivers.api import Driver, DriverError, Kind, Quality, Reading, Reason, Trouble
from drivers.bus import Bus
from drivers.modbus import ModbusDriver
from drivers.options import Places
from tests.drivers import modbus_fixtures
from tests.drivers.modbus_rig import (
    Reply,
    Request,
    Slave,
    fast_seams,
    options,
    real_seams,
    serial_server,
    tcp_server,
    udp_server,
    wire,
    with_crc,
)

PATIENCE_S = 20.0
LONG_MS = 2000
"""A time-out that a slave in this process never misses."""
SHIPPED = {name: model_file.load(path) for name, path in model_file.files(Places()).items()}
MODELS = sorted(SHIPPED)
FIXTURES = {number: modbus_fixtures.load(model) for number, model in enumerate(MODELS, 1)}
UNITS = {number: fixture.unit for number, fixture in FIXTURES.items()}


async def first(driver: Driver[Any]) -> Reading:
    async with asyncio.timeout(PATIENCE_S):
        return await anext(driver)


REACHED = {"serial": {"serial"}, "rtu": {"serial"}, "tcp": {"serial", "tcp"}, "udp": {"udp"}}
"""Which meters are reached how: one with a serial port may be behind a gateway."""


async def read_all(way: str, **place: object) -> None:
    """The fixture of every model that is reached so, all at one place: they share its bus, and none is mixed up."""
    seams, readings, notes = fast_seams(), {}, {}
    async with AsyncExitStack() as stack:
        drivers = {}
        for number, fixture in FIXTURES.items():
            if REACHED[way].intersection(SHIPPED[fixture.model].modbus.transports):
                table = options(model=fixture.model, unit=number, timeout_ms=LONG_MS, **place)
                driver = registry.build(fixture.model, table, seams)
                drivers[number] = await stack.enter_async_context(driver)
        assert len(drivers) >= {"serial": 24, "rtu": 24, "tcp": 26, "udp": 2}[way]
        assert len(seams.shared[Bus]) == 1
        for number, driver in drivers.items():
            readings[number] = await first(driver)
            notes[number] = driver.health().notes
    assert seams.shared[Bus] == []
    wrong = {FIXTURES[number].model: FIXTURES[number].differences(reading) for number, reading in readings.items()}
    assert wrong == {model: {} for model in wrong}
    assert not any("leaves" in note for found in notes.values() for note in found), notes


async def test_every_serial_model_reads_its_fixture_over_a_line() -> None:
    with wire() as (ours, theirs):
        async with serial_server(theirs, UNITS):
            await read_all("serial", port=str(ours), baud=9600, parity="N", stop_bits=1)


@pytest.mark.parametrize("framing", ["tcp", "rtu"])
async def test_every_model_with_a_network_or_a_gateway_reads_its_fixture_over_tcp(framing: str) -> None:
    async with tcp_server(UNITS, is_rtu=framing == "rtu") as port:
        await read_all(framing, host="127.0.0.1", tcp_port=port, framing=framing)


async def test_every_model_with_udp_reads_its_fixture_over_it() -> None:
    async with udp_server(UNITS) as port:
        await read_all("udp", host="127.0.0.1", tcp_port=port)


def test_every_fixture_belongs_to_a_shipped_model() -> None:
    assert sorted(path.stem for path in modbus_fixtures.FOLDER.glob("*.toml")) == MODELS


SDM = modbus_fixtures.load("eastron-sdm630")
B23 = modbus_fixtures.load("abb-b23")


def sdm_slave(folder: Path) -> Slave:
    return Slave(folder / "adapter", {1: dict(SDM.unit.input)})


def driver_at(slave: Slave, **table: Any) -> ModbusDriver:
    place = {"port": str(slave.link), "interval_s": 0.1, "timeout_ms": LONG_MS, "parity": "N"}
    return ModbusDriver("grid", options(**(place | table)), fast_seams())


async def trouble_of(driver: ModbusDriver) -> Trouble:
    """What is wrong, while a reading is waited for that never comes."""
    reading = asyncio.ensure_future(anext(driver))
    async with asyncio.timeout(PATIENCE_S):
        while driver.health().trouble is None:
            await asyncio.wait({reading}, timeout=0.02)
    await asyncio.wait({reading}, timeout=0.1)
    assert not reading.done()
    reading.cancel()
    await asyncio.wait({reading}, timeout=PATIENCE_S)
    trouble = driver.health().trouble
    assert trouble is not None
    return trouble


@pytest.mark.parametrize("code", [2, 3])
async def test_blocks_too_long_for_the_meter_are_cut_and_stay_cut(tmp_path: Path, code: int) -> None:
    with sdm_slave(tmp_path) as slave:
        slave.largest, slave.code = 10, code
        async with driver_at(slave) as driver:
            assert SDM.differences(await first(driver)) == {}
            assert max(request.count for request in slave.requests) == 18
            slave.requests.clear()
            await first(driver)
            counts = [request.count for request in slave.requests]
            assert counts
            assert max(counts) <= 10
            assert len(set(counts)) == len(counts), "each block has a length of its own"
            assert any("in 2 parts" in note for note in driver.health().notes)
            assert driver.health().trouble is None


async def test_blocks_the_meter_never_answers_are_cut_too(tmp_path: Path) -> None:
    with sdm_slave(tmp_path) as slave:
        slave.script = lambda request, answer: Reply(answer if request.count <= 10 else b"")
        async with driver_at(slave, timeout_ms=50) as driver:
            assert (await first(driver)).current_a == (10.5, -3.25, -0.125)
            slave.requests.clear()
            await first(driver)
            assert max(request.count for request in slave.requests) <= 10


async def test_a_register_that_balancing_does_not_need_may_be_missing(tmp_path: Path) -> None:
    with sdm_slave(tmp_path) as slave:
        for address in (0x46, 0x47):
            del slave.units[1][address]
        async with driver_at(slave) as driver:
            reading = await first(driver)
            assert set(SDM.differences(reading)) == {"frequency_hz"}
            assert reading.frequency_hz is None
            assert reading.quality is Quality.GOOD
            assert any("leaves frequency out" in note for note in driver.health().notes)


async def test_currents_may_not_be_missing(tmp_path: Path) -> None:
    with sdm_slave(tmp_path) as slave:
        del slave.units[1][0x08]
        async with driver_at(slave) as driver:
            trouble = await trouble_of(driver)
            assert trouble.kind is Kind.REFUSED
            assert "model" in trouble.remedy


async def test_without_its_slow_values_a_reading_is_partial_and_comes_all_the_same(tmp_path: Path) -> None:
    with sdm_slave(tmp_path) as slave:
        slave.script = lambda request, answer: Reply(answer if request.at < 0x3E else b"")
        async with driver_at(slave, timeout_ms=200) as driver:
            reading = await first(driver)
            assert reading.quality is Quality.PARTIAL
            assert reading.reasons == frozenset({Reason.VALUE_MISSING})
            assert (reading.has_currents, reading.energy_import_kwh) == (True, None)


async def test_slow_values_are_read_once_a_minute_and_not_repeated(tmp_path: Path) -> None:
    with sdm_slave(tmp_path) as slave:
        async with driver_at(slave) as driver:
            energies = [(await first(driver)).energy_import_kwh for _ in range(3)]
            assert energies == [12345.75, None, None]


def stepped(wall: Callable[[], datetime], by: timedelta) -> datetime:
    return wall() + by


async def test_a_step_of_the_wall_clock_makes_nothing_younger(tmp_path: Path) -> None:
    with sdm_slave(tmp_path) as slave:
        async with driver_at(slave) as driver:
            old, right = await first(driver), driver.seams
            for days in (-20_000, 1_000):
                driver.seams = replace(right, wall=partial(stepped, right.wall, timedelta(days)))
                new = await first(driver)
                assert abs((new.t_wall - driver.seams.wall()).total_seconds()) < 60
                assert 0 < new.t_mono - old.t_mono <= old.age_s(right.now())
                assert new.age_s(right.now()) < old.age_s(right.now())


async def test_another_model_is_not_read_with_this_map(tmp_path: Path) -> None:
    with Slave(tmp_path / "adapter", {1: dict(B23.unit.holding)}) as slave:
        async with driver_at(slave, model="abb-b24") as driver:
            trouble = await trouble_of(driver)
            assert trouble.kind is Kind.WRONG_METER
            assert "is no ABB B24: register 0x8960 says 0x42323320" in trouble.problem
        async with driver_at(slave, model="abb-b24", identify=False) as driver:
            assert B23.differences(await first(driver)) == {}


async def test_a_repeated_question_is_as_old_as_its_first_time(tmp_path: Path) -> None:
    """The answer may be the late one to that."""
    with sdm_slave(tmp_path) as slave:
        table = options(port=str(slave.link), interval_s=0.1, timeout_ms=100)
        async with ModbusDriver("grid", table, real_seams()) as driver:
            await first(driver)
            misses = iter([True, False])
            slave.script = lambda _request, answer: Reply(b"" if next(misses, False) else answer)
            before = driver.seams.now()
            reading = await first(driver)
            assert driver.health().timeouts >= 1
            assert reading.age_s(driver.seams.now()) > 0.3, "the time-out and the quiet time"
            assert reading.t_mono >= before


async def test_probe_tells_what_is_there(tmp_path: Path) -> None:
    with Slave(tmp_path / "adapter", {1: dict(B23.unit.holding)}) as slave:
        place = {"port": str(slave.link), "timeout_ms": 200, "parity": "N"}
        found = await ModbusDriver.probe(options(model="abb-b23", **place), fast_seams())
        assert found is not None
        assert found.what == "ABB B23"
        assert found.reading is not None
        assert B23.differences(found.reading) == {}
        wrong = await ModbusDriver.probe(options(model="abb-b24", **place), fast_seams())
        assert wrong is not None
        assert "is no ABB B24" in wrong.what
        assert await ModbusDriver.probe(options(model="abb-b23", unit=9, **place), fast_seams()) is None
    with pytest.raises(DriverError, match="is not there"):
        await ModbusDriver.probe(options(model="abb-b23", **place), fast_seams())


NOT_THERE = struct.unpack(">HH", struct.pack(">f", float("nan")))


async def test_no_value_is_invented_whatever_drops_out(tmp_path: Path, seed: int) -> None:
    """Replies that are lost, cut, mixed up, refused, late or without a value, at random. No value of the meter is 0."""
    source = random.Random(seed)
    regular = dict(SDM.unit.input)
    truth = {name: {*value, None} for name, value in SDM.expected.items() if isinstance(value, list)}

    def spoil(request: Request, answer: bytes) -> Reply:
        registers = slave.units[1]
        registers |= regular
        for value in range(0x00, 0x12, 2):
            if source.random() < 0.1:
                registers[value], registers[value + 1] = NOT_THERE
        refusal = with_crc(bytes((request.unit, request.function | 0x80, source.choice((2, 3, 4, 6)))))
        flipped = bytes(byte ^ (source.random() < 0.02) for byte in answer)
        late = Reply(answer, 0.02 + source.uniform(0, 0.04))
        choices = [Reply(b""), Reply(answer[: source.randrange(len(answer))]), Reply(flipped), Reply(refusal), late]
        return source.choice(choices) if source.random() < 0.3 else Reply(answer)

    with sdm_slave(tmp_path) as slave:
        async with driver_at(slave, timeout_ms=20) as driver:
            await first(driver)
            slave.script = spoil
            readings = [await first(driver) for _ in range(20)]
            health = driver.health()
    for reading in readings:
        unsigned = map(abs, SDM.expected["current_a"]) if Reason.SIGN_UNKNOWN in reading.reasons else ()
        for name, values in truth.items():
            assert values.union(unsigned).issuperset(getattr(reading, name)), f"{name} of {reading}"
        assert reading.power_total_w == 1659.5
        assert reading.energy_import_kwh in {None, 12345.75}
        is_whole = None not in (*reading.current_a, *reading.voltage_v, *reading.power_w)
        assert is_whole or reading.quality is Quality.PARTIAL
    assert [reading.sequence for reading in readings] == list(range(1, 21))
    assert len({reading.t_mono for reading in readings}) == 20, "no reading is handed over twice"
    assert health.timeouts + health.short_frames + health.refusals > 2
