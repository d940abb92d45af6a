"""The answers of several stations made one."""

import json
from itertools import permutations
from typing import Any

import pytest

from gateway.dialects import registry, schema
from gateway.dialects.site_map import map_answer_up
from gateway.dialects.site_merge import Asked, gather, merge
from gateway.dialects.site_rules import Split, best, worst
from gateway.model.ids import StationId
from tests.dialects.one_site import A, B, C, OneSite

SITE = OneSite(gives_tx_ids=False)
ROWS = registry.site_table("2.0.1").down


def said(status: str) -> bytes:
    return b'{ "status" :"%b"}' % status.encode()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["Accepted", "Scheduled", "Rejected"], "Rejected"),
        (["Accepted", "Scheduled"], "Scheduled"),
        (["Accepted", "Accepted"], "Accepted"),
        (["Accepted", "Odd", "Rejected"], "Odd"),
    ],
)
def test_the_first_of_the_order_wins_whoever_said_it(given: list[str], expected: str) -> None:
    rule = worst("Rejected", "Scheduled", "Accepted")
    for order in permutations(given):
        assert merge(rule, map(said, order)) == said(expected)


def test_silence() -> None:
    strict, mild = worst("Rejected", "Accepted"), best("Accepted", "Unknown")
    assert merge(strict, [said("Accepted"), None]) == b'{"status":"Rejected"}'
    assert merge(mild, [None, said("Unknown"), None]) == said("Unknown")
    assert merge(mild, [None, said("Unknown"), said("Accepted")]) == said("Accepted")
    assert merge(mild, [None, b"no json", None]) is None


def test_a_queue_anywhere_is_a_queue() -> None:
    rule = ROWS["GetTransactionStatus"].merge
    assert rule is not None
    waits, empty = b'{"messagesInQueue":true}', b'{"messagesInQueue":false}'
    assert merge(rule, [empty, waits, None]) == waits
    assert merge(rule, [empty, None]) == empty


def entry(name: str, component: str = '{"name":"E","evse":{"id":5}}') -> bytes:
    return b'{"component":%b,"variable":{"name":"%b"}}' % (component.encode(), name.encode())


def result(name: str, value: str, component: str, status: str = "Accepted") -> str:
    shown = f',"attributeValue":"{value}"' if value else ""
    return f'{{"attributeStatus":"{status}"{shown},"component":{component},"variable":{{"name":"{name}"}}}}'


Answers = dict[StationId, bytes | None]


def gathered(asked: list[Asked], answers: Answers, action: str = "GetVariables") -> list[dict[str, Any]]:
    row = ROWS[action]
    assert row.split is not None
    assert row.split.results is not None

    def map_up(station: StationId, answer: bytes) -> bytes:
        return map_answer_up(row.answer_ids, answer, SITE.of(station))

    made = gather(row.split, asked, answers, map_up)
    assert schema.validate("2.0.1", action, "response", made) == []
    found: list[dict[str, Any]] = json.loads(made)[row.split.results]
    return found


def answer(*results: str) -> bytes:
    return b'{"getVariableResult":[%b]}' % ",".join(results).encode()


def test_results_come_back_in_request_order_with_the_site_s_ids() -> None:
    own_evse, station_wide = '{"name":"E","evse":{"id":2}}', '{"name":"Ctrlr"}'
    asked = [
        Asked(entry("c"), (C,)),
        Asked(entry("gone", '{"name":"E","evse":{"id":77}}')),
        Asked(entry("all", station_wide), (A, B, C), True),
        Asked(entry("b", '{"name":"Ctrlr","instance":"3"}'), (B,)),
    ]
    answers: Answers = {
        A: answer(result("all", "8", station_wide)),
        B: answer(result("all", "8", station_wide), result("b", "2", station_wide)),
        C: answer(result("c", "1", own_evse), result("all", "", station_wide, "UnknownVariable")),
    }
    found = gathered(asked, answers)
    assert [one["variable"]["name"] for one in found] == ["c", "gone", "all", "b"]
    assert [one["attributeStatus"] for one in found] == ["Accepted", "UnknownComponent", "Accepted", "Accepted"]
    assert [one.get("attributeValue") for one in found] == ["1", None, "8", "2"]
    assert [one["component"] for one in found] == [json.loads(one.entry)["component"] for one in asked]


def test_stations_that_differ_or_are_silent() -> None:
    wide = '{"name":"Ctrlr"}'
    asked = [Asked(entry("v", wide), (A, B), True), Asked(entry("c"), (C,))]
    found = gathered(asked, {A: answer(result("v", "1", wide)), B: answer(result("v", "2", wide)), C: None})
    assert [one["attributeStatus"] for one in found] == ["Rejected", "Rejected"]
    assert "differ" in found[0]["attributeStatusInfo"]["additionalInfo"]
    short = gathered(asked, {A: answer(), B: answer(result("v", "2", wide)), C: b"no json"})
    assert [one.get("attributeValue") for one in short] == ["2", None]


def test_a_setting_counts_as_set_only_if_all_took_it() -> None:
    row, wide = ROWS["SetVariables"].split, '{"name":"Ctrlr"}'
    assert isinstance(row, Split)
    asked = [Asked(b'{"attributeValue":"1",' + entry("v", wide)[1:], (A, B), True)]
    answers: Answers = {
        A: b'{"setVariableResult":[%b]}' % result("v", "", wide).encode(),
        B: b'{"setVariableResult":[%b]}' % result("v", "", wide, "RebootRequired").encode(),
    }
    assert gathered(asked, answers, "SetVariables")[0]["attributeStatus"] == "RebootRequired"


def test_cleared_monitors() -> None:
    asked = [Asked(b"7003", (B,)), Asked(b"9002"), Asked(b"7004", (C,))]
    answers: Answers = {B: b'{"clearMonitoringResult":[{"status":"Accepted","id":7}]}', C: None}
    found = gathered(asked, answers, "ClearVariableMonitoring")
    assert found == [
        {"status": "Accepted", "id": 7003},
        {"status": "NotFound", "id": 9002},
        {"status": "Rejected", "id": 7004},
    ]
