"""Compares what stations sent with what a CSMS received, transaction by transaction.

It reads the logs of the two node peers and knows nothing of the gateway: each message of each transaction must have
arrived, in order, with the content the station gave it. Two things may differ: the 1.6 `transactionId`, which must be
one the CSMS gave in answer to that Start, and the 2.x `offline`, which may have become true. A repeat is allowed only
directly behind its first copy, and only where the CSMS's answer may have been lost. With `marks_offline`, a 2.x event
that was made while the CSMS was cut off must say so.
"""

import dataclasses
import json
from collections import defaultdict
from typing import Any

Message = dict[str, Any]
ANSWER_LOST_MS = 2000
"""An answer written less than this long before its socket was cut counts as lost."""
CUT_SEEN_MS = 1000
"""So long after a cut at the latest a gateway knows of it."""


@dataclasses.dataclass
class Diff:
    """The outcome: `problems` is empty if all arrived; the figures show that there was something to compare."""

    problems: list[str] = dataclasses.field(default_factory=list)
    transactions: int = 0
    messages: int = 0
    repeats: int = 0
    offline: int = 0


def compare(sessions: list[Message], log: list[Message], cuts: list[list[int]], *, marks_offline: bool = False) -> Diff:
    """Compare the fleet's sessions with the CSMS's log; `cuts` are its [began, ended] times in ms since the epoch."""
    diff = Diff(transactions=len(sessions))
    arrived: dict[str, list[Message]] = defaultdict(list)
    for entry in log:
        if _is_of_transaction(entry):
            arrived[entry["identity"]].append(entry)
    claimed: set[int] = set()
    for session in sessions:
        received = _received_of(session, arrived[session["identity"]])
        claimed.update(id(entry) for entry in received)
        _compare_one(session, received, cuts, diff)
        if marks_offline:
            _compare_offline(session, received, cuts, diff)
    for entry in (entry for entries in arrived.values() for entry in entries):
        if id(entry) not in claimed:
            diff.problems.append(f"{entry['identity']}: belongs to no transaction: {_short(entry['params'])}")
    return diff


def _is_of_transaction(entry: Message) -> bool:
    if entry["action"] == "MeterValues":
        return "transactionId" in entry["params"]
    return True


def _received_of(session: Message, arrived: list[Message]) -> list[Message]:
    """The messages of one transaction at the CSMS, in order of arrival."""
    if not session["messages"]:
        return []
    start = session["messages"][0]["payload"]
    if session["messages"][0]["action"] == "TransactionEvent":
        wanted = start["transactionInfo"]["transactionId"]
        return [entry for entry in arrived if _id_2x(entry) == wanted]
    starts = [entry for entry in arrived if entry["action"] == "StartTransaction" and entry["params"] == start]
    given = {entry["answer"]["transactionId"] for entry in starts if entry["answer"] is not None}
    own = {id(entry) for entry in starts}
    received: list[Message] = []
    latest: dict[int, Message] = {}  # a CSMS that was restarted may give an id once more
    for entry in arrived:
        if entry["action"] == "StartTransaction":
            if entry["answer"] is not None:
                latest[entry["answer"]["transactionId"]] = entry
            is_ours = id(entry) in own
        else:
            used = entry["params"].get("transactionId")
            is_ours = id(latest[used]) in own if used in latest else used in given
        if is_ours:
            received.append(entry)
    return received


def _id_2x(entry: Message) -> str | None:
    info = entry["params"].get("transactionInfo", {})
    found: str | None = info.get("transactionId")
    return found


def _compare_one(session: Message, received: list[Message], cuts: list[list[int]], diff: Diff) -> None:
    name = f"{session['identity']} transaction {session['id']}"
    sent = session["messages"]
    diff.messages += len(sent)
    for message in sent:
        if message["answer"] is None:
            diff.problems.append(f"{name}: the station never got an answer: {_short(message['payload'])}")
    expected = [_text(message["action"], message["payload"]) for message in sent]
    got: list[str] = []
    before: Message | None = None
    for entry in received:
        text = _text(entry["action"], entry["params"])
        diff.offline += entry["params"].get("offline") is True
        if before is not None and got[-1] == text:
            diff.repeats += 1
            if not _answer_may_be_lost(before, cuts):
                diff.problems.append(f"{name}: repeated though the answer arrived: {text}")
        else:
            got.append(text)
        before = entry
    if got != expected:
        diff.problems.append(f"{name}: {_difference(expected, got)}")


def _compare_offline(session: Message, received: list[Message], cuts: list[list[int]], diff: Diff) -> None:
    marked = {entry["params"].get("seqNo"): entry["params"].get("offline") is True for entry in received}
    for message in session["messages"]:
        made = message["at_ms"]
        cut_off = any(began + CUT_SEEN_MS < made < ended for began, ended in cuts if ended is not None)
        if message["action"] == "TransactionEvent" and cut_off and marked.get(message["payload"]["seqNo"]) is False:
            name = f"{session['identity']} transaction {session['id']}"
            diff.problems.append(f"{name}: made during the outage, not marked offline: {_short(message['payload'])}")


def _text(action: str, payload: Message) -> str:
    """The content with order of members, without what may differ."""
    shown = dict(payload)
    if action in ("MeterValues", "StopTransaction"):
        shown["transactionId"] = "(mapped)"
    if action == "TransactionEvent" and shown.get("offline") is True:
        del shown["offline"]
    return f"{action} {json.dumps(shown)}"


def _answer_may_be_lost(entry: Message, cuts: list[list[int]]) -> bool:
    if entry["answered_at_ms"] is None:
        return True
    return any(0 <= began - entry["answered_at_ms"] < ANSWER_LOST_MS for began, _ in cuts)


def _difference(expected: list[str], got: list[str]) -> str:
    missing = [text for text in expected if text not in got]
    added = [text for text in got if text not in expected]
    if missing or added:
        return f"sent but not arrived: {_shorts(missing)}; arrived but not sent so: {_shorts(added)}"
    order = [expected.index(text) for text in got]
    return f"out of order: messages arrived as {order}"


def _shorts(texts: list[str]) -> str:
    return f"{len(texts)} {[text[:300] for text in texts[:3]]}"


def _short(payload: Message) -> str:
    return json.dumps(payload)[:300]
