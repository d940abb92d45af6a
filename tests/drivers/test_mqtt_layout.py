"""The layout files: each is read, and each gives what a real message of its meter says."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from drivers import mqtt_layout, registry
from drivers.mqtt import MqttOptions
from drivers.mqtt_values import Assembly
from drivers.options import OptionsError, Places
from tests.drivers.mqtt_sources import SOURCES

SHIPPED = mqtt_layout.files(Places())
EM1 = {"id": 2, "current": 1.246, "voltage": 228.5, "act_power": -219.4, "aprt_power": 284.8, "pf": 0.77, "freq": 50.0}
EM = {
    f"{p}_{name}": value
    for p in "abc"
    for name, value in (("current", 1.872), ("voltage", 236.7), ("act_power", -409.1))
}
ENERGY = {"id": 0, "total_act_energy": 6644.9, "total_act_ret_energy": 2595.26}

EXAMPLES: dict[str, tuple[dict[str, str], list[tuple[str, Any]], dict[str, Any]]] = {
    "shelly-em": (
        {"prefix": "s"},
        [
            ("s/status/emdata:0", {"total_act": 1000.0, "total_act_ret": 500.0}),
            (
                "s/events/rpc",
                {"method": "NotifyStatus", "params": {"ts": 1.5, "em:0": {**EM, "total_act_power": -1227.3}}},
            ),
        ],
        {"current_a": (-1.872,) * 3, "power_total_w": -1227.3, "energy_import_kwh": 1.0, "energy_export_kwh": 0.5},
    ),
    "shelly-em1": (
        {"prefix": "s"},
        [
            ("s/status/em1:0", EM1),
            ("s/events/rpc", {"method": "NotifyStatus", "params": {"ts": 1.5, "em1:1": {**EM1, "current": 2}}}),
            ("s/status/em1:2", {**EM1, "act_power": 100.0}),
        ],
        {"current_a": (-1.246, -2.0, 1.246), "voltage_v": (228.5,) * 3, "power_w": (-219.4, -219.4, 100.0)},
    ),
    "shelly-em1-single": (
        {"prefix": "s", "channel": "1"},
        [("s/status/em1data:1", ENERGY), ("s/status/em1:1", EM1)],
        {"current_a": (-1.246, None, None), "phases": 1, "energy_export_kwh": 2.59526, "frequency_hz": 50.0},
    ),
}


def test_every_layout_has_an_example() -> None:
    """Those of SOURCES are tried against a broker, too."""
    tried = {source.table.get("model", name) for name, source in SOURCES.items()}
    assert set(SHIPPED) == set(EXAMPLES) | tried


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_read_right(name: str) -> None:
    names, messages, expected = EXAMPLES[name]
    layout = mqtt_layout.load(SHIPPED[name]).layout(names, None)
    assembly, found = Assembly(layout), None
    for topic, content in messages:
        found = assembly.feed(topic, json.dumps(content).encode(), 1.0, retained=False)
    assert found is not None
    assert not found.values["reasons"]
    assert {key: found.values[key] for key in expected} == {
        key: pytest.approx(value) for key, value in expected.items()
    }


GOOD = {
    "schema": "1",
    "id": '"own"',
    "name": '"Own"',
    "sources": '["test"]',
    "verified": "false",
    "signed": '"native"',
    "interval_s": "1.0",
    "message": '[{ topic = "a", points = { current = { unit = "A" } } }]',
}


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({}, None),
        ({"id": '"other"'}, "id"),
        ({"verified": "true"}, "verified"),
        ({"message": '[{ topic = "{x}/a", points = { current = A } }]'}, "placeholders"),
        ({"placeholders": '{ x = "what?" }'}, "placeholders"),
        ({"message": '[{ topic = "a", points = { current = A, power_out = { unit = "W" } } }]'}, "message"),
        ({"message": '[{ topic = "a", points = { current = A, frequency = { unit = "Hz", phase = 1 } } }]'}, "message"),
        ({"publish": '[{ topic = "a/#", every_s = 5 }]'}, "publish"),
        ({"schema": "2"}, "schema"),
        ({"interval_s": "["}, ""),
    ],
)
def test_mistakes_in_a_file_are_told(change: dict[str, str], key: str | None, tmp_path: Path) -> None:
    folder = tmp_path / "meter-models" / "mqtt"
    folder.mkdir(parents=True)
    lines = [f"{name} = {value}" for name, value in {**GOOD, **change}.items()]
    (folder / "own.toml").write_text("\n".join(lines).replace("= A", '= { unit = "A" }'))
    path = mqtt_layout.files(Places(tmp_path))["own"]
    if key is None:
        assert mqtt_layout.load(path).name == "Own"
        return
    with pytest.raises(OptionsError) as caught:
        mqtt_layout.load(path)
    assert "".join(str(part) for part in caught.value.mistakes[0].keys[:1]) == key
    assert all(mistake.remedy for mistake in caught.value.mistakes)


def test_an_installers_file_takes_the_place_of_a_shipped_one(tmp_path: Path) -> None:
    own = tmp_path / "meter-models" / "mqtt" / "shelly-em.toml"
    own.parent.mkdir(parents=True)
    own.touch()
    assert mqtt_layout.files(Places(tmp_path))["shelly-em"] == own
    with pytest.raises(OptionsError):
        mqtt_layout.load(own)


def examples() -> list[str]:
    text = (Path(__file__).parents[2] / "docs" / "mqtt-meters.md").read_text("utf-8")
    return re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_documentation_can_be_used(tmp_path: Path) -> None:
    section, model = examples()
    made = registry.checked(tomllib.loads(section)["meter"]["grid"], Places())
    assert isinstance(made, MqttOptions)
    energy = {"Current": [0.5, 1.5, 2], "Voltage": [230, 231, 232], "Power": [115, -346, 464], "Total": 1.5}
    content = {"Time": "2026-08-04T12:00:00", "ENERGY": energy}
    found = Assembly(made.layout).feed("tele/meter/SENSOR", json.dumps(content).encode(), 1.0, retained=False)
    assert found is not None
    assert (found.values["current_a"], found.values["reasons"]) == ((0.5, -1.5, 2.0), frozenset())
    folder = tmp_path / "meter-models" / "mqtt"
    folder.mkdir(parents=True)
    (folder / "acme-cloudless.toml").write_text(model)
    table = {"driver": "mqtt", "host": "h", "model": "acme-cloudless", "names": {"portal": "7"}}
    own = registry.checked(table, Places(tmp_path))
    assert isinstance(own, MqttOptions)
    assert [own.layout.messages[0].topic, own.layout.publish[0].topic] == ["acme/7/currents", "acme/7/keepalive"]
