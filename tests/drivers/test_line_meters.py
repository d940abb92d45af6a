"""SML, HAN and encrypted P1 on a real pseudo terminal and on TCP, with broken frames and wrong keys."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers import line_meter, registry
from drivers.api import DriverError, Found, Kind, Quality, Reason
from drivers.line_meter import LineDriver
from drivers.options import OptionsError, Places
from gateway.core.freshness import accept
from gateway.core.site_load import site_load
from gateway.metering import translate
from gateway.model.circuit import Circuit
from gateway.model.ids import CircuitId, MeterId
from gateway.model.metering import MeterState, MissingReason
from tests.drivers.push_rig import LUXEMBOURGS_KEY, Cable, World, encrypted, next_of, telegram, until, until_trouble
from tests.drivers.stream_frames import published

KEY = bytes.fromhex("00112233445566778899AABBCCDDEE01")
LUXEMBOURG = telegram("luxembourg")
LOCKED = encrypted(LUXEMBOURG, KEY, LUXEMBOURGS_KEY)
HLY, DZG = published("sml-hly"), published("sml-dzg")


def options(driver: str, folder: Path = Path(), **table: Any) -> Any:
    return registry.checked({"driver": driver, **table}, Places(folder))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[Cable]:
    cable = Cable(tmp_path / "usb-head")
    cable.plug()
    yield cable
    cable.unplug()


@contextlib.asynccontextmanager
async def reading(
    driver: str, cable: Cable, world: World, folder: Path = Path(), **table: Any
) -> AsyncIterator[LineDriver[Any]]:
    """Driver with its port open."""
    built = registry.build("grid", options(driver, folder, port=str(cable.link), **table), world.seams())
    assert isinstance(built, LineDriver)
    async with built:
        await until(lambda: built._feed.connected_t is not None)
        yield built


@pytest.mark.parametrize(
    ("driver", "frames", "currents"),
    [
        ("sml", ("sml-hly", "sml-efr"), [(0.41, 0.78, 0.46), (-2.19, -1.95, -3.43)]),
        ("han", ("han-aidon", "han-kaifa"), [(0.0, 7.5, 0.0), (0.301, 1.385, 1.519)]),
    ],
)
async def test_a_partial_and_a_broken_frame_cost_nothing_else(
    cable: Cable, world: World, driver: str, frames: tuple[str, str], currents: list[Any]
) -> None:
    good, other = map(published, frames)
    broken = good[:150] + bytes((good[150] ^ 4,)) + good[151:]
    async with reading(driver, cable, world) as meter:
        cable.send(good[60:] + broken + good)
        found = [await next_of(meter)]
        health = meter.health()
        assert (health.crc_errors, health.short_frames, health.reconnects, health.trouble) == (1, 0, 0, None)
        cable.send(other[:70])
        decoder: Any = meter._decoder
        await until(lambda: len(decoder._buffer.data) >= 70)
        cable.unplug()
        assert "not there" in await until_trouble(meter, Kind.UNPLUGGED)
        cable.plug()
        await until(lambda: meter._feed.connected_t is not None)
        cable.send(other[70:] + other)
        found.append(await next_of(meter))
        assert [one.current_a for one in found] == [pytest.approx(one) for one in currents]
        assert (meter.health().reconnects, meter.health().short_frames, found[1].sequence) == (1, 1, 2)


async def test_frames_over_tcp(world: World) -> None:
    frames = {"sml": HLY, "han": published("han-kamstrup")}

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for frame in frames.values():
            writer.write(frame)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        for name, volts in (("sml", 234.4), ("han", 232.0)):
            made = registry.build(name, options(name, host="127.0.0.1", tcp_port=port), world.seams())
            async with made as driver:
                assert (await next_of(driver)).voltage_v[0] == volts


async def test_a_meter_without_currents_says_so_and_is_no_load(cable: Cable, world: World) -> None:
    async with reading("sml", cable, world) as meter:
        cable.send(DZG)
        found = await next_of(meter)
        assert (found.quality, set(found.reasons)) == (Quality.PARTIAL, {Reason.CURRENT_MISSING})
        assert found.energy_import_kwh == 13391.0
        words = await until_trouble(meter, Kind.NO_CURRENTS)
        assert all(part in words for part in ("DZG", "no currents", "PIN", '"InF on"'))
        cable.send(HLY)
        await next_of(meter)
        assert meter.health().trouble is None
        world.skipped_s += 9
        for _ in range(2):
            cable.send(DZG)
            await next_of(meter)
        await until_trouble(meter, Kind.NO_CURRENTS)
    circuit, state = Circuit(CircuitId("main"), 63.0, None, MeterId("grid")), MeterState(meter=MeterId("grid"))
    loads = site_load([circuit], {state.meter: accept(state, translate.reading(found))}, found.t_mono)
    (missing,) = loads[circuit.id].missing
    assert (missing.phases, missing.reason) == ((1, 2, 3), MissingReason.NOT_MEASURED)


async def test_short_lists_alone_are_no_balancing(cable: Cable, world: World) -> None:
    short = published("han-aidon-no-list1")
    async with reading("han", cable, world) as meter:
        cable.send(short)
        await until(lambda: meter._feed.last_byte_t)
        assert meter.health().trouble is None
        world.skipped_s += 31
        cable.send(short)
        assert (await next_of(meter)).power_total_w == 280.0
        assert "full lists" in await until_trouble(meter, Kind.NO_CURRENTS)


async def test_p1_telegrams_without_currents_say_so(cable: Cable, world: World) -> None:
    async with reading("p1", cable, world, spec="austria") as meter:
        cable.send(telegram("austria"))
        await next_of(meter)
        assert "another meter" in await until_trouble(meter, Kind.NO_CURRENTS)


@pytest.mark.parametrize(("driver", "words"), [("sml", "9600 8N1"), ("han", 'parity = "E"')])
async def test_nonsense_has_a_remedy(cable: Cable, world: World, driver: str, words: str) -> None:
    async with reading(driver, cable, world) as meter:
        world.skipped_s += 60
        assert "nothing comes" in await until_trouble(meter, Kind.SILENT)
        cable.send(b"\x00\xff" * 100)
        assert words in await until_trouble(meter, Kind.GARBLED)


async def test_a_probe_tells_that_there_are_no_currents(cable: Cable, world: World) -> None:
    for driver, frame, words in (("sml", HLY, "1 HLY02"), ("han", published("han-kaifa"), "Kaifa MA304H4")):
        kind = registry.load(driver)
        looking = asyncio.create_task(kind.probe(options(driver, port=str(cable.link)), world.seams()))
        while not looking.done():
            cable.send(frame)
            await asyncio.wait({looking}, timeout=0.05)
        found = looking.result()
        assert isinstance(found, Found)
        assert words in found.what


# Encrypted P1.


@pytest.mark.parametrize(
    ("spec", "plain"), [("luxembourg", LUXEMBOURG), ("austria", telegram("austria"))], ids=["luxembourg", "austria"]
)
async def test_encrypted_telegrams_are_read_with_the_key_from_a_file(
    cable: Cable, world: World, tmp_path: Path, spec: str, plain: bytes
) -> None:
    (tmp_path / "p1.key").write_text("0011 2233 4455 6677 8899 aabb ccdd ee01\n")
    (tmp_path / "second.key").write_text(bytes(16).hex())
    second = LUXEMBOURGS_KEY if spec == "luxembourg" else bytes(16)
    table: dict[str, Any] = {"decryption_key_file": "p1.key", "spec": spec}
    if spec == "austria":
        table["authentication_key_file"] = "second.key"
    frames = [encrypted(plain, KEY, second, counter) for counter in (1, 2)]
    broken = frames[0][:300] + bytes((frames[0][300] ^ 1,)) + frames[0][301:]
    async with reading("p1", cable, world, tmp_path, **table) as meter:
        cable.send(frames[0][100:] + broken + frames[1])
        found = await next_of(meter)
        assert found.power_total_w == {"luxembourg": -897.0, "austria": 286.0}[spec]
        assert meter.health().crc_errors == 1
        trouble = meter.health().trouble
        assert (trouble and trouble.kind) == (Kind.NO_CURRENTS if spec == "austria" else None)


async def test_a_wrong_key_no_key_and_a_needless_key_are_told_apart(
    cable: Cable, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("P1_KEY", bytes(16).hex())
    cases = [
        ({"decryption_key_env": "P1_KEY"}, LOCKED, "the key does not open them"),
        ({}, LOCKED, "there is no key"),
        ({"decryption_key_env": "P1_KEY"}, LUXEMBOURG, "not encrypted, but there is a key"),
    ]
    for table, sent, words in cases:
        async with reading("p1", cable, world, tmp_path, spec="luxembourg", **table) as meter:
            world.skipped_s += 60
            cable.send(sent)
            said = await until_trouble(meter, Kind.MISCONFIGURED)
        assert words in said
        assert bytes(16).hex() not in said


async def test_a_key_that_is_none_is_said_and_never_shown(cable: Cable, world: World, tmp_path: Path) -> None:
    table = {"port": str(cable.link), "spec": "luxembourg"}
    (tmp_path / "bad.key").write_text("0011223344556677889900112233445Z")
    for more, words in (
        ({"decryption_key_file": "none.key"}, "none.key cannot be used (No such file"),
        ({"decryption_key_file": "bad.key"}, "holds no key: that is 32 digits"),
        ({"decryption_key_env": "NO_SUCH_KEY"}, "NO_SUCH_KEY cannot be used (it is not set)"),
    ):
        driver = registry.build("grid", options("p1", tmp_path, **table, **more), world.seams())
        with pytest.raises(DriverError) as caught:
            await driver.open()
        assert words in str(caught.value)
        assert "0011223344" not in str(caught.value)


PORT: dict[str, Any] = {"port": "/dev/x"}
LU: dict[str, Any] = {**PORT, "spec": "luxembourg"}


@pytest.mark.parametrize(
    ("driver", "table", "key", "remedy"),
    [
        ("sml", {}, "port", "host and tcp_port"),
        ("han", {"host": "h", "tcp_port": 1, "parity": "E"}, "parity", "Take it out"),
        ("p1", {**PORT, "decryption_key_file": "k"}, "spec", '"luxembourg"'),
        ("p1", {**LU, "decryption_key_file": "k", "decryption_key_env": "K"}, "decryption_key_file", "one of them"),
        ("p1", {**LU, "authentication_key_file": "k"}, "decryption_key_file", "decrypts nothing"),
        ("p1", {**LU, "decryption_key": "00"}, "decryption_key", "decryption_key_"),
        ("sml", {**PORT, "spec": "v5"}, "spec", "Take it out"),
    ],
)
def test_mistakes_in_the_options_have_remedies(driver: str, table: dict[str, Any], key: str, remedy: str) -> None:
    with pytest.raises(OptionsError) as caught:
        options(driver, **table)
    (mistake,) = caught.value.mistakes
    assert mistake.keys == (key,)
    assert remedy in mistake.remedy


def test_lines_are_as_meters_of_the_kind_have_them() -> None:
    sml, han, kaifa = options("sml", **PORT), options("han", **PORT), options("han", **PORT, parity="E")
    places = [made.place() for made in (sml, han, kaifa)]
    assert [(place.baud, place.bits, place.parity) for place in places] == [
        (9600, 8, "N"), (2400, 8, "N"), (2400, 8, "E"),
    ]  # fmt: skip
    assert registry.conflicts({"a": sml, "b": han}), "one port, two protocols"
    assert any("by-id" in caution for caution in options("han", port="/dev/ttyUSB0").cautions())


def test_a_package_that_is_missing_is_told_when_the_configuration_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for driver in ("p1", "sml", "han"):
        made = options(driver, **PORT)
        assert not list(made.cautions())
        with monkeypatch.context() as patched:
            patched.setattr(line_meter, "find_spec", lambda _: None)
            (caution,) = made.cautions()
        assert f'pip install "ocpp-gateway[{driver}]"' in caution
