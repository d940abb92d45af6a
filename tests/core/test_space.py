"""The watermarks: of the file, of the disk, of the queue."""

import pytest

from gateway.core.space import Level, level, room
from gateway.model.space import Space, StorageLimits

MB = 1_000_000
LIMITS = StorageLimits(budget_bytes=100 * MB, queue_rows=1000)


def space(used: int = 0, free: int = 4, disk_free: int = 10_000) -> Space:
    return Space(used * MB, free * MB, disk_free * MB)


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0, Level.OK), (69, Level.OK), (70, Level.LOW), (84, Level.LOW), (85, Level.THIN), (89, Level.THIN),
     (90, Level.FULL), (100, Level.FULL), (300, Level.FULL)],
)  # fmt: skip
def test_the_file_and_the_queue_have_the_same_watermarks(share: int, expected: Level) -> None:
    assert level(space(used=share), 0, LIMITS) is expected
    assert level(space(), share * 10, LIMITS) is expected
    assert level(None, share * 10, LIMITS) is expected


def test_the_worse_of_the_two_counts() -> None:
    assert level(space(used=90), 710, LIMITS) is Level.FULL
    assert level(space(used=10), 910, LIMITS) is Level.FULL


@pytest.mark.parametrize(
    ("found", "left", "expected"),
    [
        (space(used=20, free=4, disk_free=0), 4, Level.FULL),  # others have filled the disk
        (space(used=20, free=4, disk_free=9), 13, Level.THIN),
        (space(used=20, free=4, disk_free=22), 26, Level.LOW),
        (space(used=20, free=40, disk_free=0), 40, Level.OK),
        (space(used=99, free=4, disk_free=900), 1, Level.FULL),
        (space(used=120, free=4, disk_free=900), 0, Level.FULL),
    ],
)
def test_a_disk_that_is_smaller_than_the_budget_counts_for_what_it_has(
    found: Space, left: int, expected: Level
) -> None:
    assert room(found, LIMITS) == left * MB
    assert level(found, 0, LIMITS) is expected


def test_a_level_is_left_later_than_it_is_come_to() -> None:
    assert level(None, 880, LIMITS, before=Level.FULL) is Level.FULL
    assert level(None, 869, LIMITS, before=Level.FULL) is Level.THIN
    assert level(None, 830, LIMITS, before=Level.THIN) is Level.THIN
    assert level(None, 880, LIMITS, before=Level.THIN) is Level.THIN
    assert level(None, 600, LIMITS, before=Level.FULL) is Level.OK
