"""Runs a translator of commands against a scripted station, and holds all that leaves it to the schemas."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, TypeVar

from gateway.dialects import schema
from gateway.dialects.translate import down16, down20
from gateway.dialects.translate.base import (
    Alias,
    Command,
    CommandTranslator,
    Facts,
    Json,
    Memory,
    Outcome,
    Place,
    Refused,
    Reply,
    Tx,
    encode,
    read,
)
from gateway.model.token import IdToken
from gateway.rpc.codes import CallError

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
UUID = "3f1c9f5e-6a52-4b9f-9d5c-0d3f6a1e2b7c"
NUMBER = 77

Station = Callable[[Command], Outcome]


def facts_for(
    station: str, csms: str = "", *, busy: bool = True, notes: Mapping[str, str] = MappingProxyType({})
) -> Facts:
    """A station with two connectors; transaction 77 of EVSE 1 runs if it is busy."""
    csms = csms or ("2.0.1" if station == "1.6" else "1.6")
    own, theirs = (str(NUMBER), UUID) if station == "1.6" else (UUID, str(NUMBER))
    tx = Tx(station_id=own, csms_id=theirs, evse=1, token="ABC", is_begun=True)
    numbers = {} if station == "1.6" else {"1/1": 1, "2/1": 2}
    places = {"0/0": Place("Available"), "1/1": Place("Charging" if station == "1.6" else "Occupied")}
    memory = Memory(transactions={own: tx} if busy else {}, places=places, numbers=numbers, notes=dict(notes))
    return Facts(memory, NOW, station, csms, {"gwalias": Alias("GWALIAS", "X" * 30, "eMAID")})


def commands(station: str) -> Mapping[str, CommandTranslator]:
    return down16.COMMANDS if station == "1.6" else down20.COMMANDS


def answer(payload: Json, collected: tuple[Json, ...] = ()) -> Outcome:
    return Outcome(payload, collected=collected)


def error(code: str) -> Outcome:
    return Outcome(None, code, "said the station")


@dataclass
class Run:
    """What one command led to. `memory`: after all edits, in their order."""

    reply: Reply | Refused
    sent: list[Command] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    passwords: list[bytes] = field(default_factory=list)
    forgotten: list[IdToken] = field(default_factory=list)

    @property
    def payload(self) -> Json:
        assert isinstance(self.reply, Reply), self.reply
        return self.reply.payload


def run(action: str, payload: Json, facts: Facts, station: Station) -> Run:
    """Translate a command to its answer. What goes down, what is answered and what follows are valid."""
    found = Run(Reply({}), memory=facts.memory)
    try:
        steps = commands(facts.station)[action](read(encode(payload)), facts)
        command = next(steps)
        while True:
            if command.password is not None:
                found.passwords.append(command.password)
                command = steps.send(answer({"status": "Accepted"}))
                continue
            if command.forgets is not None:
                found.forgotten.append(command.forgets)
                command = steps.send(answer({"status": "Accepted"}))
                continue
            assert_valid(facts.station, command.action, "request", command.payload)
            found.sent.append(command)
            assert len(found.sent) < 200
            found.memory = command.remember(found.memory) if command.remember else found.memory
            command = steps.send(station(command))
    except StopIteration as end:
        found.reply = end.value
    except CallError as refused:
        assert not found.sent, "a command that can't be read went down"
        found.reply = Refused(refused.code, refused.description)  # type: ignore[arg-type]  # always a code of ours
    if isinstance(found.reply, Refused):
        assert "can't be said" not in found.reply.reason, found.reply.reason
    if isinstance(found.reply, Reply):
        assert_valid(facts.csms, action, "response", found.reply.payload)
        for message in found.reply.then:
            assert_valid(facts.csms, message.action, "request", message.payload)
    found.memory = found.reply.remember(found.memory) if found.reply.remember else found.memory
    return found


def assert_valid(version: str, action: str, kind: schema.Kind, payload: Json) -> None:
    problems = schema.validate(version, action, kind, encode(payload))
    assert not problems, f"{action} {kind} of {version}: {problems[0]}: {encode(payload).decode()[:300]}"


class Told(Protocol):
    """What takes the lines of one conversation, as the files tell them."""

    def take(self, who: str, what: str) -> None: ...


T = TypeVar("T", bound=Told)


def conversations(file: Path, line: re.Pattern[str], begin: Callable[[str], T]) -> list[T]:
    """The conversations of a file; `begin` makes one of its title, `line` has who and what."""
    found: list[T] = []
    for text in file.read_text("utf-8").splitlines():
        if text.startswith("== "):
            found.append(begin(text.removeprefix("== ")))
        elif text.strip():
            said = line.fullmatch(text)
            assert said is not None, f"{file.name}: {text}"
            found[-1].take(said[1], said[2])
    return found
