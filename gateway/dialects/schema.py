"""The JSON schemas of the `ocpp` package, compiled when first used. For what the gateway originates, and for tests:
what is relayed is never refused for its schema."""

import json
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Literal

import jsonschema_rs

Kind = Literal["request", "response"]

_FOLDERS = {"1.6": "v16", "2.0.1": "v201", "2.1": "v21"}
_REQUEST_SUFFIX = {"1.6": "", "2.0.1": "Request", "2.1": "Request"}
_RESPONSE = "Response"


def _folder(version: str) -> Traversable:
    """Read below `ocpp` itself: its version packages would import asyncio."""
    return files("ocpp") / _FOLDERS[version] / "schemas"


@cache
def actions(version: str) -> frozenset[str]:
    """Every action with a schema. Raises KeyError for an unknown version."""
    names = (entry.name.removesuffix(".json") for entry in _folder(version).iterdir() if entry.name.endswith(".json"))
    return frozenset(name.removesuffix(_REQUEST_SUFFIX[version]) for name in names if not name.endswith(_RESPONSE))


def source(version: str, action: str, kind: Kind) -> dict[str, Any]:
    """The schema itself. Raises KeyError for an unknown version or action, and for the answer of one that has none."""
    if action not in actions(version):
        raise KeyError(f"OCPP {version} has no action {action}")
    folder, file = _folder(version), f"{action}{_RESPONSE if kind == 'response' else _REQUEST_SUFFIX[version]}.json"
    if not (folder / file).is_file():  # a message that is never answered: one file, and no suffix
        if kind == "response":
            raise KeyError(f"OCPP {version}: nothing answers {action}")
        file = f"{action}.json"
    found: dict[str, Any] = json.loads((folder / file).read_text("utf-8-sig"))
    return found


@cache
def _validator(version: str, action: str, kind: Kind) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(source(version, action, kind), validate_formats=False)


def validate(version: str, action: str, kind: Kind, payload: bytes) -> list[str]:
    """Problems of a payload, empty if it is valid. Formats are off: date-times are not checked.

    Raises KeyError for an unknown version or action.
    """
    validator = _validator(version, action, kind)
    try:
        instance = json.loads(payload)
    except (ValueError, RecursionError) as error:
        return [f"no JSON: {error}"]
    return [_say(error) for error in validator.iter_errors(instance)]


def _say(error: jsonschema_rs.ValidationError) -> str:
    where = "/".join(str(step) for step in error.instance_path)
    return f"{where}: {error.message}" if where else error.message
