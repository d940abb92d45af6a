"""Payloads taken apart and put together again, every part as it came."""

from typing import Any

import msgspec

from gateway.dialects.base import Json
from gateway.dialects.payloads import text
from gateway.rpc.splice import REMOVE, Path, splice


def entries(found: Json, name: str) -> list[tuple[int, dict[str, Any]]]:
    """The objects of an array with their places in it."""
    value = found.get(name)
    return (
        [(index, entry) for index, entry in enumerate(value) if isinstance(entry, dict)]
        if isinstance(value, list)
        else []
    )


def elements(payload: bytes, name: str) -> list[bytes] | None:
    """The elements of an array as they stand in the text; None if there is no such array."""
    try:
        array = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])[name]
        return [bytes(element) for element in msgspec.json.decode(array, type=list[msgspec.Raw])]
    except (KeyError, ValueError, RecursionError):
        return None


def remove(payload: bytes, paths: list[Path]) -> bytes:
    """Remove members; elements of one array last first, so that the places of the others stay."""
    for path in paths:
        payload = splice(payload, path, REMOVE)
    return payload


def name_of(entry: Json, of: str) -> str:
    """The name of an entry's component or variable; "" if it has none."""
    found = entry.get(of)
    return (text(found.get("name")) or "") if isinstance(found, dict) else ""
