"""Register maps: what is shipped, what is refused, whose file wins."""

from pathlib import Path

import pytest

from drivers import model_file, registry
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


UNSURE = {
    *("abb-a43", "abb-a44", "acrel-adw300", "finder-7m38", "janitza-umg104", "janitza-umg604"),
    *("phoenix-eem-ma370", "socomec-countis-e23", "victron-vm-3p5a"),
}
"""Known from one source, or from two that do not say it all."""
NO_ENERGY = {"finder-7m38"}


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_shipped_maps_have_what_balancing_needs_and_say_how_sure_they_are(name: str) -> None:
    model = model_file.load(SHIPPED[name])
    assert model.verified is (name not in UNSURE)
    assert len(model.sources) >= 1 + model.verified
    assert model.points.current.signed == "from-power"
    energies = {"energy_import", "energy_export"} - ({"energy_import", "energy_export"} if name in NO_ENERGY else set())
    assert set(model.items()) >= {"current", "voltage", "power", "power_total"} | energies
    assert Plan(model).is_distinct, "a late reply is known by its length"


def test_meters_that_tell_their_model_are_asked_for_it() -> None:
    asked = {name for name, path in SHIPPED.items() if model_file.load(path).probe}
    assert asked == {
        *("abb-b23", "abb-b24", "carlo-gavazzi-em24", "carlo-gavazzi-em24-ethernet", "carlo-gavazzi-em340"),
        *("carlo-gavazzi-em540", "schneider-iem3155", "schneider-pm5000", "shelly-pro-3em", "siemens-pac2200"),
        *("siemens-pac3200", "socomec-countis-e23", "socomec-countis-e34", "victron-vm-3p5a", "victron-vm-3p75ct"),
    }


def test_a_refused_meter_is_refused_with_the_reason_and_what_to_do(tmp_path: Path) -> None:
    refused = model_file.refusals()
    assert not refused.keys() & SHIPPED.keys()
    with pytest.raises(OptionsError) as caught:
        registry.checked({"driver": "modbus", "model": "eastron-sdm72d-m", "port": "/dev/ttyX"}, Places(tmp_path))
    (mistake,) = caught.value.mistakes
    assert mistake.keys == ("model",)
    assert "first version cannot be used: it has no phase currents" in mistake.problem
    assert '"eastron-sdm72d-m-v2"' in mistake.remedy


VARIANT = """\
schema = 1
id = "mine"
like = "abb-b23"
name = "Mine"
sources = ["manual"]
verified = false
[modbus]
serial = { baud = 38400 }
[points]
frequency = { at = 0x5B2D, type = "uint16", scale = 0.1, unit = "Hz" }
"""


def test_a_variant_shares_a_map_and_nothing_else(tmp_path: Path) -> None:
    mine, base = model_file.load(written(tmp_path, VARIANT)), model_file.load(SHIPPED["abb-b23"])
    assert mine.modbus == base.modbus.model_copy(update={"serial": model_file.Serial(baud=38400)})
    assert mine.points.model_copy(update={"frequency": base.points.frequency}) == base.points
    assert mine.points.frequency != base.points.frequency
    assert (mine.probe, mine.require, mine.notes, mine.sources) == ((), (), "", ("manual",))
    folder = Places(tmp_path).models
    folder.mkdir()
    written(folder, GOOD.replace('"mine"', '"abb-b23"'), "abb-b23")
    again = model_file.load(written(folder, VARIANT.partition("[modbus]")[0]))
    assert again.points.current.at == 6, "of the installer's own map of that name"


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
        (
            "[points]",
            "[[probe]]\nat = 1\ntype = 'int16'\nequals = 1\nwithin = { at = 2, count = 3 }\n[points]",
            "probe.0",
            "at",
        ),
        (
            "[points]",
            "[[require]]\nat = 1\ntype = 'int16'\nequals = 1\nproblem = 'it is off'\n[points]",
            "require.0.remedy",
            "Say",
        ),
        ("[points]", "transports = ['tcp', 'wifi']\n[points]", "modbus.transports.1", '"udp"'),
        (
            'unit = "A"',
            'unit = "A", scale_register = { at = 1, type = "int16", scale = 0.0 }',
            "points.current.scale_register.0.scale",
            "multiply",
        ),
        ('name = "Mine"', 'name = "Mine"\nlike = "nobody"', "like", "not a known model"),
        ('name = "Mine"', 'name = "Mine"\nlike = "../x"', "like", "not a known model"),
        ('name = "Mine"', 'name = "Mine"\nlike = "mine"', "like", "not a known model"),
        ('name = "Mine"', 'name = "Mine"\nlike = "abb-a43"', "like", 'Write "abb-b23"'),
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
