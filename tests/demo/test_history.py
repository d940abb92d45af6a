import asyncio
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from gateway.demo.history import (
    Acknowledged,
    Answered,
    Arrival,
    Attempt,
    Changes,
    Closed,
    Created,
    CsmsRecord,
    Failed,
    HistoryLog,
    Killed,
    StationRecord,
    from_line,
    iso,
    read_history,
    to_line,
)

OF_STATIONS: list[StationRecord] = [
    Created("A", 1, "tx", "1.6", "Started", "StartTransaction", '{"x":1.50}', 1.0),
    Attempt("A", 1, "m", 2.0),
    Failed("A", 1, "m", "timeout", 3.0),
    Acknowledged("A", 1, "n", "{}", 4.0),
]
OF_CSMS: list[CsmsRecord] = [
    Arrival(1, "A", 7, "1.6", "n", "StartTransaction", "{}", 3.5),
    Answered(1, "sent", None, 3.6),
    Closed(7, cut=True, at=5.0),
    Killed(6.0),
]


def test_records_survive_their_file(tmp_path: Path) -> None:
    stations: HistoryLog[StationRecord] = HistoryLog(tmp_path / "a.jsonl")
    csms: HistoryLog[CsmsRecord] = HistoryLog(tmp_path / "b.jsonl")
    for record in OF_STATIONS:
        stations.append(record)
    for csms_record in OF_CSMS:
        csms.append(csms_record)
    # Read while the logs are open: a line is on disk as soon as it is appended.
    assert read_history([tmp_path / "a.jsonl", tmp_path / "b.jsonl"]) == (OF_STATIONS, OF_CSMS)
    stations.close()
    csms.close()
    csms.close()


def test_a_log_is_appended_to(tmp_path: Path) -> None:
    for record in OF_STATIONS:
        log: HistoryLog[StationRecord] = HistoryLog(tmp_path / "a.jsonl")
        log.append(record)
        log.close()
    assert read_history([tmp_path / "a.jsonl"]) == (OF_STATIONS, [])


@pytest.mark.parametrize("line", ['{"type":"Nonsense"}', '{"type":"Killed"}', '{"type":"Killed","at":1,"by":2}', "{}"])
def test_a_line_that_is_no_record_is_an_error(line: str) -> None:
    with pytest.raises(ValueError, match="not a history record"):
        from_line(line)


def test_a_record_is_one_line() -> None:
    assert all("\n" not in to_line(record) for record in OF_STATIONS + OF_CSMS)


def test_times_are_utc_with_three_digits() -> None:
    moment = datetime(2026, 1, 1, 14, 0, 0, 123_999, tzinfo=timezone(timedelta(hours=2)))
    assert iso(moment) == "2026-01-01T12:00:00.123Z"
    assert datetime.fromisoformat(iso(moment)).tzinfo == UTC


async def test_changes_wake_whoever_waits() -> None:
    changes, seen = Changes(), list[int]()
    waiting = asyncio.create_task(changes.until(lambda: len(seen) == 2, 5))
    for number in range(2):
        seen.append(number)
        changes.notify()
    await waiting
    with pytest.raises(TimeoutError):
        await changes.until(lambda: False, 0.01)
