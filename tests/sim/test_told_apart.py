"""The judge of a site that is one station, on doctored histories: each harm is found, and a clean history passes."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.demo.checker import Report, check
from gateway.demo.history import Acknowledged, Answered, Arrival, Created, CsmsRecord, StationRecord
from tests.sim.told_apart import told_apart
from tests.sim.translated import told_again

STAMP = "2026-01-01T10:00:0{}.000Z"
PLACES = {1: ("A", 1), 2: ("B", 1), 3: ("B", 2)}
"""Station B charges at its second EVSE, which is number 3."""


class Story:
    """Two stations, each with a transaction at the same moments, behind a CSMS of `csms`."""

    def __init__(self, csms: str, versions: tuple[str, str]) -> None:
        self.csms = csms
        self.stations: list[StationRecord] = []
        self.arrivals: list[Arrival] = []
        self.answers: list[Answered] = []
        for moment, kind in enumerate(("Started", "Updated", "Ended")):
            for station, version, number in (("A", versions[0], 1), ("B", versions[1], 3)):
                self._say(station, version, number, moment, kind)

    def _say(self, station: str, version: str, number: int, moment: int, kind: str) -> None:
        action, payload = _message(version, kind, moment, f"{station}-own", PLACES[number][1])
        said = json.dumps({name: value for name, value in payload.items() if name != "transactionId"})
        self.stations += [
            Created(station, moment + 1, f"{station}-own", version, kind, action, said, 0.0),
            Acknowledged(station, moment + 1, f"s{moment}", "{}", 0.0),
        ]
        order = len(self.arrivals) + 1
        given = f"up-{station}" if self.csms == "2.0.1" else 500 + number
        action, payload = _message(self.csms, kind, moment, given, number)
        text = json.dumps(payload).replace("16.50", "16.5")
        self.arrivals.append(Arrival(order, "SITE", 1, self.csms, f"m{order}", action, text, order * 10.0))
        answer = {"transactionId": given} if action == "StartTransaction" else {}
        self.answers.append(Answered(order, "sent", json.dumps(answer), order * 10.0))

    def change(self, at: int, change: Callable[[Any], None]) -> None:
        payload = json.loads(self.arrivals[at].payload)
        change(payload)
        self.arrivals[at] = replace(self.arrivals[at], payload=json.dumps(payload))

    def judged(self) -> Report:
        findings: list[str] = []
        created = [one for one in self.stations if isinstance(one, Created)]
        records: list[CsmsRecord] = [*self.arrivals, *self.answers]
        apart = told_apart(created, records, "SITE", PLACES, findings)
        report = check(self.stations, None, told_again(created, apart, findings))
        report.findings += findings
        return report


def _message(version: str, kind: str, moment: int, transaction: Any, number: int) -> tuple[str, dict[str, Any]]:
    """A message at the n-th second, energy 100 Wh a second: as its author says it, to whoever."""
    at, wh = STAMP.format(moment), 100 * moment
    if version == "2.0.1":
        event: dict[str, Any] = {"eventType": kind, "timestamp": at, "triggerReason": "MeterValuePeriodic"}
        event |= {"seqNo": moment, "transactionInfo": {"transactionId": transaction}}
        event["meterValue"] = [{"timestamp": at, "sampledValue": [{"value": float(wh)}]}]
        if kind == "Started":
            event |= {"evse": {"id": number, "connectorId": 1}, "idToken": {"idToken": "T", "type": "ISO14443"}}
        if kind == "Ended":
            event["transactionInfo"]["stoppedReason"] = "Local"
        return "TransactionEvent", event
    if kind == "Started":
        return "StartTransaction", {"connectorId": number, "idTag": "T", "meterStart": wh, "timestamp": at}
    if kind == "Ended":
        end = {"transactionId": transaction, "meterStop": wh, "timestamp": at, "reason": "Local"}
        return "StopTransaction", end
    values = [{"timestamp": at, "sampledValue": [{"value": f"{wh}.0"}]}]
    return "MeterValues", {"connectorId": number, "transactionId": transaction, "meterValue": values}


KINDS = [
    pytest.param(csms, versions, id=f"{csms}-{'-'.join(versions)}")
    for csms in ("1.6", "2.0.1")
    for versions in (("1.6", "1.6"), ("2.0.1", "2.0.1"), ("1.6", "2.0.1"))
]


@pytest.mark.parametrize(("csms", "versions"), KINDS)
def test_a_clean_history_passes(csms: str, versions: tuple[str, str]) -> None:
    report = Story(csms, versions).judged()
    assert report.findings == []
    assert report.arrivals == 6


@pytest.mark.parametrize(("csms", "versions"), KINDS)
def test_each_harm_is_found(csms: str, versions: tuple[str, str]) -> None:
    harms: dict[str, tuple[str, Callable[[Story], object]]] = {
        "another station's number": ("", lambda story: story.change(0, _number(3))),
        "a number of nobody": ("no station has the number 9", lambda story: story.change(0, _number(9))),
        "another EVSE of the station": ("", lambda story: story.change(1, _number(2))),
        "another's transaction": ("", lambda story: story.change(4, _transaction(story.csms, "up-B", 503))),
        "nobody's transaction": ("nobody began", lambda story: story.change(4, _transaction(story.csms, "x", 77))),
        "the station's own name": ("not the site's", lambda story: _rename(story, "A")),
        "a lost message": ("does not hold it", lambda story: story.arrivals.pop()),
        "two in the wrong order": ("arrived before", _swap),
    }
    for name, (words, harm) in harms.items():
        story = Story(csms, versions)
        harm(story)
        findings = story.judged().findings
        assert findings, f"{name}: not found"
        assert any(words in one for one in findings), f"{name}: {findings}"


def _number(number: int) -> Callable[[Any], None]:
    def change(payload: Any) -> None:
        if "evse" in payload:
            payload["evse"]["id"] = number
        else:
            payload["connectorId"] = number

    return change


def _transaction(csms: str, event: str, given: int) -> Callable[[Any], None]:
    def change(payload: Any) -> None:
        if csms == "1.6":
            payload["transactionId"] = given
        else:
            payload["transactionInfo"]["transactionId"] = event

    return change


def _rename(story: Story, station: str) -> None:
    story.arrivals[0] = replace(story.arrivals[0], station=station)


def _swap(story: Story) -> None:
    """The update of A and its end."""
    update, end = story.arrivals[2], story.arrivals[4]
    story.arrivals[2] = replace(update, order=end.order)
    story.arrivals[4] = replace(end, order=update.order)
    by_order = {one.order: one for one in story.answers}
    story.answers[2] = replace(by_order[3], order=5)
    story.answers[4] = replace(by_order[5], order=3)
