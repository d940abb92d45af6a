"""Settings of the whole site as one station: those of all its stations made one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.dialects.base import Json
from gateway.dialects.payloads import encode, integer, read_answer, text
from gateway.dialects.pieces import entries, name_of
from gateway.dialects.site_map import StationIds

_LEAST = (
    "maxlength",
    "maxkeys",
    "maxstacklevel",
    "maxperiods",
    "maxchargingprofilesinstalled",
    "sendlocallistmaxlength",
)
"""Ends of keys (1.6) whose least value is what the whole site can do."""
_LEAST_V2 = frozenset({
    "itemspermessage", "bytespermessage", "periodsperschedule", "profilestacklevel", "entries", "storage", "valuesize",
    "reportingvaluesize", "configurationvaluesize",
})  # fmt: skip
_COMMON = frozenset({
    "supportedfeatureprofiles", "supportedfiletransferprotocols", "chargingscheduleallowedchargingrateunit",
    "ratesupported", "rateunit",
})  # fmt: skip
"""Lists of which the site can do what all its stations can."""
_ROTATION = "connectorphaserotation"


@dataclass(frozen=True, slots=True)
class Told:
    """What one station tells of its settings, and its numbers."""

    payload: bytes
    ids: StationIds


def merge_configuration(payload: bytes, own: Mapping[str, str], told: Sequence[Told]) -> bytes:
    """The answer to a GetConfiguration. `own`: what the site says itself, all read-only.

    A key is listed if any station knows it. Where they differ: the least of limits, what all can of lists, else no
    value.
    """
    asked = read_answer(payload).get("key")
    names = [text(name) or "" for name in asked] if isinstance(asked, list) and asked else None
    said: dict[str, list[tuple[str, Json, StationIds]]] = {}
    for one in told:
        for _, entry in entries(read_answer(one.payload), "configurationKey"):
            key = text(entry.get("key")) or ""
            said.setdefault(key.strip().casefold(), []).append((key, entry, one.ids))
    folded = {name.casefold(): name for name in own}
    found = list(folded | said) if names is None else [name.strip().casefold() for name in names]
    keys: list[Json] = [
        {"key": folded[name], "readonly": True, "value": own[folded[name]]}
        if name in folded
        else _key(name, said[name])
        for name in dict.fromkeys(found)
        if name in folded or name in said
    ]
    unknown = [name for name in names or () if name.strip().casefold() not in folded | said]
    return encode({"configurationKey": keys} | ({"unknownKey": unknown} if unknown else {}))


def _key(name: str, said: Sequence[tuple[str, Json, StationIds]]) -> Json:
    entry: Json = {"key": said[0][0], "readonly": any(one.get("readonly") is True for _, one, _ in said)}
    if name == _ROTATION:
        value: str | None = ",".join(_rotations((text(one.get("value")) or "", ids) for _, one, ids in said))
    else:
        value = made_one(name, [text(one.get("value")) for _, one, _ in said], least=name.endswith(_LEAST))
    return entry if value is None else entry | {"value": value[:500]}


def _rotations(said: Iterable[tuple[str, StationIds]]) -> Iterable[str]:
    """Of each connector, by its number in the site; what a station says of itself is left out."""
    for value, ids in said:
        for part in value.split(","):
            connector, _, rotation = part.strip().partition(".")
            number = ids.number(integer(connector) or 0)
            if number is not None:
                yield f"{number}.{rotation}"


def made_one(name: str, said: Sequence[str | None], *, least: bool) -> str | None:
    """One value of several; None if there is none that is true of all."""
    values = [value for value in said if value is not None]
    if len(values) < len(said) or not values:
        return None
    if len(set(values)) == 1:
        return values[0]
    if least and all(value.strip().isdecimal() for value in values):
        return min(values, key=int)
    if name.casefold() in _COMMON:
        lists = [[item.strip() for item in value.split(",")] for value in values]
        return ",".join(item for item in lists[0] if all(item in other for other in lists))
    return None


def made_one_variable(entry: Json, said: Sequence[str | None]) -> str | None:
    """The same of a variable of 2.x."""
    name = name_of(entry, "variable").casefold()
    return made_one(name, said, least=name in _LEAST_V2)


OwnVariable = Callable[[Json], str | None]
"""The value of a variable that the site has itself, by what was asked of it; None if it has none."""


def own_variable(own: Mapping[tuple[str, str], str]) -> OwnVariable:
    """`own` by component and variable."""
    folded = {(component.casefold(), name.casefold()): value for (component, name), value in own.items()}

    def value(entry: Json) -> str | None:
        component = entry.get("component")
        if not isinstance(component, dict) or component.get("evse") or component.get("instance"):
            return None
        return folded.get((name_of(entry, "component").casefold(), name_of(entry, "variable").casefold()))

    return value


def report(request: int, moment: str, own: Mapping[tuple[str, str], str]) -> bytes:
    """What the site has itself, as a part of a report (NotifyReport)."""
    data = [
        {
            "component": {"name": component},
            "variable": {"name": name},
            "variableAttribute": [{"value": value, "mutability": "ReadOnly"}],
        }
        for (component, name), value in own.items()
    ]
    return encode({"requestId": request, "generatedAt": moment, "seqNo": 0, "reportData": data})
