"""The installer's own tags: a file with one a line.

# comment
04A2B3C4D5E680                                   # whose it is
04FFEE0011     group=FLEET  until=2027-01-31
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationInfo

from gateway.config_values import content_of, fault, path_of
from gateway.model.token import IdToken, Tag

_LARGEST = 1024**2
_LONGEST_TAG = 255
_MOST_FAULTS = 5
_REMEDY = 'Write one tag a line, then group=NAME and until=YYYY-MM-DD where they are wanted; "#" begins a comment.'


@dataclass(frozen=True, slots=True)
class TagsFile:
    """The file's content; shown as a number, for a tag opens a charger."""

    path: Path
    tags: tuple[Tag, ...]

    def __repr__(self) -> str:
        return f"<{len(self.tags)} tags, from file {self.path}>"


def _tags_file(value: object, info: ValidationInfo) -> TagsFile | None:
    if value is None or isinstance(value, TagsFile):
        return value
    path = path_of(value, info)
    content = content_of(path, info, _LARGEST)
    if len(content) > _LARGEST:
        raise fault("the file is larger than 1 MiB", "Keep long lists in the CSMS's local list.")
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise fault(f"line {line} is not UTF-8 text", "Save the file as UTF-8.") from None
    tags, faults = parsed(lines)
    if faults:
        more = f"; and {len(faults) - _MOST_FAULTS} more" if len(faults) > _MOST_FAULTS else ""
        raise fault("; ".join(faults[:_MOST_FAULTS]) + more, _REMEDY)
    return TagsFile(path, tags)


def parsed(lines: list[str]) -> tuple[tuple[Tag, ...], list[str]]:
    """The tags, and what is wrong, each with its line. No fault repeats a tag."""
    tags: list[Tag] = []
    faults: list[str] = []
    first_line: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        words = _without_comment(line).split()
        if not words:
            continue
        try:
            tag = _tag(words)
        except ValueError as error:
            faults.append(f"line {number} {error}")
            continue
        same = first_line.setdefault(tag.token.key, number)
        if same != number:
            faults.append(f"line {number} has the tag of line {same}")
        tags.append(tag)
    return tuple(tags), faults


def _without_comment(line: str) -> str:
    """A "#" inside of a word belongs to it."""
    words = line.split()
    kept = next((index for index, word in enumerate(words) if word.startswith("#")), len(words))
    return " ".join(words[:kept])


def _tag(words: list[str]) -> Tag:
    """Raises ValueError in the installer's words."""
    value, *options = words
    if len(value) > _LONGEST_TAG or not value.isprintable() or "=" in value:
        raise ValueError("does not begin with a tag")
    said: dict[str, str] = {}
    for option in options:
        name, equals, text = option.partition("=")
        if name not in ("group", "until") or not equals or not text:
            raise ValueError("has a word beside group=NAME and until=YYYY-MM-DD")
        if name in said:
            raise ValueError(f"has {name} twice")
        said[name] = text
    return Tag(IdToken(value), said.get("group"), _end_of(said["until"]) if "until" in said else None)


def _end_of(day: str) -> datetime:
    """The end of that day, UTC."""
    try:
        last = date.fromisoformat(day)
        return datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise ValueError("has no day such as 2027-01-31 after until=") from None


TagsFileOption = Annotated[
    TagsFile | None,
    BeforeValidator(_tags_file),
    PlainSerializer(repr, when_used="unless-none"),
    Field(description="Give the path of a file with one tag a line."),
]
