"""Quirks of stations as data: a switch for each thing that some stations say wrongly and that can be put right.

All are off unless the configuration names them, for a station or for its model. `mend` applies them.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from gateway.dialects.base import Json

HISTORY_S = 600.0
"""A status older than this is history, for a station that tells its past when it connects."""

_ELSEWHERE = frozenset({"empty_values", "history_at_first_connect"})
_VENDOR = ("chargepointvendor", "vendorname")
_MODEL = ("chargepointmodel", "model")
_FIRMWARE = ("firmwareversion",)
_SERIAL = ("chargepointserialnumber", "serialnumber", "chargeboxserialnumber")


@dataclass(frozen=True, slots=True)
class Quirks:
    """What is put right for one station; a field for each switch."""

    empty_values: bool = False
    capitalised_keys: bool = False
    numbers_as_text: bool = False
    text_as_numbers: bool = False
    enum_spellings: bool = False
    strip_nulls: bool = False
    missing_connector_id: bool = False
    long_boot_texts: bool = False
    long_id_tag: bool = False
    history_at_first_connect: bool = False

    def __or__(self, other: "Quirks") -> "Quirks":
        return Quirks(*(getattr(self, one.name) or getattr(other, one.name) for one in fields(self)))

    def __str__(self) -> str:
        on = (one.name.replace("_", "-") for one in fields(self) if getattr(self, one.name))
        return ", ".join(on) or "none"

    @property
    def mends_payloads(self) -> bool:
        """Whether any switch is about the payloads of CALLs and CALLRESULTs."""
        return any(getattr(self, one.name) for one in fields(self) if one.name not in _ELSEWHERE)


@dataclass(frozen=True, slots=True)
class Switch:
    """`name` as the configuration spells it; `evidence`: who was seen to do so."""

    name: str
    does: str
    evidence: str


SWITCHES = (
    Switch(
        "empty-values",
        'Takes out members without a value (`"key":,` or `"key":}`), which are no JSON, before the frame is read.',
        "AEFA stations leave out the value of a field they have nothing for.",
    ),
    Switch(
        "capitalised-keys",
        "Gives a member's name the case of the schema's in its first letter, where the schema knows no such name.",
        'Seen in several stacks written in languages whose fields begin with a capital ("ConnectorId").',
    ),
    Switch(
        "numbers-as-text",
        'Takes the quotes off a number ("12.50") where the schema wants one; its digits stay.',
        "Connector and transaction ids, meter values and intervals in quotes, from several vendors.",
    ),
    Switch(
        "text-as-numbers",
        "Puts a number in quotes where the schema wants text; its digits stay. Times are left alone.",
        "Sampled values (text in 1.6) and serial numbers sent as numbers, from several vendors.",
    ),
    Switch(
        "enum-spellings",
        "Spells a word of a closed list as the schema does; one that the list lacks becomes OtherError or Other where "
        "there is such a word, and else is left out if nothing is said by that.",
        'errorCode "Error", unit "Hz", measurand "Request.Energy", unknown contexts.',
    ),
    Switch(
        "strip-nulls",
        "Takes out members whose value is null, which OCPP does not know.",
        "Stacks that write every optional field, set or not.",
    ),
    Switch(
        "missing-connector-id",
        "Puts connectorId 1 into a StatusNotification that names an EVSE only (0 for EVSE 0).",
        "OCPP 2.0.1 stations with one connector per EVSE.",
    ),
    Switch(
        "long-boot-texts",
        "Cuts the texts of a BootNotification to the schema's length.",
        "Serial numbers and model names longer than the field, from many vendors.",
    ),
    Switch(
        "long-id-tag",
        "Leaves the idTag out of a StopTransaction if it is longer than the field.",
        "A tag of 21 characters and more, read from the card, blocked a station's queue at its CSMS.",
    ),
    Switch(
        "history-at-first-connect",
        "A StatusNotification older than 10 minutes is answered here and changes nothing that is known of now; it goes "
        "up only while its connector has not told of now, the newest one only.",
        "Alfen stations send their whole history when they meet a new CSMS.",
    ),
)
NAMES = tuple(switch.name for switch in SWITCHES)
NONE = Quirks()


def of(names: Iterable[str]) -> Quirks:
    """The switches of these names. Raises KeyError for a name that is none."""
    wanted = list(names)
    for name in wanted:
        if name not in NAMES:
            raise KeyError(name)
    return Quirks(**{name.replace("-", "_"): True for name in wanted})


def model_of(boot: bytes | None) -> tuple[str, str] | None:
    """Vendor and model of a BootNotification of any version, as lenient as can be; None without one."""
    flat = _flat(boot)
    return None if flat is None else (_first(flat, _VENDOR), _first(flat, _MODEL))


def serial_of(boot: bytes | None) -> str:
    """The serial number of a BootNotification of any version; empty if it says none."""
    return _first(_flat(boot) or {}, _SERIAL)


def firmware_of(boot: bytes | None) -> str:
    """The firmware of a BootNotification of any version; empty if it says none."""
    return _first(_flat(boot) or {}, _FIRMWARE)


def _flat(boot: bytes | None) -> Json | None:
    try:
        found = json.loads(boot) if boot is not None else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    flat = {name.casefold(): value for name, value in found.items()}
    inner = flat.get("chargingstation")
    if isinstance(inner, dict):
        flat |= {name.casefold(): value for name, value in inner.items()}
    return flat


def _first(found: Json, names: Iterable[str]) -> str:
    return next((value for name in names if isinstance(value := found.get(name), str)), "")


def said_at(payload: bytes) -> datetime | None:
    """The time a message says it is from; None if it names none, or one without a zone."""
    try:
        found: Any = json.loads(payload)
        moment = datetime.fromisoformat(found["timestamp"])
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else None


def is_history(payload: bytes, now: datetime) -> bool:
    """Whether a message is about the past. Without a readable time it counts as being of now."""
    moment = said_at(payload)
    return moment is not None and (now - moment).total_seconds() > HISTORY_S


def is_not_newer(before: bytes, after: bytes) -> bool:
    """Whether the first of two messages is surely not from a later time than the second."""
    first, second = said_at(before), said_at(after)
    return first is not None and second is not None and first <= second
