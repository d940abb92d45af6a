"""One line for every handshake that came to nothing; not without end: whoever reaches the listener can cause them."""

import logging
from typing import Any, Protocol

from gateway.downlink.handshake import Named
from gateway.log import Throttle

log = logging.getLogger(__name__)

_LONGEST_SHOWN = 200


class Handshake(Protocol):
    """A connection whose handshake failed, as far as it got."""

    address: str
    named: Named | None
    refusals: Throttle
    request: Any
    loop: Any

    @property
    def speaks_tls(self) -> bool: ...


def refused(one: Handshake, path: str, reason: str) -> None:
    name = one.named.station if one.named else "station without a name"
    _tell(one, f"{name}: handshake from {one.address} refused, path {shown(path)}: {reason}")


def unanswered(one: Handshake, problem: Exception | None) -> None:
    """The handshakes nobody else gets to see. `problem`: what the library, or else the network, made of it."""
    cause = (problem.__cause__ or problem) if problem else None
    if one.request is not None:
        refused(one, one.request.path, "it was not over in time, or the station hung up")
    elif one.speaks_tls:
        _tell(one, f"handshake from {one.address} refused: it speaks TLS to a listener without: set ws:// in the "
                   "station, or security_profile 2 here")  # fmt: skip
    elif cause is None:
        _tell(one, f"handshake from {one.address}: no whole HTTP request came in time", logging.INFO)
    elif isinstance(cause, EOFError | OSError) and "CRLF" not in f"{cause} {cause.__cause__}":
        log.debug("handshake from %s: closed by the other side", one.address)
    else:
        _tell(one, f"handshake from {one.address} refused, no valid HTTP request: {shown(str(cause))}")


def shown(text: str) -> str:
    """What a stranger sent, fit for a log line."""
    return ascii(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "...")


def _tell(one: Handshake, line: str, level: int = logging.WARNING) -> None:
    more = one.refusals.passes(one.loop.time())
    if more is not None:
        log.log(level, "%s%s", line, more)
