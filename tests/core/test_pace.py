"""Turns to send: so many a second over all who ask, never in step."""

import itertools
import random

from gateway.core.pace import Pace


def test_fifty_stations_that_ask_at_once_get_turns_one_after_another(seed: int) -> None:
    pace = Pace(50, random.Random(seed))
    moments = [pace.take(100.0) for _ in range(500)]
    assert moments == sorted(moments)
    assert moments[0] == 100.0
    assert 9 < moments[-1] - 100.0 < 11
    gaps = {round(after - before, 6) for before, after in itertools.pairwise(moments)}
    assert len(gaps) > 400
    assert 0.01 <= min(gaps) <= max(gaps) <= 0.03


def test_turns_that_nobody_took_are_not_saved_up(seed: int) -> None:
    pace = Pace(10, random.Random(seed))
    pace.take(0.0)
    assert pace.take(1000.0) == 1000.0
    assert pace.take(1000.0) > 1000.04


def test_without_a_limit_everybody_goes_at_once() -> None:
    pace = Pace(0, random.Random(1))
    assert [pace.take(5.0) for _ in range(3)] == [5.0] * 3
