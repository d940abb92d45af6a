"""Message types 5 and 6: a SEND is never answered and waits for nothing, a CALLRESULTERROR refuses an answer."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rpc import frame
from gateway.rpc.codes import FRAMING_J16, FRAMING_J21, FRAMING_J201, ErrorCode, Framing
from gateway.rpc.frame import Call, Malformed, ResultRefused, Send
from gateway.rpc.session import MAX_SENDS, Answered, Outcome, Refused, RefusedResult, Request, Session

OLDER = [FRAMING_J16, FRAMING_J201]


def decode(data: bytes) -> frame.Frame:
    return frame.decode(data, has_send=True)


def sent(session: Session) -> list[Any]:
    frames = [json.loads(data) for data in session.outgoing]
    session.outgoing.clear()
    return frames


def ask(session: Session, message_id: str) -> list[Outcome]:
    outcomes: list[Outcome] = []
    session.call(Request(message_id, "A", b"{}", outcomes.append), 0)
    return outcomes


def call_of(session: Session, message_id: str) -> Call:
    came = session.receive(frame.call(message_id, "A", b"{}"), 0)
    assert isinstance(came, Call)
    return came


def refusal_of(session: Session, data: bytes) -> RefusedResult:
    came = session.receive(data, 0)
    assert isinstance(came, RefusedResult)
    return came


@pytest.fixture
def session() -> Session:
    return Session(FRAMING_J21)


# -- frames ----------------------------------------------------------------------------------------------------------


def test_a_send_is_read_with_its_payload_as_it_came() -> None:
    assert decode(b'[6,"a","Notify", {"x" : 1.50} ]') == Send("a", "Notify", b'{"x" : 1.50}')
    assert decode(b'["6","a","Notify",{}]') == decode(b'[6.0,"a","Notify",{}]') == Send("a", "Notify", b"{}")
    assert decode(frame.send('i"d', "Notify", b'{"x":1.50}')) == Send('i"d', "Notify", b'{"x":1.50}')


def test_the_refusal_of_a_result_is_read_also_if_it_says_little() -> None:
    assert decode(b'[5,"a","FormatViolation","why",{"x":1}]') == ResultRefused(
        "a", "FormatViolation", "why", b'{"x":1}'
    )
    assert decode(b'[5,"a"]') == ResultRefused("a", ErrorCode.GENERIC_ERROR, "")
    assert decode(frame.result_error("a", "GenericError", "x" * 300)) == ResultRefused("a", "GenericError", "x" * 255)


@pytest.mark.parametrize(
    "data",
    [
        b'[6,7,"Notify",{}]',
        b'[6,"a","Notify"]',
        b'[6,"a","Notify",{},{}]',
        b'[6,"a",7,{}]',
        b'[6,"a","Notify",[]]',
        b'[6,"a","Notify",' + b'{"x":' * 65 + b"1" + b"}" * 65 + b"]",
        b'[6,"a","Notify",{',
        b'[6,"a","Notify",{"x":NaN}]',
        b'["6","a","\xff",{}]',
        b"[5]",
        b"[5,7]",
        b'[5,"a","GenericError","why",{',
    ],
)
def test_a_malformed_one_is_never_answered(data: bytes, session: Session) -> None:
    outcomes = ask(session, "a")
    sent(session)
    came = session.receive(data, 0)
    assert isinstance(came, Malformed)
    assert (came.reply_to, came.answer_to, came.is_unknown_type) == (None, None, False)
    assert sent(session) == []
    assert outcomes == []


@given(st.binary(max_size=60) | st.binary(max_size=20).map(lambda tail: b'[6,"a",' + tail))
def test_nothing_makes_the_decoder_raise_or_answer_a_send(data: bytes) -> None:
    came = decode(data)
    if data.startswith(b'[6,"a",') and isinstance(came, Malformed):
        assert (came.reply_to, came.answer_to) == (None, None)


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_a_send_survives(message_id: str, action: str) -> None:
    assert decode(frame.send(message_id, action, b'{"v":1.10}')) == Send(message_id, action, b'{"v":1.10}')


@pytest.mark.parametrize("framing", OLDER)
@pytest.mark.parametrize("kind", [5, 6])
def test_earlier_versions_know_neither(framing: Framing, kind: int) -> None:
    session = Session(framing)
    session.answer(call_of(session, "a"), b"{}")
    sent(session)
    came = session.receive(b'[%d,"a","GenericError",{}]' % kind, 0)
    assert isinstance(came, Malformed)
    assert came.is_unknown_type
    answers = sent(session)
    assert [answer[:3] for answer in answers] == (
        [[4, "a", "MessageTypeNotSupported"]] if framing.answers_unknown_types else []
    )
    session.send("s", "Notify", b"{}")
    assert sent(session) == []


def test_other_unknown_types_are_ignored(session: Session) -> None:
    came = session.receive(b'[7,"a",{}]', 0)
    assert isinstance(came, Malformed)
    assert came.is_unknown_type
    assert sent(session) == []


def test_errors_are_spelled_as_in_2_0_1() -> None:
    assert FRAMING_J21.spell("FormationViolation") == "FormatViolation"
    assert FRAMING_J21.spell("OccurenceConstraintViolation") == "OccurrenceConstraintViolation"


# -- SEND ------------------------------------------------------------------------------------------------------------


def test_a_send_overtakes_the_call_in_flight_and_the_queue(session: Session) -> None:
    first, second = ask(session, "a"), ask(session, "b")
    session.send("s", "Notify", b'{"x":1.50}')
    assert list(session.outgoing)[1] == b'[6,"s","Notify",{"x":1.50}]'
    assert [parts[1] for parts in sent(session)] == ["a", "s"]
    assert session.in_flight is not None
    session.receive(frame.result("a", b"{}"), 1)
    assert [parts[1] for parts in sent(session)] == ["b"]
    assert (first, second) == ([Answered(b"{}")], [])


def test_a_send_of_the_peer_is_handed_over_each_time_and_never_answered(session: Session) -> None:
    call = call_of(session, "a")
    for _ in range(2):
        assert session.receive(frame.send("a", "Notify", b"{}"), 0) == Send("a", "Notify", b"{}")
    assert sent(session) == []
    session.answer(call, b"{}")
    assert sent(session) == [[3, "a", {}]]


def test_an_error_under_the_id_of_a_send_is_nobodys(session: Session) -> None:
    outcomes = ask(session, "a")
    session.send("s", "Notify", b"{}")
    session.receive(frame.error("s", "NotSupported", ""), 0)
    assert (outcomes, session.strays) == ([], 1)


def test_the_oldest_give_way_while_the_socket_is_slow(session: Session) -> None:
    ask(session, "mine")
    session.answer(call_of(session, "x"), b"{}")
    for number in range(MAX_SENDS + 10):
        session.send(f"{number}", "Notify", b"{}")
    ids = [parts[1] for parts in sent(session)]
    assert ids == ["mine", "x", *(f"{number}" for number in range(10, MAX_SENDS + 10))]


def test_calls_and_answers_never_give_way(session: Session) -> None:
    for number in range(MAX_SENDS + 10):
        session.answer(call_of(session, f"{number}"), b"{}")
    session.send("s", "Notify", b"{}")
    assert [parts[1] for parts in sent(session)] == [*(f"{number}" for number in range(MAX_SENDS + 10)), "s"]


def test_a_closed_session_sends_nothing(session: Session) -> None:
    session.close()
    session.send("s", "Notify", b"{}")
    assert sent(session) == []


# -- CALLRESULTERROR -------------------------------------------------------------------------------------------------


def test_a_refused_answer_is_told_with_what_was_answered(session: Session) -> None:
    payload = b'{"status":"Accepted"}'
    session.answer(call_of(session, "a"), payload)
    sent(session)
    came = refusal_of(session, b'[5,"a","FormatViolation","why",{"x":1}]')
    assert came.payload is payload
    assert came.refused == ResultRefused("a", "FormatViolation", "why", b'{"x":1}')
    assert (session.refused_results, session.strays) == (1, 0)
    assert sent(session) == []


@pytest.mark.parametrize("message_id", ["a", "-1", "mine"])
def test_a_refusal_of_nothing_we_said_is_only_counted(session: Session, message_id: str) -> None:
    outcomes = ask(session, "mine")
    call_of(session, "a")
    sent(session)
    assert session.receive(frame.result_error(message_id, "GenericError", ""), 0) is None
    assert (session.refused_results, session.strays, outcomes, sent(session)) == (0, 1, [], [])


def test_the_refusal_goes_on_to_the_peer_the_answer_came_from(session: Session) -> None:
    """Two answers that read alike are told apart."""
    other = Session(FRAMING_J21)
    given = []
    for number in range(2):
        outcomes = ask(other, f"asked-{number}")
        other.receive(frame.result(f"asked-{number}", b"{}"), 0)
        assert isinstance(outcomes[0], Answered)
        given.append(outcomes[0].payload)
        session.answer(call_of(session, f"{number}"), given[-1])
    sent(other)
    for number in (0, 1):
        refused = refusal_of(session, b'[5,"%d","FormationViolation","why",{"x":1}]' % number)
        assert other.refuse_result(refused)
        assert sent(other) == [[5, f"asked-{number}", "FormatViolation", "why", {"x": 1}]]


def test_an_answer_of_our_own_is_nobody_elses_fault(session: Session) -> None:
    other = Session(FRAMING_J21)
    outcomes = ask(other, "asked")
    other.receive(frame.result("asked", b'{"x":1}'), 0)
    sent(other)
    assert outcomes == [Answered(b'{"x":1}')]
    session.answer(call_of(session, "a"), bytes(bytearray(b'{"x":1}')))
    assert not other.refuse_result(refusal_of(session, frame.result_error("a", "GenericError", "")))
    assert sent(other) == []


@pytest.mark.parametrize("framing", OLDER)
def test_a_peer_of_an_earlier_version_is_not_told(framing: Framing, session: Session) -> None:
    other = Session(framing)
    outcomes = ask(other, "asked")
    other.receive(frame.result("asked", b"{}"), 0)
    sent(other)
    assert isinstance(outcomes[0], Answered)
    session.answer(call_of(session, "a"), outcomes[0].payload)
    assert not other.refuse_result(refusal_of(session, frame.result_error("a", "GenericError", "")))
    assert sent(other) == []


def test_only_the_latest_answers_are_remembered(session: Session) -> None:
    for number in range(9):
        session.answer(call_of(session, f"{number}"), b"{}")
    assert session.receive(frame.result_error("0", "GenericError", ""), 0) is None
    assert isinstance(session.receive(frame.result_error("1", "GenericError", ""), 0), RefusedResult)


@pytest.mark.parametrize("data", [b'[3,"a",[]]', b'[3,"a",{', b'[3,"a"]'])
def test_a_result_that_cannot_be_read_is_refused(session: Session, data: bytes) -> None:
    outcomes = ask(session, "a")
    sent(session)
    session.receive(data, 0)
    assert [parts[:3] for parts in sent(session)] == [[5, "a", "FormatViolation"]]
    assert [type(outcome) for outcome in outcomes] == [Refused]


@pytest.mark.parametrize("data", [b'[3,"b",[]]', b'[4,"a",{'])
def test_what_is_no_result_of_ours_is_not_refused(session: Session, data: bytes) -> None:
    ask(session, "a")
    sent(session)
    session.receive(data, 0)
    assert sent(session) == []


@pytest.mark.parametrize("framing", OLDER)
def test_earlier_versions_do_not_refuse_results(framing: Framing) -> None:
    session = Session(framing)
    ask(session, "a")
    sent(session)
    session.receive(b'[3,"a",[]]', 0)
    assert sent(session) == []
