"""Which models fit what a unit answers; the order of questions."""

from itertools import islice
from pathlib import Path

import pytest

from drivers import model_file
from drivers.model_file import MeterModel
from drivers.options import Places
from drivers.probe_fit import Fit, identify, is_clear, is_same_map
from drivers.probe_scan import LINES, USUAL_UNITS, Ask, Reply, common_asks, factory, first_value, trials
from drivers.probe_sound import Settings
from tests.drivers.modbus_fixtures import FOLDER, load
from tests.drivers.modbus_rig import Unit
from tests.drivers.probe_rig import registers

MODELS = [model_file.load(path) for path in model_file.files(Places()).values()]
BY_ID = {model.id: model for model in MODELS}
FIXTURES = sorted(set(BY_ID) & {path.stem for path in FOLDER.glob("*.toml")})


def _fits(unit: Unit, models: list[MeterModel], settings: Settings | None = None) -> tuple[list[Fit], list[Ask]]:
    """Drives the questions with a unit's registers."""
    asking = identify(models, settings)
    asked = []
    reply: Reply = None
    try:
        question = next(asking)
        while True:
            asked.append(question)
            content = registers(unit, question.code, question.at, question.count)
            words = range(0, len(content or b""), 2)
            reply = 2 if content is None else tuple(int.from_bytes(content[at : at + 2], "big") for at in words)
            question = asking.send(reply)
    except StopIteration as end:
        fits: list[Fit] = end.value
    return fits, asked


@pytest.mark.parametrize("model", FIXTURES)
def test_every_model_is_found_by_its_fixture(model: str) -> None:
    """Among those that fit best: some share a map, and the person is asked."""
    fits, asked = _fits(load(model).unit, MODELS)
    best = [fit.model.id for fit in fits if fit.rank[:3] == fits[0].rank[:3]]
    assert any(is_same_map(BY_ID[one], BY_ID[model]) for one in best)
    assert len(asked) == len(set(asked)), "no question is asked twice"


def test_what_names_itself_comes_before_what_merely_fits() -> None:
    twin = BY_ID["carlo-gavazzi-em340"].model_copy(update={"id": "twin", "probe": ()})
    fits, _ = _fits(load("carlo-gavazzi-em340").unit, [twin, BY_ID["carlo-gavazzi-em340"]])
    assert [fit.model.id for fit in fits] == ["carlo-gavazzi-em340"]
    current = twin.points.current.model_copy(update={"scale": 0.01})
    points = twin.points.model_copy(update={"current": current, "power": None})
    other = twin.model_copy(update={"id": "other", "points": points})
    fits, _ = _fits(load("carlo-gavazzi-em340").unit, [twin, other])
    assert (len(fits), is_clear(fits)) == (2, False)
    fits, _ = _fits(load("carlo-gavazzi-em340").unit, [twin, twin.model_copy(update={"id": "same"})])
    assert (len(fits), is_clear(fits)) == (2, True)


def test_values_of_no_building_fit_no_model_that_has_no_name() -> None:
    for content in (0, 1, 0x4366, 0x7FFF, 0xFFFF):
        unit = Unit(dict.fromkeys(range(0x10000), content), dict.fromkeys(range(0x10000), content))
        nameless = [model for model in MODELS if not model.probe]
        assert _fits(unit, nameless)[0] == [], hex(content)


def test_the_wrong_word_order_is_seen() -> None:
    sdm = BY_ID["eastron-sdm630"]
    turned = sdm.model_copy(update={"id": "turned", "modbus": sdm.modbus.model_copy(update={"word_order": "little"})})
    fits, _ = _fits(load("eastron-sdm630").unit, [turned, sdm])
    assert [fit.model.id for fit in fits] == ["eastron-sdm630"]


def test_a_meter_that_names_itself_and_shows_nonsense_is_told_so() -> None:
    unit = load("abb-b23").unit
    dead = Unit({at: content if at >= 0x8000 else 0 for at, content in unit.holding.items()})
    (fit,), _ = _fits(dead, [BY_ID["abb-b23"]])
    assert (fit.is_identified, fit.is_plausible) == (True, False)
    assert "look wrong" in fit.why


def test_usual_settings_and_all_units_come_first_then_meters_own_questions() -> None:
    plan = list(trials(MODELS, USUAL_UNITS))
    common = common_asks(MODELS)
    assert {ask.function for ask in common} == {"input", "holding"}
    first = plan[: len(USUAL_UNITS) * len(common)]
    assert {trial.settings for trial in first} == {Settings(9600)}
    assert [trial.unit for trial in islice(first, 0, None, len(common))] == list(USUAL_UNITS)
    in_order = list(dict.fromkeys(trial.settings for trial in plan))
    assert in_order[: len(LINES)] == list(LINES)
    asked = {(trial.settings, trial.ask) for trial in plan}
    assert all((factory(model), first_value(model)) in asked for model in MODELS), "each is asked what it knows"


def test_an_own_model_with_settings_of_its_own_is_asked_with_them(tmp_path: Path) -> None:
    own = BY_ID["eastron-sdm630"].model_copy(
        update={
            "id": "own",
            "modbus": BY_ID["eastron-sdm630"].modbus.model_copy(
                update={"serial": model_file.Serial(baud=4800, parity="O", stop=1)}
            ),
        }
    )
    assert Settings(4800, 8, "O") in {trial.settings for trial in trials([own], (1,))}
