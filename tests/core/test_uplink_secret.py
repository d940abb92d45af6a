"""Which password is shown next, over every order of what the CSMS, the operator and lost answers can do."""

import pytest

from gateway.core.uplink_secret import candidates, changed, fingerprint, proven
from gateway.model.ids import StationId
from gateway.model.records import Drop, Put
from gateway.model.settings import UplinkSecret

CP = StationId("CP-1")
FILE, OTHER_FILE, NEW = b"of the file", b"of the file, edited", b"of the CSMS"


def known(previous: bytes | None = None, file: bytes | None = FILE) -> UplinkSecret:
    return UplinkSecret(CP, NEW, previous, fingerprint(CP, file))


@pytest.mark.parametrize(
    ("record", "configured", "expected"),
    [
        (None, FILE, [FILE]),
        (None, None, [None]),
        (known(), FILE, [NEW]),
        (known(FILE), FILE, [NEW, FILE]),
        (known(NEW), FILE, [NEW]),
        (known(), OTHER_FILE, [OTHER_FILE, NEW]),
        (known(FILE), OTHER_FILE, [OTHER_FILE, NEW]),
        (known(), None, [NEW]),
        (known(file=None), FILE, [FILE, NEW]),
        (known(file=None), None, [NEW]),
    ],
)
def test_candidates(record: UplinkSecret | None, configured: bytes | None, expected: list[bytes | None]) -> None:
    assert candidates(record, CP, configured) == expected


def test_the_password_before_is_kept_until_the_new_one_is_proven() -> None:
    first = changed(None, CP, FILE, NEW, FILE)
    assert first == known(FILE)
    assert proven(first, CP, FILE, FILE) == []
    assert proven(first, CP, FILE, NEW) == [Put(known())]
    assert proven(known(), CP, FILE, NEW) == []
    assert proven(None, CP, FILE, FILE) == []


def test_said_again_after_a_lost_answer() -> None:
    """The link was made with the password before: the CSMS knows no other yet."""
    assert changed(known(FILE), CP, FILE, NEW, FILE) == known(FILE)
    assert changed(known(), CP, FILE, NEW, NEW) == known()


def test_a_file_edited_later_wins_if_the_csms_takes_it() -> None:
    assert proven(known(), CP, OTHER_FILE, OTHER_FILE) == [Drop(known())]
    assert proven(known(), CP, OTHER_FILE, NEW) == [Put(known(file=OTHER_FILE))]


def test_a_file_taken_away_changes_nothing() -> None:
    assert proven(known(), CP, None, NEW) == []


def test_nothing_shows_a_password() -> None:
    record = changed(None, CP, FILE, NEW, FILE)
    assert "of the" not in repr(record)
    assert fingerprint(CP, FILE) != fingerprint(StationId("CP-2"), FILE)
