"""docs/failure-catalogue.md names tests that exist, for every row of the catalogue."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "failure-catalogue.md").read_text("utf-8")
NAMED = re.compile(r"`(tests/[\w./-]+?)(?:::(\w+))?`")
ROWS = re.findall(r"^\| (\d+) \|.*$", TEXT, re.MULTILINE)


def problem(path: str, test: str | None) -> str | None:
    """What is wrong with a test named in the document; None if it is there."""
    file = ROOT / path
    if not file.is_file():
        return f"{path} does not exist"
    if path.endswith(".txt"):
        return None if "transcripts" in file.parts else f"{path} is no transcript"
    found = {node.name for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, FUNCTIONS)}
    if test is None:
        return None if any(name.startswith("test_") for name in found) else f"{path} holds no test"
    is_test = test in found and test.startswith("test_") and file.name.startswith("test_")
    return None if is_test else f"{path} has no {test}"


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def test_every_test_that_is_named_exists() -> None:
    named = NAMED.findall(TEXT)
    assert len(named) > 50
    assert [found for path, test in named if (found := problem(path, test or None))] == []


def test_every_row_is_there_once_and_names_a_test_or_says_not_yet() -> None:
    assert [int(row) for row in ROWS] == list(range(1, 28))
    for line in TEXT.splitlines():
        if re.match(r"\| \d+ \|", line):
            held = line.split("|")[4]
            assert NAMED.search(held) or held.strip().startswith("not yet: "), line


@pytest.mark.parametrize(
    ("path", "test"),
    [
        ("tests/gone.py", None),
        ("tests/sim/test_storm.py", "test_gone"),
        ("tests/sim/world.py", "test_storm"),
        ("tests/sim/world.py", None),
    ],
)
def test_a_test_that_is_not_there_is_found(path: str, test: str | None) -> None:
    assert problem(path, test) is not None
