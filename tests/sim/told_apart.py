"""Judges a site that is one station to its CSMS, without the gateway's own code.

What the CSMS holds is told again as if each station had a socket of its own. Whose a message is follows from its
number; a message without one belongs where its transaction began, and a transaction is known by the moment of its
begin, which no station uses twice. Only the ids are changed: all else stays as it came, byte by byte, for the history
checker to compare. Where station and CSMS speak different versions, `tests.sim.translated` goes on from here.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from gateway.demo.history import Answered, Arrival, Created, CsmsRecord

Place = tuple[str, int]
"""A station, and what it calls the EVSE itself."""


@dataclass(frozen=True, slots=True)
class _Transaction:
    station: str
    name: str | None
    """What the station calls it; None: it never began this."""


def told_apart(
    created: Iterable[Created],
    csms: Iterable[CsmsRecord],
    site: str,
    places: Mapping[int, Place],
    findings: list[str],
) -> list[CsmsRecord]:
    """The CSMS's records under the names, EVSEs and transaction ids of stations; what is wrong goes to `findings`.

    `places`: the meaning of the site's numbers. An arrival that is nobody's is left out.
    """
    return _Teller(created, csms, site, places, findings).tell()


class _Teller:
    def __init__(
        self,
        created: Iterable[Created],
        csms: Iterable[CsmsRecord],
        site: str,
        places: Mapping[int, Place],
        findings: list[str],
    ) -> None:
        self._starts = {(one.station, _moment(one.payload)): one for one in created if one.kind == "Started"}
        self._versions = {one.station: one.version for one in self._starts.values()}
        self._records = list(csms)
        self._site = site
        self._places = places
        self._findings = findings
        self._owners: dict[Any, _Transaction] = {}

    def tell(self) -> list[CsmsRecord]:
        answers = {one.order: one for one in self._records if isinstance(one, Answered)}
        for record in self._records:
            if isinstance(record, Arrival):
                self._learn(record, answers.get(record.order))
        told = (self._told(one) if isinstance(one, Arrival) else one for one in self._records)
        return [one for one in told if one is not None]

    def _learn(self, arrival: Arrival, answer: Answered | None) -> None:
        """Which transaction of which station an id is, from the message that began it."""
        payload = json.loads(arrival.payload)
        station, _ = self._places.get(_number(payload) or 0, (None, 0))
        if station is None or payload.get("eventType", "Started") != "Started":
            return
        if arrival.action == "StartTransaction":
            if answer is not None and answer.outcome != "refused" and answer.answer is not None:
                self._own(arrival, json.loads(answer.answer)["transactionId"], station, None)
        elif arrival.action == "TransactionEvent":
            start = self._starts.get((station, _moment(arrival.payload)))
            self._own(arrival, _transaction(payload), station, start.transaction if start else None)

    def _own(self, arrival: Arrival, given: Any, station: str, name: str | None) -> None:
        known = self._owners.setdefault(given, _Transaction(station, name))
        if known != _Transaction(station, name):
            self._wrong(arrival, f"{given} is also a transaction of {known.station}, or another one there")
        others = [one for one, own in self._owners.items() if name is not None and own == known and one != given]
        if others:
            self._wrong(arrival, f"the transaction {name} of {station} is also {others[0]}")

    def _told(self, arrival: Arrival) -> Arrival | None:
        payload = json.loads(arrival.payload)
        number, given = _number(payload), _transaction(payload)
        place = self._places.get(number) if number is not None else None
        owner = self._owners.get(given) if given is not None else None
        wrong = None
        if arrival.station != self._site:
            wrong = "under a name that is not the site's"
        elif number is not None and place is None:
            wrong = f"no station has the number {number}"
        elif place is None and owner is None:
            wrong = f"nobody began transaction {given}"
        elif place is not None and owner is not None and place[0] != owner.station:
            wrong = f"number {number} is of {place[0]}, transaction {given} of {owner.station}"
        if wrong is not None:
            self._wrong(arrival, wrong)
            return None
        return self._placed(arrival, place, owner)

    def _placed(self, arrival: Arrival, place: Place | None, owner: _Transaction | None) -> Arrival:
        station, text = arrival.station, arrival.payload
        if place is not None:
            station = place[0]
            at = ("connectorId",) if "connectorId" in json.loads(text) else ("evse", "id")
            text = _changed(text, at, place[1])
        if owner is not None:
            station = owner.station
            if owner.name is not None and self._versions.get(station) == arrival.version:
                text = _changed(text, ("transactionInfo", "transactionId"), owner.name)
        return replace(arrival, station=station, payload=text)

    def _wrong(self, arrival: Arrival, what: str) -> None:
        self._findings.append(f"{arrival.station} #{arrival.order} {arrival.action}: {what}: {arrival.payload[:300]}")


def _number(payload: Mapping[str, Any]) -> int | None:
    number: int | None = payload["evse"]["id"] if "evse" in payload else payload.get("connectorId")
    return number


def _transaction(payload: Mapping[str, Any]) -> Any:
    return payload["transactionInfo"]["transactionId"] if "transactionInfo" in payload else payload.get("transactionId")


def _moment(payload: str) -> str:
    return str(json.loads(payload)["timestamp"])


def _changed(text: str, at: tuple[str, ...], value: int | str) -> str:
    """The object with another value at this path; every other member as it was written."""
    members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    new = _changed(bytes(members[at[0]]).decode(), at[1:], value) if len(at) > 1 else json.dumps(value)
    return msgspec.json.encode({**members, at[0]: msgspec.Raw(new.encode())}).decode()
