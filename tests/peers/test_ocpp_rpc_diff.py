"""The comparison of what was sent with what arrived, on doctored histories."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.peers.ocpp_rpc_diff import Diff, compare


def history() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """One transaction of each version as its station and the CSMS saw it: all in order."""
    start = {"connectorId": 1, "idTag": "A", "meterStart": 5, "timestamp": "T0"}
    meters = [{"connectorId": 1, "transactionId": 1_000_000_001, "meterValue": [n]} for n in range(2)]
    stop = {"transactionId": 1_000_000_001, "timestamp": "T9", "meterStop": 9}
    sent_16 = [
        ("StartTransaction", start),
        *(("MeterValues", meter) for meter in meters),
        ("StopTransaction", stop),
    ]
    sent_201 = [
        ("TransactionEvent", {"eventType": kind, "seqNo": n, "transactionInfo": {"transactionId": "abc"}})
        for n, kind in enumerate(("Started", "Updated", "Ended"))
    ]
    sessions, log = [], []
    for identity, number, sent in (("S16-00", 1_000_000_001, sent_16), ("S201-01", "abc", sent_201)):
        messages = [
            {"action": action, "payload": payload, "at_ms": 5000, "answer": {}, "answered_at_ms": 5001}
            for action, payload in sent
        ]
        sessions.append({"identity": identity, "id": number, "messages": messages})
        for action, payload in copy.deepcopy(sent):
            if action in ("MeterValues", "StopTransaction"):
                payload["transactionId"] = 1000
            answer = {"transactionId": 1000} if action == "StartTransaction" else {}
            log.append(
                {"identity": identity, "action": action, "params": payload, "answer": answer, "answered_at_ms": 8000}
            )
    return sessions, log


def test_comparison_accepts_a_history_in_order() -> None:
    diff = compare(*history(), [])
    assert diff == Diff(problems=[], transactions=2, messages=7, repeats=0, offline=0)


def lose(log: list[dict[str, Any]]) -> None:
    """A meter value never arrived."""
    del log[1]


def swap(log: list[dict[str, Any]]) -> None:
    """Two meter values changed places."""
    log[1], log[2] = log[2], log[1]


def alter(log: list[dict[str, Any]]) -> None:
    """A meter register changed."""
    log[0]["params"]["meterStart"] = 6


def reorder_members(log: list[dict[str, Any]]) -> None:
    """The same content with its members in another order."""
    log[3]["params"] = dict(reversed(log[3]["params"].items()))


def leak_the_local_id(log: list[dict[str, Any]]) -> None:
    """The CSMS got the id that only the station knows."""
    log[3]["params"]["transactionId"] = 1_000_000_001


def repeat(log: list[dict[str, Any]]) -> None:
    """A message came twice though its answer had arrived."""
    log.insert(1, copy.deepcopy(log[1]))


def repeat_late(log: list[dict[str, Any]]) -> None:
    """A message came again after its successor, its answer lost."""
    log[1]["answered_at_ms"] = None
    log.insert(3, copy.deepcopy(log[1]))


def lose_an_end(log: list[dict[str, Any]]) -> None:
    """The last event of the 2.0.1 transaction never arrived."""
    del log[6]


def mark_not_offline(log: list[dict[str, Any]]) -> None:
    """A member was added that the station did not send."""
    log[5]["params"]["offline"] = False


DOCTORED = [lose, swap, alter, reorder_members, leak_the_local_id, repeat, repeat_late, lose_an_end, mark_not_offline]


@pytest.mark.parametrize("doctor", DOCTORED)
def test_comparison_finds_what_is_wrong(doctor: Callable[[list[dict[str, Any]]], None]) -> None:
    sessions, log = history()
    doctor(log)
    assert compare(sessions, log, []).problems, doctor.__doc__


def test_comparison_allows_a_repeat_whose_answer_was_lost() -> None:
    sessions, log = history()
    repeat(log)
    diff = compare(sessions, log, [[9000, 9500]])
    assert (diff.problems, diff.repeats) == ([], 1)


def test_comparison_knows_that_a_csms_may_give_an_id_twice() -> None:
    """As one that was restarted and counts from the clock: the next transaction has the same id."""
    sessions, log = history()
    again, entries = copy.deepcopy(sessions[0]), copy.deepcopy(log[:4])
    again["messages"][0]["payload"]["timestamp"] = entries[0]["params"]["timestamp"] = "T20"
    both = [*log[:4], *entries]
    assert compare([sessions[0], again], both, []).problems == []
    del both[5]
    assert len(compare([sessions[0], again], both, []).problems) == 1


def test_comparison_wants_events_of_an_outage_marked() -> None:
    sessions, log = history()
    cuts = [[3000, 6000]]
    assert len(compare(sessions, log, cuts, marks_offline=True).problems) == 3
    for entry in log[4:]:
        entry["params"]["offline"] = True
    diff = compare(sessions, log, cuts, marks_offline=True)
    assert (diff.problems, diff.offline) == ([], 3)


def test_comparison_finds_a_message_that_was_never_answered() -> None:
    sessions, log = history()
    sessions[0]["messages"][1]["answer"] = None
    assert len(compare(sessions, log, []).problems) == 1
