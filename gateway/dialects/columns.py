"""Settings in two columns, 1.6: what a CSMS sets and reads through the gateway, and what the station holds."""

from collections.abc import Callable, Mapping

from gateway.dialects import keys
from gateway.dialects.base import Guarded, Json
from gateway.dialects.keys import Row, Use
from gateway.dialects.payloads import encode, read_answer, read_once, text
from gateway.dialects.pieces import elements, entries, remove
from gateway.dialects.settings import REJECTED, is_kept_key, is_of_the_leg, is_secret
from gateway.model.settings import Column, Columns, Learned
from gateway.rpc.splice import REMOVE, Path, splice

ACCEPTED = b'{"status":"Accepted"}'
NO_COLUMN = Column()
TAKEN = frozenset({"Accepted", "RebootRequired"})
_LONGEST = 2500
"""Characters of a value that are kept: no setting of the standards has more."""


def change_configuration(payload: bytes, columns: Columns) -> Guarded:
    """Refuse keys of the leg, keep ours. Raises CallError, as all guards do, if the command can't be read without
    doubt."""
    found = read_once(payload)
    key, value = text(found.get("key")) or "", text(found.get("value"))
    row = keys.of_16(key)
    if row is None:
        return refuse(REJECTED) if is_kept_key(key) or is_of_the_leg(key) else relay(payload)
    if row.use is Use.SHARED:
        return Guarded(payload, _as_it_is, lambda answer: _accepted(row, value, answer))
    if value is None or row.use in (Use.FIXED, Use.GIVEN):
        return refuse(REJECTED, f"{row.key} is not set")
    if row.use is Use.CREDENTIAL:
        secret = keys.authorization_key(value)
        wrong = f"{row.key} takes 32 to 40 hex digits, in pairs"
        return refuse(REJECTED, wrong) if secret is None else promise(ACCEPTED, Learned(secret=secret, is_promise=True))
    if problem := row.wrong(value):
        return refuse(REJECTED, f"{row.key}: {problem}")
    held = columns.get(row.key, NO_COLUMN).held
    return promise(ACCEPTED, Learned({row.key: Column(value, held)}, is_promise=True))


def _accepted(row: Row, value: str | None, answer: bytes | None) -> Learned:
    if value is None or read_answer(answer).get("status") not in TAKEN:
        return Learned()
    return Learned(taken(row.key, value), is_promise=True)


def taken(name: str, value: str) -> Columns:
    """The station took what the CSMS set."""
    return {name: Column(value, value)} if len(value) <= _LONGEST else {}


def get_configuration(payload: bytes, columns: Columns) -> Guarded:
    """Let it through; the answer tells the CSMS's own values, and none of secrets."""
    asked = read_answer(payload).get("key")
    is_all = not isinstance(asked, list) or not asked
    return Guarded(
        payload,
        lambda answer: b"{}" if answer is None else _with_own(answer, columns, is_all),
        lambda answer: _heard(read_answer(answer), columns),
    )


def _with_own(answer: bytes, columns: Columns, is_all: bool) -> bytes:
    found = read_answer(answer)
    listed = entries(found, "configurationKey")
    for index, entry in listed:
        key, value = text(entry.get("key")) or "", text(entry.get("value"))
        at = ("configurationKey", index)
        row = keys.of_16(key)
        if is_secret(key):
            answer = splice(answer, (*at, "value"), REMOVE)
        elif row is not None and (own := told(row, columns.get(row.key), value)) != value:
            answer = splice(answer, (*at, "value"), encode(own))
            if entry.get("readonly") is True and row.use is not Use.GIVEN:
                answer = splice(answer, (*at, "readonly"), b"false")
    return _with_missing(answer, found, columns, is_all)


def _with_missing(answer: bytes, found: Json, columns: Columns, is_all: bool) -> bytes:
    """Add what the CSMS has set and the station does not know, or does not list."""
    listed = {(text(entry.get("key")) or "").strip().casefold() for _, entry in entries(found, "configurationKey")}
    unknown = found.get("unknownKey")
    names = [name for name in unknown if isinstance(name, str)] if isinstance(unknown, list) else []
    own = {name: row for name in names if (row := keys.of_16(name)) and is_own(row, columns.get(row.key))}
    added = [_entry(name, row, columns[row.key]) for name, row in own.items()]
    if is_all and "configurationKey" in found:
        added += [
            _entry(row.v16, row, columns[row.key])
            for row in keys.ROWS
            if row.v16 and row.v16.casefold() not in listed and is_own(row, columns.get(row.key)) and row.v16 not in own
        ]
    if not added:
        return answer
    if isinstance(unknown, list):
        paths: list[Path] = [("unknownKey", index) for index, name in enumerate(unknown) if name in own]
        answer = remove(answer, paths[::-1])
        if len(paths) == len(unknown):
            answer = splice(answer, ("unknownKey",), REMOVE)
    there = elements(answer, "configurationKey") or []
    return splice(answer, ("configurationKey",), b"[%b]" % b",".join([*there, *added]))


def _entry(key: str, row: Row, column: Column) -> bytes:
    return encode({"key": key, "readonly": row.use is Use.GIVEN, "value": column.believed})


def _heard(found: Json, columns: Columns) -> Learned:
    heard: dict[str, Column] = {}
    for _, entry in entries(found, "configurationKey"):
        row, value = keys.of_16(text(entry.get("key")) or ""), text(entry.get("value"))
        if row is not None and value is not None:
            heard |= heard_of(row, row.key, value, columns)
    return Learned(heard)


# -- what all versions share ------------------------------------------------------------------------------------------


def relay(payload: bytes, finish: Callable[[bytes], bytes] = lambda answer: answer) -> Guarded:
    """It goes down; `finish` makes the answer of the station's."""
    return Guarded(payload, lambda answer: b"{}" if answer is None else finish(answer))


def refuse(answer: bytes, why: str | None = None) -> Guarded:
    """Nothing goes down."""
    return Guarded(None, lambda _: answer, why=why)


def promise(answer: bytes, learned: Learned) -> Guarded:
    """Nothing goes down, and something is kept."""
    return Guarded(None, lambda _: answer, lambda _: learned)


def _as_it_is(answer: bytes | None) -> bytes:
    return b"{}" if answer is None else answer


def is_own(row: Row, column: Column | None) -> bool:
    """Whether the CSMS has set what the gateway keeps for it, or the gateway has a value of its own."""
    return row.use in (Use.OURS, Use.GIVEN) and column is not None and column.believed is not None


def told(row: Row, column: Column | None, reported: str | None) -> str | None:
    """The value the CSMS sees, where the station reports this one.

    A shared setting that is not what the station took was changed at the station, and that is what counts.
    """
    if column is None or column.believed is None:
        return reported
    if row.use in (Use.OURS, Use.GIVEN) or (row.use is Use.SHARED and reported == column.held):
        return column.believed
    return reported


def heard_of(row: Row, name: str, reported: str, columns: Mapping[str, Column]) -> Columns:
    """What the station holds, by its own words."""
    if row.use in (Use.CREDENTIAL, Use.GIVEN) or len(reported) > _LONGEST:
        return {}
    known = columns.get(name, NO_COLUMN)
    is_overruled = row.use is Use.SHARED and reported != known.held
    return {name: Column(None if is_overruled else known.believed, reported)}
