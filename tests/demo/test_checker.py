"""The checker on doctored histories: each harm is found, and a clean history passes."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.checker import Ledger, LedgerTransaction, Report, check, read_ledger
from gateway.demo.history import (
    Acknowledged,
    Answered,
    Arrival,
    Closed,
    Created,
    CsmsRecord,
    Killed,
    StationRecord,
)

STAMP = "2026-01-01T10:00:{:02d}.000Z"


class Story:
    """A clean history of one 1.6 and one 2.0.1 transaction, to be doctored. The CSMS's times are its orders x 10 s."""

    def __init__(self) -> None:
        self.stations: list[StationRecord] = []
        self.arrivals: list[Arrival] = []
        self.answers: dict[int, Answered] = {}
        self.ends: list[CsmsRecord] = []
        self.rows = [
            LedgerTransaction(1, "A", 1, "501", "ended", STAMP.format(1), 100),
            LedgerTransaction(2, "B", 1, "tx-b", "ended", STAMP.format(1), None),
        ]
        self.unknown: set[tuple[str, str]] = set()
        meter = {"timestamp": STAMP.format(2), "sampledValue": [{"value": "150.0"}]}
        start = {"connectorId": 1, "idTag": "T", "meterStart": 100, "timestamp": STAMP.format(1)}
        self._send_16(1, "Started", "StartTransaction", start, {"transactionId": 501})
        self._send_16(2, "Updated", "MeterValues", {"connectorId": 1, "meterValue": [meter]}, {})
        self._send_16(3, "Ended", "StopTransaction", {"meterStop": 200, "timestamp": STAMP.format(3)}, {})
        for number, kind in enumerate(("Started", "Updated", "Ended"), start=1):
            event: dict[str, Any] = {
                "eventType": kind,
                "timestamp": STAMP.format(number),
                "seqNo": number - 1,
                "transactionInfo": {"transactionId": "tx-b"},
                "meterValue": [{"timestamp": STAMP.format(number), "sampledValue": [{"value": 150.5}]}],
            }
            text = json.dumps(event)
            self._both(Created("B", number, "tx-b", "2.0.1", kind, "TransactionEvent", text, 0.0), event, {})

    def _send_16(self, number: int, kind: str, action: str, payload: dict[str, Any], answer: dict[str, Any]) -> None:
        arriving = payload if kind == "Started" else {**payload, "transactionId": 501}
        created = Created("A", number, "tx-a", "1.6", kind, action, json.dumps(payload), 0.0)
        self._both(created, arriving, answer)

    def _both(self, created: Created, arriving: dict[str, Any], answer: dict[str, Any]) -> None:
        station, number, text = created.station, created.number, json.dumps(answer)
        self.stations += [created, Acknowledged(station, number, f"s{number}", text, 0.0)]
        order = len(self.arrivals) + 1
        payload = json.dumps(arriving)
        self.arrivals.append(
            Arrival(order, station, 1, created.version, f"m{order}", created.action, payload, order * 10.0)
        )
        self.answers[order] = Answered(order, "sent", text, order * 10.0)

    def repeat(self, order: int, answer: dict[str, Any] | None = None) -> None:
        """The message that came as number `order` comes once more, last of all."""
        again = replace(self.arrivals[order - 1], order=len(self.arrivals) + 1, at=900.0)
        self.arrivals.append(again)
        text = self.answers[order].answer if answer is None else json.dumps(answer)
        self.answers[again.order] = Answered(again.order, "sent", text, 900.0)

    def lose_answer(self, order: int, outcome: str = "lose") -> None:
        self.answers[order] = replace(self.answers[order], outcome=outcome)

    def drop(self, order: int) -> None:
        self.arrivals = [arrival for arrival in self.arrivals if arrival.order != order]

    def alter(self, order: int, **members: Any) -> None:
        arrival = self.arrivals[order - 1]
        payload = {**json.loads(arrival.payload), **members}
        self.arrivals[order - 1] = replace(arrival, payload=json.dumps(payload))

    def check(self) -> Report:
        csms = [*self.arrivals, *self.answers.values(), *self.ends]
        return check(self.stations, Ledger(tuple(self.rows), frozenset(self.unknown)), csms)


@pytest.fixture
def story() -> Story:
    return Story()


def counts(report: Report) -> tuple[int, int, int, int, int]:
    return report.lost, report.duplicated, report.out_of_order, report.repeated, report.lost_answers


def test_a_clean_history_passes(story: Story) -> None:
    report = story.check()
    assert report.is_clean, report.findings
    assert counts(report) == (0, 0, 0, 0, 0)
    assert (report.transactions, report.messages, report.acknowledged, report.arrivals) == (2, 6, 6, 6)
    assert report.ledger_transactions == 2


@pytest.mark.parametrize("order", range(1, 7))
def test_one_lost_message_is_found(story: Story, order: int) -> None:
    if order == 1:
        # Without its Start the CSMS could not have known the id of the others.
        story.arrivals = [a for a in story.arrivals if a.station == "B"]
    else:
        story.drop(order)
    report = story.check()
    assert report.lost == (3 if order == 1 else 1)
    assert not report.is_clean


def test_a_message_never_acknowledged_may_be_missing(story: Story) -> None:
    story.drop(6)
    story.stations.pop()
    assert story.check().is_clean


def test_a_refused_message_is_not_held(story: Story) -> None:
    story.lose_answer(6, "refused")
    assert story.check().lost == 1


@pytest.mark.parametrize("order", range(1, 7))
def test_one_doubled_message_is_found(story: Story, order: int) -> None:
    story.repeat(order)
    story.unknown.add((story.arrivals[order - 1].station, f"m{order}"))
    report = story.check()
    assert counts(report) == (0, 1, 0, 1, 0)
    assert "without a lost answer" in report.findings[0]


@pytest.mark.parametrize("outcome", ["lose", "silent"])
@pytest.mark.parametrize("order", range(1, 7))
def test_a_listed_repeat_after_a_lost_answer_passes(story: Story, order: int, outcome: str) -> None:
    story.lose_answer(order, outcome)
    story.repeat(order)
    story.unknown.add((story.arrivals[order - 1].station, f"m{order}"))
    report = story.check()
    assert report.is_clean, report.findings
    assert counts(report) == (0, 0, 0, 1, 1)


@pytest.mark.parametrize(("order", "is_listed_needed"), [(1, True), (2, False), (3, True), (5, False), (6, True)])
def test_an_unlisted_repeat_is_found(story: Story, order: int, is_listed_needed: bool) -> None:
    story.lose_answer(order)
    story.repeat(order)
    report = story.check()
    assert (report.unlisted_repeats, report.duplicated) == ((1, 1) if is_listed_needed else (0, 0))
    assert report.is_clean is not is_listed_needed


@pytest.mark.parametrize("late_s", [0.5, 1.9])
def test_an_answer_just_before_a_cut_or_a_kill_counts_as_lost(story: Story, late_s: float) -> None:
    story.repeat(6)
    story.unknown.add(("B", "m6"))
    for end in (Closed(1, cut=True, at=60.0 + late_s), Killed(60.0 + late_s)):
        story.ends = [end]
        report = story.check()
        assert report.is_clean, report.findings
        assert (report.repeated, report.lost_answers) == (1, 1)


@pytest.mark.parametrize("end", [Closed(1, True, 62.1), Killed(62.1), Killed(59.9), Closed(1, False, 60.5)])
def test_an_answer_long_before_a_cut_or_after_it_is_not_lost(story: Story, end: CsmsRecord) -> None:
    story.repeat(6)
    story.unknown.add(("B", "m6"))
    story.ends = [end]
    assert story.check().duplicated == 1


def test_a_message_the_csms_never_answered_has_a_lost_answer(story: Story) -> None:
    del story.answers[6]
    story.repeat(5)
    report = story.check()
    assert (report.lost_answers, report.duplicated) == (1, 1)


@pytest.mark.parametrize(("first", "second"), [(2, 3), (4, 5), (5, 6), (4, 6)])
def test_swapped_messages_are_found(story: Story, first: int, second: int) -> None:
    one, two = story.arrivals[first - 1], story.arrivals[second - 1]
    story.arrivals[first - 1] = replace(one, order=two.order)
    story.arrivals[second - 1] = replace(two, order=one.order)
    report = story.check()
    assert report.out_of_order >= 1
    assert (report.lost, report.duplicated) == (0, 0)


def test_transactions_may_mix(story: Story) -> None:
    orders = {1: 2, 2: 4, 3: 6, 4: 1, 5: 3, 6: 5}
    story.arrivals = [replace(a, order=orders[a.order]) for a in story.arrivals]
    story.answers = {orders[o]: replace(a, order=orders[o]) for o, a in story.answers.items()}
    assert story.check().is_clean


@pytest.mark.parametrize(
    ("order", "members"),
    [
        (2, {"connectorId": 2}),
        (3, {"meterStop": 201}),
        (3, {"meterStop": 200.0}),
        (3, {"reason": "DeAuthorized"}),
        (4, {"seqNo": 0.0}),
        (5, {"eventType": "Ended"}),
        (5, {"offline": False}),
        (6, {"timestamp": STAMP.format(4)}),
        (6, {"meterValue": [{"timestamp": STAMP.format(3), "sampledValue": [{"value": 150.50000000000001}, {}]}]}),
    ],
)
def test_an_altered_message_counts_as_lost(story: Story, order: int, members: dict[str, Any]) -> None:
    story.alter(order, **members)
    report = story.check()
    assert report.lost == 1
    assert len(report.findings) == 2


def test_an_altered_start_is_named(story: Story) -> None:
    story.alter(1, meterStart=101)
    report = story.check()
    assert report.lost == 3, "nothing told under its id has an owner"
    assert "arrived altered" in report.findings[0]


def test_numbers_are_compared_as_written(story: Story) -> None:
    arrival = story.arrivals[4]
    story.arrivals[4] = replace(arrival, payload=arrival.payload.replace("150.5", "150.50"))
    assert story.check().lost == 1


def test_the_order_of_members_does_not_matter(story: Story) -> None:
    payload = json.loads(story.arrivals[4].payload)
    story.arrivals[4] = replace(story.arrivals[4], payload=json.dumps(dict(reversed(payload.items())), indent=1))
    assert story.check().is_clean


def test_offline_may_become_true_on_the_way(story: Story) -> None:
    story.alter(5, offline=True)
    story.alter(6, offline=True)
    assert story.check().is_clean


def test_offline_may_not_become_false_on_the_way(story: Story) -> None:
    created = next(
        i for i, r in enumerate(story.stations) if isinstance(r, Created) and (r.station, r.number) == ("B", 2)
    )
    message = story.stations[created]
    assert isinstance(message, Created)
    payload = json.dumps({**json.loads(message.payload), "offline": True})
    story.stations[created] = replace(message, payload=payload)
    assert story.check().lost == 1


def test_a_session_ended_by_a_late_verdict_is_told_as_deauthorized(story: Story) -> None:
    story.alter(3, reason="DeAuthorized")
    story.alter(6, transactionInfo={"transactionId": "tx-b", "stoppedReason": "DeAuthorized"})
    assert story.check().lost == 2
    story.rows = [replace(row, deauthorized=1) for row in story.rows]
    assert story.check().is_clean


def test_an_unknown_transaction_id_is_found(story: Story) -> None:
    story.alter(2, transactionId=999)
    report = story.check()
    assert report.lost == 1
    assert "unknown transactionId" in report.findings[0]


def test_an_id_of_another_station_is_found(story: Story) -> None:
    story.arrivals[1] = replace(story.arrivals[1], station="B")
    assert "unknown transactionId" in story.check().findings[0]


def test_a_repeated_start_has_two_ids_and_either_will_do_but_not_both(story: Story) -> None:
    story.repeat(1, {"transactionId": 502})
    story.unknown.add(("A", "m1"))
    # The other of the two was the first of all, and its answer was lost.
    story.arrivals[-1] = replace(story.arrivals[-1], order=0)
    story.answers[0] = replace(story.answers.pop(7), order=0, outcome="lose")
    assert story.check().is_clean
    story.alter(2, transactionId=502)
    assert "several ids" in story.check().findings[0]
    story.alter(3, transactionId=502)
    assert story.check().is_clean


def test_a_message_no_station_sent_is_found(story: Story) -> None:
    story.stations = [r for r in story.stations if (r.station, r.number) != ("B", 3)]
    assert "no station sent this" in story.check().findings[0]


def test_a_transaction_without_a_ledger_row_is_lost(story: Story) -> None:
    for index in (0, 1):
        rows = list(story.rows)
        del rows[index]
        report = check(story.stations, Ledger(tuple(rows)), [*story.arrivals, *story.answers.values()])
        assert report.lost == 1


def test_a_transaction_with_two_ledger_rows_is_duplicated(story: Story) -> None:
    for row in list(story.rows):
        rows = (*story.rows, replace(row, key=9))
        report = check(story.stations, Ledger(rows), [*story.arrivals, *story.answers.values()])
        assert report.duplicated == 1


@pytest.mark.parametrize(
    "change", [{"state": "running"}, {"station_tx_id": "502"}, {"station": "C"}, {"meter_start_wh": 1}]
)
def test_a_ledger_that_disagrees_is_found(story: Story, change: dict[str, Any]) -> None:
    story.rows[0] = replace(story.rows[0], **change)
    assert not story.check().is_clean


def test_without_a_ledger_its_questions_are_left_out(story: Story) -> None:
    story.lose_answer(1)
    story.repeat(1)
    assert check(story.stations, None, [*story.arrivals, *story.answers.values()]).is_clean


def test_the_ledger_is_read_from_the_gateways_database(tmp_path: Path) -> None:
    path = tmp_path / "gateway #1.db"
    with sqlite3.connect(path) as database:
        database.execute(
            'CREATE TABLE "transaction" (key INTEGER PRIMARY KEY, station, evse, station_tx_id, state, started,'
            " meter_start_wh, deauthorized)"
        )
        database.execute("CREATE TABLE unknown_outcome (row INTEGER PRIMARY KEY, station, message_id)")
        database.execute("INSERT INTO \"transaction\" VALUES (1, 'A', 2, '77', 'ended', 'then', 5, 1)")
        database.execute("INSERT INTO unknown_outcome VALUES (1, 'A', 'm1')")
    database.close()
    ledger = read_ledger(path)
    assert ledger.transactions == (LedgerTransaction(1, "A", 2, "77", "ended", "then", 5, 1),)
    assert ledger.unknown == {("A", "m1")}


def test_a_missing_database_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        read_ledger(tmp_path / "none.db")
