"""Whatever a CSMS asks and a station answers: what leaves a translator is valid, and every command has an answer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects.translate.base import Command, Facts, Json, Outcome
from tests.dialects.translate.command_rig import answer, commands, error, facts_for, run
from tests.dialects.translate.schema_strategies import payloads

_CODES = ("NotImplemented", "NotSupported", "GenericError", "OccurenceConstraintViolation", "MadeUp")


def _outcome(data: st.DataObject, facts: Facts, command: Command) -> Outcome:
    if data.draw(st.integers(0, 4)) == 0:
        return error(data.draw(st.sampled_from(_CODES)))
    payload: Json = data.draw(payloads(facts.station, command.action, "response"))
    if command.collects is None:
        return answer(payload)
    return answer(payload, tuple(data.draw(st.lists(payloads(facts.station, command.collects, "request"), max_size=2))))


@pytest.mark.parametrize("station", ["1.6", "2.0.1"])
@settings(max_examples=120)
@given(data=st.data())
def test_every_valid_command_has_a_valid_answer(station: str, data: st.DataObject) -> None:
    facts = facts_for(station, busy=data.draw(st.booleans()))
    action = data.draw(st.sampled_from(sorted(commands(station))))
    payload = data.draw(payloads(facts.csms, action, "request"))
    run(action, payload, facts, lambda command: _outcome(data, facts, command))
