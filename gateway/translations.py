"""What is kept for translation between versions: each station's memory, messages under way, aliases of tokens."""

import logging
from collections.abc import Callable
from typing import TypeVar

import msgspec

from gateway.dialects.translate.base import Alias, Edit, Memory, encode
from gateway.dialects.translate.ups import Frozen
from gateway.model.ids import StationId
from gateway.model.records import Change, Drop, Put
from gateway.model.translation import TokenAlias, TranslatedRow, TranslationRow

log = logging.getLogger(__name__)

T = TypeVar("T")
Kept = TranslationRow | TranslatedRow | TokenAlias
_NEW = Memory()
_memory = msgspec.json.Decoder(Memory).decode
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

    # -- changes ----------------------------------------------------------------------------------------------------

    def remember(self, station: StationId, edit: Edit | None) -> list[Change]:
        """The memory after an edit; nothing if it is the same."""
        before = self.memory(station)
        after = edit(before) if edit is not None else before
        return [] if after == before else [Put(TranslationRow(station, encode(after)))]

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

    # -- applying ---------------------------------------------------------------------------------------------------

    def apply(self, record: Kept, is_put: bool) -> None:
        """Apply one change to memory."""
        match record:
            case TokenAlias(alias, value, kind):
                self.aliases[alias.casefold()] = Alias(alias, value, kind)
            case TranslationRow(station, content):
                self._memories[station] = _read(_memory, content, _NEW, station)
            case TranslatedRow(station, message_id, number, content):
                under_way = self._frozen.setdefault(station, {})
                if is_put:
                    under_way[message_id] = number, _read(_frozen, content, Frozen("", "", ()), station)
                    self._next_number = max(self._next_number, number + 1)
                else:
                    under_way.pop(message_id, None)


def _read(decode: Callable[[bytes], T], content: bytes, otherwise: T, station: StationId) -> T:
    try:
        return decode(content)
    except msgspec.MsgspecError as error:
        log.error("%s: what its translation remembers can't be read: %s", station, error)
        return otherwise
