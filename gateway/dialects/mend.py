"""Puts right what a station's quirks name, and leaves every other byte as received.

What needs no repair comes back as it is, and so does what can't be read: nothing here refuses or raises.
"""

import json
import re
from dataclasses import dataclass
from itertools import pairwise

from gateway.dialects import shapes
from gateway.dialects.payloads import integer, read_answer
from gateway.dialects.quirks import Quirks
from gateway.dialects.schema import Kind
from gateway.dialects.shapes import Shape
from gateway.rpc.splice import Span, SpliceError, scan, splice

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"([ \t\r\n]*+:[ \t\r\n]*+(?=[,}]))?|\\?\Z)', re.DOTALL)
"""A text, to the end of the frame if it has none of its own; the group: it is a name, and its value is missing."""

_MAYBE = re.compile(rb":[ \t\r\n]*+[,}]")
_SPACE = b" \t\r\n"
_NUMBER = re.compile(r"\s*\+?(-?)0*(\d{1,40})(\.\d{1,40})?([eE][+-]?\d{1,3})?\s*", re.ASCII)
_CATCH_ALL = ("OtherError", "Other")
_ALIASES = {"hz": "Hertz", "degc": "Celsius", "degf": "Fahrenheit", "%": "Percent"}
_MEANS_ANOTHER = frozenset(
    {"measurand", "phase", "location", "unit", "format", "type", "mutability", "certificateType", "recurrencyKind"}
)
"""Left out, these mean a certain value: without its phase a current is that of all phases."""

_WALKS = 4
"""At most: quoted or renamed, then known as a word of no list and gone, then its name's twin; and one that sees so."""

LONGEST = 128 * 1024
"""Bytes of a payload that is mended: a walk through one this long takes some 0.1 s, in which nobody else is served."""


def mend_frame(data: bytes) -> bytes:
    """Take out members whose value is missing. Valid JSON has none, so it comes back as it is."""
    if _MAYBE.search(data) is None:
        return data
    out, end = bytearray(), 0
    for found in _STRING.finditer(data):
        if found.group(1) is None:
            continue
        out += data[end : found.start()]
        end = found.end()
        if data[end : end + 1] == b",":
            end += 1
            while data[end : end + 1].isspace():
                end += 1
        else:
            kept = len(out)
            while kept and out[kept - 1] in _SPACE:
                kept -= 1
            if out[kept - 1 : kept] == b",":
                del out[kept - 1 :]
    return bytes(out + data[end:]) if end else data


def mend(version: str, action: str, kind: Kind, payload: bytes, quirks: Quirks) -> bytes:
    """Put right the payload of a CALL (`request`) or of a CALLRESULT (`response`) of a station."""
    shape = shapes.of(version, action, kind) if len(payload) <= LONGEST else None
    if shape is None:
        return payload
    try:
        mended = _walked(payload, shape, quirks, action if kind == "request" else "")
        if quirks.missing_connector_id and {"evseId", "connectorId"} <= shape.required:
            mended = _with_connector(mended)
    except (ValueError, IndexError, RecursionError):
        return payload
    return mended


def _walked(payload: bytes, shape: Shape, quirks: Quirks, action: str) -> bytes:
    """Walk until nothing is left to mend: a number that was quoted may be a word that no enumeration knows."""
    for _ in range(_WALKS):
        walk = _Walk(payload.decode(), quirks, action)
        walk.object(0, shape)
        if not walk.edits:
            break
        payload = walk.done().encode()
    return payload


def _with_connector(payload: bytes) -> bytes:
    found = read_answer(payload)
    evse = integer(found.get("evseId"))
    if evse is None or integer(found.get("connectorId")) is not None:
        return payload
    try:
        return splice(payload, ("connectorId",), b"0" if evse == 0 else b"1")
    except SpliceError:
        return payload


Edit = tuple[int, int, str]
"""From, to, and what stands there instead."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a value stands: its member's name, whether it has to be there, whether it belongs to a frequency."""

    name: str
    is_required: bool
    of_frequency: bool = False


class _Walk:
    """One pass over a payload beside its shape; collects edits that don't overlap."""

    def __init__(self, text: str, quirks: Quirks, action: str) -> None:
        self._text = text
        self._quirks = quirks
        self._cuts = quirks.long_boot_texts and action == "BootNotification"
        self._drops_tag = quirks.long_id_tag and action == "StopTransaction"
        self.edits: list[Edit] = []

    def done(self) -> str:
        out, end = list[str](), 0
        for start, stop, instead in sorted(self.edits):
            out += [self._text[end:start], instead]
            end = stop
        return "".join([*out, self._text[end:]])

    def object(self, start: int, shape: Shape) -> None:
        members = scan(self._text, start)
        names = {name for name, _ in members}
        of_frequency = "unit" in shape.members and self._measurand(members).casefold() == "frequency"
        gone: set[int] = set()
        for index, (name, span) in enumerate(members):
            known = self._known_name(str(name), shape, names)
            place = _Place(known, known in shape.required, of_frequency)
            is_null = self._quirks.strip_nulls and self._text.startswith("null", span.value)
            if is_null or (known in shape.members and self._value(span, shape.members[known], place)):
                gone.add(index)
            elif known != name:
                self.edits.append((span.key, self._end_of_name(span), json.dumps(known)))
        self._take_out([span for _, span in members], gone)

    def _known_name(self, name: str, shape: Shape, names: set[str | int]) -> str:
        """The schema's name of a member that has another first letter, unless there is one of that name too."""
        if name in shape.members or not self._quirks.capitalised_keys:
            return name
        known = shape.by_folded_name.get(shapes.folded_name(name), name)
        return name if known in names else known

    def _end_of_name(self, span: Span) -> int:
        return self._text.rindex('"', span.key, span.value) + 1

    def _value(self, span: Span, shape: Shape, place: _Place) -> bool:
        """Mend one value; True if its member has to go."""
        opening = self._text[span.value]
        if opening == "{" and shape.members:
            self.object(span.value, shape)
        elif opening == "[" and shape.items is not None:
            self._array(span.value, shape.items, place)
        elif opening == '"':
            return self._string(span, shape, place)
        elif (opening == "-" or opening.isdigit()) and self._is_to_quote(shape):
            self._replace(span, f'"{self._text[span.value : span.end]}"')
        return False

    def _is_to_quote(self, shape: Shape) -> bool:
        """A time is left alone: no digits of it would make a right one."""
        return self._quirks.text_as_numbers and shape.kind == "string" and not shape.is_time

    def _array(self, start: int, items: Shape, place: _Place) -> None:
        """A sampled value of an unknown quantity goes, if another one stays."""
        spans = [span for _, span in scan(self._text, start)]
        gone: set[int] = set()
        if place.name == "sampledValue" and self._quirks.enum_spellings:
            gone = {index for index, span in enumerate(spans) if self._is_unknown_quantity(span, items)}
            gone = gone if len(gone) < len(spans) else set()
        for index, span in enumerate(spans):
            if index not in gone:
                self._value(span, items, _Place("", True))
        self._take_out(spans, gone)

    def _is_unknown_quantity(self, span: Span, shape: Shape) -> bool:
        if self._text[span.value] != "{" or "measurand" not in shape.members:
            return False
        word = shapes.folded_word(self._measurand(scan(self._text, span.value)))
        return word != "" and word not in shape.members["measurand"].spellings

    def _measurand(self, members: list[tuple[str | int, Span]]) -> str:
        words = (self._word(span) for name, span in members if shapes.folded_name(str(name)) == "measurand")
        return next(words, "")

    def _string(self, span: Span, shape: Shape, place: _Place) -> bool:
        if shape.kind in ("integer", "number") and self._quirks.numbers_as_text:
            number = _number(self._word(span), is_whole=shape.kind == "integer")
            if number is not None:
                self._replace(span, number)
        elif shape.spellings and self._quirks.enum_spellings:
            return self._enum(span, shape, place)
        elif shape.longest is not None and (self._cuts or self._drops_tag):
            word = self._word(span)
            if len(word) > shape.longest and self._cuts:
                self._replace(span, json.dumps(word[: shape.longest], ensure_ascii=not word.isprintable()))
            return len(word) > shape.longest and self._drops_tag and place.name == "idTag" and not place.is_required
        return False

    def _enum(self, span: Span, shape: Shape, place: _Place) -> bool:
        word = self._word(span)
        folded = shapes.folded_word(word)
        known = shape.spellings.get(folded) or shape.spellings.get(shapes.folded_word(_ALIASES.get(folded, "")))
        if known is None and place.name not in _MEANS_ANOTHER:
            known = next((other for other in _CATCH_ALL if other in shape.spellings.values()), None)
        if known is None:
            # Some schemas have no word for Hertz; a frequency without unit is in Hertz (1.6 has it so).
            is_hertz = place.name == "unit" and place.of_frequency and folded in ("hz", "hertz")
            return not place.is_required and (is_hertz or place.name not in _MEANS_ANOTHER)
        if known != word:
            self._replace(span, json.dumps(known))
        return False

    def _word(self, span: Span) -> str:
        """The text that stands there; "" if it is no text."""
        is_text = self._text[span.value] == '"'
        return str(json.loads(self._text[span.value : span.end])) if is_text else ""

    def _replace(self, span: Span, value: str) -> None:
        self.edits.append((span.value, span.end, value))

    def _take_out(self, spans: list[Span], gone: set[int]) -> None:
        """Each run of members goes with the commas that would be too many."""
        if not gone:
            return
        kept = [index for index in range(len(spans)) if index not in gone]
        for before, after in pairwise([-1, *kept]):
            if after - before > 1:
                self.edits.append((spans[before + 1].key, spans[after].key, ""))
        if not kept or kept[-1] < len(spans) - 1:
            start = spans[kept[-1]].end if kept else spans[0].key
            self.edits.append((start, spans[-1].end, ""))


def _number(text: str, *, is_whole: bool) -> str | None:
    """JSON's spelling of a number, its digits kept; None if it is none, or no whole one where that is wanted."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    sign, digits, fraction, exponent = found.groups()
    if not is_whole:
        return f"{sign}{digits}{fraction or ''}{exponent or ''}"
    return None if exponent or (fraction or "").strip(".0") else f"{sign}{digits}"
