"""Meters and circuits in the configuration file: what loads, and every mistake with its remedy."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from drivers import registry
from drivers.options import Options
from gateway.app import meter_options
from gateway.config import load, redacted
from gateway.config_meters import MeterChecks
from gateway.core.meter_checks import Rules
from tests.config_bench import Bench, write
from tests.test_config import EXAMPLE, ROOT, as_toml

SIMULATED = '[meter.grid]\ndriver = "simulated"\n'
WARNING = "circuit: no station is in one, so that nothing is shared: they are measured only"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_meters_and_circuits_load(bench: Bench) -> None:
    bench.more = """[meter.grid]
driver = "modbus"
model = "eastron-sdm630"
port = "/dev/serial/by-id/usb-a"
ct_ratio = 40
nominal_v = 240
[meter.row-a]
driver = "modbus"
model = "eastron-sdm630"
port = "/dev/serial/by-id/usb-a"
unit = 2
phase_map = "L2L3L1"
frozen_check = false
[circuit.main]
limit_a = 125
limit_w = 80000
meter = "grid"
[circuit.row-a]
parent = "main"
limit_a = 63.5
meter = "row-a"
phases = "L1L3"
"""
    config = bench.load()
    grid, row = config.meters
    assert (grid.id, grid.options.driver, grid.options.ct_ratio, row.options.phase_order) == (
        "grid", "modbus", 40.0, (1, 2, 0)
    )  # fmt: skip
    main, row_a = config.circuits
    assert (main.id, main.limit_a, main.limit_w, main.parent, main.phase_numbers) == (
        "main", 125.0, 80000.0, None, (1, 2, 3)
    )  # fmt: skip
    assert (row_a.parent, row_a.meter, row_a.phase_numbers) == ("main", "row-a", (1, 3))
    assert WARNING in config.warnings
    rules = {one.id: one.rules for one in meter_options(config)}
    assert rules == {"grid": Rules(240.0, 125.0, True), "row-a": Rules(230.0, 63.5, False)}
    plain = json.loads(json.dumps(redacted(config)))
    assert plain["meters"][0]["options"]["model"] == "eastron-sdm630"
    assert plain["meters"][0]["options"]["port"] == "/dev/serial/by-id/usb-a"
    assert plain["circuits"][1]["phases"] == "L1L3"


def test_no_circuit_no_warning_and_no_meter_no_rules(bench: Bench) -> None:
    bench.more = SIMULATED
    config = bench.load()
    assert not any("circuit" in warning for warning in config.warnings)
    assert [one.rules.fuse_a for one in meter_options(config)] == [None]


def test_a_drivers_caution_is_passed_on(bench: Bench) -> None:
    bench.more = '[meter.grid]\ndriver = "modbus"\nmodel = "eastron-sdm630"\nport = "/dev/ttyUSB0"'
    assert any(
        warning.startswith("meter.grid: ") and "/dev/serial/by-id" in warning for warning in bench.load().warnings
    )


MODBUS = '[meter.{}]\ndriver = "modbus"\nmodel = "eastron-sdm630"\nport = "/dev/ttyX"\nunit = {}\nbaud = {}\n'
CIRCUITS = "[circuit.a]\nlimit_a = 1\n{}\n[circuit.b]\nlimit_a = 1\n{}\n[circuit.c]\nlimit_a = 1\n{}\n"
MISTAKES: list[tuple[str, str, str, str]] = [
    ('[meter.grid]\ndriver = "modbuss"', "meter.grid.driver", 'no driver "modbuss"', 'Write "modbus"'),
    ('[meter.grid]\ndriver = "zzz"', "meter.grid.driver", 'no driver "zzz"', "modbus, mqtt, p1"),
    ("[meter.grid]", "meter.grid.driver", "is missing", "modbus, mqtt"),
    ("[meter.grid]\ndriver = 5", "meter.grid.driver", "is no text", "modbus, mqtt"),
    (MODBUS.format("grid", 1, 9600).replace("sdm630", "sdm631"), "meter.grid.model", "not a known model",
     'Write "eastron-sdm630"'),
    (MODBUS.format("grid", 1, 9600).replace("eastron-sdm630", "zzz"), "meter.grid.model", "not a known model",
     "abb-b23"),
    (SIMULATED + "nominal_volt = 230", "meter.grid.nominal_volt", "not a known key", "Write nominal_v"),
    (SIMULATED + "noise = 230", "meter.grid.noise", "not a known key", "Write noise_a"),
    (SIMULATED + "nominal_v = 20", "meter.grid.nominal_v", "cannot be 20", "volts between a phase"),
    (SIMULATED + "frozen_check = 1", "meter.grid.frozen_check", "cannot be 1", "half a minute"),
    (SIMULATED + "ct_ratio = 0", "meter.grid.ct_ratio", "cannot be 0", "such as 40 for 200/5"),
    (SIMULATED + 'phase_map = "L1"', "meter.grid.phase_map", 'cannot be "L1"', '"L1L2L3"'),
    (MODBUS.format("a", 1, 9600) + MODBUS.format("b", 2, 19200), "meter.b.baud",
     'meter.a uses "/dev/ttyX" with baud 9600, this one with 19200', "need the same baud"),
    (MODBUS.format("a", 1, 9600) + MODBUS.format("b", 1, 9600), "meter.b.unit", "same address", "of its own"),
    (MODBUS.format("a", 1, 9600) + '[meter.b]\ndriver = "p1"\nport = "/dev/ttyX"', "meter.b.port",
     "used by meter.a already", "its own port"),
    ('[meter]\ndriver = "simulated"', "meter.driver", "a meter has a name", "Write [meter.NAME]"),
    ('[[meter]]\ndriver = "simulated"', "meter", "has no name", "Write [meter.NAME]"),
    ('[meter."a b"]\ndriver = "simulated"', 'meter."a b"', "is no name", "letters, digits"),
    ("[circuit.main]", "circuit.main.limit_a", "is missing", "fuse"),
    ("[circuit.main]\nlimit_a = 0", "circuit.main.limit_a", "cannot be 0", "more than 0"),
    ("[circuit.main]\nlimit_a = 1\nlimit_w = -1", "circuit.main.limit_w", "cannot be -1", "watts"),
    ("[circuit.main]\nlimit_a = 1\nlimit = 1", "circuit.main.limit", "not a known key", "Write limit_"),
    ('[circuit.main]\nlimit_a = 1\nphases = "L4"', "circuit.main.phases", '"L4"', '"L1L2L3"'),
    ('[circuit.main]\nlimit_a = 1\nmeter = "grid"', "circuit.main.meter", 'no meter "grid"', "[meter.NAME]"),
    (SIMULATED + '[circuit.main]\nlimit_a = 1\nmeter = "gird"', "circuit.main.meter", 'no meter "gird"', '"grid"'),
    ('[meter.grid]\ndriver = "p1"\nport = "/dev/x"\nspec = "v3"\n[circuit.main]\nlimit_a = 1\nmeter = "grid"',
     "circuit.main.meter", '"grid" is no use here: P1 telegrams of v3 have no currents', "another meter"),
    (SIMULATED + CIRCUITS.format('meter = "grid"', "", 'meter = "grid"'), "circuit.c.meter",
     'is the meter of circuit "a" already', "leave the key out"),
    (CIRCUITS.format("", 'parent = "x"', ""), "circuit.b.parent", 'no circuit "x"', '"a", "b", "c"'),
    (CIRCUITS.format('parent = "a"', "", ""), "circuit.a.parent", "in a ring: a - a", "Take parent out"),
    (CIRCUITS.format('parent = "b"', 'parent = "c"', 'parent = "a"'), "circuit.a.parent", "ring: a - b - c - a",
     "Take parent out"),
    (CIRCUITS.format('phases = "L2"', 'parent = "a"', ""), "circuit.b.phases", '"a" has only L2', "or fewer"),
    ("[[circuit]]\nlimit_a = 1", "circuit", "has no name", "Write [circuit.NAME]"),
]  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES, ids=[f"{n}-{case[1]}" for n, case in enumerate(MISTAKES)])
def test_one_wrong_key_is_one_mistake(bench: Bench, case: tuple[str, str, str, str]) -> None:
    bench.more, path, problem, remedy = case
    found = bench.mistakes()
    assert [each.path for each in found] == [path], found
    assert problem in found[0].problem
    assert remedy in found[0].remedy


@pytest.mark.parametrize("line", ["meter = 5", "circuit = []", 'meter = "grid"'])
def test_what_is_no_section_at_all_is_one_mistake(bench: Bench, line: str) -> None:
    bench.top = line
    (found,) = bench.mistakes()
    assert "NAME" in found.remedy


def test_all_mistakes_are_listed_at_once(bench: Bench) -> None:
    bench.more = """[meter.a]
driver = "simulated"
seed = -1
nominal_v = 1
[meter.b]
driver = "p1"
[circuit.main]
limit_a = "x"
parent = "none"
meter = "c"
"""
    assert sorted(each.path for each in bench.mistakes()) == [
        "circuit.main.limit_a", "circuit.main.meter", "circuit.main.parent", "meter.a.nominal_v", "meter.a.seed",
        "meter.b.port",
    ]  # fmt: skip


def test_the_example_has_a_meter_for_each_circuit(tmp_path: Path) -> None:
    text = re.sub(
        r"^#(?=\[(?:meter|circuit|external)\.|(?!\w*file)[a-z_]+ = )", "", EXAMPLE.read_text(), flags=re.MULTILINE
    )
    text = text[: text.index("[[downlink]]")] + text[text.index("[meter.grid]") : text.index("# How long an answer")]
    text += '[[downlink]]\nlisten = "127.0.0.1:1"\nsecurity_profile = 1\n[uplink]\nurl = "wss://localhost"\n'
    config = load(write(tmp_path / "gateway.toml", text.encode()))
    assert [one.id for one in config.meters] == ["grid", "row-a"]
    assert [(one.id, one.parent, one.meter) for one in config.circuits] == [
        ("main", None, "grid"), ("row-a", "main", "row-a")
    ]  # fmt: skip
    grid = config.meters[0]
    for key, known in {**MeterChecks.model_fields, **Options.model_fields}.items():
        if not known.is_required():
            value = getattr(grid if key in MeterChecks.model_fields else grid.options, key)
            assert value == known.default, f"the example gives {key} another default"


def _tables() -> dict[str, dict[str, str]]:
    """Keys and defaults in the reference: of every meter under "", of a driver under its name."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    body = text[text.index("## `[meter.NAME]`") : text.index("## `[circuit.NAME]`")]
    parts = ["", *re.split(r'^### `driver = "(\w+)"`$', body, flags=re.MULTILINE)]
    return {
        name: {key: value.strip("`") for key, value in re.findall(r"^\| `(\w+)` \| (.+?) \|", table, re.MULTILINE)}
        for name, table in zip(parts[::2], parts[1::2], strict=True)
    }


def _fields(model: type[Any]) -> dict[str, str]:
    return {
        key: "required" if known.is_required() else as_toml(known.get_default(call_default_factory=True))
        for key, known in model.model_fields.items()
    }


def test_reference_has_every_key_of_every_meter_with_its_default() -> None:
    written = _tables()
    common = _fields(Options)
    assert written.pop("") == common | _fields(MeterChecks)
    kinds = {name: registry.load(name).options_type for name in registry.DRIVERS}
    assert written == {
        name: {key: value for key, value in _fields(kind).items() if key not in common} for name, kind in kinds.items()
    }
