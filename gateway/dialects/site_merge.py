"""The answers of several stations made one: the one that counts goes up as it came."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from gateway.dialects.payloads import encode, read_answer, text
from gateway.dialects.pieces import elements
from gateway.dialects.site_rules import Merge, Split
from gateway.dialects.site_settings import OwnVariable, made_one_variable
from gateway.model.ids import StationId
from gateway.rpc.splice import splice

_DIFFERS = encode({"reasonCode": "Unspecified", "additionalInfo": "the stations of the site differ"})
_REPEATED = ("attributeType", "type", "severity", "component", "variable", "id")
_SILENT = "Rejected"
"""Every status of an entry's result has it."""


def merge(rule: Merge, answers: Iterable[bytes | None]) -> bytes | None:
    """One answer of all; None stands for a station that gave none, or a CALLERROR. None if nobody's counts."""
    best: tuple[int, bytes] | None = None
    for answer in answers:
        status = rule.silent if answer is None else _word(read_answer(answer).get(rule.member))
        if status is None:
            continue
        rank = rule.order.index(status) if status in rule.order else -1
        if best is None or rank < best[0]:
            best = rank, encode({rule.member: status}) if answer is None else answer
    return best[1] if best else None


def _word(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class Asked:
    """One entry of a split command. `stations`: where it went; none: it means nothing here. `is_for_all`: it named no
    station."""

    entry: bytes
    stations: tuple[StationId, ...] = ()
    is_for_all: bool = False


def gather(
    rule: Split,
    asked: Sequence[Asked],
    answers: Mapping[StationId, bytes | None],
    map_up: Callable[[StationId, bytes], bytes],
    own: OwnVariable = lambda entry: None,
) -> bytes:
    """The results of all entries in request order. `map_up` puts the site's ids into a station's answer. `own`: what
    the site has itself.

    A station's results come in the order of its entries; if they are not as many, it has answered none of them.
    """
    found: list[list[bytes]] = [[] for _ in asked]
    for station, answer in answers.items():
        places = [place for place, one in enumerate(asked) if station in one.stations]
        plain = _results(rule, answer, len(places))
        mapped = _results(rule, answer and map_up(station, answer), len(places))
        for place, as_told, as_mapped in zip(places, plain, mapped, strict=False):
            # What was asked of all names no station, and so must the answer.
            found[place].append(as_told if asked[place].is_for_all else as_mapped)
    lines = [_own(rule, one, own) or _one_of(rule, one, results) for one, results in zip(asked, found, strict=True)]
    return encode({rule.results: [msgspec.Raw(line) for line in lines]})


def _own(rule: Split, one: Asked, own: OwnVariable) -> bytes | None:
    """What the site itself says of an entry that names no station."""
    said = read_answer(one.entry)
    if not one.is_for_all or said.get("attributeType") not in (None, "Actual"):
        return None
    value = own(said)
    return (
        None if value is None else splice(_made_result(rule, one.entry, "Accepted"), ("attributeValue",), encode(value))
    )


def _results(rule: Split, answer: bytes | None, count: int) -> list[bytes]:
    found = elements(answer, rule.results) if answer and rule.results else None
    return found if found is not None and len(found) == count else []


def _one_of(rule: Split, one: Asked, results: list[bytes]) -> bytes:
    """The result of an entry; of what was asked of all the first in the order, with a value that is true of all who
    say so."""
    if not results:
        return _made_result(rule, one.entry, _SILENT if one.stations else rule.unknown)
    said = [(_rank(rule, result), result) for result in results]
    first = min(rank for rank, _ in said)
    chosen = [result for rank, result in said if rank == first]
    values = [text(read_answer(result).get("attributeValue")) for result in chosen]
    if len(set(values)) == 1:
        return chosen[0]
    value = made_one_variable(read_answer(one.entry), values)
    if value is None:
        return splice(_made_result(rule, one.entry, _SILENT), ("attributeStatusInfo",), _DIFFERS)
    return splice(chosen[0], ("attributeValue",), encode(value))


def _rank(rule: Split, result: bytes) -> int:
    status = read_answer(result).get(rule.status)
    return rule.order.index(status) if status in rule.order else -1


def _made_result(rule: Split, entry: bytes, status: str) -> bytes:
    """A result for an entry that no station answers; it repeats what was asked, byte for byte."""
    try:
        said = msgspec.json.decode(entry, type=dict[str, msgspec.Raw])
    except ValueError:
        said = {"id": msgspec.Raw(entry)}
    return encode({rule.status: status, **{name: said[name] for name in _REPEATED if name in said}})
