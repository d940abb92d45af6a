"""What is kept where a station and its CSMS speak different versions."""

from dataclasses import dataclass

from gateway.model.ids import StationId


@dataclass(frozen=True, slots=True)
class TranslationRow:
    """One thing that the translation remembers of a station, as JSON."""

    station: StationId
    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class TranslatedRow:
    """What a message became in the CSMS's version, as JSON: decided once, repeated byte for byte.

    `number`: the order of decisions.
    """

    station: StationId
    message_id: str
    number: int
    content: bytes


@dataclass(frozen=True, slots=True)
class TokenAlias:
    """What a token is called in a version that has no room for it."""

    alias: str
    value: str
    type: str
