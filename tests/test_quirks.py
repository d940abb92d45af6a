"""docs/quirks.md says what the switches are and what shows the handling of each quirk; each switch makes a difference.

`python -m tests.test_quirks` prints the table of switches as it has to stand in the document.
"""

import ast
import re
import sys
from pathlib import Path

import pytest

from gateway.dialects import quirks
from tests.sim import loop
from tests.transcript import Transcript, TranscriptError

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "quirks.md"
TRANSCRIPTS = ROOT / "tests" / "transcripts" / "quirks"
HANDLED = re.compile(r"always|not handled|(switch|setting) `([^`]+)`(?:, `[^`]+`)*")


def switches() -> list[str]:
    return [f"| `{one.name}` | {one.does} | {one.evidence} |" for one in quirks.SWITCHES]


def rows(section: str) -> list[list[str]]:
    """The cells of a section's table, its head left out."""
    text = DOCUMENT.read_text("utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_table_of_switches_is_that_of_the_code() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert [line for line in text.splitlines() if re.match(r"\| `[a-z-]+` \|", line)] == switches()


def test_every_switch_handles_a_quirk_of_the_field() -> None:
    handled = [HANDLED.fullmatch(cells[1]) for cells in rows("What is seen in the field")]
    assert all(handled)
    named = [found[2] for found in handled if found and found[1] == "switch"]
    assert sorted(named) == sorted(quirks.NAMES)


def test_every_setting_is_one() -> None:
    reference = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    for cells in rows("What is seen in the field"):
        if cells[1].startswith("setting"):
            for key in re.findall(r"`([^`]+)`", cells[1]):
                assert f"| `{key}` |" in reference or f"## `{key}`" in reference, key


@pytest.mark.parametrize("cells", rows("What is seen in the field"), ids=lambda cells: cells[0][:40])
def test_what_shows_a_handling_exists(cells: list[str]) -> None:
    assert len(cells) == 4
    if cells[3] == "-":
        assert cells[1] == "not handled"
        return
    path, _, name = cells[3].strip("`").partition("::")
    assert (ROOT / path).is_file()
    if path.endswith(".py"):
        tree = ast.parse((ROOT / path).read_text("utf-8"))
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        assert name in [node.name for node in tree.body if isinstance(node, kinds)]


# A transcript a switch


def _problem(transcript: Path, folder: Path) -> str | None:
    try:
        loop.run(Transcript(transcript, folder).run())
    except TranscriptError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", [*quirks.NAMES, "minimum-answer-delay", "model"])
def test_a_transcript_goes_otherwise_without_its_switch(name: str, tmp_path: Path) -> None:
    source = TRANSCRIPTS / f"{name}.txt"
    lines = source.read_text("utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(("set quirks", "set answer-delay", "set model"))]
    assert len(kept) < len(lines)
    assert name not in quirks.NAMES or f"set quirks {name}" in lines, "it sets this one alone"
    text = "\n".join(kept).replace("include ../", f"include {TRANSCRIPTS.parent}/")
    doctored = tmp_path / f"{name}.txt"
    doctored.write_text(text)
    assert _problem(doctored, tmp_path) is not None


def test_every_transcript_here_is_named_in_the_document() -> None:
    text = DOCUMENT.read_text("utf-8")
    unnamed = {path.name for path in TRANSCRIPTS.glob("*.txt") if f"tests/transcripts/quirks/{path.name}" not in text}
    assert unnamed == set()


if __name__ == "__main__":
    sys.stdout.write("\n".join([*switches(), ""]))
