"""Meters that have to be set up in a certain way, and those at the end of a UDP socket."""

import asyncio
from pathlib import Path
from typing import Any

from drivers.api import Kind, Reading, Trouble
from drivers.modbus import ModbusDriver
from tests.drivers import modbus_fixtures
from tests.drivers.modbus_rig import Slave, fast_seams, options, udp_server

PATIENCE_S = 20.0
EM24 = modbus_fixtures.load("carlo-gavazzi-em24")
VICTRON = modbus_fixtures.load("victron-vm-3p75ct")
PAC = modbus_fixtures.load("siemens-pac2200")


async def reading_of(driver: ModbusDriver) -> Reading:
    async with asyncio.timeout(PATIENCE_S):
        return await anext(driver)


async def trouble_of(driver: ModbusDriver, reading: "asyncio.Future[Reading]") -> Trouble:
    async with asyncio.timeout(PATIENCE_S):
        while (trouble := driver.health().trouble) is None:
            await asyncio.wait({reading}, timeout=0.02)
    assert not reading.done()
    return trouble


def em24_at(folder: Path) -> Slave:
    """One list of registers, whatever the function; the code of the maker at its place."""
    return Slave(folder / "adapter", {1: {**EM24.unit.input, **EM24.unit.holding, **EM24.unit.alone}})


def driver_at(slave: Slave, **table: Any) -> ModbusDriver:
    place = {"model": "carlo-gavazzi-em24", "port": str(slave.link), "interval_s": 0.1, "timeout_ms": 2000}
    return ModbusDriver("grid", options(**place | table), fast_seams())


async def test_a_wrong_setting_is_told_with_its_remedy_and_is_over_when_it_is_set(tmp_path: Path) -> None:
    with em24_at(tmp_path) as slave:
        slave.units[1][0x1101] = 2
        async with driver_at(slave) as driver:
            waiting = asyncio.ensure_future(anext(driver))
            trouble = await trouble_of(driver, waiting)
            assert trouble.kind is Kind.MISCONFIGURED
            assert "its application is not H" in trouble.problem
            assert "register 0x1101 says 0x2" in trouble.problem
            assert "Set the application to H" in trouble.remedy
            found = await ModbusDriver.probe(driver.options, driver.seams)
            assert found is not None
            assert "its application is not H" in found.what
            slave.units[1][0x1101] = 7
            async with asyncio.timeout(PATIENCE_S):
                reading = await waiting
            assert reading.current_a == (31.25, -4.125, 0.26)
            assert driver.health().trouble is None


async def test_a_wrong_setting_may_be_overruled_and_a_missing_register_is_none(tmp_path: Path) -> None:
    with em24_at(tmp_path) as slave:
        slave.units[1][0x1101] = 2
        async with driver_at(slave, identify=False) as driver:
            assert (await reading_of(driver)).power_total_w == 6286.1
        del slave.units[1][0x1101]
        async with driver_at(slave) as driver:
            assert (await reading_of(driver)).power_total_w == 6286.1
        strict = driver.options.model.require[0].model_copy(update={"optional": False})
        model = driver.options.model.model_copy(update={"require": (strict,)})
        options = driver.options.model_copy(update={"model": model})
        found = await ModbusDriver.probe(options, fast_seams())
        assert found is not None
        assert "register 0x1101 says nothing" in found.what
        slave.units[1][0x0B] = 341
        async with driver_at(slave) as driver:
            waiting = asyncio.ensure_future(anext(driver))
            assert (await trouble_of(driver, waiting)).kind is Kind.WRONG_METER
            waiting.cancel()
            await asyncio.wait({waiting})


async def test_a_probe_that_some_do_not_have_refuses_only_another_answer(tmp_path: Path) -> None:
    registers = dict(PAC.unit.holding)
    with Slave(tmp_path / "adapter", {1: registers}) as slave:
        for address in range(64001, 64028):
            del registers[address]
        slave.units[1] = registers
        async with driver_at(slave, model="siemens-pac2200") as driver:
            assert (await reading_of(driver)).current_a == (125.5, 118.25, -9.0)
        slave.units[1] = {**PAC.unit.holding, 64001: 43}
        async with driver_at(slave, model="siemens-pac2200") as driver:
            waiting = asyncio.ensure_future(anext(driver))
            assert "register 0xfa01 says 0x2b" in (await trouble_of(driver, waiting)).problem
            waiting.cancel()
            await asyncio.wait({waiting})


async def test_a_meter_on_udp_that_falls_silent_is_told_and_comes_again() -> None:
    async with udp_server({1: VICTRON.unit}) as port:
        place = {"model": "victron-vm-3p75ct", "host": "127.0.0.1", "tcp_port": port, "timeout_ms": 150}
        driver = ModbusDriver("grid", options(**place, interval_s=0.1), fast_seams())
        await driver.open()
        assert VICTRON.differences(await reading_of(driver)) == {}
    waiting = asyncio.ensure_future(anext(driver))
    trouble = await trouble_of(driver, waiting)
    assert trouble.kind is Kind.SILENT
    assert f"127.0.0.1:{port} (UDP)" in trouble.problem
    assert "firewall" in trouble.remedy
    async with udp_server({1: VICTRON.unit}, port), asyncio.timeout(PATIENCE_S):
        assert (await waiting).current_a == (15.75, -8.42, 0.0)
    await driver.close()


async def test_a_late_datagram_is_not_the_answer_to_the_next_question() -> None:
    """Its number tells it: a meter that answers each question only when the next one comes gives no reading."""

    class Late(asyncio.DatagramProtocol):
        transport: asyncio.DatagramTransport
        kept: bytes | None = None
        sent = 0

        def datagram_received(self, data: bytes, address: tuple[str | Any, int]) -> None:
            if self.kept is not None:
                self.transport.sendto(self.kept, address)
                self.sent += 1
            count = data[11]
            self.kept = data[:4] + bytes((0, 3 + 2 * count, data[6], data[7], 2 * count)) + b"\x01" * 2 * count

    loop = asyncio.get_running_loop()
    transport, slave = await loop.create_datagram_endpoint(Late, local_addr=("127.0.0.1", 0))
    slave.transport = transport
    place = {"model": "victron-vm-3p75ct", "host": "127.0.0.1", "tcp_port": transport.get_extra_info("sockname")[1]}
    table = options(**place, interval_s=0.1, timeout_ms=50, identify=False)
    async with ModbusDriver("grid", table, fast_seams()) as driver:
        waiting = asyncio.ensure_future(anext(driver))
        async with asyncio.timeout(PATIENCE_S):
            while slave.sent < 4:
                await asyncio.wait({waiting}, timeout=0.02)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait({waiting})
    transport.close()
