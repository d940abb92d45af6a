"""Messages without an answer, on their way through the walks: what passes, what is kept, what is dropped."""

import random

import pytest

from gateway.clock import Clock
from gateway.dialects import registry
from gateway.dialects.base import Dialect
from gateway.flows import command, inbound
from gateway.model.ids import StationId
from gateway.model.records import StationRecord
from gateway.ports import LinkState
from gateway.rpc.frame import Send
from gateway.rpc.session import Outcome, RefusedResult
from gateway.site import Site
from gateway.site_options import SiteOptions
from tests.downlink.rig import FakeUplink

NEW, OLD = registry.by_name("2.1"), registry.by_name("2.0.1")
STREAM = "NotifyPeriodicEventStream"


class _Uplink(FakeUplink):
    """A link that notes what goes up."""

    def __init__(self) -> None:
        super().__init__()
        self.spoken: Dialect | None = None
        self.sent: list[bytes] = []
        self.ids: set[str] = set()

    def state(self, station: StationId) -> LinkState:
        return LinkState.UP if self.spoken else LinkState.DOWN

    def dialect(self, station: StationId) -> Dialect | None:
        return self.spoken

    def send(self, station: StationId, message_id: str, action: str, payload: bytes) -> None:
        self.sent.append(payload)
        self.ids.add(message_id)


class _Port:
    """A station that notes what comes down."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.sent: list[str] = []

    @property
    def dialect(self) -> Dialect:
        return self._dialect

    async def call(self, action: str, payload: bytes, *, send_by: float = float("inf")) -> Outcome:
        raise AssertionError("nothing is asked")

    def send(self, action: str, payload: bytes) -> None:
        self.sent.append(action)

    def refuse_result(self, refused: RefusedResult) -> None: ...

    def close(self, code: int, reason: str) -> None: ...

    async def is_alive(self, within_s: float) -> bool:
        return True


class _Bench:
    def __init__(self) -> None:
        self.site = Site(SiteOptions(), Clock(), random.Random(1))
        self.uplink = self.site.uplink = _Uplink()
        self.station = self.site.station(StationId("CP"))

    def come(self, payload: bytes, action: str = STREAM, dialect: Dialect = NEW) -> None:
        inbound.pass_send(self.site, self.station, dialect, Send("s", action, payload))

    def link_up(self, dialect: Dialect = NEW) -> None:
        self.uplink.spoken = dialect
        inbound.pass_kept_sends(self.site, self.station)


@pytest.fixture
async def bench() -> _Bench:
    """Made in a loop: a station has events."""
    return _Bench()


def test_each_goes_up_at_once_under_an_id_of_ours(bench: _Bench) -> None:
    bench.link_up()
    for number in range(100):
        bench.come(b"%d" % number)
    assert bench.uplink.sent == [b"%d" % number for number in range(100)]
    assert len(bench.uplink.ids) == 100
    assert bench.station.sends == []


def test_the_newest_are_kept_and_come_once(bench: _Bench) -> None:
    for number in range(100):
        bench.come(b"%d" % number)
    bench.link_up()
    assert bench.uplink.sent == [b"%d" % number for number in range(36, 100)]
    bench.link_up()
    assert len(bench.uplink.sent) == 64


def test_big_ones_are_kept_by_size(bench: _Bench) -> None:
    for number in range(5):
        bench.come(b"%d" % number * 100_000)
    assert [send.payload[:1] for _, send in bench.station.sends] == [b"3", b"4"]
    bench.come(b"x" * (inbound.MAX_KEPT_BYTES + 1))
    assert bench.station.sends == []
    bench.link_up()
    bench.come(b"x" * (inbound.MAX_KEPT_BYTES + 1))
    assert len(bench.uplink.sent) == 1


def test_they_wait_for_a_boot_that_has_to_go_first(bench: _Bench) -> None:
    bench.station.record = StationRecord(StationId("CP"), boot=b"{}", boot_due=True)
    bench.link_up()
    bench.come(b"1")
    assert bench.uplink.sent == []
    bench.station.record = StationRecord(StationId("CP"))
    bench.come(b"2")
    assert bench.uplink.sent == [b"1", b"2"]


def test_a_link_of_another_version_does_not_get_them(bench: _Bench) -> None:
    bench.link_up(OLD)
    bench.come(b"1")
    bench.link_up(NEW)
    assert bench.uplink.sent == []


@pytest.mark.parametrize("action", ["TransactionEvent", "NotifyReport", "Heartbeat", "SetVariables", "DataTransfer"])
def test_what_has_an_answer_is_dropped_both_ways(bench: _Bench, action: str, caplog: pytest.LogCaptureFixture) -> None:
    bench.link_up()
    bench.come(b"1", action)
    bench.station.port = port = _Port(NEW)
    command.pass_send(bench.station, NEW, Send("s", action, b"{}"))
    assert (bench.uplink.sent, port.sent, bench.station.sends) == ([], [], [])
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


@pytest.mark.parametrize(("spoken", "passes"), [(NEW, True), (OLD, False), (None, False)])
def test_down_goes_what_the_station_there_understands(bench: _Bench, spoken: Dialect | None, passes: bool) -> None:
    port = _Port(spoken or NEW)
    bench.station.port = port if spoken else None
    command.pass_send(bench.station, NEW, Send("s", "VoltSignal", b"{}"))
    assert port.sent == (["VoltSignal"] if passes else [])
