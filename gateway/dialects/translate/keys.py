"""Settings of a 1.6 station for a CSMS of 2.x: GetVariables, SetVariables and the reports, made of GetConfiguration."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from gateway.dialects.keys import basic_password
from gateway.dialects.payloads import member, objects, text, wire_time
from gateway.dialects.settings import is_secret
from gateway.dialects.translate import key_table
from gateway.dialects.translate.base import Command, Facts, Json, Message, Outcome, Reply, Steps, answered
from gateway.dialects.translate.inventory import COMPONENTS as INVENTORY
from gateway.dialects.translate.inventory import inventory, is_told
from gateway.dialects.translate.key_table import (
    COMPONENTS,
    FEATURES,
    LONGEST_PASSWORD,
    LONGEST_VALUE_16,
    OTHER_KEYS,
    PROFILES_KEY,
    Variable,
)
from gateway.dialects.translate.parts import failed, info, kept, missing, needed, present, said, whole

_MOST_KEYS = 10
"""More than so many settings are asked for by asking for all: each station has a limit of its own for a list."""

_ENTRIES_EACH = 40
"""Variables in one NotifyReport."""

_LONGEST_VALUE = 2500
_SET = {"Accepted": "Accepted", "Rejected": "Rejected", "RebootRequired": "RebootRequired"}
_UNKNOWN = ("UnknownComponent", "UnknownVariable")


def variable(entry: Json) -> Variable:
    """What an entry of a request is about."""
    component, of = member(entry, "component"), member(entry, "variable")
    evse = member(component, "evse")
    return Variable(
        text(component.get("name")) or "",
        text(of.get("name")) or "",
        text(of.get("instance")) or None,
        text(component.get("instance")) or None,
        whole(evse.get("id")),
        whole(evse.get("connectorId")),
    )


def _unknown(asked: Variable) -> str:
    """Which of the two the station does not have."""
    is_there = asked.component in COMPONENTS and asked.evse is None
    return _UNKNOWN[(is_there or asked.component in INVENTORY) and not asked.component_instance]


def _repeated(entry: Json) -> Json:
    """What a result repeats of its request."""
    return {
        **kept(entry, "attributeType"),
        "component": _named(member(entry, "component"), with_evse=True),
        "variable": _named(member(entry, "variable")),
    }


def _named(found: Json, *, with_evse: bool = False) -> Json:
    evse = member(found, "evse") if with_evse else {}
    place = {"evse": kept(evse, "id", "connectorId")} if evse else {}
    return {**kept(found, "name", "instance"), **place}


# -- SetVariables ------------------------------------------------------------------------------------------------------


def set_variables(payload: Json, facts: Facts) -> Steps:
    """One ChangeConfiguration for each entry, in their order."""
    asked = objects(payload, "setVariableData")
    if not asked:
        raise missing("setVariableData")
    return _set_each(asked, LONGEST_PASSWORD[facts.csms])


def _set_each(asked: list[Json], longest_password: int) -> Steps:
    results = []
    for entry in asked:
        secret = _password(entry, longest_password)
        change, result = _change(entry) if secret is None else (None, {})
        if secret is not None:
            outcome = yield Command("", {}, password=secret)
            result = _changed(outcome)
        elif change is not None:
            outcome = yield Command("ChangeConfiguration", change)
            result = _changed(outcome)
        results.append({**result, **_repeated(entry)})
    return Reply({"setVariableResult": results})


def _password(entry: Json, longest: int) -> bytes | None:
    """The password of the CSMS's link, if the entry sets one that can be."""
    row, value = key_table.row_of(variable(entry)), text(entry.get("attributeValue"))
    is_meant = row is not None and row.is_password and entry.get("attributeType") in (None, "Actual")
    return basic_password(value, longest) if is_meant and value is not None else None


def _change(entry: Json) -> tuple[Json | None, Json]:
    """The ChangeConfiguration of an entry, or else its result."""
    asked, value = variable(entry), text(entry.get("attributeValue"))
    key, row = key_table.key_of(asked), key_table.row_of(asked)
    if key is None:
        is_read_only = _is_feature(asked) or is_told(asked)
        return None, _result("Rejected", "ReadOnly") if is_read_only else _result(_unknown(asked))
    if entry.get("attributeType") not in (None, "Actual"):
        return None, _result("NotSupportedAttributeType")
    if row is not None and row.is_readonly:
        return None, _result("Rejected", "ReadOnly")
    if row is not None and row.is_password:
        return None, _result("Rejected", "InvalidValue", "16 or more printable characters are needed")
    written = (row.to_16(value) if row else value) if value is not None else None
    if written is None or len(written) > LONGEST_VALUE_16:
        return None, _result("Rejected", "InvalidValue", "OCPP 1.6 can't hold this value")
    return {"key": key, "value": written}, {}


def _changed(outcome: Outcome) -> Json:
    if outcome.payload is None:
        return _result("Rejected", "InternalError", outcome.description or outcome.code or "no answer")
    if outcome.status == "NotSupported":
        return _result("UnknownVariable")
    return _result(_SET.get(outcome.status, "Rejected"))


def _result(status: str, reason: str = "", why: str = "") -> Json:
    return {"attributeStatus": status, **({"attributeStatusInfo": info(reason, why)} if reason else {})}


def _is_feature(asked: Variable) -> bool:
    """Whether it is worked out of the feature profiles."""
    return asked.name == "Available" and asked.component in FEATURES.values()


# -- GetVariables ------------------------------------------------------------------------------------------------------


class _Setting(NamedTuple):
    """A configuration key as the station told it; `value` None: it is set to nothing, or is not shown."""

    value: str | None
    is_readonly: bool


_Settings = Mapping[str, _Setting]
"""By key, folded."""


def get_variables(payload: Json, facts: Facts) -> Steps:
    """One GetConfiguration for all that stands in keys; the rest is known here, or nowhere."""
    asked = objects(payload, "getVariableData")
    if not asked:
        raise missing("getVariableData")
    return _get(asked, facts)


def _get(asked: list[Json], facts: Facts) -> Steps:
    needs = list(dict.fromkeys(key for entry in asked for key in _keys_for(variable(entry))))
    settings: dict[str, _Setting] = {}
    if needs:
        outcome = yield Command("GetConfiguration", {"key": needs} if len(needs) <= _MOST_KEYS else {})
        if outcome.payload is None and 1 < len(needs) <= _MOST_KEYS:  # more than this station takes
            outcome = yield Command("GetConfiguration", {})
        if outcome.payload is None:
            return failed(outcome)
        settings = _settings(outcome.payload)
    known = {(one.component, one.name, one.evse, one.connector): value for one, value in inventory(facts.memory)}
    results = [{**_got(entry, settings, known), **_repeated(entry)} for entry in asked]
    return Reply({"getVariableResult": results})


def _keys_for(asked: Variable) -> Iterator[str]:
    key = key_table.key_of(asked)
    if key is not None:
        yield key
    elif _is_feature(asked):
        yield PROFILES_KEY


def _settings(payload: Json) -> dict[str, _Setting]:
    return {
        (text(entry.get("key")) or "").strip().casefold(): _Setting(
            text(entry.get("value")), entry.get("readonly") is True
        )
        for entry in objects(payload, "configurationKey")
    }


def _got(entry: Json, settings: _Settings, known: Mapping[tuple[str, str, int | None, int | None], str]) -> Json:
    asked = variable(entry)
    if entry.get("attributeType") not in (None, "Actual"):
        return {"attributeStatus": "NotSupportedAttributeType"}
    own = known.get((asked.component, asked.name, asked.evse, asked.connector))
    if own is not None:
        return {"attributeStatus": "Accepted", "attributeValue": own}
    if is_secret(asked.name):
        return {"attributeStatus": "Rejected"}
    told = _told(asked, settings)
    if told is None:
        return {"attributeStatus": _unknown(asked)}
    if told.value is None:
        return {"attributeStatus": "Accepted", "attributeValue": ""}
    return {"attributeStatus": "Accepted", "attributeValue": told.value}


def _told(asked: Variable, settings: _Settings) -> _Setting | None:
    """A variable's value among the station's settings; None if it is not there, or can't be said in 2.x."""
    row, key = key_table.row_of(asked), key_table.key_of(asked)
    if key is None:
        return _feature(asked.component, settings) if _is_feature(asked) else None
    found = settings.get(key.casefold())
    if found is None or found.value is None:
        return found
    value = row.to_2x(found.value) if row else found.value
    return None if value is None else _Setting(value[:_LONGEST_VALUE], found.is_readonly)


def _feature(component: str, settings: _Settings) -> _Setting | None:
    profiles = settings.get(PROFILES_KEY.casefold())
    if profiles is None or profiles.value is None:
        return None
    there = {name.strip().casefold() for name in profiles.value.split(",")}
    has_it = any(name.casefold() in there for name, of in FEATURES.items() if of == component)
    return _Setting("true" if has_it else "false", True)


# -- reports -----------------------------------------------------------------------------------------------------------


def get_base_report(payload: Json, facts: Facts) -> Steps:
    """ConfigurationInventory is what can be set, FullInventory all there is; a summary needs monitors."""
    base = text(payload.get("reportBase")) or ""
    wanted: dict[str, Callable[[Json], bool]] = {
        "ConfigurationInventory": _is_settable,
        "FullInventory": lambda _: True,
    }
    if base not in wanted:
        return answered(Reply(said("NotSupported", "UnsupportedRequest", f"no {base} of a station of OCPP 1.6")))
    return _report(needed(payload, "requestId"), wanted[base], facts)


def get_report(payload: Json, facts: Facts) -> Steps:
    """The variables that are named; criteria (Active, Problem ...) are of monitors, which 1.6 lacks."""
    if payload.get("componentCriteria") is not None:
        return answered(Reply(said("NotSupported", "UnsupportedRequest", "componentCriteria")))
    names = objects(payload, "componentVariable")
    wanted = [(variable(one), "variable" in one) for one in names]
    return _report(needed(payload, "requestId"), lambda data: _is_asked(data, wanted), facts)


def _is_settable(data: Json) -> bool:
    return any(one.get("mutability") != "ReadOnly" for one in data["variableAttribute"])


def _is_asked(data: Json, wanted: list[tuple[Variable, bool]]) -> bool:
    """An empty list asks for all. A component without a place means it everywhere."""
    told = variable(data)
    return not wanted or any(
        told.component == one.component
        and one.component_instance in (None, told.component_instance)
        and one.evse in (None, told.evse)
        and one.connector in (None, told.connector)
        and (not has_name or (told.name == one.name and one.instance in (None, told.instance)))
        for one, has_name in wanted
    )


def _report(request: int, is_wanted: Callable[[Json], bool], facts: Facts) -> Steps:
    outcome = yield Command("GetConfiguration", {})
    if outcome.payload is None:
        return failed(outcome)
    data = [one for one in _report_data(_settings(outcome.payload), outcome.payload, facts) if is_wanted(one)]
    if not data:
        return Reply({"status": "EmptyResultSet"})
    parts = [data[at : at + _ENTRIES_EACH] for at in range(0, len(data), _ENTRIES_EACH)]
    then = tuple(
        Message(
            "NotifyReport",
            {
                "requestId": request,
                "generatedAt": wire_time(facts.now),
                "seqNo": number,
                "tbc": number + 1 < len(parts),
                "reportData": part,
            },
        )
        for number, part in enumerate(parts)
    )
    return Reply({"status": "Accepted"}, then=then)


def _report_data(settings: _Settings, payload: Json, facts: Facts) -> Iterator[Json]:
    for known, value in inventory(facts.memory):
        yield _data(known, value, "ReadOnly", "string")
    for name, component in FEATURES.items():
        told = _feature(component, settings)
        if told is not None and name:
            yield _data(Variable(component, "Available"), told.value, "ReadOnly", "boolean")
    for key in _names(objects(payload, "configurationKey")):
        setting, row = settings[key.strip().casefold()], key_table.row_of_key(key)
        asked = Variable(row.component, row.variable, row.instance) if row else Variable(OTHER_KEYS, key)
        if is_secret(key) or is_secret(asked.name):
            yield _data(asked, None, "WriteOnly", "string")
            continue
        found = _told(asked, settings)
        if found is not None:
            mutability = "ReadOnly" if setting.is_readonly else "ReadWrite"
            yield _data(asked, found.value, mutability, row.kind if row else "string")


def _names(listed: Iterable[Json]) -> list[str]:
    """The keys a station tells of, each once and as spelled; none without a name or with one too long to be a key."""
    names = {(text(entry.get("key")) or "").strip().casefold(): text(entry.get("key")) or "" for entry in listed}
    return [name for folded, name in names.items() if folded and len(name) <= key_table.LONGEST_KEY]


def _data(of: Variable, value: str | None, mutability: str, kind: str) -> Json:
    component: Json = {"name": of.component}
    if of.evse is not None:
        component["evse"] = present({"id": of.evse, "connectorId": of.connector})
    return {
        "component": component,
        "variable": present({"name": of.name, "instance": of.instance}),
        "variableAttribute": [present({"value": value, "mutability": mutability})],
        "variableCharacteristics": {"dataType": kind, "supportsMonitoring": False},
    }
