"""A short flood in every test run; `python -m tests.bad_input.flood --frames 100000` is the long one."""

from pathlib import Path

import pytest

from tests.bad_input.flood import Mutator, flood
from tests.bad_input.rig import Kit, RawCsms, RawStation, WsFrame

GARBAGE = b"[2,not JSON"


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a short path, for the Unix socket in it."""
    return tmp_path_factory.mktemp("gw")


async def test_flood_of_malformed_frames(directory: Path, seed: int) -> None:
    report = await flood(seed, 5000, directory)
    assert not report.problems
    assert report.frames >= 6000
    assert report.connections > 10
    assert report.closed
    assert report.healthy_answers > 50


def test_a_seed_makes_the_same_frames() -> None:
    one, same, other = Mutator(1), Mutator(1), Mutator(2)
    frames = one.batch(100)
    assert frames == same.batch(100)
    assert frames != other.batch(100)


def test_every_kind_of_mutation_is_made() -> None:
    mutator = Mutator(1)
    for _ in range(300):
        mutator.batch(25)
    assert len(mutator.made) == 28
    assert min(mutator.made.values()) > 1


async def test_garbage_for_ever_does_not_fill_the_disk(directory: Path) -> None:
    """Of many lines that say the same of one station, few are written, and one says how many were not."""
    async with (
        RawCsms() as csms,
        Kit.gateway_at(directory, csms.url) as gateway,
        await RawStation.connect(gateway.port, "LOUD", "1.6") as loud,
        await RawStation.connect(gateway.port, "QUIET", "1.6") as quiet,
    ):
        kit = Kit(gateway, csms, quiet)
        await kit.linked("LOUD")
        await kit.linked("QUIET")
        loud.send(*[WsFrame(1, GARBAGE)] * 300)
        for _ in range(300):
            assert (await loud.message())[0] == 4
        quiet.send(WsFrame(1, GARBAGE))
        assert (await quiet.message())[0] == 4
        await quiet.is_served()
        assert 1 <= len(kit.lines("LOUD", "unusable")) <= 50
        assert len(kit.lines("QUIET", "unusable")) == 1, "one station's noise hides another's trouble"


async def test_a_station_that_breaks_the_protocol_and_never_hangs_up_is_dropped(directory: Path) -> None:
    """With pings it takes until the next one; without, for ever: a descriptor and a "connected" station each."""
    async with (
        RawCsms() as csms,
        Kit.gateway_at(directory, csms.url, "ping_interval_s = 0") as gateway,
        await RawStation.connect(gateway.port, "HALF-DEAD", "1.6") as half_dead,
        await RawStation.connect(gateway.port, "HEALTHY", "1.6") as healthy,
    ):
        kit = Kit(gateway, csms, healthy)
        await kit.linked("HALF-DEAD")
        half_dead.send(WsFrame(1, b"[]", rsv=4))
        assert await half_dead.close_code() == 1002
        await kit.until(lambda: kit.lines("HALF-DEAD", "disconnected"), limit_s=10)
