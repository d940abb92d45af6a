"""Changes of the configuration file by commands: comments and all else stay, and the file can be loaded at any moment.

What was written is checked as a whole before it takes the old file's place.
"""

import contextlib
import os
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from gateway.config import load
from gateway.config_mistakes import ConfigError
from gateway.errors import GatewayError

_BOM = "\ufeff"


class EditError(GatewayError):
    """The file was left as it is. In words, with the remedy."""


def stanza(name: str, table: Mapping[str, Any]) -> str:
    """`[meter.NAME]` as text."""
    document = tomlkit.document()
    meters = tomlkit.table(is_super_table=True)
    meters[name] = dict(table)
    document["meter"] = meters
    return tomlkit.dumps(document)


def add_meter(path: Path, name: str, table: Mapping[str, Any]) -> None:
    """Appends a meter. Raises EditError: the name or the port is taken, or the file would not be good."""
    text = _read(path)
    meters = _parsed(text, path).get("meter", {})
    if name in meters:
        raise EditError(f"{path} has a meter {name} already. Remedy: give another name, or take that one out")
    gap = "" if not text or text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
    _replace(path, text, text + gap + stanza(name, table))


def change_meter(path: Path, name: str, changes: Mapping[str, Any]) -> None:
    """Sets keys of a meter. Raises EditError."""
    text = _read(path)
    expected = _parsed(text, path)
    if not isinstance(expected.get("meter"), dict) or name not in expected["meter"]:
        raise EditError(f"{path} has no meter {name}")
    expected["meter"][name].update(changes)
    try:
        document = tomlkit.parse(text.removeprefix(_BOM))
        meters: Any = document["meter"]
        for key, value in changes.items():
            meters[name][key] = value
        changed = tomlkit.dumps(document)
    except TOMLKitError as error:
        raise EditError(f"{path} cannot be changed ({error}). Remedy: write {changes} by hand") from error
    if tomllib.loads(changed) != expected:
        raise EditError(f"{path} is written in a way that cannot be changed here. Remedy: write {changes} by hand")
    _replace(path, text, text[: text.startswith(_BOM)] + changed)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise EditError(f"{path} cannot be read ({error})") from error


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text.removeprefix(_BOM))
    except tomllib.TOMLDecodeError as error:
        raise EditError(f"{path} is not TOML ({error})") from error


def _replace(path: Path, before: str, after: str) -> None:
    """In one step, on disk, and with the old one's owner and permissions. A link stays a link."""
    place = Path(os.path.realpath(path))
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{place.name}.", suffix=".new", dir=place.parent)
    except OSError as error:
        raise EditError(f"{place.parent} cannot be written ({error.strerror}). Remedy: run it as its owner") from error
    new = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(after.encode())
            file.flush()
            _like(place, file.fileno())
            os.fsync(file.fileno())
        load(new, folder=path.absolute().parent)
        if _read(path) != before:
            raise EditError(f"{path} was changed by somebody else meanwhile. Remedy: try again")
        new.replace(place)
        _sync(place.parent)
    except ConfigError as error:
        told = "; ".join(f"{mistake.path}: {mistake.problem}. {mistake.remedy}" for mistake in error.mistakes)
        raise EditError(f"{path} stays as it is, it would not be good: {told}") from error
    except OSError as error:
        raise EditError(f"{path} cannot be written ({error.strerror}). Remedy: run it as its owner") from error
    finally:
        new.unlink(missing_ok=True)


def _like(old: Path, descriptor: int) -> None:
    status = old.stat()
    with contextlib.suppress(PermissionError):  # who may not give it away owns it
        os.fchown(descriptor, status.st_uid, status.st_gid)
    os.fchmod(descriptor, status.st_mode & 0o7777)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
