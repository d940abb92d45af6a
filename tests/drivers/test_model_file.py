"""Register maps: what is shipped, what is refused, whose file wins."""

from pathlib import Path

import pytest

from drivers import model_file
from drivers.options import OptionsError, Places
from drivers.register_plan import Plan

SHIPPED = model_file.files(Places())
GOOD = """\
schema = 1
id = "mine"
name = "Mine"
sources = ["manual"]
verified = false
[modbus]
function = "input"
[points]
current = { at = 6, type = "float32", phases = 3, unit = "A", signed = "from-power" }
power = { at = 12, type = "float32", phases = 3, unit = "W" }
"""


def written(folder: Path, text: str, name: str = "mine") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_shipped_maps_have_two_sources_and_signed_currents(name: str) -> None:
    model = model_file.load(SHIPPED[name])
    assert model.verified
    assert len(model.sources) >= 2
    assert model.points.current.signed == "from-power"
    assert set(model.items()) >= {"current", "voltage", "power", "power_total", "energy_import", "energy_export"}
    assert Plan(model).is_distinct


@pytest.mark.parametrize(
    ("old", "new", "key", "words"),
    [
        ("schema = 1", "schema = 2", "schema", "Write 1"),
        ('id = "mine"', 'id = "other"', "id", "file's name"),
        ('id = "mine"', 'id = "Mein Zähler"', "id", "small letters"),
        ("verified = false", "verified = true", "verified", "second one"),
        ('sources = ["manual"]', "sources = []", "sources", "known from"),
        ('function = "input"', 'function = "coil"', "modbus.function", '"input" or "holding"'),
        ('function = "input"', 'functon = "input"', "modbus.function", "is missing"),
        ("at = 6", "at = 70000", "points.current.at", "0 to 0xFFFF"),
        ("at = 6", "at = 0xFFFC", "points.current.at", "last register"),
        ('at = 6, type = "float32"', 'at = 6, type = "float16"', "points.current.type", '"float32"'),
        ('unit = "A"', 'unit = "V"', "points.current.unit", "Write one of A, mA"),
        ('unit = "A"', 'unit = "A", optional = true', "points.current.optional", "never optional"),
        ('unit = "A"', 'unit = "A", every_s = 60.0', "points.current.every_s", "each time"),
        ('unit = "A"', 'unit = "A", step = 1', "points.current.step", "at least 2"),
        ('unit = "W"', 'unit = "W", signed = "unknown"', "points.power.signed", "belongs to the current"),
        ('phases = 3, unit = "W"', 'unit = "W"', "points.power.phases", "all three"),
        ('power = { at = 12, type = "float32", phases = 3, unit = "W" }', "", "points.current.signed", "no power"),
        ("current = {", "amperes = {", "points.current", "no use for balancing"),
        ("[points]", "[[probe]]\nat = 1\ntype = 'int16'\n[points]", "probe.0", "one of the two"),
        ("schema = 1", "schema = ", "", "is not TOML"),
    ],
)
def test_a_wrong_map_is_refused_with_place_and_remedy(tmp_path: Path, old: str, new: str, key: str, words: str) -> None:
    assert old in GOOD
    with pytest.raises(OptionsError) as caught:
        model_file.load(written(tmp_path, GOOD.replace(old, new, 1)))
    found = {".".join(map(str, one.keys)): f"{one.problem}. {one.remedy}" for one in caught.value.mistakes}
    assert key in found
    assert words in found[key]
    assert all(one.remedy for one in caught.value.mistakes)


def test_an_installers_map_takes_the_place_of_a_shipped_one(tmp_path: Path) -> None:
    places = Places(tmp_path)
    assert model_file.files(places) == SHIPPED
    places.models.mkdir()
    mine = written(places.models, GOOD.replace('"mine"', '"abb-b23"'), "abb-b23")
    new = written(places.models, GOOD)
    assert model_file.files(places) == SHIPPED | {"abb-b23": mine, "mine": new}
    assert model_file.load(mine).name == "Mine"


def test_units_become_ours_and_only_energies_may_be_left_out(tmp_path: Path) -> None:
    text = GOOD.replace('unit = "W"', 'unit = "kW", scale = 0.1') + "\n".join(
        (
            'energy_import = { at = 100, type = "int64", unit = "Wh" }',
            'energy_export = { at = 104, type = "int64", unit = "MWh", every_s = 5.0, optional = false }',
        )
    )
    model = model_file.load(written(tmp_path, text))
    factors = {name: model.factor(name) for name in model.items()}
    assert factors == {"current": 1, "power": 100, "energy_import": 0.001, "energy_export": 1000}
    assert [model.every_s(name) for name in model.items()] == [0, 0, 60, 5]
    assert [model.is_optional(name) for name in model.items()] == [False, False, True, False]
