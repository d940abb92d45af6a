"""Guards: what a CSMS may not do to a station through the gateway.

The two legs have separate secrets and addresses. A credential, security profile, identity, network or root certificate
of the CSMS's leg, written into a station, would cut the station off from the gateway.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.dialects.base import DownRule, Guarded, Json, Route
from gateway.dialects.payloads import read_answer, read_once, text
from gateway.rpc.codes import CallError, ErrorCode
from gateway.rpc.splice import REMOVE, Path, splice

REJECTED = b'{"status":"Rejected"}'
NOT_FOUND = b'{"status":"NotFound"}'

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET = re.compile(
    r"pass_?(?:word|wd|phrase|code)|basic_?auth|(?:authorization|auth|access|api|private|pre_?shared)_?key(?:_|$)"
    r"|secret|(?:^|_)psk(?:_|$)"
)
_LEG = re.compile(
    r"(?<!o)url|(?:^|_|socket|server|system|backend)uri(?:_|$)"
    r"|back_?end|central_?system|csms|web_?socket_?(?:host|address|port|path)"
    r"|(?:ocpp|^cs|_cs)_?(?:server|host|endpoint|address|port)|server_?(?:host|address|port)"
    r"|charge_?(?:point|box)_?id(?:entity|$|_(?!tag))|(?:^|_)(?:cpid|cp_?id|cbid|cb_?id)(?:_|$)|station_?id(?:entity|$|_(?!tag))"
    r"|(?:^|_)identity(?:_|$)|security_?profile|network_?(?:profile|configuration)"
    r"|(?:^|_|gprs|modem|cellular|mobile)apn(?:_|$|user|name)"
)
"""Names of vendors' settings, in words joined by "_": addresses of the CSMS, the station's own identity, the network it
uses to get there. "uri" and "apn" only as words (Security and MapName hold them too), "url" not in hour_limit."""


_CLOCK = re.compile(r"(?:^|_)s?ntp|time_?server")
"""Time servers have addresses too, and are the CSMS's to choose."""


def _folded(name: str) -> str:
    """`CentralSystemURL` as central_system_url, so that a pattern can tell words from letters in the middle of one."""
    return "_".join(_WORDS.findall(name)).lower()


def is_secret(name: str) -> bool:
    """Whether a setting holds a secret: never written from upstream, and its value never shown there."""
    return _SECRET.search(_folded(name)) is not None


def is_of_the_leg(name: str) -> bool:
    """Whether a setting belongs to the station's link to the gateway, so the CSMS may not write it."""
    folded = _folded(name)
    return is_secret(name) or (_LEG.search(folded) is not None and _CLOCK.search(folded) is None)


_KEPT_KEYS = frozenset({"cponame"})
_KEPT_VARIABLES = frozenset({("securityctrlr", "organizationname")})
_KEPT_COMPONENTS = frozenset({"networkconfiguration"})


def _relay(payload: bytes, finish: Callable[[bytes], bytes] = lambda answer: answer) -> Guarded:
    return Guarded(payload, lambda answer: b"{}" if answer is None else finish(answer))


def _refuse(answer: bytes) -> Guarded:
    return Guarded(None, lambda _: answer)


def change_configuration(payload: bytes) -> Guarded:
    """Refuse keys of the leg. Raises CallError, as all guards do, if the command can't be read without doubt."""
    key = text(read_once(payload).get("key")) or ""
    if key.strip().casefold() in _KEPT_KEYS or is_of_the_leg(key):
        return _refuse(REJECTED)
    return _relay(payload)


def get_configuration(payload: bytes) -> Guarded:
    """Let it through; take the values of secret keys out of the answer."""
    return _relay(payload, _hide_keys)


def _hide_keys(answer: bytes) -> bytes:
    paths: list[Path] = [
        ("configurationKey", index, "value")
        for index, entry in _entries(read_answer(answer), "configurationKey")
        if is_secret(text(entry.get("key")) or "")
    ]
    return _remove(answer, paths)


def set_variables(payload: bytes) -> Guarded:
    """Answer the entries of the leg here, send the others down, and put the answers together in request order."""
    kept = [index for index, entry in _entries(read_once(payload), "setVariableData") if _is_kept(entry)]
    if not kept:
        return _relay(payload)
    asked = _elements(payload, "setVariableData")
    if asked is None:
        raise CallError(ErrorCode.FORMAT_VIOLATION, "setVariableData can't be taken apart")
    refused = {index: _refused_entry(asked[index]) for index in kept}
    if len(refused) == len(asked):
        return _refuse(b'{"setVariableResult":[%b]}' % b",".join(refused.values()))
    forward = _remove(payload, [("setVariableData", index) for index in reversed(kept)])
    return _relay(forward, lambda answer: _put_together(answer, refused))


def _is_kept(entry: Json) -> bool:
    component, variable = _name(entry, "component"), _name(entry, "variable")
    folded = component.strip().casefold(), variable.strip().casefold()
    return folded in _KEPT_VARIABLES or folded[0] in _KEPT_COMPONENTS or is_of_the_leg(variable)


def _name(entry: Json, of: str) -> str:
    found = entry.get(of)
    return (text(found.get("name")) or "") if isinstance(found, dict) else ""


def _refused_entry(asked: bytes) -> bytes:
    """The result of one entry, which repeats what was asked for, byte for byte."""
    said = msgspec.json.decode(asked, type=dict[str, msgspec.Raw])
    repeated = b"".join(
        b',"%b":%b' % (name.encode(), bytes(said[name]))
        for name in ("attributeType", "component", "variable")
        if name in said
    )
    return b'{"attributeStatus":"Rejected"%b}' % repeated


def _put_together(answer: bytes, refused: dict[int, bytes]) -> bytes:
    """The station's results, each as it came, with ours at their places. A malformed answer stays as it is."""
    results = _elements(answer, "setVariableResult")
    if results is None:
        return answer
    for index in sorted(refused):
        results.insert(index, refused[index])
    return splice(answer, ("setVariableResult",), b"[%b]" % b",".join(results))


def get_variables(payload: bytes) -> Guarded:
    """Let it through; a secret in the answer becomes Rejected without a value, as for one that is write-only."""
    return _relay(payload, _hide_variables)


def _hide_variables(answer: bytes) -> bytes:
    for index, entry in _entries(read_answer(answer), "getVariableResult"):
        if "attributeValue" in entry and is_secret(_name(entry, "variable")):
            at = ("getVariableResult", index)
            answer = splice(answer, (*at, "attributeValue"), REMOVE)
            answer = splice(answer, (*at, "attributeStatus"), b'"Rejected"')
    return answer


def clean_report(payload: bytes) -> bytes:
    """A NotifyReport without the values of secrets."""
    paths: list[Path] = [
        ("reportData", index, "variableAttribute", attribute, "value")
        for index, entry in _entries(read_answer(payload), "reportData")
        if is_secret(_name(entry, "variable"))
        for attribute, _ in _entries(entry, "variableAttribute")
    ]
    return _remove(payload, paths)


def intercepted(action: str, rejected: bytes) -> DownRule:
    """The row of a command that never goes down. The guard says so too, should a flow overlook the route."""
    return DownRule(
        action, Route.INTERCEPT, Route.INTERCEPT, rejected=rejected, guard=lambda payload: _refuse(rejected)
    )


def only(member: str, allowed: frozenset[str]) -> Callable[[bytes], Guarded]:
    """A guard that lets a command pass if `member` is one of these, and answers Rejected to all else."""

    def guard(payload: bytes) -> Guarded:
        return _relay(payload) if text(read_once(payload).get(member)) in allowed else _refuse(REJECTED)

    return guard


def all_but(member: str, refused: frozenset[str]) -> Callable[[bytes], Guarded]:
    """A guard that answers Rejected if `member` is one of these."""

    def guard(payload: bytes) -> Guarded:
        return _refuse(REJECTED) if text(read_once(payload).get(member)) in refused else _relay(payload)

    return guard


def get_roots_16(payload: bytes) -> Guarded:
    """The roots of the CSMS's leg are not the station's to tell of."""
    of_leg = text(read_once(payload).get("certificateType")) == "CentralSystemRootCertificate"
    return _refuse(NOT_FOUND) if of_leg else _relay(payload)


def get_roots(payload: bytes) -> Guarded:
    """Don't ask for CSMS roots, and don't tell of them where all types were asked for."""
    asked = read_once(payload).get("certificateType")
    if not isinstance(asked, list):
        return _relay(payload, _hide_roots)
    ours = [index for index, type_ in enumerate(asked) if type_ == _CSMS_ROOT]
    if ours and len(ours) == len(asked):
        return _refuse(NOT_FOUND)
    return _relay(_remove(payload, [("certificateType", index) for index in reversed(ours)]), _hide_roots)


_CSMS_ROOT = "CSMSRootCertificate"


def _hide_roots(answer: bytes) -> bytes:
    name = "certificateHashDataChain"
    found = list(_entries(read_answer(answer), name))
    ours = [index for index, entry in found if entry.get("certificateType") == _CSMS_ROOT]
    if ours and len(ours) == len(found):
        return splice(splice(answer, (name,), REMOVE), ("status",), b'"NotFound"')
    return _remove(answer, [(name, index) for index in reversed(ours)])


def _entries(found: Json, name: str) -> list[tuple[int, dict[str, Any]]]:
    """The objects of an array with their places in it."""
    value = found.get(name)
    return (
        [(index, entry) for index, entry in enumerate(value) if isinstance(entry, dict)]
        if isinstance(value, list)
        else []
    )


def _elements(payload: bytes, name: str) -> list[bytes] | None:
    """The elements of an array as they stand in the text; None if there is no such array."""
    try:
        array = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])[name]
        return [bytes(element) for element in msgspec.json.decode(array, type=list[msgspec.Raw])]
    except (KeyError, ValueError, RecursionError):
        return None


def _remove(payload: bytes, paths: list[Path]) -> bytes:
    """Remove members; elements of one array last first, so that the places of the others stay."""
    for path in paths:
        payload = splice(payload, path, REMOVE)
    return payload
