"""SMA's datagrams, from bytes to values, and over a real socket: to the group on the loopback, and to one address."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import registry, speedwire
from drivers.api import NO_PHASES, Found, Kind, Quality, Reason, Signed
from drivers.options import OptionsError, Places
from drivers.speedwire import SpeedwireDriver, SpeedwireOptions
from drivers.speedwire_datagram import Datagram, decoded
from tests.drivers.push_rig import World, next_of, until, until_trouble
from tests.drivers.stream_frames import published

EM, EM2 = published("speedwire-em"), published("speedwire-em2")
SERIAL, SERIAL2 = 1900243374, 1901401956
GROUP = "239.12.255.254"


def near(values: Any) -> Any:
    return pytest.approx(values, abs=1e-6)


def said(data: bytes) -> Datagram:
    found = decoded(data)
    assert found is not None
    return found


def with_ticker(data: bytes, ticker_ms: int) -> bytes:
    return data[:24] + ticker_ms.to_bytes(4, "big") + data[28:]


def with_value(data: bytes, index: int, value: int) -> bytes:
    at = data.index(bytes((0, index, 4, 0)), 28)
    return data[: at + 4] + value.to_bytes(4, "big") + data[at + 8 :]


def without(data: bytes, *indices: int) -> bytes:
    for index in indices:
        at = data.index(bytes((0, index, 4, 0)), 28)
        data = data[:at] + data[at + 8 :]
    return data[:12] + (len(data) - 20).to_bytes(2, "big") + data[14:]


@pytest.mark.parametrize(
    ("data", "serial", "expected"),
    [
        (
            EM,
            SERIAL,
            {"current_a": (-2.608, -3.135, -2.628), "voltage_v": (228.299, 226.425, 229.073),
             "power_w": (-539.4, -678.5, -525.0), "power_total_w": -1742.9, "power_factor": 0.944,
             "energy_import_kwh": 39636.5034, "energy_export_kwh": 25602.1703, "frequency_hz": None},
        ),
        (
            EM2,
            SERIAL2,
            {"current_a": (2.213, -0.572, 0.035), "voltage_v": (232.978, 233.41, 233.976),
             "power_w": (426.5, -125.4, 5.2), "power_total_w": 306.3, "power_factor": 0.994,
             "energy_import_kwh": 3544.497, "energy_export_kwh": 16468.5739},
        ),
    ],
)  # fmt: skip
def test_published_datagrams(data: bytes, serial: int, expected: dict[str, Any]) -> None:
    found = said(data)
    assert found.serial == serial
    assert {key: found.values[key] for key in expected} == {key: near(value) for key, value in expected.items()}
    assert (found.values["current_signed"], found.values["quality"]) == (Signed.FROM_POWER, Quality.GOOD)


def test_a_frequency_is_read_where_there_is_one() -> None:
    """Home managers with newer software send it; its entry takes the place of the power factor here."""
    assert said(EM.replace(bytes((0, 13, 4, 0)), bytes((0, 14, 4, 0)), 1)).values["frequency_hz"] == near(0.944)


def test_what_is_not_there_is_missing_and_never_zero() -> None:
    no_current, no_power = said(without(EM, 51)).values, said(without(EM, 41)).values
    assert (no_current["current_a"], no_current["reasons"]) == ((-2.608, None, -2.628), {Reason.CURRENT_MISSING})
    assert (no_power["power_w"][1], no_power["current_a"][1]) == (None, 3.135)
    assert no_power["reasons"] == {Reason.POWER_MISSING, Reason.SIGN_UNKNOWN}
    blank = said(with_value(EM, 51, 0xFFFF_FFFF)).values
    assert blank["current_a"] == (-2.608, None, -2.628)
    nothing = said(without(EM, *(base + more for base in (20, 40, 60) for more in (1, 2, 11, 12)))).values
    assert (nothing["current_a"], nothing["power_w"], nothing["current_signed"]) == (NO_PHASES, NO_PHASES, "unknown")


@given(data=st.binary(max_size=700))
def test_junk_is_no_datagram_or_broken(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert decoded(data) is None
    with contextlib.suppress(ValueError):
        decoded(EM[:28] + data)


@given(length=st.integers(0, len(EM) - 5))
def test_half_a_datagram_is_none(length: int) -> None:
    """The last four bytes are the end tag."""
    try:
        assert decoded(EM[:length]) is None
    except ValueError:
        assert length >= 28


def test_other_datagrams_of_speedwire_are_passed_over() -> None:
    assert decoded(EM[:16] + b"\x60\x65" + EM[18:]) is None
    assert decoded(b"SMA\0" + bytes(10)) is None


# Over sockets.


def options(**table: Any) -> SpeedwireOptions:
    made = registry.checked({"driver": "speedwire", **table}, Places())
    assert isinstance(made, SpeedwireOptions)
    return made


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def meter() -> Iterator[socket.socket]:
    """Sends to the group over the loopback, and to nobody further."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
        yield sender


@contextlib.asynccontextmanager
async def listening(world: World, port: int, **table: Any) -> AsyncIterator[SpeedwireDriver]:
    driver = SpeedwireDriver("grid", options(udp_port=port, interface="127.0.0.1", **table), world.seams())
    async with driver:
        await until(lambda: driver._sockets == 1)
        yield driver


async def test_what_is_sent_to_the_group_is_read_once(world: World, port: int, meter: socket.socket) -> None:
    async with listening(world, port) as one, listening(world, port) as other:
        for data in (b"junk", EM[:100], EM, EM, with_ticker(EM, 7)):
            meter.sendto(data, (GROUP, port))
        await until(lambda: one.health().replaced == 1)
        found, also = await next_of(one), await next_of(other)
        assert (found.current_a, found.sequence, found.interval_s) == (near((-2.608, -3.135, -2.628)), 2, 1.0)
        assert also.current_a == found.current_a
        health = one.health()
        assert (health.short_frames, health.late_frames, health.trouble) == (1, 1, None)


async def test_what_is_sent_to_us_alone_is_read(world: World, port: int, meter: socket.socket) -> None:
    async with listening(world, port, unicast=True, serial=SERIAL2, host="127.0.0.1") as driver:
        meter.sendto(EM2, ("127.0.0.1", port))
        assert (await next_of(driver)).power_total_w == near(306.3)


async def test_nobody_else_is_heard_with_an_address(world: World, port: int, meter: socket.socket) -> None:
    async with listening(world, port, unicast=True, host="127.0.0.9") as driver:
        meter.sendto(EM2, ("127.0.0.1", port))
        world.skipped_s += 10
        assert "unicast receivers" in await until_trouble(driver, Kind.SILENT)
        assert driver.health().readings == 0


async def test_of_two_meters_none_is_read_until_it_is_said_which(world: World, port: int, meter: socket.socket) -> None:
    async with listening(world, port) as driver, listening(world, port, serial=SERIAL2) as chosen:
        meter.sendto(EM, (GROUP, port))
        await next_of(driver)
        meter.sendto(EM2, (GROUP, port))
        assert (await next_of(chosen)).power_total_w == near(306.3)
        words = await until_trouble(driver, Kind.MISCONFIGURED)
        assert f"{SERIAL}, {SERIAL2}" in words
        meter.sendto(with_ticker(EM, 9), (GROUP, port))
        meter.sendto(with_ticker(EM2, 9), (GROUP, port))
        assert (await next_of(chosen)).sequence == 2
        assert driver._sequence == 1
        world.skipped_s += 70
        meter.sendto(with_ticker(EM, 10), (GROUP, port))
        assert (await next_of(driver)).sequence == 2, "the other one is gone for a minute"


async def test_a_wrong_serial_number_is_said(world: World, port: int, meter: socket.socket) -> None:
    async with listening(world, port, serial=12345) as driver:
        world.skipped_s += 10
        meter.sendto(EM, (GROUP, port))
        await until(lambda: str(SERIAL) in str(driver.health().trouble))
        world.skipped_s += 70
        assert "IGMP" in await until_trouble(driver, Kind.SILENT)


async def test_silence_and_an_interface_that_comes_later(
    world: World, port: int, meter: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = SpeedwireDriver("grid", options(udp_port=port, interface="no-such0"), world.seams())
    async with driver:
        assert "no network interface no-such0" in await until_trouble(driver, Kind.UNREACHABLE)
        monkeypatch.setattr(speedwire, "_membership", lambda _: socket.inet_aton(GROUP) + socket.inet_aton("127.0.0.1"))
        await until(lambda: driver._sockets == 1)
        monkeypatch.setattr(speedwire, "_SILENCE_S", 0.05)
        meter.sendto(EM, (GROUP, port))
        await next_of(driver)
    monkeypatch.setattr(speedwire, "_SILENCE_S", 0.05)
    async with listening(world, port) as silent:
        await until(lambda: silent.health().reconnects >= 1)


async def test_a_port_that_somebody_has_is_said(world: World, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port))
        table = options(udp_port=port, interface="127.0.0.1", unicast=True)
        async with SpeedwireDriver("grid", table, world.seams()) as driver:
            assert "in use by another program" in await until_trouble(driver, Kind.IN_USE)


def test_errors_of_the_system_in_words() -> None:
    where = options(interface="eth0")
    for number, kind, words in (
        (errno.EACCES, Kind.NO_PERMISSION, "may not listen"),
        (errno.ENODEV, Kind.UNREACHABLE, "no network interface eth0"),
    ):
        trouble = speedwire._cannot_listen(where, OSError(number, "x"))
        assert (trouble.kind, words in trouble.problem) == (kind, True)
    assert "Write interface" in speedwire._cannot_listen(options(), OSError(errno.ENODEV, "x")).remedy


async def test_a_probe_shows_what_is_there(world: World, port: int, meter: socket.socket) -> None:
    table = options(udp_port=port, interface="127.0.0.1")
    looking = asyncio.create_task(SpeedwireDriver.probe(table, world.seams()))
    while not looking.done():
        meter.sendto(EM, (GROUP, port))
        await asyncio.wait({looking}, timeout=0.02)
    found = looking.result()
    assert isinstance(found, Found)
    assert str(SERIAL) in found.what


@pytest.mark.parametrize(
    ("table", "key", "words"),
    [
        ({"serial": "1900243374"}, "serial", "label"),
        ({"serial": 0}, "serial", "label"),
        ({"interface": "10.0.0.300"}, "interface", "eth0"),
        ({"interface": "eth0", "unicast": True}, "interface", "all are listened at"),
        ({"host": "meter.lan"}, "host", "IPv4 address"),
    ],
)
def test_mistakes_in_the_options_have_remedies(table: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(OptionsError) as caught:
        options(**table)
    (mistake,) = caught.value.mistakes
    assert mistake.keys == (key,)
    assert words in mistake.remedy


def test_several_meters_are_heard_in_one_group_but_not_at_one_address() -> None:
    one, other = options(serial=1), options(serial=2)
    assert not registry.conflicts({"a": one, "b": other})
    assert registry.conflicts({"a": one, "b": options(serial=1)})
    assert registry.conflicts({"a": one, "b": options(serial=2, unicast=True)})
    assert any("second one" in caution for caution in options().cautions())
    assert not list(one.cautions())
