"""The fixtures are worth something: each notices each point of its map that is moved, rescaled or turned round."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from drivers import model_file
from drivers.api import Reading
from drivers.model_file import MeterModel, Point
from drivers.options import Places
from drivers.register_plan import Plan
from drivers.register_values import Key, decoded, measured
from tests.drivers import modbus_fixtures
from tests.drivers.modbus_fixtures import Fixture

SHIPPED = {name: model_file.load(path) for name, path in model_file.files(Places()).items()}
OWN_POINTS = sorted(name for name, one in SHIPPED.items() if one.like is None or one.points != SHIPPED[one.like].points)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FIELDS = {
    "current": "current_a",
    "voltage": "voltage_v",
    "power": "power_w",
    "power_total": "power_total_w",
    "power_factor": "power_factor",
    "frequency": "frequency_hz",
    "energy_import": "energy_import_kwh",
    "energy_export": "energy_export_kwh",
}


def read(model: MeterModel, fixture: Fixture) -> Reading | None:
    """With this map, without a line. None: it asks for registers that the meter does not have."""
    raw: dict[Key, float | None] = {}
    for block in Plan(model).blocks:
        area = fixture.unit.holding if block.function == "holding" else fixture.unit.input
        if any(address not in area for address in range(block.at, block.at + block.needed)):
            return None
        raw |= decoded(model, block, [area[address] for address in range(block.at, block.at + block.needed)])
    found = measured(model, raw)
    return Reading(
        meter="grid",
        sequence=0,
        t_mono=0.0,
        t_wall=NOW,
        interval_s=1.0,
        quality=found.quality,
        reasons=found.reasons,
        **found.fields,
    )


def spoiled(point: Point, order: str) -> Iterator[dict[str, object]]:
    yield {"at": point.at + point.width}
    yield {"at": point.at - point.width}
    yield {"scale": point.scale * 10}
    if point.phases == 3:
        yield {"step": (point.step or point.width) + point.width}
    if point.width > 1:
        yield {"word_order": "little" if order == "big" else "big"}
    if point.scale_register:
        yield {"scale_register": ()}


@pytest.mark.parametrize("name", OWN_POINTS)
def test_a_wrong_map_gives_another_reading(name: str) -> None:
    model, fixture = SHIPPED[name], modbus_fixtures.load(name)
    right = read(model, fixture)
    assert right is not None
    assert fixture.differences(right) == {}
    for key, point in model.items().items():
        if getattr(right, FIELDS[key]) is None:
            continue  # the fixture has it not there
        for change in spoiled(point, model.modbus.word_order):
            points = model.points.model_copy(update={key: point.model_copy(update=change)})
            reading = read(model.model_copy(update={"points": points}), fixture)
            assert reading is None or fixture.differences(reading), f"{key} {change} is not noticed"
