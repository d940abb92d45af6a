"""What a station is told about its boot while the CSMS can't be asked, and what may pass before it is accepted."""

from gateway.model.events import BootAnswer, RegistrationStatus
from gateway.model.records import StationRecord

RETRY_S = 30

_NOT_YET = (RegistrationStatus.PENDING, RegistrationStatus.REJECTED)


def local_boot_answer(record: StationRecord) -> BootAnswer:
    """Accepted if a CSMS accepted this station before and has not rejected it since.

    Rejected if that was its last word; else Pending: the station has never been anybody's to serve.
    """
    if record.registration is RegistrationStatus.REJECTED:
        return BootAnswer(RegistrationStatus.REJECTED, record.wait_s or RETRY_S)
    if record.was_accepted:
        return BootAnswer(RegistrationStatus.ACCEPTED, record.interval_s)
    return BootAnswer(RegistrationStatus.PENDING, RETRY_S)


PENDING_APPROVAL = BootAnswer(RegistrationStatus.PENDING, RETRY_S)
"""Told to a station that waits for the operator's approval."""


def is_held(record: StationRecord) -> bool:
    """The CSMS has not accepted the station's last boot: nothing but boots, and what it asks for, goes up."""
    return record.registration in _NOT_YET


def may_be_asked_for(record: StationRecord) -> bool:
    """Whether the CSMS may call for messages of a station it has not accepted: while Pending (2.x B02, 1.6 4.2)."""
    return record.registration is RegistrationStatus.PENDING


def is_heard(
    record: StationRecord, *, is_called_for: bool, is_booking: bool, csms_is_there: bool, speaks_early: bool
) -> bool:
    """Whether a message that is no boot is handled; if not, it is answered with SecurityError.

    `is_booking`: a transaction message, or one that leads to a transaction. `speaks_early`: stations of this version
    often don't wait to be accepted; what they say is taken, and goes no further before they are. A station we told
    Accepted goes on whatever the CSMS says of its boot later. One that no boot was ever heard of may be older than the
    gateway: the CSMS knows.
    """
    if is_called_for and may_be_asked_for(record):
        return True
    knows_it_is_not_accepted = is_held(record) and record.told in _NOT_YET
    if not knows_it_is_not_accepted and (record.was_accepted or (record.boot is None and csms_is_there)):
        return True
    return speaks_early and (record.was_accepted or not is_booking)
