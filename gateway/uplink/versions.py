"""Which version a station's link to the CSMS speaks, and whether that needs translation."""

from collections.abc import Iterable, Mapping

from gateway.dialects import registry, translate
from gateway.dialects.base import Dialect
from gateway.station import Station


class Versions:
    """Of one station. `configured`: what the CSMS speaks, empty = learned. `offers`: what the station speaks."""

    def __init__(self, station: Station, configured: tuple[str, ...]) -> None:
        self.offers: list[Dialect] = []
        self._station = station
        self._configured = configured
        self._refused: set[str] = set()

    def choose(self) -> list[Dialect]:
        """What to offer the CSMS: what is needed as it is, else what that can be translated into."""
        needed = self._needed()
        as_it_is = self._open(needed)
        translated = [csms for dialect in needed for csms in translate.spoken_for(dialect)]
        return as_it_is or self._open(translated) or needed

    def refuse(self, offers: Iterable[Dialect]) -> bool:
        """The CSMS speaks none of these. True: there is something else to offer."""
        self._refused.update(dialect.name for dialect in offers)
        if any(dialect.name not in self._refused for dialect in self.choose()):
            return True
        self.forget_refusals()
        return False

    def forget_refusals(self) -> None:
        """A CSMS may learn."""
        self._refused.clear()

    def presented(self, spoken: Dialect) -> Dialect:
        """What the link is to the walks: the version of what it carries, where that can be translated."""
        for dialect in self._needed():
            if dialect.name == spoken.name:
                return spoken
        return translate.first_translatable(self._needed(), spoken) or spoken

    def _open(self, dialects: Iterable[Dialect]) -> list[Dialect]:
        found = {dialect.name: dialect for dialect in dialects if dialect.name not in self._refused}
        return [dialect for name, dialect in found.items() if not self._configured or name in self._configured]

    def _needed(self) -> list[Dialect]:
        """Queued messages go first, on a link of their version; else what the station speaks, or may speak."""
        head = next(iter(self._station.queue.values()), None)
        if head is not None:
            return [registry.by_name(head.dialect)]
        if self._station.port is not None:
            spoken = self._station.port.dialect
            others = [dialect for dialect in self.offers if dialect.name not in self._refused]
            return [*others, spoken] if spoken.name in self._refused and others else [spoken]
        names = self._configured or tuple(dialect.name for dialect in registry.ALL)
        return self.offers or [registry.by_name(name) for name in names]


def usable(offers: Mapping[str, Dialect], configured: tuple[str, ...]) -> dict[str, Dialect]:
    """Of a station's offers, those that the configured versions can serve: as they are, else translated."""
    if not configured:
        return dict(offers)
    as_they_are = {offer: dialect for offer, dialect in offers.items() if dialect.name in configured}
    csms = [registry.by_name(name) for name in configured]
    return as_they_are or {
        offer: dialect for offer, dialect in offers.items() if any(translate.between(dialect, one) for one in csms)
    }


def pick(offers: Mapping[str, Dialect], upstream: str | None) -> str:
    """The offer to take: the one that is spoken upstream, else one that can be translated, else the first."""
    matching = (offer for offer, dialect in offers.items() if dialect.name == upstream)
    if upstream is not None and upstream not in {dialect.name for dialect in offers.values()}:
        best = translate.first_translatable(offers.values(), registry.by_name(upstream))
        matching = (offer for offer, dialect in offers.items() if dialect is best)
    return next(matching, next(iter(offers)))
