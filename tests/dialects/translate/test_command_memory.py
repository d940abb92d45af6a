"""What commands leave behind: request ids, remote starts, reservations, and a reset that waits."""

from dataclasses import replace as changed
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace as replaced

from gateway.dialects.translate import down16, later
from gateway.dialects.translate.admin import RESET_ATTEMPTS, RESET_SENT, RESET_WHEN_IDLE, due_reset
from gateway.dialects.translate.base import Edit, Facts, Memory, Message, Outcome, Place, Reply
from gateway.dialects.translate.charging import START_ANSWERED_S, reservations_over
from gateway.dialects.translate.inventory import boot_notes
from gateway.dialects.translate.parts import FIRST_INVENTED
from tests.dialects.translate.command_rig import NOW, UUID, Run, answer, error, facts_for, run
from tests.dialects.translate.pipe import Pipe

ACCEPTED = answer({"status": "Accepted"})
REJECTED = answer({"status": "Rejected"})
TOKEN = {"idToken": "ABC", "type": "ISO14443"}
LOG = {"logType": "DiagnosticsLog", "requestId": 12, "log": {"remoteLocation": "ftp://x"}}
FIRMWARE = {"location": "ftp://x", "retrieveDateTime": "2026-03-01T09:00:00Z"}
SIGNED = {**FIRMWARE, "signingCertificate": "PEM", "signature": "abc"}


def _facts(memory: Memory, *, after_s: float = 0) -> Facts:
    return Facts(memory, NOW + timedelta(seconds=after_s), "1.6", "2.0.1")


def _applied(edit: Edit | None, memory: Memory) -> Memory:
    assert edit is not None
    return edit(memory)


# -- request ids -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "payload", "name", "request_id", "asked_by"),
    [
        ("GetLog", LOG, "log", 12, "GetLog"),
        ("UpdateFirmware", {"requestId": 8, "firmware": FIRMWARE}, "firmware", 8, "UpdateFirmware"),
        ("UpdateFirmware", {"requestId": 8, "firmware": SIGNED}, "firmware", 8, "SignedUpdateFirmware"),
    ],
)
def test_a_request_id_of_the_csms_is_kept_for_a_station_that_has_none(
    action: str, payload: Any, name: str, request_id: int, asked_by: str
) -> None:
    found = run(action, payload, facts_for("1.6"), lambda command: ACCEPTED)
    assert (found.memory.requests[name], found.memory.notes[name]) == (request_id, asked_by)
    assert found.sent[0].remember is not None, "the station's first word may come before its answer"


def test_diagnostics_are_noted_as_such_where_there_is_no_log() -> None:
    def station(command: Any) -> Any:
        return error("NotImplemented") if command.action == "GetLog" else answer({"fileName": "d.zip"})

    found = run("GetLog", LOG, facts_for("1.6"), station)
    assert (found.memory.requests["log"], found.memory.notes["log"]) == (12, "GetDiagnostics")


def test_invented_request_ids_are_never_given_twice() -> None:
    facts, given = facts_for("2.0.1"), []
    for action, payload in (
        ("GetDiagnostics", {"location": "ftp://x"}),
        ("UpdateFirmware", {"location": "ftp://x", "retrieveDate": "2026-03-01T09:00:00Z"}),
        ("RemoteStartTransaction", {"idTag": "ABC"}),
    ):
        found = run(action, payload, facts, lambda command: ACCEPTED)
        given += [found.sent[0].payload.get("requestId", found.sent[0].payload.get("remoteStartId"))]
        facts = Facts(found.memory, NOW, "2.0.1", "1.6")
    assert given == [FIRST_INVENTED + number for number in (1, 2, 3)]
    assert (facts.memory.notes["log"], facts.memory.notes["firmware"]) == ("GetDiagnostics", "UpdateFirmware")


def test_an_extension_of_1_6_keeps_the_csmss_own_id() -> None:
    found = run("GetLog", LOG, facts_for("2.0.1"), lambda command: ACCEPTED)
    assert (found.memory.requests["log"], found.memory.notes["log"]) == (12, "GetLog")


def test_a_boot_leaves_what_2_x_has_no_member_for() -> None:
    boot = {"chargePointModel": "M", "meterSerialNumber": "N", "meterType": "", "iccid": None, "chargePointVendor": "V"}
    assert boot_notes(boot) == {
        "boot.chargePointModel": "M",
        "boot.chargePointVendor": "V",
        "boot.meterSerialNumber": "N",
    }


def test_a_boot_is_remembered_for_reports_and_the_next_one_replaces_it() -> None:
    boot = {"chargePointModel": "M", "meterSerialNumber": "N", "chargePointVendor": "V"}
    pipe = Pipe("1.6", "2.0.1")
    pipe.say("BootNotification", boot)
    assert pipe.memory.notes == boot_notes(boot)
    pipe.say("BootNotification", {"chargePointModel": "M2", "chargePointVendor": "V"})
    assert pipe.memory.notes == {"boot.chargePointModel": "M2", "boot.chargePointVendor": "V"}


@pytest.mark.parametrize(
    ("station", "action", "payload", "said"),
    [
        ("1.6", "GetLog", LOG, answer({"status": "Rejected"})),
        ("1.6", "GetLog", LOG, error("SecurityError")),
        ("1.6", "UpdateFirmware", {"requestId": 12, "firmware": FIRMWARE}, error("NotSupported")),
        ("1.6", "UpdateFirmware", {"requestId": 12, "firmware": SIGNED}, answer({"status": "InvalidCertificate"})),
        ("2.0.1", "GetLog", LOG, answer({"status": "Rejected"})),
        ("2.0.1", "GetDiagnostics", {"location": "ftp://x"}, answer({"status": "Rejected"})),
        ("2.0.1", "UpdateFirmware", {"location": "ftp://x", "retrieveDate": NOW.isoformat()}, ACCEPTED),
        ("2.0.1", "UpdateFirmware", {"location": "ftp://x", "retrieveDate": NOW.isoformat()}, error("InternalError")),
        ("2.0.1", "UpdateFirmware", {"location": "ftp://x", "retrieveDate": NOW.isoformat()}, REJECTED),
    ],
)  # fmt: skip
def test_a_refused_request_leaves_the_id_of_the_one_before(station: str, action: str, payload: Any, said: Any) -> None:
    before = facts_for(station, notes={"log": "before", "firmware": "before"})
    before = changed(before, memory=replaced(before.memory, requests={"log": 3, "firmware": 4}))
    found = run(action, payload, before, lambda command: said)
    is_taken = said is ACCEPTED
    assert (found.memory.requests == {"log": 3, "firmware": 4}) is not is_taken
    assert (found.memory.notes == {"log": "before", "firmware": "before"}) is not is_taken
    assert found.sent[0].remember is not None
    while_asked = found.sent[0].remember(before.memory)
    assert while_asked.requests != before.memory.requests, "the station's first word may come before its answer"


def test_a_refusal_that_comes_late_does_not_touch_what_was_asked_since() -> None:
    facts = facts_for("1.6")
    steps = down16.COMMANDS["GetLog"](LOG, facts)
    command = next(steps)
    assert command.remember is not None
    memory = command.remember(facts.memory)
    later_one = run("GetLog", {**LOG, "requestId": 13}, changed(facts, memory=memory), lambda _: ACCEPTED).memory
    with pytest.raises(StopIteration) as end:
        steps.send(answer({"status": "Rejected"}))
    assert end.value.value.remember(later_one) == later_one


# -- remote starts -----------------------------------------------------------------------------------------------------


def _start(facts: Facts, status: str, request_id: int = 4) -> Run:
    payload = {"idToken": TOKEN, "remoteStartId": request_id, "evseId": 2}
    return run("RequestStartTransaction", payload, facts, lambda command: answer({"status": status}))


def test_a_remote_start_waits_for_its_transaction_unless_it_is_rejected() -> None:
    found = _start(facts_for("1.6"), "Accepted")
    (waiting,) = found.memory.starts
    assert (waiting.remote_start, waiting.tag, waiting.token, waiting.type, waiting.evse) == (
        4, "abc", "ABC", "ISO14443", 2,
    )  # fmt: skip
    assert found.sent[0].remember is not None, "the StartTransaction may come before the answer"
    assert _start(facts_for("1.6"), "Rejected").memory.starts == ()


def test_a_remote_start_that_nobody_answered_is_forgotten() -> None:
    first = _start(facts_for("1.6"), "Accepted").memory
    late = _start(_facts(first, after_s=START_ANSWERED_S + 1), "Accepted", 5).memory
    assert [one.remote_start for one in late.starts] == [5]
    assert [one.remote_start for one in _start(_facts(first), "Accepted", 5).memory.starts] == [4, 5]


def test_an_alias_is_known_before_it_goes_down() -> None:
    token = {"idToken": "0123456789012345678901234", "type": "eMAID"}
    found = run(
        "RequestStartTransaction", {"idToken": token, "remoteStartId": 4}, facts_for("1.6"), lambda command: ACCEPTED
    )
    (alias,) = found.sent[0].aliases
    assert (alias.alias, alias.value, alias.type) == (found.sent[0].payload["idTag"], token["idToken"], "eMAID")


# -- a reset that waits ------------------------------------------------------------------------------------------------


def test_a_reset_on_idle_goes_down_when_the_last_transaction_has_ended() -> None:
    asked = run("Reset", {"type": "OnIdle"}, facts_for("1.6"), lambda command: ACCEPTED)
    assert asked.payload == {"status": "Scheduled"}
    assert not asked.sent
    assert due_reset(_facts(asked.memory)) is None
    ended = {key: replaced(tx, is_ended=True) for key, tx in asked.memory.transactions.items()}
    memory = replaced(asked.memory, transactions=ended)
    steps = due_reset(_facts(memory))
    assert steps is not None
    command = next(steps)
    assert (command.action, command.payload) == ("Reset", {"type": "Soft"})
    memory = _applied(command.remember, memory)
    assert due_reset(_facts(memory)) is not None, "a power cut before the answer does not lose it"
    with pytest.raises(StopIteration) as end:
        steps.send(ACCEPTED)
    assert isinstance(end.value.value, Reply)
    memory = _applied(end.value.value.remember, memory)
    assert memory.notes == {RESET_SENT: "Soft"}
    assert due_reset(_facts(memory)) is None, "it goes down once"


def _try_reset(memory: Memory, outcome: Outcome) -> Memory:
    steps = due_reset(_facts(memory))
    assert steps is not None
    memory = _applied(next(steps).remember, memory)
    with pytest.raises(StopIteration) as end:
        steps.send(outcome)
    edit: Edit | None = end.value.value.remember
    return edit(memory) if edit else memory


def test_a_reset_that_nobody_hears_is_tried_again_but_not_for_ever() -> None:
    memory = Memory(notes={RESET_WHEN_IDLE: "Soft"})
    for attempt in range(1, RESET_ATTEMPTS):
        memory = _try_reset(memory, error("GenericError"))
        assert memory.notes == {RESET_WHEN_IDLE: f"Soft|{attempt}"}
    assert _try_reset(memory, error("GenericError")).notes == {}
    assert _try_reset(memory, ACCEPTED).notes == {RESET_SENT: "Soft"}
    assert _try_reset(memory, answer({"status": "Rejected"})).notes == {}


def test_a_boot_after_the_reset_went_down_is_its() -> None:
    """The answer was lost, or nobody could write it down any more."""
    boot = {"chargePointModel": "M", "chargePointVendor": "V"}
    for note, reason, left in (("Soft", "Unknown", "Soft"), ("Soft|1", "RemoteReset", None)):
        pipe = Pipe("1.6", "2.0.1", memory=Memory(notes={RESET_WHEN_IDLE: note}))
        pipe.say("BootNotification", boot)
        assert pipe.sent[0][1]["reason"] == reason
        assert pipe.memory.notes.get(RESET_WHEN_IDLE) == left


def test_a_reset_on_idle_waits_for_the_queue_a_start_may_be_in() -> None:
    facts = Facts(Memory(), NOW, "1.6", "2.0.1", is_offline=True)
    found = run("Reset", {"type": "OnIdle"}, facts, lambda command: ACCEPTED)
    assert (found.payload, found.sent) == ({"status": "Scheduled"}, [])
    assert later.due(changed(facts, memory=found.memory)) is None
    assert later.next_look(changed(facts, memory=found.memory)) == NOW + later.SOON
    assert later.due(changed(facts, memory=found.memory, is_offline=False)) is not None


@pytest.mark.parametrize(("csms", "longest"), [("2.0.1", 40), ("2.1", 64)])
def test_a_password_of_any_length_of_the_csmss_version_is_taken(csms: str, longest: int) -> None:
    def setting(value: str) -> Any:
        return {
            "setVariableData": [
                {
                    "attributeValue": value,
                    "component": {"name": "SecurityCtrlr"},
                    "variable": {"name": "BasicAuthPassword"},
                }
            ]
        }

    for length in (16, 21, longest):
        found = run("SetVariables", setting("p" * length), facts_for("1.6", csms), lambda command: ACCEPTED)
        assert (found.passwords, found.sent) == ([b"p" * length], [])
        assert found.payload["setVariableResult"][0]["attributeStatus"] == "Accepted"
    for length in (15, longest + 1):
        found = run("SetVariables", setting("p" * length), facts_for("1.6", csms), lambda command: ACCEPTED)
        assert (found.passwords, found.sent) == ([], [])
        assert found.payload["setVariableResult"][0]["attributeStatus"] == "Rejected"


def test_an_authorization_key_of_any_bytes_is_taken() -> None:
    key = bytes(range(240, 256)).hex()
    found = run(
        "ChangeConfiguration", {"key": "AuthorizationKey", "value": key}, facts_for("2.0.1"), lambda _: ACCEPTED
    )
    assert (found.passwords, found.sent, found.payload) == ([bytes.fromhex(key)], [], {"status": "Accepted"})


def test_a_transaction_that_never_ended_holds_nothing_up_at_a_free_connector() -> None:
    memory = facts_for("1.6").memory
    free = replaced(memory, places={"1/1": Place("Available")}, notes={RESET_WHEN_IDLE: "Soft"})
    assert due_reset(_facts(free)) is not None
    unlock = {"evseId": 1, "connectorId": 1}
    assert run("UnlockConnector", unlock, _facts(free), lambda command: answer({"status": "Unlocked"})).sent
    assert not run("UnlockConnector", unlock, _facts(memory), lambda command: ACCEPTED).sent


def test_a_reset_now_makes_the_waiting_one_needless() -> None:
    memory = Memory(notes={RESET_WHEN_IDLE: "Soft"})
    found = run("Reset", {"type": "Immediate"}, _facts(memory), lambda command: ACCEPTED)
    assert due_reset(_facts(found.memory)) is None
    refused = run("Reset", {"type": "Immediate"}, _facts(memory), lambda command: REJECTED)
    assert due_reset(_facts(refused.memory)) is not None, "what was promised before stands"


# -- reservations ------------------------------------------------------------------------------------------------------


def _reserved(evse: int | None = 2) -> Memory:
    payload = {"id": 7, "expiryDateTime": "2026-03-01T09:00:00Z", "idToken": TOKEN}
    payload |= {} if evse is None else {"evseId": evse}
    return run("ReserveNow", payload, facts_for("1.6"), lambda command: ACCEPTED).memory


def _over(memory: Memory, after_s: float = 0) -> list[Message] | None:
    found = reservations_over(_facts(memory, after_s=after_s))
    if found is None:
        return None
    left = found[1](memory)
    assert reservations_over(_facts(left, after_s=after_s)) is None, "the CSMS hears of it once"
    return list(found[0])


def _update(status: str) -> list[Message]:
    return [Message("ReservationStatusUpdate", {"reservationId": 7, "reservationUpdateStatus": status})]


@pytest.mark.parametrize("evse", [2, None])
def test_a_reservation_expires_at_its_time(evse: int | None) -> None:
    memory = _reserved(evse)
    assert _over(memory, 3599) is None
    assert _over(memory, 3600) == _update("Expired")


@pytest.mark.parametrize(("status", "told"), [("Faulted", "Removed"), ("Unavailable", "Removed"), ("Reserved", None)])
def test_a_reservation_is_removed_when_its_connector_fails(status: str, told: str | None) -> None:
    memory = _reserved()
    memory = replaced(memory, places={**memory.places, "2/1": Place(status)})
    assert _over(memory) == (_update(told) if told else None)


def test_a_reservation_that_was_used_ends_without_a_word() -> None:
    memory = _reserved()
    (tx,) = memory.transactions.values()
    assert _over(replaced(memory, transactions={"78": replaced(tx, evse=2)})) == []
    assert _over(replaced(memory, transactions={"78": replaced(tx, evse=1, reservation=7, is_ended=True)})) == []


def test_a_reservation_used_at_another_connector_is_used() -> None:
    """One of any connector: the transaction says whose it was."""
    pipe = Pipe("1.6", "2.0.1", memory=replaced(_reserved(None), transactions={}))
    start = {"connectorId": 1, "idTag": "ABC", "meterStart": 5, "timestamp": "2026-03-01T08:00:00Z", "reservationId": 7}
    pipe.say("StartTransaction", start)
    assert _over(pipe.memory, 3600) == []


def test_a_reservation_that_was_cancelled_is_forgotten() -> None:
    found = run("CancelReservation", {"reservationId": 7}, _facts(_reserved()), lambda command: ACCEPTED)
    assert _over(found.memory, 9999) is None


def test_a_refused_reservation_leaves_nothing() -> None:
    payload = {"id": 7, "expiryDateTime": "2026-03-01T09:00:00Z", "idToken": TOKEN}
    found = run("ReserveNow", payload, facts_for("1.6"), lambda command: answer({"status": "Occupied"}))
    assert _over(found.memory, 9999) is None


# -- all of it ---------------------------------------------------------------------------------------------------------


def test_what_comes_later_is_told_in_one_place() -> None:
    memory = _reserved()
    assert later.due(_facts(memory)) is None
    assert later.next_look(_facts(memory)) == NOW + later.AT_LEAST
    assert later.next_look(_facts(memory, after_s=3590)) == NOW + timedelta(hours=1)
    memory = replaced(memory, transactions={}, notes={**memory.notes, RESET_WHEN_IDLE: "Soft"})
    found = later.due(_facts(memory, after_s=3600))
    assert found is not None
    assert list(found.then) == _update("Expired")
    assert found.steps is not None
    assert next(found.steps).action == "Reset"
    left = _applied(found.remember, memory)
    assert left.notes == {RESET_WHEN_IDLE: "Soft"}
    assert later.next_look(_facts(left)) == NOW + later.AT_LEAST
    assert later.next_look(_facts(replaced(left, notes={}))) is None


# -- the queue ---------------------------------------------------------------------------------------------------------


def test_the_csms_hears_that_messages_of_a_transaction_wait() -> None:
    memory = facts_for("1.6").memory
    waiting = Facts(memory, NOW, "1.6", "2.0.1", is_offline=True)

    def told(transaction: str) -> Any:
        return run("GetTransactionStatus", {"transactionId": transaction}, waiting, lambda command: ACCEPTED).payload

    assert told(UUID) == {"ongoingIndicator": True, "messagesInQueue": True}
    assert told("other") == {"ongoingIndicator": False, "messagesInQueue": False}
