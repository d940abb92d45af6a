"""What a row says of an action where the whole site is one station on one link: docs/aggregate.md."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.dialects.base import Json
from gateway.rpc.codes import ErrorCode

EACH = "[]"
"""In a path: every element of an array."""


class Way(StrEnum):
    """What is done with an action.

    map: passed on between the CSMS and the one station it is about. fan out: to every station, the results become one.
    split: its entries go to the stations they name, the results come back in request order. answer: the site itself
    answers. refuse: the site as one station does not do this.
    """

    MAP = "map"
    FAN_OUT = "fan out"
    SPLIT = "split"
    ANSWER = "answer"
    REFUSE = "refuse"


class Whole(StrEnum):
    """What is done with a command of way map that names no EVSE, or 0.

    fan out: to every station. choose: one free EVSE is chosen. answer, refuse: as the ways.
    """

    FAN_OUT = "fan out"
    CHOOSE = "choose"
    ANSWER = "answer"
    REFUSE = "refuse"


class Zero(StrEnum):
    """What is done with a message of a station that names EVSE 0.

    here: it stays here, as it does if it names none. head: it counts for the station's first EVSE.
    """

    HERE = "here"
    HEAD = "head"


class IdKind(StrEnum):
    """What a member identifies, and how it is mapped.

    EVSE: its number in the site (in 1.6 a connector's). EVSEs: those a token is good for; other stations' are taken
    out. transaction: unique in the site. made: an id the station made itself, joined with its head. component: its
    EVSE, else its instance, which tells the station's head. reservation: given by the CSMS, it only finds the station.
    label: text for people; the station's head is put before it.
    """

    EVSE = "EVSE"
    EVSES = "EVSEs"
    TRANSACTION = "transaction"
    MADE = "made"
    COMPONENT = "component"
    RESERVATION = "reservation"
    LABEL = "label"


@dataclass(frozen=True, slots=True)
class IdAt:
    """A kind of id and where it stands; EACH in the path stands for every element."""

    kind: IdKind
    path: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.path).replace(f".{EACH}", EACH)


def at(kind: IdKind, *paths: str) -> tuple[IdAt, ...]:
    """Ids of one kind, at paths written as "eventData[].cause"."""
    return tuple(IdAt(kind, tuple(path.replace(EACH, f".{EACH}").split("."))) for path in paths)


def evse(*paths: str) -> tuple[IdAt, ...]:
    return at(IdKind.EVSE, *paths)


def transaction(*paths: str) -> tuple[IdAt, ...]:
    return at(IdKind.TRANSACTION, *paths)


def made(*paths: str) -> tuple[IdAt, ...]:
    return at(IdKind.MADE, *paths)


def component(*paths: str) -> tuple[IdAt, ...]:
    return at(IdKind.COMPONENT, *paths)


@dataclass(frozen=True, slots=True)
class Merge:
    """How the answers of several stations become one: of the statuses, the first of `order` that anybody gave wins,
    and the answer that gave it goes up as it came. `silent`: what a station that gave no answer counts as; None: as
    nothing. A status that is not listed wins over all."""

    order: tuple[str, ...]
    silent: str | None = None
    member: str = "status"


def worst(*order: str) -> Merge:
    """A command that counts as done only if every station did it; one that is silent did not."""
    return Merge(order, silent=order[0])


def best(*order: str) -> Merge:
    """A command that counts as done if any station did it."""
    return Merge(order)


@dataclass(frozen=True, slots=True)
class Split:
    """Entries of `member` are answered by entries of `results` (None: by one status for the whole).

    `unknown`: the status of an entry that means nothing here. `order`: which status wins where an entry names no
    station and every station is asked; empty: such an entry is answered `unknown`, or goes to all if `results` is None.
    """

    member: str
    results: str | None = None
    status: str = "attributeStatus"
    unknown: str = "UnknownComponent"
    order: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SiteUp:
    """A row of the station -> CSMS table. `answer_ids`: ids in the CSMS's answer, mapped on its way down.

    `is_report`: a part (requestId, seqNo, tbc) of what several stations tell after one question.
    """

    action: str
    way: Way
    ids: tuple[IdAt, ...] = ()
    zero: Zero = Zero.HERE
    answer_ids: tuple[IdAt, ...] = ()
    is_report: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class SiteDown:
    """A row of the CSMS -> station table. The first of `ids` that is there finds the station.

    `whole` (way map): see there; None: the action always names its target. `unknown`: the answer if an id means
    nothing here, or no EVSE is free; None: as `DownRule.rejected`. `answer`: the fixed one of ways answer and refuse;
    None: made by a walk. `is_own`: which of these commands are for the site itself. `answer_ids`: ids in the station's
    answer, mapped on its way up. `keeps`: it sets what may be the site's own (`DownRule.keeps`); the rest goes on.
    """

    action: str
    way: Way
    ids: tuple[IdAt, ...] = ()
    whole: Whole | None = None
    merge: Merge | None = None
    split: Split | None = None
    unknown: bytes | ErrorCode | None = None
    answer: bytes | ErrorCode | None = None
    is_own: Callable[[Json], bool] | None = None
    answer_ids: tuple[IdAt, ...] = ()
    keeps: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class SiteTable:
    """One version's rows, by action."""

    up: Mapping[str, SiteUp] = field(repr=False)
    down: Mapping[str, SiteDown] = field(repr=False)


def triggers_itself(found: Json) -> bool:
    """A message the site sends in its own name, and no station's."""
    return found.get("requestedMessage") in _OWN_MESSAGES


_OWN_MESSAGES = frozenset(
    {
        "BootNotification",
        "Heartbeat",
        "DiagnosticsStatusNotification",
        "FirmwareStatusNotification",
        "LogStatusNotification",
        "PublishFirmwareStatusNotification",
        "SignChargePointCertificate",
        "SignChargingStationCertificate",
        "SignV2GCertificate",
        "SignCombinedCertificate",
    }
)
