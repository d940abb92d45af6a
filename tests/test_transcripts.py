"""Every conversation in `tests/transcripts` goes as it is written there."""

from pathlib import Path

import pytest

from tests.sim import loop
from tests.transcript import Transcript, TranscriptError

FOLDER = Path(__file__).parent / "transcripts"
KNOWN_FAILURES: dict[str, str] = {}
"""Transcripts that say what should be and is not yet, with the reason."""


def _marks(name: str) -> list[pytest.MarkDecorator]:
    reason = KNOWN_FAILURES.get(name)
    return [pytest.mark.xfail(strict=True, raises=pytest.fail.Exception, reason=reason)] if reason else []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=_marks(name))
        for name in sorted(f"{path.parent.name}/{path.stem}" for path in FOLDER.glob("*/*.txt"))
    ],
)
def test_conversation(name: str, tmp_path: Path) -> None:
    try:
        loop.run(Transcript(FOLDER / f"{name}.txt", tmp_path).run())
    except TranscriptError as error:
        pytest.fail(str(error), pytrace=False)


def test_known_failures_are_transcripts() -> None:
    assert {name for name in KNOWN_FAILURES if not (FOLDER / f"{name}.txt").is_file()} == set()
