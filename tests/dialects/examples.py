"""A valid payload of every schema, with every member it may have, and the same as a station with a quirk writes it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from gateway.dialects import registry, schema
from gateway.dialects.schema import Kind


@dataclass(frozen=True)
class Example:
    version: str
    action: str
    kind: Kind

    def __str__(self) -> str:
        return f"{self.version}-{self.action}-{self.kind}"

    def payload(self) -> bytes:
        return self._written(_Plain())

    def spoilt(self) -> Iterator[tuple[str, bytes]]:
        """Quirk by quirk, the payload as a station with it writes it."""
        for spoiler in (_Capitals(), _QuotedNumbers(), _BareTexts(), _Shouting(), _Nulls()):
            yield spoiler.quirk, self._written(spoiler)

    def _written(self, writer: "_Plain") -> bytes:
        source = schema.source(self.version, self.action, self.kind)
        return writer.text(source, source.get("definitions", {})).encode()


class _Plain:
    quirk = ""

    def text(self, source: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
        if "$ref" in source:
            source = definitions[source["$ref"].rpartition("/")[2]]
        kind = source.get("type")
        if kind == "object":
            inner = [(name, self.text(one, definitions)) for name, one in source.get("properties", {}).items()]
            return "{" + ", ".join(self.members(inner)) + "}"
        if kind == "array":
            count = max(1, min(2, source.get("maxItems", 2)), source.get("minItems", 0))
            return "[" + ",".join([self.text(source["items"], definitions)] * count) + "]"
        if kind in ("integer", "number"):
            return self.number(source)
        if kind == "boolean":
            return "true"
        return self.word(source) if "enum" in source else self.string(source)

    def members(self, inner: list[tuple[str, str]]) -> list[str]:
        return [f'"{name}":{value}' for name, value in inner]

    def number(self, source: Mapping[str, Any]) -> str:
        return str(int(source.get("minimum", min(1, source.get("maximum", 1)))))

    def word(self, source: Mapping[str, Any]) -> str:
        return json.dumps(source["enum"][-1])

    def string(self, source: Mapping[str, Any]) -> str:
        return '"2026-03-01T08:00:00Z"' if source.get("format") == "date-time" else '"5"'


class _Capitals(_Plain):
    quirk = "capitalised-keys"

    def members(self, inner: list[tuple[str, str]]) -> list[str]:
        return super().members([(name[:1].upper() + name[1:], value) for name, value in inner])


class _QuotedNumbers(_Plain):
    quirk = "numbers-as-text"

    def number(self, source: Mapping[str, Any]) -> str:
        return f'"{super().number(source)}"'


class _BareTexts(_Plain):
    quirk = "text-as-numbers"

    def string(self, source: Mapping[str, Any]) -> str:
        text = super().string(source)
        return "5" if text == '"5"' and source.get("type") == "string" else text


class _Shouting(_Plain):
    quirk = "enum-spellings"

    def word(self, source: Mapping[str, Any]) -> str:
        return super().word(source).upper()


class _Nulls(_Plain):
    quirk = "strip-nulls"

    def members(self, inner: list[tuple[str, str]]) -> list[str]:
        holes = ['"zz":null', *(f'{text}, "x{index}" : null' for index, text in enumerate(super().members(inner)))]
        return holes if inner else []


EXAMPLES = [
    Example(dialect.name, action, kind)
    for dialect in registry.ALL
    for action in sorted(schema.actions(dialect.name))
    for kind in get_args(Kind)
    if (kind, action) != ("response", "NotifyPeriodicEventStream")
]
