"""Every schema has a shape, and none of its foldings is ambiguous."""

from collections.abc import Iterator

import pytest

from gateway.dialects import registry, schema, shapes
from gateway.dialects.schema import Kind
from gateway.dialects.shapes import Shape

VERSIONS = [dialect.name for dialect in registry.ALL]


def below(shape: Shape) -> Iterator[Shape]:
    yield shape
    for inner in (*shape.members.values(), *([shape.items] if shape.items else [])):
        yield from below(inner)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["request", "response"])
def test_every_action_has_a_shape_and_foldings_are_clear(version: str, kind: Kind) -> None:
    words = 0
    for action in schema.actions(version):
        shape = shapes.of(version, action, kind)
        if shape is None:
            assert (kind, action) == ("response", "NotifyPeriodicEventStream"), "a SEND has no answer, all else has"
            continue
        assert shape.kind == "object"
        for one in below(shape):
            words += len(one.spellings)
            assert len(one.by_folded_name) == len(one.members)
            assert all(shapes.folded_word(word) == folded for folded, word in one.spellings.items())
            assert one.required <= one.members.keys()
    assert words > 50


def test_what_a_schema_says_is_there() -> None:
    shape = shapes.of("2.0.1", "TransactionEvent", "request")
    assert shape is not None
    assert shape.members["timestamp"].is_time
    assert shape.members["transactionInfo"].members["transactionId"].longest == 36
    samples = shape.members["meterValue"].items
    assert samples is not None
    sample = samples.members["sampledValue"].items
    assert sample is not None
    assert sample.members["value"].kind == "number"
    assert sample.members["phase"].spellings["l1n"] == "L1-N"


@pytest.mark.parametrize(
    ("version", "action"), [("1.5", "Reset"), ("1.6", "Heartbeat-Signed"), ("1.6", "../Reset"), ("", "")]
)
def test_the_unknown_has_no_shape(version: str, action: str) -> None:
    assert shapes.of(version, action, "request") is None
