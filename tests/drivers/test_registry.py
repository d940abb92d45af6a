"""The list of drivers, the options in a table, and who may share a port."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from drivers import registry
from drivers.api import DriverError, Kind
from drivers.options import Options, OptionsError, Places
from drivers.simulated import SimulatedDriver
from tests.drivers.modbus_rig import options, real_seams

GOOD = {"driver": "modbus", "model": "abb-b23", "port": "/dev/ttyX"}
VM = {"driver": "modbus", "model": "victron-vm-3p75ct", "host": "10.0.0.9"}


def mistakes(table: dict[str, Any], places: Places | None = None) -> list[tuple[str, str, str]]:
    with pytest.raises(OptionsError) as caught:
        registry.checked(table, places or Places())
    return [(".".join(map(str, one.keys)), one.problem, one.remedy) for one in caught.value.mistakes]


@pytest.mark.parametrize(
    ("table", "key", "words"),
    [
        ({}, "driver", "is missing"),
        ({"driver": 1}, "driver", "is no text"),
        ({"driver": "modbuss"}, "driver", 'Write "modbus"'),
        ({"driver": "x"}, "driver", "there is no driver"),
        ({"driver": "modbus", "port": "/dev/x"}, "model", "is missing"),
        (GOOD | {"model": "abb-b33"}, "model", 'Write "abb-b23"'),
        (GOOD | {"model": 7}, "model", 'such as "eastron-sdm630"'),
        (GOOD | {"bauds": 9600}, "bauds", "Write baud"),
        (GOOD | {"baud": "9600"}, "baud", 'cannot be "9600"'),
        (GOOD | {"parity": "none"}, "parity", 'Write "N", "E" or "O"'),
        (GOOD | {"interval_s": 0}, "interval_s", "0.1 to 60"),
        (GOOD | {"unit": 0}, "unit", "1 to 247"),
        (GOOD | {"host": "10.0.0.9"}, "port", "there is a host, too"),
        ({"driver": "modbus", "model": "abb-b23"}, "port", "is missing"),
        ({"driver": "modbus", "model": "abb-b23", "host": "a", "baud": 9600}, "baud", "belongs to a serial port"),
        (GOOD | {"model": "shelly-pro-3em"}, "port", "no serial port"),
        (VM | {"port": "/dev/x"}, "port", "there is a host, too"),
        (VM | {"framing": "tcp"}, "framing", "over UDP only"),
        (VM | {"model": "abb-b23", "framing": "udp"}, "framing", 'Write "tcp" or "rtu"'),
        (VM | {"framing": "wifi"}, "framing", '"udp"'),
        (GOOD | {"model": "eastron-sdm72d-m"}, "model", "no phase currents"),
        (GOOD | {"phase_map": "L1L1L2"}, "phase_map", "L2L3L1"),
        (GOOD | {"ct_ratio": -1.0}, "ct_ratio", "Write what to multiply"),
        ({"driver": "replay", "file": "no.csv"}, "file", "there is no such file"),
        ({"driver": "simulated", "noise_a": True}, "noise_a", "cannot be true"),
    ],
)
def test_a_bad_table_is_refused_with_place_and_remedy(table: dict[str, Any], key: str, words: str) -> None:
    found = mistakes(table)
    assert [one[0] for one in found] == [key]
    assert words in " ".join(found[0])
    assert found[0][2]


def test_all_mistakes_are_told_at_once() -> None:
    assert len(mistakes(GOOD | {"model": "no", "baud": 1, "units": 3})) == 3


def test_a_file_with_mistakes_is_told_at_its_place(tmp_path: Path) -> None:
    folder = Places(tmp_path).models
    folder.mkdir()
    (folder / "abb-b23.toml").write_text('schema = 1\nid = "abb-b23"\n')
    ((key, problem, _),) = mistakes(GOOD, Places(tmp_path))
    assert key == "model"
    assert "abb-b23.toml cannot be used (name: is missing" in problem


def test_settings_of_the_model_are_used_where_none_are_given() -> None:
    assert str(options(model="abb-b23", port="/dev/ttyX").line) == "/dev/ttyX (19200 8E1)"
    assert str(options(model="abb-b23", port="/dev/ttyX", baud=9600, parity="N").line) == "/dev/ttyX (9600 8N1)"


def test_numbered_ports_and_unverified_maps_are_cautioned_of() -> None:
    assert "by-id" in next(iter(options(port="/dev/ttyUSB0").cautions()))
    assert not list(options(port="/dev/serial/by-id/x").cautions())


def test_what_cannot_share_a_port_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").touch()
    (tmp_path / "by-id").symlink_to(tmp_path / "real")
    port, same = str(tmp_path / "real"), str(tmp_path / "by-id")
    first = options(port=port, unit=1)
    cases = {
        "another baud rate": (options(port=same, unit=2, baud=19200), "baud", "baud 9600, this one with 19200"),
        "another parity": (options(model="abb-b23", port=port, unit=2, baud=9600), "parity", "set it on the meters"),
        "the same address": (options(port=same, unit=1), "unit", "an address of its own"),
    }
    for meters, key, words in cases.values():
        (conflict,) = registry.conflicts({"a": first, "b": meters})
        assert (conflict.meter, conflict.other, conflict.key) == ("b", "a", key)
        assert words in conflict.problem + conflict.remedy
    fitting = {"a": first, "b": options(port=same, unit=2), "c": options(port="/dev/other", unit=1)}
    assert registry.conflicts(fitting) == []


def test_what_cannot_share_a_host_is_refused() -> None:
    first = options(host="Meter.lan", unit=1)
    (conflict,) = registry.conflicts({"a": first, "b": options(host="meter.lan", unit=2, framing="rtu")})
    assert (conflict.key, conflict.other) == ("framing", "a")
    assert registry.conflicts({"a": first, "b": options(host="meter.lan", unit=2)}) == []
    over_udp = options(model="victron-vm-3p75ct", host="Meter.lan")
    assert str(over_udp.line) == "Meter.lan:502 (UDP)"
    (conflict,) = registry.conflicts({"a": over_udp, "b": options(model="victron-vm-3p5a", host="meter.lan")})
    assert conflict.key == "unit"
    assert registry.conflicts({"a": first, "b": over_udp}) == []


def test_nothing_is_imported_before_a_meter_asks_for_it() -> None:
    code = (
        "import sys, drivers.registry; print(sorted({'pymodbus', 'aiomqtt', 'serial', 'serialx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_every_shipped_driver_can_be_loaded() -> None:
    for name in registry.DRIVERS:
        kind = registry.load(name)
        assert issubclass(kind.options_type, Options)
        assert kind.options_type is not Options
    assert set(registry.names()) >= set(registry.DRIVERS)


def test_drivers_of_other_packages_are_found_but_take_nobodys_place(monkeypatch: pytest.MonkeyPatch) -> None:
    group = registry.ENTRY_POINTS
    points = [
        EntryPoint("mine", "drivers.simulated:SimulatedDriver", group),
        EntryPoint("modbus", "drivers.simulated:SimulatedDriver", group),
        EntryPoint("broken", "no_such_package:X", group),
        EntryPoint("odd", "drivers.options:Options", group),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda **_: points)
    assert registry.load("mine") is SimulatedDriver
    assert registry.load("modbus") is not SimulatedDriver
    for name, words in (("broken", "Install the Python package that has no_such_package"), ("odd", "is no Driver")):
        with pytest.raises(DriverError, match=words) as caught:
            registry.load(name)
        assert caught.value.trouble.kind is Kind.NOT_INSTALLED


def test_a_driver_is_built_from_its_options() -> None:
    made = registry.build("grid", registry.checked({"driver": "simulated"}, Places()), real_seams())
    assert isinstance(made, SimulatedDriver)
    assert made.name == "grid"
