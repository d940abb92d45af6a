"""The reconnect back-off: doubled, capped, spread."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.uplink.backoff import Backoff

EXACT = Backoff(wait_minimum_s=10, random_range_s=0, repeat_times=3)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 10), (1, 10), (2, 20), (3, 40), (4, 80), (5, 80), (6, 80), (10_000_000, 80)]
)
def test_it_doubles_so_often_and_then_stays(failures: int, seconds: float) -> None:
    assert EXACT.delay_s(failures, random.Random(1)) == seconds


def test_without_repeats_it_never_grows() -> None:
    backoff = Backoff(5, 0, 0)
    assert [backoff.delay_s(failures, random.Random(1)) for failures in range(5)] == [5] * 5


@given(st.integers(0, 40), st.integers(0, 2**32))
def test_the_random_part_is_added_and_within_its_range(failures: int, seed: int) -> None:
    backoff = Backoff(10, 7, 3)
    base = EXACT.delay_s(failures, random.Random(seed))
    assert base <= backoff.delay_s(failures, random.Random(seed)) <= base + 7


def test_stations_do_not_come_back_in_step() -> None:
    source = random.Random(7)
    delays = [Backoff().delay_s(1, source) for _ in range(200)]
    assert min(delays) < 12
    assert max(delays) > 18
    assert len({round(delay, 3) for delay in delays}) > 190
