"""The OCPP versions the gateway speaks."""

from gateway.dialects.base import Dialect
from gateway.dialects.v16 import V16
from gateway.dialects.v21 import V21
from gateway.dialects.v201 import V201

ALL: tuple[Dialect, ...] = (V21, V201, V16)
"""Newest first."""

_BY_NAME = {dialect.name: dialect for dialect in ALL}
_BY_SUBPROTOCOL = {dialect.subprotocol: dialect for dialect in ALL}


def by_name(name: str) -> Dialect:
    """The version under its stored name. Raises KeyError."""
    return _BY_NAME[name]


def by_subprotocol(text: str) -> Dialect | None:
    """The version of a WebSocket subprotocol; exact spelling, as RFC 6455 compares them."""
    return _BY_SUBPROTOCOL.get(text)
