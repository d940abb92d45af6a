"""Caps from outside: what is taken, what holds when, over a restart and without a word; by API and by MQTT."""

import asyncio
import random
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import aiomqtt
import httpx
import pytest
import trustme

from gateway.assembly import Assembly, Seams
from gateway.clock import Clock
from gateway.errors import RefusedError
from gateway.flows import caps, site_facts
from gateway.flows.caps import Cap
from gateway.metering.caps import CapListener
from gateway.model.balance import ExternalCap
from gateway.model.ids import StationId
from gateway.model.site_tree import CircuitNode, ConnectorKey, ConnectorSpec
from gateway.plan import Plan, Topic
from gateway.site import Site
from gateway.site_options import SiteOptions
from gateway.smartcharging.decide import State
from gateway.smartcharging.external import CapSource
from gateway.uplink.per_station import PerStation, PerStationOptions
from gateway.web import balance_view, routes
from tests.drivers.mosquitto import Mosquitto
from tests.drivers.push_rig import until
from tests.sim.disk import SimRunner
from tests.sim.station import EPOCH


def plan(*, topic: Topic | None = None) -> Plan:
    main = CircuitNode(id="main", limit_a=(63.0,) * 3)
    spec = ConnectorSpec(key=ConnectorKey(StationId("CP-1"), 1), circuit="main")
    grid = CapSource(name="grid", circuit="main", silent_s=60.0, failsafe_w=4200.0, failsafe_s=600.0, least_w=1000.0)
    topics = {"grid": topic} if topic else {}
    return Plan(circuits=(main,), connectors=(spec,), sources=(grid,), topics=topics)


class Bench:
    """A site over a file, at a time of the test's own. `now`: seconds."""

    def __init__(self, path: Path, made: Plan) -> None:
        self.now, self._path, self._plan = 1000.0, path, made
        self.assembly: Assembly
        self._running: asyncio.Task[None]

    async def __aenter__(self) -> "Bench":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        runner = SimRunner(self._path, lambda: 0.0)
        clock = Clock(lambda: EPOCH.timestamp() + self.now, lambda: self.now, lambda: "ntp", "boot")

        async def reopen() -> SimRunner:
            return runner

        seams = Seams(clock, random.Random(1), runner, reopen, connector=None)  # type: ignore[arg-type]
        self.assembly = Assembly(
            SiteOptions(plan=self._plan), lambda site, to: PerStation(site, PerStationOptions(), to), seams
        )
        await self.assembly.load([])
        self._running = asyncio.create_task(self.assembly.site.writer.run())
        self.site.balancer.state = State(started=self.now)

    async def stop(self) -> None:
        self.assembly.site.writer.close()
        await self._running

    async def kill(self) -> None:
        """As kill -9: nothing more is written."""
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    @property
    def site(self) -> Site:
        return self.assembly.site

    def caps(self) -> list[ExternalCap]:
        return list(site_facts.gather(self.site).facts.caps)


def watts(limit: float) -> ExternalCap:
    return ExternalCap(circuit="main", limit_w=limit)


async def test_a_new_end_is_kept_over_a_kill(tmp_path: Path) -> None:
    """The same limit for a day instead of a minute."""
    async with Bench(tmp_path / "db", plan()) as bench:
        for seconds in (60, 86_400):
            await caps.put(bench.site, "grid", Cap(limit_w=8000, seconds=seconds))
        await bench.kill()
        await bench.start()
        bench.now += 120
        assert watts(8000) in bench.caps()


async def test_a_cap_holds_until_its_end_and_then_silence_counts(tmp_path: Path) -> None:
    async with Bench(tmp_path / "db", plan()) as bench:
        assert bench.caps() == []
        await caps.put(bench.site, "grid", Cap(limit_w=8000, seconds=30))
        assert bench.caps() == [watts(8000)]
        bench.now += 31
        assert bench.caps() == [], "its cap is over, its word is not old yet"
        bench.now += 30
        assert bench.caps() == [watts(4200)], "60 s without a word: the fail-safe"
        await caps.put(bench.site, "grid", Cap())
        bench.now += 1
        assert bench.caps() == [watts(4200)], "and it holds for the time agreed at least"
        for _ in range(11):
            await caps.put(bench.site, "grid", Cap())
            bench.now += 55
        assert bench.caps() == []
        await caps.put(bench.site, "grid", Cap(limit_w=10, limit_a=16))
        assert bench.caps() == [ExternalCap(circuit="main", limit_w=1000, limit_a=(16, 16, 16))], (
            "never below its least"
        )


async def test_what_is_shown_is_what_holds(tmp_path: Path) -> None:
    """Also when a cap is over, and when a silent source's fail-safe has taken its place."""
    async with Bench(tmp_path / "db", plan()) as bench:
        await caps.put(bench.site, "grid", Cap(limit_w=8000, seconds=30))
        for seconds, limits in ((1, [8000]), (30, []), (30, [4200]), (600, [4200])):
            bench.now += seconds
            assert bench.caps() == [watts(limit) for limit in limits]
            shown = balance_view.caps(bench.site)
            assert [one["limit_w"] for one in shown] == limits, seconds
            assert [one["fail_safe"] for one in shown] == [limit == 4200 for limit in limits]


async def test_a_cap_survives_a_restart_and_an_operators_needs_no_configuration(tmp_path: Path) -> None:
    async with Bench(tmp_path / "db", plan()) as bench:
        await caps.put(bench.site, "operator", Cap(limit_a=10, seconds=100, circuit="main"))
        await bench.stop()
        bench.now += 50
        await bench.start()
        assert bench.caps() == [ExternalCap(circuit="main", limit_a=(10, 10, 10))]
        await caps.clear(bench.site, "operator")
        assert bench.caps() == []


@pytest.mark.parametrize(
    ("cap", "name", "words"),
    [
        (Cap(limit_w=1), "nobody", "which circuit"),
        (Cap(limit_w=1, circuit="main"), "nobody", "needs an end"),
        (Cap(limit_w=1, circuit="x", seconds=1), "nobody", "no circuit x"),
        (Cap(limit_w=-1, seconds=1), "grid", "0 or more"),
        (Cap(limit_w=1, seconds=1, circuit="row-a"), "grid", "grid caps circuit main by configuration"),
        (Cap(limit_w=1, seconds=1e9), "grid", "at most 30 days"),
    ],
)
async def test_what_can_not_be_meant_is_refused(tmp_path: Path, cap: Cap, name: str, words: str) -> None:
    async with Bench(tmp_path / "db", plan()) as bench:
        with pytest.raises(RefusedError, match=words):
            await caps.put(bench.site, name, cap)


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"limit":1}', b'{"limit_w":"1"}', b'{"limit_w":true}'])
def test_what_is_no_cap_is_refused(payload: bytes) -> None:
    with pytest.raises(RefusedError):
        caps.read(payload)


async def test_the_api_sets_shows_and_takes_away(tmp_path: Path) -> None:
    async with Bench(tmp_path / "db", plan()) as bench:
        transport = httpx.ASGITransport(app=routes.build(bench.site))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            done = await client.put("/v1/caps/operator", json={"circuit": "main", "limit_w": 5000, "seconds": 60})
            assert (done.status_code, done.json()["circuit"]) == (200, "main")
            refused = await client.put("/v1/caps/operator", json={"circuit": "x", "limit_w": 5000, "seconds": 60})
            assert (refused.status_code, refused.json()["detail"]) == (409, "there is no circuit x")
            (shown,) = (await client.get("/v1/caps")).json()
            assert (shown["source"], shown["limit_w"]) == ("operator", 5000)
            is_json = {"content-type": "application/json"}
            no_number = await client.put("/v1/caps/operator", content=b'{"limit_w": NaN}', headers=is_json)
            assert (no_number.status_code, no_number.json()["detail"][:8]) == (422, "limit_w:")
            assert (await client.delete("/v1/caps/operator")).status_code == 200
            assert (await client.delete("/v1/caps/operator")).status_code == 404
            unknown = await client.get("/v1/stations/CP-9/why")
            assert (unknown.status_code, unknown.json()["detail"]) == (404, "no station CP-9 is known")


async def by_mqtt(tmp_path: Path, act: Callable[[Site, aiomqtt.Client], Coroutine[Any, Any, None]]) -> None:
    """The broker asks for TLS and a password."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    (tmp_path / "secret").write_text("s3cret\n")
    accounts = tmp_path / "accounts"
    accounts.write_text("gateway:s3cret\n")
    process = await asyncio.create_subprocess_exec("mosquitto_passwd", "-U", str(accounts))
    assert await process.wait() == 0
    accounts.chmod(0o600)
    files = [f"certfile {tmp_path}/cert.pem", f"keyfile {tmp_path}/key.pem", f"password_file {accounts}"]
    broker = Mosquitto(tmp_path, ["allow_anonymous false", *files])
    await broker.start()
    try:
        where = f"127.0.0.1:{broker.port}"
        topic = Topic(where, "site/cap", "gateway", tmp_path / "secret", tls=True, ca_file=tmp_path / "ca.pem")
        context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        async with (
            Bench(tmp_path / "db", plan(topic=topic)) as bench,
            aiomqtt.Client(
                "127.0.0.1", broker.port, username="gateway", password="s3cret", tls_context=context
            ) as client,
        ):
            await client.publish("site/cap", '{"limit_w": 9000}', retain=True)
            listening = asyncio.create_task(CapListener(bench.site, random.Random(1)).run())
            try:
                await act(bench.site, client)
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
    finally:
        await broker.stop()


async def test_caps_come_by_mqtt_and_a_kept_end_is_not_believed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    async def act(site: Site, client: aiomqtt.Client) -> None:
        await until(lambda: "grid" in site.charging.caps)
        assert site.charging.caps["grid"].limit_w == 9000, "kept by the broker, and it lowers"
        await client.publish("site/cap", "nonsense")
        await client.publish("site/cap", '{"limit_a": 12, "seconds": 30}')
        await until(lambda: site.charging.caps["grid"].limit_a == (12, 12, 12))
        await client.publish("site/cap", "{}", retain=True)
        await until(lambda: site.charging.caps["grid"].limit_a is None)
        again = CapListener(site, random.Random(2))
        await caps.put(site, "grid", Cap(limit_w=7000))
        listening = asyncio.create_task(again.run())
        await until(lambda: "is not believed" in caplog.text)
        assert site.charging.caps["grid"].limit_w == 7000
        await client.publish("site/cap", '{"limit_w": 6000}')
        await until(lambda: site.charging.caps["grid"].limit_w == 6000)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)

    await by_mqtt(tmp_path, act)
