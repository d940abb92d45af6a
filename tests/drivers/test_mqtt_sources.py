"""Every shipped MQTT layout but Shelly's later ones, each against a real mosquitto with TLS and passwords."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
import trustme

from drivers import registry
from drivers.api import Kind, Quality, Reading, Reason, Seams, Signed
from drivers.mqtt import MqttDriver, MqttOptions
from drivers.options import Places
from tests.drivers.mosquitto import Mosquitto
from tests.drivers.mqtt_sources import SML, SOURCES, Source
from tests.drivers.push_rig import PATIENCE_S, World, next_of, until, until_trouble


@dataclass
class Rig:
    broker: Mosquitto
    folder: Path
    context: ssl.SSLContext

    def options(self, **table: Any) -> MqttOptions:
        where = {"host": "127.0.0.1", "tcp_port": self.broker.port, "tls": True, "ca_file": "ca.pem"}
        who = {"username": "gateway", "password_file": "secret"}
        made = registry.checked({"driver": "mqtt", **where, **who, **table}, Places(self.folder))
        assert isinstance(made, MqttOptions)
        return made

    def client(self) -> aiomqtt.Client:
        return aiomqtt.Client(
            "127.0.0.1", self.broker.port, username="gateway", password="correct horse", tls_context=self.context
        )


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """Nobody without the name and password, nothing in the clear."""
    authority, accounts = trustme.CA(), tmp_path / "accounts"
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    accounts.write_text("gateway:correct horse\n")
    (tmp_path / "secret").write_text("correct horse\n")
    process = await asyncio.create_subprocess_exec("mosquitto_passwd", "-U", str(accounts))
    assert await process.wait() == 0
    accounts.chmod(0o600)
    tls = [f"certfile {tmp_path}/cert.pem", f"keyfile {tmp_path}/key.pem"]
    broker = Mosquitto(tmp_path, ["allow_anonymous false", f"password_file {accounts}", *tls])
    await broker.start()
    yield Rig(broker, tmp_path, ssl.create_default_context(cafile=str(tmp_path / "ca.pem")))
    await broker.stop()


def drivers(rig: Rig, seams: Seams) -> Iterator[tuple[str, MqttDriver]]:
    for name, source in SOURCES.items():
        yield name, MqttDriver(name, rig.options(**{"model": name, **source.table}), seams)


async def until_subscribed(driver: MqttDriver) -> None:
    await until(lambda: driver._listener and driver._broker.subscribed >= driver._listener.topics)


async def until_whole(driver: MqttDriver, source: Source) -> Reading:
    """Each message may make a reading; the one after the last is meant."""
    found = await next_of(driver)
    while any(
        getattr(found, key) is None or (isinstance(value, tuple) and None in getattr(found, key) and None not in value)
        for key, value in source.expected.items()
        if not key.startswith("energy") and value is not None
    ):
        found = await next_of(driver)
    return found


async def test_every_source_is_read_behind_one_broker_with_tls_and_a_password(rig: Rig, world: World) -> None:
    made = dict(drivers(rig, world.seams()))
    for driver in made.values():
        await driver.open()
    for driver in made.values():
        await until_subscribed(driver)
    async with rig.client() as meter:
        for name, source in SOURCES.items():
            for topic, payload in source.messages.items():
                await meter.publish(topic, payload)
            found = await until_whole(made[name], source)
            told = {key: getattr(found, key) for key in source.expected}
            assert told == {key: pytest.approx(value) for key, value in source.expected.items()}, name
            assert set(found.reasons) == source.reasons, name
            assert (found.quality is Quality.GOOD) is (not source.reasons), name
            assert made[name].health().trouble is None, name
            assert found.current_signed is Signed.FROM_POWER or source.reasons, name
        world.skipped_s += 31
        for _ in range(2):
            await meter.publish("tele/sml2/SENSOR", json.dumps({"SML": SML}))
            await next_of(made["tasmota-sml without currents"])
    assert "Curr_p1" in await until_trouble(made["tasmota-sml without currents"], Kind.NO_CURRENTS)
    for driver in made.values():
        await driver.close()
    assert made["shelly-3em"]._broker.connections == 1


async def test_the_oldest_part_of_a_shelly_sets_the_age_and_is_gone_when_it_is_too_old(rig: Rig, world: World) -> None:
    source = SOURCES["shelly-3em"]
    async with MqttDriver("grid", rig.options(model="shelly-3em", **source.table), world.seams()) as driver:
        await until_subscribed(driver)
        async with rig.client() as meter:
            for topic, payload in source.messages.items():
                await meter.publish(topic, payload)
            whole = await until_whole(driver, source)
            began = world.now()
            world.skipped_s += 20
            await meter.publish("shellies/shellyem3-A1/emeter/0/current", "3.5")
            later = await next_of(driver)
            assert (later.current_a[0], later.quality) == (-3.5, Quality.GOOD)
            assert later.t_mono <= began, "a reading is as old as its oldest part"
            assert later.age_s(world.now()) >= 20
            world.skipped_s += 60
            await meter.publish("shellies/shellyem3-A1/emeter/0/current", "3.6")
            last = await next_of(driver)
    assert last.current_a == (3.6, None, None), "nothing is kept beyond 2.5 intervals, and no sign without power"
    assert last.reasons >= {Reason.CURRENT_MISSING, Reason.SIGN_UNKNOWN}
    assert whole.sequence < later.sequence < last.sequence


async def test_a_gx_device_is_kept_awake_and_asked(rig: Rig, world: World) -> None:
    asked = {"R/c0619ab0/keepalive": 30.0, "R/c0619ab0/grid/30/Ac": 5.0}
    world.is_hurried = True
    options = rig.options(model="victron-venus", **SOURCES["victron-venus"].table)
    assert {one.topic: one.every_s for one in options.layout.publish} == asked
    async with rig.client() as gx:
        for topic in asked:
            await gx.subscribe(topic)
        async with MqttDriver("grid", options, world.seams()):
            heard: list[str] = []
            async with asyncio.timeout(PATIENCE_S):
                while any(heard.count(topic) < 3 for topic in asked):
                    message = await anext(gx.messages)
                    assert message.payload == b""
                    heard.append(message.topic.value)
