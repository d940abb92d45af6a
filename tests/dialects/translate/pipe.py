"""The upward translators without a gateway: what the shell does with their values, without waiting or disk."""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gateway.dialects import registry, schema, translate
from gateway.dialects.translate.base import Alias, Facts, Json, Memory, Refused, encode, read

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
Answers = Callable[[str, Json], Json]


def accepting(action: str, payload: Json) -> Json:
    """A CSMS that accepts everything, of either version."""
    if action == "StartTransaction":
        return {"transactionId": 77, "idTagInfo": {"status": "Accepted"}}
    if action == "Authorize":
        return {"idTagInfo" if "idTag" in payload else "idTokenInfo": {"status": "Accepted"}}
    if action == "TransactionEvent" and "idToken" in payload:
        return {"idTokenInfo": {"status": "Accepted"}}
    if action == "BootNotification":
        return {"status": "Accepted", "currentTime": "2026-03-01T08:00:00Z", "interval": 300}
    return {}


@dataclass
class Pipe:
    """One station. `sent`: what the CSMS got; everything that comes out must fit its schema."""

    station: str
    csms: str
    answers: Answers = accepting
    memory: Memory = field(default_factory=Memory)
    aliases: dict[str, Alias] = field(default_factory=dict)
    sent: list[tuple[str, Json]] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    _calls: int = 0

    def say(self, action: str, payload: Any, *, is_offline: bool = False) -> Json:
        """The station says this; the answer it gets. Raises CallError where it is refused."""
        pair = translate.between(registry.by_name(self.station), registry.by_name(self.csms))
        assert pair is not None
        self._calls += 1
        message_id = str(uuid.uuid5(uuid.NAMESPACE_URL, str(self._calls)))
        found = read(payload if isinstance(payload, bytes) else json.dumps(payload).encode())
        up = pair.up.up[action](found, self._facts(message_id, is_offline=is_offline))
        if isinstance(up, Refused):
            raise up.error()
        self.losses += up.losses
        self._learn(up.aliases)
        self.memory = up.remember(self.memory) if up.remember else self.memory
        heard: list[tuple[str, Json]] = []
        for part in up.parts:
            wire = read(encode(part.payload))
            if part.needs:
                wire["transactionId"] = int(self.memory.transactions[part.needs].csms_id)
            problems = schema.validate(self.csms, part.action, "request", encode(wire))
            assert problems == [], (part.action, wire, problems)
            self.sent.append((part.action, wire))
            answer = self.answers(part.action, wire)
            edit = pair.up.heard(part.action, answer, up.tx, self.memory)
            assert not isinstance(edit, Refused)
            self.memory = edit(self.memory) if edit else self.memory
            heard.append((part.action, answer))
        finished = pair.up.finish(action, up.answer, heard, up.tx, self._facts(message_id))
        self._learn(finished.aliases)
        problems = schema.validate(self.station, action, "response", encode(finished.payload))
        assert problems == [] or (action == "BootNotification" and not heard), (action, finished.payload, problems)
        return finished.payload

    def _facts(self, message_id: str, *, is_offline: bool = False) -> Facts:
        return Facts(
            memory=self.memory,
            now=NOW,
            station=self.station,
            csms=self.csms,
            aliases=self.aliases,
            message_id=message_id,
            is_offline=is_offline,
        )

    def _learn(self, aliases: tuple[Alias, ...]) -> None:
        self.aliases |= {one.alias.casefold(): one for one in aliases}
