"""What a station is told about its boot while the CSMS can't be asked."""

from gateway.model.events import BootAnswer, RegistrationStatus
from gateway.model.records import StationRecord

RETRY_S = 30


def local_boot_answer(record: StationRecord) -> BootAnswer:
    """Accepted if a CSMS ever accepted this station, else Pending: it has never been anybody's to serve."""
    if record.was_accepted:
        return BootAnswer(RegistrationStatus.ACCEPTED, record.interval_s)
    return BootAnswer(RegistrationStatus.PENDING, RETRY_S)


PENDING_APPROVAL = BootAnswer(RegistrationStatus.PENDING, RETRY_S)
"""Told to a station that waits for the operator's approval."""
