"""Mistakes of the configuration file in the installer's words.

A value is shown only where it cannot be a secret in the wrong place; nothing shown breaks a line.
"""

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from pydantic_core import ErrorDetails

from gateway.config_section import Section
from gateway.errors import GatewayError


@dataclass(frozen=True, slots=True)
class Mistake:
    """`path` is the place in the file, in TOML's words."""

    path: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return printable(f"{self.path}: {self.problem}. Remedy: {self.remedy}")


class ConfigError(GatewayError):
    """The file cannot be used. One line per mistake."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


def translated(detail: ErrorDetails, model: type[Section], where: str) -> Mistake:
    """One error of pydantic, found in the section at `where`."""
    parts = [part for part in detail["loc"] if part != "[key]"]  # pydantic's way to say that a key itself is wrong
    place, kind = f"{where}.{dotted(*parts)}", detail["type"]
    owner, key = _innermost(model, parts)
    if kind == "extra_forbidden":
        return Mistake(place, *unknown(key, list(owner.model_fields), owner.not_yet, "key"))
    remedy = owner.model_fields[key].description or ""
    context = detail.get("ctx", {})
    if kind == "gateway":
        return Mistake(place, context["problem"], context["remedy"] or remedy)
    if kind == "missing":
        return Mistake(place, "is missing", remedy)
    if kind == "literal_error":
        choices = context["expected"].replace("'", '"')
        remedy = f"Write {choices}{'' if isinstance(detail['input'], str) else ', with the quotes'}."
    elif kind in ("float_type", "int_type", "bool_type") and _is_bare(detail["input"]):
        remedy = f"Take the quotes away. {remedy}"
    return Mistake(place, f"cannot be {_shown(detail['input'])}", remedy)


def _innermost(model: type[Section], parts: list[int | str]) -> tuple[type[Section], str]:
    """The section that a place is in, where tables stand in a list, and its key there."""
    owner, key = model, str(parts[0])
    for part in parts[1:]:
        field = owner.model_fields.get(key)
        inner = (
            [one for one in get_args(field.annotation) if isinstance(one, type) and issubclass(one, Section)]
            if field
            else []
        )
        if isinstance(part, str) and inner:
            owner, key = inner[0], part
    return owner, key


def _is_bare(value: object) -> bool:
    """Text that is a number, or true or false, but for its quotes."""
    return isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?|true|false", value) is not None


def unknown(key: str, known: list[str], not_yet: Mapping[str, str], kind: str) -> tuple[str, str]:
    """Problem and remedy. The value is not repeated: it may be a secret in the wrong place."""
    if key in not_yet:
        return f"is a {kind} of a later version", f"This version does not {not_yet[key]} yet: take it out."
    if key == "password" and "password_file" in known:
        return (
            f"is not a known {kind}",
            "No password stands in this file: write password_file, the path of a file that holds it.",
        )
    near = difflib.get_close_matches(key.lower()[:60], known, n=1)
    remedy = f"Write {near[0]}, if that is meant." if near else f"Take it out; the known ones are {', '.join(known)}."
    return f"is not a known {kind}", remedy


def _shown(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value)
        case int():
            return str(value) if abs(value) < 10**20 else "a number this large"
        case float():
            return repr(value)
        case list() | dict():
            return f"{'a list' if isinstance(value, list) else 'a section'}" if value else "empty"
        case _:
            return "a date or time"


def dotted(*keys: int | str) -> str:
    """A place in TOML's spelling: `versions[1]`, `"odd key"`."""
    path = ""
    for key in keys:
        if isinstance(key, int):
            path += f"[{key}]"
        else:
            path += ("." if path else "") + (key if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", key) else quoted(key))
    return path


def quoted(text: str) -> str:
    short = text if len(text) <= 60 else text[:57] + "..."
    return json.dumps(short, ensure_ascii=not short.isprintable())


def printable(text: str) -> str:
    """Fit for one line of a log or terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
