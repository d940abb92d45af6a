"""Ids of the site as one station, put into payloads and taken out of them: by splice, every other byte as it came."""

from collections.abc import Iterator
from typing import Any, Protocol

from gateway.dialects.base import Json
from gateway.dialects.payloads import encode, integer, read, read_answer, text, tx_id
from gateway.dialects.site_rules import EACH, IdAt, IdKind, SiteUp, Zero
from gateway.rpc.splice import REMOVE, Path, splice

LONGEST_LABEL = 255
LONGEST_INSTANCE = 50


class StationIds(Protocol):
    """What the site knows of one station's ids. A number is what the CSMS calls an EVSE; a station's head is its lowest
    one. Ids of transactions are JSON text; None: they travel as they are."""

    @property
    def head(self) -> int | None: ...

    def number(self, evse: int) -> int | None: ...

    def evse(self, number: int) -> int | None:
        """A number's EVSE, if it is this station's."""

    def upstream_tx(self, own: str) -> bytes | None:
        """The station's transaction id as the CSMS is told it."""

    def is_foreign_tx(self, own: str) -> bool:
        """Whether the CSMS would take the station's transaction id for another station's session."""

    def own_tx(self, upstream: str) -> bytes | None:
        """The same the other way."""

    def upstream_id(self, own: int) -> int | None:
        """An id that the station made itself, as the CSMS is told it; None while it has no head."""

    def own_id(self, upstream: int) -> int | None:
        """The same the other way; None if it is not this station's."""


class UnknownIdError(Exception):
    """An id means nothing here, or not at this station."""

    def __init__(self, one: IdAt) -> None:
        super().__init__(f"{one}: unknown")


def values(found: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """What stands at a path with EACH in it, with the paths of each."""
    here: list[tuple[tuple[str | int, ...], Any]] = [((), found)]
    for step in path:
        if step == EACH:
            here = [((*at, n), one) for at, array in here if isinstance(array, list) for n, one in enumerate(array)]
        else:
            here = [((*at, step), inner[step]) for at, inner in here if isinstance(inner, dict) and step in inner]
    yield from here


def map_up(row: SiteUp, payload: bytes, ids: StationIds) -> bytes | None:
    """A station's message as it goes up; None: it stays here. Raises CallError if it is no JSON object, UnknownIdError
    if the station has no number at all, or the id is of another station's transaction."""
    found = read(payload)
    if row.zero is Zero.HERE and _is_of_the_whole(row, found, ids):
        return None
    for one in row.ids:
        payload = _map_one_up(one, found, payload, ids)
    return payload


def evses_named(row: SiteUp, payload: bytes) -> list[int]:
    """The EVSEs a message names: they must have numbers before it is mapped."""
    found = read_answer(payload)
    named = [value for one in row.ids for value in _evses_of(one, found)]
    return [number for value in named if (number := integer(value)) is not None and number > 0]


def _evses_of(one: IdAt, found: Json) -> Iterator[Any]:
    path = (*one.path, "evse", "id") if one.kind is IdKind.COMPONENT else one.path
    if one.kind in (IdKind.EVSE, IdKind.COMPONENT):
        yield from (value for _, value in values(found, path))


def _is_of_the_whole(row: SiteUp, found: Json, ids: StationIds) -> bool:
    """Whether a message names EVSE 0, none, or one that can't have a number."""
    if not row.ids or row.ids[0].kind is not IdKind.EVSE:
        return False
    numbers = [_number_of(value, ids) for _, value in values(found, row.ids[0].path)]
    return not numbers or None in numbers


def _number_of(value: Any, ids: StationIds) -> int | None:
    own = integer(value)
    return ids.number(own) if own is not None and own > 0 else None


def _head(one: IdAt, ids: StationIds) -> int:
    head = ids.head
    if head is None:
        raise UnknownIdError(one)
    return head


def _map_one_up(one: IdAt, found: Json, payload: bytes, ids: StationIds) -> bytes:
    if one.kind is IdKind.LABEL:
        said = text(found.get(one.path[0]))
        label = f"[{_head(one, ids)}] {said or ''}".strip()
        return splice(payload, one.path, encode(label[:LONGEST_LABEL]))
    for path, value in values(found, one.path):
        if one.kind is IdKind.EVSE:
            number = _number_of(value, ids)
            payload = splice(payload, path, b"%d" % (_head(one, ids) if number is None else number))
        elif one.kind is IdKind.COMPONENT and isinstance(value, dict):
            payload = _component_up(one, path, value, payload, ids)
        elif one.kind is IdKind.TRANSACTION:
            own = tx_id(value)
            if own is not None and ids.is_foreign_tx(own):
                raise UnknownIdError(one)
            upstream = None if own is None else ids.upstream_tx(own)
            payload = payload if upstream is None else splice(payload, path, upstream)
        elif one.kind is IdKind.MADE and (own_id := integer(value)) is not None:
            upstream_id = ids.upstream_id(own_id)
            if upstream_id is None:
                raise UnknownIdError(one)
            payload = splice(payload, path, b"%d" % upstream_id)
    return payload


def _component_up(one: IdAt, path: Path, value: Json, payload: bytes, ids: StationIds) -> bytes:
    evse = value.get("evse")
    number = _number_of(evse.get("id"), ids) if isinstance(evse, dict) else None
    if number is not None:
        return splice(payload, (*path, "evse", "id"), b"%d" % number)
    if evse is not None:
        payload = splice(payload, (*path, "evse"), REMOVE)
    own = text(value.get("instance"))
    head = _head(one, ids)
    instance = f"{head}:{own}" if own else f"{head}"
    return splice(payload, (*path, "instance"), encode(instance[:LONGEST_INSTANCE]))


def map_answer_up(ids_at: tuple[IdAt, ...], payload: bytes, ids: StationIds) -> bytes:
    """A station's answer to a command, as it goes up; one that can't be read stays as it is."""
    found = read_answer(payload)
    for one in ids_at:
        payload = _map_one_up(one, found, payload, ids)
    return payload


# -- down -----------------------------------------------------------------------------------------------------------


def map_down(ids_at: tuple[IdAt, ...], payload: bytes, ids: StationIds) -> bytes:
    """A command for one station. Raises UnknownIdError if an id in it is not this station's, CallError if it is no
    JSON object."""
    found = read(payload)
    for one in ids_at:
        for path, value in values(found, one.path):
            payload = _map_one_down(one, path, value, payload, ids)
    return payload


def _map_one_down(one: IdAt, path: Path, value: Any, payload: bytes, ids: StationIds) -> bytes:
    if one.kind is IdKind.EVSE:
        number = integer(value)
        return payload if number == 0 else splice(payload, path, b"%d" % own_evse(one, number, ids))
    if one.kind is IdKind.TRANSACTION:
        own_tx = ids.own_tx(tx_id(value) or "")
        return payload if own_tx is None else splice(payload, path, own_tx)
    if one.kind is IdKind.MADE:
        own = ids.own_id(integer(value) or 0)
        if own is None:
            raise UnknownIdError(one)
        return splice(payload, path, b"%d" % own)
    if one.kind is IdKind.COMPONENT and isinstance(value, dict):
        return _component_down(one, path, value, payload, ids)
    return payload


def own_evse(one: IdAt, number: int | None, ids: StationIds) -> int:
    found = None if number is None else ids.evse(number)
    if found is None:
        raise UnknownIdError(one)
    return found


def _component_down(one: IdAt, path: Path, value: Json, payload: bytes, ids: StationIds) -> bytes:
    evse = value.get("evse")
    if isinstance(evse, dict) and "id" in evse:
        own = own_evse(one, integer(evse["id"]), ids)
        return splice(payload, (*path, "evse", "id"), b"%d" % own)
    head, rest = split_instance(value)
    if head is None:
        return payload
    if head != ids.head:
        raise UnknownIdError(one)
    return splice(payload, (*path, "instance"), encode(rest) if rest else REMOVE)


def split_instance(component: Json) -> tuple[int | None, str]:
    """The head that a component's instance names, and the station's own instance."""
    instance = text(component.get("instance")) or ""
    head, _, rest = instance.partition(":")
    return (int(head), rest) if head.isascii() and head.isdigit() and len(head) <= 3 else (None, instance)


def map_answer_down(row: SiteUp, payload: bytes, ids: StationIds) -> bytes:
    """The CSMS's answer for the station that asked; one that can't be read stays as it is."""
    found = read_answer(payload)
    for one in row.answer_ids:
        for path, value in values(found, one.path):
            if one.kind is IdKind.EVSES:
                payload = _allowed(path, value, payload, ids)
            elif one.kind is IdKind.EVSE and (number := integer(value)) is not None:
                own = ids.evse(number)
                payload = payload if own is None else splice(payload, path, b"%d" % own)
    return payload


def _allowed(path: Path, value: Any, payload: bytes, ids: StationIds) -> bytes:
    """A token that is good for some EVSEs: of this station, these."""
    if not isinstance(value, list):
        return payload
    numbers = [integer(one) for one in value]
    own = [evse for number in numbers if number is not None and (evse := ids.evse(number)) is not None]
    if own:
        return splice(payload, path, encode(own))
    payload = splice(payload, path, REMOVE)
    return splice(payload, (*path[:-1], "status"), b'"NotAtThisLocation"')
