"""The session: one CALL in flight, in order, and every question gets exactly one outcome."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.rpc import frame
from gateway.rpc.codes import FRAMING_J16, FRAMING_J201, CallError, ErrorCode, Framing
from gateway.rpc.frame import Call, Malformed
from gateway.rpc.session import Answered, Outcome, Priority, Refused, Request, Session, Silence, Unanswered

NOT_SENT = [
    Unanswered(Silence.CLOSED, was_sent=False),
    Unanswered(Silence.TOO_LATE, was_sent=False),
    Unanswered(Silence.QUEUE_FULL, was_sent=False),
    Unanswered(Silence.NOT_CONNECTED, was_sent=False),
]


@dataclass
class _Asked:
    """A session and what became of each question."""

    session: Session = field(default_factory=lambda: Session(FRAMING_J201))
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    handed_over: list[str] = field(default_factory=list)

    def ask(
        self,
        message_id: str,
        priority: Priority = Priority.COMMAND,
        *,
        now: float = 0.0,
        timeout_s: float = 30.0,
        send_by: float = float("inf"),
        then: Callable[[], None] | None = None,
    ) -> None:
        def done(outcome: Outcome) -> None:
            self.outcomes.setdefault(message_id, []).append(outcome)
            if then:
                then()

        request = Request(
            message_id, "Action", b"{}", done, priority, timeout_s, send_by, lambda: self.handed_over.append(message_id)
        )
        self.session.call(request, now)

    def sent(self) -> list[Any]:
        """Take out what is to be sent: the id of our own CALLs, whole frames for answers."""
        frames = [json.loads(data) for data in self.session.outgoing]
        self.session.outgoing.clear()
        return [parts[1] if parts[0] == 2 else parts for parts in frames]


@pytest.fixture
def asked() -> _Asked:
    return _Asked()


def _result(message_id: str) -> bytes:
    return frame.result(message_id, b"{}")


def _call(session: Session, data: bytes) -> Call:
    came = session.receive(data, 0)
    assert isinstance(came, Call)
    return came


# -- who may speak --------------------------------------------------------------------------------------------------


def test_one_call_is_in_flight_and_the_next_waits_for_its_answer(asked: _Asked) -> None:
    asked.ask("a")
    asked.ask("b")
    assert asked.sent() == ["a"]
    assert asked.handed_over == ["a"]
    asked.session.receive(_result("a"), 1)
    assert asked.outcomes == {"a": [Answered(b"{}")]}
    assert asked.sent() == ["b"]
    asked.session.receive(_result("b"), 2)
    assert (asked.session.is_idle, asked.session.deadline) == (True, None)


@pytest.mark.parametrize("ending", [_result("a"), frame.error("a", "GenericError", "no"), b'[3,"a",[]]', b'[3,"a",{'])
def test_every_kind_of_answer_frees_the_slot(asked: _Asked, ending: bytes) -> None:
    asked.ask("a")
    asked.ask("b")
    asked.session.receive(ending, 0)
    assert asked.sent() == ["a", "b"]
    assert len(asked.outcomes["a"]) == 1


def test_priority_goes_first_and_within_it_the_order_of_asking(asked: _Asked) -> None:
    asked.ask("first")
    for message_id, priority in [
        ("t1", Priority.TRANSACTION),
        ("s1", Priority.STATUS),
        ("c1", Priority.COMMAND),
        ("t2", Priority.TRANSACTION),
        ("b1", Priority.BOOT),
        ("c2", Priority.COMMAND),
        ("s2", Priority.STATUS),
    ]:
        asked.ask(message_id, priority)
    order = asked.sent()
    while not asked.session.is_idle:
        asked.session.receive(_result(order[-1]), 0)
        order += asked.sent()
    assert order == ["first", "b1", "c1", "c2", "s1", "s2", "t1", "t2"]


def test_the_queue_is_bounded() -> None:
    asked = _Asked(Session(FRAMING_J16, max_queue=2))
    for message_id in "abcd":
        asked.ask(message_id)
    assert asked.outcomes == {"d": [Unanswered(Silence.QUEUE_FULL, was_sent=False)]}
    assert asked.sent() == ["a"]


def test_a_call_of_the_peer_does_not_wait_for_ours(asked: _Asked) -> None:
    asked.ask("a")
    call = _call(asked.session, b'[2,"x","Reset",{"type":"Soft"}]')
    asked.session.answer(call, b'{"status":"Accepted"}')
    assert asked.sent() == ["a", [3, "x", {"status": "Accepted"}]]


def test_the_same_id_in_both_directions_is_no_confusion(asked: _Asked) -> None:
    asked.ask("1")
    call = _call(asked.session, b'[2,"1","Heartbeat",{}]')
    assert asked.outcomes == {}
    asked.session.answer(call, b"{}")
    assert not asked.session.is_idle
    asked.session.receive(_result("1"), 0)
    assert asked.outcomes == {"1": [Answered(b"{}")]}


def test_a_question_asked_while_another_one_ends_is_asked(asked: _Asked) -> None:
    asked.ask("a", then=lambda: asked.ask("c", Priority.BOOT))
    asked.ask("b")
    asked.session.receive(_result("a"), 0)
    assert asked.sent() == ["a", "c"]
    asked.session.receive(_result("c"), 0)
    assert asked.sent() == ["b"]


# -- time -----------------------------------------------------------------------------------------------------------


def test_a_timeout_runs_from_the_sending(asked: _Asked) -> None:
    asked.ask("a", now=0, timeout_s=10)
    asked.ask("b", now=0, timeout_s=10)
    assert asked.session.deadline == 10
    asked.session.expire(9.9)
    assert asked.outcomes == {}
    asked.session.expire(10)
    assert asked.outcomes == {"a": [Unanswered(Silence.TIMEOUT, was_sent=True)]}
    assert asked.sent() == ["a", "b"]
    assert asked.session.deadline == 20


def test_timeouts_are_counted_until_anything_is_answered(asked: _Asked) -> None:
    for number in range(3):
        asked.ask(str(number), now=number, timeout_s=1)
        asked.session.expire(number + 1)
        assert asked.session.timeouts_in_a_row == number + 1
    asked.session.receive(_result("2"), 3)
    assert asked.session.timeouts_in_a_row == 3  # too late is no answer
    asked.ask("x", now=4)
    asked.session.receive(frame.error("x", "GenericError", ""), 4)
    assert asked.session.timeouts_in_a_row == 0


def test_what_waits_too_long_is_not_sent(asked: _Asked) -> None:
    asked.ask("a", timeout_s=30)
    asked.ask("b", send_by=5)
    asked.ask("c", send_by=100)
    assert asked.session.deadline == 5
    asked.session.expire(5)
    assert asked.outcomes == {"b": [Unanswered(Silence.TOO_LATE, was_sent=False)]}
    assert asked.session.deadline == 30
    asked.session.receive(_result("a"), 6)
    assert asked.sent() == ["a", "c"]
    assert asked.session.deadline == 36  # once it is sent, `send_by` is over


def test_an_answer_that_frees_the_slot_does_not_send_what_is_too_late(asked: _Asked) -> None:
    asked.ask("a")
    asked.ask("b", send_by=5)
    asked.session.receive(_result("a"), 7)
    assert asked.sent() == ["a"]
    assert asked.outcomes["b"] == [Unanswered(Silence.TOO_LATE, was_sent=False)]
    assert asked.session.is_idle


def test_a_question_that_is_too_late_when_asked_is_not_sent(asked: _Asked) -> None:
    """No command goes down after its deadline (DESIGN D7), also when the slot happens to be free."""
    asked.ask("a", now=6, send_by=5)
    assert asked.sent() == []
    assert asked.outcomes == {"a": [Unanswered(Silence.TOO_LATE, was_sent=False)]}


# -- stray answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [_result, lambda message_id: frame.error(message_id, "GenericError", "")])
def test_late_repeated_and_unknown_answers_change_nothing(asked: _Asked, make: Callable[[str], bytes]) -> None:
    asked.session.receive(make("nobody"), 0)
    asked.ask("a", timeout_s=1)
    asked.ask("b", timeout_s=10)
    asked.session.expire(1)
    asked.session.receive(make("a"), 2)
    asked.session.receive(make("other"), 2)
    assert asked.session.in_flight is not None
    assert asked.session.in_flight.message_id == "b"
    asked.session.receive(make("b"), 2)
    asked.session.receive(make("b"), 2)
    assert asked.session.strays == 4
    assert [len(outcomes) for outcomes in asked.outcomes.values()] == [1, 1]
    assert asked.sent() == ["a", "b"]


def test_an_error_under_the_unknown_id_is_about_the_call_in_flight(asked: _Asked) -> None:
    asked.ask("a")
    asked.ask("b")
    asked.session.receive(b'[4,"-1","FormatViolation","what?",{}]', 0)
    assert asked.outcomes == {"a": [Refused("FormatViolation", "what?")]}
    assert asked.sent() == ["a", "b"]


def test_a_result_under_the_unknown_id_answers_nothing(asked: _Asked) -> None:
    asked.ask("a")
    asked.session.receive(b'[3,"-1",{}]', 0)
    assert asked.outcomes == {}
    assert asked.session.strays == 1


def test_an_error_is_never_answered(asked: _Asked) -> None:
    for data in (b'[4,"-1","FormatViolation","",{}]', b'[4,"x","GenericError","",{}]', b"[4]", b'[3,"x"]', b"[3,1,2]"):
        asked.session.receive(data, 0)
    assert asked.sent() == []


# -- the end --------------------------------------------------------------------------------------------------------


def test_at_the_end_the_one_in_flight_was_sent_and_the_others_were_not(asked: _Asked) -> None:
    for message_id in "abc":
        asked.ask(message_id)
    asked.session.close()
    assert asked.outcomes == {
        "a": [Unanswered(Silence.CLOSED, was_sent=True)],
        "b": [Unanswered(Silence.CLOSED, was_sent=False)],
        "c": [Unanswered(Silence.CLOSED, was_sent=False)],
    }
    assert asked.session.is_idle
    assert asked.session.deadline is None


def test_a_dead_session_asks_answers_and_sends_nothing(asked: _Asked) -> None:
    call = _call(asked.session, b'[2,"x","Reset",{}]')
    asked.ask("a", then=lambda: asked.ask("late"))
    asked.session.close()
    asked.session.close()
    asked.ask("b")
    asked.session.answer(call, b"{}")
    asked.session.refuse(call, "GenericError", "")
    asked.session.receive(b"garbage", 0)
    asked.session.expire(1e9)
    gone = [Unanswered(Silence.NOT_CONNECTED, was_sent=False)]
    assert asked.outcomes == {"a": [Unanswered(Silence.CLOSED, was_sent=True)], "late": gone, "b": gone}
    assert asked.sent() == []


# -- CALLs of the peer ----------------------------------------------------------------------------------------------


def test_an_exact_repeat_of_an_open_call_shares_its_answer(asked: _Asked) -> None:
    data = b'[2,"x","StartTransaction",{"connectorId":1}]'
    call = _call(asked.session, data)
    assert asked.session.receive(data, 0) is None
    asked.session.answer(call, b"{}")
    assert asked.sent() == [[3, "x", {}]]
    again = _call(asked.session, data)  # it lost that answer, and asks anew
    asked.session.refuse(again, "GenericError", "no")
    assert asked.sent() == [[4, "x", "GenericError", "no", {}]]


def test_the_same_id_with_other_content_is_another_call(asked: _Asked) -> None:
    calls = [
        _call(asked.session, b'[2,"1","Heartbeat",{}]'),
        _call(asked.session, b'[2,"1","Authorize",{}]'),
        _call(asked.session, b'[2,"1","Authorize",{"idTag":"T"}]'),
    ]
    for number, call in enumerate(calls):
        asked.session.answer(call, b"%d" % number)
    assert asked.sent() == [[3, "1", 0], [3, "1", 1], [3, "1", 2]]


def test_answering_keeps_nothing(asked: _Asked) -> None:
    """A station that counts its ids from 1 at every boot is no leak and no deaf ear."""
    for _ in range(3):
        call = _call(asked.session, b'[2,"1","Heartbeat",{}]')
        asked.session.answer(call, b"{}")
    assert asked.sent() == [[3, "1", {}]] * 3


# -- errors as each version spells them -----------------------------------------------------------------------------


@pytest.mark.parametrize(("framing", "code"), [(FRAMING_J16, "FormationViolation"), (FRAMING_J201, "FormatViolation")])
def test_a_broken_call_is_answered_in_the_version_s_spelling(framing: Framing, code: str) -> None:
    asked = _Asked(Session(framing))
    assert isinstance(asked.session.receive(b'[2,"x","Action",[]]', 0), Malformed)
    assert isinstance(asked.session.receive(b"nonsense", 0), Malformed)
    first, second = asked.sent()
    assert (first[:3], second[:3]) == ([4, "x", code], [4, "-1", code])


def test_a_refusal_is_spelled_for_the_version() -> None:
    asked = _Asked(Session(FRAMING_J16))
    error = CallError(ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION, "x" * 300, b'{"at":"idTag"}')
    call = _call(asked.session, b'[2,"x","Authorize",{}]')
    asked.session.refuse(call, error.code, error.description, error.details)
    assert asked.sent() == [[4, "x", "OccurenceConstraintViolation", "x" * 255, {"at": "idTag"}]]


def test_an_unknown_type_is_answered_in_two_and_ignored_in_one() -> None:
    old, new = _Asked(Session(FRAMING_J16)), _Asked(Session(FRAMING_J201))
    for asked in (old, new):
        assert isinstance(asked.session.receive(b'[6,"x","NotifyPeriodicEventStream",{}]', 0), Malformed)
    assert old.sent() == []
    assert [parts[:3] for parts in new.sent()] == [[4, "x", "MessageTypeNotSupported"]]


def test_garbage_does_not_disturb_the_call_in_flight(asked: _Asked) -> None:
    asked.ask("a")
    for data in (b"", b"{}", b"[]", b"[9]", b'[2,5,"x",{}]', b"\xff"):
        asked.session.receive(data, 0)
    assert asked.outcomes == {}
    asked.session.receive(_result("a"), 0)
    assert asked.outcomes == {"a": [Answered(b"{}")]}


# -- everything at once ---------------------------------------------------------------------------------------------


class _Anything(RuleBasedStateMachine):
    """Any order of questions, answers, repeats, time and the end, against a model of the queue."""

    def __init__(self) -> None:
        super().__init__()
        self.session = Session(FRAMING_J201, max_queue=4)
        self.now = 0.0
        self.outcomes: dict[str, list[Outcome]] = {}
        self.waiting: list[tuple[int, int, str, float]] = []
        self.in_flight: tuple[str, float] | None = None
        self.expected: list[str] = []
        self.sent: list[str] = []
        self.asked = 0
        self.is_closed = False

    def _free(self) -> None:
        """The model's slot is free: the next that is not too late goes."""
        self.in_flight = None
        while self.waiting and self.in_flight is None:
            self.waiting.sort()
            _, number, message_id, send_by = self.waiting.pop(0)
            if self.now < send_by:
                self.in_flight = (message_id, self.now + 1 + number % 7)
                self.expected.append(message_id)

    @rule(
        priority=st.sampled_from(Priority), patience=st.sampled_from([1.0, 3.0, float("inf")]), asks_again=st.booleans()
    )
    def ask(self, priority: Priority, patience: float, asks_again: bool) -> None:
        self.asked += 1
        number, message_id = self.asked, f"q{self.asked}"
        self.outcomes[message_id] = []

        def done(outcome: Outcome) -> None:
            self.outcomes[message_id].append(outcome)
            if asks_again and self.is_closed:
                self.session.call(Request("again", "A", b"{}", lambda _: None), self.now)

        send_by = self.now + patience
        self.session.call(Request(message_id, "A", b"{}", done, priority, 1 + number % 7, send_by), self.now)
        if self.is_closed or (self.in_flight and len(self.waiting) >= 4):
            return
        self.waiting.append((priority, number, message_id, send_by))
        if self.in_flight is None:
            self._free()

    @rule(seconds=st.sampled_from([0.5, 1.0, 2.0, 8.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        if self.in_flight and self.now >= self.in_flight[1]:
            self.in_flight = None
        self.waiting = [entry for entry in self.waiting if self.now < entry[3]]
        if self.in_flight is None and not self.is_closed:
            self._free()
        self.session.expire(self.now)

    @precondition(lambda self: self.in_flight)
    @rule(kind=st.sampled_from(["result", "error", "broken", "unattributed"]))
    def answer(self, kind: str) -> None:
        assert self.in_flight
        message_id = self.in_flight[0]
        self._free()
        self.session.receive(
            {
                "result": _result(message_id),
                "error": frame.error(message_id, "GenericError", ""),
                "broken": b'[3,"%b",5]' % message_id.encode(),
                "unattributed": b'[4,"-1","ProtocolError","",{}]',
            }[kind],
            self.now,
        )

    @rule(number=st.integers(0, 30))
    def stray(self, number: int) -> None:
        message_id = f"q{number}"
        if self.in_flight is None or self.in_flight[0] != message_id:
            self.session.receive(_result(message_id), self.now)

    @rule(number=st.integers(0, 3))
    def peer_calls(self, number: int) -> None:
        call = self.session.receive(b'[2,"q%d","X",{}]' % number, self.now)
        if isinstance(call, Call):
            self.session.answer(call, b"{}")

    @rule()
    def close(self) -> None:
        self.is_closed = True
        self.in_flight = None
        self.waiting.clear()
        self._take()
        self.session.close()

    def _take(self) -> None:
        frames = [json.loads(data) for data in self.session.outgoing]
        self.session.outgoing.clear()
        self.sent += [parts[1] for parts in frames if parts[0] == 2]

    @invariant()
    def sent_in_order(self) -> None:
        self._take()
        assert self.sent == self.expected

    @invariant()
    def exactly_one_outcome(self) -> None:
        open_ones = {message_id for _, _, message_id, _ in self.waiting}
        if self.in_flight:
            open_ones.add(self.in_flight[0])
        for message_id, outcomes in self.outcomes.items():
            assert len(outcomes) == (0 if message_id in open_ones else 1), message_id
            if outcomes and isinstance(outcomes[0], Unanswered):
                assert outcomes[0].was_sent == (message_id in self.sent)
            assert (message_id in self.sent) or not outcomes or outcomes[0] in NOT_SENT
        assert self.session.is_idle == (not open_ones)

    @invariant()
    def deadline_is_the_next_thing_to_happen(self) -> None:
        dues = [entry[3] for entry in self.waiting] + ([self.in_flight[1]] if self.in_flight else [])
        due = min(dues, default=float("inf"))
        assert self.session.deadline == (None if due == float("inf") else due)


TestAnything = _Anything.TestCase
TestAnything.settings = settings(max_examples=70, stateful_step_count=40, deadline=None)
