"""Reads the configuration file: all mistakes at once, each with its place and its remedy.

Sections are checked one by one. A section with a wrong key is checked again without that key, so that what the rest
of it contradicts is found in the same pass.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import Field, ValidationError

from gateway.config_balance import Balance, make
from gateway.config_external import External
from gateway.config_meters import Circuit, Meter, Read, read_circuits, read_meters, read_named
from gateway.config_mistakes import ConfigError, Mistake, dotted, quoted, translated, unknown
from gateway.config_models import (
    Authorization,
    Budgets,
    Downlink,
    Grace,
    Log,
    Model,
    Station,
    Time,
    Uplink,
)
from gateway.config_queue import Replay, Storage
from gateway.config_section import Section
from gateway.config_site import Site
from gateway.config_topology import mistakes, warnings
from gateway.config_values import Address, Context
from gateway.plan import Plan

__all__ = ["Config", "ConfigError", "Mistake", "load", "redacted"]

_LARGEST_FILE = 4 * 1024**2
_SECTIONS = [
    "site",
    "downlink",
    "uplink",
    "authorization",
    "station",
    "model",
    "meter",
    "circuit",
    "external",
    "balance",
    "budgets",
    "time",
    "grace",
    "storage",
    "replay",
    "log",
]
_REQUIRED = {"site", "uplink"}
_NOT_YET = {"web": "open a TCP listener for a web page"}
_STAND_INS = {"name": "-", "identity": "-", "listen": "localhost:0", "url": "wss://localhost", "id": "-", "vendor": "-"}
"""For required keys that are wrong: something valid, so that the rest of the section can be judged."""

S = TypeVar("S", bound=Section)


class Config(Section):
    """The whole file, checked. Every path in it is absolute."""

    site: Site
    downlinks: tuple[Downlink, ...]
    uplink: Uplink
    authorization: Authorization
    stations: tuple[Station, ...]
    models: tuple[Model, ...]
    meters: tuple[Meter, ...]
    circuits: tuple[Circuit, ...]
    balance: Balance
    plan: Plan | None = Field(default=None, exclude=True)
    budgets: Budgets
    time: Time
    grace: Grace
    storage: Storage
    replay: Replay
    log: Log
    source: Path
    warnings: tuple[str, ...] = ()


def load(path: Path, *, folder: Path | None = None) -> Config:
    """Read and check the file, and every file it names.

    `folder` is where relative paths start; without it, the file's own. Raises ConfigError.
    """
    path = path.absolute()
    draft = _Draft((folder or path.parent).absolute())
    config = draft.checked(_parsed(path), path)
    if config is None or draft.mistakes:
        raise ConfigError(draft.mistakes)
    return config


def redacted(config: Config) -> dict[str, Any]:
    """The configuration for a support file: plain values, where each secret comes from instead of the secret."""
    return config.model_dump(mode="json")


def _parsed(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise _whole_file(path, "is larger than 4 MiB", "Give the configuration file.")
        text = content.decode("utf-8-sig")
        return tomllib.loads(text)
    except OSError as error:
        raise _whole_file(path, f"cannot be read ({error.strerror})", "Check the path and its permissions.") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _whole_file(f"{path} line {line}", "is not UTF-8 text", "Save the file as UTF-8.") from None
    except RecursionError:
        raise _whole_file(path, "is nested too deeply", "Write the values as in config.example.toml.") from None
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(path, str(error), text) from None
    except ValueError as error:  # a NUL in the path, a number of thousands of digits
        raise _whole_file(path, f"cannot be used ({error})", "Correct the path or the number.") from None


def _whole_file(place: Path | str, problem: str, remedy: str) -> ConfigError:
    return ConfigError([Mistake(str(place), problem, remedy)])


def _syntax_error(path: Path, message: str, text: str) -> ConfigError:
    what, _, place = message.rpartition(" (at ")
    if numbers := re.fullmatch(r"line (\d+), column (\d+)\)", place):
        line, column = int(numbers[1]), int(numbers[2])
    else:
        line, column = text.count("\n") + 1, len(text.rpartition("\n")[2]) + 1
    problem = f"is not TOML ({what or message})"
    return _whole_file(f"{path} line {line}, column {column}", problem, "Correct this line, or the one before it.")


@dataclass(frozen=True, slots=True)
class _Part(Generic[S]):
    """One section as far as it can be used: `bad` keys hold a default or a stand-in."""

    where: str
    section: S | None = None
    bad: frozenset[str] = frozenset()

    def good(self, *keys: str) -> S | None:
        """The section, if these keys of it can be relied on."""
        return None if self.bad.intersection(keys) else self.section


class _Draft:
    """Collects mistakes and warnings on the way through the file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mistakes: list[Mistake] = []
        self.warnings: list[str] = []

    def refuse(self, path: str, problem: str, remedy: str) -> None:
        self.mistakes.append(Mistake(path, problem, remedy))

    def checked(self, raw: dict[str, Any], source: Path) -> Config | None:
        """None if there are mistakes."""
        for key in raw:
            if key not in _SECTIONS:
                self.refuse(dotted(key), *unknown(key, _SECTIONS, _NOT_YET, "section"))
        site, uplink = self._table(Site, raw, "site"), self._table(Uplink, raw, "uplink")
        authorization = self._table(Authorization, raw, "authorization")
        budgets, log = self._table(Budgets, raw, "budgets"), self._table(Log, raw, "log")
        time, grace = self._table(Time, raw, "time"), self._table(Grace, raw, "grace")
        storage, replay = self._table(Storage, raw, "storage"), self._table(Replay, raw, "replay")
        downlinks = self._list(Downlink, raw, "downlink")
        stations = self._list(Station, raw, "station")
        models = self._list(Model, raw, "model")
        meters = self._heard(read_meters(raw.get("meter", {}), Context(self.folder)))
        circuits = self._heard(read_circuits(raw.get("circuit", {}), Context(self.folder), meters))
        balance = self._table(Balance, raw, "balance")
        sources = self._heard(read_named(External, raw.get("external", {}), "external", Context(self.folder)))
        self._check_listeners(downlinks)
        self._check_names(stations)
        self._check_budgets(budgets, uplink)
        self._check_passwords(downlinks, uplink, stations)
        self._check_topology(site, uplink, stations)
        if self.mistakes or balance.section is None:
            return None
        members = [part.section for part in stations if part.section]
        listeners = [part.section for part in downlinks if part.section]
        made = make(list(circuits.sections.values()), members, balance.section, sources.sections, listeners)
        self.warnings += made.warnings
        self.mistakes += made.mistakes
        if self.mistakes:
            return None
        return Config.model_validate(
            {
                "site": site.section,
                "downlinks": tuple(part.section for part in downlinks),
                "uplink": uplink.section,
                "authorization": authorization.section,
                "stations": tuple(part.section for part in stations),
                "models": tuple(part.section for part in models),
                "meters": tuple(meters.sections.values()),
                "circuits": tuple(circuits.sections.values()),
                "balance": balance.section,
                "plan": made.plan,
                "budgets": budgets.section,
                "time": time.section,
                "grace": grace.section,
                "storage": storage.section,
                "replay": replay.section,
                "log": log.section,
                "source": source,
                "warnings": tuple(self.warnings),
            }
        )

    def _table(self, model: type[S], raw: dict[str, Any], key: str) -> _Part[S]:
        value = raw.get(key, {})
        if key in _REQUIRED and key not in raw:
            self.refuse(key, "is missing", f"Add the section [{key}].")
        elif isinstance(value, dict):
            return self._part(model, value, key)
        else:
            self.refuse(key, "is not one section", f"Write [{key}] once, its keys below it.")
        return _Part(key)

    def _list(self, model: type[S], raw: dict[str, Any], key: str) -> list[_Part[S]]:
        value = raw.get(key, [])
        if isinstance(value, dict):
            self.refuse(key, "has single brackets", f"Write [[{key}]].")
            value = [value]
        elif not isinstance(value, list):
            self.refuse(key, "is not a section", f"Write [[{key}]], its keys below it.")
            return []
        if not value and model is Downlink:
            self.refuse(key, "is missing", "Add at least one section [[downlink]] with a listen address.")
        parts = []
        for label, item in zip(_labels(key, value), value, strict=True):
            if isinstance(item, dict):
                parts.append(self._part(model, item, label))
            else:
                self.refuse(label, "is not a section", f"Write [[{key}]], its keys below it.")
        return parts

    def _heard(self, read: Read[S]) -> Read[S]:
        self.mistakes += read.mistakes
        self.warnings += read.warnings
        return read

    def _part(self, model: type[S], raw: dict[str, Any], where: str) -> _Part[S]:
        context = Context(self.folder)
        bad: frozenset[str] = frozenset()
        try:
            section = model.model_validate(raw, context=context)
        except ValidationError as errors:
            details = errors.errors(include_url=False)
            self.mistakes += [translated(detail, model, where) for detail in details]
            bad = frozenset(str(detail["loc"][0]) for detail in details)
            context = Context(self.folder)
            section = model.model_validate(_mended(model, raw, bad), context=context)
        for clash in section.clashes():
            if not bad.intersection(clash.keys):
                self.refuse(f"{where}.{clash.keys[0]}", clash.problem, clash.remedy)
        self.warnings += [f"{where}.{warning}" for warning in context.warnings]
        self.warnings += [f"{where}: {caution}" for caution in section.cautions()]
        return _Part(where, section, bad)

    def _check_listeners(self, downlinks: list[_Part[Downlink]]) -> None:
        seen: list[tuple[str, Address]] = []
        for part in downlinks:
            if downlink := part.good("listen"):
                for other, address in seen:
                    if downlink.listen.collides(address):
                        self.refuse(f"{part.where}.listen", f"{other} listens there already", "Give it another port.")
                        break
                seen.append((part.where, downlink.listen))

    def _check_names(self, stations: list[_Part[Station]]) -> None:
        owners: dict[str, str] = {}
        for part in stations:
            if station := part.good("id"):
                self._claim(owners, part.where, "id", station.id)
        for part in stations:
            if station := part.good("alias"):
                for name in station.alias:
                    self._claim(owners, part.where, "alias", name)

    def _claim(self, owners: dict[str, str], where: str, key: str, name: str) -> None:
        owner = owners.setdefault(name, where)
        if owner != where:
            self.refuse(
                f"{where}.{key}", f"{quoted(name)} already names {owner}", "Give each station names of its own."
            )

    def _check_budgets(self, budgets: _Part[Budgets], uplink: _Part[Uplink]) -> None:
        limit = uplink.good("call_timeout_s")
        for key in Budgets.model_fields:
            if limit and budgets.good(key) and getattr(budgets.section, key) > limit.call_timeout_s:
                problem = f"is longer than uplink.call_timeout_s ({limit.call_timeout_s:g} s)"
                self.refuse(f"budgets.{key}", problem, "Make it shorter, or the call timeout longer.")

    def _check_topology(self, site: _Part[Site], uplink: _Part[Uplink], stations: list[_Part[Station]]) -> None:
        known, csms = site.good("identity"), uplink.good("topology", "versions")
        if known and csms:
            self.warnings += warnings(known, csms)
            self.mistakes += mistakes(known, csms, [(part.where, part.section) for part in stations if part.section])

    def _check_passwords(
        self, downlinks: list[_Part[Downlink]], uplink: _Part[Uplink], stations: list[_Part[Station]]
    ) -> None:
        csms = uplink.good("security_profile")
        without = []
        for part in stations:
            station = part.section
            if station and csms and csms.security_profile == 0 and station.uplink_password:
                key = "uplink_password_file" if station.uplink_password_file else "uplink_password_env"
                remedy = "Take it out, or use a higher security_profile in [uplink]."
                self.refuse(f"{part.where}.{key}", "the uplink has security profile 0, without passwords", remedy)
            if station and station.uplink_password is None:
                without.append(part.where)
            profiles = [known.security_profile for one in downlinks if (known := one.section)]
            if station and station.password and profiles and not any(profiles):
                self.warnings.append(f"{part.where}: its password is never asked for: every listener has profile 0")
        needs_own = csms and csms.security_profile > 0 and csms.topology == "per-station"
        if needs_own and csms and csms.password is None and (without or not stations):
            names = ", ".join(without[:5]) + (f" and {len(without) - 5} more" if len(without) > 5 else "")
            self.warnings.append(f"uplink: no password for the CSMS is set for {names or 'any station'}")


def _labels(key: str, items: list[Any]) -> list[str]:
    """Stations go by their id where it is clear which one is meant."""
    ids = [item.get("id") if key == "station" and isinstance(item, dict) else None for item in items]
    usable = [name if isinstance(name, str) and 1 <= len(name) <= 48 else None for name in ids]
    count = Counter(usable)
    return [
        f"station {quoted(name)}" if name is not None and count[name] == 1 else f"{key}[{index}]"
        for index, name in enumerate(usable)
    ]


def _mended(model: type[Section], raw: Mapping[str, Any], bad: frozenset[str]) -> dict[str, Any]:
    fields = model.model_fields
    stand_ins = {key: _STAND_INS[key] for key in bad if key in fields and fields[key].is_required()}
    return {key: value for key, value in raw.items() if key not in bad} | stand_ins
