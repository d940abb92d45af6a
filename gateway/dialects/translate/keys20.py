"""Settings of a 2.x station for a CSMS of 1.6: GetConfiguration and ChangeConfiguration, made of variables."""

from collections.abc import Generator, Iterable, Mapping
from typing import NamedTuple

from gateway.dialects.keys import authorization_key
from gateway.dialects.payloads import objects, text
from gateway.dialects.settings import is_secret
from gateway.dialects.translate import key_table
from gateway.dialects.translate.base import Command, Facts, Json, Outcome, Refused, Reply, Steps, answered
from gateway.dialects.translate.key_table import (
    CONNECTORS_KEY,
    FEATURES,
    LONGEST_VALUE_16,
    PROFILES_KEY,
    ROWS,
    Variable,
)
from gateway.dialects.translate.keys import variable
from gateway.dialects.translate.parts import as_status, ask, failed, fitting, invented, present, whole, words

_CORE = "Core,FirmwareManagement,RemoteTrigger"
_ITEMS = Variable("DeviceDataCtrlr", "ItemsPerMessage", "GetVariables")
_ITEMS_UNTOLD = 4
_UNKNOWN = ("UnknownComponent", "UnknownVariable", "NotSupportedAttributeType")
_SET = {"Accepted": "Accepted", "Rejected": "Rejected", "RebootRequired": "RebootRequired"}
_SET.update(dict.fromkeys(_UNKNOWN, "NotSupported"))


class _Told(NamedTuple):
    """What a station says of a variable; `value` None: it has one that is not shown."""

    value: str | None
    is_readonly: bool = False


_Values = dict[str, _Told]
"""By the variable's key, folded."""


def _wire(of: Variable) -> Json:
    evse = None if of.evse is None else present({"id": of.evse, "connectorId": of.connector})
    return {
        "component": present({"name": of.component, "instance": of.component_instance, "evse": evse}),
        "variable": present({"name": of.name, "instance": of.instance}),
    }


# -- ChangeConfiguration -----------------------------------------------------------------------------------------------


def change_configuration(payload: Json, facts: Facts) -> Steps:
    key, value = words(payload, "key"), words(payload, "value")
    row, asked = key_table.row_of_key(key), key_table.variable_of(key)
    if key.strip().casefold() in (PROFILES_KEY.casefold(), CONNECTORS_KEY.casefold()) or (row and row.is_readonly):
        return answered(Reply({"status": "Rejected"}))
    if row is not None and row.is_password:
        secret = authorization_key(value)
        return _change_password(secret) if secret is not None else answered(Reply({"status": "Rejected"}))
    if asked is None or fitting(key, key_table.LONGEST_KEY) is None:
        return answered(Reply({"status": "NotSupported"}))
    written = row.to_2x(value) if row else value
    if written is None or len(written) > LONGEST_VALUE_16:
        return answered(Reply({"status": "Rejected"}))
    return _change({**_wire(asked), "attributeValue": written})


def _change_password(secret: bytes) -> Steps:
    """Of the CSMS's link."""
    return ask(Command("", {}, password=secret), lambda outcome: as_status(outcome, _SET, "Rejected"))


def _change(entry: Json) -> Steps:
    outcome = yield Command("SetVariables", {"setVariableData": [entry]})
    if outcome.payload is None:
        return failed(outcome)
    results = objects(outcome.payload, "setVariableResult")
    status = text(results[0].get("attributeStatus")) if results else None
    return Reply({"status": _SET.get(status or "", "Rejected")})


# -- GetConfiguration --------------------------------------------------------------------------------------------------


def get_configuration(payload: Json, facts: Facts) -> Steps:
    """Of named keys the variables are asked for; of all, a report of what can be set and the rest of the table."""
    asked = payload.get("key")
    keys = [name for name in asked if isinstance(name, str)] if isinstance(asked, list) else []
    return _get_named(keys, facts) if keys else _get_all(facts)


def _get_named(keys: list[str], facts: Facts) -> Steps:
    values = yield from _ask(_variables_for(keys), facts)
    if isinstance(values, Refused):
        return values
    listed, unknown = [], []
    for key in keys:
        told = _value(key, values, facts)
        if told is None or (told.value is not None and len(told.value) > LONGEST_VALUE_16):
            unknown.append(key)
        else:
            listed.append(_entry(key, told))
    named = {"unknownKey": [key for key in unknown if len(key) <= key_table.LONGEST_KEY]}
    return Reply({"configurationKey": listed, **(named if named["unknownKey"] else {})})


def _get_all(facts: Facts) -> Steps:
    number, edit = invented(facts, "report")
    asked = {"requestId": number, "reportBase": "ConfigurationInventory"}
    outcome = yield Command("GetBaseReport", asked, remember=edit, collects="NotifyReport")
    values = _reported(outcome)
    names = [row.key for row in ROWS if row.is_readonly or not values]
    more = yield from _ask(_variables_for([*names, PROFILES_KEY]), facts)
    if isinstance(more, Refused):
        if not values:
            return more
        more = {}
    values = {**more, **values}
    rows = {row.key.casefold() for row in ROWS}
    names = [row.key for row in ROWS] + [PROFILES_KEY, CONNECTORS_KEY]
    names += [told for told in _spelled(outcome) if told.casefold() not in rows]
    told_of = [(key, _value(key, values, facts)) for key in dict.fromkeys(names)]
    entries = [_entry(key, told) for key, told in told_of if told is not None and _fits(told)]
    return Reply({"configurationKey": entries})


def _fits(told: _Told) -> bool:
    return told.value is None or len(told.value) <= LONGEST_VALUE_16


def _entry(key: str, told: _Told) -> Json:
    return present({"key": key, "readonly": told.is_readonly, "value": told.value})


def _variables_for(keys: Iterable[str]) -> list[Variable]:
    """What has to be asked for to know of these keys, each once."""
    wanted: dict[str, Variable] = {}
    for key in keys:
        if key.strip().casefold() == PROFILES_KEY.casefold():
            found = [Variable(component, "Available") for component in FEATURES.values()]
        else:
            one = key_table.variable_of(key)
            found = [one] if one is not None and key.strip().casefold() != CONNECTORS_KEY.casefold() else []
        wanted.update((one.key.casefold(), one) for one in found)
    return list(wanted.values())


def _ask(asked: list[Variable], facts: Facts) -> Generator[Command, Outcome, _Values | Refused]:
    """GetVariables, in parts as large as the station takes."""
    values: _Values = {}
    most = _ITEMS_UNTOLD
    if len(asked) > most:
        outcome = yield _get([_ITEMS])
        if outcome.payload is None:
            return failed(outcome)
        told = _got(outcome.payload).get(_ITEMS.key.casefold(), _Told(None)).value
        most = max(whole(told) or most, 1)
    for at in range(0, len(asked), most):
        outcome = yield _get(asked[at : at + most])
        if outcome.payload is None:
            return failed(outcome)
        values |= _got(outcome.payload)
    return values


def _get(asked: list[Variable]) -> Command:
    return Command("GetVariables", {"getVariableData": [_wire(one) for one in asked]})


def _got(payload: Json) -> _Values:
    values: _Values = {}
    for result in objects(payload, "getVariableResult"):
        if result.get("attributeType") not in (None, "Actual"):
            continue
        status, of = text(result.get("attributeStatus")), variable(result)
        if status == "Accepted" and not is_secret(of.name):
            values[_folded(of)] = _Told(text(result.get("attributeValue")) or "")
        elif status in ("Rejected", "Accepted"):  # write-only
            values[_folded(of)] = _Told(None)
    return values


def _folded(of: Variable) -> str:
    """The key it is filed under: a variable of the table has one, however a station names its instance."""
    row = key_table.row_of(of)
    return (Variable(row.component, row.variable, row.instance) if row else of).key.casefold()


def _reported(outcome: Outcome) -> _Values:
    values: _Values = {}
    for data in _report_data(outcome):
        for attribute in objects(data, "variableAttribute"):
            of, mutability = variable(data), attribute.get("mutability")
            if attribute.get("type") not in (None, "Actual"):
                continue
            is_hidden = mutability == "WriteOnly" or is_secret(of.name)
            value = None if is_hidden else text(attribute.get("value")) or ""
            values[_folded(of)] = _Told(value, mutability == "ReadOnly")
    return values


def _report_data(outcome: Outcome) -> list[Json]:
    return [data for part in outcome.collected for data in objects(part, "reportData")]


def _spelled(outcome: Outcome) -> list[str]:
    """The reported variables as keys, as spelled; those that are too long, or can't be found again by it, are left
    out."""
    keys = [variable(data).key for data in _report_data(outcome) if key_table.row_of(variable(data)) is None]
    return [key for key in keys if len(key) <= key_table.LONGEST_KEY and key_table.variable_of(key) is not None]


def _value(key: str, values: Mapping[str, _Told], facts: Facts) -> _Told | None:
    """A key's value in the words of 1.6; None if the station does not know it, or 1.6 has no word for it."""
    folded = key.strip().casefold()
    if folded == CONNECTORS_KEY.casefold():
        numbers = facts.memory.numbers.values()
        return _Told(str(max(numbers)), is_readonly=True) if numbers else None
    if folded == PROFILES_KEY.casefold():
        return _profiles(values)
    asked, row = key_table.variable_of(key), key_table.row_of_key(key)
    told = values.get(asked.key.casefold()) if asked is not None else None
    if told is None or row is None:
        return told
    if told.value is None:
        return _Told(None, row.is_readonly)
    value = row.to_16(told.value)
    return None if value is None else _Told(value, row.is_readonly or told.is_readonly)


def _profiles(values: Mapping[str, _Told]) -> _Told | None:
    told = {name: values.get(Variable(of, "Available").key.casefold()) for name, of in FEATURES.items()}
    has = [name for name, found in told.items() if found and (found.value or "").strip().casefold() == "true"]
    return _Told(",".join([_CORE, *has]), is_readonly=True)
