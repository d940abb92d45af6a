"""Change one member of a JSON text and leave every other byte as received.

Numbers, key order, spacing, signed data and unknown fields of relayed messages must arrive as sent, so nothing that
is relayed is ever serialized again.
"""

import json
import re
from collections.abc import Sequence
from json.decoder import scanstring  # type: ignore[attr-defined]  # public in the module, missing in typeshed

Path = Sequence[str | int]
"""Where a member is: names of object members and indexes of array elements, outermost first."""

REMOVE = None
_SPACE = re.compile(r"[ \t\n\r]*")
_skip_value = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode  # a number of any length passes


class SpliceError(ValueError):
    """The text is no JSON object, or the path leads through something that is neither object nor array."""


def splice(payload: bytes, path: Path, value: bytes | None) -> bytes:
    """Replace the member at `path` by the JSON text `value`, insert it where it is missing, or remove it (None).

    Only the last step may be missing; a missing parent makes an insertion impossible (SpliceError) and a removal
    needless. If a member stands twice, both are changed. Raises SpliceError.
    """
    try:
        text = payload.decode()
        *parents, last = path
        start = _space(text, 0)
        for step in parents:
            spans = _members(text, start, step)
            if not spans:
                if value is REMOVE:
                    return payload
                raise SpliceError(f"no member {step!r} on the way to {list(path)}")
            start = spans[-1].value
        spans = _members(text, start, last)
        if value is not REMOVE:
            return _put(text, start, last, spans, value.decode()).encode()
        return _remove(text, start, spans).encode()
    except (ValueError, IndexError, RecursionError) as error:
        if isinstance(error, SpliceError):
            raise
        raise SpliceError(f"cannot find {list(path)}: {error}") from error


class Span:
    """One member: where it begins (its key, or the value of an array's element), where its value begins and ends."""

    __slots__ = ("end", "key", "value")

    def __init__(self, key: int, value: int, end: int) -> None:
        self.key, self.value, self.end = key, value, end


def _space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _members(text: str, start: int, step: str | int) -> list[Span]:
    """All members of the container at `start` that the step names."""
    return [span for name, span in scan(text, start) if name == step]


def scan(text: str, start: int) -> list[tuple[str | int, Span]]:
    """Members or elements of the container that opens at `start`, by name or index. Raises ValueError, IndexError or
    RecursionError where the text is no JSON."""
    opening = text[start]
    if opening not in "{[":
        raise SpliceError(f"neither object nor array at character {start}")
    closing = "}" if opening == "{" else "]"
    found: list[tuple[str | int, Span]] = []
    at = _space(text, start + 1)
    while text[at] != closing:
        key = at
        name: str | int = len(found)
        if opening == "{":
            if text[at] != '"':
                raise SpliceError(f"no member name at character {at}")
            name, at = scanstring(text, at + 1, False)
            at = _space(text, at)
            if text[at] != ":":
                raise SpliceError(f"no colon at character {at}")
            at = _space(text, at + 1)
        end = _skip_value(text, at)[1]
        found.append((name, Span(key, at, end)))
        at = _space(text, end)
        if text[at] == ",":
            at = _space(text, at + 1)
        elif text[at] != closing:
            raise SpliceError(f"no comma at character {at}")
    return found


def _put(text: str, start: int, name: str | int, spans: list[Span], value: str) -> str:
    if not spans:
        if isinstance(name, int) or text[start] != "{":
            raise SpliceError(f"no element {name!r}")
        rest = _space(text, start + 1)
        comma = "" if text[rest] == "}" else ","
        return f"{text[: start + 1]}{json.dumps(name)}:{value}{comma}{text[start + 1 :]}"
    for span in reversed(spans):
        text = text[: span.value] + value + text[span.end :]
    return text


def _remove(text: str, start: int, spans: list[Span]) -> str:
    for span in reversed(spans):
        after = _space(text, span.end)
        if text[after] == ",":
            text = text[: span.key] + text[_space(text, after + 1) :]
            continue
        before = span.key
        while text[before - 1] in " \t\n\r":
            before -= 1
        begin = before - 1 if text[before - 1] == "," and before - 1 > start else span.key
        text = text[:begin] + text[span.end :]
    return text
