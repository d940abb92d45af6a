"""Local Authorization Lists: what the CSMS gave each station, what each holds, and how the one becomes the other.

A list belongs to the station it was given to. Stations that were given the same one share it; a station that was never
given any goes by the newest of the site (docs/decisions/0007).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from gateway.model.ids import StationId
from gateway.model.local_list import ListEntry, ListUpdate, UpdateStatus
from gateway.model.records import Change, Drop, LocalList, Put, StationAuthorization
from gateway.model.token import AuthorizationStatus, IdToken, Verdict

MAX_ENTRIES = 20_000
_LARGEST_VERSION = 2**63 - 1
_LARGEST_OF_STATIONS = 2**31 - 1
_NEVER = datetime.min.replace(tzinfo=UTC)

Entries = Mapping[str, ListEntry]
"""A list by its tokens' keys."""


class Lists:
    """A fold of changes, like the ledger."""

    def __init__(self) -> None:
        self._contents: dict[str, Entries] = {}
        self._states: dict[StationId, StationAuthorization] = {}
        self._newest: str | None = None

    def put_list(self, record: LocalList) -> None:
        self._contents[record.digest] = unpack(record.entries)

    def drop_list(self, record: LocalList) -> None:
        self._contents.pop(record.digest, None)

    def put_state(self, record: StationAuthorization) -> None:
        self._states[record.station] = record
        given = [state for state in self._states.values() if state.digest is not None]
        newest = max(given, key=lambda state: (state.given or _NEVER, state.station), default=None)
        self._newest = newest.digest if newest else None

    def of(self, station: StationId) -> StationAuthorization:
        return self._states.get(station) or StationAuthorization(station)

    def entries(self, digest: str | None) -> Entries:
        return self._contents.get(digest or "", {})

    def find(self, station: StationId, token: IdToken) -> ListEntry | None:
        """The token on the station's list; EVSEs that another station's list names mean nothing here."""
        own = self.of(station).digest
        found = self.entries(self._newest if own is None else own).get(token.key)
        if own is None and found and found.verdict and found.verdict.evses:
            return None
        return found

    def give(
        self, station: StationId, update: ListUpdate, now: datetime
    ) -> tuple[UpdateStatus, list[Change], list[str]]:
        """The CSMS sends a list: the answer, the changes, and the keys of the tokens that are no longer on it."""
        state = self.of(station)
        before = self.entries(state.digest)
        status, entries = updated(before, (state.version or 0) if before else 0, update)
        if entries is None:
            return status, [], []
        packed = pack(entries)
        digest = hashlib.sha256(packed).hexdigest()[:32]
        changed = replace(state, version=update.version, digest=digest, given=now)
        changes: list[Change] = [Put(changed)]
        if digest not in self._contents:
            changes.insert(0, Put(LocalList(digest, packed)))
        return status, [*changes, *self._unused(changed)], [key for key in before if key not in entries]

    def holds(self, station: StationId, version: int | None, digest: str | None) -> list[Change]:
        """What the station itself is known to hold from now on; None: not known."""
        state = self.of(station)
        changed = replace(state, held_version=version, held_digest=digest)
        return [] if changed == state else [Put(changed), *self._unused(changed)]

    def _unused(self, changed: StationAuthorization) -> list[Change]:
        """Contents that nobody refers to any more."""
        states = [*(state for state in self._states.values() if state.station != changed.station), changed]
        used = {digest for state in states for digest in (state.digest, state.held_digest)}
        return [Drop(LocalList(digest, b"")) for digest in self._contents if digest not in used]


def updated(before: Entries, version: int, update: ListUpdate) -> tuple[UpdateStatus, Entries | None]:
    """The list after an update; None with the reason if the update is refused, and then as a whole.

    0 means no list and -1 no support, so no list may be numbered so (OCPP 1.6 errata v4, 3.52). A differential update
    needs a higher number than the current one, a full one does not (OCPP 2.0.1 Part 2, D01.FR.18 and D01.FR.19). An
    empty list is as good as none, whatever its number.
    """
    if not 0 < update.version <= _LARGEST_VERSION:
        return UpdateStatus.FAILED, None
    if not update.is_full and update.version <= version:
        return UpdateStatus.VERSION_MISMATCH, None
    after = {} if update.is_full else dict(before)
    said: dict[str, ListEntry] = {}
    for entry in update.entries:
        key = entry.token.key
        if said.setdefault(key, entry).verdict != entry.verdict or (entry.verdict is None and update.is_full):
            return UpdateStatus.FAILED, None
        if entry.verdict is None:
            after.pop(key, None)
        else:
            after[key] = entry
    return (UpdateStatus.FAILED, None) if len(after) > MAX_ENTRIES else (UpdateStatus.ACCEPTED, after)


def is_conflict(listed: ListEntry | None, verdict: Verdict) -> bool:
    """Whether the CSMS contradicts its list: one lets the token charge and the other does not."""
    if listed is None or listed.verdict is None:
        return False
    good = (AuthorizationStatus.ACCEPTED, AuthorizationStatus.CONCURRENT_TX)
    return (listed.verdict.status in good) != (verdict.status in good)


def pack(entries: Entries) -> bytes:
    """A list as bytes, the same for the same content."""
    rows = [_row(entries[key]) for key in sorted(entries)]
    return json.dumps(rows, separators=(",", ":")).encode()


def _row(entry: ListEntry) -> list[object]:
    token, verdict = entry.token, entry.verdict or Verdict(AuthorizationStatus.INVALID)
    told = (verdict.status.value, verdict.group, verdict.expiry, verdict.evses)
    return [token.value, token.type, *told, entry.dialect, entry.text]


def unpack(packed: bytes) -> Entries:
    """A packed list by its tokens' keys."""
    entries = {}
    for value, type_, status, group, expiry, evses, dialect, text in json.loads(packed):
        token = IdToken(value, type_)
        verdict = Verdict(AuthorizationStatus(status), group, expiry, tuple(evses))
        entries[token.key] = ListEntry(token, verdict, dialect, text)
    return entries


# -- into a station -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Push:
    """What has to be written into a station: all of a list, or what changes of it."""

    is_full: bool
    entries: tuple[ListEntry, ...]


def push(wanted: Entries, held: Entries | None) -> Push:
    """The shorter way from what a station holds (None: not known) to what it should hold."""
    everything = Push(True, tuple(wanted[key] for key in sorted(wanted)))
    if held is None:
        return everything
    changed = [wanted[key] for key in sorted(wanted) if held.get(key) != wanted[key]]
    gone = [ListEntry(held[key].token, None) for key in sorted(held) if key not in wanted]
    difference = Push(False, (*gone, *changed))
    return difference if len(difference.entries) < len(everything.entries) else everything


def chunks(encoded: Sequence[bytes], entries_each: int, bytes_each: int | None) -> Iterator[Sequence[bytes]]:
    """Entries in messages of a station's size; at least one message, and at least one entry in each of several."""
    chunk: list[bytes] = []
    size = 0
    for entry in encoded:
        is_full = len(chunk) >= max(1, entries_each) or (bytes_each is not None and size + len(entry) + 1 > bytes_each)
        if chunk and is_full:
            yield chunk
            chunk, size = [], 0
        chunk.append(entry)
        size += len(entry) + 1
    yield chunk


def first_version(version: int, count: int, held_version: int | None) -> int:
    """The number of the first of `count` messages, so that the last carries the CSMS's own if that can be.

    `held_version`: the number in the station that a differential update has to exceed, None for a full one.
    """
    lowest = 1 if held_version is None else held_version + 1
    return max(lowest, version - count + 1) if version <= _LARGEST_OF_STATIONS else lowest
