"""Settings in two columns, 2.x: the variables a CSMS sets, reads and has reported through the gateway."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gateway.dialects import keys
from gateway.dialects.base import Guarded
from gateway.dialects.columns import NO_COLUMN, TAKEN, heard_of, is_own, promise, relay, taken, told
from gateway.dialects.keys import LONGEST_PASSWORD, Row, Use
from gateway.dialects.payloads import encode, read_answer, read_once, text
from gateway.dialects.pieces import elements, entries, name_of, remove
from gateway.dialects.settings import is_kept_variable, is_of_the_leg, is_secret
from gateway.model.settings import Column, Columns, Key, Learned
from gateway.rpc.codes import CallError, ErrorCode
from gateway.rpc.splice import REMOVE, Path, splice

Entry = dict[str, Any]


def row_of(entry: Entry) -> Row | None:
    """The row of what an entry is about; none of an EVSE, a connector or another instance has one."""
    component = entry.get("component")
    if isinstance(component, dict) and (component.get("evse") is not None or component.get("instance")):
        return None
    return keys.of_variable(name_of(entry, "component"), name_of(entry, "variable"))


def column_of(row: Row, entry: Entry) -> str:
    """The column's name: the key's, and the instance if it is not the usual one."""
    variable = entry.get("variable")
    instance = text(variable.get("instance")) if isinstance(variable, dict) else None
    usual = ("", (row.instance or "").casefold())
    return row.key if (instance or "").casefold() in usual else f"{row.key}[{instance}]"


# -- SetVariables -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Ours:
    """The result of an entry that is answered here, and what is kept of it."""

    status: str
    why: str | None = None
    columns: Columns = field(default_factory=dict)
    secret: bytes | None = field(default=None, repr=False)


def set_variables(payload: bytes, columns: Columns, longest_password: int = LONGEST_PASSWORD) -> Guarded:
    """Answer the entries of the leg and those kept here, send the others down, and put the answers together in request
    order."""
    listed = entries(read_once(payload), "setVariableData")
    ours = {index: own for index, entry in listed if (own := _judged(entry, columns, longest_password))}
    down = [entry for index, entry in listed if index not in ours]
    if not ours:
        return Guarded(payload, relay(payload).finish, lambda answer: _learned(answer, {}, down))
    asked = elements(payload, "setVariableData")
    if asked is None:
        raise CallError(ErrorCode.FORMAT_VIOLATION, "setVariableData can't be taken apart")
    results = {index: _result(asked[index], own.status, own.why) for index, own in ours.items()}
    if len(results) == len(asked):
        whole = b'{"setVariableResult":[%b]}' % b",".join(results.values())
        return promise(whole, _learned(None, ours, []))
    forward = remove(payload, [("setVariableData", index) for index in reversed(list(ours))])
    finish = relay(forward, lambda answer: _put_together(answer, results)).finish
    return Guarded(forward, finish, lambda answer: _learned(answer, ours, down))


def longest(characters: int) -> Callable[[bytes, Columns], Guarded]:
    """`set_variables` for a version with passwords of that length."""
    return lambda payload, columns: set_variables(payload, columns, characters)


def _judged(entry: Entry, columns: Columns, longest_password: int) -> _Ours | None:
    """How an entry is answered here; None if it goes down."""
    component, variable = name_of(entry, "component"), name_of(entry, "variable")
    row, value = row_of(entry), text(entry.get("attributeValue"))
    if row is None:
        if (known := keys.of_variable(component, variable)) is not None and known.use is not Use.SHARED:
            return _Ours("Rejected", "this variable is of the whole station")
        return _Ours("Rejected") if is_kept_variable(component, variable) or is_of_the_leg(variable) else None
    if row.use is Use.SHARED:
        return None
    if row.use in (Use.FIXED, Use.GIVEN) or value is None:
        return _Ours("Rejected", "this is not set")
    if entry.get("attributeType") not in (None, "Actual"):
        return _Ours("NotSupportedAttributeType" if row.use is Use.OURS else "Rejected")
    if row.use is Use.CREDENTIAL:
        secret = keys.basic_password(value, longest_password)
        wrong = f"16 to {longest_password} printable characters are needed"
        return _Ours("Rejected", wrong) if secret is None else _Ours("Accepted", secret=secret)
    wrong_value = row.wrong(value)
    if wrong_value:
        return _Ours("Rejected", wrong_value)
    name = column_of(row, entry)
    return _Ours("Accepted", columns={name: Column(value, columns.get(name, NO_COLUMN).held)})


def _result(asked: bytes, status: str, why: str | None) -> bytes:
    """The result of one entry, which repeats what was asked for, byte for byte."""
    said = msgspec.json.decode(asked, type=dict[str, msgspec.Raw])
    repeated = b"".join(
        b',"%b":%b' % (name.encode(), bytes(said[name]))
        for name in ("attributeType", "component", "variable")
        if name in said
    )
    info = encode({"reasonCode": "InvalidValue", "additionalInfo": why}) if why else None
    reason = b',"attributeStatusInfo":%b' % info if info else b""
    return b'{"attributeStatus":"%b"%b%b}' % (status.encode(), reason, repeated)


def _put_together(answer: bytes, ours: dict[int, bytes]) -> bytes:
    """The station's results, each as it came, with ours at their places. A malformed answer stays as it is."""
    results = elements(answer, "setVariableResult")
    if results is None:
        return answer
    for index in sorted(ours):
        results.insert(index, ours[index])
    return splice(answer, ("setVariableResult",), b"[%b]" % b",".join(results))


def _learned(answer: bytes | None, ours: dict[int, _Ours], down: list[Entry]) -> Learned:
    """What is kept of ours, and what the station took of the rest: its results come in the order of the entries."""
    columns: dict[str, Column] = {}
    secret = None
    for own in ours.values():
        columns |= own.columns
        secret = own.secret or secret
    results = [entry for _, entry in entries(read_answer(answer), "setVariableResult")]
    for asked, result in zip(down, results, strict=False):
        row, value = row_of(asked), text(asked.get("attributeValue"))
        is_same = row is not None and row_of(result) is row and asked.get("attributeType") in (None, "Actual")
        if row is not None and is_same and value is not None and result.get("attributeStatus") in TAKEN:
            columns |= taken(column_of(row, asked), value)
    return Learned(columns, secret, is_promise=bool(columns or secret))


# -- GetVariables and reports -----------------------------------------------------------------------------------------


def get_variables(payload: bytes, columns: Columns) -> Guarded:
    """Let it through; the answer tells the CSMS's own values. A secret in it becomes Rejected without a value, as for
    one that is write-only."""
    finish = relay(payload, lambda answer: _with_own(answer, columns)).finish
    return Guarded(payload, finish, lambda answer: _heard(answer, columns))


def _with_own(answer: bytes, columns: Columns) -> bytes:
    for index, entry in entries(read_answer(answer), "getVariableResult"):
        at = ("getVariableResult", index)
        if is_secret(name_of(entry, "variable")):
            if "attributeValue" in entry:
                answer = splice(answer, (*at, "attributeValue"), REMOVE)
                answer = splice(answer, (*at, "attributeStatus"), b'"Rejected"')
            continue
        row, value = row_of(entry), text(entry.get("attributeValue"))
        if row is None or entry.get("attributeType") not in (None, "Actual"):
            continue
        column = columns.get(column_of(row, entry))
        if entry.get("attributeStatus") != "Accepted":
            if is_own(row, column):
                answer = splice(answer, (*at, "attributeStatusInfo"), REMOVE)
                answer = splice(answer, (*at, "attributeStatus"), b'"Accepted"')
            else:
                continue
        if (own := told(row, column, value)) != value:
            answer = splice(answer, (*at, "attributeValue"), encode(own))
    return answer


def _heard(answer: bytes | None, columns: Columns) -> Learned:
    heard: dict[str, Column] = {}
    for _, entry in entries(read_answer(answer), "getVariableResult"):
        row, value = row_of(entry), text(entry.get("attributeValue"))
        is_said = entry.get("attributeStatus") == "Accepted" and entry.get("attributeType") in (None, "Actual")
        if row is not None and value is not None and is_said:
            heard |= heard_of(row, column_of(row, entry), value, columns)
    return Learned(heard)


def clean_report(payload: bytes, columns: Columns) -> tuple[bytes, Learned]:
    """A NotifyReport with the CSMS's own values, without those of secrets; and what the station told in it."""
    heard: dict[str, Column] = {}
    for index, entry in entries(read_answer(payload), "reportData"):
        attributes = entries(entry, "variableAttribute")
        at = ("reportData", index, "variableAttribute")
        row = row_of(entry)
        if is_secret(name_of(entry, "variable")):
            paths: list[Path] = [(*at, attribute, "value") for attribute, _ in attributes]
            payload = remove(payload, paths)
            continue
        most = columns.get(Key.PROFILES_INSTALLED)
        if row is not None and row.key is Key.PROFILES_HELD and most and "variableCharacteristics" in entry:
            bound: Path = ("reportData", index, "variableCharacteristics", "maxLimit")
            payload = splice(payload, bound, (most.believed or "0").encode())
        for attribute, said in attributes:
            if row is None or said.get("type") not in (None, "Actual"):
                continue
            name, value = column_of(row, entry), text(said.get("value"))
            if (own := told(row, columns.get(name), value)) != value:
                payload = splice(payload, (*at, attribute, "value"), encode(own))
            if value is not None:
                heard |= heard_of(row, name, value, columns)
    return payload, Learned(heard)
