"""The OCPP versions the gateway speaks."""

from gateway.dialects.base import Dialect
from gateway.dialects.site_rules import SiteTable
from gateway.dialects.site_v16 import SITE_16
from gateway.dialects.site_v21 import SITE_21
from gateway.dialects.site_v201 import SITE_201
from gateway.dialects.v16 import V16
from gateway.dialects.v21 import V21
from gateway.dialects.v201 import V201

ALL: tuple[Dialect, ...] = (V21, V201, V16)
"""Newest first."""

_BY_NAME = {dialect.name: dialect for dialect in ALL}
_SITE_TABLES = {V21.name: SITE_21, V201.name: SITE_201, V16.name: SITE_16}
_BY_SUBPROTOCOL = {dialect.subprotocol: dialect for dialect in ALL}


def by_name(name: str) -> Dialect:
    """The version under its stored name. Raises KeyError."""
    return _BY_NAME[name]


def by_subprotocol(text: str) -> Dialect | None:
    """The version of a WebSocket subprotocol; exact spelling, as RFC 6455 compares them."""
    return _BY_SUBPROTOCOL.get(text)


def site_table(name: str) -> SiteTable:
    """The rows of a version where the whole site is one station. Raises KeyError."""
    return _SITE_TABLES[name]
