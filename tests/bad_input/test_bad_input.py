"""Every class of bad input against a real gateway: what comes back, one log line, and nobody else notices.

From the station's side and from the CSMS's. The kit says what must come back.
"""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.bad_input.kit import JSON_CLASSES, MASKING, SOCKET_CLASSES, Bad, Closed, Refused, Served
from tests.bad_input.rig import TEXT, VERSIONS, Kit, RawCsms, RawStation, WsFrame

pytestmark = pytest.mark.asyncio(loop_scope="module")

STATION_CLASSES = (*JSON_CLASSES, *SOCKET_CLASSES, MASKING["station does not mask"])
CSMS_CLASSES = (*JSON_CLASSES, *SOCKET_CLASSES, MASKING["CSMS masks"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kit(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kit]:
    """One gateway for all classes; it must be there at the end, and have nothing to be ashamed of in its log."""
    async with RawCsms() as csms, Kit.gateway_at(tmp_path_factory.mktemp("gw"), csms.url) as gateway:
        async with await RawStation.connect(gateway.port, "HEALTHY", "1.6") as healthy:
            kit = Kit(gateway, csms, healthy)
            await kit.linked("HEALTHY")
            yield kit
            await healthy.is_served()
            assert not kit.lines("HEALTHY", "disconnected")
        kit.assert_no_traceback()
        assert await gateway.stop() == 0


def identity(side: str, bad: Bad, version: str) -> str:
    return f"{side}-{version}-{re.sub('[^a-z0-9]+', '-', bad.name.casefold())}"[:48]


def assert_one_line(kit: Kit, name: str, since: int, bad: Bad) -> None:
    lines = kit.lines(name, since=since)
    assert len(lines) == (bad.log is not None), lines
    assert bad.log is None or re.search(bad.log, lines[0]), lines
    assert all(line.isprintable() and len(line) < 600 for line in lines), lines


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("bad", STATION_CLASSES, ids=lambda bad: bad.name)
async def test_from_a_station(kit: Kit, bad: Bad, version: str) -> None:
    name, expected = identity("BAD", bad, version), bad.expected(version)
    async with await kit.station(name, version) as station:
        await station.is_served()
        since = kit.log_length()
        station.send(*bad.frames)
        await kit.healthy.is_served()
        if isinstance(expected, Closed):
            assert await station.ended() == expected.code
        else:
            if isinstance(expected, Refused):
                assert (await station.message())[:3] == [4, expected.message_id, expected.spelled(version)]
            elif isinstance(expected, Served):
                assert (await station.message())[:2] == [3, expected.message_id]
            await station.is_served()
            assert_one_line(kit, name, since, bad)
    if isinstance(expected, Closed):
        await kit.until(lambda: kit.lines(name, since=since))
        assert_one_line(kit, name, since, bad)
        async with await RawStation.connect(kit.gateway.port, name, version) as again:
            await again.is_served()
    await kit.healthy.is_served()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("bad", CSMS_CLASSES, ids=lambda bad: bad.name)
async def test_from_the_csms(kit: Kit, bad: Bad, version: str) -> None:
    name, expected = identity("UP", bad, version), bad.expected(version)
    async with await kit.station(name, version) as station:
        await station.is_served()
        since = kit.log_length()
        kit.csms.write(name, *bad.frames)
        await kit.healthy.is_served()
        if isinstance(expected, Closed):
            await kit.until(lambda: kit.lines(name, "link to the CSMS is down", since=since))
            assert f"({expected.code}" in kit.lines(name, since=since)[0]
            await kit.linked(name, times=2)
        elif isinstance(expected, Refused):
            assert (await kit.csms.heard(name))[:3] == [4, expected.message_id, expected.spelled(version)]
        elif isinstance(expected, Served):
            await answer_what_comes_down(kit, name, station, expected)
        await station.is_served()
        assert kit.csms.said[name].empty()
        if not isinstance(expected, Closed):
            assert_one_line(kit, name, since, bad)
        assert not kit.lines(name, "disconnected", since=since)


async def answer_what_comes_down(kit: Kit, name: str, station: RawStation, expected: Served) -> None:
    """An odd CALL of the CSMS reaches the station under an id of ours, and its answer goes up under the CSMS's."""
    kind, message_id, *_ = await station.message()
    assert kind == 2
    station.send(WsFrame(TEXT, b'[3,"%b",{}]' % message_id.encode()))
    assert await kit.csms.heard(name) == [3, expected.message_id, {}]
