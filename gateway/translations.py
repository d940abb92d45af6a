"""What is kept for translation between versions: each station's memory, messages under way, aliases of tokens."""

import logging
from collections.abc import Callable
from typing import TypeVar, get_args, get_type_hints

import msgspec
from msgspec.structs import replace

from gateway.dialects.translate.base import Alias, Edit, Memory, encode
from gateway.dialects.translate.ups import Frozen
from gateway.model.ids import StationId
from gateway.model.records import Change, Drop, Put
from gateway.model.transaction import Transaction
from gateway.model.translation import TokenAlias, TranslatedRow, TranslationRow

log = logging.getLogger(__name__)

T = TypeVar("T")
Kept = TranslationRow | TranslatedRow | TokenAlias
_NEW = Memory()
_DICTS = ("transactions", "places", "numbers", "requests", "notes", "names", "profiles")
_HINTS = get_type_hints(Memory)
_entry = {name: msgspec.json.Decoder(get_args(_HINTS[name])[1]).decode for name in _DICTS}
_whole = {name: msgspec.json.Decoder(_HINTS[name]).decode for name in _HINTS if name not in _DICTS}
_frozen = msgspec.json.Decoder(Frozen).decode


class Translations:
    """Of the whole site. Changes are made here and applied by `apply` alone, as all that is durable."""

    def __init__(self) -> None:
        self.aliases: dict[str, Alias] = {}
        """By alias, folded."""
        self._memories: dict[StationId, Memory] = {}
        self._frozen: dict[StationId, dict[str, tuple[int, Frozen]]] = {}
        self._next_number = 1

    def clear(self) -> None:
        for kept in (self.aliases, self._memories, self._frozen):
            kept.clear()

    def memory(self, station: StationId) -> Memory:
        return self._memories.get(station, _NEW)

    def frozen(self, station: StationId) -> dict[str, Frozen]:
        """Messages under way by id, in the order in which they were decided."""
        kept = sorted(self._frozen.get(station, {}).items(), key=lambda item: item[1][0])
        return {message_id: frozen for message_id, (_, frozen) in kept}

    def csms_id(self, transaction: Transaction) -> str | None:
        """What a CSMS of another version calls a transaction; None where nothing was translated."""
        upstream = transaction.upstream_tx_id
        own = transaction.station_tx_id if upstream is None else str(upstream)
        return None if own is None else self.memory(transaction.station).csms_name(own)

    # -- changes ----------------------------------------------------------------------------------------------------

    def remember(self, station: StationId, edit: Edit | None) -> list[Change]:
        """What an edit changes of the memory."""
        before = self.memory(station)
        after = edit(before) if edit is not None else before
        changes: list[Change] = []
        for name in _whole:
            value = getattr(after, name)
            if value != getattr(before, name):
                changes.append(Put(TranslationRow(station, name, encode(value))))
        for name in _DICTS:
            old, new = getattr(before, name), getattr(after, name)
            if new is not old:
                changed = {key: value for key, value in new.items() if old.get(key) != value}
                changes += [Put(TranslationRow(station, f"{name}/{key}", encode(one))) for key, one in changed.items()]
                changes += [Drop(TranslationRow(station, f"{name}/{key}", b"")) for key in old if key not in new]
        return changes

    def keep(self, station: StationId, message_id: str, frozen: Frozen) -> Change:
        """A message under way as it is now; it keeps its place."""
        number = self._frozen.get(station, {}).get(message_id, (self._next_number, frozen))[0]
        return Put(TranslatedRow(station, message_id, number, encode(frozen)))

    def rename(self, station: StationId, old: str, new: str) -> list[Change]:
        """The same message under another id, in its place."""
        number, frozen = self._frozen[station][old]
        return [self.forget(station, old), Put(TranslatedRow(station, new, number, encode(frozen)))]

    def forget(self, station: StationId, message_id: str) -> Change:
        return Drop(TranslatedRow(station, message_id, 0, b""))

    def name(self, aliases: tuple[Alias, ...]) -> list[Change]:
        """Aliases that are new."""
        new = [one for one in aliases if self.aliases.get(one.alias.casefold()) != one]
        return [Put(TokenAlias(one.alias, one.value, one.type)) for one in new]

    def names_anew(self, changes: list[Change]) -> bool:
        """Whether the CSMS is to hear a name or a number for the first time: then it is on disk before, for good."""
        kept = [change.record for change in changes]
        return any(not isinstance(one, TranslationRow) or one.name.startswith("numbers/") for one in kept)

    # -- applying ---------------------------------------------------------------------------------------------------

    def apply(self, record: Kept, is_put: bool) -> None:
        """Apply one change to memory."""
        match record:
            case TokenAlias(alias, value, kind):
                self.aliases[alias.casefold()] = Alias(alias, value, kind)
            case TranslationRow():
                self._memories[record.station] = self._with(record, is_put)
            case TranslatedRow(station, message_id, number, content):
                under_way = self._frozen.setdefault(station, {})
                if is_put:
                    under_way[message_id] = number, _read(_frozen, content, Frozen("", "", ()), station)
                    self._next_number = max(self._next_number, number + 1)
                else:
                    under_way.pop(message_id, None)

    def _with(self, record: TranslationRow, is_put: bool) -> Memory:
        memory = self.memory(record.station)
        name, _, key = record.name.partition("/")
        if name in _whole:
            value = _read(_whole[name], record.content, getattr(memory, name), record.station)
            return replace(memory, **{name: value if is_put else getattr(_NEW, name)})
        if name not in _entry:
            return memory
        entries = {one: value for one, value in getattr(memory, name).items() if one != key}
        entry = _read(_entry[name], record.content, None, record.station) if is_put else None
        return replace(memory, **{name: entries if entry is None else {**entries, key: entry}})


def _read(decode: Callable[[bytes], T], content: bytes, otherwise: T, station: StationId) -> T:
    try:
        return decode(content)
    except msgspec.MsgspecError as error:
        log.error("%s: what its translation remembers can't be read: %s", station, error)
        return otherwise
