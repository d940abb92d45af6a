"""MQTT meters behind a real mosquitto: stopped, restarted, frozen, full of old values, behind passwords and TLS."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
import trustme

from drivers import mqtt_broker, registry
from drivers.api import DriverError, Kind, Quality, Reading, Signed
from drivers.mqtt import MqttDriver, MqttOptions
from drivers.options import OptionsError, Places
from tests.drivers.mosquitto import Mosquitto
from tests.drivers.push_rig import PATIENCE_S, World, next_of, until, until_trouble

EM = {
    "id": 0,
    **{f"{phase}_current": amperes for phase, amperes in (("a", 4.029), ("b", 4.027), ("c", 3.03))},
    **{f"{phase}_voltage": 236.1 for phase in "abc"},
    **{f"{phase}_act_power": watts for phase, watts in (("a", 951.2), ("b", -951.1), ("c", 715.4))},
    "n_current": None,
    "total_act_power": 715.5,
    "a_freq": 50.0,
}
STATUS, EVENTS = "shelly/status/em:0", "shelly/events/rpc"


def notified(ts: float, **values: Any) -> bytes:
    params = {"ts": ts, "em:0": {**EM, **values}}
    return json.dumps({"src": "s", "dst": "d", "method": "NotifyStatus", "params": params}).encode()


def options(broker: Mosquitto, folder: Path = Path(), **table: Any) -> MqttOptions:
    table = {"model": "shelly-em", "prefix": "shelly", **table}
    table = {key: value for key, value in table.items() if value is not None}
    table = {"driver": "mqtt", "host": "127.0.0.1", "tcp_port": broker.port, **table}
    made = registry.checked(table, Places(folder))
    assert isinstance(made, MqttOptions)
    return made


def built(broker: Mosquitto, world: World, name: str = "grid", **table: Any) -> MqttDriver:
    return MqttDriver(name, options(broker, **table), world.seams())


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    await broker.start()
    yield broker
    await broker.stop()


@pytest.fixture
async def meter(broker: Mosquitto) -> AsyncIterator[aiomqtt.Client]:
    async with broker.meter() as client:
        yield client


async def until_subscribed(driver: MqttDriver) -> None:
    """Asks the broker: a subscription is made when its answer is there."""
    await until(lambda: driver._broker.subscribed >= driver._listener.topics if driver._listener else False)


async def test_a_shelly_is_read_by_both_of_its_topics(broker: Mosquitto, meter: aiomqtt.Client, world: World) -> None:
    driver = built(broker, world)
    async with driver:
        await until_subscribed(driver)
        await meter.publish("shelly/status/emdata:0", b'{"id":0,"total_act":12345.6,"total_act_ret":1.5}')
        before = world.now()
        await meter.publish(STATUS, json.dumps(EM))
        status = await next_of(driver)
        await meter.publish(EVENTS, notified(1_000.0, a_current=10.0))
        event = await next_of(driver)
        await meter.publish(EVENTS, b'{"method":"NotifyStatus","params":{"ts":1001,"switch:0":{"output":true}}}')
        await meter.publish(STATUS, b"what?")
        await until(lambda: driver.health().short_frames == 1)
    assert status.current_a == pytest.approx((4.029, -4.027, 3.03))
    assert (status.current_signed, status.quality, status.phases) == (Signed.FROM_POWER, Quality.GOOD, 3)
    assert (status.power_total_w, status.frequency_hz) == (715.5, 50.0)
    assert (status.energy_import_kwh, status.energy_export_kwh) == pytest.approx((12.3456, 0.0015))
    assert before <= status.t_mono <= world.now()
    assert event.current_a[0] == 10.0
    assert (event.sequence, event.energy_import_kwh) == (2, None)
    assert event.device_time is not None
    assert driver.health().readings == 2


async def test_meters_of_one_broker_share_a_connection(broker: Mosquitto, meter: aiomqtt.Client, world: World) -> None:
    seams = world.seams()
    one = MqttDriver("one", options(broker), seams)
    two = MqttDriver("two", options(broker, model="shelly-em1-single", names={"channel": "1"}), seams)
    channel = {"id": 1, "current": 2.6, "voltage": 234.9, "act_power": -501.8, "pf": 0.84, "freq": 50}
    async with one:
        await until_subscribed(one)
        async with two:
            await until_subscribed(two)
            await meter.publish("shelly/status/em1:1", json.dumps(channel))
            found = await next_of(two)
        assert (found.current_a, found.phases) == ((-2.6, None, None), 1)
        assert one._broker is two._broker
        assert one._broker.connections == 1
        assert broker.goodbyes() == 0
        await meter.publish(STATUS, json.dumps(EM))
        assert (await next_of(one)).meter == "one"
    assert one._broker._task is None
    await until(broker.goodbyes)


async def test_retained_values_are_not_taken_for_new_ones(
    broker: Mosquitto, meter: aiomqtt.Client, world: World
) -> None:
    await meter.publish(STATUS, json.dumps(EM), retain=True, qos=1)
    await meter.publish(EVENTS, notified(1_000.0), retain=True, qos=1)
    driver = built(broker, world)
    async with driver:
        await until(lambda: driver.health().late_frames == 2)
        world.skipped_s += 60
        assert "old message" in await until_trouble(driver, Kind.SILENT)
        assert driver.health().last_good_t is None
        await meter.publish(EVENTS, notified(1_060.0, a_current=7.0), retain=True)
        found = await next_of(driver)
        assert (found.current_a[0], found.sequence) == (7.0, 1)


async def test_a_stamp_proves_the_age_of_a_retained_value(broker: Mosquitto, world: World) -> None:
    """After a restart the broker sends again what it kept: with the age that its stamp tells, or not at all."""
    driver = built(broker, world)
    async with driver:
        await until_subscribed(driver)
        async with broker.meter() as meter:
            await meter.publish(EVENTS, notified(1_000.0), retain=True, qos=1)
        live = await next_of(driver)
        await broker.stop()
        world.skipped_s += 5
        await broker.start()
        kept = await next_of(driver)
        assert kept.sequence == 2
        assert kept.t_mono == pytest.approx(live.t_mono, abs=0.01)
        assert kept.age_s(world.now()) > 5
        await broker.stop()
        world.skipped_s += 60
        await broker.start()
        await until(lambda: driver.health().late_frames)
        assert driver.health().readings == 2


async def test_a_broker_that_is_stopped_is_said_and_found_again(broker: Mosquitto, world: World) -> None:
    driver = built(broker, world)
    async with driver:
        await until_subscribed(driver)
        await broker.stop()
        await until(lambda: "refuses the connection" in str(driver.health().trouble))
        await broker.start()
        async with broker.meter() as meter:
            await until_subscribed(driver)
            await meter.publish(STATUS, json.dumps(EM))
            assert (await next_of(driver)).current_a[0] == 4.029
    assert driver.health().reconnects == 1


async def test_a_frozen_broker_is_noticed_by_the_age_of_the_data(
    broker: Mosquitto, meter: aiomqtt.Client, world: World
) -> None:
    driver = built(broker, world)
    async with driver:
        await until_subscribed(driver)
        await meter.publish(STATUS, json.dumps(EM))
        found = await next_of(driver)
        broker.freeze()
        world.skipped_s += 50
        assert driver._broker.trouble is None, "the connection looks as it always did"
        assert "nothing came" in await until_trouble(driver, Kind.SILENT)
        assert found.age_s(world.now()) > 50
        broker.thaw()
        await meter.publish(STATUS, json.dumps(EM))
        assert (await next_of(driver)).age_s(world.now()) < 50
        assert driver.health().trouble is None
        assert driver.health().reconnects == 0


async def test_a_broker_frozen_from_the_start_leaves_nothing_behind(
    broker: Mosquitto, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the connection and never says anything: aiomqtt would leave a socket and a task at each try."""
    begun: list[aiomqtt.Client] = []
    enter = mqtt_broker.Broker._enter

    async def noted(self: mqtt_broker.Broker, client: aiomqtt.Client) -> None:
        begun.append(client)
        await enter(self, client)

    monkeypatch.setattr(mqtt_broker.Broker, "_enter", noted)
    broker.freeze()
    driver = built(broker, world)
    async with driver:
        await until(lambda: begun and _sockets_to(broker.port))
    assert _sockets_to(broker.port) == 0
    monkeypatch.setattr(mqtt_broker, "_ANSWER_S", 0.2)
    driver = built(broker, world)
    async with driver:
        await until(lambda: len(begun) >= 4)
        assert "timed out" in await until_trouble(driver, Kind.UNREACHABLE)
        assert _sockets_to(broker.port) <= 2, "one to try with, one to knock"
        monkeypatch.setattr(mqtt_broker, "_ANSWER_S", 5.0)
        broker.thaw()
        await until_subscribed(driver)
        assert driver.health().trouble is None


def _sockets_to(port: int) -> int:
    """Descriptors of this process that are connected to a port."""
    return sum(_peer_port(int(name)) == port for name in os.listdir("/proc/self/fd"))


def _peer_port(number: int) -> int | None:
    try:
        with socket.socket(fileno=os.dup(number)) as same:
            return int(same.getpeername()[1])
    except (OSError, IndexError):
        return None


async def test_wrong_credentials_are_said_and_right_ones_taken_without_a_restart(tmp_path: Path, world: World) -> None:
    accounts, secret = tmp_path / "accounts", tmp_path / "secret"
    accounts.write_text("gateway:correct horse\n")
    process = await asyncio.create_subprocess_exec("mosquitto_passwd", "-U", str(accounts))
    assert await process.wait() == 0
    accounts.chmod(0o600)
    broker = Mosquitto(tmp_path, ["allow_anonymous false", f"password_file {accounts}"])
    await broker.start()
    try:
        driver = MqttDriver(
            "grid", options(broker, tmp_path, username="gateway", password_file="secret"), world.seams()
        )
        async with driver:
            assert "secret" in await until_trouble(driver, Kind.MISCONFIGURED)
            secret.write_text("wrong\n")
            assert "refuses the credentials" in await until_trouble(driver, Kind.REFUSED)
            secret.write_text("correct horse\n")
            await until_subscribed(driver)
        async with built(broker, world) as anonymous:
            assert "password_file" in await until_trouble(anonymous, Kind.REFUSED)
    finally:
        await broker.stop()


async def test_tls_with_the_right_authority_only(tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    stranger.cert_pem.write_to_path(tmp_path / "stranger.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    files = [f"certfile {tmp_path}/cert.pem", f"keyfile {tmp_path}/key.pem"]
    broker = Mosquitto(tmp_path, ["allow_anonymous true", *files])
    await broker.start()
    try:
        for ca_file, words in (("stranger.pem", "ca_file"), (None, "ca_file")):
            table = options(broker, tmp_path, tls=True, ca_file=ca_file)
            async with MqttDriver("grid", table, world.seams()) as driver:
                assert words in await until_trouble(driver, Kind.REFUSED)
        table = options(broker, tmp_path, tls=True, ca_file="ca.pem")
        async with MqttDriver("grid", table, world.seams()) as driver:
            await until_subscribed(driver)
        monkeypatch.setattr(mqtt_broker, "_ANSWER_S", 0.3)
        async with built(broker, world) as without:
            await until_trouble(without, Kind.UNREACHABLE)
    finally:
        await broker.stop()


async def test_a_fault_in_one_decoder_costs_the_others_nothing(
    broker: Mosquitto, meter: aiomqtt.Client, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    seams = world.seams()
    faulty, sound = MqttDriver("faulty", options(broker), seams), MqttDriver("sound", options(broker), seams)
    faulty._assembly.feed = None  # type: ignore[method-assign,assignment]
    async with faulty, sound:
        await until_subscribed(sound)
        await meter.publish(STATUS, json.dumps(EM))
        assert (await next_of(sound)).current_a[0] == 4.029
    assert "cannot be handled" in caplog.text
    assert sound._broker.connections == 1


async def test_a_name_that_is_none_is_said(world: World, tmp_path: Path) -> None:
    async with built(Mosquitto(tmp_path, port=1), world, host="a..b") as driver:
        assert "no host name" in await until_trouble(driver, Kind.UNREACHABLE)


async def test_a_model_of_the_installers_own_with_something_to_publish(
    broker: Mosquitto, meter: aiomqtt.Client, world: World, tmp_path: Path
) -> None:
    """Shaped like a meter that falls silent unless it is asked again and again, with a topic for each value."""
    lines = ["schema = 1", 'id = "venus"', 'name = "V"', 'sources = ["test"]', "verified = false", 'signed = "native"']
    lines += ["interval_s = 1.0", "[placeholders]", 'portal = "the id of the portal"', "[[publish]]"]
    lines += ['topic = "R/{portal}/keepalive"', "every_s = 30"]
    for phase in (1, 2, 3):
        lines += ["[[message]]", f'topic = "N/{{portal}}/grid/30/Ac/L{phase}/Current"', "[message.points]"]
        lines += [f'current = {{ path = "value", unit = "A", phase = {phase} }}']
    model = tmp_path / "meter-models" / "mqtt" / "venus.toml"
    model.parent.mkdir(parents=True)
    model.write_text("\n".join(lines))
    table = options(broker, tmp_path, model="venus", prefix=None, names={"portal": "p1"})
    await meter.subscribe("R/p1/keepalive")
    world.is_hurried = True
    async with MqttDriver("grid", table, world.seams()) as driver:
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(3):
                message = await anext(meter.messages)
                assert message.topic.value == "R/p1/keepalive"
        await until_subscribed(driver)
        for phase in (1, 2, 3):
            await meter.publish(f"N/p1/grid/30/Ac/L{phase}/Current", json.dumps({"value": -1.5 * phase}))
        found = await next_of(driver)
        while None in found.current_a:
            found = await next_of(driver)
    assert found.current_a == (-1.5, -3.0, -4.5)


async def test_a_probe_shows_what_is_there(broker: Mosquitto, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    probing = asyncio.create_task(MqttDriver.probe(options(broker), world.seams()))
    async with broker.meter() as meter:
        while not probing.done():
            await meter.publish(STATUS, json.dumps(EM))
            await asyncio.wait({probing}, timeout=0.05)
    found = probing.result()
    assert found is not None
    assert "Shelly" in found.what
    assert isinstance(found.reading, Reading)
    monkeypatch.setattr("drivers.mqtt.MqttDriver.shortest_listen_s", 0.3)
    table = options(broker, interval_s=0.1)
    assert await MqttDriver.probe(table, world.seams()) is None
    await broker.stop()
    with pytest.raises(DriverError, match="refuses the connection"):
        await MqttDriver.probe(table, world.seams())


CURRENT = {"topic": "a/b", "points": {"current": {"unit": "A"}}}
MODEL: dict[str, Any] = {"model": "shelly-em", "prefix": "p"}
OWN: dict[str, Any] = {"message": [CURRENT], "interval_s": 10.0, "signed": "native"}


PLACE = ("message", 0, "points", "current")


def of(name: str, **point: Any) -> dict[str, Any]:
    return {"topic": "a", "points": {name: point}}


@pytest.mark.parametrize(
    ("table", "keys", "remedy"),
    [
        ({}, ("model",), "[[message]]"),
        ({"model": "shelly-me"}, ("model",), '"shelly-em"'),
        ({"model": "shelly-em"}, ("prefix",), "MQTT settings"),
        ({**MODEL, "prefix": "a/#"}, ("prefix",), "without"),
        ({**MODEL, "message": [CURRENT]}, ("message",), "or the model"),
        ({**MODEL, "names": {"portal": "x"}}, ("names", "portal"), "Take it out"),
        ({"message": [CURRENT], "signed": "native"}, ("interval_s",), "longest time"),
        ({**OWN, "signed": "from-power"}, ("signed",), "unknown"),
        ({**OWN, "message": [{**CURRENT, "topic": "a/+"}]}, ("message", 0, "topic"), "without"),
        ({**OWN, "message": []}, ("message",), "current"),
        ({**OWN, "message": [of("power", unit="W")]}, ("message",), "current"),
        ({**OWN, "message": [of("current", unit="kA")]}, (*PLACE, "unit"), "mA"),
        ({**OWN, "message": [of("current", unit="A", path="a[")]}, (*PLACE, "path"), "JMESPath"),
        ({**OWN, "message": [of("current", unti="A")]}, (*PLACE, "unit"), "such as A"),
        ({**MODEL, "password_file": "x"}, ("username",), "name"),
        ({**MODEL, "ca_file": "x"}, ("tls",), "tls = true"),
        ({**MODEL, "tls": True, "cert_file": "x"}, ("key_file",), "both"),
    ],
)
def test_mistakes_in_the_options_have_remedies(table: dict[str, Any], keys: tuple[str | int, ...], remedy: str) -> None:
    with pytest.raises(OptionsError) as caught:
        registry.checked({"driver": "mqtt", "host": "h", **table}, Places())
    mistake = caught.value.mistakes[0]
    assert mistake.keys == keys
    assert remedy in mistake.remedy


def test_options_say_what_to_look_at_and_share_a_broker() -> None:
    made = registry.checked({"driver": "mqtt", "host": "h", **OWN, "username": "u"}, Places())
    assert isinstance(made, MqttOptions)
    assert any("in the clear" in caution for caution in made.cautions())
    assert (made.where.port, made.resource()) == (1883, None)
    assert made.layout.max_age_s == 25.0
