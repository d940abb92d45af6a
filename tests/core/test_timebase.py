"""What time it is: 1970, floors, better sources, steps, leap seconds and 2038, and the time each station keeps."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import timebase
from gateway.core.timebase import BUILT, Base, ClockReason, Trust
from gateway.model.ids import StationId
from gateway.model.records import ClockBase, StationClock

DAY = 86_400.0
TODAY = BUILT + 60 * DAY
FLOOR = BUILT + 50 * DAY
Y2038 = datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC).timestamp()
_trusts = st.none() | st.sampled_from([Trust.RTC, Trust.SYSTEM, Trust.NTP])
_walls = st.floats(0, Y2038 + 100 * 365 * DAY)
_monos = st.floats(0, 1e8)
_bases = st.builds(Base, _walls, st.sampled_from(Trust), st.just(ClockReason.CSMS))


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize(
    ("wall", "vouched", "expected", "trust", "reason"),
    [
        (0.0, None, FLOOR, Trust.ESTIMATED, ClockReason.FLOOR),
        (TODAY, None, TODAY, Trust.ESTIMATED, ClockReason.UNSURE),
        (TODAY + 20 * 365 * DAY, None, FLOOR, Trust.ESTIMATED, ClockReason.FLOOR),
        (TODAY, Trust.NTP, TODAY, Trust.NTP, ClockReason.NTP),
        (TODAY, Trust.RTC, TODAY, Trust.RTC, ClockReason.RTC),
        (TODAY, Trust.SYSTEM, TODAY, Trust.SYSTEM, ClockReason.SYSTEM),
        # A battery that is empty, and a system that is trusted by mistake: below the floor nobody is believed but NTP,
        (0.0, Trust.RTC, FLOOR, Trust.ESTIMATED, ClockReason.FLOOR),
        (FLOOR - DAY, Trust.SYSTEM, FLOOR, Trust.ESTIMATED, ClockReason.FLOOR),
        (FLOOR - DAY, Trust.NTP, FLOOR - DAY, Trust.NTP, ClockReason.NTP),
        # and below the day the gateway was built not even that.
        (BUILT - 1, Trust.NTP, FLOOR, Trust.ESTIMATED, ClockReason.FLOOR),
        (Y2038, Trust.NTP, Y2038, Trust.NTP, ClockReason.NTP),
    ],
)
def test_the_time_at_start(
    wall: float, vouched: Trust | None, expected: float, trust: Trust, reason: ClockReason
) -> None:
    base = timebase.begin(1000.0, wall, vouched, FLOOR, None)
    assert (base.anchor + 1000.0, base.trust, base.reason) == (expected, trust, reason)


@given(_monos, _walls, st.none() | st.just(Trust.RTC) | st.just(Trust.SYSTEM), st.floats(BUILT, Y2038))
def test_no_start_is_before_the_floor(mono: float, wall: float, vouched: Trust | None, floor: float) -> None:
    base = timebase.begin(mono, wall, vouched, floor, None)
    assert base.anchor + mono >= floor - 1e-3


def test_a_restart_within_one_boot_of_the_box_goes_on() -> None:
    known = ClockBase("b", TODAY - 500.0, "csms", TODAY)
    base = timebase.begin(900.0, 0.0, None, FLOOR, known)
    assert base == Base(TODAY - 500.0, Trust.CSMS, ClockReason.RESTARTED)


@given(_bases, _monos, _walls, _trusts)
def test_trust_is_never_lost_to_a_lesser_source(base: Base, mono: float, wall: float, vouched: Trust | None) -> None:
    ranks = list(Trust)
    after = timebase.from_system(base, mono, wall, vouched, FLOOR)
    assert ranks.index(after.trust) >= ranks.index(base.trust)
    told = timebase.from_csms(base, mono, at(wall), FLOOR)
    assert ranks.index(told.trust) >= ranks.index(base.trust)
    assert told == base or told.anchor + mono >= FLOOR - 1e-3


def test_the_csms_is_believed_where_it_can_be() -> None:
    base = Base(FLOOR, Trust.ESTIMATED, ClockReason.FLOOR)
    told = timebase.from_csms(base, 10.0, at(TODAY), FLOOR)
    assert told == Base(TODAY - 10.0, Trust.CSMS, ClockReason.CSMS)
    assert timebase.from_csms(told, 20.0, at(TODAY + 11), FLOOR) is told, "whole seconds, and on their way"
    assert timebase.from_csms(told, 20.0, at(TODAY + 3610), FLOOR).anchor == TODAY + 3590
    for wrong in (None, at(0), at(FLOOR - DAY), at(FLOOR + 11 * 366 * DAY)):
        assert timebase.from_csms(base, 10.0, wrong, FLOOR) is base
    ntp = Base(TODAY, Trust.NTP, ClockReason.NTP)
    assert timebase.from_csms(ntp, 10.0, at(TODAY + DAY), FLOOR) is ntp


def test_a_boot_waits_two_minutes_for_a_better_time_or_until_it_comes() -> None:
    estimated, known = Base(0, Trust.ESTIMATED, ClockReason.FLOOR), Base(0, Trust.CSMS, ClockReason.CSMS)
    assert timebase.waits_for_time(estimated, 119.0, requires_sync=False)
    assert not timebase.waits_for_time(estimated, 120.0, requires_sync=False)
    assert timebase.waits_for_time(estimated, 1e6, requires_sync=True)
    assert not timebase.waits_for_time(known, 0.0, requires_sync=True)


@pytest.mark.parametrize(
    ("boot", "step_s", "is_charging", "keeps"),
    [
        ("b", 3600.0, True, True),
        ("b", -3600.0, True, True),
        ("b", 56 * 365 * DAY, True, True),
        ("b", 3600.0, False, False),
        ("b", 4.0, True, False),
        ("other", 3600.0, True, False),
    ],
)
def test_a_station_keeps_its_time_while_it_charges(boot: str, step_s: float, is_charging: bool, keeps: bool) -> None:
    was = StationClock(StationId("CP"), boot, TODAY)
    anchor = timebase.anchor_for(was, "b", TODAY + step_s, is_charging=is_charging)
    assert anchor == (TODAY if keeps else TODAY + step_s)
    assert timebase.anchor_for(None, "b", TODAY, is_charging=is_charging) == TODAY


def test_what_was_stamped_is_dated_when_time_comes() -> None:
    written = timebase.stamp("b:1", 1234.5)
    assert timebase.corrected(written, {}) is None
    assert timebase.corrected(written, {"b:1": ClockBase("b:1", FLOOR, "estimated", FLOOR)}) is None
    assert timebase.corrected(written, {"b:1": ClockBase("b:1", TODAY, "ntp", TODAY)}) == at(TODAY + 1234.5)
    assert timebase.corrected(None, {"b:1": ClockBase("b:1", TODAY, "ntp", TODAY)}) is None


def test_what_nobody_vouches_for_raises_no_floor_and_ntp_lowers_a_wrong_one() -> None:
    unsure = Base(TODAY, Trust.ESTIMATED, ClockReason.UNSURE)
    assert timebase.saved(unsure, "b", TODAY + 5, FLOOR).last_s == FLOOR
    for base in (Base(TODAY, Trust.ESTIMATED, ClockReason.FLOOR), Base(TODAY, Trust.CSMS, ClockReason.CSMS)):
        assert timebase.saved(base, "b", TODAY + 5, FLOOR).last_s == TODAY + 5
    good, wrong = ClockBase("a", 0.0, "ntp", TODAY), ClockBase("b", 0.0, "csms", Y2038)
    assert timebase.floor_of([good, wrong]) == Y2038
    assert timebase.lowered([good, wrong], TODAY) == [ClockBase("b", 0.0, "csms", TODAY)]
    assert timebase.floor_of([]) == BUILT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2038-01-19T03:14:08Z", datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2026-03-01T09:00:00+01:00", datetime(2026, 3, 1, 8, tzinfo=UTC)),
        ("2026-03-01T08:00:00", datetime(2026, 3, 1, 8, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", None),
        ("12:60", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_times_as_peers_write_them(text: str, expected: datetime | None) -> None:
    assert timebase.read_time(text) == expected


def test_a_queue_is_no_wrong_clock() -> None:
    assert timebase.skew_s([]) is None
    assert timebase.skew_s([-7200.0]) is None, "one old message says nothing"
    assert timebase.skew_s([-7200.0, -3600.0, -0.5]) == -0.5
    assert timebase.skew_s([-7200.0] * 3) == -7200.0
    assert timebase.skew_s([90.0]) == 90.0, "nothing is early"
    assert [timebase.is_skewed(skew) for skew in (None, 60.0, -61.0)] == [False, False, True]


def test_monotonic_time_crosses_2038_and_a_leap_second_unmoved() -> None:
    base = timebase.begin(0.0, Y2038 - 1, Trust.NTP, FLOOR, None)
    assert at(base.anchor + 2.0) - at(base.anchor) == timedelta(seconds=2)
    stepped = timebase.from_system(base, 2.0, Y2038, Trust.NTP, FLOOR)
    assert stepped.anchor + 2.0 == Y2038
    was = StationClock(StationId("CP"), "b", base.anchor)
    assert timebase.anchor_for(was, "b", stepped.anchor, is_charging=True) == stepped.anchor, "a second is no step"
