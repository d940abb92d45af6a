"""`meter ct-test`, as an installer goes through it; the building is simulated, pressing Enter switches the car."""

import json
import random
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from gateway import cli_meter_source
from gateway.cli import main
from gateway.cli_meter_ct import sample_of
from gateway.config import Config, load
from gateway.model.ids import MeterId
from tests.gateway_process import CONFIGURATION
from tests.metering.ct_plant import Car, Plant

METER = '# at the main switch\n[meter.grid]\ndriver = "simulated"\ninvert = false # as delivered\n'
STATIONS = (
    "--station",
    "CP-1",
    "--phase",
    "L1",
    "--station",
    "CP-2",
    "--phase",
    "L2",
    "--station",
    "CP-3",
    "--phase",
    "L3",
)


class Building:
    """What the meter says follows who pressed Enter how often."""

    def __init__(self, order: tuple[int, ...], signs: tuple[int, ...], amps: float = 7.0) -> None:
        self.car = Car((0,), amps)
        self.plant = Plant(random.Random(1), order, signs, self.car, base=[4 + 1j, 11 + 2j, -7 + 0j])
        self.prompts: list[str] = []

    def states(self, _config: Config, _name: MeterId, _wait_s: float) -> tuple[AsyncGenerator[dict[str, Any]], str]:
        return self._states(), "simulated"

    async def _states(self) -> AsyncGenerator[dict[str, Any]]:
        sequence = 0
        while True:
            sample = self.plant.reading()
            sequence += 1
            volts = [230.0] * 3
            reading = {
                "sequence": sequence,
                "age_s": 0.0,
                "quality": "good",
                "current_a": list(sample.size_a),
                "current_signed": "from-power",
                "resolution_a": 0.01,
                "voltage_v": volts,
                "power_w": [None if amps is None else amps * 230.0 for amps in sample.directed_a],
            }
            yield {"reading": reading, "interval_s": 1.0}

    def pressed(self, words: str, **_options: object) -> str:
        self.prompts.append(words)
        place = next(number for number in range(3) if f"CP-{number + 1}" in words)
        self.car.phases = (place,)
        self.plant.switch(is_on=words.startswith("Let"))
        for _ in range(15):
            self.plant.reading()  # the car ramps before Enter is pressed
        return ""


def _file(folder: Path) -> Path:
    path = folder / "config.toml"
    stations = "".join(f'[[station]]\nid = "CP-{number}"\n' for number in (1, 2, 3))
    path.write_text(CONFIGURATION.format(port=8887, uplink_url="ws://127.0.0.1:9/ocpp") + stations + METER)
    return path


def _run(path: Path, building: Building, monkeypatch: pytest.MonkeyPatch, *words: str, typed: str = "") -> Result:
    monkeypatch.setattr(cli_meter_source, "states", building.states)
    monkeypatch.setattr(click, "prompt", building.pressed)
    command = ["meter", "ct-test", "grid", "--settle", "0", "--hold", "0", "--config", str(path), *words]
    return CliRunner().invoke(main, command, input=typed, env={"COLUMNS": "140"})


def test_a_wrong_wiring_is_told_and_put_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _file(tmp_path)
    before = path.read_text()
    building = Building((1, 2, 0), (-1, -1, -1))
    found = _run(path, building, monkeypatch, *STATIONS, typed="n\n")
    assert found.exit_code == 1, found.output
    assert len(building.prompts) >= 24
    assert building.prompts[0] == "Let the car charge at CP-1, and press Enter when it draws its current"
    assert building.prompts[-1].startswith("Stop the car at CP-3")
    assert "sure: L3 down by" in found.stdout
    assert 'meter.grid: phase_map = "L2L3L1", invert = true' in found.stdout
    assert path.read_text() == before, "nobody said yes"

    found = _run(path, Building((1, 2, 0), (-1, -1, -1)), monkeypatch, *STATIONS, typed="y\n")
    assert found.exit_code == 0, found.output
    (meter,) = load(path).meters
    assert (meter.options.phase_map, meter.options.invert) == ("L2L3L1", True)
    assert "# at the main switch" in path.read_text()
    assert "# as delivered" in path.read_text()


def test_a_right_wiring_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _file(tmp_path)
    before = path.read_text()
    found = _run(path, Building((0, 1, 2), (1, 1, 1)), monkeypatch, *STATIONS, "--yes")
    assert (found.exit_code, path.read_text()) == (0, before), found.output
    assert "phases and directions are right" in found.stdout


def test_one_transformer_the_wrong_way_round_has_to_be_turned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _file(tmp_path)
    found = _run(path, Building((0, 1, 2), (1, -1, 1)), monkeypatch, *STATIONS, "--json")
    told = json.loads(found.stdout)
    assert found.exit_code == 1
    assert (told["to_turn"], told["changes"], told["is_complete"], told["written"]) == ([2], {}, True, False)
    assert [test["outcome"] for test in told["tests"]] == ["one"] * 3
    assert told["tests"][1]["moved"] == {"L2": -1}
    assert told["tests"][1]["agreeing"] >= 5


def test_one_phase_alone_is_not_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = _run(_file(tmp_path), Building((0, 1, 2), (1, 1, 1)), monkeypatch, "--station", "CP-1")
    assert found.exit_code == 1
    assert "not all is known yet" in found.stdout


def test_a_car_that_does_not_charge_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    building = Building((0, 1, 2), (1, 1, 1), amps=0.0)
    found = _run(_file(tmp_path), building, monkeypatch, "--station", "CP-2", "--phase", "L2", "--rounds", "4")
    assert found.exit_code == 1
    assert "can't tell: no phase moved with the car" in found.stdout
    assert len(building.prompts) == 8


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--station", "CP-9"), "no station CP-9 is known"),
        (("--station", "CP-1", "--station", "CP-2"), "--phase"),
        (("--station", "CP-1", "--amps", "ten"), "two numbers"),
        (("--station", "CP-1", "--amps", "10-6"), "the lower first"),
        ((), "--station"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, words: tuple[str, ...], problem: str) -> None:
    found = CliRunner().invoke(main, ["meter", "ct-test", "grid", "--config", str(_file(tmp_path)), *words])
    assert found.exit_code == 2
    assert problem in found.stderr


def test_amperes_without_a_direction_count_only_with_watts() -> None:
    reading = {
        "age_s": 2.0,
        "current_a": [5.0, 6.0, None],
        "current_signed": "unknown",
        "voltage_v": [230.0, 230.0, None],
        "power_w": [-1150.0, None, None],
    }
    sample = sample_of(reading, 100.0)
    assert (sample.at, sample.directed_a, sample.size_a) == (98.0, (-5.0, None, None), (5.0, 6.0, None))
    assert sample_of({**reading, "current_signed": "native"}, 100.0).directed_a == (-5.0, 6.0, None)
