"""The reconnect back-off: doubled, capped, spread."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.columns import SiteColumns
from gateway.model.ids import StationId
from gateway.model.settings import Key, Setting
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


def test_the_csms_sets_its_own_within_reason() -> None:
    columns, station = SiteColumns(), StationId("CP-1")
    default = Backoff(10, 20, 5)

    def set_to(**values: str) -> Backoff:
        for key, value in values.items():
            columns.apply(Setting(station, Key[key], value, None), True)
        return default.as_set(columns, station)

    assert set_to() == default
    assert set_to(RETRY_WAIT_MINIMUM="7") == Backoff(7, 20, 5)
    assert set_to(RETRY_RANDOM_RANGE="0", RETRY_REPEAT_TIMES="3") == Backoff(7, 0, 3)
    most = {"RETRY_WAIT_MINIMUM": "2147483647", "RETRY_RANDOM_RANGE": "9999", "RETRY_REPEAT_TIMES": "2147483647"}
    assert set_to(**most) == Backoff(3600, 3600, 16)
    assert set_to(RETRY_WAIT_MINIMUM="0").wait_minimum_s == 1
    assert default.as_set(columns, StationId("CP-2")) == default
