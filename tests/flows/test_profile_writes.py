"""One profile on its way into a station: what its answer says, by which clock its lease is reckoned, what is noted."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.balancer import Car
from gateway.dialects import registry
from gateway.dialects.base import Dialect
from gateway.dialects.draws import DRAW_READERS
from gateway.flows import hearing, profile_writes, site_facts
from gateway.flows.caps import Cap, put
from gateway.model.balance import Answer, Urgency, Write
from gateway.model.draw import Draw
from gateway.model.ids import TransactionKey
from gateway.model.profile import Kind
from gateway.model.records import Put
from gateway.model.site_tree import Binding, Why
from gateway.model.transaction import Transaction
from gateway.rpc.session import Answered, Outcome, Refused, RefusedResult, Silence, Unanswered
from gateway.smartcharging import merge
from gateway.smartcharging.families import shipped
from gateway.smartcharging.held import Supply
from gateway.smartcharging.merge import Writing
from gateway.station import Station
from tests.flows.test_caps import Bench, plan

KEY = plan().connectors[0].key


class Port:
    """A station that answers so."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome

    @property
    def dialect(self) -> Dialect:
        return registry.by_name("1.6")

    async def call(self, action: str, payload: bytes, *, send_by: float = float("inf")) -> Outcome:
        return self._outcome

    def send(self, action: str, payload: bytes) -> None: ...

    def refuse_result(self, refused: RefusedResult) -> None: ...

    def close(self, code: int, reason: str) -> None: ...

    async def is_alive(self, within_s: float) -> bool:
        return True


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [
        (Answered(b'{"status":"Accepted"}'), Answer.ACCEPTED),
        (Answered(b'{"status":"Rejected"}'), Answer.REJECTED),
        (Answered(b'{"status":"notSupported"}'), Answer.REJECTED),
        (Answered(b'{"status":"OK"}'), Answer.UNKNOWN),
        (Answered(b"{}"), Answer.UNKNOWN),
        (Refused("NotSupported", ""), Answer.REJECTED),
        (Refused("FormationViolation", "its answer is no JSON", is_garbled=True), Answer.UNKNOWN),
        (Unanswered(Silence.CLOSED, was_sent=True), Answer.UNKNOWN),
        (Unanswered(Silence.TOO_LATE, was_sent=False), Answer.NOT_SENT),
    ],
)
async def test_only_a_clear_no_says_that_a_station_does_not_hold_it(
    tmp_path: Path, outcome: Outcome, answer: Answer
) -> None:
    async with Bench(tmp_path / "db", plan()) as bench:
        station = bench.site.station(KEY.station)
        station.port = Port(outcome)
        profile = merge.fallback(1, 6.0, Supply(), Writing())
        assert await profile_writes.send(bench.site, station, 1, profile, 2000.0) is answer


def running(bench: Bench, station: Station) -> Transaction:
    begun = Transaction(
        TransactionKey(1), station.id, 1, 1, "s", "7", started="2026-03-01T08:16:00Z", received=bench.site.clock.now()
    )
    bench.site.ledger.put_transaction(begun)
    return begun


@pytest.mark.parametrize("off_s", [-45.0, 45.0])
async def test_a_lease_is_absolute_only_by_a_clock_that_is_right(tmp_path: Path, off_s: float) -> None:
    """One that is 45 s behind would step down 45 s late, and nobody reckons with so much."""
    async with Bench(tmp_path / "db", plan()) as bench:
        site, station = bench.site, bench.site.station(KEY.station)
        begun, family = running(bench, station), shipped()["default"]
        assert profile_writes.writing_of(site, station, family, transaction=begun).kind is Kind.ABSOLUTE
        for _ in range(3):
            site.note(site.time.hear_station(station.id, site.clock.now() + timedelta(seconds=off_s)))
        assert profile_writes.writing_of(site, station, family, transaction=begun).kind is Kind.RELATIVE
        assert site_facts.station_now(site, station) == pytest.approx(site.clock.now().timestamp() + off_s)
        for _ in range(8):
            site.note(site.time.hear_station(station.id, site.clock.now()))
        assert profile_writes.writing_of(site, station, family, transaction=begun).kind is Kind.ABSOLUTE


async def test_a_ceiling_that_was_lowered_while_it_was_written_counts_as_lowered(tmp_path: Path) -> None:
    """Its transaction ended meanwhile: the lower one is on disk after the higher one."""
    async with Bench(tmp_path / "db", plan()) as bench:
        site = bench.site
        site.balancer.noted[KEY] = 10.0
        made = Write(KEY, 1, 20.0, 0, 0.0, 6.0, Urgency.RAISE, Why(Binding.CAR), ceiling_a=20.0)
        writing = asyncio.create_task(profile_writes.write(site, made, None))
        begun = asyncio.Event()
        asyncio.get_running_loop().call_soon(begun.set)
        await begun.wait()
        lowered = replace(site.charging.connector(KEY), ceiling_a=6.0)
        site.note([Put(lowered)])
        site.balancer.noted[KEY] = 6.0
        await writing
        assert site.charging.connector(KEY).ceiling_a == 6.0
        assert site.balancer.noted[KEY] == 6.0, "else the next 20 A leave without a ceiling"


@pytest.mark.parametrize(("said", "measured"), [({2: 15.0}, 15.0), ({0: 14.0}, 14.0), ({0: 0.0, 1: 13.0}, 13.0)])
async def test_the_one_phase_of_a_connector_is_the_one_that_flows(
    tmp_path: Path, said: dict[int, float], measured: float
) -> None:
    """Some stations on L3 of the grid name their phase so."""
    shared = plan()
    spec = replace(shared.connectors[0], phases=(2,))
    async with Bench(tmp_path / "db", replace(shared, connectors=(spec,))) as bench:
        station = bench.site.station(KEY.station)
        begun = running(bench, station)
        bench.site.balancer.cars[KEY] = Car(transaction=begun.key, since=0.0)
        hearing._take(bench.site, station, Draw(evse=1, amps=said))
        assert bench.site.balancer.cars[KEY].measured_a == (0.0, 0.0, measured)


async def test_a_cap_outlives_a_step_of_the_clock(tmp_path: Path) -> None:
    """A box without a clock took it, then the time came: 10 minutes are 10 minutes, and its source is not silent."""
    async with Bench(tmp_path / "db", plan()) as bench:
        await put(bench.site, "grid", Cap(limit_w=8000, seconds=600))
        bench.site.clock.anchor = datetime(2031, 1, 1, tzinfo=UTC).timestamp()
        bench.now += 30
        assert [cap.limit_w for cap in bench.caps()] == [8000]
        bench.now += 580
        assert [cap.limit_w for cap in bench.caps()] == [4200], "its source has to be heard, and was not"


async def test_a_phase_that_is_not_named_is_not_taken_for_free(tmp_path: Path) -> None:
    """A station that tells of L1 only may have a car on all three."""
    async with Bench(tmp_path / "db", plan()) as bench:
        site, station = bench.site, bench.site.station(KEY.station)
        begun = running(bench, station)

        def counted() -> int | None:
            return site_facts.gather(site).facts.connectors[0].car_phases

        site.balancer.cars[KEY] = Car(transaction=begun.key, since=0.0)
        hearing._take(site, station, Draw(evse=1, amps={0: 15.0}))
        assert counted() == 3
        hearing._take(site, station, Draw(evse=1, amps={0: 15.0, 1: 0.0, 2: 0.0}))
        assert counted() is None, "it has said so: what is drawn tells"
        hearing._take(site, station, Draw(evse=1, amps={0: 15.0}, phases=1))
        assert counted() == 1, "it has said how many"


async def test_a_current_without_a_phase_is_heard_as_one(tmp_path: Path) -> None:
    """A one-phase car at such a station leaves the meter believed."""
    sampled = b'{"sampledValue":[{"value":"16","measurand":"Current.Import","unit":"A"%s}]}'
    async with Bench(tmp_path / "db", plan()) as bench:
        site, station = bench.site, bench.site.station(KEY.station)
        site.balancer.cars[KEY] = Car(transaction=running(bench, station).key, since=0.0)
        for phase, is_named in ((b"", False), (b',"phase":"L1"', True)):
            said = DRAW_READERS["1.6"].read("MeterValues", b'{"connectorId":1,"meterValue":[' + sampled % phase + b"]}")
            assert said is not None
            hearing._take(site, station, said)
            assert site_facts.gather(site).facts.connectors[0].names_phases is is_named
