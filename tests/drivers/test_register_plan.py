"""Which registers are read together, and what is learned from refusals."""

from hypothesis import given
from hypothesis import strategies as st

from drivers import model_file
from drivers.model_file import MeterModel
from drivers.options import Places
from drivers.register_plan import Block, Plan

SHIPPED = {name: model_file.load(path) for name, path in model_file.files(Places()).items()}
OWN_MAPS = sorted(name for name, model in SHIPPED.items() if model.like is None and model.modbus.block == "join")


def changed(model: MeterModel, **modbus: object) -> MeterModel:
    return model.model_copy(update={"modbus": model.modbus.model_copy(update=modbus)})


def values(plan: Plan) -> list[tuple[str, int]]:
    return sorted((value.name, value.phase) for block in plan.blocks for value in block.values)


def test_neighbours_are_read_together_and_slow_values_apart() -> None:
    found = [(block.every_s, block.at, block.count) for block in Plan(SHIPPED["eastron-sdm630"]).blocks]
    assert found == [(0, 0x00, 18), (0, 0x34, 2), (60, 0x3E, 14)]


def test_exact_blocks_are_one_point_each_and_never_longer() -> None:
    plan = Plan(changed(SHIPPED["eastron-sdm630"], block="exact"))
    assert [len({value.name for value in block.values}) for block in plan.blocks] == [1] * len(plan.blocks)
    assert all(block.padding == 0 for block in plan.blocks)
    assert not plan.is_distinct, "so that the line has to be quiet for longer"


def test_reads_on_borders_of_values_are_joined_and_never_longer() -> None:
    plan = Plan(SHIPPED["siemens-pac2200"])
    assert [(block.every_s, block.at, block.count) for block in plan.blocks] == [(0, 1, 66), (60, 801, 12)]
    assert plan.refused(plan.blocks[0])
    assert [(block.at, block.count) for block in plan.blocks] == [(1, 30), (65, 2), (801, 12)]


def test_a_ratio_is_read_once_a_minute_and_no_point_that_needs_it_is_forgotten() -> None:
    plan = Plan(SHIPPED["chint-dtsu666"])
    (block,) = (block for block in plan.blocks if block.at == 0x06)
    assert (block.every_s, block.needed) == (60.0, 2)
    found = {(value.at, value.name, value.phase) for value in block.values}
    assert found == {
        (0x06, "scale:current", 0),
        (0x07, "scale:voltage", 0),
        *((0x06 + place, f"scale:{name}", place) for name in ("power", "power_total") for place in (0, 1)),
    }


def test_a_refused_length_is_tried_without_padding_then_in_parts() -> None:
    plan = Plan(changed(SHIPPED["eastron-sdm630"], max_registers=6))
    padded = next(block for block in plan.blocks if block.padding)
    assert plan.refused(padded)
    rigid = next(block for block in plan.blocks if block.values == padded.values)
    assert (rigid.padding, rigid.is_rigid) == (0, True)
    assert plan.refused(rigid)
    assert all(block.values != padded.values for block in plan.blocks)


def test_only_what_may_be_left_out_is() -> None:
    plan = Plan(SHIPPED["abb-b23"])
    before = values(plan)
    while block := next((block for block in plan.blocks if any(v.name == "frequency" for v in block.values)), None):
        assert plan.refused(block)
    assert values(plan) == [value for value in before if value[0] != "frequency"]
    assert plan.dropped == {"frequency"}
    while len((block := plan.blocks[0]).values) > 1 or block.padding:
        assert plan.refused(block)
    assert not plan.refused(block), "a current is never left out"


def test_silence_splits_but_drops_nothing() -> None:
    plan = Plan(SHIPPED["carlo-gavazzi-em340"])
    before = values(plan)
    for _ in range(60):
        if not any(plan.is_silent(block) for block in plan.blocks):
            break
    assert values(plan) == before
    assert all(len(block.values) == 1 and not block.padding for block in plan.blocks)


@given(st.sampled_from(OWN_MAPS), st.integers(1, 125), st.integers(0, 60), st.lists(st.integers(0, 30), max_size=25))
def test_whatever_is_refused_each_value_is_read_once_and_lengths_differ(
    name: str, most: int, hole: int, refusals: list[int]
) -> None:
    plan = Plan(changed(SHIPPED[name], max_registers=most, max_hole=hole))
    wanted = values(plan)
    for number in refusals:
        plan.refused(plan.blocks[number % len(plan.blocks)])
    assert values(plan) == [value for value in wanted if value[0] not in plan.dropped]
    assert not plan.dropped & {"current", "voltage", "power", "power_total"}
    for block in plan.blocks:
        assert block.needed <= max(most, *(value.width for value in block.values))
        assert block.count <= 125
        assert block.at + block.count <= 0x10000
    flexible = [block for block in plan.blocks if not block.is_rigid]
    lengths = [block.count for block in flexible]
    assert len(set(lengths)) == len(lengths)
    rigid = {block.count for block in plan.blocks if block.is_rigid}
    assert not rigid.intersection(lengths)


def test_a_block_ends_where_its_last_value_ends() -> None:
    block = Plan(SHIPPED["abb-b23"]).blocks[0]
    assert isinstance(block, Block)
    assert (block.at, block.needed, block.function) == (0x5B00, 28, "holding")
