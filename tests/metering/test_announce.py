"""What the log is told of a meter, and how often."""

from dataclasses import replace

import pytest

from gateway.core.freshness import accept
from gateway.metering.announce import STEADY_S, Announcer, Condition, condition
from gateway.model.ids import MeterId
from gateway.model.metering import (
    Finding,
    MeterHealth,
    MeterReason,
    MeterState,
    Quality,
    Trouble,
    TroubleKind,
)
from tests.core.meters import reading

EMPTY = MeterState(meter=MeterId("grid"))
READ = accept(EMPTY, reading())
GONE = MeterHealth(Trouble(TroubleKind.UNPLUGGED, "it is not there", "Plug it in"))


def _bad(quality: Quality) -> MeterState:
    return accept(READ, reading(quality=quality, findings=(Finding(MeterReason.POWER_MISMATCH, (1, 3)),)))


@pytest.mark.parametrize(
    ("state", "now", "words", "is_normal"),
    [
        (EMPTY, 9.0, "waits for its first reading", True),
        (EMPTY, 11.0, "blind: it has said nothing yet", False),
        (replace(EMPTY, health=GONE), 1.0, "blind: it is not there. Remedy: Plug it in", False),
        (READ, 104.0, "is read", True),
        (replace(READ, health=GONE), 104.0, "trouble: it is not there. Remedy: Plug it in", False),
        (READ, 111.0, "stale: it has gone silent", False),
        (READ, 161.0, "blind: it has gone silent", False),
        (_bad(Quality.PARTIAL), 101.0, "is read in part: power-mismatch L1 L3", True),
        (_bad(Quality.SUSPECT), 101.0, "doubtful readings: power-mismatch L1 L3", False),
        (_bad(Quality.BAD), 101.0, "readings that cannot be true: power-mismatch L1 L3", False),
        (_bad(Quality.BAD), 111.0, "stale: its readings cannot be relied on: power-mismatch L1 L3", False),
        (accept(EMPTY, reading(current_a=(None, None, None))), 101.0,
         "blind: its readings have no currents: no reason given", False),
    ],
)  # fmt: skip
def test_the_condition_in_words(state: MeterState, now: float, words: str, is_normal: bool) -> None:
    found = condition(state, now, started_at=0.0)
    assert (found.words, found.is_normal) == (words, is_normal)


def test_worse_is_told_at_once_and_better_when_it_lasts() -> None:
    well, ill = Condition(1, "is read"), Condition(5, "stale")
    announcer = Announcer()
    heard = [
        (at, what) for at, what in ((0, well), (1, ill), (2, well), (5, ill), (6, well)) if announcer.hear(what, at)
    ]
    assert heard == [(0, well), (1, ill)]
    assert not announcer.hear(well, 6 + STEADY_S - 0.1)
    assert announcer.hear(well, 6 + STEADY_S)
    assert not announcer.hear(well, 100)
