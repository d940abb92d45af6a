"""docs/translation.md says what the tables say, and the tables say what the translators do.

`python -m tests.dialects.translate.test_losses` writes the tables of the document anew.
"""

import ast
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from gateway.dialects import registry, schema
from gateway.dialects.translate import key_table, losses
from gateway.dialects.translate.base import Refused, Reply, read
from gateway.dialects.translate.losses import Fate, Row
from gateway.dialects.translate.up16 import UP as UP_16
from gateway.dialects.translate.up20 import UP as UP_20
from tests.dialects.examples import Example
from tests.dialects.translate.command_rig import answer, facts_for, run

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "translation.md"
TRANSLATORS = ROOT / "gateway" / "dialects" / "translate"
BEGIN, END = "<!-- tables: {} -->", "<!-- end -->"

TABLES: Mapping[str, tuple[str, str, Sequence[Row], Mapping[str, str]]] = {
    "down-16": ("2.0.1", "1.6", losses.DOWN_16, {}),
    "down-20": ("1.6", "2.0.1", losses.DOWN_20, losses.NEVER_DOWN_20),
    "up-16": ("1.6", "2.0.1", losses.UP_16, {**losses.NEVER_UP_16, **losses.MADE_HERE}),
    "up-20": ("2.0.1", "1.6", losses.UP_20, losses.NEVER_UP_20),
}
"""Version the action is of, version it becomes, the rows, and what nothing becomes."""


def _actions(version: str, way: str) -> set[str]:
    dialect = registry.by_name(version)
    return set(dialect.down if way.startswith("down") else dialect.up)


# -- the tables are whole ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
def test_every_action_of_the_schemas_has_a_row(version: str) -> None:
    rows = {row.action for of, _, table, _ in TABLES.values() if of == version for row in table}
    assert rows == schema.actions(version)


@pytest.mark.parametrize("name", TABLES)
def test_every_action_stands_once_in_its_table(name: str) -> None:
    version, there, rows, nothing = TABLES[name]
    assert [row.action for row in rows] == sorted(_actions(version, name))
    made = {action for row in rows for action in row.becomes}
    assert not made & set(nothing)
    assert made | set(nothing) == _actions(there, name), "nobody says what becomes these"


@pytest.mark.parametrize("name", TABLES)
def test_what_is_not_translated_says_what_is_answered_and_why(name: str) -> None:
    for row in TABLES[name][2]:
        if row.fate is Fate.TRANSLATED:
            assert row.becomes, row
        else:
            assert row.says, row
            assert row.why, row
            assert not row.becomes, row


def test_keys_of_losses_are_unique_and_known() -> None:
    keys = [loss.key for loss in losses.ALL]
    assert len(keys) == len(set(keys)), sorted(key for key in keys if keys.count(key) > 1)
    named = {key for _, _, rows, _ in TABLES.values() for row in rows for key in row.losses}
    assert named <= set(keys)
    assert {loss.way for loss in losses.ALL} <= {"1.6 -> 2.0.1", "2.0.1 -> 1.6", "both"}


def test_every_loss_of_the_code_is_in_the_table() -> None:
    """What a translator says is lost: the texts in tuples that it gives to something called losses."""
    known = {loss.key for loss in losses.ALL}
    found: set[str] = set()
    for path in TRANSLATORS.glob("*.py"):
        if path.name == "losses.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            is_losses = (isinstance(node, ast.keyword) and node.arg == "losses") or (
                isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) and "losses" in ast.unparse(node)[:20]
            )
            if is_losses and isinstance(node, ast.keyword | ast.Assign | ast.AugAssign | ast.AnnAssign) and node.value:
                keys = [one for said in ast.walk(node.value) if isinstance(said, ast.Tuple) for one in said.elts]
                found |= {key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    assert len(found) > 10
    assert found <= known


# -- the tables are true -----------------------------------------------------------------------------------------------

_SOMETIMES = ("FirmwareStatusNotification", "MeterValues", "TransactionEvent")
"""Translated as a rule; what 1.6 has no word for is answered, or held."""

_DOWN = [("1.6", row) for row in losses.DOWN_16] + [("2.0.1", row) for row in losses.DOWN_20]


@pytest.mark.parametrize(("station", "row"), _DOWN, ids=lambda one: getattr(one, "action", one))
def test_a_command_does_what_its_row_says(station: str, row: Row) -> None:
    facts = facts_for(station, busy=False)
    payload = read(Example(facts.csms, row.action, "request").payload())
    found = run(row.action, payload, facts, lambda command: answer({"status": "Accepted"}))
    if row.fate is Fate.TRANSLATED:
        assert {command.action for command in found.sent} <= set(row.becomes)
        return
    assert not found.sent, "it went down"
    if row.fate is Fate.ANSWERED:
        assert isinstance(found.reply, Reply)
    elif isinstance(found.reply, Refused):
        assert found.reply.code.value == row.says
        assert found.reply.reason
    else:
        assert found.reply.payload["status"] == row.says.removesuffix(" (status)")


@pytest.mark.parametrize("name", ["up-16", "up-20"])
def test_messages_upwards_are_translated_or_answered_as_their_rows_say(name: str) -> None:
    version, _, rows, _ = TABLES[name]
    translators = (UP_16 if name == "up-16" else UP_20).up
    answers = registry.by_name(version).up
    for row in rows:
        if row.action not in translators:  # the gateway's own route comes first
            assert answers[row.action].route == "answer", row.action
            continue
        payload = read(Example(version, row.action, "request").payload())
        up = translators[row.action](payload, facts_for(version, busy=False))
        assert not isinstance(up, Refused), f"{row.action}: {up}"
        made = {part.action for part in up.parts}
        assert made <= set(row.becomes), row.action
        assert bool(made) or row.fate is not Fate.TRANSLATED or row.action in _SOMETIMES


# -- the document ------------------------------------------------------------------------------------------------------


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _table(head: Sequence[str], rows: Iterable[Iterable[str]]) -> list[str]:
    return [_line(head), "|" + "---|" * len(head), *(_line(row) for row in rows)]


def _row(row: Row) -> tuple[str, ...]:
    """Losses by their keys; what is answered in the version of the asker."""
    goes = ", ".join(row.becomes) if row.becomes else f"{row.fate}: {row.says}"
    lost = "nothing" if row.is_lossless else ", ".join(row.losses)
    return row.action, goes, lost, row.why


def tables() -> dict[str, list[str]]:
    made = {}
    for name, (_, _, rows, nothing) in TABLES.items():
        lines = _table(("action", "becomes", "lost", "remark"), (_row(row) for row in rows))
        if nothing:
            lines += ["", "Nothing becomes:", ""]
            lines += [f"- {action}: {why}" for action, why in sorted(nothing.items())]
        made[name] = lines
    made["losses"] = _table(
        ("key", "way", "what", "becomes"),
        ((loss.key, loss.way, loss.what, loss.becomes) for loss in sorted(losses.ALL, key=lambda one: one.key)),
    )
    made["keys"] = _table(
        ("1.6", "2.0.1", "set"),
        (
            (
                row.key,
                f"{row.component}.{row.variable}" + (f"[{row.instance}]" if row.instance else ""),
                "no" if row.is_readonly else "yes",
            )
            for row in key_table.ROWS
        ),
    )
    return made


def _written(text: str) -> str:
    """The document with its tables made anew."""
    for name, lines in tables().items():
        head, begin, rest = text.partition(BEGIN.format(name))
        assert begin, f"no place for the table {name}"
        _, end, tail = rest.partition(END)
        text = "\n".join([head + begin, "", *lines, "", end + tail])
    return text


def test_the_document_says_what_the_tables_say() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert text == _written(text), "python -m tests.dialects.translate.test_losses writes it anew"


if __name__ == "__main__":
    DOCUMENT.write_text(_written(DOCUMENT.read_text("utf-8")), "utf-8")
