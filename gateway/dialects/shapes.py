"""What the schemas say of a payload's members, in the form in which `mend` asks: built when first used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from gateway.dialects import schema
from gateway.dialects.schema import Kind

_BETWEEN_WORDS = {ord(character): None for character in " -_"}


@dataclass(frozen=True, slots=True)
class Shape:
    """One value. `kind`: JSON Schema's word, "" for anything. `spellings`: folded -> as the closed list has it."""

    kind: str = ""
    members: Mapping[str, "Shape"] = field(default_factory=dict)
    by_folded_name: Mapping[str, str] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    items: "Shape | None" = None
    spellings: Mapping[str, str] = field(default_factory=dict)
    longest: int | None = None
    is_time: bool = False


def of(version: str, action: str, kind: Kind) -> Shape | None:
    """The shape of an action's payload; None where there is no schema (vendors' and signed actions, no answer)."""
    try:
        return _built(version, action, kind) if action in schema.actions(version) else None
    except KeyError:
        return None


def folded_name(name: str) -> str:
    """A member's name with a small first letter."""
    return name[:1].lower() + name[1:]


def folded_word(word: str) -> str:
    """A word of a closed list without case, spaces, hyphens and underscores."""
    return word.casefold().translate(_BETWEEN_WORDS)


@cache
def _built(version: str, action: str, kind: Kind) -> Shape:
    source = schema.source(version, action, kind)
    return _shape(source, source.get("definitions", {}))


def _shape(source: Mapping[str, Any], definitions: Mapping[str, Any]) -> Shape:
    """No schema of OCPP refers to itself, so this ends."""
    if "$ref" in source:
        source = definitions[source["$ref"].rpartition("/")[2]]
    properties, items = source.get("properties", {}), source.get("items")
    return Shape(
        kind=source.get("type", ""),
        members={name: _shape(inner, definitions) for name, inner in properties.items()},
        by_folded_name={folded_name(name): name for name in properties},
        required=frozenset(source.get("required", ())),
        items=_shape(items, definitions) if items is not None else None,
        spellings={folded_word(word): word for word in source.get("enum", ())},
        longest=source.get("maxLength"),
        is_time=source.get("format") == "date-time",
    )
