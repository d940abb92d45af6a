"""docs/aggregate.md says what the site tables of the dialects say, and these leave no action and no id out.

`python -m tests.test_aggregate_table` prints the tables as they have to stand in the document.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.dialects import registry, schema
from gateway.dialects.base import Dialect, Route
from gateway.dialects.site_rules import EACH, IdAt, IdKind, Merge, SiteDown, SiteUp, Way, Whole
from gateway.rpc.codes import ErrorCode
from tests.dialects.examples import Example

DOCUMENT = Path(__file__).parent.parent / "docs" / "aggregate.md"
HEAD = ("| action | direction | what is done | ids | answer | note |", "|---|---|---|---|---|---|")
EVERY = [pytest.param(dialect, id=dialect.name) for dialect in registry.ALL]

# Members of the schemas that look like ids and are the CSMS's own for the whole site, or of no concern to it.
NOT_MAPPED = {
    "requestId", "remoteStartId", "reservationId", "chargingProfileId", "vendorId", "messageId", "tariffId",
    "controlId", "receiptId", "signatureId", "priceScheduleId", "selectedChargingScheduleId",
}  # fmt: skip


def table(dialect: Dialect) -> list[str]:
    """The lines of one version's table, by action, what goes up before what comes down."""
    site = registry.site_table(dialect.name)
    up = [_up_line(row, dialect) for _, row in sorted(site.up.items())]
    return [*HEAD, *up, *(_down_line(row, dialect) for _, row in sorted(site.down.items()))]


def _up_line(row: SiteUp, dialect: Dialect) -> str:
    done = str(row.way)
    if row.ids and row.ids[0].kind is IdKind.EVSE:
        done += f"; EVSE 0: {row.zero}"
    if row.is_report:
        done += "; parts of one report"
    offline = dialect.up[row.action].offline
    answer = _said(offline) if row.way is Way.ANSWER and offline is not None else ""
    if row.way is Way.REFUSE:
        answer = "never answered" if dialect.up[row.action].is_send else _said(offline)
    return f"| {row.action} | up | {done} | {_ids(row.ids, row.answer_ids)} | {answer} | {row.note} |"


def _down_line(row: SiteDown, dialect: Dialect) -> str:
    done = str(row.way)
    if row.whole:
        done += f"; without an EVSE: {row.whole}"
    if row.split and row.split.results is None:
        done += "; without a station: fan out"
    answers = []
    if row.merge:
        answers.append(_order(row.merge))
    if row.split and row.split.results:
        answers.append(f"entry: {' > '.join(row.split.order)}" if row.split.order else "")
        answers.append(f"unknown: {row.split.unknown}")
    if row.ids and not row.split:
        answers.append(f"unknown: {_said(row.unknown or dialect.down[row.action].rejected)}")
    if row.answer is not None:
        answers.append(_said(row.answer) if row.way in (Way.ANSWER, Way.REFUSE) else f"site: {_said(row.answer)}")
    elif row.way is Way.ANSWER or row.is_own:
        answers.append("site: made here")
    said = "; ".join(filter(None, answers))
    return f"| {row.action} | down | {done} | {_ids(row.ids, row.answer_ids)} | {said} | {row.note} |"


def _order(merge: Merge) -> str:
    name = "" if merge.member == "status" else f"{merge.member}: "
    return name + " > ".join(merge.order)


def _ids(ids: tuple[Any, ...], answer_ids: tuple[Any, ...]) -> str:
    said = [f"{one.kind} `{one}`" for one in ids] + [f"answer: {one.kind} `{one}`" for one in answer_ids]
    return ", ".join(said)


def _said(answer: bytes | ErrorCode | None) -> str:
    assert answer is not None
    return f"`{answer.decode()}`" if isinstance(answer, bytes) else f"CALLERROR {answer}"


@pytest.mark.parametrize("dialect", EVERY)
def test_document_says_what_the_tables_say(dialect: Dialect) -> None:
    section = DOCUMENT.read_text("utf-8").partition(f"## OCPP {dialect.name}\n")[2].partition("\n## ")[0]
    assert [line for line in section.splitlines() if line.startswith("|")] == table(dialect)


@pytest.mark.parametrize("dialect", EVERY)
def test_every_action_has_its_row_and_its_route_agrees(dialect: Dialect) -> None:
    site = registry.site_table(dialect.name)
    assert set(site.up) == set(dialect.up)
    assert set(site.down) == set(dialect.down)
    assert set(site.up) | set(site.down) == set(schema.actions(dialect.name))
    here = (Route.ANSWER, Route.INTERCEPT)
    for row, rule in ((row, dialect.up[row.action]) for row in site.up.values()):
        assert (row.way is Way.ANSWER, row.way is Way.REFUSE) == (
            rule.aggregate in here,
            rule.aggregate is Route.REFUSE,
        )
    for down, to in ((down, dialect.down[down.action]) for down in site.down.values()):
        assert (down.way is Way.ANSWER, down.way is Way.REFUSE) == (to.aggregate in here, to.aggregate is Route.REFUSE)


@pytest.mark.parametrize("dialect", EVERY)
def test_rows_are_whole(dialect: Dialect) -> None:
    """Whatever happens to a command, there is an answer to it, and the answer is a valid one."""
    for row in registry.site_table(dialect.name).down.values():
        rejected = dialect.down[row.action].rejected
        goes_to_all = row.way is Way.FAN_OUT or row.whole is Whole.FAN_OUT or (row.split and not row.split.results)
        assert bool(row.merge) == bool(goes_to_all), row.action
        assert (row.split is not None) == (row.way is Way.SPLIT), row.action
        assert row.way is not Way.MAP or row.ids, row.action
        assert row.whole is None or row.ids[0].kind is not IdKind.RESERVATION, row.action
        if row.way is Way.MAP:
            assert row.unknown is not None or rejected is not None, row.action
        if row.way is Way.REFUSE or row.whole is Whole.ANSWER:
            assert row.answer is not None, row.action
        if row.way is Way.ANSWER:
            assert (
                row.answer is not None
                or dialect.down[row.action].role
                or row.action in ("GetConfiguration", "DataTransfer")
            )
        for said in (row.answer, row.unknown):
            if isinstance(said, bytes):
                assert schema.validate(dialect.name, row.action, "response", said) == [], row.action
        if row.merge:
            assert sorted(row.merge.order) == sorted(_words(dialect, row.action, row.merge.member)), row.action
        if row.split and row.split.results:
            words = _words(dialect, row.action, row.split.results, row.split.status)
            assert {row.split.unknown, *row.split.order} <= set(words), row.action


def _words(dialect: Dialect, action: str, *path: str) -> list[str]:
    """What a member of an answer may say."""
    source = schema.source(dialect.name, action, "response")
    definitions, found = source.get("definitions", {}), source
    for step in path:
        found = _resolved(found["properties"][step], definitions)
    return ["true", "false"] if found["type"] == "boolean" else found["enum"]


def _resolved(found: Any, definitions: Mapping[str, Any]) -> Any:
    while "$ref" in found or found.get("type") == "array":
        found = definitions[found["$ref"].rpartition("/")[2]] if "$ref" in found else found["items"]
    return found


def _id_members(dialect: Dialect, action: str, kind: schema.Kind) -> Iterator[str]:
    """Members that name something a station has or makes, found in a payload that has every member."""
    try:
        found = json.loads(Example(dialect.name, action, kind).payload())
    except KeyError:
        return
    yield from _walk(found, "", is_16=dialect.csms_gives_tx_ids)


def _walk(found: Any, path: str, *, is_16: bool) -> Iterator[str]:
    if isinstance(found, list):
        if found and path.endswith("evseId") and not isinstance(found[0], dict):
            yield path
        elif found:
            yield from _walk(found[0], f"{path}{EACH}", is_16=is_16)
    elif isinstance(found, dict):
        for name, value in found.items():
            inner = f"{path}.{name}" if path else name
            if name in ("component", "display") and isinstance(value, dict):
                yield inner
            elif name == "evse":
                yield f"{inner}.id"
            elif name.endswith("Id") and name not in NOT_MAPPED and not isinstance(value, list):
                if is_16 or name != "connectorId":
                    yield inner
            elif name != "customData":
                yield from _walk(value, inner, is_16=is_16)


@pytest.mark.parametrize("dialect", EVERY)
def test_no_id_of_the_schemas_is_left_out(dialect: Dialect) -> None:
    """A member a row does not name would let a station's number out, or the site's number in."""
    checked = 0
    for row in _rows(dialect):
        if row.way in (Way.ANSWER, Way.REFUSE):
            continue
        for kind, ids in _sides(row):
            named = {str(one) for one in ids}
            looks = set(_id_members(dialect, row.action, kind))
            assert looks <= named, f"{row.action} {kind}: {sorted(looks - named)}"
            checked += len(looks)
    assert checked > 12


@pytest.mark.parametrize("dialect", EVERY)
def test_every_path_is_in_its_schema(dialect: Dialect) -> None:
    for row in _rows(dialect):
        for kind, ids in _sides(row):
            for one in ids:
                found: Any = json.loads(Example(dialect.name, row.action, kind).payload())
                for step in one.path:
                    found = found[0] if step == EACH else found[step]


def _rows(dialect: Dialect) -> Iterator[SiteUp | SiteDown]:
    site = registry.site_table(dialect.name)
    yield from site.up.values()
    yield from site.down.values()


def _sides(row: SiteUp | SiteDown) -> Iterator[tuple[schema.Kind, tuple[IdAt, ...]]]:
    yield "request", row.ids
    yield "response", row.answer_ids


if __name__ == "__main__":
    for spoken in reversed(registry.ALL):
        sys.stdout.write("\n".join([f"## OCPP {spoken.name}", "", *table(spoken), "", ""]))
