"""The messages of a station that belong to no transaction, as `notices/` tells them, and any that a schema allows."""

import json
import re
from dataclasses import dataclass, field
from dataclasses import replace as changed
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.dialects import registry
from gateway.dialects.base import Role
from gateway.dialects.translate import Pair, between
from gateway.dialects.translate.base import Refused, encode, read
from gateway.dialects.translate.ups import Up
from tests.dialects.translate.command_rig import UUID, assert_valid, conversations, facts_for
from tests.dialects.translate.schema_strategies import payloads

FOLDER = Path(__file__).parent / "notices"
THERE = {"1.6": "2.0.1", "2.0.1": "1.6"}
TOLD_ELSEWHERE = {Role.TRANSACTION, Role.AUTHORIZE, Role.STATUS}
"""Sessions, tokens and the status of connectors."""

_LINE = re.compile(r"(station>|station<|csms>|csms<|notes|requests|loss) (.*)")


@dataclass
class Notice:
    station: str
    title: str
    action: str = ""
    payload: Any = None
    up: list[tuple[str, Any]] = field(default_factory=list)
    said: list[Any] = field(default_factory=list)
    answer: Any = None
    notes: dict[str, str] = field(default_factory=dict)
    requests: dict[str, int] = field(default_factory=dict)
    losses: list[str] = field(default_factory=list)

    def take(self, who: str, what: str) -> None:
        action, _, text = what.partition(" ")
        if who == "loss":
            self.losses = what.split()
        elif who in ("station>", "csms<"):
            if who == "station>":
                self.action, self.payload = action, json.loads(text)
            else:
                self.up.append((action, json.loads(text)))
        elif who == "csms>":
            self.said.append(json.loads(what))
        else:
            setattr(self, {"station<": "answer"}.get(who, who), json.loads(what))


def _read(station: str) -> list[Notice]:
    return conversations(FOLDER / f"{station}.txt", _LINE, partial(Notice, station))


NOTICES = [one for station in THERE for one in _read(station)]


def _pair(station: str, csms: str) -> Pair:
    pair = between(registry.by_name(station), registry.by_name(csms))
    assert pair is not None
    return pair


@pytest.mark.parametrize("told", NOTICES, ids=lambda told: f"{told.station}: {told.title}")
def test_the_notice_goes_as_it_is_written(told: Notice) -> None:
    pair, csms = _pair(told.station, THERE[told.station]), THERE[told.station]
    facts = facts_for(told.station, busy=False, notes=told.notes)
    facts = changed(facts, memory=replace(facts.memory, requests=told.requests), message_id=UUID)
    assert_valid(told.station, told.action, "request", told.payload)
    up = pair.up.up[told.action](read(encode(told.payload)), facts)
    assert isinstance(up, Up)
    assert [(part.action, json.loads(encode(part.payload))) for part in up.parts] == told.up
    for action, payload in told.up:
        assert_valid(csms, action, "request", payload)
    assert list(up.losses) == told.losses
    said = [
        (part.action, read(encode(told.said[at] if at < len(told.said) else {}))) for at, part in enumerate(up.parts)
    ]
    finished = pair.up.finish(told.action, up.answer, said, up.tx, facts)
    assert json.loads(encode(finished.payload)) == told.answer
    assert_valid(told.station, told.action, "response", finished.payload)


def test_every_notice_is_told() -> None:
    for station, csms in THERE.items():
        told = {one.action for one in NOTICES if one.station == station}
        known = {name for name, rule in registry.by_name(station).up.items() if rule.role not in TOLD_ELSEWHERE}
        assert (known & set(_pair(station, csms).up.up)) - {"MeterValues"} <= told


@pytest.mark.parametrize(("station", "csms"), [("1.6", "2.0.1"), ("2.0.1", "1.6")])
@settings(max_examples=30)
@given(data=st.data())
def test_every_valid_message_goes_up_valid_and_has_a_valid_answer(station: str, csms: str, data: st.DataObject) -> None:
    pair = _pair(station, csms)
    notes = data.draw(st.sampled_from([{}, {"log": "GetLog", "firmware": "SignedUpdateFirmware", "reset": "Soft"}]))
    facts = changed(facts_for(station, csms, busy=data.draw(st.booleans()), notes=notes), message_id=UUID[::-1])
    action = data.draw(st.sampled_from(sorted(pair.up.up)))
    payload = data.draw(payloads(station, action, "request"))
    up = pair.up.up[action](read(encode(payload)), facts)
    if isinstance(up, Refused):
        return
    said = []
    for part in up.parts:
        assert_valid(csms, part.action, "request", part.payload)
        said.append((part.action, read(encode(data.draw(payloads(csms, part.action, "response"))))))
    memory = up.remember(facts.memory) if up.remember else facts.memory
    finished = pair.up.finish(action, up.answer, said, up.tx, changed(facts, memory=memory))
    assert_valid(station, action, "response", finished.payload)
