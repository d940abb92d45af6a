"""Local Authorization Lists: what a CSMS sends, what a station can take, what is answered."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.model.token import IdToken, Verdict


class UpdateStatus(StrEnum):
    """The answer to a list. 1.6 has NotSupported beside these, which the gateway never says."""

    ACCEPTED = "Accepted"
    FAILED = "Failed"
    VERSION_MISMATCH = "VersionMismatch"


@dataclass(frozen=True, slots=True)
class ListEntry:
    """One token of a list. Without a verdict (in a differential update) it is taken out.

    `text`: the entry as the CSMS wrote it in `dialect`, where the model does not hold all of it; else empty.
    """

    token: IdToken
    verdict: Verdict | None
    dialect: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class ListUpdate:
    """A list as the CSMS sends it: all of it, or what changes."""

    version: int
    is_full: bool
    entries: tuple[ListEntry, ...]


@dataclass(frozen=True, slots=True)
class ListLimits:
    """What a station can take: entries and bytes a message, entries in all (None: it does not say)."""

    is_enabled: bool = True
    entries_each: int | None = None
    bytes_each: int | None = None
    entries_most: int | None = None


@dataclass(frozen=True, slots=True)
class InvalidIdSettings:
    """What a station does with a session whose token turns out invalid; None: it does not say.

    `energy_wh`: what it may still give. `stack_level`: the highest a charging profile may have.
    """

    stops: bool | None = None
    energy_wh: int | None = None
    stack_level: int | None = None
