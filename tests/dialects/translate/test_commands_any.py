"""Whatever a CSMS asks and a station answers: what leaves a translator is valid, and every command has an answer."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.dialects.translate import losses
from gateway.dialects.translate.base import Command, Facts, Json, Outcome, Refused, encode, read
from gateway.dialects.translate.up16 import UP as UP_16
from gateway.dialects.translate.up20 import UP as UP_20
from gateway.dialects.translate.ups import Up
from gateway.rpc.codes import CallError, ErrorCode
from tests.dialects.translate.command_rig import NUMBER, answer, assert_valid, commands, error, facts_for, run
from tests.dialects.translate.schema_strategies import payloads

_CODES = ("NotImplemented", "NotSupported", "GenericError", "OccurenceConstraintViolation", "MadeUp")
_THERE = {"1.6": "2.0.1", "2.0.1": "1.6"}
_LOSSLESS = [
    *(("2.0.1", row) for row in losses.DOWN_20 if row.is_lossless),
    *(("1.6", row) for row in losses.DOWN_16 if row.is_lossless),
]
_LOSSLESS_UP = [
    *(("1.6", row) for row in losses.UP_16 if row.is_lossless),
    *(("2.0.1", row) for row in losses.UP_20 if row.is_lossless),
]


def _outcome(data: st.DataObject, facts: Facts, command: Command) -> Outcome:
    if data.draw(st.integers(0, 4)) == 0:
        return error(data.draw(st.sampled_from(_CODES)))
    payload: Json = data.draw(payloads(facts.station, command.action, "response"))
    if command.collects is None:
        return answer(payload)
    return answer(payload, tuple(data.draw(st.lists(payloads(facts.station, command.collects, "request"), max_size=2))))


@pytest.mark.parametrize(("station", "csms"), [("1.6", "2.0.1"), ("2.0.1", "1.6"), ("1.6", "2.1"), ("2.1", "1.6")])
@settings(max_examples=30)
@given(data=st.data())
def test_every_valid_command_has_a_valid_answer(station: str, csms: str, data: st.DataObject) -> None:
    facts = facts_for(station, csms, busy=data.draw(st.booleans()))
    action = data.draw(st.sampled_from(sorted(commands(station))))
    payload = data.draw(payloads(facts.csms, action, "request"))
    run(action, payload, facts, lambda command: _outcome(data, facts, command))


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize("station", ["1.6", "2.0.1"])
@settings(max_examples=25)
@given(data=st.data())
def test_a_member_of_junk_is_refused_or_answered(station: str, data: st.DataObject) -> None:
    """Of the command or its answer, as a quirk may write it: nothing falls over, and nothing invalid goes down."""
    facts = facts_for(station)
    action = data.draw(st.sampled_from(sorted(commands(station))))
    payload = dict(data.draw(payloads(facts.csms, action, "request")))
    assume(payload)
    payload[data.draw(st.sampled_from(sorted(payload)))] = data.draw(_JUNK)
    translator = commands(station)[action]
    with suppress(StopIteration, CallError):
        steps = translator(read(encode(payload)), facts)
        command = next(steps)
        while True:
            assert_valid(station, command.action, "request", command.payload)
            said = dict(data.draw(payloads(station, command.action, "response")))
            said |= {name: data.draw(_JUNK) for name in sorted(said)[:1]}
            command = steps.send(answer(read(encode(said))))


def test_what_the_station_s_version_can_t_hold_stays_here_and_is_not_shown() -> None:
    facts = facts_for("1.6", "2.1")
    firmware = {"location": "p" * 600, "retrieveDateTime": "x", "signingCertificate": "y", "signature": "z"}
    steps = commands("1.6")["UpdateFirmware"]({"requestId": 1, "firmware": firmware}, facts)
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value == Refused(
        ErrorCode.PROPERTY_CONSTRAINT_VIOLATION,
        "SignedUpdateFirmware of OCPP 1.6 can't hold this: firmware/location",
    )


def test_an_answer_that_can_t_be_said_is_a_callerror() -> None:
    steps = commands("2.0.1")["GetCompositeSchedule"]({"connectorId": 1, "duration": 60}, facts_for("2.0.1"))
    next(steps)
    period = {"startPeriod": 0, "limit": 6, "numberPhases": "three"}
    told = {"scheduleStart": "2026-03-01T08:00:00Z", "chargingSchedulePeriod": [period], "duration": 60}
    with pytest.raises(StopIteration) as end:
        steps.send(answer({"status": "Accepted", "schedule": {**told, "evseId": 1, "chargingRateUnit": "A"}}))
    where = "chargingSchedule/chargingSchedulePeriod/0/numberPhases"
    assert end.value.value == Refused(ErrorCode.GENERIC_ERROR, f"the answer can't be said in OCPP 1.6: {where}")


# -- there and back ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("station", "row"), _LOSSLESS, ids=lambda one: getattr(one, "action", one))
@settings(max_examples=4)
@given(data=st.data())
def test_a_lossless_command_comes_back_as_it_was(station: str, row: losses.Row, data: st.DataObject) -> None:
    payload = _running(data.draw(payloads(_THERE[station], row.action, "request")))
    there = _first(row.action, payload, station)
    assume(there is not None)
    assert there is not None
    assert there.action in row.becomes
    back = _first(there.action, there.payload, _THERE[station])
    assert back is not None
    assert (back.action, _plain(back.payload)) == (row.action, _plain(payload))


def _first(action: str, payload: Json, station: str) -> Command | None:
    sent = run(action, payload, facts_for(station), lambda command: error("GenericError")).sent
    return sent[0] if sent else None


def _running(payload: Json) -> Json:
    """A command about the transaction that runs, and a schedule with at least one period: all else is refused."""
    profile = payload.get("csChargingProfiles")
    if isinstance(profile, dict):
        profile.pop("transactionId", None)
        profile |= {"transactionId": NUMBER} if profile["chargingProfilePurpose"] == "TxProfile" else {}
        profile["chargingSchedule"]["chargingSchedulePeriod"].append({"startPeriod": 60, "limit": 0})
    return {**payload, "transactionId": NUMBER} if "transactionId" in payload else payload


def _plain(payload: Any) -> Any:
    return json.loads(encode(payload))


@pytest.mark.parametrize(("station", "row"), _LOSSLESS_UP, ids=lambda one: getattr(one, "action", one))
@settings(max_examples=4)
@given(data=st.data())
def test_a_lossless_message_comes_back_as_it_was(station: str, row: losses.Row, data: st.DataObject) -> None:
    drawn = data.draw(payloads(station, row.action, "request"))
    payload = {name: said for name, said in drawn.items() if (name, said) != ("techInfo", "")}
    ways = {"1.6": UP_16.up, "2.0.1": UP_20.up}
    there = ways[station][row.action](read(encode(payload)), facts_for(station))
    assert isinstance(there, Up)
    (part,) = there.parts
    back = ways[_THERE[station]][part.action](read(encode(part.payload)), facts_for(_THERE[station]))
    assert isinstance(back, Up)
    (part,) = back.parts
    assert (part.action, _plain(part.payload)) == (row.action, _plain(payload))
