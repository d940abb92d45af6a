"""What a station is told of its boot while the CSMS is away, and what may pass before it is accepted."""

from dataclasses import replace
from itertools import product

import pytest

from gateway.core.registration import PENDING_APPROVAL, RETRY_S, is_heard, is_held, local_boot_answer
from gateway.model.events import BootAnswer, RegistrationStatus
from gateway.model.ids import StationId
from gateway.model.records import StationRecord

NEW = StationRecord(StationId("CP"))
TAKEN = StationRecord(StationId("CP"), was_accepted=True, interval_s=900, boot=b"{}")
ACCEPTED, PENDING, REJECTED = RegistrationStatus.ACCEPTED, RegistrationStatus.PENDING, RegistrationStatus.REJECTED


@pytest.mark.parametrize(
    ("record", "answer"),
    [
        (TAKEN, BootAnswer(ACCEPTED, 900)),
        (replace(TAKEN, registration=ACCEPTED), BootAnswer(ACCEPTED, 900)),
        (replace(TAKEN, registration=PENDING, wait_s=60), BootAnswer(ACCEPTED, 900)),
        (replace(TAKEN, registration=REJECTED, wait_s=3600), BootAnswer(REJECTED, 3600)),
        (replace(TAKEN, registration=REJECTED), BootAnswer(REJECTED, RETRY_S)),
        (replace(NEW, interval_s=900), BootAnswer(PENDING, RETRY_S)),
        (replace(NEW, registration=REJECTED, wait_s=5), BootAnswer(REJECTED, 5)),
    ],
)
def test_offline_a_boot_is_accepted_only_of_a_station_the_csms_took(record: StationRecord, answer: BootAnswer) -> None:
    assert local_boot_answer(record) == answer


def test_one_that_waits_for_the_operator_asks_again_soon() -> None:
    assert PENDING_APPROVAL.status is PENDING
    assert 0 < PENDING_APPROVAL.interval_s <= 30


def heard(record: StationRecord, *, called: bool = False, booking: bool, up: bool = True, early: bool = False) -> bool:
    return is_heard(record, is_called_for=called, is_booking=booking, csms_is_there=up, speaks_early=early)


@pytest.mark.parametrize("booking", [True, False])
@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("told", [PENDING, REJECTED])
def test_a_refused_station_is_not_heard(told: RegistrationStatus, up: bool, booking: bool) -> None:
    for record in (NEW, TAKEN):
        refused = replace(record, boot=b"{}", registration=told, told=told)
        assert is_held(refused)
        assert not heard(refused, booking=booking, up=up)
        assert heard(refused, called=True, booking=booking, up=up) is (told is PENDING)
        # Where stations often speak too early: what they say is taken, but no charging at one never accepted.
        assert heard(refused, booking=booking, up=up, early=True) is (record is TAKEN or not booking)


def test_a_station_we_accepted_goes_on_whatever_the_csms_says_later() -> None:
    for said, booking, up in product((None, *RegistrationStatus), (True, False), (True, False)):
        assert heard(replace(TAKEN, registration=said, told=ACCEPTED), booking=booking, up=up)


def test_of_a_station_without_any_boot_the_csms_knows_better() -> None:
    assert heard(NEW, booking=True, up=True)
    assert not heard(NEW, booking=True, up=False)
    assert not heard(replace(NEW, boot=b"{}"), booking=True, up=True)
