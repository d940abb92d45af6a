"""Guards: what a CSMS may not do to a station through the gateway.

The two legs have separate secrets and addresses. A credential, security profile, identity, network or root certificate
of the CSMS's leg, written into a station, would cut the station off from the gateway.
"""

import re
from collections.abc import Callable

from gateway.dialects.base import DownRule, Guarded, Route
from gateway.dialects.payloads import read_answer, read_once, text
from gateway.dialects.pieces import entries, remove
from gateway.rpc.splice import REMOVE, splice

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


def is_kept_key(key: str) -> bool:
    """Whether a key of 1.6 names the CSMS's leg, or its owner, without looking like it."""
    return key.strip().casefold() in _KEPT_KEYS


def is_kept_variable(component: str, variable: str) -> bool:
    """The same of a variable of 2.x."""
    folded = component.strip().casefold(), variable.strip().casefold()
    return folded in _KEPT_VARIABLES or folded[0] in _KEPT_COMPONENTS


def _relay(payload: bytes, finish: Callable[[bytes], bytes] = lambda answer: answer) -> Guarded:
    return Guarded(payload, lambda answer: b"{}" if answer is None else finish(answer))


def _refuse(answer: bytes) -> Guarded:
    return Guarded(None, lambda _: answer)


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
    return _relay(remove(payload, [("certificateType", index) for index in reversed(ours)]), _hide_roots)


_CSMS_ROOT = "CSMSRootCertificate"


def _hide_roots(answer: bytes) -> bytes:
    name = "certificateHashDataChain"
    found = list(entries(read_answer(answer), name))
    ours = [index for index, entry in found if entry.get("certificateType") == _CSMS_ROOT]
    if ours and len(ours) == len(found):
        return splice(splice(answer, (name,), REMOVE), ("status",), b'"NotFound"')
    return remove(answer, [(name, index) for index in reversed(ours)])
