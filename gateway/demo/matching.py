"""Which message of which station is it that the CSMS holds? The first half of the history checker."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gateway.demo.history import LOST_ANSWER_WINDOW_S, Answered, Arrival, Closed, Created, CsmsRecord, Killed

Key = tuple[str, int]
"""A message: station and its number there."""


@dataclass(frozen=True, slots=True)
class Held:
    """A message the CSMS holds; `is_lost`: its answer may not have been read."""

    arrival: Arrival
    answer: str | None
    is_lost: bool


def held_messages(csms: Iterable[CsmsRecord]) -> list[Held]:
    """In order of arrival; what was refused with a CALLERROR is not held."""
    records = list(csms)
    answers = {r.order: r for r in records if isinstance(r, Answered)}
    cuts = {r.connection: r.at for r in records if isinstance(r, Closed) and r.cut}
    kills = [r.at for r in records if isinstance(r, Killed)]
    held = []
    for arrival in sorted((r for r in records if isinstance(r, Arrival)), key=lambda r: r.order):
        answer = answers.get(arrival.order)
        if answer is None:
            held.append(Held(arrival, None, is_lost=True))
        elif answer.outcome != "refused":
            ends = [*kills, *([cuts[arrival.connection]] if arrival.connection in cuts else [])]
            is_lost = answer.outcome != "sent" or any(0 <= end - answer.at < LOST_ANSWER_WINDOW_S for end in ends)
            held.append(Held(arrival, answer.answer, is_lost))
    return held


def canonical(payload: dict[str, Any]) -> str:
    """Equal texts mean equal JSON; numbers were parsed by `parse` and compare digit by digit."""
    return json.dumps(payload, sort_keys=True)


def parse(text: str) -> dict[str, Any]:
    """JSON with every number kept as it was written."""
    payload: dict[str, Any] = json.loads(text, parse_int=_literal, parse_float=_literal)
    return payload


def _literal(digits: str) -> dict[str, str]:
    return {"number": digits}


def describe(message: Created) -> str:
    what = f"{message.action} {message.kind}, transaction {message.transaction}"
    return f"{message.station} message {message.number} ({what})"


class Matcher:
    """Finds for each message the CSMS holds the station's message it is; what fits none becomes a finding."""

    def __init__(self, created: dict[Key, Created], deauthorized: set[tuple[str, str]], findings: list[str]) -> None:
        self._created = created
        self._findings = findings
        self._events: dict[tuple[str, str, str], Created] = {}
        self._contents: dict[tuple[str, str | None, str, str], Created] = {}
        self._deauthorized = deauthorized
        self._owners: dict[str, Created] = {}
        self._used: dict[tuple[str, str], set[str]] = defaultdict(set)
        for message in created.values():
            if message.action == "TransactionEvent":
                payload = parse(message.payload)
                key = (message.station, message.transaction, canonical(payload["seqNo"]))
                self._events[key] = message
            else:
                transaction = None if message.action == "StartTransaction" else message.transaction
                for content in self._contents_of(message):
                    self._contents[message.station, transaction, message.action, content] = message

    def match(self, held: list[Held]) -> dict[Key, list[Held]]:
        matched: dict[Key, list[Held]] = defaultdict(list)
        for item in held:
            if item.arrival.action == "StartTransaction":
                message = self._start(item)
            elif item.arrival.action == "TransactionEvent":
                message = self._event(item.arrival)
            else:
                message = self._with_id(item.arrival)
            if message is not None:
                matched[message.station, message.number].append(item)
        for (station, transaction), used in self._used.items():
            if len(used) > 1:
                ids = ", ".join(sorted(used))
                self._findings.append(f"{station} transaction {transaction} was told under several ids: {ids}")
        return matched

    def _contents_of(self, message: Created, *, went_offline: bool = False) -> list[str]:
        """Its content, and for a session the CSMS's late verdict ended also the reason DeAuthorized."""
        payload = parse(message.payload)
        if went_offline:
            payload["offline"] = True
        contents = [canonical(payload)]
        if message.kind == "Ended" and (message.station, message.transaction) in self._deauthorized:
            if message.action == "TransactionEvent":
                payload["transactionInfo"]["stoppedReason"] = "DeAuthorized"
            else:
                payload["reason"] = "DeAuthorized"
            contents.append(canonical(payload))
        return contents

    def _start(self, item: Held) -> Created | None:
        arrival = item.arrival
        payload = parse(arrival.payload)
        message = self._contents.get((arrival.station, None, arrival.action, canonical(payload)))
        if message is None:
            self._stray(arrival, payload)
        elif item.answer is not None:
            self._owners[canonical(parse(item.answer)["transactionId"])] = message
        return message

    def _with_id(self, arrival: Arrival) -> Created | None:
        payload = parse(arrival.payload)
        given = canonical(payload.pop("transactionId", {}))
        owner = self._owners.get(given)
        if owner is None or owner.station != arrival.station:
            self._findings.append(f"{arrival.station} {arrival.action} #{arrival.order}: unknown transactionId {given}")
            return None
        message = self._contents.get((arrival.station, owner.transaction, arrival.action, canonical(payload)))
        if message is None:
            self._stray(arrival, payload)
            return None
        self._used[arrival.station, owner.transaction].add(given)
        return message

    def _event(self, arrival: Arrival) -> Created | None:
        """`offline` may have become true on the way; all else is as the station sent it."""
        payload = parse(arrival.payload)
        transaction = str(payload.get("transactionInfo", {}).get("transactionId"))
        message = self._events.get((arrival.station, transaction, canonical(payload.get("seqNo", {}))))
        if message is None:
            self._stray(arrival, payload)
            return None
        if canonical(payload) in self._contents_of(message, went_offline=payload.get("offline") is True):
            return message
        self._findings.append(f"{describe(message)} arrived altered (#{arrival.order})")
        return None

    def _stray(self, arrival: Arrival, payload: dict[str, Any]) -> None:
        """Say what is wrong with it: altered on the way, told under another transaction's id, or from nobody."""
        plain = canonical(payload)
        for message in self._created.values():
            if message.station != arrival.station or message.action != arrival.action:
                continue
            own = parse(message.payload)
            if plain == canonical(own):
                self._findings.append(f"{describe(message)} arrived under the wrong transactionId (#{arrival.order})")
                return
            if _moment(own) is not None and _moment(own) == _moment(payload):
                self._findings.append(f"{describe(message)} arrived altered (#{arrival.order})")
                return
        self._findings.append(f"{arrival.station} {arrival.action} #{arrival.order}: no station sent this")


def _moment(payload: dict[str, Any]) -> object:
    """The timestamp of a message: stations never use one twice."""
    values = payload.get("meterValue") or [{}]
    return payload.get("timestamp") or values[0].get("timestamp")
