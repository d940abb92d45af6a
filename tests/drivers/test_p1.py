"""P1 meters on a real pseudo terminal and on TCP: broken telegrams, cables that are pulled, ports that can't be had."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers import registry
from drivers.api import DriverError, Kind, Quality, Reading
from drivers.options import OptionsError, Places
from drivers.p1 import P1Driver, P1Options
from drivers.serial_port import TcpPlace
from tests.drivers.push_rig import Cable, World, changed, next_of, telegram, until, until_trouble

V5 = telegram("v5")
LIVE = changed(V5, i1="5.00*A")
BROKEN = V5.replace(b"0.48*A", b"9.48*A")


def options(**table: Any) -> P1Options:
    made = registry.checked({"driver": "p1", **table}, Places())
    assert isinstance(made, P1Options)
    return made


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[Cable]:
    cable = Cable(tmp_path / "usb-P1_Converter-if00-port0")
    yield cable
    cable.unplug()


@contextlib.asynccontextmanager
async def reading(cable: Cable, world: World) -> AsyncIterator[P1Driver]:
    """Driver with its port open."""
    driver = registry.build("grid", options(port=str(cable.link)), world.seams())
    assert isinstance(driver, P1Driver)
    async with driver:
        await until(lambda: driver._feed.connected_t is not None)
        yield driver


class Adapter:
    """Passes telegrams on over TCP, like ser2net."""

    def __init__(self) -> None:
        self.writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self.port = 0
        self.accepted = 0
        self.greeting = b""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        self.accepted += 1
        writer.write(self.greeting)
        await reader.read()
        self.writers.remove(writer)
        writer.close()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self.writers):
            writer.close()
            await writer.wait_closed()
        await self._server.wait_closed()


@pytest.fixture
async def adapter() -> AsyncIterator[Adapter]:
    adapter = Adapter()
    await adapter.start()
    yield adapter
    await adapter.stop()


async def test_good_telegrams_are_read_and_broken_ones_dropped_and_counted(cable: Cable, world: World) -> None:
    cable.plug()
    async with reading(cable, world) as driver:
        cable.send(V5[400:] + BROKEN + LIVE[:100])
        await until(lambda: driver.health().crc_errors)
        began = world.now()
        cable.send(LIVE[100:])
        first = await next_of(driver)
        cable.send(V5)
        second = await next_of(driver)
    assert [first.current_a[0], second.current_a[0]] == pytest.approx([5.0, 0.48])
    assert (first.meter, first.sequence, first.quality) == ("grid", 1, Quality.GOOD)
    assert first.t_mono < began, "a reading is as old as the first byte of its telegram"
    assert (first.t_wall - world.wall()).total_seconds() == pytest.approx(first.t_mono - world.now(), abs=0.01)
    health = driver.health()
    assert (health.readings, health.crc_errors, health.short_frames, health.reconnects) == (2, 1, 0, 0)


async def test_only_the_newest_waits(cable: Cable, world: World) -> None:
    cable.plug()
    async with reading(cable, world) as driver:
        cable.send(V5 + V5 + LIVE)
        await until(lambda: driver.health().replaced == 2)
        found = await next_of(driver)
    assert (found.sequence, found.current_a[0]) == (3, 5.0)


async def test_a_pulled_cable_is_said_and_read_again_without_a_restart(cable: Cable, world: World) -> None:
    cable.plug()
    async with reading(cable, world) as driver:
        for number in range(2):
            cable.send(LIVE[:300])
            await until(lambda: driver._decoder and driver._decoder._began is not None)
            cable.unplug()
            words = await until_trouble(driver, Kind.UNPLUGGED)
            assert "not there" in words
            assert "/dev/serial/by-id" in words
            assert cable.descriptors() == 0, "the old descriptor is closed before the next is opened"
            unplugged_t = world.now()
            cable.plug()
            await until(lambda: driver._feed.connected_t is not None)
            cable.send(LIVE[300:] + LIVE)
            found = await next_of(driver)
            assert found.sequence == number + 1, "two halves are no telegram"
            assert found.t_mono >= unplugged_t
            assert world.now() - unplugged_t <= 6
            assert cable.descriptors() == 1
    assert driver.health().reconnects == 2
    assert driver.health().short_frames == 2


async def test_a_port_is_opened_for_us_alone_and_why_it_is_not_is_said(cable: Cable, world: World) -> None:
    driver = P1Driver("grid", options(port=str(cable.link)), world.seams())
    async with driver:
        assert "unplugged" in await until_trouble(driver, Kind.UNPLUGGED)
        cable.plug()
        other = os.open(cable.device, os.O_RDWR | os.O_NOCTTY)
        try:
            fcntl.flock(other, fcntl.LOCK_EX)
            assert "in use by another program" in await until_trouble(driver, Kind.IN_USE)
        finally:
            os.close(other)
        await until(lambda: driver._feed.connected_t is not None)
        second = P1Driver("second", options(port=str(cable.link)), world.seams())
        async with second:
            await until_trouble(second, Kind.IN_USE)
        cable.send(LIVE)
        assert (await next_of(driver)).current_a[0] == 5.0


@contextlib.contextmanager
def somebody_without_rights(device: str) -> Iterator[None]:
    """Root may open everything, so the test is somebody else meanwhile."""
    me = os.geteuid()
    os.chmod(device, 0)
    try:
        if me == 0:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(me)
        os.chmod(device, 0o600)


async def test_a_port_without_permission_is_said(cable: Cable, world: World) -> None:
    cable.plug()
    driver = P1Driver("grid", options(port=cable.device), world.seams())
    async with P1Driver("before", options(port=cable.device), world.seams()) as before:
        await until(lambda: before._feed.connected_t is not None)  # nobody else may import what this needs
    with somebody_without_rights(cable.device):
        await driver.open()
        words = await until_trouble(driver, Kind.NO_PERMISSION)
        assert "dialout" in words
    try:
        await until(lambda: driver._feed.connected_t is not None)
    finally:
        await driver.close()


async def test_silence_and_nonsense_are_told_apart(cable: Cable, world: World) -> None:
    cable.plug()
    async with reading(cable, world) as driver:
        assert driver.health().trouble is None
        world.skipped_s += 30
        assert "nothing comes" in await until_trouble(driver, Kind.SILENT)
        cable.send(V5[:50] * 3)
        assert "no whole telegram" in await until_trouble(driver, Kind.GARBLED)
        cable.send(telegram("v2.2"))
        assert 'spec = "v3"' in await until_trouble(driver, Kind.MISCONFIGURED)
        cable.send(LIVE)
        await next_of(driver)
        assert driver.health().trouble is None


async def test_the_interval_is_measured(cable: Cable, world: World) -> None:
    cable.plug()
    intervals = []
    async with reading(cable, world) as driver:
        for _ in range(5):
            world.skipped_s += 10
            cable.send(LIVE)
            intervals.append((await next_of(driver)).interval_s)
        cable.unplug()
        await until_trouble(driver, Kind.UNPLUGGED)
        world.skipped_s += 3600
        cable.plug()
        await until(lambda: driver._feed.connected_t is not None)
        gaps = driver._rhythm._gaps.copy()
        cable.send(LIVE)
        await next_of(driver)
        assert driver._rhythm._gaps == gaps, "a pause is no interval"
    assert intervals == [1.0, 1.0, 1.0, pytest.approx(10, abs=0.2), pytest.approx(10, abs=0.2)]


async def test_a_step_of_the_wall_clock_changes_no_age(cable: Cable, world: World) -> None:
    cable.plug()
    async with reading(cable, world) as driver:
        cable.send(LIVE)
        found = await next_of(driver)
        age = found.age_s(world.now())
        world.wall_step -= world.wall_step.resolution * 3_600_000_000
        assert found.age_s(world.now()) >= age
        world.skipped_s += 100
        assert found.age_s(world.now()) > 100


async def test_telegrams_over_tcp_with_a_restart_of_the_adapter(adapter: Adapter, world: World) -> None:
    driver = registry.build("grid", options(host="127.0.0.1", tcp_port=adapter.port), world.seams())
    async with driver:
        await until(lambda: adapter.writers)
        adapter.writers[0].write(V5[500:] + LIVE)
        assert (await next_of(driver)).current_a[0] == 5.0
        adapter.writers[0].write(LIVE[:100])
        await adapter.stop()
        await until(lambda: "refuses the connection" in str(driver.health().trouble))
        await adapter.start()
        await until(lambda: adapter.writers)
        adapter.writers[0].write(LIVE[100:] + V5)
        found = await next_of(driver)
    assert (found.sequence, str(found.current_a[0])) == (2, "0.48")
    assert driver.health().reconnects == 1


async def test_a_tcp_connection_that_went_silent_is_made_anew(
    adapter: Adapter, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a power cut at the adapter: nobody closes anything."""
    monkeypatch.setattr(P1Options, "place", lambda self: TcpPlace(self.host, self.tcp_port, silence_s=0.1))
    async with registry.build("grid", options(host="127.0.0.1", tcp_port=adapter.port), world.seams()) as driver:
        await until(lambda: adapter.accepted >= 2)
        assert "sends nothing" in await until_trouble(driver, Kind.SILENT)
        adapter.greeting = LIVE
        assert (await next_of(driver)).current_a[0] == 5.0


async def test_a_name_that_is_none_is_said(world: World) -> None:
    async with registry.build("grid", options(host="a..b", tcp_port=1), world.seams()) as driver:
        assert "no host name" in await until_trouble(driver, Kind.UNREACHABLE)


async def test_a_probe_shows_what_is_there(cable: Cable, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(P1Driver, "listen_s", 0.3)
    with pytest.raises(DriverError, match="not there"):
        await P1Driver.probe(options(port=str(cable.link)), world.seams())
    cable.plug()
    assert await P1Driver.probe(options(port=str(cable.link)), world.seams()) is None
    monkeypatch.setattr(P1Driver, "listen_s", 10.0)
    probing = asyncio.create_task(P1Driver.probe(options(port=str(cable.link)), world.seams()))
    while not probing.done():
        cable.send(LIVE)
        await asyncio.wait({probing}, timeout=0.05)
    found = probing.result()
    assert found is not None
    assert found.what == "P1 telegrams of ISk5\\2MT382-1000"
    assert isinstance(found.reading, Reading)


async def test_closing_twice_and_before_the_port_is_there_is_no_matter(cable: Cable, world: World) -> None:
    driver = P1Driver("grid", options(port=str(cable.link)), world.seams())
    await driver.open()
    await driver.close()
    await driver.close()
    assert await driver.next_reading() is None


@pytest.mark.parametrize(
    ("table", "key", "remedy"),
    [
        ({}, "port", "host and tcp_port"),
        ({"port": "/dev/ttyUSB0", "host": "h", "tcp_port": 1}, "port", "Take either"),
        ({"host": "h"}, "tcp_port", "host and tcp_port"),
        ({"host": "h", "tcp_port": 1, "baud": 9600}, "baud", "Take it out"),
        ({"port": "socket://x"}, "port", "/dev/serial/by-id"),
        ({"port": "/dev/x", "spec": "v6"}, "spec", "v5"),
    ],
)
def test_mistakes_in_the_options_have_remedies(table: dict[str, Any], key: str, remedy: str) -> None:
    with pytest.raises(OptionsError) as caught:
        options(**table)
    (mistake,) = caught.value.mistakes
    assert mistake.keys == (key,)
    assert remedy in mistake.remedy


def test_options_say_what_they_use_and_what_to_look_at() -> None:
    usb = options(port="/dev/ttyUSB0", spec="v2.2")
    assert any("by-id" in caution for caution in usb.cautions())
    assert any("no currents" in caution for caution in usb.cautions())
    assert registry.conflicts({"a": usb, "b": options(port="/dev/ttyUSB0")})
    assert registry.conflicts({"a": options(host="H", tcp_port=1), "b": options(host="h", tcp_port=1)})
    assert not registry.conflicts({"a": usb, "b": options(host="h", tcp_port=1)})
    place: Any = usb.place()
    assert (place.baud, place.bits, place.parity) == (9600, 7, "E")
    changed_line: Any = options(port="/dev/x", baud=300, bits=7, parity="O").place()
    assert (changed_line.baud, changed_line.bits, changed_line.parity) == (300, 7, "O")
