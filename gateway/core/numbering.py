"""The site as one station: which number of the site each EVSE of each station has. Numbers are 1..N and never change
their meaning: a station that is gone leaves its numbers behind, and a replacement takes them over by command.

"EVSE" is 1.6's connector, too: the numbers are its connectors there.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from enum import StrEnum

from gateway.model.ids import StationId
from gateway.model.place import Place
from gateway.model.records import Change, Put

MOST_PLACES = 999
"""Ids that stations make themselves are told apart by a place's number in three digits (`upstream_id`)."""
MOST_EVSES = 64
"""Of one station: a nonsense number must not use up the site's."""
_SPAN = MOST_PLACES + 1


class Refusal(StrEnum):
    """Why a replacement is not made."""

    UNKNOWN = "the station never had a number"
    SAME = "a station does not replace itself"
    BUSY = "a transaction runs or a message waits there: try again when both queues are empty"


class Numbering:
    """A fold of changes. What decides returns the changes; it never drops one."""

    def __init__(self) -> None:
        self._by_number: dict[int, Place] = {}
        self._by_evse: dict[tuple[StationId, int], Place] = {}

    def clear(self) -> None:
        self._by_number.clear()
        self._by_evse.clear()

    def put(self, place: Place) -> None:
        before = self._by_number.get(place.number)
        if before is not None and self._by_evse.get((before.station, before.evse)) is before:
            del self._by_evse[before.station, before.evse]
        self._by_number[place.number] = place
        self._by_evse[place.station, place.evse] = place

    def places(self) -> list[Place]:
        """All of them, by number."""
        return [self._by_number[number] for number in sorted(self._by_number)]

    def of(self, station: StationId) -> list[Place]:
        """A station's places, by number."""
        return [place for place in self.places() if place.station == station]

    def number(self, station: StationId, evse: int) -> int | None:
        """What the CSMS calls an EVSE; None while it has no number."""
        found = self._by_evse.get((station, evse))
        return found.number if found else None

    def place(self, number: int) -> Place | None:
        """The EVSE behind a number; None if there is none, or it was removed."""
        found = self._by_number.get(number)
        return None if found is None or found.is_removed else found

    def head(self, station: StationId) -> int | None:
        """The lowest number of a station: what stands for the station itself."""
        return min((place.number for place in self._by_number.values() if place.station == station), default=None)

    def station_at(self, head: int) -> StationId | None:
        """The station that a head stands for."""
        found = self.place(head)
        return found.station if found and self.head(found.station) == head else None

    def evse(self, station: StationId, number: int) -> int | None:
        """A number's EVSE, if it is this station's."""
        found = self._by_number.get(number)
        return found.evse if found and found.station == station else None

    def upstream_id(self, station: StationId, own: int) -> int | None:
        """An id that a station made itself (of an event, a monitor) as the CSMS sees it: 7 of the station whose head is
        12 is 7012. None while it has no head."""
        head = self.head(station)
        return None if head is None else own * _SPAN + head

    def own_id(self, upstream: int) -> tuple[StationId, int] | None:
        """The same the other way; None if no station in service has that head."""
        own, head = divmod(upstream, _SPAN)
        station = self.station_at(head)
        return None if station is None else (station, own)

    # -- decisions --------------------------------------------------------------------------------------------------

    def seen(self, station: StationId, evses: Iterable[int]) -> list[Change]:
        """EVSEs that a station has (it told of them, or the configuration does) get their numbers. One that was
        removed is back under its old number."""
        changes: list[Change] = []
        last = max(self._by_number, default=0)
        known = len(self.of(station))
        for evse in sorted(set(evses)):
            found = self._by_evse.get((station, evse))
            if found is not None:
                if found.is_removed:
                    changes.append(Put(replace(found, is_removed=False)))
            elif evse > 0 and known < MOST_EVSES and last < MOST_PLACES:
                last, known = last + 1, known + 1
                changes.append(Put(Place(last, station, evse)))
        return changes

    def removed(self, station: StationId) -> list[Change]:
        """The station has left the site for good."""
        return [Put(replace(place, is_removed=True)) for place in self.of(station) if not place.is_removed]

    def replaced(self, old: StationId, new: StationId, busy: Collection[StationId]) -> list[Change] | Refusal:
        """The station `new` takes over the numbers of `old`, EVSE by EVSE; numbers it had before go to `old`, as
        removed. `busy`: stations with a transaction running or messages queued, whose numbers must not move."""
        if old == new:
            return Refusal.SAME
        given = self.of(old)
        if not given:
            return Refusal.UNKNOWN
        if old in busy or new in busy:
            return Refusal.BUSY
        changes: list[Change] = []
        for place in given:
            own = self._by_evse.get((new, place.evse))
            changes.append(Put(replace(place, station=new, is_removed=False)))
            if own is not None:
                changes.append(Put(replace(own, station=old, is_removed=True)))
        return changes
