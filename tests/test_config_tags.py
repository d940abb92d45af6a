"""The installer's own tags: what a line may say, and what an installer reads who wrote another."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.config import redacted
from gateway.config_tags import parsed
from gateway.model.token import IdToken, Tag
from tests.config_bench import Bench

SECTION = '[authorization]\ntags_file = "tags.txt"'
FILE = """\ufeff# key box in the entrance

04A2B3C4D5E680
04ffee0011 \t group=FLEET  until=2027-01-31   # loan car, until= its lease ends
#04DEAD
ROOM#12
ÜBER-1  #
"""


def test_a_file_is_read(tmp_path: Path) -> None:
    bench = Bench(tmp_path, more=SECTION, files={"tags.txt": FILE.encode()})
    found = bench.load().authorization.tags_file
    assert found is not None
    assert found.tags == (
        Tag(IdToken("04A2B3C4D5E680")),
        Tag(IdToken("04ffee0011"), "FLEET", datetime(2027, 2, 1, tzinfo=UTC)),
        Tag(IdToken("ROOM#12")),
        Tag(IdToken("ÜBER-1")),
    )


def test_no_tag_is_shown(tmp_path: Path) -> None:
    """A tag opens a charger: a support file does not hold it."""
    config = Bench(tmp_path, more=SECTION, files={"tags.txt": FILE.encode()}).load()
    for shown in (repr(config), json.dumps(redacted(config), default=str)):
        assert "04A2B3C4D5E680" not in shown
        assert "4 tags" in shown


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("TAG FLEET", "beside group=NAME and until=YYYY-MM-DD"),
        ("TAG group=", "beside group=NAME"),
        ("TAG colour=red", "beside group=NAME"),
        ("TAG group=A group=B", "has group twice"),
        ("TAG until=2027-02-30", "no day such as"),
        ("TAG until=31.1.2027", "no day such as"),
        ("TAG until=9999-12-31", "no day such as"),
        ("group=FLEET TAG", "does not begin with a tag"),
        ("T\x07AG", "does not begin with a tag"),
        ("X" * 256, "does not begin with a tag"),
        ("other", "has the tag of line 1"),
    ],
)
def test_a_wrong_line_is_named(line: str, problem: str) -> None:
    _, faults = parsed(["OTHER", line])
    (fault,) = faults
    assert fault.startswith("line 2 ")
    assert problem in fault


@pytest.mark.parametrize(
    ("content", "problem", "remedy"),
    [
        (b"A\nB x\nC y\n", "line 2 has a word beside", "one tag a line"),
        (b"A x\n" * 7, "and 2 more", "one tag a line"),
        (b"A\n\xff\n", "line 2 is not UTF-8", "UTF-8"),
        (b"A" * (1024**2 + 1), "larger than 1 MiB", "local list"),
        (b"", "the file is empty", "take the key out"),
    ],
)
def test_a_wrong_file_is_one_mistake(tmp_path: Path, content: bytes, problem: str, remedy: str) -> None:
    (mistake,) = Bench(tmp_path, more=SECTION, files={"tags.txt": content}).mistakes()
    assert mistake.path == "authorization.tags_file"
    assert problem in mistake.problem
    assert remedy in mistake.remedy
