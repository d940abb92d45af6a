"""Judges a site whose CSMS speaks another version than its stations, without the gateway's own tables.

What the CSMS holds is told again in the stations' words: which message of a station an arrival is follows from the
moment it is about, which no station uses twice, and its energy, token and reason must be that message's. Then the
history checker judges as always. Beside that: seqNo without a gap, a repeat is the same bytes, all fits the schemas.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from gateway.demo.history import Answered, Arrival, Created, CsmsRecord
from gateway.dialects import schema

_REGISTER = "Energy.Active.Import.Register"
_SAME_REASON = {"Local", "Remote", "DeAuthorized"}
Found = dict[tuple[str, str, str], Created]


def told_again(created: Iterable[Created], csms: Iterable[CsmsRecord], findings: list[str]) -> list[CsmsRecord]:
    """The CSMS's records in the stations' version; what is wrong goes to `findings`."""
    teller = _Teller(created, csms, findings)
    return teller.tell()


class _Teller:
    def __init__(self, created: Iterable[Created], csms: Iterable[CsmsRecord], findings: list[str]) -> None:
        self._found: Found = {(one.station, one.kind, _moment(json.loads(one.payload))): one for one in created}
        self._versions = {one.station: one.version for one in self._found.values()}
        self._records = list(csms)
        self._findings = findings
        self._answers = {one.order: one for one in self._records if isinstance(one, Answered)}
        self._events: dict[tuple[str, str], dict[int, Arrival]] = defaultdict(dict)
        self._numbers: dict[tuple[str, int], int] = {}
        """seqNo by station and place in the station's order."""
        self._begun: dict[tuple[str, Any], Created] = {}

    def tell(self) -> list[CsmsRecord]:
        told: list[CsmsRecord] = []
        for record in self._records:
            if not isinstance(record, Arrival) or record.version == self._versions.get(record.station):
                told.append(record)
                continue
            for problem in schema.validate(record.version, record.action, "request", record.payload.encode()):
                self._findings.append(f"{record.station} #{record.order} {record.action}: {problem}")
            answer = self._answers.get(record.order)
            if answer is not None and answer.outcome == "refused":
                if record.action == "TransactionEvent":  # its number was said all the same
                    number = json.loads(record.payload)["seqNo"]
                    self._events[record.station, _uuid(record)].setdefault(number, record)
                continue
            one = self._event(record) if record.action == "TransactionEvent" else self._message(record)
            if one is not None:
                told.append(one)
        for (station, transaction), events in self._events.items():
            if sorted(events) != list(range(len(events))):
                self._findings.append(f"{station} {transaction}: seqNos are {sorted(events)}")
        return [self._told_answer(one) if isinstance(one, Answered) else one for one in told]

    def _wrong(self, arrival: Arrival, what: str) -> None:
        self._findings.append(f"{arrival.station} #{arrival.order} {arrival.action}: {what}: {arrival.payload[:300]}")

    def _told_answer(self, answer: Answered) -> Answered:
        """The answer to a 1.6 Start names the transaction: here by what the events call it."""
        arrival = next((one for one in self._records if isinstance(one, Arrival) and one.order == answer.order), None)
        if arrival is None or arrival.action != "TransactionEvent" or self._versions.get(arrival.station) != "1.6":
            return answer
        return replace(answer, answer=json.dumps({"transactionId": _uuid(arrival)}))

    # -- a station of 1.6 ----------------------------------------------------------------------------------------------

    def _event(self, arrival: Arrival) -> Arrival | None:
        payload = json.loads(arrival.payload, parse_float=Decimal)
        transaction, number = _uuid(arrival), payload["seqNo"]
        same = self._events[arrival.station, transaction].setdefault(number, arrival)
        if (same.payload, same.message_id) != (arrival.payload, arrival.message_id):
            self._wrong(arrival, f"seqNo {number} is said twice, differently")
        if number < max(self._events[arrival.station, transaction]) and same is arrival:
            self._wrong(arrival, "a seqNo after a higher one")
        if payload["triggerReason"] == "ChargingStateChanged":
            return None
        message = self._found.get((arrival.station, payload["eventType"], _moment(payload)))
        if message is None:
            self._wrong(arrival, "no station sent this")
            return None
        if self._numbers.setdefault((arrival.station, message.number), number) != number:
            self._wrong(arrival, "the same message under another seqNo")
        said = json.loads(message.payload, parse_float=Decimal)
        if message.kind == "Started":
            self._begun.setdefault((arrival.station, transaction), message)
            if payload["idToken"]["idToken"] != said["idTag"]:
                self._wrong(arrival, "another token")
        begun = self._begun.get((arrival.station, transaction))
        if begun is None or begun.transaction != message.transaction:
            self._wrong(arrival, "under another transaction")
        self._see_evse(arrival, payload, begun)
        energy = {"Started": "meterStart", "Ended": "meterStop"}.get(message.kind)
        wh = said[energy] if energy else said["meterValue"][0]["sampledValue"][0]["value"]
        if _wh(payload) != Decimal(wh):
            self._wrong(arrival, f"not {wh} Wh")
        if message.kind == "Ended":
            said["reason"] = _reason(payload["transactionInfo"].get("stoppedReason"), said["reason"])
        told = {**said, **({} if message.kind == "Started" else {"transactionId": transaction})}
        return replace(arrival, version="1.6", action=message.action, payload=json.dumps(told, default=str))

    # -- a station of 2.0.1 --------------------------------------------------------------------------------------------

    def _message(self, arrival: Arrival) -> Arrival | None:
        payload = json.loads(arrival.payload, parse_float=Decimal)
        kind = {"StartTransaction": "Started", "StopTransaction": "Ended"}.get(arrival.action, "Updated")
        message = self._found.get((arrival.station, kind, _moment(payload)))
        if message is None and kind == "Updated" and (arrival.station, "Started", _moment(payload)) in self._found:
            return None  # the register of a Started, said again
        if message is None:
            self._wrong(arrival, "no station sent this")
            return None
        said, begun = json.loads(message.payload), message
        wh = Decimal(str(said["meterValue"][0]["sampledValue"][0]["value"]))
        if kind == "Started":
            answer = self._answers.get(arrival.order)
            if answer is not None and answer.answer is not None:
                self._begun[arrival.station, json.loads(answer.answer)["transactionId"]] = message
            is_same = payload["idTag"] == said["idToken"]["idToken"] and payload["meterStart"] == int(wh)
        else:
            begun = self._begun.get((arrival.station, payload["transactionId"]), message)
            if begun is message or begun.transaction != message.transaction:
                self._wrong(arrival, "under another transaction")
            told = payload["meterStop"] if kind == "Ended" else payload["meterValue"][0]["sampledValue"][0]["value"]
            is_same = Decimal(told) == (int(wh) if kind == "Ended" else wh)
        if not is_same:
            self._wrong(arrival, f"not what the station said: {said}")
        self._see_evse(arrival, payload, begun)
        if kind == "Ended":
            info = said["transactionInfo"]
            info["stoppedReason"] = _reason(payload.get("reason"), info["stoppedReason"])
        return replace(arrival, version="2.0.1", action="TransactionEvent", payload=json.dumps(said))

    def _see_evse(self, arrival: Arrival, payload: dict[str, Any], begun: Created | None) -> None:
        """Where it names an EVSE, it is the one that the transaction began at."""
        if begun is not None and _evse(payload) not in (None, _evse(json.loads(begun.payload))):
            self._wrong(arrival, "at another EVSE")


def _reason(told: str | None, said: str) -> str:
    """The reasons of the storms are spelled alike in both versions."""
    return told if told in _SAME_REASON else f"{told} for {said}"


def _uuid(arrival: Arrival) -> str:
    return str(json.loads(arrival.payload)["transactionInfo"]["transactionId"])


def _moment(payload: dict[str, Any]) -> str:
    values = payload.get("meterValue") or [{}]
    return str(payload.get("timestamp") or values[0].get("timestamp"))


def _evse(payload: dict[str, Any]) -> int | None:
    """The EVSE, in 1.6 the connector."""
    found: int | None = payload["evse"]["id"] if "evse" in payload else payload.get("connectorId")
    return found


def _wh(payload: dict[str, Any]) -> Decimal | None:
    """The register of an event, in Wh."""
    for value in payload.get("meterValue", []):
        for sample in value["sampledValue"]:
            if sample.get("measurand", _REGISTER) == _REGISTER:
                return Decimal(sample["value"])
    return None
