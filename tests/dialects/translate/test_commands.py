"""The conversations of `commands/`: what goes down for each command, and what its answer becomes."""

import json
import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.dialects import registry
from gateway.dialects.translate.base import Command, Outcome, Refused, encode
from tests.dialects.translate.command_rig import UUID, answer, conversations, error, facts_for, run

FOLDER = Path(__file__).parent / "commands"
STATIONS = ("1.6", "2.0.1")
_LINE = re.compile(r"(csms>|csms<|station<|station>|report>|notes|loss) (.*)")


@dataclass
class Conversation:
    station: str
    title: str
    action: str = ""
    payload: Any = None
    down: list[tuple[str, Any]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    answers: list[tuple[str, Any]] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def is_busy(self) -> bool:
        return not self.title.endswith("idle")

    def take(self, who: str, what: str) -> None:
        what = what.replace("UUID", UUID)
        if who == "loss":
            self.losses += what.split()
        elif who == "notes":
            self.notes = json.loads(what)
        elif who == "station>":
            is_error = what.startswith("error ")
            self.outcomes.append(error(what.removeprefix("error ")) if is_error else answer(json.loads(what)))
        elif who == "report>":
            last = self.outcomes.pop()
            self.outcomes.append(answer(last.payload or {}, (*last.collected, json.loads(what))))
        else:
            action, _, text = what.partition(" ") if not what.startswith("{") else ("", "", what)
            said = (action, text if action == "error" else json.loads(text))
            if who == "csms>":
                self.action, self.payload = said
            else:
                (self.down if who == "station<" else self.answers).append(said)


def _read(station: str) -> list[Conversation]:
    return conversations(FOLDER / f"{station}.txt", _LINE, partial(Conversation, station))


CONVERSATIONS = [one for station in STATIONS for one in _read(station)]


@pytest.mark.parametrize("told", CONVERSATIONS, ids=lambda told: f"{told.station}: {told.title}")
def test_the_conversation_goes_as_it_is_written(told: Conversation) -> None:
    outcomes = iter(told.outcomes)

    def station(command: Command) -> Outcome:
        return next(outcomes, error("NobodyAsked"))

    found = run(told.action, told.payload, facts_for(told.station, busy=told.is_busy, notes=told.notes), station)
    assert [(one.action, _plain(one.payload)) for one in found.sent] == told.down
    if isinstance(found.reply, Refused):
        assert [("error", found.reply.code.value)] == told.answers
        return
    said = [("", found.reply.payload), *((one.action, one.payload) for one in found.reply.then)]
    assert [(action, _plain(payload)) for action, payload in said] == told.answers
    assert list(found.reply.losses) == told.losses
    assert not list(outcomes)


def _plain(payload: Any) -> Any:
    return json.loads(encode(payload))


def test_every_command_has_a_conversation() -> None:
    for station in STATIONS:
        csms = registry.by_name("2.0.1" if station == "1.6" else "1.6")
        assert {one.action for one in CONVERSATIONS if one.station == station} == set(csms.down)
