"""What becomes of a command to the site as one station: which stations get it, with which ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.dialects.base import Json
from gateway.dialects.payloads import integer, member, read_once, tx_id
from gateway.dialects.pieces import elements
from gateway.dialects.site_map import StationIds, UnknownIdError, map_down, split_instance, values
from gateway.dialects.site_merge import Asked
from gateway.dialects.site_rules import EACH, IdAt, IdKind, SiteDown, Split, Way, Whole
from gateway.model.ids import StationId
from gateway.rpc.codes import CallError, ErrorCode
from gateway.rpc.splice import splice


class SiteIds(Protocol):
    """Where things are in the site."""

    def stations(self) -> Sequence[StationId]:
        """Those in service, by number."""

    def of(self, station: StationId) -> StationIds: ...

    def at_number(self, number: int) -> StationId | None: ...

    def at_head(self, head: int) -> StationId | None: ...

    def of_made(self, upstream: int) -> StationId | None:
        """Whose the id is that a station made itself."""

    def of_transaction(self, upstream: str) -> StationId | None: ...

    def of_reservation(self, reservation: int) -> StationId | None: ...

    def free(self, found: Json) -> int | None:
        """The number of an EVSE where this start or reservation could begin; None if there is none."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one station gets."""

    station: StationId
    payload: bytes


@dataclass(frozen=True, slots=True)
class ToStations:
    """`asked`: the entries of a split command whose results are put together by `site_merge.gather`; else the answers
    are made one by `row.merge`, or there is just one part. `is_one`: the command is about one station."""

    parts: tuple[Part, ...]
    is_one: bool = False
    asked: tuple[Asked, ...] = ()


@dataclass(frozen=True, slots=True)
class Here:
    """The site itself answers. `answer`: what it says if it has nothing better; None: a walk makes it."""

    answer: bytes | ErrorCode | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """An id in it means nothing here, or there is no station for it."""

    answer: bytes | ErrorCode


Plan = ToStations | Here | Unknown


def plan(row: SiteDown, payload: bytes, site: SiteIds, rejected: bytes | None) -> Plan:
    """`rejected`: `DownRule.rejected`. Raises CallError for a command that can't be read without doubt."""
    found = read_once(payload)
    unknown = Unknown(row.unknown or rejected or ErrorCode.GENERIC_ERROR)
    if row.way in (Way.ANSWER, Way.REFUSE) or (row.is_own and row.is_own(found)):
        return Here(row.answer)
    try:
        if row.way is Way.SPLIT and row.split:
            return _split(row, row.split, payload, found, site) or unknown
        if row.way is Way.FAN_OUT:
            return _to_all(payload, site) or unknown
        return _mapped(row, payload, found, site) or unknown
    except UnknownIdError:
        return unknown


def _to_all(payload: bytes, site: SiteIds) -> Plan | None:
    parts = tuple(Part(station, payload) for station in site.stations())
    return ToStations(parts) if parts else None


def _mapped(row: SiteDown, payload: bytes, found: Json, site: SiteIds) -> Plan | None:
    for one in row.ids:
        for _, value in values(found, one.path):
            if not _names_nothing(one, value):
                station = station_of(one, value, site)
                return ToStations((Part(station, map_down(row.ids, payload, site.of(station))),), True)
    match row.whole:
        case Whole.FAN_OUT:
            return _to_all(payload, site)
        case Whole.ANSWER:
            return Here(row.answer)
        case Whole.CHOOSE:
            return _chosen(row, payload, found, site)
    return None


def _names_nothing(one: IdAt, value: Any) -> bool:
    """Whether what stands there leaves open which station is meant."""
    if one.kind is IdKind.EVSE:
        return integer(value) == 0
    if one.kind is IdKind.COMPONENT and isinstance(value, dict):
        return not member(value, "evse") and split_instance(value)[0] is None
    return False


def station_of(one: IdAt, value: Any, site: SiteIds) -> StationId:
    """The station that an id names. Raises UnknownIdError."""
    number = integer(value)
    station: StationId | None = None
    if one.kind is IdKind.TRANSACTION:
        station = site.of_transaction(tx_id(value) or "")
    elif one.kind is IdKind.COMPONENT and isinstance(value, dict):
        evse = integer(member(value, "evse").get("id"))
        head = split_instance(value)[0]
        station = site.at_number(evse) if evse is not None else site.at_head(head or 0)
    elif number is not None:
        find = {IdKind.MADE: site.of_made, IdKind.RESERVATION: site.of_reservation}.get(one.kind, site.at_number)
        station = find(number)
    if station is None:
        raise UnknownIdError(one)
    return station


def _chosen(row: SiteDown, payload: bytes, found: Json, site: SiteIds) -> Plan | None:
    number = site.free(found)
    station = None if number is None else site.at_number(number)
    evse = None if station is None or number is None else site.of(station).evse(number)
    if station is None or evse is None:
        return None
    payload = splice(map_down(row.ids[1:], payload, site.of(station)), row.ids[0].path, b"%d" % evse)
    return ToStations((Part(station, payload),), True)


# -- entries --------------------------------------------------------------------------------------------------------


def _split(row: SiteDown, rule: Split, payload: bytes, found: Json, site: SiteIds) -> Plan | None:
    if rule.member not in found and rule.results is None:
        return _to_all(payload, site)
    entries = elements(payload, rule.member)
    if entries is None:
        raise CallError(ErrorCode.FORMAT_VIOLATION, f"{rule.member} can't be taken apart")
    assert row.ids[0].path[:2] == (rule.member, EACH)
    inner = tuple(IdAt(one.kind, one.path[2:]) for one in row.ids)
    shares: dict[StationId, list[bytes]] = {}
    asked = []
    for entry, said in zip(entries, found[rule.member], strict=True):
        one, mapped = _asked(rule, inner, entry, said, site)
        asked.append(one)
        for station in one.stations:
            shares.setdefault(station, []).append(mapped)
    parts = tuple(
        Part(station, splice(payload, (rule.member,), b"[%b]" % b",".join(share))) for station, share in shares.items()
    )
    if rule.results is None:
        return ToStations(parts) if parts else None
    return ToStations(parts, asked=tuple(asked))


def _asked(rule: Split, inner: tuple[IdAt, ...], entry: bytes, said: Any, site: SiteIds) -> tuple[Asked, bytes]:
    """Where an entry goes, and what it is there."""
    try:
        station = _address(inner, said, site)
        if station is not None:
            return Asked(entry, (station,)), _entry_down(inner, entry, said, site.of(station))
    except UnknownIdError:
        return Asked(entry), entry
    is_for_all = rule.results is None or bool(rule.order)
    return Asked(entry, tuple(site.stations()), True) if is_for_all else Asked(entry), entry


def _address(inner: tuple[IdAt, ...], said: Any, site: SiteIds) -> StationId | None:
    for one in inner:
        for _, value in values(said, one.path):
            if not _names_nothing(one, value):
                return station_of(one, value, site)
    return None


def _entry_down(inner: tuple[IdAt, ...], entry: bytes, said: Any, ids: StationIds) -> bytes:
    if isinstance(said, dict):
        return map_down(inner, entry, ids)
    own = ids.own_id(integer(said) or 0)
    if own is None:
        raise UnknownIdError(inner[0])
    return b"%d" % own
