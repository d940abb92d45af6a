"""What is kept about sharing current: the CSMS's profiles, what connectors hold by themselves, backgrounds, caps.

The durable half only; what is true now is in `balancer`.
"""

import logging
from collections.abc import Collection
from typing import TypeVar

from gateway.model.ids import StationId, TransactionKey
from gateway.model.records import BackgroundRow, CapRow, Change, ConnectorRow, Drop, PriorityRow, ProfileRow, Put
from gateway.model.site_tree import ConnectorKey
from gateway.smartcharging import profiles
from gateway.smartcharging.profiles import DropProfile, ProfileChange, Profiles, PutProfile, SetPriority

log = logging.getLogger(__name__)

Kept = ProfileRow | PriorityRow | ConnectorRow | BackgroundRow | CapRow
_NONE = Profiles()
K = TypeVar("K")
V = TypeVar("V")


class Charging:
    """Of the whole site; `revision` counts what was applied."""

    def __init__(self) -> None:
        self.revision = 0
        self._profiles: dict[StationId, Profiles] = {}
        self._connectors: dict[ConnectorKey, ConnectorRow] = {}
        self.backgrounds: dict[str, BackgroundRow] = {}
        self.caps: dict[str, CapRow] = {}

    def clear(self) -> None:
        for kept in (self._profiles, self._connectors, self.backgrounds, self.caps):
            kept.clear()

    def profiles(self, station: StationId) -> Profiles:
        return self._profiles.get(station, _NONE)

    def connector(self, key: ConnectorKey) -> ConnectorRow:
        return self._connectors.get(key) or ConnectorRow(key.station, key.evse)

    def changes(self, station: StationId, made: tuple[ProfileChange, ...]) -> list[Change]:
        """Changes of a station's profiles as changes of records."""
        held = {one.key: one for one in self.profiles(station).held}
        changes: list[Change] = []
        for change in made:
            match change:
                case PutProfile(one):
                    changes.append(Put(ProfileRow(station, one.key, profiles.to_json(one))))
                case DropProfile(key) if key in held:
                    changes.append(Drop(ProfileRow(station, key, b"")))
                case SetPriority(transaction, is_on):
                    row = PriorityRow(station, transaction)
                    changes.append(Put(row) if is_on else Drop(row))
        return changes

    def over(self, station: StationId, running: Collection[TransactionKey]) -> list[Change]:
        """What ends with transactions that run no more."""
        known = self.profiles(station)
        bound = {held.transaction for held in known.held if held.transaction is not None} | known.priority
        changes: list[Change] = []
        for transaction in sorted(bound - set(running)):
            changes += self.changes(station, profiles.ended(known, transaction).changes)
        return changes

    def apply(self, record: Kept, is_put: bool) -> None:
        """Apply one change to memory."""
        self.revision += 1
        match record:
            case ProfileRow():
                self._apply_profile(record, is_put)
            case PriorityRow():
                known = self.profiles(record.station)
                outcome = profiles.with_priority(profiles.Outcome(known), record.transaction, is_put)
                self._profiles[record.station] = outcome.profiles
            case ConnectorRow():
                _set(self._connectors, ConnectorKey(record.station, record.evse), record, is_put)
            case BackgroundRow():
                _set(self.backgrounds, record.circuit, record, is_put)
            case CapRow():
                _set(self.caps, record.source, record, is_put)

    def _apply_profile(self, record: ProfileRow, is_put: bool) -> None:
        known = self.profiles(record.station)
        kept = tuple(held for held in known.held if held.key != record.key)
        if is_put:
            try:
                kept = (*kept, profiles.from_json(record.content))
            except ValueError as error:
                log.error("%s: its profile %s can't be read: %s", record.station, record.key, error)
        self._profiles[record.station] = Profiles(kept, known.priority)


def _set(mapping: dict[K, V], key: K, value: V, is_put: bool) -> None:
    if is_put:
        mapping[key] = value
    else:
        mapping.pop(key, None)
