"""What a station is told of its boot while the CSMS is away."""

from gateway.core.registration import PENDING_APPROVAL, RETRY_S, local_boot_answer
from gateway.model.events import BootAnswer, RegistrationStatus
from gateway.model.ids import StationId
from gateway.model.records import StationRecord


def test_a_station_the_csms_took_once_may_charge() -> None:
    record = StationRecord(StationId("CP"), was_accepted=True, interval_s=900)
    assert local_boot_answer(record) == BootAnswer(RegistrationStatus.ACCEPTED, 900)


def test_a_station_no_csms_ever_took_waits() -> None:
    record = StationRecord(StationId("CP"), was_accepted=False, interval_s=900)
    assert local_boot_answer(record) == BootAnswer(RegistrationStatus.PENDING, RETRY_S)


def test_one_that_waits_for_the_operator_asks_again_soon() -> None:
    assert PENDING_APPROVAL.status is RegistrationStatus.PENDING
    assert 0 < PENDING_APPROVAL.interval_s <= 30
