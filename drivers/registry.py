"""The drivers there are. Nothing is imported before a meter asks for it."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from drivers.api import Driver, DriverError, Kind, Seams
from drivers.options import Mistake, Options, OptionsError, Places, Resource
from drivers.options import checked as checked_options

DRIVERS: Final[Mapping[str, str]] = {
    "han": "drivers.han:HanDriver",
    "modbus": "drivers.modbus:ModbusDriver",
    "mqtt": "drivers.mqtt:MqttDriver",
    "p1": "drivers.p1:P1Driver",
    "replay": "drivers.replay:ReplayDriver",
    "simulated": "drivers.simulated:SimulatedDriver",
    "sml": "drivers.sml:SmlDriver",
    "speedwire": "drivers.speedwire:SpeedwireDriver",
    "sunspec": "drivers.sunspec:SunspecDriver",
}
ENTRY_POINTS: Final = "ocpp_gateway.drivers"
"""Group in which a package of somebody else's names its drivers: `my-meter = "my_package.driver:MyDriver"`."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two meters that can't run together. `meter` is named, `other` was there first."""

    meter: str
    other: str
    key: str
    problem: str
    remedy: str


def _foreign() -> dict[str, EntryPoint]:
    """Ours win: no package can take a shipped driver's place by its name."""
    return {point.name: point for point in entry_points(group=ENTRY_POINTS) if point.name not in DRIVERS}


def names() -> list[str]:
    return sorted({*DRIVERS, *_foreign()})


def load(name: str) -> type[Driver[Any]]:
    """The class of a driver. Raises DriverError: no such driver, or a package it needs is not installed."""
    foreign = _foreign().get(name)
    if name not in DRIVERS and foreign is None:
        raise DriverError(Kind.MISCONFIGURED, f'there is no driver "{name[:60]}"', _suggestion(name))
    module, _, attribute = DRIVERS.get(name, foreign.value if foreign else "").partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        needed = getattr(error, "name", None) or module
        problem = f'the driver "{name}" cannot be loaded ({error})'
        raise DriverError(Kind.NOT_INSTALLED, problem, f"Install the Python package that has {needed}.") from error
    if not (isinstance(found, type) and issubclass(found, Driver)):
        problem = f'the driver "{name}" ({module}:{attribute}) is no Driver'
        raise DriverError(Kind.NOT_INSTALLED, problem, "Update or remove the package it comes from.")
    return found


def _suggestion(name: str) -> str:
    near = difflib.get_close_matches(name.lower()[:60], names(), n=1)
    return f'Write "{near[0]}", if that is meant.' if near else f"Write one of {', '.join(names())}."


def checked(table: Mapping[str, Any], places: Places) -> Options:
    """The options in a `[meter.NAME]` table, without the gateway's own keys. Raises OptionsError."""
    name = table.get("driver")
    if not isinstance(name, str):
        problem = "is missing" if name is None else "is no text"
        raise OptionsError([Mistake(("driver",), problem, f"Write one of {', '.join(names())}, with quotes.")])
    try:
        kind = load(name)
    except DriverError as error:
        raise OptionsError([Mistake(("driver",), error.trouble.problem, error.trouble.remedy)]) from error
    return checked_options(kind.options_type, table, places)


def build(name: str, options: Options, seams: Seams) -> Driver[Any]:
    """The driver of a meter, not yet open. Raises DriverError."""
    return load(options.driver)(name, options, seams)


def conflicts(meters: Mapping[str, Options]) -> list[Conflict]:
    """Meters that want one port or host in different ways, in the order of the configuration."""
    users: dict[str, list[tuple[str, Resource]]] = {}
    found = []
    for meter, options in meters.items():
        if resource := options.resource():
            earlier = users.setdefault(resource.place, [])
            clashes = (_clash(meter, resource, other, theirs) for other, theirs in earlier)
            if conflict := next(filter(None, clashes), None):
                found.append(conflict)
            earlier.append((meter, resource))
    return found


def _clash(meter: str, mine: Resource, other: str, theirs: Resource) -> Conflict | None:
    where, whose = f'"{mine.called}"', f"meter.{other}"
    if mine.protocol != theirs.protocol or mine.address is None or theirs.address is None:
        problem = f"{where} is used by {whose} already"
        remedy = f"Give each its own {mine.key}, or take one of the two out."
        return Conflict(meter, other, mine.key, problem, remedy)
    for key, value in mine.settings.items():
        if theirs.settings.get(key) != value:
            problem = f"{whose} uses {where} with {key} {theirs.settings.get(key)}, this one with {value}"
            remedy = f"All meters on one line need the same {key}: set it on the meters, then write it for both."
            return Conflict(meter, other, key, problem, remedy)
    if mine.address == theirs.address:
        problem = f"{whose} has the same address ({mine.address}) on {where}"
        return Conflict(meter, other, "unit", problem, "Give each meter on the line an address of its own.")
    return None
