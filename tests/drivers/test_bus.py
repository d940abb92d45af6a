"""The owner of a line, on pseudo terminals: what is late, lost, locked, silent or noise."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from drivers import bus as buses
from drivers.api import DriverError, Health, Kind, Seams, Trouble
from drivers.bus import Bus, Down, Garbled, NoReply, Read, Refused
from drivers.late_replies import ReplyGuard
from drivers.modbus import ModbusDriver
from drivers.modbus_line import SerialLine, TcpLine
from gateway.demo.gateway_process import free_port
from tests.drivers import late_reply_stress as stress
from tests.drivers import modbus_fixtures
from tests.drivers.modbus_rig import Reply, Request, Slave, fast_seams, lock, options, real_seams, with_crc

PATIENCE_S = 20.0
LONG_S = 2.0
"""A time-out that a slave in this process never misses."""
RECOVERY_S = 6.0
REGISTERS = modbus_fixtures.load("eastron-sdm630").unit.input


def slave_at(folder: Path, *units: int) -> Slave:
    return Slave(folder / "adapter", {unit: dict(REGISTERS) for unit in units})


def driver_at(slave: Slave, seams: Seams | None = None, timeout_s: float = LONG_S) -> ModbusDriver:
    place = {"port": str(slave.link), "interval_s": 0.1, "timeout_ms": int(1000 * timeout_s)}
    return ModbusDriver("grid", options(**place), seams or fast_seams())


def bus_at(slave: Slave) -> Bus:
    return buses.lease(fast_seams(), SerialLine(str(slave.link), 9600, "N", 1))


async def told(driver: ModbusDriver, fits: Callable[[Trouble | None], bool]) -> Health:
    """What health says once its trouble fits, while somebody waits for a reading."""

    async def read() -> None:
        async for _ in driver:
            if fits(driver.health().trouble):
                return

    reading = asyncio.create_task(read())
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not fits(driver.health().trouble):
                await asyncio.wait({reading}, timeout=0.02)
    finally:
        reading.cancel()
        await asyncio.wait({reading}, timeout=PATIENCE_S)
    return driver.health()


def is_kind(kind: Kind) -> Callable[[Trouble | None], bool]:
    return lambda trouble: trouble is not None and trouble.kind is kind


async def test_no_late_reply_is_taken_for_the_answer_to_another_question(seed: int) -> None:
    tally = await stress.run(stress.QuickGuard(), 120, seed)
    assert (tally.wrong, tally.too_fresh) == (0, 0)
    assert tally.right > 20
    assert tally.failed > 10


async def test_it_is_the_guard_that_keeps_them_away(seed: int) -> None:
    tally = await stress.run(stress.NoGuard(), 120, seed)
    assert tally.wrong > 5


async def test_an_adapter_that_was_unplugged_is_used_again_without_a_restart(tmp_path: Path) -> None:
    with slave_at(tmp_path, 1) as slave:
        async with driver_at(slave, real_seams()) as driver:
            before = await anext(driver)
            descriptors = len(os.listdir("/proc/self/fd"))
            slave.unplug()
            health = await told(driver, is_kind(Kind.UNPLUGGED))
            assert str(slave.link) in str(health.trouble)
            assert "Plug it in" in str(health.trouble)
            slave.plug()
            async with asyncio.timeout(RECOVERY_S):
                after = await anext(driver)
            assert after.sequence == before.sequence + 1
            assert after.t_mono > before.t_mono
            assert driver.health().trouble is None
            assert driver.health().reconnects == 1
            assert len(os.listdir("/proc/self/fd")) == descriptors


async def test_a_name_that_moves_to_another_adapter_is_followed(tmp_path: Path) -> None:
    """The old one stays silent instead of going away."""
    with slave_at(tmp_path, 1) as slave:
        slave.script = lambda _request, _answer: Reply(b"")
        async with driver_at(slave, real_seams(), 0.05) as driver:
            with Slave(tmp_path / "other", {1: dict(REGISTERS)}) as other:
                await told(driver, is_kind(Kind.SILENT))
                slave.link.unlink()
                slave.link.symlink_to(os.readlink(other.link))
                async with asyncio.timeout(RECOVERY_S):
                    await anext(driver)


async def test_a_silent_meter_does_not_keep_others_on_the_line_from_being_read(tmp_path: Path) -> None:
    seams = fast_seams()
    with slave_at(tmp_path, 1) as slave:
        place = {"port": str(slave.link), "interval_s": 0.1}
        async with (
            ModbusDriver("live", options(unit=1, timeout_ms=2000, **place), seams) as live,
            ModbusDriver("dead", options(unit=2, timeout_ms=50, **place), seams) as dead,
        ):
            waiting = asyncio.create_task(anext(dead))
            async with asyncio.timeout(PATIENCE_S):
                readings = [await anext(live) for _ in range(6)]
            waiting.cancel()
            await asyncio.wait({waiting}, timeout=PATIENCE_S)
            assert [reading.sequence for reading in readings] == list(range(6))
            trouble = dead.health().trouble
            assert trouble is not None
            assert trouble.kind is Kind.SILENT
            assert "no answer from unit 2" in trouble.problem
            assert live.health().trouble is None


async def test_stray_bytes_before_and_after_each_reply_lose_nothing(tmp_path: Path) -> None:
    with slave_at(tmp_path, 1) as slave:
        slave.script = lambda _request, answer: Reply(b"\x00\x55" + answer + b"\xff")
        async with driver_at(slave) as driver:
            for _ in range(3):
                assert (await anext(driver)).current_a == (10.5, -3.25, -0.125)
            health = driver.health()
            assert (health.timeouts, health.trouble) == (0, None)
            assert health.crc_errors > 0


async def test_noise_is_called_noise_and_is_survived(tmp_path: Path) -> None:
    with slave_at(tmp_path, 1) as slave:
        slave.script = lambda _request, answer: Reply(bytes(byte ^ 0x10 for byte in answer))
        async with driver_at(slave, timeout_s=0.05) as driver:
            health = await told(driver, is_kind(Kind.GARBLED))
            assert "parity" in str(health.trouble)
            slave.script = lambda _request, answer: Reply(answer)
            async with asyncio.timeout(RECOVERY_S):
                await anext(driver)
            assert driver.health().trouble is None


async def test_a_cut_reply_is_no_answer(tmp_path: Path) -> None:
    with slave_at(tmp_path, 1) as slave:
        slave.script = lambda _request, answer: Reply(answer[:-3])
        bus = bus_at(slave)
        with pytest.raises(Garbled):
            await bus.read(Read(1, "input", 0, 18, 0.05))
        assert bus.counters.short_frames == 1
        bus.close()


class Crosstalk:
    """A clock that moves when somebody sleeps; somebody else is heard on the line at the end of each sleep."""

    def __init__(self, slave: Slave) -> None:
        self.slave, self.now, self.is_on = slave, 0.0, False
        self.seams = replace(real_seams(), now=lambda: self.now, sleep=self.sleep)
        self.bus = buses.lease(self.seams, SerialLine(str(slave.link), 9600, "N", 1))

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        heard = self.bus.counters.late_frames
        while self.is_on and self.bus.counters.late_frames == heard:
            self.slave.say(with_crc(b"\x07\x04\x02\x00\x01"))
            await asyncio.wait({asyncio.get_running_loop().create_future()}, timeout=0.02)


async def test_another_master_on_the_line_is_named(tmp_path: Path) -> None:
    with slave_at(tmp_path, 1) as slave:
        slave.script = lambda _request, _answer: Reply(b"")
        others = Crosstalk(slave)
        read = Read(1, "input", 0, 18, 0.05)
        with pytest.raises(NoReply):
            await others.bus.read(read)
        others.is_on = True
        with pytest.raises(Garbled, match="a line has one master"):
            await others.bus.read(read)
        assert len(slave.requests) == 1
        others.bus.close()


async def test_a_port_in_use_is_called_so_and_taken_when_it_is_free(tmp_path: Path) -> None:
    with slave_at(tmp_path, 1) as slave:
        other = lock(slave.link)
        async with driver_at(slave) as driver:
            health = await told(driver, is_kind(Kind.IN_USE))
            assert "in use by another program" in str(health.trouble)
            os.close(other)
            async with asyncio.timeout(RECOVERY_S):
                await anext(driver)
            with pytest.raises(BlockingIOError):
                lock(slave.link)


async def test_one_line_has_one_bus_and_one_setting(tmp_path: Path) -> None:
    """Whatever it is called, and also after the adapter was replugged."""
    seams, link = real_seams(), tmp_path / "by-id"
    link.symlink_to(tmp_path / "ttyUSB0")
    line = SerialLine(str(link), 9600, "N", 1)
    first = buses.lease(seams, line)
    assert buses.lease(seams, SerialLine(str(tmp_path / "ttyUSB0"), 9600, "N", 1)) is first
    with pytest.raises(DriverError, match="same line settings"):
        buses.lease(seams, SerialLine(line.port, 19200, "E", 1))
    link.unlink()
    link.symlink_to(tmp_path / "ttyUSB1")
    assert buses.lease(seams, line) is first
    for _ in range(3):
        assert seams.shared[Bus] == [first]
        buses.release(first, seams)
    assert seams.shared[Bus] == []


async def test_a_released_line_is_not_opened_again(tmp_path: Path) -> None:
    with slave_at(tmp_path, 1) as slave:
        driver = driver_at(slave)
        await driver.open()
        reading = asyncio.ensure_future(driver.next_reading())
        await driver.close()
        assert await reading is None
        os.close(lock(slave.link))
        assert slave.requests == []


class Impatient(ReplyGuard):
    """Cancels its task in the very moment the answer comes."""

    task: asyncio.Task[object] | None = None

    def passed(self, content: bytes) -> bytes:
        answer = super().passed(content)
        if answer and self.task:
            self.task.cancel()
        return answer


async def test_a_cancellation_is_not_lost_when_it_meets_the_answer(tmp_path: Path) -> None:
    guard = Impatient()
    with slave_at(tmp_path, 1) as slave:
        seams = fast_seams()
        bus = buses.lease(seams, SerialLine(str(slave.link), 9600, "N", 1), lambda: guard)
        read = Read(1, "input", 0, 18, LONG_S)
        guard.task = asyncio.ensure_future(bus.read(read))
        await asyncio.wait({guard.task}, timeout=PATIENCE_S)
        assert guard.task.cancelled()
        guard.task = None
        assert (await bus.read(read)).registers == tuple(REGISTERS[address] for address in range(18))
        buses.release(bus, seams)


async def test_what_is_no_serial_port_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    seams = fast_seams()
    bus = buses.lease(seams, SerialLine(str(tmp_path / "file"), 9600, "N", 1))
    with pytest.raises(Down, match="Check that it is a serial port") as caught:
        await bus.read(Read(1, "input", 0, 2, 0.05))
    assert caught.value.trouble.kind is Kind.UNREACHABLE


async def test_a_tcp_host_that_refuses_is_asked_again() -> None:
    bus = buses.lease(fast_seams(), TcpLine("127.0.0.1", free_port()))
    for _ in range(2):
        with pytest.raises(Down, match="refuses the connection") as caught:
            await bus.read(Read(1, "input", 0, 2, 0.05))
        assert caught.value.trouble.kind is Kind.UNREACHABLE


@pytest.mark.parametrize(
    ("code", "kind"), [(2, Kind.REFUSED), (4, Kind.REFUSED), (6, Kind.SILENT), (0x0A, Kind.SILENT), (0x0B, Kind.SILENT)]
)
async def test_what_a_refusal_means_is_said(tmp_path: Path, code: int, kind: Kind) -> None:
    def refuse(request: Request, _answer: bytes) -> Reply:
        return Reply(with_crc(bytes((request.unit, request.function | 0x80, code))))

    with slave_at(tmp_path, 1) as slave:
        slave.script = refuse
        bus = bus_at(slave)
        with pytest.raises(Refused) as caught:
            await bus.read(Read(1, "input", 0x10, 2, LONG_S))
        assert (caught.value.code, caught.value.trouble.kind) == (code, kind)
        bus.close()
