"""Whatever stands in the configuration file, nothing but ConfigError comes out of it."""

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import ConfigError, load, redacted
from tests.config_bench import SECTIONS, write

KEYS = st.sampled_from(
    [*SECTIONS, *(key for model in SECTIONS.values() for key in model.model_fields), "circuit", "é\n"]
)
SCALARS = (
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
    | st.sampled_from(["/", ".", "[::1]:1", "wss://x", "ws://[", "wss://u:p@h:99999", "a:1", "1.6", "\0", "/dev/zero"])
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.booleans()
    | st.just(datetime(2024, 1, 1, tzinfo=UTC))
)
JUNK = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


def inline(value: Any) -> str:
    """As a TOML value."""
    match value:
        case dict():
            return "{" + ", ".join(f"{json.dumps(key)} = {inline(each)}" for key, each in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(inline, value)) + "]"
        case str():
            return json.dumps(value).replace("\x7f", "\\u007f") if value.isascii() else quoted_toml(value)
        case datetime():
            return value.isoformat()
        case _:
            return json.dumps(value).replace("Infinity", "inf").replace("NaN", "nan")


def quoted_toml(text: str) -> str:
    return '"' + "".join(f"\\U{ord(each):08x}" for each in text) + '"'


def load_or_refuse(content: bytes) -> ConfigError | None:
    refusal = None
    with tempfile.TemporaryDirectory() as folder:
        try:
            json.dumps(redacted(load(write(Path(folder) / "gateway.toml", content))))
        except ConfigError as error:
            refusal = error
    if refusal is not None:
        assert refusal.mistakes
        assert all(each.path and each.problem and each.remedy for each in refusal.mistakes)
        assert len(str(refusal).encode().splitlines()) == len(refusal.mistakes)
    return refusal


@settings(deadline=None, print_blob=True, max_examples=300)
@given(st.dictionaries(KEYS, JUNK, max_size=6))
def test_junk_files_raise_nothing_but_config_errors(junk: dict[str, Any]) -> None:
    text = "\n".join(f"{json.dumps(key)} = {inline(value)}" for key, value in junk.items())
    error = load_or_refuse(text.encode())
    assert error is None or not any("is not TOML" in each.problem for each in error.mistakes), (
        "the test writes bad TOML"
    )


@settings(deadline=None, print_blob=True, max_examples=400)
@given(
    st.sampled_from([(name, key) for name, model in SECTIONS.items() for key in [*model.model_fields, "junk"]]), JUNK
)
def test_junk_values_raise_nothing_but_config_errors(place: tuple[str, str], junk: Any) -> None:
    good: dict[str, dict[str, Any]] = {
        "site": {"name": "A", "identity": "S"},
        "downlink": {"listen": "127.0.0.1:1", "security_profile": 1},
        "uplink": {"url": "wss://csms.example.com"},
        "station": {"id": "CP"},
    }
    name, key = place
    raw = {**good, name: {**good.get(name, {}), key: junk}}
    text = "".join(
        (f"[[{section}]]\n" if section in {"downlink", "station"} else f"[{section}]\n")
        + "".join(f"{json.dumps(each)} = {inline(value)}\n" for each, value in table.items())
        for section, table in raw.items()
    )
    error = load_or_refuse(text.encode())
    if key == "junk":
        assert error is not None
    for each in error.mistakes if error else []:
        assert "is not TOML" not in each.problem, "the test writes bad TOML"
        assert each.path.startswith((name, "uplink", "station", "budgets")), "blames a section that is in order"


@settings(deadline=None, print_blob=True, max_examples=200)
@given(st.binary(max_size=200))
def test_junk_bytes_raise_nothing_but_config_errors(junk: bytes) -> None:
    assert load_or_refuse(junk) is not None
