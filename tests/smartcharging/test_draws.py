"""What is learned of a car by what it draws."""

from gateway.smartcharging.draws import HEADROOM_A, PROBE_S, RAMP_S, Seen, observe, soft_cap_a


def watch(*pieces: tuple[int, tuple[float, ...]], offered: float = 32.0, resumed: float | None = None) -> Seen:
    """Let readings come every second: (until second, currents of the connector's own phases)."""
    seen, second = Seen(), 0
    for until, own in pieces:
        while second < until:
            seen = observe(seen, own, float(second), offered_a=offered, offered_at=0.0, resumed_at=resumed)
            second += 1
    return seen


def test_a_ramp_is_no_car_that_draws_less() -> None:
    assert watch((int(RAMP_S), (8.0, 8.0, 8.0))).usual_a is None
    assert watch((75, (8.0, 8.0, 8.0))).usual_a is None


def test_what_a_car_leaves_is_known_after_the_ramp_and_as_long_again() -> None:
    seen = watch((40, (3.0, 3.0, 3.0)), (90, (12.0, 12.5, 12.0)))
    assert seen.usual_a == 12.5 + HEADROOM_A
    assert soft_cap_a(seen, 100.0) == 14.0


def test_a_car_that_takes_all_again_is_offered_all_again() -> None:
    seen = watch((90, (12.0, 12.0, 12.0)))
    assert seen.usual_a is not None
    assert observe(seen, (13.4,) * 3, 95.0, offered_a=13.5, offered_at=0.0).usual_a is None


def test_between_taking_all_and_leaving_something_nothing_is_learned() -> None:
    seen = watch((90, (12.0, 12.0, 12.0)))
    assert observe(seen, (12.0,) * 3, 95.0, offered_a=13.5, offered_at=0.0).usual_a == 13.5


def test_a_car_is_probed_every_ten_minutes() -> None:
    seen = watch((90, (12.0, 12.0, 12.0)))
    probed = [second for second in range(1300) if soft_cap_a(seen, seen.learned_at + second) is None]
    assert probed == [*range(int(PROBE_S - 79), int(PROBE_S)), *range(int(2 * PROBE_S - 79), int(2 * PROBE_S))]


def test_fewer_phases_are_believed_after_half_a_minute_and_more_at_once() -> None:
    assert watch((29, (10.0, 0.1, 0.0))).phases == 0
    one = watch((40, (10.0, 0.1, 0.0)))
    assert one.phases == 1
    assert observe(one, (10.0, 10.0, 0.0), 41.0, offered_a=32.0, offered_at=0.0).phases == 2
    assert watch((60, (2.0, 0.0, 0.0))).phases == 0, "so little says nothing"


def test_a_car_that_does_not_wake_after_a_pause_is_asleep_and_sleepy_once_it_did() -> None:
    asleep = watch((100, (10.0,)), (281, (0.0,)), resumed=101.0)
    assert not asleep.asleep
    asleep = watch((100, (10.0,)), (282, (0.0,)), resumed=101.0)
    assert (asleep.asleep, asleep.sleepy) == (True, False)
    woken = observe(asleep, (9.0,), 300.0, offered_a=32.0, offered_at=0.0, resumed_at=101.0)
    assert (woken.asleep, woken.sleepy) == (False, True)


def test_a_car_that_is_full_or_was_never_paused_is_not_asleep() -> None:
    assert not watch((100, (10.0,)), (900, (0.0,))).asleep
    assert not watch((900, (0.0,)), resumed=101.0).asleep, "it never drew"
    assert not watch((100, (10.0,)), (900, (0.0,)), offered=0.0, resumed=101.0).asleep, "it is offered nothing"
