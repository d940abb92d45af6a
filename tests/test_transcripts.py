"""Every conversation in `tests/transcripts` goes as it is written there."""

from pathlib import Path

import pytest

from tests.sim import loop
from tests.transcript import Transcript, TranscriptError

FOLDER = Path(__file__).parent / "transcripts"


def _problem(transcript: Path, folder: Path) -> str | None:
    try:
        loop.run(Transcript(transcript, folder).run())
    except TranscriptError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    "name",
    sorted(f"{path.parent.name}/{path.stem}" for path in FOLDER.glob("*/*.txt")),
)
def test_conversation(name: str, tmp_path: Path) -> None:
    problem = _problem(FOLDER / f"{name}.txt", tmp_path)
    if problem:
        pytest.fail(problem, pytrace=False)


DOCTORED = {
    "another payload": ('csms<    [2,$h,"Heartbeat",{}]', 'csms<    [2,$h,"Heartbeat",{ }]'),
    "another answer": ("interval", "intervall"),
    "an id that changes": ("csms>    [3,$boot,", "csms<    [3,$boot,"),
    "nothing where something comes": ('csms<    [2,$h,"Heartbeat",{}]', "csms<    nothing"),
    "something where nothing comes": ("wait 1", 'station< [3,"2",{}]'),
    "a frame nobody expects": ('csms<    [2,$h,"Heartbeat",{}]', "wait 1"),
    "a socket that stays open": ("wait 1", "station< closed"),
    "a name without a value": ("wait 1", "csms>    [3,$nobody,{}]"),
    "a line that means nothing": ("wait 1", "station says nothing"),
}
PLAIN = """version 1.6
connect station
station> [2,"1","BootNotification",{"chargePointVendor":"V"}]
csms<    [2,$boot,"BootNotification",{"chargePointVendor":"V"}]
csms>    [3,$boot,{"status":"Accepted","currentTime":"2026-03-01T08:00:00Z","interval":300}]
station< ~[3,"1",{"interval":300,"status":"Accepted","currentTime":$now}]
wait 1
station> [2,"2","Heartbeat",{}]
station< ~[3,"2",{"currentTime":$_}]
csms<    [2,$h,"Heartbeat",{}]
"""


def test_a_plain_transcript_passes(tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text(PLAIN)
    assert _problem(tmp_path / "plain.txt", tmp_path) is None


@pytest.mark.parametrize("what", DOCTORED)
def test_a_doctored_transcript_is_found(what: str, tmp_path: Path) -> None:
    right, wrong = DOCTORED[what]
    doctored = PLAIN.replace(right, wrong) if what != "another answer" else PLAIN.replace(right, wrong, 1)
    assert doctored != PLAIN
    (tmp_path / "doctored.txt").write_text(doctored)
    problem = _problem(tmp_path / "doctored.txt", tmp_path)
    assert problem is not None
    assert "doctored.txt" in problem
