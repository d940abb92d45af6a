"""Why a message waits or is set aside, what is wrong with the gateway, what was done to the queue: closed lists.

The same words stand in the API, on the command line, in the log and in the database.
"""

from enum import StrEnum


class ParkReason(StrEnum):
    """Why a row is set aside. But for the last, it is tried again after each reconnect, daily, and at a word of the
    operator's; of refused meter values, and messages of no transaction, one at first."""

    REFUSED = "refused"
    """The CSMS refused it again and again, while it took other messages."""
    START_REFUSED = "start-refused"
    """The CSMS refused the begin of its transaction."""
    VERSION_REFUSED = "version-refused"
    """The CSMS does not speak the OCPP version it is written in any more."""
    START_DROPPED = "start-dropped"
    """An operator dropped the begin of its transaction: it goes only if the operator says so."""


class WaitReason(StrEnum):
    """What the head of a station's queue waits for, and with it the rows behind."""

    IN_FLIGHT = "in-flight"
    NEXT = "next"
    BEHIND = "behind"
    """Rows ahead of it go first."""
    LINK_DOWN = "link-down"
    BOOT_FIRST = "boot-first"
    HELD = "held-by-csms"
    """The CSMS answered Pending or Rejected to the station's boot."""
    CSMS_SICK = "csms-sick"
    """No answers, or nothing but refusals: the queue backs off."""
    REFUSED = "refused"
    """It was refused and has not waited long enough for the next attempt."""
    EARLIER_USE = "earlier-use-of-token"
    """Messages of the same token at another station are older."""
    START_UNANSWERED = "start-unanswered"
    """The CSMS's id of its transaction is not known yet."""
    PACED = "paced"
    """The site sends no more than so many queued messages a second."""
    BEING_WRITTEN = "being-written"


class AlarmKind(StrEnum):
    """What an operator must know, until it is over."""

    STORE_BAD = "store-bad"
    """Nothing can be written: what needs a commit is left unanswered."""
    DATABASE_DAMAGED = "database-damaged"
    """A damaged database file was set aside; what could be read of it was saved."""
    STORAGE_LOW = "storage-low"
    STORAGE_THINNED = "storage-thinned"
    """Every second of the intermediate meter values in the queue is dropped."""
    BALANCING = "balancing"
    """A circuit, its meter or a station is not as it should be; what exactly is in the text."""
    STORAGE_FULL = "storage-full"
    """New meter values are not kept: the rest is for begins and ends of transactions."""


class AuditKind(StrEnum):
    """What was done to the queue, the database or a station, and must not be forgotten."""

    DROPPED = "dropped"
    RETRIED = "retried"
    THINNED = "thinned"
    NOT_KEPT = "not-kept"
    SALVAGED = "salvaged"
    PASSED_THROUGH = "passed-through"
