"""What a session says in either version: kind, moment and energy, as its station and its CSMS have it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from tests.peers.ocpp_rpc_rig import Fleet

Message = dict[str, Any]
Step = tuple[str, str, Decimal]
"""Kind, moment and energy in Wh: what both versions have to say of a session."""

KINDS = {"StartTransaction": "Started", "MeterValues": "Updated", "StopTransaction": "Ended"}


def _step(action: str, payload: Message) -> Step | None:
    """What a message says of a session; None if it only says what another one has said, or nothing of energy."""
    kind = payload.get("eventType") or KINDS[action]
    values = payload.get("meterValue", [])
    if action in {"StartTransaction", "StopTransaction"}:
        wh = payload["meterStart"] if action == "StartTransaction" else payload["meterStop"]
        return kind, payload["timestamp"], Decimal(wh)
    if not values:
        return None
    sample = values[0]["sampledValue"][0]
    if kind == "Updated" and sample.get("context") == "Transaction.Begin":
        return None
    wh = Decimal(str(sample["value"]))
    whole = wh if kind == "Updated" else Decimal(int(wh))  # as 1.6 counts
    return kind, values[0]["timestamp"] if kind == "Updated" else payload["timestamp"], whole


def told(session: Message) -> list[Step]:
    steps = (_step(message["action"], message["payload"]) for message in session["messages"])
    return [step for step in steps if step is not None]


def heard(log: list[Message]) -> dict[str, list[list[Step]]]:
    """By station, its sessions as the CSMS got them: a repeat counts once, a number is never left out."""
    steps: dict[tuple[str, Any], list[Step]] = defaultdict(list)
    numbers: dict[tuple[str, Any], list[int]] = defaultdict(list)
    for entry in log:
        payload = entry["params"]
        info = payload.get("transactionInfo") or payload
        given = (entry["answer"] or {}) if entry["action"] == "StartTransaction" else info
        key = (entry["identity"], given.get("transactionId"))
        if "seqNo" in payload and payload["seqNo"] not in numbers[key]:
            numbers[key].append(payload["seqNo"])
        step = _step(entry["action"], payload)
        if key[1] is not None and step is not None and step not in steps[key]:
            steps[key].append(step)
    for key, numbered in numbers.items():
        assert numbered == list(range(len(numbered))), (key, numbered)
    found: dict[str, list[list[Step]]] = defaultdict(list)
    for (identity, _), one in steps.items():
        found[identity].append(one)
    return found


async def compared(fleet: Fleet, log: list[Message]) -> list[str]:
    """What is not alike on both sides."""
    found = heard(log)
    problems = []
    for session in await fleet.sessions():
        if told(session) not in found[session["identity"]]:
            near = [one for one in found[session["identity"]] if set(one) & set(told(session))]
            problems.append(f"{session['identity']}: {told(session)} came as {near}")
    return problems


def placed(log: Iterable[Message], numbers: Mapping[str, int]) -> list[Message]:
    """What a CSMS to which the site is one station logged of transactions, as if every station had its own link."""
    stations = {number: identity for identity, number in numbers.items()}
    entries, of_tx = [entry for entry in log if entry["action"] in {*KINDS, "TransactionEvent"}], {}
    for entry in entries:
        number, answer = number_of(entry["params"]), entry["answer"] or {}
        if begins(entry) and number is not None:
            info = answer if entry["action"] == "StartTransaction" else entry["params"]["transactionInfo"]
            of_tx[info.get("transactionId")] = stations[number]
    found = []
    for entry in entries:
        params = entry["params"]
        tx = (params.get("transactionInfo") or params).get("transactionId")
        number = number_of(params)
        assert number is None or tx is None or stations[number] == of_tx[tx], params
        identity = of_tx.get(tx) if number is None else stations[number]
        found.append(entry | {"identity": identity})
    return found


def number_of(params: Message) -> int | None:
    """The connector or EVSE that a message names."""
    number: int | None = params["evse"]["id"] if "evse" in params else params.get("connectorId")
    return number


def begins(entry: Message) -> bool:
    """Whether a transaction begins with it."""
    kinds = (entry["action"], entry["params"].get("eventType"))
    return "StartTransaction" in kinds or "Started" in kinds
