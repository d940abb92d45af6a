"""Parts of what several stations tell after one question: for the CSMS, the parts of one report."""

import json
import random
from typing import Any

import pytest

from gateway.dialects.site_reports import GIVE_UP_S, Reports
from tests.dialects.one_site import A, B, C

KEY = ("NotifyReport", 5)


def part(number: int, *, tbc: bool | None, text: str = "") -> bytes:
    more = "" if tbc is None else f',"tbc":{json.dumps(tbc)}'
    return f'{{"requestId":5,"seqNo":{number},"text":"{text}"{more}}}'.encode()


def heard(sent: list[bytes]) -> list[Any]:
    return [json.loads(payload) for payload in sent]


@pytest.mark.parametrize("seed", range(30))
def test_whatever_the_order_it_is_one_report(seed: int) -> None:
    """Every part once, numbered without gaps, and only the last one says that it is the last."""
    source = random.Random(seed)
    waiting = {
        station: [
            part(n, tbc=n < count - 1 or (None if source.random() < 0.5 else False), text=f"{station}{n}")
            for n in range(count)
        ]
        for station in (A, B, C)
        if (count := source.randrange(0, 4)) or True
    }
    reports, sent = Reports(), list[bytes]()
    reports.begin(KEY, list(waiting), 0.0)
    expected = sorted(json.loads(one)["text"] for parts in waiting.values() for one in parts)
    while waiting:
        station = source.choice(list(waiting))
        if waiting[station]:
            sent += reports.part(KEY[0], station, waiting[station].pop(0), 1.0)
            if not waiting[station]:
                del waiting[station]
        else:  # it refused the question
            sent += reports.without(station, KEY)
            del waiting[station]
    assert sorted(one["text"] for one in heard(sent)) == expected, f"seed {seed}"
    assert [one["seqNo"] for one in heard(sent)] == list(range(len(expected)))
    assert [one.get("tbc", False) for one in heard(sent)] == [True] * (len(expected) - 1) + [False] * bool(expected)
    assert reports.deadline() is None


def test_a_station_that_falls_silent_does_not_hold_the_end_up() -> None:
    reports = Reports()
    reports.begin(KEY, [A, B], 0.0)
    assert reports.part(*_of(A), part(0, tbc=False), 10.0) == []
    assert reports.deadline() == 10.0 + GIVE_UP_S
    assert reports.expire(9.9 + GIVE_UP_S) == []
    assert [(key, json.loads(one)["tbc"]) for key, one in reports.expire(10.0 + GIVE_UP_S)] == [(KEY, False)]
    reports.begin(KEY, [A, B], 0.0)
    reports.part(*_of(A), part(0, tbc=True), 10.0)
    assert reports.gone(B) == []
    assert [key for key, _ in reports.gone(A)] == [KEY]


def _of(station: Any) -> tuple[str, Any]:
    return KEY[0], station


def test_what_nobody_asked_for_goes_up_as_it_is() -> None:
    reports = Reports()
    assert reports.part(*_of(A), part(3, tbc=True), 0.0) == [part(3, tbc=True)]
    reports.begin(KEY, [A], 0.0)
    assert reports.part(*_of(B), part(3, tbc=True), 0.0) == [part(3, tbc=True)]
    assert reports.part("ReportChargingProfiles", A, b'{"requestId":5}', 0.0) == [b'{"requestId":5}']


def test_parts_without_a_number_get_none() -> None:
    reports = Reports()
    key = ("ReportChargingProfiles", 5)
    reports.begin(key, [A, B], 0.0)
    one = b'{"requestId":5,"evseId":1}'
    sent = [*reports.part(key[0], A, one, 0.0), *reports.part(key[0], B, one, 0.0)]
    assert heard(sent) == [{"requestId": 5, "evseId": 1, "tbc": True}, {"requestId": 5, "evseId": 1}]
