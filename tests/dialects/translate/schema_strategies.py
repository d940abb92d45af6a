"""Hypothesis strategies for payloads that the schemas of the `ocpp` package allow."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from hypothesis import strategies as st

from gateway.dialects import schema
from gateway.dialects.schema import Kind

_NUMBERS = (0, 1, 2, 77, -1, 40, 2**31 - 1)
_WORDS = (
    "",
    "5",
    "ABC",
    "3f1c9f5e-6a52-4b9f-9d5c-0d3f6a1e2b7c",
    "AuthCtrlr",
    "LocalAuthListCtrlr",
    "OCPPCommCtrlr",
    "Available",
    "Enabled",
    "HeartbeatInterval",
    "ConfigurationKey",
    "SupportedFeatureProfiles",
    "Core,Reservation",
    "AuthorizationKey",
    "Vendor.Key[one]",
    "true",
    "Täg\u2028",
)
_TIMES = ("2026-03-01T08:00:00Z", "2026-02-01T08:00:00.123+02:00", "2036-03-01T08:00:00Z")


@cache
def payloads(version: str, action: str, kind: Kind) -> st.SearchStrategy[Any]:
    source = schema.source(version, action, kind)
    return _of(source, source.get("definitions", {}))


def _of(source: Mapping[str, Any], definitions: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    if "$ref" in source:
        source = definitions[source["$ref"].rpartition("/")[2]]
    if "enum" in source:
        return st.sampled_from(source["enum"])
    kind = source.get("type")
    if kind == "object":
        members = {name: one for name, one in source.get("properties", {}).items() if name != "customData"}
        inner = {name: _of(one, definitions) for name, one in members.items()}
        required = set(source.get("required", ()))
        return st.fixed_dictionaries(
            {name: one for name, one in inner.items() if name in required},
            optional={name: one for name, one in inner.items() if name not in required},
        )
    if kind == "array":
        least = source.get("minItems", 0)
        most = min(source.get("maxItems", 3), least + 2)
        return st.lists(_of(source["items"], definitions), min_size=least, max_size=most)
    if kind == "integer":
        least, most = source.get("minimum", -(2**31)), source.get("maximum", 2**31)
        return st.sampled_from([number for number in _NUMBERS if least <= number <= most])
    if kind == "number":
        return st.sampled_from([0, 16, 6.5, 32.1] if "multipleOf" in source else [0, 16, 6.5, 32.14, 1e-7])
    if kind == "boolean":
        return st.booleans()
    if kind == "string":
        longest = source.get("maxLength", 100)
        if source.get("format") == "date-time":
            return st.sampled_from(_TIMES)
        words = [word for word in _WORDS if len(word) <= longest]
        return st.sampled_from([*words, "x" * min(longest, 600)])
    return st.sampled_from(["text", {"a": 1.5}, [1, None], 3])
