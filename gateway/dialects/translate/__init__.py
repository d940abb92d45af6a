"""Translation between 1.6 and 2.x. Pure: messages and what is remembered go in, messages and edits come out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gateway.dialects import registry
from gateway.dialects.base import Dialect
from gateway.dialects.translate import down16, down20, up16, up20
from gateway.dialects.translate.base import CommandTranslator
from gateway.dialects.translate.ups import Direction


@dataclass(frozen=True, slots=True)
class Pair:
    """A station's version and its CSMS's, with what lies between them."""

    station: Dialect
    csms: Dialect
    up: Direction
    commands: Mapping[str, CommandTranslator] = field(repr=False)


def between(station: Dialect, csms: Dialect) -> Pair | None:
    """None where the versions are the same, or too far apart: 2.0.1 and 2.1 are not translated into each other."""
    if station.csms_gives_tx_ids == csms.csms_gives_tx_ids:
        return None
    if station.csms_gives_tx_ids:
        return Pair(station, csms, up16.UP, down16.COMMANDS)
    return Pair(station, csms, up20.UP, down20.COMMANDS)


def spoken_for(station: Dialect) -> list[Dialect]:
    """The versions a CSMS may speak for stations of this one, best first. 2.1 knows what 2.0.1 does."""
    found = [csms for csms in registry.ALL if between(station, csms) is not None]
    return sorted(found, key=lambda csms: csms.framing.has_send)


def first_translatable(offers: Iterable[Dialect], csms: Dialect) -> Dialect | None:
    """The first of a station's versions that can be translated for this CSMS."""
    return next((offer for offer in offers if between(offer, csms) is not None), None)
