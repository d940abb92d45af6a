"""What simulated stations and the simulated CSMS did: plain records, in memory and as JSON lines.

All times are `time.monotonic()` seconds, which on Linux is one clock for all processes of the machine.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TextIO, TypeVar

LOST_ANSWER_WINDOW_S = 2.0
"""An answer written less than this before its socket was cut, or the gateway killed, may not have been read."""


@dataclass(frozen=True, slots=True)
class Created:
    """A transaction message of a station. `number` is its place in the station's order.

    `payload` is its JSON text; in 1.6 without the transactionId, which the station learns later.
    `transaction` is the 2.x transactionId; in 1.6 a name that only this history knows.
    `kind` is Started, Updated or Ended, in 1.6 too.
    """

    station: str
    number: int
    transaction: str
    version: str
    kind: str
    action: str
    payload: str
    at: float


@dataclass(frozen=True, slots=True)
class Attempt:
    station: str
    number: int
    message_id: str
    at: float


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A CALLRESULT came; `answer` is its payload as JSON text."""

    station: str
    number: int
    message_id: str
    answer: str
    at: float


@dataclass(frozen=True, slots=True)
class Failed:
    """No CALLRESULT came: `reason` is a CALLERROR's code or `timeout`. The station will send again."""

    station: str
    number: int
    message_id: str
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class Arrival:
    """A transaction message as the CSMS received it. `order` counts over the whole CSMS; `payload` is JSON text."""

    order: int
    station: str
    connection: int
    version: str
    message_id: str
    action: str
    payload: str
    at: float


@dataclass(frozen=True, slots=True)
class Answered:
    """`outcome` is `sent`, `refused` (CALLERROR: not held by the CSMS), `silent` or `lose` (both scripted)."""

    order: int
    outcome: str
    answer: str | None
    at: float


@dataclass(frozen=True, slots=True)
class Closed:
    """A socket of the CSMS ended; `cut` unless the other side closed it in good order."""

    connection: int
    cut: bool
    at: float


@dataclass(frozen=True, slots=True)
class Killed:
    """The gateway was killed (told by the rig)."""

    at: float


StationRecord = Created | Attempt | Acknowledged | Failed
CsmsRecord = Arrival | Answered | Closed | Killed

R = TypeVar("R", bound=Created | Attempt | Acknowledged | Failed | Arrival | Answered | Closed | Killed)
_TYPES: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (Created, Attempt, Acknowledged, Failed, Arrival, Answered, Closed, Killed)
}


def to_line(record: StationRecord | CsmsRecord) -> str:
    return json.dumps({"type": type(record).__name__, **asdict(record)}, separators=(",", ":"))


def from_line(line: str) -> StationRecord | CsmsRecord:
    """Raises ValueError if the line is no record."""
    members = json.loads(line)
    kind = _TYPES.get(members.pop("type", ""))
    if kind is None or set(members) != {field.name for field in fields(kind)}:
        raise ValueError(f"not a history record: {line[:80]!r}")
    record: StationRecord | CsmsRecord = kind(**members)
    return record


def read_history(paths: Iterable[Path]) -> tuple[list[StationRecord], list[CsmsRecord]]:
    """Records of all files, station's and CSMS's apart, each in the order written."""
    stations: list[StationRecord] = []
    csms: list[CsmsRecord] = []
    for path in paths:
        for line in path.read_text().splitlines():
            record = from_line(line)
            if isinstance(record, Created | Attempt | Acknowledged | Failed):
                stations.append(record)
            else:
                csms.append(record)
    return stations, csms


class HistoryLog(Generic[R]):
    """Records in memory and, with a `path`, appended to that file at once."""

    def __init__(self, path: Path | None = None) -> None:
        self.records: list[R] = []
        self._file: TextIO | None = path.open("a", buffering=1) if path else None

    def append(self, record: R) -> None:
        self.records.append(record)
        if self._file:
            self._file.write(to_line(record) + "\n")

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None


class Changes:
    """Lets a script wait until something is true, without polling."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, is_true: Callable[[], bool], timeout_s: float) -> None:
        """Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not is_true():
                await self._event.wait()


def monotonic() -> float:
    return time.monotonic()


def utc_now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 (this room imports no other, so it has a clock of its own)


def iso(at: datetime) -> str:
    """OCPP wants UTC with at most three digits of a second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
