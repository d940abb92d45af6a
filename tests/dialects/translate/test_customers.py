"""CustomerInformation about a customer of a 1.6 station: what is told of it, and what is forgotten."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from gateway.dialects.translate.base import Facts, Reply
from gateway.dialects.translate.tokens import alias_of
from gateway.model.token import IdToken
from tests.dialects.translate.command_rig import Run, facts_for, run

LONG = "0123456789012345678901234"


class _Keeps:
    def __init__(self, *lines: str) -> None:
        self._lines = lines
        self.asked: list[IdToken] = []

    def profiles(self) -> None:
        return None

    def customer(self, token: IdToken) -> Sequence[str]:
        self.asked.append(token)
        return self._lines


def _facts(keeps: _Keeps) -> Facts:
    return replace(facts_for("1.6"), keeper=keeps)


def _run(keeps: _Keeps, **asked: Any) -> Run:
    payload = {"requestId": 3, "report": False, "clear": False, **asked}
    return run("CustomerInformation", payload, _facts(keeps), lambda command: pytest.fail("it went down"))


@pytest.mark.parametrize(
    ("token", "known_as"),
    [
        ({"idToken": "Abc", "type": "Central"}, "Abc"),
        ({"idToken": "1234", "type": "KeyCode"}, "1234"),
        ({"idToken": LONG, "type": "eMAID"}, alias_of(LONG, "eMAID").alias),
    ],
)
def test_the_customer_is_who_the_station_knows_by_that_token(token: Any, known_as: str) -> None:
    keeps = _Keeps("line")
    found = _run(keeps, report=True, clear=True, idToken=token)
    assert keeps.asked == found.forgotten == [IdToken(known_as)]


def test_a_long_report_comes_in_parts_and_is_whole() -> None:
    lines = [f"session {number} ä€" for number in range(200)]
    reply = _run(_Keeps(*lines), report=True, idToken={"idToken": "A", "type": "Central"}).reply
    assert isinstance(reply, Reply)
    parts: list[Any] = [message.payload for message in reply.then]
    assert [part["seqNo"] for part in parts] == list(range(len(parts)))
    assert [part["tbc"] for part in parts] == [True] * (len(parts) - 1) + [False]
    assert len(parts) > 4
    assert "".join(part["data"] for part in parts).splitlines()[:-1] == lines


def test_what_is_only_cleared_is_not_told_and_what_is_only_told_is_not_cleared() -> None:
    token = {"idToken": "A", "type": "Central"}
    cleared, told = _run(_Keeps("x"), clear=True, idToken=token), _run(_Keeps("x"), report=True, idToken=token)
    assert isinstance(cleared.reply, Reply)
    assert (cleared.reply.then, cleared.forgotten) == ((), [IdToken("A")])
    assert isinstance(told.reply, Reply)
    assert told.reply.then
    assert not told.forgotten
