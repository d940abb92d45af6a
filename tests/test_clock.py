"""The one clock: the real one can be asked, and an anchor holds it against steps."""

from datetime import UTC, datetime

from gateway.clock import Clock, system


def test_the_box_says_who_vouches_for_its_clock_and_which_boot_this_is() -> None:
    first, second = system(), system()
    assert first.vouched() in ("ntp", "rtc", None)
    assert first.boot
    assert first.monotonic() <= second.monotonic()
    assert abs((first.now() - second.now()).total_seconds()) < 5


def test_once_anchored_no_step_of_the_systems_clock_moves_it() -> None:
    wall, mono = [1_800_000_000.0], [10.0]
    clock = Clock(lambda: wall[0], lambda: mono[0])
    assert clock.now() == datetime.fromtimestamp(1_800_000_000.0, UTC)
    clock.anchor = wall[0] - mono[0]
    wall[0], mono[0] = 0.0, 11.0
    assert clock.now() == datetime.fromtimestamp(1_800_000_001.0, UTC)
